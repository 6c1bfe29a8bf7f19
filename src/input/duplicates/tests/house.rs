//! A gateway without sockets, and a connection that does with messages what a session does.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::base::signal::Signal;
use crate::config::plan::Plan;
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::input::duplicates::{Class, Clock, Conversation, Duplicates, Id, Meeting, chunk_id};
use crate::journal::{DiskFiles, Files, Journal, Options, Receipt, SegmentFile, Space};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::lane::Lane;
use crate::pipeline::route::Router;
use crate::pipeline::stream::{Identity, Origin};
use crate::pipeline::tidy::Tidy;
use crate::record::{Batch, Timestamp};

pub(super) struct House {
    dir: tempfile::TempDir,
    plan: Plan,
    ahead: Arc<AtomicU32>,
    pub(super) journal: Journal,
    pub(super) intake: Arc<Intake>,
}

impl House {
    pub(super) fn new() -> House {
        House::with_gate(&Gate::default())
    }

    pub(super) fn with_gate(gate: &Gate) -> House {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        House::open(tempfile::tempdir().unwrap(), plan, Arc::default(), gate)
    }

    fn open(dir: tempfile::TempDir, plan: Plan, ahead: Arc<AtomicU32>, gate: &Gate) -> House {
        let inner = DiskFiles::open(dir.path()).unwrap();
        let files = Arc::new(GatedFiles { inner, gate: gate.clone() });
        let journal = Journal::open_with(Options::new(dir.path()), files).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let router = Router::new(&plan);
        let tidy = Tidy::new(plan.time.out_of_range);
        let clock = Clock { ahead: ahead.clone(), ..Clock::new(&plan.duplicates) };
        let duplicates = Duplicates::open_with(&plan.duplicates, journal.clone(), &identity.instance, clock);
        let pipeline = Arc::new(Pipeline::new(router, destinations, None, identity, tidy, journal.clone()));
        let intake = Intake::new(pipeline, Budget::new(1 << 20)).with_duplicates(duplicates);
        House { dir, plan, ahead, journal, intake: Arc::new(intake) }
    }

    /// Stops in order and starts again.
    pub(super) async fn restart(&mut self) {
        self.restart_with(|_| ()).await;
    }

    pub(super) async fn restart_with(&mut self, change: impl FnOnce(&mut Plan)) {
        if let Some(duplicates) = self.intake.duplicates() {
            duplicates.tend();
        }
        self.journal.close().await;
        change(&mut self.plan);
        self.move_to_copy();
    }

    /// Goes on with what is on the disk at this moment.
    pub(super) fn kill(&mut self) {
        self.move_to_copy();
    }

    fn move_to_copy(&mut self) {
        let copy = loop {
            // The journal lives on while it is copied: a copy counts when no file came or went meanwhile.
            if let Some(copy) = self.copied() {
                break copy;
            }
        };
        *self = House::open(copy, self.plan.clone(), self.ahead.clone(), &Gate::default());
    }

    fn copied(&self) -> Option<tempfile::TempDir> {
        let names = || -> BTreeSet<_> {
            std::fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect()
        };
        let copy = tempfile::tempdir().unwrap();
        let before = names();
        for name in &before {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).ok()?;
        }
        (names() == before).then_some(copy)
    }

    pub(super) fn advance(&self, seconds: u32) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) fn duplicates(&self) -> &Arc<Duplicates> {
        self.intake.duplicates().unwrap()
    }

    /// Records stored for the default destination.
    pub(super) fn records(&self) -> u64 {
        let queue =
            self.intake.pipeline.destinations.default_of(self.plan.default_destination, Signal::Logs).queue;
        let entries = self.journal.lease(queue, usize::MAX);
        self.journal.unlease(queue, entries.iter().map(|entry| entry.index));
        entries.iter().map(|entry| u64::from(entry.records)).sum()
    }

    pub(super) async fn records_of(&self, mut receipt: Receipt) -> u64 {
        receipt.stored().await.unwrap();
        self.records()
    }

    pub(super) fn driver(&self, peer: &str) -> Driver {
        let origin = Origin::new("forward", peer);
        Driver {
            intake: self.intake.clone(),
            conversation: self.duplicates().conversation(peer, Duplicates::hits("forward")),
            lane: Lane::new(origin),
            batch: Batch::default(),
            receipt: None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Said {
    New,
    Again(Receipt),
}

impl PartialEq for Said {
    fn eq(&self, other: &Said) -> bool {
        matches!((self, other), (Said::New, Said::New))
    }
}

/// One connection.
pub(super) struct Driver {
    intake: Arc<Intake>,
    pub(super) conversation: Conversation,
    lane: Lane,
    batch: Batch,
    pub(super) receipt: Option<Receipt>,
}

impl Driver {
    pub(super) fn identify(&self, chunk: &[u8], text: &str) -> Id {
        let class = chunk_id::class(chunk, Timestamp::now().seconds as u64);
        self.conversation.identify(class, b"tag", chunk, text.as_bytes())
    }

    /// One message of one record with a chunk id.
    pub(super) async fn say(&mut self, chunk: &[u8], text: &str) -> Said {
        let id = self.identify(chunk, text);
        assert!(matches!(id.class, Class::Random | Class::Content));
        loop {
            match self.conversation.meet(id) {
                Meeting::New => break,
                Meeting::Again(receipt) => {
                    self.flush();
                    return Said::Again(receipt);
                }
                Meeting::Taken => {
                    self.flush();
                    self.conversation.released(id).await;
                }
            }
        }
        self.record(text);
        Said::New
    }

    fn record(&mut self, text: &str) {
        if self.batch.records.is_empty() {
            self.batch.tag = self.batch.keep(b"tag");
        }
        self.batch.begin(Timestamp::now());
        let (key, value) = (self.batch.keep(b"log"), self.batch.keep(text.as_bytes()));
        self.batch.push(key, value);
    }

    /// A part of a message whose last part is still to come.
    pub(super) fn part(&mut self, text: &str) -> Receipt {
        self.record(text);
        self.intake.store(&mut self.lane, &mut self.batch, None)
    }

    pub(super) fn flush(&mut self) -> Receipt {
        let receipt = self.intake.store_met(&mut self.lane, &mut self.batch, None, &mut self.conversation);
        self.receipt = Some(receipt.clone());
        receipt
    }
}

/// Holds syncs back while it is shut.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn shut(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    pub(super) fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(shut, |shut| *shut).unwrap());
    }
}

struct GatedFiles {
    inner: DiskFiles,
    gate: Gate,
}

struct GatedFile {
    inner: Box<dyn SegmentFile>,
    gate: Gate,
}

impl GatedFiles {
    fn gated(&self, inner: Box<dyn SegmentFile>) -> Box<dyn SegmentFile> {
        Box::new(GatedFile { inner, gate: self.gate.clone() })
    }
}

impl Files for GatedFiles {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(self.gated(self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(self.gated(self.inner.open(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }

    fn space(&self) -> io::Result<Space> {
        self.inner.space()
    }

    fn place(&self) -> &Path {
        self.inner.place()
    }

    fn release(&self) {
        self.inner.release();
    }
}

impl SegmentFile for GatedFile {
    fn write_some(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.write_some(pieces)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.inner.cut(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }

    fn read_some(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_some(into, at)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}
