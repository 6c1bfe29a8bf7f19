//! What stands behind the doors of every input that follows files, in tests: a gateway without sockets, which can be ended,
//! killed and begun again over the same journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::shutdown::Stop;
use crate::base::signal::Signal;
use crate::config::plan::{OutOfRange, Plan};
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::input::positions::Positions;
use crate::journal::{Journal, Options, QueueId};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;
use crate::wire::loggroup::{packed, walk};

pub(in crate::input) type Record = BTreeMap<String, String>;

/// A record as it is stored.
pub(in crate::input) struct Stored {
    pub(in crate::input) nanoseconds: i64,
    pub(in crate::input) record: Record,
    /// Of its LogGroup.
    pub(in crate::input) tags: Record,
}

pub(in crate::input) struct House {
    journal_dir: tempfile::TempDir,
    budget: usize,
    pub(in crate::input) plan: Plan,
    pub(in crate::input) journal: Journal,
    pub(in crate::input) queue: QueueId,
    pub(in crate::input) intake: Arc<Intake>,
    pub(in crate::input) positions: Arc<Positions>,
    pub(in crate::input) stop: Stop,
}

impl House {
    /// The plan of a gateway that was told nothing, for records of any time.
    pub(in crate::input) fn plan() -> Plan {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let mut plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        plan.time.out_of_range = OutOfRange::Keep;
        plan
    }

    pub(in crate::input) fn new(plan: Plan, budget: usize) -> House {
        House::open(tempfile::tempdir().unwrap(), plan, budget)
    }

    fn open(journal_dir: tempfile::TempDir, plan: Plan, budget: usize) -> House {
        let journal = Journal::open(Options::new(journal_dir.path())).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let queue = destinations.default_of(plan.default_destination, Signal::Logs).queue;
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let (router, tidy) = (Router::new(&plan), Tidy::new(plan.time.out_of_range));
        let pipeline = Arc::new(Pipeline::new(router, destinations, None, identity, tidy, journal.clone()));
        let intake = Arc::new(Intake::new(pipeline, Budget::new(budget)));
        let positions = Arc::new(Positions::open(journal.clone()));
        House { journal_dir, budget, plan, journal, queue, intake, positions, stop: Stop::default() }
    }

    pub(in crate::input) async fn stop(&self) {
        self.stop.draining.cancel();
        self.stop.tasks.close();
        self.stop.tasks.wait().await;
    }

    /// Ends in order and begins again.
    pub(in crate::input) async fn restart(self) -> House {
        self.stop().await;
        self.journal.close().await;
        House::open(self.journal_dir, self.plan, self.budget)
    }

    /// Goes on with what is on the disk at this moment; what runs is left behind.
    pub(in crate::input) async fn kill(self) -> House {
        let copy = loop {
            if let Some(copy) = copied(self.journal_dir.path()) {
                break copy;
            }
        };
        self.stop().await;
        House::open(copy, self.plan, self.budget)
    }

    /// Takes all records that are stored.
    pub(in crate::input) fn take_stored(&self) -> Vec<Stored> {
        let mut records = Vec::new();
        let entries = self.journal.lease(self.queue, usize::MAX);
        for entry in &entries {
            let payload = self.journal.read(entry).unwrap();
            let logs = match packed::raw_len(&entry.mark) {
                Some(len) => lz4_flex::block::decompress(&payload, len).unwrap(),
                None => payload.to_vec(),
            };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let trailer = walk::walk(&entry.trailer).unwrap();
            let tags: Record = trailer.tags().map(|(key, value)| (text(key), text(value))).collect();
            for log in walk::walk(&logs).unwrap().logs() {
                let record = log.contents().map(|(key, value)| (text(key), text(value))).collect();
                records.push(Stored { nanoseconds: log.nanoseconds(), record, tags: tags.clone() });
            }
        }
        self.journal.settle(self.queue, entries.iter().map(|entry| entry.index));
        records
    }

    /// Waits for so many records, which `take` gives.
    pub(in crate::input) async fn wait_for(
        &self,
        count: usize,
        mut take: impl FnMut() -> Vec<Record>,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < count {
            records.extend(take());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(records.len(), count, "{:?}", records.last());
        records
    }

    pub(in crate::input) async fn until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn copied(dir: &Path) -> Option<tempfile::TempDir> {
    let names = || -> Vec<_> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (copy, before) = (tempfile::tempdir().unwrap(), names());
    for name in &before {
        fs::copy(dir.join(name), copy.path().join(name)).ok()?;
    }
    (names() == before).then_some(copy)
}
