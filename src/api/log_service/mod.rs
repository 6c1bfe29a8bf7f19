//! The HTTP API of the embedded Log Service: what the vendor's clients send to the cloud, answered from the store.
//!
//! ```text
//! target + host -> Call (501, 405) -> project (404) -> key (401) -> date (400) -> signature (401)
//!   -> logstore (404) -> size (413) -> Content-MD5 -> inflate (400) -> parse (400) -> store -> 200
//! ```
//!
//! One fallback handler instead of routes: the project is in the host name, a call is told by path, method and `type`
//! together, and every answer, refusals too, carries `x-log-requestid`. Success is always 200, as the clients want it.
//! Everything up to the signature is decided before a byte of the body is read.

mod admin;
mod agents;
mod analysis;
mod answer;
mod auth;
mod body;
mod configs;
mod consumer_groups;
mod context;
mod get_logs;
mod histograms;
mod index;
mod machine_groups;
mod metric_stores;
mod nothing;
mod project_logs;
mod pull;
mod put_logs;
mod request;
mod rows;
mod shards;
mod topics;
mod track;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;

use crate::base::metrics::{Counter, counter};
use crate::store::Store;
use answer::{Answer, Refusal};
use body::Incoming;
use request::{Call, Target};

/// The region, and the host name without a project, that clients are told to use (`sluicegate env`). Nothing resolves them.
pub const REGION: &str = "cn-local";
pub const ENDPOINT: &str = "cn-local.log.local";

/// What every request needs.
struct Service {
    store: Arc<Store>,
    budget: body::Budget,
    /// Of bodies that need no signature.
    unsigned: body::Budget,
    answered: Answered,
    clock: fn() -> i64,
}

/// Requests by what was answered.
struct Answered {
    ok: Counter,
    refused: Counter,
    failed: Counter,
}

impl Answered {
    fn new() -> Answered {
        let help = "Requests that the embedded Log Service answered";
        let count = |outcome| counter("sluicegate_store_requests_total", help, &[("outcome", outcome)]);
        Answered { ok: count("ok"), refused: count("refused"), failed: count("failed") }
    }

    fn note(&self, response: &Response) {
        let status = response.status();
        let counted = match (status.is_server_error(), status.is_client_error()) {
            (true, _) => &self.failed,
            (_, true) => &self.refused,
            _ => &self.ok,
        };
        counted.increment(1);
    }
}

impl Service {
    /// Seconds since 1970, as logs count them.
    fn now(&self) -> u32 {
        u32::try_from((self.clock)()).unwrap_or(0)
    }
}

/// The API over a store.
pub fn router(store: Arc<Store>) -> Router {
    router_at(store, || crate::record::Timestamp::now().seconds)
}

/// With a clock (seconds since 1970) of the caller's.
fn router_at(store: Arc<Store>, clock: fn() -> i64) -> Router {
    let budget = body::Budget::new();
    let service =
        Service { store, budget, unsigned: body::Budget::unsigned(), answered: Answered::new(), clock };
    Router::new().fallback(handle).with_state(Arc::new(service))
}

async fn handle(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let mut incoming = Incoming::new(&head.headers, body);
    let outcome = match Target::of(&head) {
        Ok(target) => dispatch(&service, &head, &target, &mut incoming).await,
        Err(refusal) => Err(refusal),
    };
    let answer = match outcome {
        Ok(answer) => answer,
        Err(refusal) => {
            // A client that is cut off while it sends sees a broken connection and no reason.
            incoming.drain().await;
            refusal.into_answer()
        }
    };
    let response = answer.into_response((service.clock)());
    service.answered.note(&response);
    response
}

async fn dispatch(
    service: &Service,
    head: &axum::http::request::Parts,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let call = target.call()?;
    let store = &service.store;
    if !call.is_of_no_project() {
        store.catalog().project(target.project()?)?;
    }
    if let Call::Track(name) = &call {
        // What browsers send is not signed.
        return track::track(service, head, target, name, incoming).await;
    }
    match call {
        // The protocol of agents knows no signature.
        Call::AgentHeartbeat => return agents::heartbeat(service, head, incoming).await,
        Call::AgentFetch => return agents::fetch(service, head, incoming).await,
        _ => {}
    }
    auth::check(head, target, store.access_key(), (service.clock)())?;
    match call {
        Call::CreateProject => admin::create_project(store, incoming).await,
        Call::GetProject => admin::get_project(store, target),
        Call::UpdateProject => admin::update_project(store, target, incoming).await,
        Call::DeleteProject => admin::delete_project(store, target).await,
        Call::ListProjects => admin::list_projects(store, target),
        Call::CreateLogstore => admin::create_logstore(store, target, incoming).await,
        Call::ListLogstores => admin::list_logstores(store, target),
        Call::GetLogstore(name) => admin::get_logstore(store, target, &name),
        Call::UpdateLogstore(name) => admin::update_logstore(store, target, &name, incoming).await,
        Call::DeleteLogstore(name) => admin::delete_logstore(store, target, &name).await,
        Call::CreateIndex(name) => index::put(store, target, &name, incoming, false).await,
        Call::UpdateIndex(name) => index::put(store, target, &name, incoming, true).await,
        Call::GetIndex(name) => index::get(store, target, &name),
        Call::DeleteIndex(name) => index::delete(store, target, &name).await,
        Call::PutLogs { logstore, routed } => {
            put_logs::put(service, head, target, &logstore, routed, incoming).await
        }
        Call::GetLogs(name) => get_logs::post(store, head, target, &name, incoming).await,
        Call::GetLogsOld(name) => get_logs::get(store, target, &name).await,
        Call::GetProjectLogs => project_logs::get(store, target).await,
        Call::GetHistograms(name) => histograms::get(store, target, &name).await,
        Call::GetContextLogs(name) => context::get(store, target, &name).await,
        Call::ListTopics(name) => topics::list(store, target, &name).await,
        Call::Track(name) => track::track(service, head, target, &name, incoming).await,
        Call::CreateMetricStore => metric_stores::create(store, target, incoming).await,
        Call::ListMetricStores => metric_stores::list(store, target),
        Call::GetMetricStore(name) => metric_stores::get(store, target, &name),
        Call::UpdateMetricStore(name) => metric_stores::update(store, target, &name, incoming).await,
        Call::DeleteMetricStore(name) => metric_stores::delete(store, target, &name).await,
        Call::CreateSubstore(name) => metric_stores::create_substore(store, target, &name, incoming).await,
        Call::ListSubstores(name) => metric_stores::list_substores(store, target, &name),
        Call::GetSubstore(name, substore) => metric_stores::get_substore(store, target, &name, &substore),
        Call::KeepSubstore(name, substore) => metric_stores::keep_substore(store, target, &name, &substore),
        Call::GetSubstoreTtl(name) => metric_stores::substore_ttl(store, target, &name),
        Call::SetSubstoreTtl(name) => metric_stores::set_substore_ttl(store, target, &name).await,
        Call::GetMetering(name) => nothing::metering(store, target, &name),
        Call::SetMetering(name) => nothing::set_metering(store, target, &name, incoming).await,
        Call::ListNothing(items) => nothing::list(items),
        Call::ListTags => nothing::tags(),
        Call::ChangeTags => Ok(Answer::empty()),
        Call::ListShards(name) => shards::list(store, target, &name),
        Call::ChangeShard(name, shard) => shards::change(store, target, &name, shard).await,
        Call::DeleteShard(name, shard) => shards::delete(store, target, &name, shard).await,
        Call::GetCursor(name, shard) => pull::cursor(store, target, &name, shard).await,
        Call::GetCursorTime(name, shard) => pull::cursor_time(store, target, &name, shard),
        Call::PullLogs(name, shard) => pull::pull(store, head, target, &name, shard).await,
        Call::CreateConsumerGroup(name) => consumer_groups::create(store, target, &name, incoming).await,
        Call::ListConsumerGroups(name) => consumer_groups::list(store, target, &name),
        Call::UpdateConsumerGroup(name, group) => {
            consumer_groups::update(store, target, (&name, &group), incoming).await
        }
        Call::DeleteConsumerGroup(name, group) => {
            consumer_groups::delete(store, target, (&name, &group)).await
        }
        Call::Heartbeat(name, group) => {
            consumer_groups::heartbeat(store, target, (&name, &group), incoming).await
        }
        Call::UpdateCheckpoint(name, group) => {
            consumer_groups::update_checkpoint(store, target, (&name, &group), incoming).await
        }
        Call::GetCheckpoints(name, group) => consumer_groups::checkpoints(store, target, (&name, &group)),
        Call::CreateMachineGroup => machine_groups::create(store, target, incoming).await,
        Call::ListMachineGroups => machine_groups::list(store, target),
        Call::GetMachineGroup(name) => machine_groups::get(store, target, &name),
        Call::UpdateMachineGroup(name) => machine_groups::update(store, target, &name, incoming).await,
        Call::DeleteMachineGroup(name) => machine_groups::delete(store, target, &name).await,
        Call::ListMachines(name) => machine_groups::machines(store, target, &name, (service.clock)()),
        Call::ChangeMachines(name) => machine_groups::change_machines(store, target, &name, incoming).await,
        Call::ListAppliedConfigs(name) => machine_groups::configs(store, target, &name),
        Call::ApplyConfig(group, config) => {
            machine_groups::apply(store, target, (&group, &config), false).await
        }
        Call::RemoveConfig(group, config) => {
            machine_groups::apply(store, target, (&group, &config), true).await
        }
        Call::CreateConfig(form) => configs::create(store, target, form, incoming).await,
        Call::ListConfigs(form) => configs::list(store, target, form),
        Call::GetConfig(form, name) => configs::get(store, target, (form, &name)),
        Call::UpdateConfig(form, name) => configs::update(store, target, (form, &name), incoming).await,
        Call::DeleteConfig(form, name) => configs::delete(store, target, (form, &name)).await,
        Call::ListGroupsOfConfig(name) => configs::groups(store, target, &name),
        Call::AgentHeartbeat => agents::heartbeat(service, head, incoming).await,
        Call::AgentFetch => agents::fetch(service, head, incoming).await,
    }
}

#[cfg(test)]
mod tests;
