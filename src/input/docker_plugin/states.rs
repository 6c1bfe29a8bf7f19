//! What must outlive this process: which FIFOs are read, and for which containers. The engine tells it once, when a
//! container starts, and does not repeat it to a plugin that was started again.
//!
//! ```text
//! <state directory>/<hash of the FIFO's path>.json      a Container, readable by its owner alone
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::container::{Container, VERSION, check_id};
use crate::base::file::{own_private_dir, write_private};

pub(super) struct States {
    dir: PathBuf,
}

impl States {
    /// Makes the directory.
    pub(super) fn open(dir: &Path) -> io::Result<States> {
        own_private_dir(dir)?;
        Ok(States { dir: dir.to_owned() })
    }

    /// Everything an earlier run left. What cannot be read is set aside. Blocking.
    pub(super) fn load(&self) -> io::Result<Vec<Container>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let read = fs::read(&path)?;
            match serde_json::from_slice::<Container>(&read) {
                Ok(container) if container.version == VERSION && check_id(&container.id).is_ok() => {
                    found.push(container);
                }
                read => {
                    let error =
                        read.err().map_or_else(|| "another version wrote it".to_owned(), |e| e.to_string());
                    tracing::error!(path = %path.display(), error,
                        "what was kept of a container cannot be read and is set aside; its FIFO is not read until the \
                         container is started again");
                    fs::rename(&path, path.with_extension("json.broken"))?;
                }
            }
        }
        Ok(found)
    }

    /// Keeps a container; when this returns, it outlives a power cut. Blocking.
    pub(super) fn save(&self, container: &Container) -> io::Result<()> {
        let text = serde_json::to_vec(container).map_err(io::Error::other)?;
        write_private(&self.path(&container.file), &text)
    }

    /// Whether the container of this FIFO is kept.
    pub(super) fn has(&self, file: &Path) -> bool {
        self.path(file).exists()
    }

    /// Forgets a container. Blocking.
    pub(super) fn remove(&self, file: &Path) -> io::Result<()> {
        match fs::remove_file(self.path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, file: &Path) -> PathBuf {
        self.dir.join(format!("{:032x}.json", xxh3_128(file.as_os_str().as_encoded_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let states = States::open(dir.path()).unwrap();
        let container = Container {
            version: VERSION,
            file: "/run/docker/logging/a".into(),
            id: "ab".into(),
            name: "web".into(),
            image: "busybox".into(),
            tag: "docker.web".into(),
            fields: vec![("team".into(), "core".into())],
            logstore: None,
            topic: Some("t".into()),
        };
        states.save(&container).unwrap();
        states.save(&Container { file: "/run/docker/logging/b".into(), ..container.clone() }).unwrap();
        fs::write(dir.path().join("x.json"), b"{").unwrap();
        let states = States::open(dir.path()).unwrap();
        assert_eq!(states.load().unwrap().len(), 2);
        assert!(dir.path().join("x.json.broken").exists());
        states.remove(Path::new("/run/docker/logging/b")).unwrap();
        states.remove(Path::new("/run/docker/logging/b")).unwrap();
        assert!(states.load().unwrap() == [container]);
    }
}
