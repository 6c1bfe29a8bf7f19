//! A request's body: charged to the byte budget as it comes, bounded as it comes and inflated, and given up when it does
//! not go on.
//!
//! Bytes are charged once they are there, never while the peer is silent. A body that stands still for the stall
//! time-out ends its connection; one that drips may go on while there is budget for everybody, and ends once the budget
//! is spent and its pauses together have taken as long. Of a body that was refused before it was read some is read and
//! forgotten, so that its sender hears why.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::Code;
use crate::base::limits::KIB;
use crate::input::budget::{Budget, Grant};
use crate::wire::compress::chunk::{Inflate, InflateError, Packing, Progress};

/// What is inflated before it is charged and others have their turn.
const INFLATE_STEP: usize = 256 * KIB;
/// What is read of a body that was refused.
const DRAIN_TIME: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// As it comes, and inflated.
    pub(super) max_body: usize,
    pub(super) stall: Duration,
}

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(
        "the body has more than the {0} bytes of max_body; raise it, or let the sender send less at once"
    )]
    TooLarge(usize),
    #[error("no byte of the body came for {0} s")]
    Stalled(u64),
    #[error("the body kept us waiting for {0} s in all while others wait for room")]
    Slow(u64),
    #[error("the body ended early: {0}")]
    Ended(hyper::Error),
    #[error("the body's Content-Encoding is not gzip")]
    Encoding,
    #[error("{0}")]
    Inflate(InflateError),
    #[error("the gateway stops")]
    Stopping,
}

impl BodyError {
    pub(super) fn code(&self) -> Code {
        match self {
            BodyError::TooLarge(_) => Code::TooLarge,
            BodyError::Stalled(_) | BodyError::Slow(_) => Code::Stalled,
            BodyError::Ended(_) | BodyError::Encoding | BodyError::Inflate(_) => Code::InvalidData,
            BodyError::Stopping => Code::Stopping,
        }
    }

    /// Whether more of it is not worth reading.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, BodyError::Stalled(_) | BodyError::Slow(_) | BodyError::Ended(_) | BodyError::Stopping)
    }
}

pub(super) struct Body {
    incoming: Incoming,
    /// Bytes of it that were read.
    pub(super) received: usize,
    /// Its end was read: a chunked body does not know by itself.
    ended: bool,
}

impl Body {
    pub(super) fn new(incoming: Incoming) -> Body {
        Body { incoming, received: 0, ended: false }
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    /// The whole body, as it came.
    pub(super) async fn read(
        &mut self,
        bounds: Bounds,
        budget: &Budget,
        grant: &mut Grant,
        stop: &CancellationToken,
    ) -> Result<Bytes, BodyError> {
        let declared = self.incoming.size_hint().lower();
        if declared > bounds.max_body as u64 {
            return Err(BodyError::TooLarge(bounds.max_body));
        }
        let mut only = Bytes::new();
        let mut whole = BytesMut::new();
        let mut waited = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let part = tokio::select! {
                biased;
                part = tokio::time::timeout(bounds.stall, self.part()) => part,
                () = stop.cancelled() => return Err(BodyError::Stopping),
            };
            let part = part.map_err(|_| BodyError::Stalled(bounds.stall.as_secs()))?;
            let Some(part) = part.map_err(BodyError::Ended)? else { break };
            waited += asked.elapsed();
            if self.received > bounds.max_body {
                return Err(BodyError::TooLarge(bounds.max_body));
            }
            if waited > bounds.stall && budget.is_spent() {
                return Err(BodyError::Slow(waited.as_secs()));
            }
            budget.extend(grant, part.len()).await;
            // A body that comes in one part stays where it is.
            if self.received == part.len() {
                only = part;
                continue;
            }
            if !only.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut only));
            }
            whole.extend_from_slice(&part);
        }
        Ok(if whole.is_empty() { only } else { whole.freeze() })
    }

    /// Reads and forgets what is left, up to `most` bytes. A stop does not wait for it.
    pub(super) async fn drain(&mut self, most: usize, stop: &CancellationToken) {
        let most = self.received.saturating_add(most);
        let drain = async { while self.received < most && matches!(self.part().await, Ok(Some(_))) {} };
        // Whoever is slower hears nothing but the end of the connection.
        let drain = tokio::time::timeout(DRAIN_TIME, drain);
        let _ = stop.run_until_cancelled(drain).await;
    }

    async fn part(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            match self.incoming.frame().await.transpose()?.map(hyper::body::Frame::into_data) {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(data)) => {
                    self.received = self.received.saturating_add(data.len());
                    return Ok(Some(data));
                }
                // Trailers are of no use here.
                Some(Err(_)) => {}
            }
        }
    }
}

/// Whether a body is compressed, by its headers.
pub(super) fn packing(headers: &HeaderMap) -> Result<Option<Packing>, BodyError> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii()) {
        None | Some(b"") => Ok(None),
        Some(name) if name.eq_ignore_ascii_case(b"identity") => Ok(None),
        Some(name) if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
            Ok(Some(Packing::Gzip))
        }
        Some(_) => Err(BodyError::Encoding),
    }
}

/// Inflates a body, charged before the memory is used.
pub(super) async fn inflate(
    packing: Packing,
    packed: Bytes,
    max_body: usize,
    budget: &Budget,
    grant: &mut Grant,
) -> Result<Bytes, BodyError> {
    let sorted = |error| match error {
        InflateError::Size { .. } => BodyError::TooLarge(max_body),
        error => BodyError::Inflate(error),
    };
    let mut inflate = Inflate::new(packing, packed, max_body).map_err(sorted)?;
    let mut out = Vec::new();
    loop {
        budget.extend(grant, INFLATE_STEP).await;
        if inflate.step(&mut out, INFLATE_STEP).map_err(sorted)? == Progress::Done {
            break;
        }
        tokio::task::yield_now().await;
    }
    grant.shrink(out.len());
    Ok(Bytes::from(out))
}
