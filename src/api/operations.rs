//! The operations port: health, readiness, metrics and status, by GET only. Nothing here changes state.
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200, or 503 when work is possible and nothing moved for a minute |
//! | `/readyz` | 200, or 503 while starting or draining |
//! | `/metrics` | Prometheus text |
//! | `/status` | JSON for `sluicegate status` |
//! | `/files` | JSON for `sluicegate status --files`: at most a thousand files of each input |

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the port shows; the app knows the answers.
pub trait Report: Send + Sync + 'static {
    /// `Err` says what does not move.
    fn health(&self) -> Result<(), String>;
    /// `Err` says whether the gateway is starting or draining.
    fn ready(&self) -> Result<(), String>;
    fn metrics(&self) -> String;
    fn status(&self) -> serde_json::Value;
    fn files(&self) -> serde_json::Value;
}

pub fn router(report: Arc<dyn Report>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/files", get(files))
        .with_state(report)
}

type Shared = State<Arc<dyn Report>>;

async fn health(State(report): Shared) -> Response {
    verdict(report.health())
}

async fn ready(State(report): Shared) -> Response {
    verdict(report.ready())
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(report): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], report.metrics()).into_response()
}

async fn status(State(report): Shared) -> Response {
    axum::Json(report.status()).into_response()
}

async fn files(State(report): Shared) -> Response {
    axum::Json(report.files()).into_response()
}
