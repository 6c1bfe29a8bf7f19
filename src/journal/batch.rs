//! Frames on their way to the disk: many of them, one vectored write. Payloads of some size go as they are, without a
//! copy; heads, ops and small payloads are gathered. The layout is drawn in [`super::frame`].

use super::frame::{AppendOp, FRAME_HEAD, HEADER_BYTES, Identity, SealOp};
use super::ranges::Ranges;
use bytes::Bytes;
use std::io::IoSlice;
use std::ops::Range;

/// What is smaller is cheaper to copy than to name in a vectored write.
const GATHER_BELOW: usize = 4096;

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
