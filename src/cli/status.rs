//! `sluicegate status`: what the running gateway says about itself, and an exit code for an exec probe.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::say;

#[derive(Args)]
pub(super) struct Status {
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    operations: String,
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let status = super::block_on(fetch(&self.operations))?;
        if self.json {
            say(&serde_json::to_string_pretty(&status)?);
        } else {
            print(&status);
        }
        Ok(if status["healthy"] == Value::Bool(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The status document of the gateway whose operations port this is.
pub(super) async fn fetch(operations: &str) -> Result<Value> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let answer = client.get(format!("http://{operations}/status")).send().await.with_context(|| {
        format!("no gateway answers on {operations}; is it running? Its operations port is printed when it starts (--operations ADDR)")
    })?;
    let body = answer.bytes().await?;
    serde_json::from_slice(&body)
        .with_context(|| format!("what answers on {operations} is not Sluicegate's operations port"))
}

fn print(status: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let health = status["health"].as_str().map_or("healthy".to_owned(), |why| format!("NOT HEALTHY: {why}"));
    say(&format!(
        "sluicegate {}, {}, {health}, up {} s, data in {}",
        text(&status["version"]),
        text(&status["state"]),
        status["uptime_seconds"],
        text(&status["data_dir"]),
    ));
    for input in status["inputs"].as_array().into_iter().flatten() {
        say(&format!("  input        {} on {}", text(&input["name"]), text(&input["listen"])));
    }
    for destination in status["destinations"].as_array().into_iter().flatten() {
        let age = destination["oldest_seconds"]
            .as_f64()
            .map(|age| format!(", oldest {age:.0} s"))
            .unwrap_or_default();
        say(&format!(
            "  buffer       {}: {} bytes in {} entries{age}",
            text(&destination["name"]),
            destination["buffered_bytes"],
            destination["buffered_entries"],
        ));
    }
    say(&format!(
        "  journal      {} bytes in {} segments",
        status["journal"]["disk_bytes"], status["journal"]["segments"]
    ));
    for problem in status["problems"].as_array().into_iter().flatten() {
        say(&format!("  problem      {}", text(problem)));
    }
}
