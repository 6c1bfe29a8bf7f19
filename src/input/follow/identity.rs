//! What a file is known by, and how far it has been read.
//!
//! ```text
//! Position   version 1 | flags (1 stdout unfinished, 2 stderr unfinished, 4 before known)
//!            | read: Point | a Point for each flag
//! Point      device u64 | inode u64 | born u64 | print length u16 | print hash u64 | offset u64   all little end first
//! ```

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const POINT_BYTES: usize = 42;
/// Outputs of a container that can each have an unfinished line.
pub const STREAMS: usize = 2;

/// The same for a file under every name. Inodes are used again once a file is gone, often by the next one; the moment a
/// file was made tells them apart where the file system keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since 1970; 0 where nobody knows.
    pub born: u64,
}

impl FileId {
    pub fn of(metadata: &Metadata) -> FileId {
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        FileId { device: metadata.dev(), inode: metadata.ino(), born }
    }
}

/// The first bytes of a content, as many as there were (up to 1 KiB) when they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    len: u16,
    hash: u64,
}

impl Fingerprint {
    /// What is looked at of a file.
    pub const BYTES: usize = 1024;

    /// Of a content that begins so.
    pub fn of(head: &[u8]) -> Fingerprint {
        let head = &head[..head.len().min(Self::BYTES)];
        Fingerprint { len: head.len() as u16, hash: xxh3_64(head) }
    }

    /// Whether this content may be the one that was looked at, grown or not.
    pub fn fits(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.len)).is_some_and(|head| xxh3_64(head) == self.hash)
    }

    /// Nothing was there: it fits everything and says nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No more can be known.
    pub fn is_full(&self) -> bool {
        usize::from(self.len) == Self::BYTES
    }
}

/// A place in a chain: generations are numbered as they come, and contents are counted as they are inflated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub generation: u64,
    pub offset: u64,
}

/// A place that is found again after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    pub id: FileId,
    pub print: Fingerprint,
    pub offset: u64,
}

impl Point {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.id.device);
        out.put_u64_le(self.id.inode);
        out.put_u64_le(self.id.born);
        out.put_u16_le(self.print.len);
        out.put_u64_le(self.print.hash);
        out.put_u64_le(self.offset);
    }

    fn take(bytes: &mut &[u8]) -> Option<Point> {
        if bytes.len() < POINT_BYTES {
            return None;
        }
        let id = FileId { device: bytes.get_u64_le(), inode: bytes.get_u64_le(), born: bytes.get_u64_le() };
        let print = Fingerprint { len: bytes.get_u16_le(), hash: bytes.get_u64_le() };
        Some(Point { id, print, offset: bytes.get_u64_le() })
    }
}

/// How far a chain has been read and stored. Everything before `read` is, save the pieces of an output's unfinished line,
/// which begins where `unfinished` says: between the two, that output has nothing but pieces of this line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub read: Point,
    pub unfinished: [Option<Point>; STREAMS],
    /// The content that was read before the one of `read`: when that is gone, what follows this one is new.
    pub before: Option<Point>,
}

impl Position {
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(2 + POINT_BYTES * (2 + STREAMS));
        let points = || self.unfinished.iter().chain([&self.before]);
        let flags = points().enumerate().map(|(at, point)| u8::from(point.is_some()) << at);
        out.extend([VERSION, flags.sum()]);
        self.read.put(&mut out);
        points().flatten().for_each(|point| point.put(&mut out));
        Bytes::from(out)
    }

    /// `None` when another version wrote it.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Position> {
        let [VERSION, flags, ..] = *bytes else { return None };
        bytes.advance(2);
        let mut position = Position { read: Point::take(&mut bytes)?, ..Position::default() };
        for (at, slot) in position.unfinished.iter_mut().chain([&mut position.before]).enumerate() {
            if flags >> at & 1 == 1 {
                *slot = Some(Point::take(&mut bytes)?);
            }
        }
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_as_they_were() {
        let point = |n: u64| Point {
            id: FileId { device: n, inode: n + 1, born: n + 2 },
            print: Fingerprint::of(b"beginning"),
            offset: n << 40,
        };
        for unfinished in [[None, None], [Some(point(7)), None], [None, Some(point(8))], [Some(point(9)); 2]]
        {
            for before in [None, Some(point(3))] {
                let position = Position { read: point(1), unfinished, before };
                let bytes = position.to_bytes();
                assert_eq!(Position::from_bytes(&bytes), Some(position));
                assert_eq!(Position::from_bytes(&bytes[..bytes.len() - 1]), None);
            }
        }
        assert_eq!(Position::from_bytes(b""), None);
        assert_eq!(Position::from_bytes(&[9; 200]), None);
    }

    #[test]
    fn a_grown_file_is_the_same_and_another_beginning_is_not() {
        let print = Fingerprint::of(b"2026 first");
        assert!(print.fits(b"2026 first line\n"));
        assert!(!print.fits(b"2026 fir"));
        assert!(!print.fits(b"2027 first line\n"));
        assert!(Fingerprint::of(b"").fits(b"anything") && Fingerprint::of(b"").is_empty());
        let long = vec![b'a'; 5000];
        assert!(Fingerprint::of(&long).is_full() && Fingerprint::of(&long).fits(&long));
    }
}
