//! A volume that applications write their logs to.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::gateway::fake_service::{FakeService, Put};

pub struct Volume(tempfile::TempDir);

impl Volume {
    pub fn new() -> Volume {
        Volume(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As a configuration names it.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The log of an application, in a directory that is made if need be.
    pub fn log(&self, name: &str) -> Log {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Log { path, written: 0 }
    }

    /// Files below this volume that this process holds open, removed ones too.
    pub fn open_files(&self) -> usize {
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        open.filter_map(target).filter(|path| path.starts_with(self.0.path()) && !path.is_dir()).count()
    }
}

/// A file of numbered lines.
pub struct Log {
    pub path: PathBuf,
    pub written: usize,
}

impl Log {
    pub fn put(&self, text: impl AsRef<[u8]>) {
        append(&self.path, text.as_ref());
    }

    /// Writes so many more lines.
    pub fn lines(&mut self, count: usize) {
        self.long_lines(count, 0);
    }

    /// Writes so many more lines of so many bytes with their line feed, which begin with their number and cannot be packed.
    pub fn long_lines(&mut self, count: usize, bytes: usize) {
        let mut text = Vec::with_capacity(count * (bytes + 16));
        for _ in 0..count {
            let begin = text.len();
            write!(text, "{} {} ", self.written, self.name()).unwrap();
            let rest = (begin + bytes).saturating_sub(text.len() + 1);
            text.extend_from_slice(noise(self.written, rest).as_bytes());
            text.push(b'\n');
            self.written += 1;
        }
        self.put(text);
    }

    fn name(&self) -> String {
        self.path.file_stem().unwrap().to_string_lossy().into_owned()
    }

    /// Renames it and those before it, of which `keep` stay, and begins anew.
    pub fn rotate(&self, keep: usize) {
        let numbered = |number: usize| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..keep).rev().filter(|number| numbered(*number).exists()) {
            fs::rename(numbered(number), numbered(number + 1)).unwrap();
        }
        fs::rename(&self.path, numbered(1)).unwrap();
        fs::write(&self.path, b"").unwrap();
    }

    /// Whether this process has the file open that has this name now.
    pub fn is_held(&self) -> bool {
        let Ok(own) = fs::metadata(&self.path) else { return false };
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.ok());
        open.filter_map(|entry| fs::metadata(entry.path()).ok())
            .any(|file| (file.dev(), file.ino()) == (own.dev(), own.ino()))
    }
}

/// Characters that do not repeat themselves, other ones for each number.
pub fn noise(number: usize, bytes: usize) -> &'static str {
    static NOISE: OnceLock<String> = OnceLock::new();
    let all = NOISE.get_or_init(|| {
        let mut state = 1u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize]
        };
        std::iter::repeat_with(next).map(char::from).take(1 << 20).collect()
    });
    let from = number * 77_773 % (all.len() - bytes);
    &all[from..from + bytes]
}

pub fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

pub fn text<'a>(record: &'a Map<String, Value>, key: &str) -> &'a str {
    record.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {record:?}"))
}

/// The value of a tag of the record's LogGroup.
pub fn tag<'a>(record: &'a Map<String, Value>, key: &str) -> &'a str {
    text(record, &format!("__tag__:{key}"))
}

/// The texts of these records, sorted.
pub fn texts(records: &[Map<String, Value>], key: &str) -> Vec<String> {
    let mut texts: Vec<String> = records.iter().map(|record| text(record, key).to_owned()).collect();
    texts.sort();
    texts
}

/// The numbers that lines begin with.
pub fn numbers(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<usize> {
    let number = |line: &str| line.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line:?}"));
    lines.into_iter().map(|line| number(line.as_ref())).collect()
}

/// Each number below `count` is there, once.
pub fn assert_each_once(mut numbers: Vec<usize>, count: usize) {
    numbers.sort_unstable();
    let twice = numbers.windows(2).filter(|two| two[0] == two[1]).count();
    let (there, first) = (numbers.len(), numbers.iter().enumerate().find(|(at, number)| at != *number));
    assert!(
        there == count && twice == 0 && first.is_none(),
        "{there} of {count} lines, {twice} twice, the first that is not there or twice: {first:?}"
    );
}

/// What a service accepted, by the logstore: lines in the order in which they came. A LogGroup that was sent again, the same
/// to the byte, is one.
pub fn delivered(service: &FakeService, key: &str) -> BTreeMap<String, Vec<String>> {
    let mut seen = HashSet::new();
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for put in service.accepted() {
        if seen.insert(put.group.clone()) {
            lines.entry(put.logstore.clone()).or_default().extend(put.values(key));
        }
    }
    lines
}

/// How many records a service accepted for a logstore, those that were sent again counted again.
pub fn count(service: &FakeService, logstore: &str) -> usize {
    let accepted = |put: &&Put| put.status == 200 && put.logstore == logstore;
    service.look(|puts| puts.iter().filter(accepted).map(|put| put.records).sum())
}
