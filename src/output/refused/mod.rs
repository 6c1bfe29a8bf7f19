//! Dead letters: what Log Service will never accept, and what no input can make records of, goes to files, never away.
//!
//! ```text
//! DATA/refused/<seconds>-<number>-<destination>.loggroup
//!     {"destination":..,"reason":..,"request_id":..,"records":..}\n     one line of JSON
//!     LogGroup protobuf, uncompressed, with its pack id
//! DATA/refused/<seconds>-<number>-<input>.<signal>                     blobs, profiles, ..., other
//!     {"input":..,"peer":..,"tag":..,"signal":..,"reason":..,"bytes":..,"time":..}\n     one line of JSON
//!     the payload as it came, inflated
//! ```
//!
//! The files together stay below a bound, in bytes and in number, since a small file takes a block and an inode; past it
//! the oldest go, counted. What is larger than the bound is refused, and nothing goes for it. Names are made of configured names and of ours, never of what a peer sent.

mod letter;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::file;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::base::signal::Signal;
use crate::record::Timestamp;
pub use letter::{Claim, Head, Letter, letters};

/// Ends of file names.
const LOG_GROUP: &str = "loggroup";
const OTHER: &str = "other";
/// Files there may be: with blocks of 4 KiB, less than 64 MiB beside their bytes.
const FILES: usize = 16_384;

/// How often the files are looked for when there is no room: somebody may have taken some away.
const LOOK: Duration = Duration::from_secs(10);

pub struct DeadLetters {
    dir: PathBuf,
    max_bytes: u64,
    max_files: usize,
    state: Mutex<State>,
    evicted: Counter,
    bytes: Gauge,
}

#[derive(Default)]
struct State {
    /// Name and size, oldest first.
    files: VecDeque<(String, u64)>,
    bytes: u64,
    number: u64,
    /// When the files were last looked for.
    looked: Option<Instant>,
}

impl State {
    /// Forgets what somebody has taken away or sent again, before anything goes to make room.
    fn look(&mut self, dir: &Path) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let mut gone = 0;
        self.files.retain(|(name, len)| {
            let there = fs::symlink_metadata(dir.join(name)).is_ok();
            gone += if there { 0 } else { *len };
            there
        });
        self.bytes -= gone;
    }
}

/// Why a group was refused; the first line of its file.
#[derive(Debug, Serialize)]
pub struct Refusal<'a> {
    pub destination: &'a str,
    pub reason: &'a str,
    pub request_id: &'a str,
    pub records: usize,
}

/// A payload that no record can hold; the first line of its file.
#[derive(Clone, Copy, Debug)]
pub struct Unkept<'a> {
    /// The input's name in the configuration.
    pub input: &'a str,
    pub peer: &'a str,
    /// Any bytes: written with what is no text replaced.
    pub tag: &'a [u8],
    /// `None` for a signal nobody knows.
    pub signal: Option<Signal>,
    pub reason: &'a str,
}

#[derive(Serialize)]
struct UnkeptHead<'a> {
    input: &'a str,
    peer: &'a str,
    tag: &'a str,
    signal: &'a str,
    reason: &'a str,
    bytes: usize,
    /// Seconds since 1970.
    time: i64,
}

/// Why a payload was not written.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// For good: the payload is lost, unless its sender keeps it.
    #[error(
        "a dead letter of {bytes} bytes is more than all of them may be together ({limit}); raise limits.dead_letter_bytes"
    )]
    TooLarge { bytes: u64, limit: u64 },
    #[error("a dead letter cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl DeadLetters {
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<DeadLetters> {
        file::own_private_dir(dir)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.rsplit_once('.').is_some_and(|(_, end)| is_letter(end)) {
                files.push((name, entry.metadata()?.len()));
            }
        }
        files.sort();
        let bytes = files.iter().map(|(_, len)| len).sum();
        let letters = DeadLetters {
            dir: dir.to_owned(),
            max_bytes,
            max_files: FILES,
            state: Mutex::new(State { files: files.into(), bytes, number: 0, looked: None }),
            evicted: counter(
                "sluicegate_dead_letters_evicted_total",
                "Dead-letter files removed because all of them together were too large.",
                &[],
            ),
            bytes: gauge("sluicegate_dead_letter_bytes", "Bytes of dead-letter files.", &[]),
        };
        letters.bytes.set(letters.used() as f64);
        Ok(letters)
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().bytes
    }

    /// Writes one file and syncs it: the records leave the journal right after.
    pub fn write(&self, refusal: &Refusal<'_>, group: &[u8]) -> io::Result<PathBuf> {
        let mut head = serde_json::to_vec(refusal)?;
        head.push(b'\n');
        self.put(refusal.destination, LOG_GROUP, Timestamp::now().seconds, &head, group)
    }

    /// Writes a payload to a file of its own and syncs it: its message may be acknowledged right after. This blocks on the
    /// disk, and on whoever else writes a dead letter.
    pub fn write_payload(&self, letter: &Unkept<'_>, payload: &[u8]) -> Result<PathBuf, LetterError> {
        let signal = letter.signal.map_or(OTHER, Signal::name);
        let time = Timestamp::now().seconds;
        let mut head = serde_json::to_vec(&UnkeptHead {
            input: letter.input,
            peer: letter.peer,
            tag: &String::from_utf8_lossy(letter.tag),
            signal,
            reason: letter.reason,
            bytes: payload.len(),
            time,
        })
        .map_err(io::Error::from)?;
        head.push(b'\n');
        let bytes = (head.len() + payload.len()) as u64;
        if bytes > self.max_bytes {
            return Err(LetterError::TooLarge { bytes, limit: self.max_bytes });
        }
        Ok(self.put(letter.input, signal, time, &head, payload)?)
    }

    /// Makes room and the file `<seconds>-<number>-<name>.<end>`.
    fn put(&self, name: &str, end: &str, seconds: i64, head: &[u8], body: &[u8]) -> io::Result<PathBuf> {
        let mut state = self.lock();
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let len = (head.len() + body.len()) as u64;
        let is_full = |state: &State| {
            state.bytes.saturating_add(len) > self.max_bytes || state.files.len() >= self.max_files
        };
        if is_full(&state) {
            state.look(&self.dir);
        }
        while is_full(&state)
            && let Some((oldest, freed)) = state.files.pop_front()
        {
            state.bytes -= freed;
            self.evicted.increment(1);
            tracing::warn!(file = %oldest, "a dead-letter file is removed to make room: limits.dead_letter_bytes is reached");
            match fs::remove_file(self.dir.join(oldest)) {
                // Somebody took it away, which is what they are there for.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        let (name, path) = loop {
            state.number += 1;
            let name = format!("{seconds:012}-{:06}-{safe}.{end}", state.number);
            let path = self.dir.join(&name);
            match file::create_private(&path, &[head, body]) {
                // Numbers begin anew with the program.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.map(|()| (name, path))?,
            }
        };
        file::sync_dir(&self.dir)?;
        state.files.push_back((name, len));
        state.bytes += len;
        drop(state);
        self.bytes.set(self.used() as f64);
        Ok(path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Whether a file whose name ends so is ours.
fn is_letter(end: &str) -> bool {
    end == LOG_GROUP || end == OTHER || Signal::ALL.iter().any(|signal| signal.name() == end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_share_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(dir.path(), 1_000).unwrap();
        let letter = Unkept {
            input: "forward/../in",
            peer: "10.0.0.1",
            tag: b"../../etc\xff\"\n",
            signal: Some(Signal::Profiles),
            reason: "too large",
        };
        let first = letters.write_payload(&letter, &[7; 300]).unwrap();
        let name = first.file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with("-000001-forward____in.profiles"), "{name}");
        assert_eq!(first.parent(), Some(dir.path()));
        let written = fs::read(&first).unwrap();
        let (head, payload) = written.split_at(written.iter().position(|byte| *byte == b'\n').unwrap());
        let head: serde_json::Value = serde_json::from_slice(head).unwrap();
        assert_eq!((&head["tag"], &head["bytes"]), (&"../../etc\u{fffd}\"\n".into(), &300.into()));
        assert_eq!((&head["signal"], &head["reason"]), (&"profiles".into(), &"too large".into()));
        assert_eq!(payload[1..], [7; 300]);
        assert!(matches!(
            letters.write_payload(&letter, &[7; 1_000]),
            Err(LetterError::TooLarge { limit: 1_000, .. })
        ));
        assert!(first.exists(), "nothing goes for what cannot be kept");
        let other = letters.write_payload(&Unkept { signal: None, ..letter }, &[7; 300]).unwrap();
        assert_eq!(other.extension().unwrap(), "other");
        assert_eq!(DeadLetters::open(dir.path(), 1_000).unwrap().used(), letters.used());
        // One that was taken away by hand is no reason to fail.
        fs::remove_file(&first).unwrap();
        let group = letters
            .write(&Refusal { destination: "d", reason: "r", request_id: "", records: 1 }, &[7; 500])
            .unwrap();
        assert!(group.exists() && letters.used() <= 1_000);
        // A restart within a second finds its numbers taken.
        let again = DeadLetters::open(dir.path(), 10_000).unwrap();
        let names = (0..3).map(|_| again.write_payload(&Unkept { signal: None, ..letter }, b"x").unwrap());
        assert_eq!(names.filter(|path| path.exists()).count(), 3);
    }

    #[test]
    fn small_files_are_bounded_by_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::open(dir.path(), 1 << 20).unwrap();
        letters.max_files = 3;
        let letter =
            Unkept { input: "forward", peer: "p", tag: b"t", signal: None, reason: "unknown_signal" };
        let paths: Vec<_> = (0..5).map(|_| letters.write_payload(&letter, b"x").unwrap()).collect();
        assert_eq!(paths.iter().filter(|path| path.exists()).count(), 3);
        assert!(paths[4].exists() && !paths[1].exists());
        assert_eq!(DeadLetters::open(dir.path(), 1 << 20).unwrap().used(), letters.used());
    }

    #[test]
    fn keeps_the_newest_within_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(dir.path(), 1_000).unwrap();
        let refusal =
            Refusal { destination: "cloud/app log", reason: "PostBodyInvalid", request_id: "R", records: 1 };
        let paths: Vec<_> = (0..5).map(|_| letters.write(&refusal, &[7; 300]).unwrap()).collect();
        assert!(letters.used() <= 1_000);
        assert!(!paths[0].exists() && paths[4].exists());
        let text = fs::read(&paths[4]).unwrap();
        assert!(text.starts_with(
            br#"{"destination":"cloud/app log","reason":"PostBodyInvalid","request_id":"R","records":1}"#
        ));
        assert_eq!(DeadLetters::open(dir.path(), 1_000).unwrap().used(), letters.used());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&paths[4]).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
