//! Heartbeats: a config server learns that this gateway lives, who it is, and what became of what it collects.
//!
//! ```text
//! every 10 s, and at once when we are somebody else:   POST URL/Agent/Heartbeat   HeartbeatRequest -> HeartbeatResponse
//! ```
//!
//! The ConfigServer protocol, version 2 ([`crate::wire::config_server`]): unsigned, plain HTTP. Each heartbeat says everything,
//! so a server that was restarted asks for nothing. The protocol could deliver configurations; this gateway does not say that
//! it takes any, and reads none. The cloud's own agents speak another, private protocol, so in the cloud a machine group's
//! list shows no heartbeat of ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Outcome;
use super::context::{self, SourceContext};
use super::identity::Identity;
use super::report::Outcomes;
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::counter;
use crate::wire::config_server::{
    Attributes, CONTENT_TYPE, ConfigInfo, ConfigStatus, HEARTBEAT_PATH, HeartbeatRequest, HeartbeatResponse,
    MOST_CONFIGS, Tag,
};

/// As LoongCollector's.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// A server that is none, or away.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(10);
/// We ask for nothing, so an answer is short.
const ANSWER_BYTES: usize = 1 << 20;
const SAID_AGAIN: Duration = Duration::from_secs(3_600);
/// The request has all that its sender knows of itself.
const FULL_STATE: u64 = 1;
/// Of a reason, where there is room for all of it.
const MESSAGE_BYTES: usize = 500;
/// All configurations with their reasons: the embedded service takes 256 KiB.
const CONFIGS_BYTES: usize = 160 << 10;
/// Of one of them beside its name and message.
const FRAME_BYTES: usize = 16;
/// A server may have rows of agents of several kinds.
const AGENT_TYPE: &str = "Sluicegate";
/// The tag that carries a user-defined id.
const ID_TAG: &str = "user_defined_id";

pub struct Settings {
    /// `http://host:port`
    pub server: String,
    /// The data directory's: the same after a restart.
    pub instance: String,
    /// Between two heartbeats, give or take a fifth.
    pub interval: Duration,
}

/// Beats until the gateway stops.
pub async fn run(settings: Settings, context: SourceContext) {
    let SourceContext { mut identity, outcomes, stop, .. } = context;
    let interval = settings.interval;
    // Between three and six fifths of the interval.
    let mut pace = Backoff::new(interval.mul_f64(1.2), interval.mul_f64(1.2));
    let mut retry = Backoff::new(interval * 2, LONGEST_WAIT.max(interval));
    let limit = LogLimit::new(SAID_AGAIN);
    let count = |outcome| {
        let help = "Heartbeats to the config server.";
        counter("sluicegate_collection_heartbeats_total", help, &[("outcome", outcome)])
    };
    let (ok, failed) = (count("ok"), count("failed"));
    let mut heart = Heart::new(settings);
    loop {
        let who = identity.borrow_and_update().clone();
        let known = outcomes.borrow().clone();
        let request = heart.request(&who, &known);
        let beaten = tokio::select! {
            () = stop.cancelled() => return,
            beaten = heart.beat(&request) => beaten,
        };
        let wait = match beaten {
            Ok(()) => {
                ok.increment(1);
                retry.reset();
                pace.next_wait()
            }
            Err(why) => {
                failed.increment(1);
                if limit.allow().is_some() {
                    tracing::warn!("no heartbeat, so machine lists show this gateway as away: {why}");
                }
                retry.next_wait()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = context::changed(&mut identity) => {}
        }
    }
}

struct Heart {
    settings: Settings,
    http: Option<reqwest::Client>,
    beats: u64,
    /// Seconds since 1970.
    started: i64,
}

impl Heart {
    fn new(settings: Settings) -> Heart {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = i64::try_from(now.as_secs()).unwrap_or_default();
        Heart { settings, http: None, beats: 0, started }
    }

    fn request(&mut self, who: &Identity, outcomes: &Outcomes) -> HeartbeatRequest {
        self.beats += 1;
        let tag = |id: &String| Tag { name: ID_TAG.to_owned(), value: id.clone() };
        HeartbeatRequest {
            request_id: self.beats.to_string().into_bytes(),
            sequence_num: self.beats,
            instance_id: self.settings.instance.clone(),
            agent_type: AGENT_TYPE.to_owned(),
            attributes: Some(Attributes {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ip: who.addresses.first().cloned().unwrap_or_default(),
                hostname: who.hostname.clone(),
                host_id: self.settings.instance.clone(),
                ..Attributes::default()
            }),
            tags: who.ids.iter().map(tag).collect(),
            running_status: "running".to_owned(),
            startup_time: self.started,
            pipeline_configs: infos(outcomes),
            flags: FULL_STATE,
            ..HeartbeatRequest::default()
        }
    }

    async fn beat(&mut self, request: &HeartbeatRequest) -> Result<(), String> {
        let url = format!("{}{HEARTBEAT_PATH}", self.settings.server.trim_end_matches('/'));
        let failed = |error: reqwest::Error| format!("{url}: {}", root_cause(&error));
        let http = match &self.http {
            Some(http) => http,
            None => {
                // It is a server of this network, whatever proxy leads out of it.
                let made = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(failed)?;
                self.http.insert(made)
            }
        };
        let sent = http.post(&url).header("Content-Type", CONTENT_TYPE).body(request.encode()).send().await;
        let mut answer = sent.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("{url}: HTTP {}, so it is no config server", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER_BYTES {
                return Err(format!("{url}: an answer of more than {ANSWER_BYTES} bytes"));
            }
            body.extend_from_slice(&part);
        }
        let answer = HeartbeatResponse::decode(&body).map_err(|why| format!("{url}: {why}"))?;
        match answer.common.status {
            0 => Ok(()),
            status => Err(format!(
                "{url}: status {status}: {}",
                first_bytes(&answer.common.error_message, MESSAGE_BYTES)
            )),
        }
    }
}

/// As many as fit, each with as much of its message as leaves room for the others.
fn infos(outcomes: &Outcomes) -> Vec<ConfigInfo> {
    let share = CONFIGS_BYTES / outcomes.len().max(1);
    let mut left = CONFIGS_BYTES;
    let all = outcomes.iter().take(MOST_CONFIGS).map_while(|((_, id), outcome)| {
        let (status, message) = match outcome {
            Outcome::Applied { notes } => (ConfigStatus::Applied, notes.join("; ")),
            Outcome::Refused { reasons } => (ConfigStatus::Failed, reasons.join("; ")),
        };
        let message = first_bytes(&message, share.saturating_sub(id.len() + FRAME_BYTES).min(MESSAGE_BYTES));
        left = left.checked_sub(id.len() + message.len() + FRAME_BYTES)?;
        Some(ConfigInfo { name: id.clone(), status, message, ..ConfigInfo::default() })
    });
    all.collect()
}

fn first_bytes(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::collection::Source;
    use crate::collection::report::{Board, ConfigReport, State};
    use crate::output::testing::{Said, Server};

    fn who(id: &str) -> Arc<Identity> {
        Arc::new(Identity {
            ids: vec![id.to_owned(), "other".to_owned()],
            hostname: "web-1".to_owned(),
            addresses: vec!["10.0.0.9".to_owned(), "10.1.0.9".to_owned()],
        })
    }

    fn report(id: &str, state: State, reasons: &[&str]) -> ConfigReport {
        ConfigReport {
            source: Source::MachineGroups,
            id: id.to_owned(),
            state,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            notes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_server_learns_who_lives_and_what_it_runs() {
        // An answer without any field is one.
        let server = Server::start(|before, _| Said::new(if before < 2 { 200 } else { 404 }, "")).await;
        // The next heartbeat of its own would come in an hour.
        let settings = Settings {
            server: format!("{}/", server.url()),
            instance: "instance-1".to_owned(),
            interval: Duration::from_secs(3_600),
        };
        let board = Arc::new(Board::new(&BTreeSet::from([Source::MachineGroups])));
        board.set(vec![
            report("demo.access", State::Running, &[]),
            report("demo.odd", State::Refused, &["a", "b"]),
        ]);
        let (identity, watched) = watch::channel(who("web"));
        let stop = CancellationToken::new();
        let (found, outcomes) = (mpsc::channel(1).0, board.outcomes());
        let context = SourceContext { found, identity: watched, outcomes, stop: stop.clone(), board };
        let running = tokio::spawn(run(settings, context));
        for (beats, id) in [(1, "db"), (2, "db-2"), (3, "db-3")] {
            while server.seen().len() < beats {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            identity.send_replace(who(id));
        }
        stop.cancel();
        running.await.unwrap();

        let all = server.seen();
        assert_eq!((all[0].method.as_str(), all[0].target.as_str()), ("POST", "/Agent/Heartbeat"));
        assert_eq!(all[0].header("content-type"), "application/x-protobuf");
        let read = |index: usize| HeartbeatRequest::decode(&all[index].body).unwrap();
        let (first, second) = (read(0), read(1));
        assert_eq!((first.sequence_num, second.sequence_num), (1, 2));
        assert_eq!((first.tags[0].value.as_str(), second.tags[0].value.as_str()), ("web", "db"));
        assert_eq!((first.instance_id.as_str(), first.capabilities), ("instance-1", 0));
        let attributes = first.attributes.unwrap();
        assert_eq!((attributes.ip.as_str(), attributes.hostname.as_str()), ("10.0.0.9", "web-1"));
        let configs: Vec<_> =
            first.pipeline_configs.iter().map(|one| (one.name.as_str(), one.message.as_str())).collect();
        assert_eq!(configs, [("demo.access", ""), ("demo.odd", "a; b")]);
        assert_eq!(first.pipeline_configs[1].status, ConfigStatus::Failed);
    }

    #[test]
    fn however_many_there_are_a_server_takes_the_request() {
        let refused = |number: usize| {
            let id = format!("demo.a-configuration-of-many-{number:04}");
            let reasons = vec!["\u{65e5}".repeat(400)];
            ((Source::MachineGroups, id), Outcome::Refused { reasons })
        };
        for count in [1, 300, 1_000, 5_000] {
            let all = infos(&Arc::new((0..count).map(refused).collect()));
            let request = HeartbeatRequest { pipeline_configs: all.clone(), ..HeartbeatRequest::default() };
            assert!(request.encode().len() < 200 << 10, "{count}");
            assert_eq!(all.len(), count.min(3_343), "{count}");
        }
        assert_eq!(infos(&Arc::new((0..1).map(refused).collect()))[0].message.len(), 498);
    }
}
