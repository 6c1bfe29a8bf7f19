//! PutLogs: one LogGroup, compressed or not, or a package list of several (`x-log-mode: batch_group`), all or nothing. 200
//! is sent after the commit that holds it.
//!
//! The LogGroups of a list are as many as fit, together, into what one may be; each is kept as a pack of its own.

use axum::http::request::Parts;
use bytes::Bytes;

use super::Service;
use super::answer::{Answer, Refusal};
use super::body::{Incoming, POST_BYTES, too_large};
use super::request::{Target, short};
use crate::base::limits::{KIB, LOG_GROUP_BYTES};
use crate::store::{Pack, Refused, StoreError};
use crate::wire::compress::{BodyError, Kind, decompress};
use crate::wire::loggroup::list;

/// Bodies that inflate to less are checked on the spot; larger ones would hold up the other connections of a worker.
const ON_THE_SPOT: usize = 256 * KIB;

/// LogGroups of one list: each becomes a row.
const PACKAGES: usize = 4_096;

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
    let id = service.store.catalog().logstore(target.project()?, logstore)?.id;
    if routed {
        check_hash_key(target)?;
    }
    let is_list = match header("x-log-mode") {
        "" => false,
        "batch_group" => true,
        mode => {
            let message = format!("x-log-mode {} is not known to this Log Service", short(mode));
            return Err(Refusal::new("NotImplemented", message));
        }
    };
    let content_type = header("content-type");
    if !content_type.starts_with("application/x-protobuf") {
        let message = format!("Content-Type {} is not application/x-protobuf", short(content_type));
        return Err(Refusal::new("InvalidContentType", message));
    }
    let kind = Kind::from_header(header("x-log-compresstype")).ok_or_else(|| {
        let message = format!("x-log-compresstype {} is unknown", short(header("x-log-compresstype")));
        Refusal::new("InvalidCompressType", message)
    })?;
    if is_list {
        // What its packages inflate to is known when it is read.
        let _room = service.budget.take(incoming.expected(POST_BYTES) + LOG_GROUP_BYTES).await;
        let body = incoming.read(POST_BYTES).await?;
        let packs = tokio::task::spawn_blocking(move || packs_of(&body))
            .await
            .map_err(|error| Refusal::new("InternalServerError", error.to_string()))??;
        return store(service, id, logstore, packs).await;
    }
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
    store(service, id, logstore, vec![pack]).await
}

/// Stores what is not empty.
async fn store(service: &Service, id: i64, logstore: &str, mut packs: Vec<Pack>) -> Result<Answer, Refusal> {
    packs.retain(|pack| !pack.is_empty());
    if !packs.is_empty() {
        service.store.put_all(id, packs).await.map_err(|error| match error {
            // Deleted while the request was on its way; the store knows it by number only.
            StoreError::Refused(Refused::NoLogstore(_)) => Refused::NoLogstore(logstore.to_owned()).into(),
            other => Refusal::from(other),
        })?;
    }
    Ok(Answer::empty())
}

/// The packs of a package list.
fn packs_of(body: &Bytes) -> Result<Vec<Pack>, Refusal> {
    let (mut packs, mut raw_size) = (Vec::new(), 0usize);
    for package in list::packages(body) {
        let package = package.map_err(|error| {
            Refusal::new("PostBodyInvalid", format!("Protobuffer content cannot be parsed. ({error})"))
        })?;
        // Some write no size where nothing is compressed.
        let size = if package.kind == Kind::None { package.data.len() } else { package.raw_size };
        raw_size = raw_size.saturating_add(size);
        if raw_size > LOG_GROUP_BYTES {
            return Err(too_large(raw_size));
        }
        if packs.len() == PACKAGES {
            let message = format!("a package list holds at most {PACKAGES} packages");
            return Err(Refusal::new("ParameterInvalid", message));
        }
        packs.push(pack_of(body.slice_ref(package.data), package.kind, size)?);
    }
    Ok(packs)
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

/// `key` is 32 hex digits. There is one range of keys here, so it chooses nothing.
fn check_hash_key(target: &Target) -> Result<(), Refusal> {
    let key = target.parameter("key").ok_or_else(|| Refusal::missing_parameter("key"))?;
    if key.len() != 32 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::new("ParameterInvalid", format!("key {} is not 32 hex digits", short(key))));
    }
    Ok(())
}
