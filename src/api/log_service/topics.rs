//! ListTopics: `GET /logstores/L?type=topic[&token][&line]`, the topics in order, from the token on.

use super::answer::{Answer, Refusal};
use super::get_logs::known;
use super::request::Target;
use crate::store::Store;

/// Topics of one answer.
const LINES: usize = 100;

pub(super) async fn list(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let id = known(store, target, logstore)?.id;
    let line = target.number::<usize>("line")?.unwrap_or(LINES);
    if line > LINES {
        return Err(Refusal::new("InvalidLine", format!("line {line} must be within range [0, {LINES}]")));
    }
    let token = target.parameter("token").unwrap_or("").to_owned();
    let mut topics = store.topics(id, token, line + 1).await?;
    let next = if topics.len() > line { topics.pop() } else { None };
    let answer = Answer::bytes(serde_json::json!(topics).to_string().into_bytes());
    Ok(answer.with("x-log-count", topics.len()).with("x-log-nexttoken", next.unwrap_or_default()))
}
