//! The program under the name `ilogtaild`: what probes made for Logtail call (`/etc/init.d/ilogtaild status`).
//!
//! ```text
//! status                 exit 0, "ilogtail is running"       /healthz of the operations port answers 200
//!                        exit 1, "ilogtail is not running"   nobody answers there
//!                        exit 2, "ilogtail is not running"   a gateway answers that it is not healthy, or a stranger does
//! start, stop, restart   exit 3, and what does it here       a container's process belongs to whoever started it
//! anything else          exit 3, and what there is
//! ```
//!
//! Words and the exit code 0 are Logtail's; why it is not running goes to standard error. The operations port is the one of
//! SLUICEGATE__OPERATIONS__LISTEN, which wins over a configuration file in the gateway as well, else 24290 of this machine.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::{complain, say};
use crate::config::leaf::Address;

const VARIABLE: &str = "SLUICEGATE__OPERATIONS__LISTEN";
const PORT: u16 = 24290;
const PATIENCE: Duration = Duration::from_secs(5);

const NOBODY: u8 = 1;
const NOT_HEALTHY: u8 = 2;
const NOT_HERE: u8 = 3;

/// Whether the program was called by that name, in whatever directory.
pub(super) fn is_called(program: Option<&OsStr>) -> bool {
    program.is_some_and(|program| Path::new(program).file_name() == Some(OsStr::new("ilogtaild")))
}

/// `arguments` without the program's name.
pub(super) fn execute(arguments: &[OsString]) -> Result<ExitCode> {
    let action = arguments.first().and_then(|action| action.to_str()).unwrap_or_default();
    match action {
        "status" => super::block_on(async { Ok(status().await) }),
        "start" | "stop" | "force-stop" | "restart" => {
            complain(&format!(
                "ilogtaild {action}: this is Sluicegate, which no init script runs. Start it with `sluicegate run`; SIGTERM \
                 stops it and drains it first, `sluicegate run --take-over` replaces it without a gap. In a container \
                 that is done by whoever runs the container."
            ));
            Ok(ExitCode::from(NOT_HERE))
        }
        _ => {
            complain("usage: ilogtaild status (start, stop and restart say what does it here)");
            Ok(ExitCode::from(NOT_HERE))
        }
    }
}

async fn status() -> ExitCode {
    let asked = match operations(std::env::var(VARIABLE).ok().as_deref()) {
        Ok(address) => health(&address).await,
        Err(error) => Err((NOBODY, error)),
    };
    match asked {
        Ok(()) => {
            say("ilogtail is running");
            ExitCode::SUCCESS
        }
        Err((code, why)) => {
            say("ilogtail is not running");
            complain(&format!("{why:#}"));
            ExitCode::from(code)
        }
    }
}

/// Where to ask a gateway that listens on this address. One that listens on every interface is asked on the loopback one.
fn operations(listens: Option<&str>) -> Result<Address> {
    let Some(listens) = listens.filter(|listens| !listens.is_empty()) else {
        return Ok(Address::new("127.0.0.1", PORT));
    };
    let mut address = Address::parse(listens).map_err(|what| anyhow!("{VARIABLE}={listens}: {what}"))?;
    match address.host.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => address.host = Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => address.host = Ipv6Addr::LOCALHOST.to_string(),
        _ => {}
    }
    Ok(address)
}

/// Asks the gateway there; what is wrong comes with the exit code that says so.
async fn health(address: &Address) -> Result<(), (u8, anyhow::Error)> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| (NOBODY, error.into()))?;
    let answer = client.get(format!("http://{address}/healthz")).send().await.map_err(|error| {
        if error.is_connect() {
            (NOBODY, anyhow!("no gateway answers on {address}"))
        } else {
            (NOT_HEALTHY, anyhow!("{address} took the question and gave no answer that is one"))
        }
    })?;
    if answer.status() == reqwest::StatusCode::OK {
        return Ok(());
    }
    let status = answer.status().as_u16();
    // It is the kubelet's events that show this: a line will do.
    let why = answer.bytes().await.unwrap_or_default();
    let why = String::from_utf8_lossy(&why[..why.len().min(500)]).trim().to_owned();
    Err((NOT_HEALTHY, anyhow!("{address} says that it is not healthy (HTTP {status}): {why}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_name_counts_and_not_its_directory() {
        for name in ["ilogtaild", "/etc/init.d/ilogtaild", "./ilogtaild"] {
            assert!(is_called(Some(OsStr::new(name))), "{name}");
        }
        for name in ["sluicegate", "/ilogtaild/sluicegate", "ilogtaild2", ""] {
            assert!(!is_called(Some(OsStr::new(name))), "{name}");
        }
        assert!(!is_called(None));
    }

    #[test]
    fn every_interface_is_asked_on_the_loopback_one() {
        let asked = |listens| operations(listens).unwrap().to_string();
        assert_eq!(asked(None), "127.0.0.1:24290");
        assert_eq!(asked(Some("")), "127.0.0.1:24290");
        assert_eq!(asked(Some("0.0.0.0:9000")), "127.0.0.1:9000");
        assert_eq!(asked(Some("[::]:9000")), "[::1]:9000");
        assert_eq!(asked(Some("10.1.2.3:9000")), "10.1.2.3:9000");
        let error = operations(Some("9000")).unwrap_err().to_string();
        assert!(error.starts_with("SLUICEGATE__OPERATIONS__LISTEN=9000: names no host"), "{error}");
    }

    /// What a gateway's answer, or none at all, makes of the exit code.
    fn code(answer: &'static str) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let peer = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = connection.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /healthz "));
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let asked = super::super::block_on(async { Ok(health(&address).await) }).unwrap();
        peer.join().unwrap();
        asked.map_or_else(|(code, _)| code, |()| 0)
    }

    #[test]
    fn the_exit_code_says_who_answered() {
        assert_eq!(code("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"), 0);
        assert_eq!(code("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nstuck\n"), NOT_HEALTHY);
        assert_eq!(code("SSH-2.0-x\r\n"), NOT_HEALTHY);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = Address::new("127.0.0.1", free);
        let asked = super::super::block_on(async { Ok(health(&address).await) }).unwrap();
        assert_eq!(asked.unwrap_err().0, NOBODY);
    }

    #[test]
    fn what_is_not_done_here_is_exit_code_3() {
        for arguments in [&["start"][..], &["stop"], &["restart"], &["help"], &[]] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            assert_eq!(execute(&arguments).unwrap(), ExitCode::from(NOT_HERE));
        }
    }
}
