//! A gateway without sockets, and containers whose driver writes into an engine's directory.

use super::super::*;
use crate::base::signal::Signal;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{JoinPlan, OutOfRange, Plan};
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
use std::fs::OpenOptions;
use std::io::Write;

pub(super) const BUDGET: usize = 4 << 20;

pub(super) type Record = BTreeMap<String, String>;

pub(super) struct House {
    pub(super) journal_dir: tempfile::TempDir,
    pub(super) engine: tempfile::TempDir,
    pub(super) plan: Plan,
    pub(super) docker: DockerPlan,
    pub(super) journal: Journal,
    pub(super) queue: QueueId,
    pub(super) intake: Arc<Intake>,
    pub(super) positions: Arc<Positions>,
    pub(super) stop: Stop,
}

impl House {
    pub(super) fn new() -> House {
        House::with(|_, _| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Plan, &mut DockerPlan)) -> House {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let mut plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        plan.time.out_of_range = OutOfRange::Keep;
        let engine = tempfile::tempdir().unwrap();
        let mut docker = DockerPlan {
            data_root: engine.path().to_owned(),
            start: Start::Beginning,
            scan_interval: Duration::from_millis(200),
            tag: DockerTag::parse("docker.{{.Name}}").unwrap(),
            labels: vec!["team".to_owned()],
            env: Vec::new(),
            join: JoinPlan { partial: true, timeout: Duration::from_secs(60), max_line: 1 << 20 },
        };
        change(&mut plan, &mut docker);
        House::open(tempfile::tempdir().unwrap(), engine, plan, docker)
    }

    pub(super) fn open(
        journal_dir: tempfile::TempDir,
        engine: tempfile::TempDir,
        plan: Plan,
        docker: DockerPlan,
    ) -> House {
        let journal = Journal::open(Options::new(journal_dir.path())).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let queue = destinations.default_of(plan.default_destination, Signal::Logs).queue;
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let (router, tidy) = (Router::new(&plan), Tidy::new(plan.time.out_of_range));
        let pipeline = Arc::new(Pipeline::new(router, destinations, None, identity, tidy, journal.clone()));
        let intake = Arc::new(Intake::new(pipeline, Budget::new(BUDGET)));
        let positions = Arc::new(Positions::open(journal.clone()));
        House { journal_dir, engine, plan, docker, journal, queue, intake, positions, stop: Stop::default() }
    }

    pub(super) fn start(&self) {
        let input =
            DockerFiles::new("docker", self.docker.clone(), self.intake.clone(), self.positions.clone());
        self.stop.tasks.spawn(Arc::new(input).run(self.stop.clone()));
    }

    pub(super) async fn stop(&self) {
        self.stop.draining.cancel();
        self.stop.tasks.close();
        self.stop.tasks.wait().await;
    }

    /// Ends in order and begins again.
    pub(super) async fn restart(self) -> House {
        self.stop().await;
        self.journal.close().await;
        let House { journal_dir, engine, plan, docker, .. } = self;
        House::open(journal_dir, engine, plan, docker)
    }

    /// Goes on with what is on the disk at this moment; what runs is left behind.
    pub(super) async fn kill(self) -> House {
        let copy = loop {
            if let Some(copy) = copied(self.journal_dir.path()) {
                break copy;
            }
        };
        self.stop().await;
        let House { engine, plan, docker, .. } = self;
        House::open(copy, engine, plan, docker)
    }

    /// Takes all records that are stored, with their times.
    pub(super) fn take(&self) -> Vec<(i64, Record)> {
        let mut records = Vec::new();
        let entries = self.journal.lease(self.queue, usize::MAX);
        for entry in &entries {
            let payload = self.journal.read(entry).unwrap();
            let logs = match packed::raw_len(&entry.mark) {
                Some(len) => lz4_flex::block::decompress(&payload, len).unwrap(),
                None => payload.to_vec(),
            };
            for log in walk::walk(&logs).unwrap().logs() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let fields = log.contents().map(|(key, value)| (text(key), text(value))).collect();
                records.push((log.nanoseconds(), fields));
            }
        }
        self.journal.settle(self.queue, entries.iter().map(|entry| entry.index));
        records
    }

    /// Waits for so many records, and takes them.
    pub(super) async fn wait(&self, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < count {
            records.extend(self.take().into_iter().map(|(_, record)| record));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(records.len(), count);
        records
    }

    pub(super) async fn until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn container(&self, number: u8, driver: &str) -> Container {
        let id = format!("{number:064x}");
        let dir = self.engine.path().join("containers").join(&id);
        let logs = if driver == "local" { dir.join("local-logs") } else { dir.clone() };
        fs::create_dir_all(&logs).unwrap();
        let config = format!(
            r#"{{"Name":"/c{number}","Config":{{"Image":"img:1","Labels":{{"team":"core"}},"Env":[]}}}}"#
        );
        fs::write(dir.join("config.v2.json"), config).unwrap();
        fs::write(dir.join("hostconfig.json"), format!(r#"{{"LogConfig":{{"Type":"{driver}"}}}}"#)).unwrap();
        let name = if driver == "local" { "container.log".to_owned() } else { format!("{id}-json.log") };
        Container { base: logs.join(name), dir, id, written: 0 }
    }

    pub(super) fn key(&self, container: &Container) -> Bytes {
        Bytes::from(format!("docker docker {}", container.id))
    }
}

pub(super) fn copied(dir: &Path) -> Option<tempfile::TempDir> {
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

/// A container whose driver writes to its files.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) dir: PathBuf,
    pub(super) base: PathBuf,
    pub(super) written: u32,
}

impl Container {
    pub(super) fn fixture(&self, number: usize, end: &str) -> PathBuf {
        let mut name = self.base.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}{end}"));
        }
        name.into()
    }

    pub(super) fn put(&self, text: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.base).unwrap();
        file.write_all(text).unwrap();
    }

    pub(super) fn piece(&self, text: &str, stream: &str, second: u32) {
        let text = serde_json::to_string(text).unwrap();
        let time = format!("2026-11-22T23:03:{second:02}Z");
        self.put(format!("{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").as_bytes());
    }

    /// Numbered lines; every seventh is made of two pieces.
    pub(super) fn lines(&mut self, count: u32) {
        for _ in 0..count {
            self.written += 1;
            let n = self.written;
            let (stream, second) = (if n.is_multiple_of(3) { "stderr" } else { "stdout" }, n % 60);
            if n.is_multiple_of(7) {
                self.piece(&format!("{n}"), stream, second);
                self.piece(" of many\n", stream, second);
            } else {
                self.piece(&format!("{n} of many\n"), stream, second);
            }
        }
    }

    pub(super) fn rotate(&self, keep: usize) {
        let _ = fs::remove_file(self.fixture(keep - 1, ""));
        for number in (1..keep - 1).rev() {
            let _ = fs::rename(self.fixture(number, ""), self.fixture(number + 1, ""));
        }
        fs::rename(&self.base, self.fixture(1, "")).unwrap();
        fs::write(&self.base, "").unwrap();
    }
}
