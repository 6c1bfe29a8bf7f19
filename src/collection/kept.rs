//! The last good set of every source, on disk: what was collected goes on being collected after a start without network.
//!
//! ```text
//! DATA/collection.json   {"version": 1, "found": [{"source": "machine_groups", "wanted": [..]}, ..]}     0600
//! ```
//!
//! It is written aside and renamed, so that a crash leaves the old one or the new one. One that cannot be read is set aside
//! and told of: the sources say it all again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Source, Wanted};
use crate::base::file;

const FILE: &str = "collection.json";
const VERSION: u32 = 1;
/// A thousand configurations of many KiB each.
const FILE_BYTES: u64 = 64 << 20;

/// What each source wants.
pub type Sets = BTreeMap<Source, Vec<Wanted>>;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    found: Vec<Set>,
}

#[derive(Serialize, Deserialize)]
struct Set {
    source: Source,
    wanted: Vec<Wanted>,
}

/// What the last run kept, nothing when there was none. Blocking.
pub fn read(data_dir: &Path) -> Sets {
    let path = data_dir.join(FILE);
    match read_document(&path) {
        Ok(Some(document)) => document.found.into_iter().map(|set| (set.source, set.wanted)).collect(),
        Ok(None) => Sets::new(),
        Err(error) => {
            let aside = PathBuf::from(format!("{}.damaged", path.display()));
            let moved = match fs::rename(&path, &aside) {
                Ok(()) => format!("it is {} now", aside.display()),
                Err(error) => format!("it cannot be set aside: {error}"),
            };
            tracing::error!(
                "{} holds what was collected last and cannot be used: {error}; {moved}; nothing of it is collected until its \
                 sources are reached",
                path.display()
            );
            Sets::new()
        }
    }
}

fn read_document(path: &Path) -> io::Result<Option<Document>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let document: Document = serde_json::from_slice(&bytes)?;
    if document.version != VERSION {
        return Err(io::Error::other(format!("it is of version {}", document.version)));
    }
    Ok(Some(document))
}

/// Keeps these. Blocking.
pub fn write(data_dir: &Path, sets: &Sets) -> io::Result<()> {
    let set = |(source, wanted): (&Source, &Vec<Wanted>)| Set { source: *source, wanted: wanted.clone() };
    let document = Document { version: VERSION, found: sets.iter().map(set).collect() };
    let bytes = serde_json::to_vec(&document)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("what is to be collected takes more than 64 MiB"));
    }
    file::write_private(&data_dir.join(FILE), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Form;
    use serde_json::json;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).is_empty());
        let wanted = Wanted {
            source: Source::MachineGroups,
            project: "ppp".to_owned(),
            name: "nginx".to_owned(),
            form: Form::Classic,
            body: json!({ "inputType": "file", "n": 1.5 }),
            group_topic: Some("web".to_owned()),
            logstores: Vec::new(),
        };
        let sets = Sets::from([(Source::MachineGroups, vec![wanted]), (Source::Kubernetes, Vec::new())]);
        write(dir.path(), &sets).unwrap();
        assert_eq!(read(dir.path()), sets);
        let path = dir.path().join(FILE);
        for damage in ["", "{", r#"{"version":2,"found":[]}"#, r#"{"version":1,"found":[{"source":"moon"}]}"#]
        {
            fs::write(&path, damage).unwrap();
            assert!(read(dir.path()).is_empty(), "{damage}");
            assert!(!path.exists() && dir.path().join("collection.json.damaged").exists());
        }
        write(dir.path(), &sets).unwrap();
        assert_eq!(read(dir.path()), sets);
    }
}
