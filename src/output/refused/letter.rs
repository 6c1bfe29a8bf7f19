//! Dead letters as they lie in their directory: found, read, taken away; by the gateway or beside it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LOG_GROUP, is_letter};

/// Longest first line; a reason can be long, not so long.
const HEAD_BYTES: u64 = 1 << 20;

/// Whether a letter may be sent by us. Two who send the same one would make its records two.
#[derive(Debug)]
pub enum Claim {
    /// For as long as this is kept.
    Ours(fs::File),
    /// Somebody else sends it right now.
    Taken,
    /// It was sent, dropped, or removed to make room.
    Gone,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Letter {
    pub path: PathBuf,
    /// Its file's name, which begins with the time and a number.
    pub name: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Of the payload behind the first line.
    pub bytes: u64,
    pub head: Head,
}

/// The first line of either kind of file. What a kind does not say is empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Head {
    /// `name/logstore` of who was to get it, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// The input it came from, where nothing could be made of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signal: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    #[serde(default)]
    pub records: usize,
}

impl Letter {
    /// Reads the first line of a file of this directory.
    fn open(path: PathBuf, name: String) -> io::Result<Letter> {
        let file = fs::File::open(&path)?;
        let len = file.metadata()?.len();
        let mut line = Vec::new();
        BufReader::new(file).take(HEAD_BYTES).read_until(b'\n', &mut line)?;
        // A file that was damaged is shown as what it is: a name and bytes.
        let head = serde_json::from_slice(&line).unwrap_or_else(|error| Head {
            reason: format!("its first line is damaged: {error}"),
            ..Head::default()
        });
        let time = name.split('-').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        Ok(Letter { path, name, time, bytes: len.saturating_sub(line.len() as u64), head })
    }

    /// A LogGroup that can be sent again.
    pub fn is_log_group(&self) -> bool {
        Path::new(&self.name).extension().is_some_and(|end| end == LOG_GROUP)
    }

    /// Takes the letter for whoever sends it; the kernel gives it back when they end.
    pub fn claim(&self) -> io::Result<Claim> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(Claim::Gone),
            _ => Err(error),
        };
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) => return gone(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(Claim::Taken),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it until now may have sent it.
        match fs::metadata(&self.path) {
            Ok(_) => Ok(Claim::Ours(file)),
            Err(error) => gone(error),
        }
    }

    /// What stands behind the first line: a LogGroup as it was sent, or a payload as it came.
    pub fn payload(&self) -> io::Result<Vec<u8>> {
        let mut file = BufReader::new(fs::File::open(&self.path)?);
        let mut line = Vec::new();
        file.by_ref().take(HEAD_BYTES).read_until(b'\n', &mut line)?;
        let mut payload = Vec::with_capacity(self.bytes as usize);
        file.read_to_end(&mut payload)?;
        Ok(payload)
    }

    /// Takes the file away; that it is gone already is as good.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// The letters of a directory, oldest first. None when there is no such directory.
pub fn letters(dir: &Path) -> io::Result<Vec<Letter>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut letters = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.rsplit_once('.').is_some_and(|(_, end)| is_letter(end)) {
            continue;
        }
        match Letter::open(entry.path(), name) {
            // The gateway makes room while we look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            letter => letters.push(letter?),
        }
    }
    letters.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use super::super::{DeadLetters, Refusal, Unkept};
    use super::*;

    #[test]
    fn both_kinds_are_found_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let writer = DeadLetters::open(dir.path(), 1 << 20).unwrap();
        let refusal = Refusal { destination: "cloud/web", reason: "HTTP 400", request_id: "R1", records: 3 };
        writer.write(&refusal, b"group\nbytes").unwrap();
        let unkept =
            Unkept { input: "forward", peer: "10.0.0.1", tag: b"t", signal: None, reason: "unknown_signal" };
        writer.write_payload(&unkept, b"payload").unwrap();
        fs::write(dir.path().join("000000000007-000001-x.loggroup"), "no JSON").unwrap();
        fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
        let found = letters(dir.path()).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found[0].time == 7 && found[0].head.reason.contains("damaged"));
        let group = &found[1];
        assert!(group.is_log_group() && group.time > 1_700_000_000);
        assert_eq!((group.head.destination.as_str(), group.head.records, group.bytes), ("cloud/web", 3, 11));
        assert_eq!(group.payload().unwrap(), b"group\nbytes");
        assert!(!found[2].is_log_group() && found[2].head.input == "forward");
        assert_eq!(found[2].payload().unwrap(), b"payload");
        let claimed = group.claim().unwrap();
        assert!(matches!(claimed, Claim::Ours(_)) && matches!(group.claim().unwrap(), Claim::Taken));
        drop(claimed);
        assert!(matches!(group.claim().unwrap(), Claim::Ours(_)));
        group.remove().unwrap();
        group.remove().unwrap();
        assert!(matches!(group.claim().unwrap(), Claim::Gone));
        assert_eq!(letters(dir.path()).unwrap().len(), 2);
        assert!(letters(&dir.path().join("none")).unwrap().is_empty());
    }
}
