//! PutLogs: one LogGroup, compressed or not, all or nothing. 200 is sent after the commit that holds it.

use axum::http::request::Parts;
use bytes::Bytes;

use super::Service;
use super::answer::{Answer, Refusal};
use super::body::{Incoming, POST_BYTES, too_large};
use super::request::{Target, short};
use crate::api::server::Peer;
use crate::base::limits::{KIB, LOG_GROUP_BYTES};
use crate::store::shards::Route;
use crate::store::{self, Pack, Refused, StoreError};
use crate::wire::compress::{BodyError, Kind, decompress};

/// Bodies that inflate to less are checked on the spot; larger ones would hold up the other connections of a worker.
const ON_THE_SPOT: usize = 256 * KIB;

pub(super) async fn put(
    service: &Service,
    head: &Parts,
    target: &Target,
    logstore: &str,
    routed: bool,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let header =
        |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or("");
    let (id, keeps_client) = {
        let catalog = service.store.catalog();
        let logstore = catalog.logstore(target.project()?, logstore)?;
        (logstore.id, logstore.settings.append_meta)
    };
    let route = if routed { hash_key_of(target)? } else { Route::Balanced };
    if !header("x-log-mode").is_empty() {
        let message = format!("x-log-mode {} is not known to this Log Service", short(header("x-log-mode")));
        return Err(Refusal::new("NotImplemented", message));
    }
    let content_type = header("content-type");
    if !content_type.starts_with("application/x-protobuf") {
        let message = format!("Content-Type {} is not application/x-protobuf", short(content_type));
        return Err(Refusal::new("InvalidContentType", message));
    }
    let kind = Kind::from_header(header("x-log-compresstype")).ok_or_else(|| {
        let message = format!("x-log-compresstype {} is unknown", short(header("x-log-compresstype")));
        Refusal::new("InvalidCompressType", message)
    })?;
    // Without compression the header is not binding: some clients send 0 with a body.
    let declared = match (kind, header("x-log-bodyrawsize")) {
        (Kind::None, _) => None,
        (_, "") => return Err(Refusal::new("MissingBodyRawSize", "x-log-bodyrawsize is missing")),
        (_, size) => Some(size.parse::<usize>().map_err(|_| {
            Refusal::new("InvalidBodyRawSize", format!("x-log-bodyrawsize {} is no number", short(size)))
        })?),
    };
    if let Some(size) = declared.filter(|size| *size > LOG_GROUP_BYTES) {
        return Err(too_large(size));
    }
    let held = incoming.expected(POST_BYTES) + declared.unwrap_or(0);
    let _room = service.budget.take(held).await;
    let body = incoming.read(POST_BYTES).await?;
    let raw_size = declared.unwrap_or(body.len());
    if raw_size > LOG_GROUP_BYTES {
        return Err(too_large(raw_size));
    }
    let pack = if raw_size <= ON_THE_SPOT {
        pack_of(body, kind, raw_size)?
    } else {
        tokio::task::spawn_blocking(move || pack_of(body, kind, raw_size))
            .await
            .map_err(|error| Refusal::new("InternalServerError", error.to_string()))??
    };
    let mut pack = pack.routed(route);
    if keeps_client && let Some(Peer(peer)) = head.extensions.get() {
        pack = pack.from_client(peer.ip().to_canonical().to_string());
    }
    if !pack.is_empty() {
        service.store.put(id, pack).await.map_err(|error| match error {
            // Deleted while the request was on its way; the store knows it by number only.
            StoreError::Refused(Refused::NoLogstore(_)) => Refused::NoLogstore(logstore.to_owned()).into(),
            other => Refusal::from(other),
        })?;
    }
    Ok(Answer::empty())
}

fn pack_of(body: Bytes, kind: Kind, raw_size: usize) -> Result<Pack, Refusal> {
    thread_local! {
        static RAW: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let checked = |raw: &[u8], body: Bytes| {
        Pack::new(body, kind, raw).map_err(|error| {
            Refusal::new("PostBodyInvalid", format!("Protobuffer content cannot be parsed. ({error})"))
        })
    };
    if kind == Kind::None {
        return checked(&body.clone(), body);
    }
    RAW.with_borrow_mut(|raw| {
        let inflated = decompress(kind, &body, raw_size, LOG_GROUP_BYTES, raw);
        let pack = match inflated {
            Ok(()) => checked(raw, body),
            Err(BodyError::TooLarge { declared, .. }) => Err(too_large(declared)),
            Err(error) => Err(Refusal::new("PostBodyUncompressError", error.to_string())),
        };
        // One large body shall not keep its memory on every thread.
        raw.shrink_to(1024 * KIB);
        pack
    })
}

/// `key` is 32 hex digits.
fn hash_key_of(target: &Target) -> Result<Route, Refusal> {
    let key = target.parameter("key").ok_or_else(|| Refusal::missing_parameter("key"))?;
    store::hash_key(key)
        .ok_or_else(|| Refusal::new("ParameterInvalid", format!("key {} is not 32 hex digits", short(key))))
}
