//! A gateway without sockets, and the files that it reads.

use super::super::*;
use crate::config::path_pattern::PathPattern;
use crate::config::plan::{Charset, FileFormat, FileStart, JoinPlan, Nil, Plan};
use crate::input::follow::house;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Deref;
use std::path::PathBuf;

pub(in crate::input::file) use crate::input::follow::house::Record;

pub(in crate::input::file) const BUDGET: usize = 8 << 20;

/// How the input is run.
#[derive(Clone, Copy)]
pub(in crate::input::file) struct How {
    pub(in crate::input::file) hints: bool,
    pub(in crate::input::file) patience: Patience,
    pub(in crate::input::file) open_files: usize,
}

pub(in crate::input::file) struct House {
    pub(in crate::input::file) gateway: house::House,
    pub(in crate::input::file) logs: tempfile::TempDir,
    pub(in crate::input::file) file: FilePlan,
    pub(in crate::input::file) how: How,
}

impl Deref for House {
    type Target = house::House;

    fn deref(&self) -> &house::House {
        &self.gateway
    }
}

impl House {
    /// Reads `*.log` of a directory.
    pub(in crate::input::file) fn new() -> House {
        House::with(|_, _, _| ())
    }

    pub(in crate::input::file) fn with(change: impl FnOnce(&mut Plan, &mut FilePlan, &mut How)) -> House {
        let mut plan = house::House::plan();
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
            path_topic: None,
            key: "log".to_owned(),
            offset_key: None,
            tags: Vec::new(),
            processors: Vec::new(),
            join: JoinPlan { partial: true, timeout: Duration::from_secs(60), max_line: 1 << 20 },
            kubernetes: None,
        };
        let mut how = How { hints: true, patience: Patience::default(), open_files: 1_024 };
        change(&mut plan, &mut file, &mut how);
        House { gateway: house::House::new(plan, BUDGET), logs, file, how }
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

    /// Ends in order and begins again.
    pub(in crate::input::file) async fn restart(self) -> House {
        House { gateway: self.gateway.restart().await, ..self }
    }

    /// Goes on with what is on the disk at this moment; what runs is left behind.
    pub(in crate::input::file) async fn kill(self) -> House {
        House { gateway: self.gateway.kill().await, ..self }
    }

    /// Takes all records that are stored, each with the tag `__path__` of its LogGroup under that name.
    pub(in crate::input::file) fn take(&self) -> Vec<Record> {
        let stored = self.take_stored().into_iter();
        stored.map(|stored| stored.record.into_iter().chain(stored.tags).collect()).collect()
    }

    /// Waits for so many records, and takes them.
    pub(in crate::input::file) async fn wait(&self, count: usize) -> Vec<Record> {
        self.wait_for(count, || self.take()).await
    }

    /// Waits for so many records, and takes their texts.
    pub(in crate::input::file) async fn texts(&self, count: usize) -> Vec<String> {
        self.wait(count).await.into_iter().map(|mut record| record.remove("log").unwrap()).collect()
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
