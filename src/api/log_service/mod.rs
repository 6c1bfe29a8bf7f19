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
mod answer;
mod auth;
mod body;
mod consumer_groups;
mod get_logs;
mod index;
mod pull;
mod put_logs;
mod request;
mod shards;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;

use crate::store::Store;
use answer::{Answer, Refusal};
use body::Incoming;
use request::{Call, Target};

/// What every request needs.
struct Service {
    store: Arc<Store>,
    budget: body::Budget,
    clock: fn() -> i64,
}

/// The API over a store.
pub fn router(store: Arc<Store>) -> Router {
    router_at(store, || crate::record::Timestamp::now().seconds)
}

/// With a clock (seconds since 1970) of the caller's.
fn router_at(store: Arc<Store>, clock: fn() -> i64) -> Router {
    let service = Service { store, budget: body::Budget::new(), clock };
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
    answer.into_response((service.clock)())
}

async fn dispatch(
    service: &Service,
    head: &axum::http::request::Parts,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let call = target.call()?;
    let store = &service.store;
    if !matches!(call, Call::CreateProject | Call::ListProjects) {
        store.catalog().project(target.project()?)?;
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
    }
}

#[cfg(test)]
mod tests;
