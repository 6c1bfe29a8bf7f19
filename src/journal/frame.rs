//! The bytes of a segment: writing frames into a batch for one vectored write, and taking them apart again.
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
use bytes::Bytes;
use std::io::IoSlice;
use std::ops::Range;

pub(super) const HEADER_BYTES: u64 = 32;
pub(super) const FRAME_HEAD: usize = 28;
const MAGIC: &[u8; 8] = b"SLUICEJN";
const VERSION: u32 = 1;
/// What is smaller is cheaper to copy than to name in a vectored write.
const GATHER_BELOW: usize = 4096;

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

/// Frames on their way into one vectored write.
#[derive(Default)]
pub(super) struct Batch {
    scratch: Vec<u8>,
    pieces: Vec<Piece>,
    /// End of what `pieces` names of the scratch.
    named: usize,
    payloads: Vec<Bytes>,
    /// Where the frame that is being written starts, in the scratch.
    frame: usize,
    ops_at: usize,
    bytes: u64,
    crcs: Vec<u32>,
    /// Offset in the batch and checksum of each payload, in the order of the appends.
    placed: Vec<(u64, u32)>,
}

enum Piece {
    Scratch(Range<usize>),
    Payload(Bytes),
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.scratch.clear();
        self.scratch.shrink_to(1 << 20);
        self.pieces.clear();
        self.payloads.clear();
        self.crcs.clear();
        self.placed.clear();
        (self.named, self.frame, self.ops_at, self.bytes) = (0, 0, 0, 0);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn placed(&self) -> &[(u64, u32)] {
        &self.placed
    }

    /// Raw bytes in front of the first frame.
    pub(super) fn header(&mut self, identity: &Identity) {
        self.scratch.extend_from_slice(&identity.header());
        self.bytes += HEADER_BYTES;
    }

    pub(super) fn begin(&mut self, number: u64, durable: u64) {
        self.frame = self.scratch.len();
        self.scratch.extend_from_slice(&[0; 8]);
        self.scratch.extend_from_slice(&number.to_le_bytes());
        self.scratch.extend_from_slice(&durable.to_le_bytes());
        self.scratch.extend_from_slice(&[0; 4]);
        self.ops_at = self.scratch.len();
    }

    /// `op.len` and `op.crc` are taken from the payload.
    pub(super) fn append(&mut self, op: &AppendOp<'_>, payload: Bytes) {
        let out = &mut self.scratch;
        out.push(1);
        put(out, op.queue.into());
        put(out, op.index);
        out.extend_from_slice(&op.stream.to_le_bytes());
        put(out, op.records.into());
        put(out, op.stored_at);
        put_bytes(out, op.mark);
        put_bytes(out, op.trailer);
        put(out, payload.len() as u64);
        let crc = crc32c::crc32c(&payload);
        out.extend_from_slice(&crc.to_le_bytes());
        self.crcs.push(crc);
        self.payloads.push(payload);
    }

    pub(super) fn settle(&mut self, queue: u32, ranges: &Ranges) {
        self.scratch.push(2);
        put(&mut self.scratch, queue.into());
        put_ranges(&mut self.scratch, ranges.ranges() as u64, ranges.iter());
    }

    pub(super) fn seal(&mut self, op: &SealOp) {
        let out = &mut self.scratch;
        out.push(3);
        put(out, op.queue.into());
        out.extend_from_slice(&op.stream.to_le_bytes());
        for number in [op.first, op.last, op.sequence, op.entries] {
            put(out, number);
        }
    }

    pub(super) fn queue(&mut self, number: u32, name: &str) {
        self.scratch.push(4);
        put(&mut self.scratch, number.into());
        put_bytes(&mut self.scratch, name.as_bytes());
    }

    pub(super) fn snapshot(&mut self) {
        self.scratch.push(5);
    }

    pub(super) fn live(&mut self, queue: u32, next: u64, ranges: &Ranges) {
        self.scratch.push(6);
        put(&mut self.scratch, queue.into());
        put(&mut self.scratch, next);
        put_ranges(&mut self.scratch, ranges.ranges() as u64, ranges.iter());
    }

    pub(super) fn segment(&mut self, number: u32, good: u64, broken: u64) {
        self.scratch.push(7);
        put(&mut self.scratch, number.into());
        put(&mut self.scratch, good);
        put(&mut self.scratch, broken);
    }

    /// Closes the frame: lengths, checksum, and the payloads behind the ops.
    pub(super) fn end(&mut self, seed: u32) {
        let ops_len = self.scratch.len() - self.ops_at;
        let payloads: usize = self.payloads.iter().map(Bytes::len).sum();
        // Commits that would not fit were refused when they were submitted.
        let len = (FRAME_HEAD - 8 + ops_len + payloads) as u32;
        self.scratch[self.frame..self.frame + 4].copy_from_slice(&len.to_le_bytes());
        self.scratch[self.ops_at - 4..self.ops_at].copy_from_slice(&(ops_len as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &len.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.scratch[self.frame + 8..]);
        self.scratch[self.frame + 4..self.frame + 8].copy_from_slice(&crc.to_le_bytes());
        self.bytes += (FRAME_HEAD + ops_len) as u64;
        for (payload, crc) in self.payloads.drain(..).zip(self.crcs.drain(..)) {
            self.placed.push((self.bytes, crc));
            self.bytes += payload.len() as u64;
            if payload.len() < GATHER_BELOW {
                self.scratch.extend_from_slice(&payload);
            } else {
                if self.named < self.scratch.len() {
                    self.pieces.push(Piece::Scratch(self.named..self.scratch.len()));
                    self.named = self.scratch.len();
                }
                self.pieces.push(Piece::Payload(payload));
            }
        }
    }

    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let named = self.pieces.iter().map(|piece| match piece {
            Piece::Scratch(range) => IoSlice::new(&self.scratch[range.clone()]),
            Piece::Payload(payload) => IoSlice::new(payload),
        });
        named.chain(Some(IoSlice::new(&self.scratch[self.named..]))).collect()
    }
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

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_ranges(out: &mut Vec<u8>, count: u64, ranges: impl Iterator<Item = (u64, u64)>) {
    put(out, count);
    let mut end = 0;
    for (first, last) in ranges {
        put(out, first - end);
        put(out, last - first);
        end = last;
    }
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
