//! The calls of Log Service that a question needs: GetLogs, GetHistograms, GetContextLogs, PullLogs, and the list of logstores
//! for who searched in vain.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::pages::{Pages, Record};
use crate::base::limits::MIB;
use crate::output::Client;
use crate::output::client::Answer;
use crate::wire::compress::{Kind, decompress};

/// A search that the service has not finished is asked again after this.
const UNFINISHED: Duration = Duration::from_millis(500);
/// A LogGroupList may be a few LogGroups of 10 MiB.
const PULLED_BYTES: usize = 64 * MIB;
/// So many names fit into a message.
const NAMES: usize = 20;

/// One logstore of one project.
pub(in crate::cli) struct Service {
    pub(super) client: Client,
    pub(super) logstore: String,
}

/// An answer of GetLogs.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) meta: Meta,
    pub(super) data: Vec<Record>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    progress: String,
    /// The rows are those of a statement, with these columns.
    #[serde(rename = "hasSQL")]
    pub(super) has_sql: bool,
    pub(super) keys: Vec<String>,
    pub(super) column_types: Vec<String>,
}

/// A piece of a histogram, in Unix seconds.
#[derive(Clone, Debug, Deserialize, serde::Serialize, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) count: u64,
    #[serde(default, skip_serializing)]
    pub(super) progress: String,
}

#[derive(Deserialize)]
struct Around {
    logs: Vec<Record>,
}

#[derive(Deserialize)]
struct Shard {
    #[serde(rename = "shardID")]
    id: u32,
}

#[derive(Deserialize)]
struct Cursor {
    cursor: String,
}

#[derive(Deserialize)]
struct Logstores {
    total: usize,
    logstores: Vec<String>,
}

impl Service {
    pub(super) async fn get_logs(
        &self,
        query: &str,
        pages: &Pages,
        line: usize,
        reverse: bool,
    ) -> Result<Page> {
        let Pages { from, to, offset } = pages;
        let body = json!({ "from": from, "to": to, "query": query, "line": line, "offset": offset, "reverse": reverse });
        let body = serde_json::to_vec(&body)?;
        let path = format!("/logstores/{}/logs", self.logstore);
        loop {
            let page: Page = self.call("POST", &path, &[], body.clone()).await?;
            if page.meta.progress == "Complete" {
                return Ok(page);
            }
            tokio::time::sleep(UNFINISHED).await;
        }
    }

    pub(super) async fn histogram(&self, query: &str, from: i64, to: i64) -> Result<Vec<Piece>> {
        let (from, to) = (from.to_string(), to.to_string());
        let asked = [("type", "histogram"), ("from", &from), ("to", &to), ("query", query)];
        let path = format!("/logstores/{}", self.logstore);
        loop {
            let pieces: Vec<Piece> = self.call("GET", &path, &asked, Vec::new()).await?;
            if pieces.iter().all(|piece| piece.progress == "Complete") {
                return Ok(pieces);
            }
            tokio::time::sleep(UNFINISHED).await;
        }
    }

    /// The records around one, it among them.
    pub(super) async fn around(&self, pack_id: &str, pack_meta: &str, lines: usize) -> Result<Vec<Record>> {
        let lines = lines.to_string();
        let asked = [
            ("type", "context_log"),
            ("pack_id", pack_id),
            ("pack_meta", pack_meta),
            ("back_lines", &lines),
            ("forward_lines", &lines),
        ];
        let found: Around =
            self.call("GET", &format!("/logstores/{}", self.logstore), &asked, Vec::new()).await?;
        Ok(found.logs)
    }

    /// The numbers of the shards.
    pub(super) async fn shards(&self) -> Result<Vec<u32>> {
        let path = format!("/logstores/{}/shards", self.logstore);
        let shards: Vec<Shard> = self.call("GET", &path, &[], Vec::new()).await?;
        Ok(shards.into_iter().map(|shard| shard.id).collect())
    }

    /// A cursor at the `begin` or `end` of a shard.
    pub(super) async fn cursor(&self, shard: u32, place: &str) -> Result<String> {
        let path = format!("/logstores/{}/shards/{shard}", self.logstore);
        let found: Cursor =
            self.call("GET", &path, &[("type", "cursor"), ("from", place)], Vec::new()).await?;
        Ok(found.cursor)
    }

    /// A LogGroupList from a cursor on, empty at the end, and the next cursor.
    pub(super) async fn pull(&self, shard: u32, cursor: &str, groups: usize) -> Result<(Vec<u8>, String)> {
        let path = format!("/logstores/{}/shards/{shard}", self.logstore);
        let count = groups.to_string();
        let asked = [("type", "log"), ("cursor", cursor), ("count", &count)];
        let headers = [("Accept", "application/x-protobuf"), ("Accept-Encoding", "lz4")];
        let answer = self.client.call("GET", &path, &asked, &headers, Bytes::new(), 0).await?;
        if answer.status != 200 {
            return Err(self.refused(&answer).await);
        }
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let next = text("x-log-cursor").to_owned();
        let kind = Kind::from_header(text("x-log-compresstype"))
            .context("the answer is compressed in an unknown way")?;
        if answer.body.is_empty() || kind == Kind::None {
            return Ok((answer.body.to_vec(), next));
        }
        let size = text("x-log-bodyrawsize").parse().context("the answer has no x-log-bodyrawsize")?;
        let mut list = Vec::new();
        decompress(kind, &answer.body, size, PULLED_BYTES, &mut list)?;
        Ok((list, next))
    }

    async fn refused(&self, answer: &Answer) -> anyhow::Error {
        let error = answer.error();
        if error.code == "LogStoreNotExist" {
            return anyhow!("there is no logstore {}{}", self.logstore, self.names().await);
        }
        if error.code.is_empty() {
            let base = self.client.base();
            return anyhow!(
                "{base}: HTTP {}, which is no answer of Log Service; check the endpoint",
                answer.status
            );
        }
        anyhow!("{}: {} (HTTP {})", error.code, error.message, answer.status)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<T> {
        let headers: &[(&str, &str)] =
            if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
        let size = body.len();
        let answer = self.client.call(method, path, query, headers, body.into(), size).await?;
        if answer.status != 200 {
            return Err(self.refused(&answer).await);
        }
        let wrong =
            || format!("{}: the answer is none of Log Service; check the endpoint", self.client.base());
        serde_json::from_slice(&answer.body).with_context(wrong)
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
impl Piece {
    pub(super) fn new(from: i64, to: i64, count: u64) -> Piece {
        Piece { from, to, count, progress: String::new() }
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
