//! `sluicegate run`: starts the gateway, says what listens where, reads keys and certificates again on SIGHUP, stops on
//! SIGTERM, SIGINT, the SIGHUP of a terminal that goes away, or for a successor (`run --take-over`).

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::reload::Reload;
use super::{complain, say};
use crate::app::{Address, Door, Gateway, Inherited, take_over};
use crate::config::{self, Flags};

/// Where `send` and `query` look without being told.
const FORWARD_PORT: u16 = 24224;
const OPERATIONS_PORT: u16 = 24290;
/// How long threads that block may take to end after the gateway has.
const LEFTOVERS: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(super) struct Run {
    /// Configuration file (YAML). Without one, everything has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the journal and the embedded Log Service live.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Take the place of the gateway that runs on this data directory: get its sockets, wait until it has stopped. Where
    /// none runs, just start.
    #[arg(long)]
    take_over: bool,
}

impl Run {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let filter = EnvFilter::try_from_env("SLUICEGATE_LOG")
            .unwrap_or_else(|_| EnvFilter::new("warn,sluicegate=info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(
                std::io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
            )
            .init();
        let flags = Flags { data_dir: self.data_dir };
        let plan = match config::load(self.config.as_deref(), super::variables(), &flags) {
            Ok(plan) => plan,
            Err(errors) => {
                complain(&errors.to_string());
                return Ok(ExitCode::from(2));
            }
        };
        let metrics = PrometheusBuilder::new()
            .set_buckets(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
            .context("metrics")?
            .install_recorder()
            .context("metrics")?;
        // While there is one thread: it takes variables away.
        let supervised = Inherited::from_supervisor();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(async {
            let mut signals = Signals::new()?;
            let data_dir = plan.data_dir.clone();
            let mut reload = Reload::new(self.config.as_deref(), flags, &plan);
            let inherited = if self.take_over { take_over(&data_dir).await? } else { None };
            if inherited.is_some() {
                tracing::info!("another gateway hands its sockets over; waiting until it has stopped");
            }
            let gateway = tokio::select! {
                gateway = Gateway::start_with(plan, Some(metrics), inherited.unwrap_or(supervised)) => gateway?,
                () = signals.stop() => {
                    tracing::info!("stopped while starting");
                    return Ok(ExitCode::SUCCESS);
                }
            };
            greet(&gateway, &data_dir);
            let mut hangup = signals.reload.take();
            // Once, and not in each turn: a SIGHUP must not cut it off in the middle.
            let mut handed = Box::pin(gateway.handed_over());
            let mut successor = None;
            while successor.is_none() {
                tokio::select! {
                    () = signals.stop() => break,
                    stream = &mut handed => {
                        successor = Some(stream);
                        continue;
                    }
                    () = received(&mut hangup) => {
                        tracing::info!(
                            "SIGHUP: keys, users and certificates are read again; all other changes wait for a restart"
                        );
                    }
                    () = reload.secret_changed() => {}
                }
                if let Some(plan) = reload.load() {
                    // Names are looked up, and a name server that is away shall hold up no stop.
                    tokio::select! {
                        () = signals.stop() => break,
                        () = gateway.reload(plan) => {}
                    }
                }
            }
            drop(handed);
            let stopping = async {
                if let Some(successor) = successor {
                    tracing::info!("another gateway has our sockets and takes over: stopping");
                    gateway.make_way(successor).await;
                } else {
                    tracing::info!("stopping: delivering what is stored; a second signal stops at once");
                    gateway.stop().await;
                }
            };
            tokio::select! {
                () = stopping => {}
                () = signals.stop() => std::process::exit(1),
            }
            Ok(ExitCode::SUCCESS)
        });
        // A recovery or a look-up of a name that is still under way holds up nobody's exit.
        runtime.shutdown_timeout(LEFTOVERS);
        done
    }
}

/// What asks for a stop: SIGTERM, SIGINT, and the SIGHUP of a terminal that goes away. A SIGHUP without a terminal asks
/// for keys and certificates to be read again. Who was started by `nohup` is asked neither.
struct Signals {
    term: Signal,
    interrupt: Signal,
    terminal_gone: Option<Signal>,
    reload: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let terminal = std::io::stdin().is_terminal()
            || std::io::stdout().is_terminal()
            || std::io::stderr().is_terminal();
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminal_gone: hangup.take_if(|_| terminal),
            reload: hangup,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
            () = received(&mut self.terminal_gone) => {}
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether we were started by `nohup` or the like, whose wish a handler of ours would undo.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is number 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn greet(gateway: &Gateway, data_dir: &Path) {
    say(&format!("sluicegate {}, data in {}", env!("CARGO_PKG_VERSION"), data_dir.display()));
    for address in &gateway.addresses {
        let note = match (&address.door, gateway.project()) {
            (Door::LogService, Some(project)) => format!("  project {project}"),
            _ if address.is_open() => "  open to the network, without key or TLS".to_owned(),
            _ => String::new(),
        };
        say(&format!("  {:<13} {}{note}", address.door.to_string(), address.place));
    }
    say(&invitation(&gateway.addresses, gateway.project().is_some()));
}

/// A command to try, with the addresses that are not where the commands look by themselves.
fn invitation(addresses: &[Address], embedded: bool) -> String {
    let option = |flag: &str, usual: u16, wanted: fn(&Door) -> bool| {
        let address = addresses.iter().filter(|address| wanted(&address.door)).find_map(Address::reachable);
        let other = address.filter(|address| *address != SocketAddr::from((Ipv4Addr::LOCALHOST, usual)));
        other.map(|address| format!(" {flag} {address}")).unwrap_or_default()
    };
    let at = option("--operations", OPERATIONS_PORT, |door| *door == Door::Operations);
    if !addresses.iter().any(|address| matches!(address.door, Door::Forward(_))) {
        return format!("try: sluicegate status{at}");
    }
    let to = option("--to", FORWARD_PORT, |door| matches!(door, Door::Forward(_)));
    let send = format!("try: sluicegate send --tag demo{to} '{{\"log\":\"hello\"}}'");
    if !embedded {
        return send;
    }
    format!("{send} && sluicegate query{at} hello")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Place;

    #[test]
    fn the_invitation_names_what_is_not_usual() {
        let at =
            |door, socket: &str| Address { door, place: Place::Tcp(socket.parse().unwrap()), guarded: false };
        let input = || Door::Forward("operations".to_owned());
        let usual = [at(input(), "0.0.0.0:24224"), at(Door::Operations, "127.0.0.1:24290")];
        let hello = "'{\"log\":\"hello\"}'";
        assert_eq!(
            invitation(&usual, true),
            format!("try: sluicegate send --tag demo {hello} && sluicegate query hello")
        );
        let other = [at(input(), "[::]:24224"), at(Door::Operations, "0.0.0.0:24291")];
        assert_eq!(
            invitation(&other, true),
            format!(
                "try: sluicegate send --tag demo --to [::1]:24224 {hello} && sluicegate query --operations 127.0.0.1:24291 hello"
            )
        );
        let none = [at(Door::Input("syslog".to_owned()), "127.0.0.1:5140"), usual[1].clone()];
        assert_eq!(invitation(&none, true), "try: sluicegate status");
        assert_eq!(invitation(&usual, false), format!("try: sluicegate send --tag demo {hello}"));
    }
}
