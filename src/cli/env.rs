//! `sluicegate env`: what the vendor's SDKs and CLI need to talk to the embedded Log Service, unmodified.
//!
//! They put the project into the host name, which no name service knows here. Through a proxy variable they need none: the request
//! comes to us as it is, whatever its host. An invented name is exported as endpoint and no address, since lists of what goes past
//! the proxy (`no_proxy`) often have 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::query::{Embedded, key};
use super::{block_on, say};
use crate::api::log_service::{ENDPOINT, REGION};

#[derive(Args)]
pub(super) struct Env {
    /// One JSON object instead of lines for a shell.
    #[arg(long)]
    json: bool,
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    operations: String,
}

impl Env {
    pub(super) fn execute(self) -> Result<ExitCode> {
        block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let service = Embedded::find(&self.operations).await?;
        let key = key::stored(&service.key_file)?;
        let proxy = format!("http://{}", reachable(&service.address));
        let (id, secret) = (key.id.as_str(), key.secret.expose());
        if self.json {
            let object = json!({
                "http_proxy": proxy,
                "endpoint": format!("http://{ENDPOINT}"),
                "region": REGION,
                "project": service.project,
                "logstore": service.logstore,
                "access_key_id": id,
                "access_key_secret": secret,
            });
            say(&object.to_string());
            return Ok(ExitCode::SUCCESS);
        }
        lines(&proxy, &service.project, id, secret).iter().all(|line| say(line));
        Ok(ExitCode::SUCCESS)
    }
}

/// What a shell evaluates.
fn lines(proxy: &str, project: &str, id: &str, secret: &str) -> Vec<String> {
    let mut lines = vec![
        "# For one shell, or one command: every plain-http request of it goes to the gateway. Use: eval \"$(sluicegate env)\""
            .to_owned(),
    ];
    let endpoint = format!("http://{ENDPOINT}");
    let exported = [
        ("http_proxy", proxy),
        ("HTTP_PROXY", proxy),
        ("ALIYUN_LOG_CLI_ENDPOINT", endpoint.as_str()),
        ("ALIYUN_LOG_CLI_ACCESSID", id),
        ("ALIYUN_LOG_CLI_ACCESSKEY", secret),
        ("ALIYUN_LOG_CLI_REGION_ID", REGION),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", id),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret),
        ("SLS_ENDPOINT", &endpoint),
        ("SLS_PROJECT", project),
    ];
    lines.extend(exported.map(|(name, value)| format!("export {name}={}", key::quoted(value))));
    lines
}

/// An address to connect to: a listener on all addresses is reached on the machine's own.
fn reachable(address: &str) -> String {
    let Ok(mut address) = address.parse::<SocketAddr>() else { return address.to_owned() };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_what_was_meant() {
        let lines = lines("http://127.0.0.1:24280", "sluicegate", "id", "it's $HOME");
        assert!(lines[0].starts_with('#'));
        assert_eq!(lines[1], "export http_proxy=http://127.0.0.1:24280");
        assert!(lines.contains(&"export ALIYUN_LOG_CLI_ACCESSKEY='it'\\''s $HOME'".to_owned()));
        assert!(lines[1..].iter().all(|line| line.starts_with("export ")));
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_here() {
        assert_eq!(reachable("0.0.0.0:24280"), "127.0.0.1:24280");
        assert_eq!(reachable("[::]:24280"), "[::1]:24280");
        assert_eq!(reachable("10.0.0.9:24280"), "10.0.0.9:24280");
    }
}
