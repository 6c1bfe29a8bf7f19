//! A gateway without sockets, and the files that it reads.

use super::super::*;
use crate::base::signal::Signal;
use crate::config::path_pattern::PathPattern;
use crate::config::plan::{Charset, FileFormat, FileStart, JoinPlan, Nil, OutOfRange, Plan};
use crate::config::{self, Flags};
use crate::input::budget::Budget;
use crate::journal::{Journal, Options, QueueId};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;
use crate::wire::loggroup::{packed, walk};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

pub(in crate::input::file) const BUDGET: usize = 8 << 20;

pub(in crate::input::file) type Record = BTreeMap<String, String>;

/// How the input is run.
#[derive(Clone, Copy)]
pub(in crate::input::file) struct How {
    pub(in crate::input::file) hints: bool,
    pub(in crate::input::file) patience: Patience,
    pub(in crate::input::file) open_files: usize,
}

pub(in crate::input::file) struct House {
    pub(in crate::input::file) journal_dir: tempfile::TempDir,
    pub(in crate::input::file) logs: tempfile::TempDir,
    pub(in crate::input::file) plan: Plan,
    pub(in crate::input::file) file: FilePlan,
    pub(in crate::input::file) how: How,
    pub(in crate::input::file) journal: Journal,
    pub(in crate::input::file) queue: QueueId,
    pub(in crate::input::file) intake: Arc<Intake>,
    pub(in crate::input::file) positions: Arc<Positions>,
    pub(in crate::input::file) stop: Stop,
}

impl House {
    /// Reads `*.log` of a directory.
    pub(in crate::input::file) fn new() -> House {
        House::with(|_, _, _| ())
    }

    pub(in crate::input::file) fn with(change: impl FnOnce(&mut Plan, &mut FilePlan, &mut How)) -> House {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let mut plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        plan.time.out_of_range = OutOfRange::Keep;
        let logs = tempfile::tempdir().unwrap();
        let mut file = FilePlan {
            paths: vec![PathPattern::parse(&format!("{}/**/*.log", logs.path().display())).unwrap()],
            exclude: Vec::new(),
            max_depth: 10,
            start: FileStart::Beginning,
            scan_interval: Duration::from_millis(200),
            charset: Charset::Utf8,
            format: FileFormat::Lines,
            multiline: None,
            max_line: 512 * 1024,
            flush_timeout: Duration::from_secs(60),
            stop_delay: Duration::ZERO,
            rate_limit: None,
            tag: None,
            key: "log".to_owned(),
            offset_key: None,
            tags: Vec::new(),
            processors: Vec::new(),
            join: JoinPlan { partial: true, timeout: Duration::from_secs(60), max_line: 1 << 20 },
            kubernetes: None,
        };
        let mut how = How { hints: true, patience: Patience::default(), open_files: 1_024 };
        change(&mut plan, &mut file, &mut how);
        House::open(tempfile::tempdir().unwrap(), logs, plan, file, how)
    }

    pub(in crate::input::file) fn open(
        journal_dir: tempfile::TempDir,
        logs: tempfile::TempDir,
        plan: Plan,
        file: FilePlan,
        how: How,
    ) -> House {
        let journal = Journal::open(Options::new(journal_dir.path())).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let queue = destinations.default_of(plan.default_destination, Signal::Logs).queue;
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let (router, tidy) = (Router::new(&plan), Tidy::new(plan.time.out_of_range));
        let pipeline = Arc::new(Pipeline::new(router, destinations, None, identity, tidy, journal.clone()));
        let intake = Arc::new(Intake::new(pipeline, Budget::new(BUDGET)));
        let positions = Arc::new(Positions::open(journal.clone()));
        let stop = Stop::default();
        House { journal_dir, logs, plan, file, how, journal, queue, intake, positions, stop }
    }

    pub(in crate::input::file) fn start(&self) -> Arc<Files> {
        let steps = Steps::new(&self.file.processors, Nil::Empty);
        let (intake, positions) = (self.intake.clone(), self.positions.clone());
        let input = Files::new("app", self.file.clone(), steps, intake, positions, self.how.open_files);
        let input = input.with_patience(self.how.patience);
        let input = Arc::new(if self.how.hints { input } else { input.without_hints() });
        self.stop.tasks.spawn(input.clone().run(self.stop.clone()));
        input
    }

    pub(in crate::input::file) async fn stop(&self) {
        self.stop.draining.cancel();
        self.stop.tasks.close();
        self.stop.tasks.wait().await;
    }

    /// Ends in order and begins again.
    pub(in crate::input::file) async fn restart(self) -> House {
        self.stop().await;
        self.journal.close().await;
        let House { journal_dir, logs, plan, file, how, .. } = self;
        House::open(journal_dir, logs, plan, file, how)
    }

    /// Goes on with what is on the disk at this moment; what runs is left behind.
    pub(in crate::input::file) async fn kill(self) -> House {
        let copy = loop {
            if let Some(copy) = copied(self.journal_dir.path()) {
                break copy;
            }
        };
        self.stop().await;
        let House { logs, plan, file, how, .. } = self;
        House::open(copy, logs, plan, file, how)
    }

    /// Takes all records that are stored, each with the tag `__path__` of its LogGroup under that name.
    pub(in crate::input::file) fn take(&self) -> Vec<Record> {
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
            let tags: Vec<_> = trailer.tags().map(|(key, value)| (text(key), text(value))).collect();
            for log in walk::walk(&logs).unwrap().logs() {
                let fields = log.contents().map(|(key, value)| (text(key), text(value)));
                records.push(fields.chain(tags.iter().cloned()).collect());
            }
        }
        self.journal.settle(self.queue, entries.iter().map(|entry| entry.index));
        records
    }

    /// Waits for so many records, and takes them.
    pub(in crate::input::file) async fn wait(&self, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < count {
            records.extend(self.take());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(records.len(), count, "{:?}", records.last());
        records
    }

    /// Waits for so many records, and takes their texts.
    pub(in crate::input::file) async fn texts(&self, count: usize) -> Vec<String> {
        self.wait(count).await.into_iter().map(|mut record| record.remove("log").unwrap()).collect()
    }

    pub(in crate::input::file) async fn until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(in crate::input::file) fn path(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    pub(in crate::input::file) fn log(&self, name: &str) -> Log {
        Log { path: self.path(name), written: 0 }
    }

    /// Whether the position of this file is stored.
    pub(in crate::input::file) fn is_known(&self, path: &Path) -> bool {
        self.positions.get(&self.key(path)).is_some()
    }

    pub(in crate::input::file) fn key(&self, path: &Path) -> Bytes {
        Bytes::from(format!("file app {}", path.display()))
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

/// A log that an application writes.
pub(in crate::input::file) struct Log {
    pub(in crate::input::file) path: PathBuf,
    pub(in crate::input::file) written: u32,
}

impl Log {
    pub(in crate::input::file) fn put(&self, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Numbered lines.
    pub(in crate::input::file) fn lines(&mut self, count: u32) {
        let numbers = self.written + 1..=self.written + count;
        self.put(numbers.map(|number| format!("{number} of many\n")).collect::<String>());
        self.written += count;
    }

    pub(in crate::input::file) fn rotated(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// As logrotate does it: names move up, and a new file is made.
    pub(in crate::input::file) fn rotate(&self, keep: usize) {
        let _ = fs::remove_file(self.rotated(keep));
        for number in (1..keep).rev() {
            let _ = fs::rename(self.rotated(number), self.rotated(number + 1));
        }
        fs::rename(&self.path, self.rotated(1)).unwrap();
        fs::write(&self.path, "").unwrap();
    }
}

/// Checks that each numbered line is there once, in order.
pub(in crate::input::file) fn assert_lines(texts: &[String], last: u32) {
    let numbers: Vec<u32> =
        texts.iter().map(|text| text.strip_suffix(" of many").unwrap().parse().unwrap()).collect();
    let expected: Vec<u32> = (1..=last).collect();
    let differs = numbers.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((numbers.len(), differs), (expected.len(), None), "{:?}", differs.map(|at| &numbers[at..]));
}
