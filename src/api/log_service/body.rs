//! Request bodies: capped before they are read, under one byte budget for all requests, with a time-out for silence.
//!
//! A body is read only after the signature was checked. What the signature covers is its MD5 or, in version 4, its SHA-256. Its size is taken from the budget first, in full, so that any
//! number of clients holds no more than the budget; who finds it spent waits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use crate::base::limits::{KIB, LOG_GROUP_BYTES, MIB};
use crate::wire::sign::{V4_SCHEME, content_md5, content_sha256};

/// A compressed body may be a little larger than what it holds.
pub(super) const POST_BYTES: usize = LOG_GROUP_BYTES + 128 * KIB;
/// JSON of the other calls.
pub(super) const JSON_BYTES: usize = MIB;
/// What is read of a body that was refused, so that its sender hears why.
const DRAIN_BYTES: usize = 32 * MIB;
const SILENCE: Duration = Duration::from_secs(60);
const DRAIN_TIME: Duration = Duration::from_secs(10);
const BUDGET_BYTES: usize = 48 * MIB;
/// What anybody may send, unsigned: one body, all of them at a time, and how long one may take to come. Theirs is a
/// budget of its own, so that they never hold up who has the key.
pub(super) const UNSIGNED_BYTES: usize = 3 * MIB;
const UNSIGNED_BUDGET_BYTES: usize = 16 * MIB;
const UNSIGNED_TIME: Duration = Duration::from_secs(60);

/// All bodies that are read and not yet stored, in KiB.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>, usize);

/// A part of the budget.
pub(super) type Room = Option<OwnedSemaphorePermit>;

impl Budget {
    pub(super) fn new() -> Budget {
        Budget::of(BUDGET_BYTES)
    }

    pub(super) fn unsigned() -> Budget {
        Budget::of(UNSIGNED_BUDGET_BYTES)
    }

    fn of(bytes: usize) -> Budget {
        Budget(Arc::new(Semaphore::new(bytes / KIB)), bytes)
    }

    /// Waits for room for so many bytes; it is given back when the permit is dropped.
    pub(super) async fn take(&self, bytes: usize) -> Room {
        let kib = bytes.div_ceil(KIB).min(self.1 / KIB) as u32;
        self.0.clone().acquire_many_owned(kib).await.ok()
    }
}

/// The body of a request that may not have been read yet.
pub(super) struct Incoming {
    body: Body,
    declared: Option<usize>,
    /// What was signed of it.
    signed: Digest,
    is_unsigned: bool,
}

/// A digest of the body as the head of the request gives it; empty where it gives none.
enum Digest {
    /// Nothing was signed.
    None,
    Md5(String),
    Sha256(String),
}

impl Incoming {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Incoming {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let declared = text("content-length").and_then(|length| length.parse().ok());
        let digest = |name| text(name).unwrap_or("").to_owned();
        let signed = match text("authorization").is_some_and(|text| text.starts_with(V4_SCHEME)) {
            true => Digest::Sha256(digest("x-log-content-sha256")),
            false => Digest::Md5(digest("content-md5")),
        };
        Incoming { body, declared, signed, is_unsigned: false }
    }

    /// Takes the body as it comes, of a call that need not be signed.
    pub(super) fn unsigned(&mut self) {
        self.signed = Digest::None;
        self.is_unsigned = true;
    }

    pub(super) fn is_unsigned(&self) -> bool {
        self.is_unsigned
    }

    /// What it may take to hold this body: its length, or the cap where none is declared.
    pub(super) fn expected(&self, cap: usize) -> usize {
        self.declared.unwrap_or(cap).min(cap)
    }

    /// The whole body, when it is at most `cap` long and the one that was signed.
    pub(super) async fn read(&mut self, cap: usize) -> Result<Bytes, Refusal> {
        if !self.is_unsigned {
            return self.read_all(cap).await;
        }
        let late = |_| Refusal::new("RequestTimeout", "the body took longer than a minute");
        tokio::time::timeout(UNSIGNED_TIME, self.read_all(cap)).await.map_err(late)?
    }

    async fn read_all(&mut self, cap: usize) -> Result<Bytes, Refusal> {
        if let Some(declared) = self.declared.filter(|declared| *declared > cap) {
            return Err(too_large(declared, cap));
        }
        let mut whole = BytesMut::new();
        let mut only: Option<Bytes> = None;
        while let Some(part) = self.part(SILENCE).await? {
            if whole.len() + only.as_ref().map_or(0, Bytes::len) + part.len() > cap {
                return Err(too_large(cap + 1, cap));
            }
            // A body that came in one piece is kept as it is.
            match (only.take(), whole.is_empty()) {
                (None, true) => only = Some(part),
                (first, _) => {
                    if let Some(first) = first {
                        whole.reserve(self.expected(cap).max(first.len() + part.len()));
                        whole.extend_from_slice(&first);
                    }
                    whole.extend_from_slice(&part);
                }
            }
        }
        let body = only.unwrap_or_else(|| whole.freeze());
        self.signed.check(&body)?;
        Ok(body)
    }

    /// Reads and forgets what is left, within bounds.
    pub(super) async fn drain(&mut self) {
        let drain = async {
            let mut seen = 0;
            while seen < DRAIN_BYTES {
                match self.part(DRAIN_TIME).await {
                    Ok(Some(part)) => seen += part.len(),
                    _ => return,
                }
            }
        };
        // Whoever is slower hears nothing but the end of the connection.
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }

    async fn part(&mut self, silence: Duration) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = tokio::time::timeout(silence, self.body.frame())
                .await
                .map_err(|_| Refusal::new("RequestTimeout", "no byte of the body came for a minute"))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(Refusal::new("PostBodyInvalid", format!("the body ended early: {error}")));
                }
                // Trailers are of no use here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl Digest {
    fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        let (name, claimed, found) = match self {
            Digest::None => return Ok(()),
            // Who sends nothing need not say so.
            Digest::Md5(claimed) if claimed.is_empty() && body.is_empty() => return Ok(()),
            Digest::Md5(claimed) if claimed.is_empty() => return Err(Refusal::missing_header("content-md5")),
            Digest::Md5(claimed) => ("Content-MD5", claimed, content_md5(body)),
            Digest::Sha256(claimed) => ("x-log-content-sha256", claimed, content_sha256(body)),
        };
        if found.eq_ignore_ascii_case(claimed) {
            return Ok(());
        }
        let claimed = super::request::short(claimed);
        Err(Refusal::new("PostBodyInvalid", format!("The {name} is {claimed} but the body has {found}.")))
    }
}

/// The cap of a compressed body is a little above what it may hold, which is what is told.
pub(super) fn too_large(size: usize, cap: usize) -> Refusal {
    let most = cap.min(LOG_GROUP_BYTES);
    Refusal::new("PostBodyTooLarge", format!("Body size {size} must little than {most}."))
}
