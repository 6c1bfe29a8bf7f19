//! The bytes of a segment, and how frames are taken apart; [`super::batch`] writes them.
//!
//! ```text
//! segment  header | frame | frame | ...                       integers are little-endian
//! header   magic "SLUICEJN" | version u32 | segment u32 | generation u64 | salt u32 | crc u32
//! frame    len u32 | crc u32 | number u64 | durable u64 | ops_len u32 | ops | payloads, end to end
//!          len counts what follows the crc; the crc covers all but itself and the payloads, which have their own
//!          durable: the highest frame known to be on the disk when this one was written
//! ops      1 append    queue, index, stream u64, records, stored_at, mark, trailer, payload len, payload crc u32
//!          2 settle    queue, ranges
//!          3 seal      queue, stream u64, first, last, sequence, entries
//!          4 queue     number, name
//!          5 snapshot  (what earlier segments said about queues and seals is void from here)
//!          6 live      queue, next index, ranges
//!          7 segment   number, good length, bytes within it that a torn write had broken
//! ranges   count, then per range: distance from the end of the one before, length - 1
//! ```
//!
//! Numbers in ops are LEB128 varints unless said otherwise; mark, trailer and name are length-prefixed. Checksums are
//! CRC-32C and start from the segment's salt and number: neither a payload that looks like a frame nor a stale disk
//! block passes as one. A commit is one frame, all or none.

use super::ranges::Ranges;

pub(super) const HEADER_BYTES: u64 = 32;
pub(super) const FRAME_HEAD: usize = 28;
const MAGIC: &[u8; 8] = b"SLUICEJN";
const VERSION: u32 = 1;

/// Who a segment is. Its name says the same as its header, so that a destroyed header costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) segment: u32,
    pub(super) generation: u64,
    pub(super) salt: u32,
}

impl Identity {
    pub(super) fn name(&self) -> String {
        format!("{:08x}-{:08x}-{:08x}.segment", self.segment, self.generation, self.salt)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".segment")?.split('-');
        let identity = Identity {
            segment: u32::from_str_radix(parts.next()?, 16).ok()?,
            generation: u64::from_str_radix(parts.next()?, 16).ok()?,
            salt: u32::from_str_radix(parts.next()?, 16).ok()?,
        };
        (parts.next().is_none() && identity.name() == name).then_some(identity)
    }

    pub(super) fn header(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        let fields: [&[u8]; 5] = [
            MAGIC,
            &VERSION.to_le_bytes(),
            &self.segment.to_le_bytes(),
            &self.generation.to_le_bytes(),
            &self.salt.to_le_bytes(),
        ];
        for (to, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *byte;
        }
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn from_header(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bits(bytes);
        let (magic, version) = (rest.take(8)?, rest.u32()?);
        let identity = Identity { segment: rest.u32()?, generation: rest.u64()?, salt: rest.u32()? };
        let sound = crc32c::crc32c(bytes.get(..28)?) == rest.u32()?;
        (sound && magic == MAGIC && version == VERSION).then_some(identity)
    }

    /// Where checksums of this segment's frames start.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c_append(self.salt, &self.segment.to_le_bytes())
    }
}

/// An append, without its payload's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AppendOp<'a> {
    pub(super) queue: u32,
    pub(super) index: u64,
    pub(super) stream: u64,
    pub(super) records: u32,
    /// Seconds since 1970.
    pub(super) stored_at: u64,
    pub(super) mark: &'a [u8],
    pub(super) trailer: &'a [u8],
    pub(super) len: u32,
    pub(super) crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SealOp {
    pub(super) queue: u32,
    pub(super) stream: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) sequence: u64,
    /// How many entries it holds: when some of them are gone, the LogGroup can no longer be made again.
    pub(super) entries: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    Append(AppendOp<'a>),
    Settle { queue: u32, ranges: Ranges },
    Seal(SealOp),
    Queue { number: u32, name: &'a str },
    Snapshot,
    Live { queue: u32, next: u64, ranges: Ranges },
    Segment { number: u32, good: u64, broken: u64 },
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) number: u64,
    pub(super) durable: u64,
    pub(super) ops_len: u32,
}

impl FrameHead {
    /// `None` when the lengths contradict each other, which is the quick test of a place that may be a frame.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bits(bytes);
        let (len, crc, number, durable) = (rest.u32()?, rest.u32()?, rest.u64()?, rest.u64()?);
        let head = FrameHead { len, crc, number, durable, ops_len: rest.u32()? };
        let fits = len as usize >= FRAME_HEAD - 8 && head.ops_len <= len - (FRAME_HEAD as u32 - 8);
        (fits && durable < number).then_some(head)
    }

    /// Bytes of the whole frame.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.len) + 8
    }

    /// Whether the ops are those that were written.
    pub(super) fn matches(&self, seed: u32, ops: &[u8]) -> bool {
        let mut crc = crc32c::crc32c_append(seed, &self.len.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &self.number.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &self.durable.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &self.ops_len.to_le_bytes());
        crc32c::crc32c_append(crc, ops) == self.crc
    }
}

/// Takes the ops of one frame apart. `None` for what no writer of this version wrote.
pub(super) fn parse_ops(ops: &[u8]) -> Option<Vec<Op<'_>>> {
    let mut rest = Bits(ops);
    let mut found = Vec::new();
    while let Some(kind) = rest.byte() {
        found.push(match kind {
            1 => Op::Append(AppendOp {
                queue: rest.small()?,
                index: rest.varint()?,
                stream: rest.u64()?,
                records: rest.small()?,
                stored_at: rest.varint()?,
                mark: rest.prefixed()?,
                trailer: rest.prefixed()?,
                len: rest.small()?,
                crc: rest.u32()?,
            }),
            2 => Op::Settle { queue: rest.small()?, ranges: rest.ranges()? },
            3 => Op::Seal(SealOp {
                queue: rest.small()?,
                stream: rest.u64()?,
                first: rest.varint()?,
                last: rest.varint()?,
                sequence: rest.varint()?,
                entries: rest.varint()?,
            }),
            4 => Op::Queue { number: rest.small()?, name: std::str::from_utf8(rest.prefixed()?).ok()? },
            5 => Op::Snapshot,
            6 => Op::Live { queue: rest.small()?, next: rest.varint()?, ranges: rest.ranges()? },
            7 => Op::Segment { number: rest.small()?, good: rest.varint()?, broken: rest.varint()? },
            _ => return None,
        });
    }
    Some(found)
}

/// Bytes that are taken from the front.
struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    fn prefixed(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.varint()?).ok()?;
        self.take(count)
    }

    fn ranges(&mut self) -> Option<Ranges> {
        let mut ranges = Ranges::default();
        let mut end = 0u64;
        for _ in 0..self.varint()? {
            let first = end.checked_add(self.varint()?)?;
            end = first.checked_add(self.varint()?)?;
            ranges.insert(first, end);
        }
        Some(ranges)
    }
}
