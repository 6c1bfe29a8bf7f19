//! PutLogs: one LogGroup, compressed or not, or a package list of several (`x-log-mode: batch_group`), all or nothing. 200
//! is sent after the commit that holds it. Logs in JSON are made into a LogGroup first.
//!
//! The LogGroups of a list are as many as fit, together, into what one may be; each is kept as a pack of its own.

use axum::http::request::Parts;
use bytes::Bytes;

use super::Service;
use super::answer::{Answer, Refusal};
use super::body::{Incoming, POST_BYTES, Room, UNSIGNED_BYTES, too_large};
use super::request::{Target, short};
use crate::api::server::Peer;
use crate::base::limits::{KIB, LOG_GROUP_BYTES};
use crate::store::shards::Route;
use crate::store::{self, Pack, Refused, StoreError};
use crate::wire::compress::{BodyError, Kind, compress, decompress};
use crate::wire::json_logs;
use crate::wire::loggroup::list;

/// Bodies that inflate to less are checked on the spot; larger ones would hold up the other connections of a worker.
const ON_THE_SPOT: usize = 256 * KIB;

/// LogGroups of one list: each becomes a row.
const PACKAGES: usize = 4_096;

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    /// A package list of LogGroups.
    List,
    /// The document of [`json_logs`].
    Json,
}

/// Where logs go.
pub(super) struct Place {
    id: i64,
    logstore: String,
    /// Addresses of senders are kept.
    keeps_client: bool,
    pub(super) is_tracked: bool,
    pub(super) route: Route,
}

impl Place {
    pub(super) fn of(service: &Service, target: &Target, logstore: &str) -> Result<Place, Refusal> {
        let catalog = service.store.catalog();
        let logstore = catalog.logstore(target.project()?, logstore)?;
        Ok(Place {
            id: logstore.id,
            logstore: logstore.name.clone(),
            keeps_client: logstore.settings.append_meta,
            is_tracked: logstore.settings.enable_tracking,
            route: Route::Balanced,
        })
    }
}

pub(super) async fn put(
    service: &Service,
    head: &Parts,
    target: &Target,
    logstore: &str,
    routed: bool,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let mut place = Place::of(service, target, logstore)?;
    if routed {
        place.route = hash_key_of(target)?;
    }
    let protobuf = match text_of(head, "x-log-mode") {
        "" => Form::Protobuf,
        "batch_group" => Form::List,
        mode => {
            let message = format!("x-log-mode {} is not known to this Log Service", short(mode));
            return Err(Refusal::new("NotImplemented", message));
        }
    };
    let content_type = text_of(head, "content-type");
    let form = match content_type {
        _ if content_type.starts_with("application/x-protobuf") => protobuf,
        _ if content_type.starts_with("application/json") && !routed => Form::Json,
        _ => {
            let message = format!("Content-Type {} is not application/x-protobuf", short(content_type));
            return Err(Refusal::new("InvalidContentType", message));
        }
    };
    take_in(service, head, place, form, incoming).await
}

/// Reads a body, inflates it, and stores the logs in it.
pub(super) async fn take_in(
    service: &Service,
    head: &Parts,
    place: Place,
    form: Form,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let header = |name| text_of(head, name);
    let kind = Kind::from_header(header("x-log-compresstype")).ok_or_else(|| {
        let message = format!("x-log-compresstype {} is unknown", short(header("x-log-compresstype")));
        Refusal::new("InvalidCompressType", message)
    })?;
    if form == Form::List {
        // What its packages inflate to is known when it is read.
        let room = service.budget.take(incoming.expected(POST_BYTES) + LOG_GROUP_BYTES).await;
        let body = incoming.read(POST_BYTES).await?;
        let (packs, room) = tokio::task::spawn_blocking(move || (packs_of(&body), room))
            .await
            .map_err(|error| Refusal::new("InternalServerError", error.to_string()))?;
        return store(service, head, place, packs?, room).await;
    }
    let (budget, cap) = match incoming.is_unsigned() {
        true => (&service.unsigned, UNSIGNED_BYTES),
        false => (&service.budget, POST_BYTES),
    };
    let most = cap.min(LOG_GROUP_BYTES);
    // Without compression the header is not binding: some clients send 0 with a body.
    let declared = match (kind, header("x-log-bodyrawsize")) {
        (Kind::None, _) => None,
        (_, "") => return Err(Refusal::new("MissingBodyRawSize", "x-log-bodyrawsize is missing")),
        (_, size) => Some(size.parse::<usize>().map_err(|_| {
            Refusal::new("InvalidBodyRawSize", format!("x-log-bodyrawsize {} is no number", short(size)))
        })?),
    };
    if let Some(size) = declared.filter(|size| *size > most) {
        return Err(too_large(size, cap));
    }
    let read = incoming.expected(cap) + declared.unwrap_or(0);
    // What is made of JSON is another LogGroup beside it.
    let held = if form == Form::Json { 2 * read } else { read };
    let room = budget.take(held).await;
    let body = incoming.read(cap).await?;
    let raw_size = declared.unwrap_or(body.len());
    if raw_size > most {
        return Err(too_large(raw_size, cap));
    }
    let (now, source) = (service.now(), peer(head));
    let make = move || match form {
        Form::Protobuf | Form::List => pack_of(body, kind, raw_size),
        Form::Json => pack_of_json(&body, kind, raw_size, now, &source),
    };
    let (pack, room) = if raw_size <= ON_THE_SPOT {
        (make(), room)
    } else {
        tokio::task::spawn_blocking(move || (make(), room))
            .await
            .map_err(|error| Refusal::new("InternalServerError", error.to_string()))?
    };
    store(service, head, place, vec![pack?], room).await
}

/// Stores what is not empty; answered when it is on the disk. The room of the body is held until then, also when its
/// sender has gone: packs that wait for the writer hold memory whoever waits for them.
pub(super) async fn store(
    service: &Service,
    head: &Parts,
    place: Place,
    packs: Vec<Pack>,
    room: Room,
) -> Result<Answer, Refusal> {
    let client = place.keeps_client.then(|| peer(head));
    let ready = |pack: Pack| {
        let pack = pack.routed(place.route);
        match &client {
            Some(client) => pack.from_client(client.clone()),
            None => pack,
        }
    };
    let packs: Vec<Pack> = packs.into_iter().filter(|pack| !pack.is_empty()).map(ready).collect();
    if !packs.is_empty() {
        let store = service.store.clone();
        let storing = tokio::spawn(async move {
            let _room = room;
            store.put_all(place.id, packs).await
        });
        let stored = storing.await.unwrap_or(Err(StoreError::Stopped));
        stored.map_err(|error| match error {
            // Deleted while the request was on its way; the store knows it by number only.
            StoreError::Refused(Refused::NoLogstore(_)) => Refused::NoLogstore(place.logstore).into(),
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
            return Err(too_large(raw_size, LOG_GROUP_BYTES));
        }
        if packs.len() == PACKAGES {
            let message = format!("a package list holds at most {PACKAGES} packages");
            return Err(Refusal::new("ParameterInvalid", message));
        }
        packs.push(pack_of(body.slice_ref(package.data), package.kind, size)?);
    }
    Ok(packs)
}

/// The address a request came from; empty when that is not known.
pub(super) fn peer(head: &Parts) -> String {
    head.extensions.get().map_or_else(String::new, |Peer(peer)| peer.ip().to_canonical().to_string())
}

fn text_of<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or("")
}

fn pack_of_json(body: &[u8], kind: Kind, raw_size: usize, now: u32, source: &str) -> Result<Pack, Refusal> {
    let mut raw = Vec::new();
    let json = match kind {
        Kind::None => body,
        _ => {
            decompress(kind, body, raw_size, LOG_GROUP_BYTES, &mut raw).map_err(|error| match error {
                BodyError::TooLarge { declared, .. } => too_large(declared, LOG_GROUP_BYTES),
                error => Refusal::new("PostBodyUncompressError", error.to_string()),
            })?;
            raw.as_slice()
        }
    };
    let group = json_logs::group_of(json, now, source)
        .map_err(|error| Refusal::new("PostBodyInvalid", format!("the body is no JSON of logs: {error}")))?;
    pack_of_group(group.into())
}

/// A pack of a LogGroup that was made here, compressed as clients do.
pub(super) fn pack_of_group(group: Bytes) -> Result<Pack, Refusal> {
    let failed = |error: String| Refusal::new("InternalServerError", error);
    let mut body = Vec::new();
    compress(Kind::Lz4, &group, &mut body).map_err(|error| failed(error.to_string()))?;
    Pack::new(body.into(), Kind::Lz4, &group).map_err(|error| failed(error.to_string()))
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
            Err(BodyError::TooLarge { declared, .. }) => Err(too_large(declared, LOG_GROUP_BYTES)),
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
