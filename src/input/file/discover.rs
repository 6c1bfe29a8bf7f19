//! Finds the files that an input's patterns mean.
//!
//! One walk goes down from `/` for all patterns at once and lists only directories below which something can match; where
//! all names are written out none is listed, so a directory that may be entered and not listed is no hindrance.
//!
//! * A file comes once, under the first of its paths: hard links, symbolic links and overlapping patterns add nothing.
//!   Symbolic links are followed; the path is the one that matched, the identity is the target's.
//! * A name that rotation gave to a file that is found beside it is no file of its own: it belongs to the other's chain
//!   ([`naming`]). A packed one (`.gz`) is one only where the pattern itself ends so.
//!   Where a file's own name is such a link, the file's place is told as well: what is written there is told of there.
//! * What cannot be looked at is a fault; the walk goes on beside it. What does not exist is none: it may come.
//! * More than [`MOST_FILES`] files, or directories nested deeper than [`MOST_DEEP`], are not looked at.
//!
//! Plain blocking code. Two walks over the same files give the same in the same order.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::path_pattern::{PathPattern, Places};
use crate::config::plan::FilePlan;
use crate::input::follow::identity::FileId;
use crate::input::follow::survey::{is_gone, resolve};
use crate::input::follow::{FileError, naming};

/// Files of one input.
pub const MOST_FILES: usize = 100_000;
/// Directories above a file.
pub const MOST_DEEP: usize = 128;
/// Faults that a walk tells of.
const MOST_FAULTS: usize = 100;
/// Endings of names whose content is no text.
const PACKED: [&str; 7] = [".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"];

/// A file to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As it matched.
    pub path: PathBuf,
    pub id: FileId,
    pub size: u64,
    pub modified: SystemTime,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// In the order of their paths.
    pub files: Vec<Candidate>,
    /// Where files and directories may come or change.
    pub directories: Vec<PathBuf>,
    /// Files whose names are symbolic links, each by the place where it stands, all links followed.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// What could not be looked at.
    pub faults: Vec<FileError>,
}

pub struct Discovery {
    paths: Vec<PathPattern>,
    exclude: Vec<PathPattern>,
    max_depth: usize,
}

impl Discovery {
    pub fn new(plan: &FilePlan) -> Discovery {
        Discovery { paths: plan.paths.clone(), exclude: plan.exclude.clone(), max_depth: plan.max_depth }
    }

    /// Looks at all that the patterns may mean. Blocking.
    pub fn walk(&mut self) -> Walk {
        let mut walking =
            Walking { discovery: self, walk: Walk::default(), ids: HashSet::new(), met: HashSet::new() };
        let wanted: Vec<_> = self.paths.iter().map(PathPattern::start).map(Some).collect();
        let unwanted: Vec<_> = self.exclude.iter().map(PathPattern::start).map(Some).collect();
        walking.enter(Path::new("/"), &Standing { wanted, unwanted }, &mut Vec::new());
        walking.walk
    }
}

/// Where a directory stands in each pattern; `None` where nothing below it can match.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Standing {
    wanted: Vec<Option<Places>>,
    unwanted: Vec<Option<Places>>,
}

struct Walking<'d> {
    discovery: &'d Discovery,
    walk: Walk,
    ids: HashSet<FileId>,
    /// Directories that were entered, by device and inode: symbolic links may lead to them in many ways.
    met: HashSet<(u64, u64, Standing)>,
}

/// What is done with a name of a directory.
enum Item {
    File {
        metadata: Metadata,
        /// Of a symbolic link.
        real: Option<PathBuf>,
    },
    Directory(Standing),
}

/// A name that may matter.
enum Entry {
    Listed(DirEntry),
    /// Written out in a pattern; nobody knows whether it is there.
    Named(Box<OsStr>),
}

impl Walking<'_> {
    fn enter(&mut self, dir: &Path, standing: &Standing, above: &mut Vec<(u64, u64)>) {
        let metadata = match fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return,
            Err(error) => return self.fault("cannot look at", dir, error),
        };
        let inode = (metadata.dev(), metadata.ino());
        if above.len() > MOST_DEEP
            || above.contains(&inode)
            || !self.met.insert((inode.0, inode.1, standing.clone()))
        {
            return;
        }
        let Some((entries, is_listed)) = self.entries(dir, standing) else { return };
        let mut items: Vec<(OsString, Item)> = Vec::new();
        let mut is_complete = true;
        for entry in entries {
            let name = entry.name();
            let item = self.item(dir, &entry, &name, standing);
            is_complete &= item.is_some();
            items.extend(item.map(|item| (name, item)));
        }
        items.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        // Of names that are all written out and there, the directories tell by themselves.
        let has_files = items.iter().any(|(_, item)| matches!(item, Item::File { .. }));
        if is_listed || has_files || !is_complete {
            self.walk.directories.push(dir.to_owned());
        }
        above.push(inode);
        let mut bases: HashSet<OsString> = HashSet::new();
        for (name, item) in items {
            match item {
                Item::File { metadata, real } => {
                    if !naming::bases(name.as_bytes()).any(|base| bases.contains(OsStr::from_bytes(base))) {
                        self.found(dir.join(&name), &metadata, real);
                        bases.insert(name);
                    }
                }
                Item::Directory(standing) => self.enter(&dir.join(name), &standing, above),
            }
        }
        above.pop();
    }

    /// The names that may matter, and whether the directory was listed for them.
    fn entries(&mut self, dir: &Path, standing: &Standing) -> Option<(Vec<Entry>, bool)> {
        let mut names = Vec::new();
        let mut wanted = self.discovery.paths.iter().zip(&standing.wanted);
        if wanted
            .all(|(pattern, places)| places.as_ref().is_none_or(|places| pattern.names(places, &mut names)))
        {
            names.sort_unstable();
            names.dedup();
            return Some((names.into_iter().map(Entry::Named).collect(), false));
        }
        let listed = fs::read_dir(dir).and_then(|entries| {
            entries.map(|entry| entry.map(Entry::Listed)).collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(entries) => Some((entries, true)),
            Err(error) => {
                self.fault("cannot list", dir, error);
                None
            }
        }
    }

    fn takes(&self, standing: &Standing, name: &OsStr) -> bool {
        takes(&self.discovery.paths, &standing.wanted, name)
    }

    /// What is to be done with a name. `None`: nothing.
    fn item(&mut self, dir: &Path, entry: &Entry, name: &OsStr, standing: &Standing) -> Option<Item> {
        let kind = entry.kind();
        // Through a symbolic link it may be either.
        let (may_be_file, may_be_dir) = kind.map_or((true, true), |kind| (kind.is_file(), kind.is_dir()));
        let is_wanted = may_be_file && self.takes(standing, name) && !self.is_packed(standing, name);
        let below = if may_be_dir { self.below(standing, name) } else { None };
        if !(is_wanted || below.is_some()) || takes(&self.discovery.exclude, &standing.unwanted, name) {
            return None;
        }
        if !may_be_file {
            return below.map(Item::Directory);
        }
        let metadata = match (entry, kind) {
            (Entry::Listed(entry), Some(kind)) if kind.is_file() => entry.metadata(),
            _ => fs::metadata(dir.join(name)),
        };
        match metadata {
            Ok(metadata) if metadata.is_dir() => below.map(Item::Directory),
            Ok(metadata) => (is_wanted && metadata.is_file()).then(|| {
                let real = entry.is_link(dir).then(|| resolve(&dir.join(name))).flatten();
                Item::File { metadata, real }
            }),
            Err(error) => {
                self.fault("cannot look at", &dir.join(name), error);
                None
            }
        }
    }

    /// Whether it is a packed file, and no pattern asks for it as such.
    fn is_packed(&self, standing: &Standing, name: &OsStr) -> bool {
        let Some(ending) = PACKED.iter().find(|ending| name.as_bytes().ends_with(ending.as_bytes())) else {
            return false;
        };
        let mut wanted = self.discovery.paths.iter().zip(&standing.wanted);
        !wanted.any(|(pattern, places)| {
            places.as_ref().is_some_and(|places| pattern.says_ending(places, name, ending))
        })
    }

    /// Where a directory of this name stands. `None` when nothing below it is wanted.
    fn below(&self, standing: &Standing, name: &OsStr) -> Option<Standing> {
        let enter = |patterns: &[PathPattern], places: &[Option<Places>], depth| -> Vec<Option<Places>> {
            let pairs = patterns.iter().zip(places);
            pairs.map(|(pattern, places)| pattern.enter(places.as_ref()?, name, depth)).collect()
        };
        let wanted = enter(&self.discovery.paths, &standing.wanted, self.discovery.max_depth);
        if wanted.iter().all(Option::is_none) {
            return None;
        }
        Some(Standing { wanted, unwanted: enter(&self.discovery.exclude, &standing.unwanted, usize::MAX) })
    }

    fn found(&mut self, path: PathBuf, metadata: &Metadata, real: Option<PathBuf>) {
        let id = FileId::of(metadata);
        if self.walk.files.len() == MOST_FILES {
            let many = io::Error::other(format!("there are more than {MOST_FILES} files; name fewer"));
            if self.ids.insert(id) {
                self.walk.faults.truncate(MOST_FAULTS - 1);
                self.fault("cannot follow", &path, many);
            }
            return;
        }
        if self.ids.insert(id) {
            self.walk.links.extend(real.map(|real| (real, path.clone())));
            let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
            self.walk.files.push(Candidate { path, id, size: metadata.len(), modified });
        }
    }

    fn fault(&mut self, what: &'static str, path: &Path, cause: io::Error) {
        if !is_gone(&cause) && self.walk.faults.len() < MOST_FAULTS {
            self.walk.faults.push(FileError { what, path: path.to_owned(), cause });
        }
    }
}

fn takes(patterns: &[PathPattern], places: &[Option<Places>], name: &OsStr) -> bool {
    let mut pairs = patterns.iter().zip(places);
    pairs.any(|(pattern, places)| places.as_ref().is_some_and(|places| pattern.takes(places, name)))
}

impl Entry {
    fn name(&self) -> OsString {
        match self {
            Entry::Listed(entry) => entry.file_name(),
            Entry::Named(name) => name.to_os_string(),
        }
    }

    fn is_link(&self, dir: &Path) -> bool {
        match self {
            Entry::Listed(entry) => entry.file_type().is_ok_and(|kind| kind.is_symlink()),
            Entry::Named(name) => {
                fs::symlink_metadata(dir.join(&**name)).is_ok_and(|metadata| metadata.is_symlink())
            }
        }
    }

    /// What it is by itself, where that was told with its name.
    fn kind(&self) -> Option<FileType> {
        match self {
            Entry::Listed(entry) => entry.file_type().ok().filter(|kind| !kind.is_symlink()),
            Entry::Named(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
