//! `sluicegate run`: starts the gateway, says what listens where, stops on SIGTERM or SIGINT.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{complain, say};
use crate::app::Gateway;
use crate::config::{self, Flags};

#[derive(Args)]
pub(super) struct Run {
    /// Configuration file (YAML). Without one, everything has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the journal and the embedded Log Service live.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Run {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let filter = EnvFilter::try_from_env("SLUICEGATE_LOG")
            .unwrap_or_else(|_| EnvFilter::new("warn,sluicegate=info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .init();
        let plan = match config::load(
            self.config.as_deref(),
            super::variables(),
            &Flags { data_dir: self.data_dir },
        ) {
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
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut term = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let data_dir = plan.data_dir.clone();
            let gateway = Gateway::start(plan, Some(metrics)).await?;
            greet(&gateway, &data_dir);
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: delivering what is stored; a second signal stops at once");
            tokio::select! {
                () = gateway.stop() => {}
                _ = term.recv() => std::process::exit(1),
                _ = interrupt.recv() => std::process::exit(1),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn greet(gateway: &Gateway, data_dir: &std::path::Path) {
    say(&format!("sluicegate {}, data in {}", env!("CARGO_PKG_VERSION"), data_dir.display()));
    let mut send_to = String::new();
    let mut query_at = String::new();
    for (name, address) in &gateway.addresses {
        let note = match (name.as_str(), gateway.project()) {
            ("log service", Some(project)) => format!("  project {project}"),
            _ if !address.ip().is_loopback() => "  open to the network, without key or TLS".to_owned(),
            _ => String::new(),
        };
        say(&format!("  {name:<12} {address}{note}"));
        match name.as_str() {
            "operations" if address.port() != 24290 => query_at = format!(" --operations {address}"),
            "operations" | "log service" => {}
            _ if send_to.is_empty() && address.port() != 24224 => send_to = format!(" --to {address}"),
            _ => {}
        }
    }
    if gateway.project().is_some() {
        say(&format!(
            "try: sluicegate send --tag demo{send_to} '{{\"log\":\"hello\"}}' && sluicegate query{query_at} hello"
        ));
    } else {
        say(&format!("try: sluicegate send --tag demo{send_to} '{{\"log\":\"hello\"}}'"));
    }
}
