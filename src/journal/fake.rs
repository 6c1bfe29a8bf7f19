//! A disk for tests that forgets: at a crash every byte and directory entry that was not synced may be gone, torn or
//! half there. It can fail syncs, run full and write short.
//!
//! A failed sync is the nasty kind: the pages count as clean afterwards, a repeated sync succeeds and makes nothing
//! durable.

use super::files::{Files, SegmentFile, Space};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// Durable up to here.
    synced: usize,
    /// A sync failed: nothing behind `synced` becomes durable any more.
    lost: bool,
}

enum DirOp {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

/// What goes wrong.
#[derive(Default)]
pub(super) struct Faults {
    /// So many syncs of files fail.
    pub(super) failing_syncs: u32,
    /// Syncs say that they worked and do nothing.
    pub(super) lying_syncs: bool,
    pub(super) short_writes: bool,
    /// Bytes all files may have together.
    pub(super) capacity: Option<usize>,
    /// Reads of this file fail.
    pub(super) unreadable: Option<String>,
    /// Removals and renames stop working, as after the process died.
    pub(super) dead: bool,
    pub(super) space: Option<Space>,
}

#[derive(Default)]
pub(super) struct World {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<DirOp>,
    pub(super) faults: Faults,
    random: u64,
    /// Calls so far, for tests that count them.
    pub(super) syncs: usize,
    pub(super) reads: usize,
}

impl World {
    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.random >> 33) as usize % below.max(1)
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.contents[*id].bytes.len()).sum()
    }
}

#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<World>>);

impl Disk {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn faults(&self, set: impl FnOnce(&mut Faults)) {
        set(&mut self.world().faults);
    }

    /// The power goes: answers the disk as a new process finds it.
    pub(super) fn crash(&self, seed: u64) -> Disk {
        let mut world = self.world();
        world.random = seed;
        let pending = std::mem::take(&mut world.pending);
        for op in pending {
            if world.random(2) == 0 {
                continue;
            }
            match op {
                DirOp::Create(name, id) => {
                    world.durable.insert(name, id);
                }
                DirOp::Remove(name) => {
                    world.durable.remove(&name);
                }
                DirOp::Rename(from, to) => {
                    if let Some(id) = world.durable.remove(&from) {
                        world.durable.insert(to, id);
                    }
                }
            }
        }
        let mut after = World { random: seed ^ 0x5555, ..World::default() };
        for (name, id) in world.durable.clone() {
            let (all, synced) = (world.contents[id].bytes.clone(), world.contents[id].synced);
            let mut bytes = all[..synced].to_vec();
            let unsynced = all.len() - synced;
            match world.random(4) {
                // Nothing of it, a part, or some sectors of it with zeros between.
                0 => {}
                1 => bytes.extend_from_slice(&all[synced..synced + world.random(unsynced + 1)]),
                _ => {
                    let end = synced + world.random(unsynced + 1);
                    bytes.resize(end, 0);
                    for start in (synced..end).step_by(512) {
                        if world.random(2) == 0 {
                            let stop = (start + 512).min(end);
                            bytes[start..stop].copy_from_slice(&all[start..stop]);
                        }
                    }
                }
            }
            let synced = bytes.len();
            let id = after.contents.len();
            after.contents.push(Content { bytes, synced, lost: false });
            after.names.insert(name.clone(), id);
            after.durable.insert(name, id);
        }
        world.faults.dead = true;
        Disk(Arc::new(Mutex::new(after)))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.contents[world.names[name]].bytes.clone()
    }

    /// Changes a file behind the journal's back.
    pub(super) fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let id = world.names[name];
        let content = &mut world.contents[id];
        change(&mut content.bytes);
        content.synced = content.bytes.len();
    }

    /// Puts a file there behind the journal's back.
    pub(super) fn place_file(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world();
        let id = world.contents.len();
        world.contents.push(Content { synced: bytes.len(), bytes, lost: false });
        world.names.insert(name.to_owned(), id);
        world.durable.insert(name.to_owned(), id);
    }

    pub(super) fn delete(&self, name: &str) {
        let mut world = self.world();
        world.names.remove(name);
        world.durable.remove(name);
    }
}

struct Handle {
    disk: Disk,
    id: usize,
    name: String,
}

impl Files for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let mut world = self.world();
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = world.contents.len();
        world.contents.push(Content::default());
        world.names.insert(name.to_owned(), id);
        world.pending.push(DirOp::Create(name.to_owned(), id));
        Ok(Box::new(Handle { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let id = *self.world().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let id = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), id);
        world.pending.push(DirOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        world.pending.push(DirOp::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.world();
        if !world.faults.lying_syncs {
            world.pending.clear();
            world.durable = world.names.clone();
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let set = self.world().faults.space;
        Ok(set.unwrap_or(Space { available: 1 << 40, total: 1 << 40 }))
    }

    fn place(&self) -> &Path {
        Path::new("/fake")
    }
}

impl SegmentFile for Handle {
    fn write_some(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut world = self.disk.world();
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        if world.faults.short_writes {
            let length = 1 + world.random(bytes.len());
            bytes.truncate(length);
        }
        if let Some(capacity) = world.faults.capacity {
            let room = capacity.saturating_sub(world.used());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.truncate(room);
        }
        world.contents[self.id].bytes.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let content = &mut world.contents[self.id];
        assert!(content.synced as u64 <= len, "what is durable is never cut");
        content.bytes.truncate(len as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.syncs += 1;
        if world.faults.failing_syncs > 0 {
            world.faults.failing_syncs -= 1;
            world.contents[self.id].lost = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        let lying = world.faults.lying_syncs;
        let content = &mut world.contents[self.id];
        if !lying && !content.lost {
            content.synced = content.bytes.len();
        }
        Ok(())
    }

    fn read_some(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.reads += 1;
        if world.faults.unreadable.as_ref() == Some(&self.name) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let rest = world.contents[self.id].bytes.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.world().contents[self.id].bytes.len() as u64)
    }
}
