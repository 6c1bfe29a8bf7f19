//! The two calls of Log Service that a search needs: GetLogs, and the list of logstores for who searched in vain.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::pages::{Pages, Record};
use crate::output::Client;

/// A search that the service has not finished is asked again after this.
const UNFINISHED: Duration = Duration::from_millis(500);
/// So many names fit into a message.
const NAMES: usize = 20;

/// One logstore of one project.
pub(super) struct Service {
    pub(super) client: Client,
    pub(super) logstore: String,
}

#[derive(Deserialize)]
struct Answer {
    meta: Meta,
    data: Vec<Record>,
}

#[derive(Deserialize)]
struct Meta {
    progress: String,
}

#[derive(Deserialize)]
struct Logstores {
    total: usize,
    logstores: Vec<String>,
}

impl Service {
    pub(super) async fn get_logs(&self, query: &str, pages: &Pages, line: usize) -> Result<Vec<Record>> {
        let Pages { from, to, offset } = pages;
        let body = json!({ "from": from, "to": to, "query": query, "line": line, "offset": offset, "reverse": false });
        let body = Bytes::from(serde_json::to_vec(&body)?);
        let size = body.len();
        let path = format!("/logstores/{}/logs", self.logstore);
        loop {
            let headers = [("Content-Type", "application/json")];
            let answer = self.client.call("POST", &path, &[], &headers, body.clone(), size).await?;
            if answer.status != 200 {
                let error = answer.error();
                if error.code == "LogStoreNotExist" {
                    bail!("there is no logstore {}{}", self.logstore, self.names().await);
                }
                bail!("{}: {} (HTTP {})", error.code, error.message, answer.status);
            }
            let answer: Answer =
                serde_json::from_slice(&answer.body).context("the answer is not one of GetLogs")?;
            if answer.meta.progress == "Complete" {
                return Ok(answer.data);
            }
            tokio::time::sleep(UNFINISHED).await;
        }
    }

    /// `; logstores: a, b`, or nothing when the service does not tell.
    pub(super) async fn names(&self) -> String {
        let query = [("offset", "0"), ("size", "500")];
        match self.client.call("GET", "/logstores", &query, &[], Bytes::new(), 0).await {
            Ok(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map(listed).unwrap_or_default()
            }
            _ => String::new(),
        }
    }
}

fn listed(found: Logstores) -> String {
    let shown = found.logstores.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>();
    match found.total.max(found.logstores.len()) - shown.len() {
        0 if shown.is_empty() => "; there are no logstores yet".to_owned(),
        0 => format!("; logstores: {}", shown.join(", ")),
        more => format!("; logstores: {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logstores_are_named_up_to_a_bound() {
        let of = |total: usize| {
            let logstores = (0..total.min(500)).map(|n| format!("log{n}")).collect();
            listed(Logstores { total, logstores })
        };
        assert_eq!(of(0), "; there are no logstores yet");
        assert_eq!(of(2), "; logstores: log0, log1");
        assert!(of(700).ends_with("log18, log19 and 680 more"));
    }
}
