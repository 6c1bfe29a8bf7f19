//! Dead letters: what Log Service will never accept goes to files, never away.
//!
//! ```text
//! DATA/refused/<seconds>-<number>-<destination>.loggroup
//!     {"destination":..,"reason":..,"request_id":..,"records":..}\n     one line of JSON
//!     LogGroup protobuf, uncompressed, with its pack id
//! ```
//!
//! The files together stay below a bound; past it the oldest go, counted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;

use crate::base::file;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::record::Timestamp;

pub struct DeadLetters {
    dir: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
    evicted: Counter,
    bytes: Gauge,
}

#[derive(Default)]
struct State {
    /// Name and size, oldest first.
    files: Vec<(String, u64)>,
    number: u64,
}

/// Why a group was refused; the first line of its file.
#[derive(Debug, Serialize)]
pub struct Refusal<'a> {
    pub destination: &'a str,
    pub reason: &'a str,
    pub request_id: &'a str,
    pub records: usize,
}

impl DeadLetters {
    pub fn open(dir: &Path, max_bytes: u64) -> io::Result<DeadLetters> {
        file::own_private_dir(dir)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".loggroup") {
                files.push((name, entry.metadata()?.len()));
            }
        }
        files.sort();
        let letters = DeadLetters {
            dir: dir.to_owned(),
            max_bytes,
            state: Mutex::new(State { files, number: 0 }),
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
        self.lock().files.iter().map(|(_, len)| len).sum()
    }

    /// Writes one file and syncs it: the records leave the journal right after.
    pub fn write(&self, refusal: &Refusal<'_>, group: &[u8]) -> io::Result<PathBuf> {
        let mut state = self.lock();
        state.number += 1;
        let safe: String = refusal
            .destination
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let name = format!("{:012}-{:06}-{safe}.loggroup", Timestamp::now().seconds, state.number);
        let path = self.dir.join(&name);
        let mut head = serde_json::to_vec(refusal)?;
        head.push(b'\n');
        let len = (head.len() + group.len()) as u64;
        while !state.files.is_empty()
            && state.files.iter().map(|(_, len)| len).sum::<u64>() + len > self.max_bytes
        {
            let (oldest, _) = state.files.remove(0);
            self.evicted.increment(1);
            tracing::warn!(file = %oldest, "a dead-letter file is removed to make room: limits.dead_letter_bytes is reached");
            fs::remove_file(self.dir.join(oldest))?;
        }
        file::create_private(&path, &[&head, group])?;
        file::sync_dir(&self.dir)?;
        state.files.push((name, len));
        drop(state);
        self.bytes.set(self.used() as f64);
        Ok(path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
