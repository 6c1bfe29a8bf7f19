//! Web tracking: logs that a browser sends, unsigned, into a logstore that has `enable_tracking` set.
//!
//! ```text
//! POST /logstores/L/track       the JSON document of crate::wire::json_logs
//! GET  /logstores/L/track?APIVersion=0.6.0&k=v&__topic__=web      one log
//! OPTIONS                       what browsers ask before they send JSON to another origin
//! ```

use axum::http::Method;
use axum::http::request::Parts;
use bytes::Bytes;

use super::Service;
use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::put_logs::{self, Form, Place};
use super::request::Target;
use crate::wire::json_logs::Writer;

pub(super) async fn track(
    service: &Service,
    head: &Parts,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    if target.method == Method::OPTIONS {
        return Ok(Answer::empty()
            .with("access-control-allow-methods", "GET, POST, OPTIONS")
            .with(
                "access-control-allow-headers",
                "content-type, x-log-apiversion, x-log-bodyrawsize, x-log-compresstype",
            )
            .with("access-control-max-age", "86400"));
    }
    let place = Place::of(service, target, logstore)?;
    if !place.is_tracked {
        let message = format!("web tracking is off in logstore {logstore}: enable_tracking is not set");
        return Err(Refusal::new("Unauthorized", message));
    }
    if target.method == Method::POST {
        incoming.unsigned();
        return put_logs::take_in(service, head, place, Form::Json, incoming).await;
    }
    let mut writer = Writer::new(service.now(), &put_logs::peer(head));
    for (name, value) in &target.query {
        let value = value.as_deref().unwrap_or("");
        match name.as_str() {
            "APIVersion" => {}
            "__topic__" => writer.topic(value),
            "__source__" => writer.source(value),
            _ => writer.field(name, value),
        }
    }
    writer.end_log().map_err(|reason| Refusal::new("ParameterInvalid", reason))?;
    let pack = put_logs::pack_of_group(Bytes::from(writer.finish()))?;
    put_logs::store(service, head, place, vec![pack], None).await
}
