//! The requests of one connection, one after the other: each is checked, read, decoded, stored, and answered, in this
//! order. 200 is said after the receipt and never before.
//!
//! A full buffer is waited for a little, then its sender is told to keep what it has: Docker's driver holds ten thousand
//! messages and freezes its container only much later.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Splunk;
use super::answer::{Answer, Code};
use super::body::{self, Body, BodyError, Bounds};
use super::events::{Context, Events, Step, Tally};
use super::lines::Lines;
use super::request::{Endpoint, Query, authorize, is_docker};
use super::tag;
use crate::base::limits::MIB;
use crate::base::signal::Signal;
use crate::input::batcher::Batcher;
use crate::input::budget::Grant;
use crate::input::listener::Peer;
use crate::journal::{NotStored, Receipt};
use crate::pipeline::stream::Origin;
use crate::record::Timestamp;

/// Questions about ack ids are small.
const ACK_BYTES: usize = MIB;

pub(super) struct Exchange {
    splunk: Arc<Splunk>,
    peer: Arc<str>,
    extra: Option<(Arc<str>, Arc<str>)>,
    stop: CancellationToken,
    state: Mutex<State>,
}

/// What a connection keeps from one request to the next.
struct State {
    events: Events,
    /// With whether it is for Docker's driver, whose lines are joined.
    batcher: Option<(bool, Batcher)>,
    /// Whether something was stored, so that the batcher knows which buffers it needs.
    stored: bool,
}

/// A request that is not done as it asks.
struct Refusal {
    answer: Answer,
    why: Cow<'static, str>,
    close: bool,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal { answer: Answer::Plain(code), why: Cow::Borrowed(code.parts().2), close: false }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        let why = Cow::Owned(error.to_string());
        Refusal { why, close: error.ends_connection(), ..Refusal::from(error.code()) }
    }
}

impl From<NotStored> for Refusal {
    fn from(error: NotStored) -> Refusal {
        let code = match error {
            NotStored::Closed => Code::Stopping,
            NotStored::TooLarge => Code::TooLarge,
        };
        Refusal { why: Cow::Owned(error.to_string()), ..Refusal::from(code) }
    }
}

#[derive(Deserialize)]
struct AckQuestion {
    acks: Vec<u64>,
}

impl Exchange {
    pub(super) fn new(splunk: Arc<Splunk>, peer: &Peer, stop: CancellationToken) -> Exchange {
        let key = splunk.plan.source_address_key.as_deref();
        Exchange {
            peer: peer.label.clone(),
            extra: key.map(|key| (key.into(), peer.label.clone())),
            stop,
            state: Mutex::new(State {
                events: Events::new(splunk.settings.clone()),
                batcher: None,
                stored: false,
            }),
            splunk,
        }
    }

    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, incoming) = request.into_parts();
        let mut body = Body::new(incoming);
        let (answer, why, mut close) = match self.answer(&head, &mut body).await {
            Ok(answer) => (answer, Cow::Borrowed(""), false),
            Err(Refusal { answer, why, close }) => (answer, why, close),
        };
        // Who asks before it sends its body is not told to send one that is refused.
        close |= !body.is_over() && body.received == 0 && head.headers.contains_key(EXPECT);
        if !close && !body.is_over() {
            body.drain(self.splunk.plan.max_body, &self.stop).await;
            close = !body.is_over();
        }
        self.splunk.note(answer.code(), &self.peer, &why);
        answer.response(close)
    }

    async fn answer(&self, head: &Parts, body: &mut Body) -> Result<Answer, Refusal> {
        let endpoint = Endpoint::of(head.uri.path()).ok_or(Code::NotFound)?;
        if head.method == Method::OPTIONS {
            return Ok(Answer::Empty);
        }
        if !endpoint.takes(&head.method) {
            return Err(Code::Method.into());
        }
        if endpoint == Endpoint::Health {
            return Ok(Answer::Plain(self.health().await));
        }
        let query = Query::parse(head.uri.query());
        authorize(&head.headers, &query, &self.splunk.plan.tokens)?;
        let has_channel = query.has_channel(&head.headers)?;
        match endpoint {
            Endpoint::Ack => self.tell_acks(has_channel, body).await,
            _ => {
                self.take(endpoint, head, query, body).await?;
                Ok(match has_channel && self.splunk.plan.acknowledgement {
                    true => Answer::Acknowledged(self.splunk.acks.give()),
                    false => Answer::Plain(Code::Success),
                })
            }
        }
    }

    async fn health(&self) -> Code {
        if self.stop.is_cancelled() {
            return Code::Stopping;
        }
        let mut tag = Vec::new();
        match &self.splunk.settings.tag {
            Some(given) => tag.extend_from_slice(given),
            None => tag::write(None, &mut tag),
        }
        let room = self.splunk.intake.ready_for_first(Signal::Logs, &tag, 1);
        match tokio::time::timeout(Duration::ZERO, room).await {
            Ok(()) => Code::Healthy,
            Err(_) => Code::Full,
        }
    }

    async fn tell_acks(&self, has_channel: bool, body: &mut Body) -> Result<Answer, Refusal> {
        if !self.splunk.plan.acknowledgement {
            return Err(Code::AckDisabled.into());
        }
        if !has_channel {
            return Err(Code::ChannelMissing.into());
        }
        let mut grant = self.splunk.intake.budget.empty_grant();
        let bounds = Bounds { max_body: ACK_BYTES, stall: self.splunk.plan.connections.stall_timeout };
        let text = body.read(bounds, &self.splunk.intake.budget, &mut grant, &self.stop).await?;
        if text.is_empty() {
            return Err(Code::NoData.into());
        }
        let question: AckQuestion = serde_json::from_slice(&text).map_err(|_| Code::InvalidData)?;
        Ok(Answer::Acks(question.acks.into_iter().map(|id| (id, self.splunk.acks.is_given(id))).collect()))
    }

    /// Takes a request's events; returns when they are stored.
    async fn take(
        &self,
        endpoint: Endpoint,
        head: &Parts,
        query: Query,
        body: &mut Body,
    ) -> Result<(), Refusal> {
        let splunk = &*self.splunk;
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let docker = is_docker(&head.headers);
        let (_, batcher) = match state.batcher.take() {
            Some((of, batcher)) if of == docker => state.batcher.insert((of, batcher)),
            _ => {
                state.stored = false;
                let origin = Origin::new(splunk.name.clone(), self.peer.clone());
                let join = splunk.join.clone().filter(|_| docker);
                state.batcher.insert((docker, Batcher::new(splunk.intake.clone(), origin, join)))
            }
        };
        if state.stored {
            in_time(splunk.full_timeout, batcher.ready()).await?;
        }
        let mut grant = splunk.intake.budget.empty_grant();
        let frame = self.read(head, body, &mut grant).await?;
        if frame.is_empty() {
            return Err(Code::NoData.into());
        }

        let context = Context { received: Timestamp::now(), docker, extra: self.extra.clone() };
        let mut lines = (endpoint == Endpoint::Raw).then(|| Lines::new(splunk.settings.clone(), query));
        if !state.stored {
            let tag = lines.as_ref().map_or_else(|| state.events.first_tag(&frame), Lines::tag);
            let room = splunk.intake.ready_for_first(Signal::Logs, tag, frame.len() as u64);
            in_time(splunk.full_timeout, room).await?;
        }
        match &mut lines {
            Some(lines) => lines.open(frame, batcher),
            None => state.events.open(frame, batcher),
        }
        let mut tally = Tally::default();
        let end = loop {
            let step = match &mut lines {
                Some(lines) => lines.step(&context, batcher, &mut tally),
                None => state.events.step(&context, batcher, &mut tally),
            };
            match step {
                Step::More => tokio::task::yield_now().await,
                end => break end,
            }
        };
        batcher.store();
        let receipt = batcher.take_receipt();
        state.stored |= receipt.is_some();
        batcher.rest();
        splunk.count(&tally);
        let mut receipt = receipt.map_or_else(Receipt::nothing, |(receipt, _)| receipt);
        receipt.stored().await?;
        match end {
            Step::Bad(Code::NoData, _) => Err(Code::NoData.into()),
            Step::Bad(code, event) => {
                let why =
                    format!("event {event} of the request: {}; those before it are stored", code.parts().2);
                Err(Refusal { answer: Answer::Event(code, event), why: Cow::Owned(why), close: false })
            }
            _ => Ok(()),
        }
    }

    /// The body, inflated, with its bytes charged.
    async fn read(&self, head: &Parts, body: &mut Body, grant: &mut Grant) -> Result<Bytes, BodyError> {
        let splunk = &*self.splunk;
        let budget = &splunk.intake.budget;
        let packing = body::packing(&head.headers)?;
        let max_body = splunk.plan.max_body;
        let bounds = Bounds { max_body, stall: splunk.plan.connections.stall_timeout };
        let read = body.read(bounds, budget, grant, &self.stop).await;
        splunk.metrics.received_bytes.increment(body.received as u64);
        match (read?, packing) {
            (packed, Some(packing)) if !packed.is_empty() => {
                body::inflate(packing, packed, max_body, budget, grant).await
            }
            (plain, _) => Ok(plain),
        }
    }
}

/// Waits for room, but not for long.
async fn in_time(timeout: Duration, room: impl Future<Output = ()>) -> Result<(), Refusal> {
    tokio::time::timeout(timeout, room).await.map_err(|_| Refusal {
        why: Cow::Borrowed("the buffer is full and blocks; the sender keeps what it has"),
        ..Refusal::from(Code::Busy)
    })
}
