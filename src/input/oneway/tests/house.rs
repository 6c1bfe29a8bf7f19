//! A gateway without an app, and the smallest protocol there is: lines.

use std::sync::Arc;
use std::time::Duration;

use crate::base::signal::Signal;
use crate::config::plan::{ConnectionsPlan, DatagramsPlan, Plan, UnixPlan};
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::batcher::Batcher;
use crate::input::budget::Budget;
use crate::input::oneway::{CutError, Decoder, Message, Oneway, Protocol, Sender};
use crate::journal::{Journal, Options, QueueId};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;
use crate::record::{Span, Timestamp};
use crate::wire::loggroup::{packed, walk};

pub(in crate::input) struct House {
    _dir: tempfile::TempDir,
    pub(in crate::input) journal: Journal,
    pub(in crate::input) intake: Arc<Intake>,
    queue: QueueId,
}

impl House {
    pub(in crate::input) fn new() -> House {
        House::with(8 << 20, |_| ())
    }

    pub(in crate::input) fn with(budget: usize, change: impl FnOnce(&mut Plan)) -> House {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let mut plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        change(&mut plan);
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(Options::new(dir.path())).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let tidy = Tidy::new(plan.time.out_of_range);
        let router = Router::new(&plan);
        let pipeline = Arc::new(Pipeline::new(router, destinations, None, identity, tidy, journal.clone()));
        let queue = pipeline.destinations.default_of(plan.default_destination, Signal::Logs).queue;
        let intake = Arc::new(Intake::new(pipeline, Budget::new(budget)));
        House { _dir: dir, journal, intake, queue }
    }

    pub(in crate::input) fn oneway(&self) -> Arc<Oneway<Lines>> {
        self.oneway_with(|_, _| ())
    }

    pub(in crate::input) fn oneway_with(
        &self,
        change: impl FnOnce(&mut ConnectionsPlan, &mut DatagramsPlan),
    ) -> Arc<Oneway<Lines>> {
        let mut connections = ConnectionsPlan {
            unix: UnixPlan { mode: 0o600, user: None, group: None },
            tls: None,
            proxy_protocol: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            stall_timeout: Duration::from_secs(60),
            max_connections: 20_000,
            max_connections_per_peer: None,
            window: 8 << 20,
        };
        let mut datagrams = DatagramsPlan { receive_buffer: 4 << 20 };
        change(&mut connections, &mut datagrams);
        Arc::new(Oneway::new("test", Lines, connections, datagrams, None, self.intake.clone()))
    }

    /// Lets go of all that is stored, as a destination does that took it.
    pub(in crate::input) async fn deliver(&self) -> usize {
        self.journal.last_receipt().stored().await.unwrap();
        let entries = self.journal.lease(self.queue, usize::MAX);
        self.journal.settle(self.queue, entries.iter().map(|entry| entry.index));
        entries.iter().map(|entry| entry.records as usize).sum()
    }

    /// What is stored, in entries of the journal: each is what a commit has for one stream.
    pub(in crate::input) fn entries(&self) -> usize {
        let entries = self.journal.lease(self.queue, usize::MAX);
        self.journal.unlease(self.queue, entries.iter().map(|entry| entry.index));
        entries.len()
    }

    /// Every line that is stored by now, with its series, in the journal's order.
    pub(in crate::input) async fn lines(&self) -> Vec<(u64, String)> {
        self.journal.last_receipt().stored().await.unwrap();
        let entries = self.journal.lease(self.queue, usize::MAX);
        self.journal.unlease(self.queue, entries.iter().map(|entry| entry.index));
        let mut lines = Vec::new();
        for entry in &entries {
            let payload = self.journal.read(entry).unwrap();
            let logs = match packed::raw_len(&entry.mark) {
                Some(len) => lz4_flex::block::decompress(&payload, len).unwrap(),
                None => payload.to_vec(),
            };
            for log in walk::walk(&logs).unwrap().logs() {
                let line = log.contents().find(|(key, _)| *key == b"log").unwrap().1;
                lines.push((entry.stream, String::from_utf8(line.to_vec()).unwrap()));
            }
        }
        lines
    }

    pub(in crate::input) async fn texts(&self) -> Vec<String> {
        self.lines().await.into_iter().map(|(_, line)| line).collect()
    }

    /// Waits until so many records are stored.
    pub(in crate::input) async fn wait_for(&self, lines: usize) -> Vec<String> {
        loop {
            let texts = self.texts().await;
            if texts.len() >= lines {
                return texts;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Lines end with a line feed; one that begins with `!` is a fault. A datagram is a line; an empty one is none.
pub(in crate::input) struct Lines;

#[derive(Default)]
pub(in crate::input) struct LineDecoder {
    /// Bytes that hold no line feed.
    seen: usize,
}

impl Protocol for Lines {
    type Decoder = LineDecoder;

    fn decoder(&self) -> LineDecoder {
        LineDecoder::default()
    }
}

impl Decoder for LineDecoder {
    fn cut(&mut self, unread: &[u8], ended: bool, messages: &mut Vec<Message>) -> Result<usize, CutError> {
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &unread[self.seen..]) {
            let end = self.seen + end;
            if unread[at] == b'!' {
                return Err(CutError::Length);
            }
            messages.push(Message { range: at..end, cut: false });
            at = end + 1;
        }
        if ended && at < unread.len() && unread[at] != b'?' {
            messages.push(Message { range: at..unread.len(), cut: true });
            at = unread.len();
        }
        self.seen = unread.len() - at;
        Ok(at)
    }

    fn message(&mut self, _: &Sender, message: &Message, received: Timestamp, batcher: &mut Batcher) {
        let range = message.range.clone();
        batcher.begin(b"line", received);
        batcher.push("log", Span::frame(range.start, range.len()));
    }

    fn datagram(
        &mut self,
        _: &Sender,
        datagram: std::ops::Range<usize>,
        received: Timestamp,
        batcher: &mut Batcher,
    ) {
        if !datagram.is_empty() {
            batcher.begin(b"line", received);
            batcher.push("log", Span::frame(datagram.start, datagram.len()));
        }
    }
}
