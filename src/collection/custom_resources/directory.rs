//! Custom resources as files of one directory, such as a ConfigMap that is mounted.
//!
//! The directory is looked at again and again; a file is read when it is another one than before: by its inode, length and
//! times, behind symbolic links, since a mounted ConfigMap is a tree of links of which one is swapped. What is being written
//! is not taken: a file that came, changed or went has to look the same twice, but at the start.
//!
//! A file that cannot be read is told by its name, and what it had stays; a resource in it that makes no sense is told by its
//! own. After a restart nobody knows what a file had that cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::Source;
use super::super::context::SourceContext;
use super::choice::{Broken, Chosen, MOST, Met, choose};
use crate::base::limits;
use crate::config::collected::resource::{self, Resource, ResourceError};

const FILE_BYTES: u64 = limits::MIB as u64;
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// The set is told again so often, changed or not: who shows how this source does shows that it looks.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Where files are, and how often they are looked at.
#[derive(Clone, Debug)]
pub struct Settings {
    pub path: PathBuf,
    /// Of resources that name none.
    pub project: Option<String>,
    pub interval: Duration,
}

/// Looks until `stop`, or until nobody wants to know.
pub async fn run(settings: Settings, mut context: SourceContext) {
    let mut directory = Directory::default();
    let mut said: Option<Instant> = None;
    loop {
        let path = settings.path.clone();
        // A mounted directory may be on a network file system.
        let looked = tokio::task::spawn_blocking(move || {
            let news = directory.look(&path);
            (directory, news)
        });
        let Ok((looked, news)) = looked.await else { return };
        directory = looked;
        let is_other = context.identity.has_changed().unwrap_or(false);
        match news {
            Ok(is_news) => {
                if is_news || is_other || said.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
                    let ids = context.identity.borrow_and_update().ids.clone();
                    let Chosen { found: set, .. } =
                        choose(Source::Directory, directory.met(), &ids, settings.project.as_deref());
                    if context.found.send(set).await.is_err() {
                        return;
                    }
                    said = Some(Instant::now());
                }
            }
            Err(error) => {
                let path = settings.path.display();
                context.failed(Source::Directory, &format!("{path} cannot be listed: {error}"));
                said = None;
            }
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.found.closed() => return,
            () = tokio::time::sleep(settings.interval) => {}
            Ok(()) = context.identity.changed() => context.identity.mark_changed(),
        }
    }
}

/// What a directory has had.
#[derive(Default)]
pub(super) struct Directory {
    /// By name, so that of two that mean the same the same one is taken each time.
    files: BTreeMap<String, FileState>,
    is_known: bool,
}

#[derive(Default)]
struct FileState {
    /// As it looked the last time; absent: it was not there.
    seen: Option<Look>,
    /// As it looked when it was taken.
    taken: Option<Look>,
    /// Those that make sense.
    resources: Vec<Resource>,
    broken: Vec<Broken>,
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Directory {
    /// Whether anything is another now.
    pub(super) fn look(&mut self, path: &Path) -> io::Result<bool> {
        let looks = looks(path)?;
        for name in looks.keys() {
            if !self.files.contains_key(name) {
                self.files.insert(name.clone(), FileState::default());
            }
        }
        let mut is_news = !self.is_known;
        for (name, file) in &mut self.files {
            let now = looks.get(name).copied();
            let is_settled = now == file.seen || !self.is_known;
            file.seen = now;
            if is_settled && now != file.taken {
                file.taken = now;
                is_news |= file.take(&path.join(name));
            }
        }
        self.files.retain(|_, file| file.seen.is_some() || file.taken.is_some());
        self.is_known = true;
        Ok(is_news)
    }

    fn met(&self) -> Vec<Met> {
        let mut met = Vec::new();
        for (name, file) in &self.files {
            let resource = |resource: &Resource| Met { place: name.clone(), resource: Ok(resource.clone()) };
            met.extend(file.resources.iter().map(resource));
            let broken = |broken: &Broken| Met { place: name.clone(), resource: Err(broken.clone()) };
            met.extend(file.broken.iter().map(broken));
        }
        met
    }
}

impl FileState {
    /// Whether it holds something else now.
    fn take(&mut self, path: &Path) -> bool {
        let (mut resources, mut broken) = (Vec::new(), Vec::new());
        match self.taken.map(|_| read(path)) {
            None => {}
            Some(Ok(documents)) => {
                for document in documents {
                    match document {
                        Ok(resource) => resources.push(resource),
                        Err(error) => broken.push(self.broken(error)),
                    }
                }
            }
            Some(Err(reason)) => {
                resources = self.resources.clone();
                broken.push(Broken {
                    project: None,
                    name: None,
                    machine_groups: Vec::new(),
                    reasons: vec![reason],
                });
            }
        }
        let is_news = resources != self.resources || broken != self.broken;
        (self.resources, self.broken) = (resources, broken);
        is_news
    }

    /// One that made sense before is meant for whom it was meant then.
    fn broken(&self, error: ResourceError) -> Broken {
        let ResourceError { kind, namespace, name, reasons } = error;
        let is_it = |known: &&Resource| {
            Some(known.kind) == kind && known.namespace == namespace && Some(&known.name) == name.as_ref()
        };
        let same = self.resources.iter().find(is_it);
        let before = self.broken.iter().find(|broken| broken.name.is_some() && broken.name == name);
        let known = same.map(|known| (known.project.clone(), known.machine_groups.clone()));
        let known = known.or_else(|| before.map(|one| (one.project.clone(), one.machine_groups.clone())));
        let (project, machine_groups) = known.unwrap_or_default();
        Broken { project, name, machine_groups, reasons }
    }
}

/// What each document is. The error is of the file.
fn read(path: &Path) -> Result<Vec<Result<Resource, ResourceError>>, String> {
    let mut text = String::new();
    let file = fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_string(&mut text));
    if let Err(error) = file {
        return Err(format!("cannot be read: {error}"));
    }
    if text.len() as u64 > FILE_BYTES {
        return Err("is larger than 1 MiB".to_owned());
    }
    resource::read_yaml(&text)
}

/// All files of these names, behind links. One that goes meanwhile is not there.
fn looks(path: &Path) -> io::Result<BTreeMap<String, Look>> {
    let mut looks = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let is_meant =
            Path::new(&name).extension().is_some_and(|end| EXTENSIONS.iter().any(|meant| end == *meant));
        if !is_meant || name.starts_with('.') {
            continue;
        }
        let Ok(metadata) = fs::metadata(path.join(&name)) else { continue };
        if !metadata.is_file() {
            continue;
        }
        if looks.len() >= MOST {
            return Err(io::Error::other(format!("there are more than {MOST} files")));
        }
        let look = Look {
            place: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        looks.insert(name, look);
    }
    Ok(looks)
}
