//! Keys in a file, or in a directory with a file for each part, read again while they are used.
//!
//! ```text
//! DIR/..data -> ..2026_11_23/        a mounted Secret of Kubernetes: kubelet swaps the link, so all parts are read behind one
//!   access_key_id  access_key_secret  security_token  expiration        look at it; `-` and `.` for `_`, any letter case
//! ```
//!
//! A file is of one of the formats of [`super::profile`]. It is read whole each time and compared by what it says: times of
//! change are not to be trusted across links and mounts. Reading is done off the workers of the runtime, since a file may lie
//! on a network.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::http::Http;
use super::profile::{self, Loaded, Parts};
use super::source::{Fetched, ask};
use crate::base::limits::KIB;

/// A vendor's file with a hundred profiles is smaller.
const FILE_BYTES: u64 = 256 * KIB as u64;
/// Files of a directory that are looked at.
const FILES: usize = 64;

pub(super) async fn fetch(path: &Path, name: Option<&str>, http: &Http) -> Result<Fetched, String> {
    let (owned, profile) = (path.to_owned(), name.map(str::to_owned));
    match http.read(move || load(&owned, profile.as_deref())).await?? {
        Loaded::Key(key, end) => {
            let now = jiff::Timestamp::now().as_second();
            let life = end.map(|end| super::answer::life(&end, now)).transpose()?;
            Ok(Fetched { key, life, reread: true, from: path.display().to_string() })
        }
        // Boxed there: a profile may point to a source of any kind but a file.
        Loaded::Source(plan) => ask(&plan, http).await.map_err(|why| {
            let why: Vec<String> =
                why.tried.into_iter().map(|(source, why)| format!("{source}: {why}")).collect();
            why.join("; ")
        }),
    }
}

fn load(path: &Path, name: Option<&str>) -> Result<Loaded, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => directory(path),
        Ok(_) => profile::parse(&bounded(path).map_err(unreadable)?, name),
        Err(error) => Err(unreadable(error)),
    }
}

fn directory(path: &Path) -> Result<Loaded, String> {
    // Both parts of a pair have to be of one version.
    let version = match fs::canonicalize(path.join("..data")) {
        Ok(version) => version,
        Err(_) => path.to_owned(),
    };
    let mut parts = Parts::default();
    for entry in fs::read_dir(&version).map_err(unreadable)?.take(FILES) {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| parts.knows(name)) else { continue };
        let text = bounded(&entry.path()).map_err(unreadable)?;
        parts.put(name, text.trim());
    }
    parts.key()
}

/// The text of a file that is no larger than any that is meant.
pub(super) fn bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {} KiB", FILE_BYTES >> 10)));
    }
    Ok(text)
}

fn unreadable(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn id(loaded: Result<Loaded, String>) -> Result<String, String> {
        match loaded? {
            Loaded::Key(key, _) => Ok(format!("{}/{}", key.id, key.secret.expose())),
            Loaded::Source(plan) => Ok(format!("{plan:?}")),
        }
    }

    #[test]
    fn a_mounted_secret_is_read_behind_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, id: &str| {
            let version = dir.path().join(name);
            fs::create_dir(&version).unwrap();
            fs::write(version.join("access-key-id"), format!("{id}\n")).unwrap();
            fs::write(version.join("ACCESS_KEY_SECRET"), format!("secret of {id}")).unwrap();
            fs::write(version.join("ca.crt"), "something else").unwrap();
        };
        make("..1", "one");
        make("..2", "two");
        symlink("..1", dir.path().join("..data")).unwrap();
        symlink("..data/access-key-id", dir.path().join("access-key-id")).unwrap();
        assert_eq!(id(load(dir.path(), None)), Ok("one/secret of one".to_owned()));
        symlink("..2", dir.path().join("..new")).unwrap();
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert_eq!(id(load(dir.path(), None)), Ok("two/secret of two".to_owned()));
        fs::remove_file(dir.path().join("..2/access-key-id")).unwrap();
        assert_eq!(id(load(dir.path(), None)), Err("it has no access_key_id".to_owned()));
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        assert_eq!(id(load(&path, None)), Err("it is not there".to_owned()));
        fs::write(&path, vec![b'#'; 300 * KIB]).unwrap();
        assert!(id(load(&path, None)).unwrap_err().contains("larger than 256 KiB"));
        fs::write(&path, [0xff]).unwrap();
        assert!(id(load(&path, None)).unwrap_err().starts_with("it cannot be read"));
    }
}
