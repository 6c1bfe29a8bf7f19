//! What a file is known by, and how far it has been read.
//!
//! ```text
//! Position   version 2 | flags (1 stdout unfinished, 2 stderr unfinished, 4 before known) | within u8
//!            | read: Point | a Point for each flag
//! Point      device u64 | inode u64 | born u64 | print length u16 | print hash u64 | offset u64
//!            | tail length u16 | tail hash u64                                          all little end first
//! ```
//!
//! Version 1, which is still read, has neither `within` nor tails.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 2;
const FIRST_VERSION: u8 = 1;
const POINT_BYTES: usize = 42;
const TAIL_BYTES: usize = 10;
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

    /// Bytes that were looked at.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// No more can be known.
    pub fn is_full(&self) -> bool {
        usize::from(self.len) == Self::BYTES
    }
}

/// The last bytes before a place, as many as were at hand (up to 256): a content that was written anew may begin as the old
/// one did, and be longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    len: u16,
    hash: u64,
}

impl Tail {
    /// What is looked at before a place.
    pub const BYTES: usize = 256;

    /// Of the bytes before a place. NULs say nothing: room that was made before it is written to looks so.
    pub fn of(before: &[u8]) -> Tail {
        let tail = before.get(before.len().saturating_sub(Self::BYTES)..).unwrap_or_default();
        match tail.last() {
            None | Some(0) => Tail::default(),
            Some(_) => Tail { len: tail.len() as u16, hash: xxh3_64(tail) },
        }
    }

    /// Whether these may be the bytes, which are [`Tail::len`] many.
    pub fn fits(&self, tail: &[u8]) -> bool {
        self.is_empty() || (tail.len() == self.len() && xxh3_64(tail) == self.hash)
    }

    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Nothing is known: it fits everything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
    pub tail: Tail,
}

impl Point {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.id.device);
        out.put_u64_le(self.id.inode);
        out.put_u64_le(self.id.born);
        out.put_u16_le(self.print.len);
        out.put_u64_le(self.print.hash);
        out.put_u64_le(self.offset);
        out.put_u16_le(self.tail.len);
        out.put_u64_le(self.tail.hash);
    }

    fn take(bytes: &mut &[u8], version: u8) -> Option<Point> {
        let has_tail = version != FIRST_VERSION;
        if bytes.len() < POINT_BYTES + if has_tail { TAIL_BYTES } else { 0 } {
            return None;
        }
        let id = FileId { device: bytes.get_u64_le(), inode: bytes.get_u64_le(), born: bytes.get_u64_le() };
        let print = Fingerprint { len: bytes.get_u16_le(), hash: bytes.get_u64_le() };
        let offset = bytes.get_u64_le();
        let tail = match has_tail {
            true => Tail { len: bytes.get_u16_le(), hash: bytes.get_u64_le() },
            false => Tail::default(),
        };
        Some(Point { id, print, offset, tail })
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
    /// What is known of the record that goes on at `read`, in the words of who cuts records; 0: nothing.
    pub within: u8,
}

impl Position {
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(3 + (POINT_BYTES + TAIL_BYTES) * (2 + STREAMS));
        let points = || self.unfinished.iter().chain([&self.before]);
        let flags = points().enumerate().map(|(at, point)| u8::from(point.is_some()) << at);
        out.extend([VERSION, flags.sum(), self.within]);
        self.read.put(&mut out);
        points().flatten().for_each(|point| point.put(&mut out));
        Bytes::from(out)
    }

    /// `None` when another version wrote it.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Position> {
        let (version, flags, within) = match *bytes {
            [FIRST_VERSION, flags, ..] => (FIRST_VERSION, flags, 0),
            [VERSION, flags, within, ..] => (VERSION, flags, within),
            _ => return None,
        };
        bytes.advance(if version == FIRST_VERSION { 2 } else { 3 });
        let mut position =
            Position { read: Point::take(&mut bytes, version)?, within, ..Position::default() };
        for (at, slot) in position.unfinished.iter_mut().chain([&mut position.before]).enumerate() {
            if flags >> at & 1 == 1 {
                *slot = Some(Point::take(&mut bytes, version)?);
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
            tail: Tail::of(b"before"),
        };
        for unfinished in [[None, None], [Some(point(7)), None], [None, Some(point(8))], [Some(point(9)); 2]]
        {
            for before in [None, Some(point(3))] {
                let position = Position { read: point(1), unfinished, before, within: 5 };
                let bytes = position.to_bytes();
                assert_eq!(Position::from_bytes(&bytes), Some(position));
                assert_eq!(Position::from_bytes(&bytes[..bytes.len() - 1]), None);
            }
        }
        assert_eq!(Position::from_bytes(b""), None);
        assert_eq!(Position::from_bytes(&[9; 200]), None);
    }

    #[test]
    fn positions_of_the_first_version_are_read() {
        let mut bytes = vec![1, 4];
        for point in 1..=2u64 {
            [point, 2, 3].iter().for_each(|word| bytes.put_u64_le(*word));
            bytes.put_u16_le(0);
            bytes.put_u64_le(xxh3_64(b""));
            bytes.put_u64_le(7);
        }
        let point = |device| Point {
            id: FileId { device, inode: 2, born: 3 },
            print: Fingerprint::of(b""),
            offset: 7,
            tail: Tail::default(),
        };
        let position = Position { read: point(1), before: Some(point(2)), ..Position::default() };
        assert_eq!(Position::from_bytes(&bytes), Some(position));
        assert_eq!(Position::from_bytes(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_tail_is_what_stands_before_a_place_unless_that_is_a_hole() {
        let text: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let tail = Tail::of(&text);
        assert_eq!(tail.len(), Tail::BYTES);
        assert!(
            tail.fits(&text[1_000 - Tail::BYTES..]) && !tail.fits(&text[..Tail::BYTES]) && !tail.fits(b"")
        );
        assert!(Tail::of(b"text\0").is_empty() && Tail::of(b"").is_empty() && Tail::of(b"").fits(b"any"));
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
