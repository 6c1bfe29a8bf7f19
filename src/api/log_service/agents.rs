//! What collection agents ask a config server, in the messages of [`crate::wire::config_server`].
//!
//! ```text
//! heartbeat -> who it is -> noted, for the machine lists -> groups of all projects that name it
//!   -> their configs that it has not in this version, as pipelines; -1 for those it has and shall not
//! ```
//!
//! Unsigned, as the protocol has it: whoever reaches the port reads the configs of the machine that it says it is. Those
//! are paths and expressions, and never keys. Bodies are small, have a budget of their own, and an answer is bounded: what
//! does not fit comes with the next one. Browsers are kept out by the content type, for which they have to ask first.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::{ENDPOINT, REGION, Service};
use crate::base::limits::{KIB, MIB};
use crate::base::log_limit::LogLimit;
use crate::store::collection::for_agents::{self, Destination};
use crate::store::collection::{Delivery, Identity, MOST_IDS};
use crate::wire::config_server::{
    self, ACCEPTS_PIPELINES, CommonResponse, ConfigDetail, ConfigInfo, FetchRequest, FetchResponse,
    HeartbeatRequest, HeartbeatResponse, REMOVED, REPORT_FULL_STATE, Tag,
};

const MESSAGE_BYTES: usize = 256 * KIB;
/// Configs of one answer.
const UPDATE_BYTES: usize = MIB;
/// The tag, or extra, in which agents may list their user-defined ids, by comma.
const IDS: &str = "user_defined_id";

static LEFT_OUT: LogLimit = LogLimit::new(Duration::from_secs(60));
static CROWD: LogLimit = LogLimit::new(Duration::from_secs(60));

pub(super) async fn heartbeat(
    service: &Service,
    head: &Parts,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let request = HeartbeatRequest::decode(&body(service, head, incoming).await?).map_err(invalid)?;
    let mut response =
        HeartbeatResponse { request_id: request.request_id.clone(), ..HeartbeatResponse::default() };
    let known = service.store.machine(&request.instance_id);
    let identity = match (&request.attributes, known) {
        (Some(_), _) => identity_of(&request),
        // It left out what has not changed.
        (None, Some(known)) => Identity::clone(&known),
        (None, None) => {
            response.flags = REPORT_FULL_STATE;
            return Ok(Answer::message(response.encode()));
        }
    };
    if let Err(reason) = identity.check() {
        response.common = refused(reason);
        return Ok(Answer::message(response.encode()));
    }
    if request.capabilities & ACCEPTS_PIPELINES != 0 {
        response.pipeline_updates = updates(service.store.configs_for(&identity), &request.pipeline_configs);
    }
    if !service.store.note_machine(identity, (service.clock)())
        && let Some(suppressed) = CROWD.allow()
    {
        tracing::warn!(suppressed, "too many machines send heartbeats; machine lists lack some");
    }
    Ok(Answer::message(response.encode()))
}

/// Details of configs that the agent names. Of instance configs there are none.
pub(super) async fn fetch(
    service: &Service,
    head: &Parts,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let request = FetchRequest::decode(&body(service, head, incoming).await?).map_err(invalid)?;
    let mut response = FetchResponse { request_id: request.request_id, ..FetchResponse::default() };
    match service.store.machine(&request.instance_id) {
        Some(identity) => {
            let asked: HashSet<&str> =
                request.pipeline_configs.iter().map(|info| info.name.as_str()).collect();
            let mut wanted = service.store.configs_for(&identity);
            wanted.retain(|delivery| asked.contains(delivery.agents_name().as_str()));
            response.pipeline_updates = updates(wanted, &[]);
        }
        None => response.common = refused("instance_id is of no agent that sent a heartbeat".to_owned()),
    }
    Ok(Answer::message(response.encode()))
}

async fn body(service: &Service, head: &Parts, incoming: &mut Incoming) -> Result<Bytes, Refusal> {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.split(';').next().is_none_or(|kind| kind.trim() != config_server::CONTENT_TYPE) {
        let message = format!("the content type has to be {}", config_server::CONTENT_TYPE);
        return Err(Refusal::new("InvalidContentType", message));
    }
    incoming.unsigned();
    let _room = service.unsigned.take(incoming.expected(MESSAGE_BYTES)).await;
    incoming.read(MESSAGE_BYTES).await
}

fn identity_of(request: &HeartbeatRequest) -> Identity {
    let attributes = request.attributes.clone().unwrap_or_default();
    let mut ids: Vec<String> = Vec::new();
    let mut add = |id: &str| {
        // One too many is enough to be refused; a list of thousands would take long to compare.
        if !id.is_empty() && ids.len() <= MOST_IDS && !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    };
    let listed = |tag: &&Tag| tag.name == IDS;
    let extras = attributes.extras.iter().filter(listed);
    for tag in request.tags.iter().filter(listed).chain(extras) {
        tag.value.split(',').map(str::trim).for_each(&mut add);
    }
    for tag in request.tags.iter().filter(|tag| !listed(tag)) {
        add(tag.value.trim());
    }
    Identity {
        instance_id: request.instance_id.clone(),
        ip: attributes.ip,
        hostname: attributes.hostname,
        host_id: attributes.host_id,
        ids,
    }
}

/// What makes the configs that an agent has those that it shall have.
fn updates(wanted: Vec<Delivery>, reported: &[ConfigInfo]) -> Vec<ConfigDetail> {
    let had: HashMap<&str, i64> = reported.iter().map(|info| (info.name.as_str(), info.version)).collect();
    let (mut updates, mut kept, mut bytes) = (Vec::new(), HashSet::new(), 0);
    for delivery in wanted {
        let name = delivery.agents_name();
        if had.get(name.as_str()) == Some(&delivery.version) || bytes >= UPDATE_BYTES {
            kept.insert(name);
            continue;
        }
        let destination = Destination { region: REGION, endpoint: ENDPOINT };
        let Some(pipeline) = for_agents::pipeline(&delivery, destination) else {
            if let Some(suppressed) = LEFT_OUT.allow() {
                tracing::warn!(
                    config = name,
                    suppressed,
                    "a config cannot be a pipeline, and goes to no agent that asks by heartbeat"
                );
            }
            continue;
        };
        let detail = Value::Object(pipeline).to_string().into_bytes();
        bytes += detail.len();
        kept.insert(name.clone());
        updates.push(ConfigDetail { name, version: delivery.version, detail });
    }
    // A name without $ is none of ours.
    let gone = had.keys().filter(|name| name.contains('$') && !kept.contains(**name));
    updates.extend(gone.map(|name| ConfigDetail {
        name: (*name).to_owned(),
        version: REMOVED,
        detail: Vec::new(),
    }));
    updates
}

fn invalid(error: config_server::MessageError) -> Refusal {
    Refusal::new("PostBodyInvalid", error.to_string())
}

fn refused(error_message: String) -> CommonResponse {
    CommonResponse { status: 400, error_message }
}
