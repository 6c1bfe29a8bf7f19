//! What the kernel tells of watched directories: who is woken by it, and when a walk should come soon.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::table::{Entry, Seen, State};
use super::{Scan, news};
use crate::input::follow::watches::{Event, Watches};

#[derive(Default)]
pub(super) struct Linked {
    /// The links, by the names of the files that they lead to.
    files: HashMap<OsString, Arc<Path>>,
    /// Patterns name files in it, too.
    is_walked: bool,
}

impl Scan {
    /// Watches these directories, those of files that links lead to, and no others.
    pub(super) fn watch(&mut self, directories: Vec<PathBuf>, links: Vec<(PathBuf, PathBuf)>) {
        let Some(watches) = &self.watches else { return };
        let mut wanted: HashSet<PathBuf> = directories.into_iter().collect();
        self.links.clear();
        for (real, link) in links {
            let (Some(dir), Some(name)) = (real.parent(), real.file_name()) else { continue };
            let linked = self.links.entry(dir.to_owned()).or_default();
            linked.is_walked = wanted.contains(dir);
            linked.files.insert(name.to_owned(), link.into());
        }
        wanted.extend(self.links.keys().cloned());
        watches.retain(|dir| wanted.contains(dir));
        let before = watches.len();
        for dir in &wanted {
            watches.watch(dir);
        }
        // What came between the walk and the watch told nobody.
        self.walk_again = watches.len() > before;
    }

    /// Wakes who is concerned; whether a walk should come soon.
    pub(super) async fn heard(&self, events: Vec<Event>) -> bool {
        let mut is_due = false;
        let mut directories = HashSet::new();
        let mut resting = Vec::new();
        {
            let entries = self.shared.table.lock();
            let mut wake = |path: &Path| match entries.get_key_value(path) {
                Some((_, Entry { state: State::Followed(waker), .. })) => {
                    waker.notify_one();
                    true
                }
                Some((path, _)) => {
                    resting.push(path.clone());
                    true
                }
                None => false,
            };
            for event in events {
                match event {
                    Event::Changed { dir, name } => {
                        let linked = self.links.get(&*dir);
                        let link = linked.and_then(|linked| linked.files.get(&name));
                        let is_link = link.is_some_and(|link| wake(link));
                        let path = dir.join(&name);
                        is_due |= !wake(&path) && !is_link && self.shared.is_wanted(&path);
                    }
                    Event::Names { dir } => {
                        let linked = self.links.get(&*dir);
                        linked.into_iter().flat_map(|linked| linked.files.values()).for_each(|link| {
                            wake(link);
                        });
                        if linked.is_none_or(|linked| linked.is_walked) {
                            is_due = true;
                            directories.insert(dir);
                        }
                    }
                    Event::Overflow => is_due = true,
                }
            }
            if !directories.is_empty() {
                for (path, entry) in entries.iter() {
                    if let State::Followed(waker) = &entry.state
                        && path.parent().is_some_and(|parent| directories.contains(parent))
                    {
                        waker.notify_one();
                    }
                }
            }
        }
        is_due | self.wake(resting).await
    }

    /// Starts a task for each of these files that rests and has news; whether one is not there.
    async fn wake(&self, paths: Vec<Arc<Path>>) -> bool {
        if paths.is_empty() {
            return false;
        }
        let looks = move || paths.into_iter().map(|path| (Seen::at(&path).ok(), path)).collect::<Vec<_>>();
        // Looking fails only where it is looked for again by the next walk.
        let Ok(looked) = self.stop.tasks.spawn_blocking(looks).await else { return true };
        let mut is_one_gone = false;
        let sight = self.sight();
        let mut orders = Vec::new();
        let mut entries = self.shared.table.lock();
        for (seen, path) in looked {
            match (seen, entries.get_mut(&path)) {
                (Some(seen), Some(entry)) => orders.extend(news(&path, entry, Some(seen), sight)),
                _ => is_one_gone = true,
            }
        }
        drop(entries);
        for order in orders {
            self.start(order);
        }
        is_one_gone
    }
}

/// What is told next; never, where nobody tells.
pub(super) async fn events(watches: &Option<Watches>) -> Vec<Event> {
    match watches {
        Some(watches) => watches.next().await,
        None => pending().await,
    }
}
