//! Compressed chunks of the forward protocol, inflated in steps: all gzip members or zstd frames, capped.
//!
//! ```text
//! gzip   1f 8b 08 flags mtime(4) xfl os [extra] [name] [comment] [crc16]  deflate...  crc32(4) length(4)   again...
//! zstd   28 b5 2f fd ...                                                                                    again...
//! plain  9x | dc | dd: an entry, which is an array
//! ```
//!
//! Fluentd lays one gzip member behind the other, so reading one and stopping would lose records. Every member's CRC
//! and length count; a chunk that ends inside a member is corrupt as a whole, must not be stored and must not be
//! acknowledged, since the sender still has it; so is one with anything but zeros behind its last member, since that may
//! be a member with a damaged head. Labels lie now and then, so the first bytes have the last word ([`sniff`]).
//!
//! The caller says how much a step may produce, so that it can take from its byte budget before the memory is used;
//! all steps together stay below the limit, and above 1 MiB also below what gzip could do at its best. A zstd window is
//! at most 8 MiB.

use bytes::{Buf, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation};

/// A window of 2^23 bytes: Fluentd's default level needs far less, and a header cannot make us reserve more.
const WINDOW_LOG: u32 = 23;
/// Deflate reaches 1,032:1 at most; a chunk beyond that was made to hurt.
const RATIO: usize = 1_100;
/// Below this size the ratio does not matter.
const RATIO_FROM: usize = 1024 * 1024;
/// Room made at once.
const BLOCK: usize = 64 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the sender says about a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// `text`, empty, or no label at all.
    #[default]
    Plain,
    Gzip,
    Zstd,
    /// A name we do not know.
    Other,
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

/// Why a chunk cannot be inflated. Nothing of it may be stored or acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error(
        "the compressed chunk ends too early; it was cut on its way, and its sender should send it again"
    )]
    Truncated,
    #[error("the compressed chunk is corrupt: {0}")]
    Corrupt(&'static str),
    #[error(
        "the chunk inflates to more than {limit} bytes: raise the inflated limit, or lower the sender's chunk size"
    )]
    Size { limit: usize },
    #[error("the chunk of {packed} bytes inflates to more than {RATIO} times its size, which no log does")]
    Ratio { packed: usize },
    #[error("the chunk's compression is neither gzip nor zstd, and its first bytes are no entries")]
    Unknown,
}

/// What to do with a chunk: `None` when it is plain and can be decoded as it stands. The first bytes decide; the label
/// matters only when they are neither a known magic nor MessagePack that may stand in a chunk.
pub fn sniff(label: Label, chunk: &[u8]) -> Result<Option<Packing>, InflateError> {
    if chunk.starts_with(&GZIP_MAGIC) {
        return Ok(Some(Packing::Gzip));
    }
    if chunk.starts_with(&ZSTD_MAGIC) {
        return Ok(Some(Packing::Zstd));
    }
    // Entries are arrays; the contexts of metrics and traces are maps.
    let plain = matches!(chunk.first(), None | Some(0x80..=0x9f | 0xdc..=0xdf));
    match label {
        Label::Plain => Ok(None),
        _ if plain => Ok(None),
        Label::Gzip if GZIP_MAGIC.starts_with(chunk) => Err(InflateError::Truncated),
        Label::Zstd if ZSTD_MAGIC.starts_with(chunk) => Err(InflateError::Truncated),
        Label::Gzip => Err(InflateError::Corrupt("it is labelled gzip and does not begin as gzip")),
        Label::Zstd => Err(InflateError::Corrupt("it is labelled zstd and does not begin as zstd")),
        Label::Other => Err(InflateError::Unknown),
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

/// A chunk on its way to being inflated.
pub struct Inflate {
    input: Bytes,
    packed: usize,
    produced: usize,
    limit: usize,
    /// Members or frames read to their end.
    complete: usize,
    engine: Engine,
}

enum Engine {
    Gzip {
        inflate: Box<Decompress>,
        crc: Crc,
        inside: bool,
    },
    Zstd {
        decoder: Decoder<'static>,
        inside: bool,
        /// What the frame's header says will come out. The library lets an empty last block past this check when it
        /// works in small steps.
        declared: Option<u64>,
        written: u64,
    },
}

/// What one run of an engine did.
struct Run {
    read: usize,
    written: usize,
    /// A member or frame came to its end, checks included.
    end: bool,
}

impl Inflate {
    /// A chunk of which at most `limit` bytes may come out.
    pub fn new(packing: Packing, input: Bytes, limit: usize) -> Result<Self, InflateError> {
        let engine = match packing {
            Packing::Gzip => {
                Engine::Gzip { inflate: Box::new(Decompress::new(false)), crc: Crc::new(), inside: false }
            }
            Packing::Zstd => {
                let setup = || -> std::io::Result<Decoder<'static>> {
                    let mut decoder = Decoder::new()?;
                    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
                    Ok(decoder)
                };
                let decoder = setup().map_err(|_| InflateError::Corrupt("no memory for a zstd window"))?;
                Engine::Zstd { decoder, inside: false, declared: None, written: 0 }
            }
        };
        let packed = input.len();
        Ok(Inflate { input, packed, produced: 0, limit, complete: 0, engine })
    }

    /// Bytes that came out so far.
    pub fn produced(&self) -> usize {
        self.produced
    }

    /// Appends up to `at_most` bytes (one at least) to `out`. `Done` when the chunk has been read to its end; until
    /// then nothing of it is known to be sound. After an error what was appended is worthless.
    pub fn step(&mut self, out: &mut Vec<u8>, at_most: usize) -> Result<Progress, InflateError> {
        let mut room = at_most.max(1);
        loop {
            if !self.engine.inside() && !self.next_member()? {
                return Ok(Progress::Done);
            }
            if room == 0 {
                return Ok(Progress::More);
            }
            // One byte beyond the limit shows that there is more than the limit.
            let block = room.min(BLOCK).min((self.limit - self.produced).saturating_add(1));
            let from = out.len();
            out.resize(from + block, 0);
            let run = self.engine.run(&self.input, &mut out[from..]);
            let run = run.inspect_err(|_| out.truncate(from))?;
            out.truncate(from + run.written);
            self.input.advance(run.read);
            self.produced += run.written;
            room -= run.written;
            self.complete += usize::from(run.end);
            if self.produced > self.limit {
                return Err(InflateError::Size { limit: self.limit });
            }
            if self.produced > RATIO_FROM && self.produced / RATIO > self.packed {
                return Err(InflateError::Ratio { packed: self.packed });
            }
            if !run.end && run.read == 0 && run.written == 0 {
                return Err(InflateError::Truncated);
            }
        }
    }

    /// Stands before a member: true when one begins, false when the chunk is over.
    fn next_member(&mut self) -> Result<bool, InflateError> {
        if self.input.is_empty() {
            return if self.complete > 0 { Ok(false) } else { Err(InflateError::Truncated) };
        }
        match &mut self.engine {
            Engine::Gzip { inflate, crc, inside } => match gzip_header(&self.input)? {
                Some(length) => {
                    self.input.advance(length);
                    inflate.reset(false);
                    crc.reset();
                    *inside = true;
                    return Ok(true);
                }
                None if self.complete == 0 => return Err(InflateError::Corrupt("it does not begin as gzip")),
                None => {}
            },
            Engine::Zstd { inside, declared, written, .. } => {
                let start = &self.input[..self.input.len().min(4)];
                let skippable = |start: &[u8]| matches!(start, [0x50..=0x5f, rest @ ..] if [0x2a, 0x4d, 0x18].starts_with(rest));
                if ZSTD_MAGIC.starts_with(start) || skippable(start) {
                    *declared = zstd::zstd_safe::get_frame_content_size(&self.input).ok().flatten();
                    *written = 0;
                    *inside = true;
                    return Ok(true);
                }
                if self.complete == 0 {
                    return Err(InflateError::Corrupt("it does not begin as zstd"));
                }
            }
        }
        // Padding is harmless; anything else may be a member whose first bytes are damaged.
        if self.input.iter().any(|byte| *byte != 0) {
            return Err(InflateError::Corrupt("what stands behind its last part is no further part"));
        }
        self.input.clear();
        Ok(false)
    }
}

impl Engine {
    fn inside(&self) -> bool {
        match self {
            Engine::Gzip { inside, .. } | Engine::Zstd { inside, .. } => *inside,
        }
    }

    fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Run, InflateError> {
        match self {
            Engine::Gzip { inflate, crc, inside } => {
                let (read_before, written_before) = (inflate.total_in(), inflate.total_out());
                let status = inflate
                    .decompress(input, out, FlushDecompress::None)
                    .map_err(|_| InflateError::Corrupt("damaged deflate data"))?;
                let mut read = (inflate.total_in() - read_before) as usize;
                let written = (inflate.total_out() - written_before) as usize;
                crc.update(&out[..written]);
                let end = status == Status::StreamEnd;
                if end {
                    let trailer = input.get(read..).and_then(<[u8]>::first_chunk::<8>);
                    let Some([a, b, c, d, e, f, g, h]) = trailer else { return Err(InflateError::Truncated) };
                    if u32::from_le_bytes([*a, *b, *c, *d]) != crc.sum() {
                        return Err(InflateError::Corrupt("a gzip member's CRC is wrong"));
                    }
                    if u32::from_le_bytes([*e, *f, *g, *h]) != crc.amount() {
                        return Err(InflateError::Corrupt("a gzip member's length is wrong"));
                    }
                    read += 8;
                    *inside = false;
                }
                Ok(Run { read, written, end })
            }
            Engine::Zstd { decoder, inside, declared, written } => {
                let status = decoder
                    .run_on_buffers(input, out)
                    .map_err(|_| InflateError::Corrupt("damaged zstd data, or a window above 8 MiB"))?;
                let end = status.remaining == 0;
                *written += status.bytes_written as u64;
                if end && declared.is_some_and(|declared| declared != *written) {
                    return Err(InflateError::Corrupt("a zstd frame's length is wrong"));
                }
                *inside = !end;
                Ok(Run { read: status.bytes_read, written: status.bytes_written, end })
            }
        }
    }
}

/// The length of the gzip header at the start of `input` (RFC 1952, 2.3); `None` when no member begins there.
pub(super) fn gzip_header(input: &[u8]) -> Result<Option<usize>, InflateError> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    if !input.starts_with(&GZIP_MAGIC) {
        return if GZIP_MAGIC.starts_with(input) { Err(InflateError::Truncated) } else { Ok(None) };
    }
    let (&[_, _, method, flags, ..], Some(mut rest)) = (input, input.get(10..)) else {
        return Err(InflateError::Truncated);
    };
    if method != 8 || flags & 0xe0 != 0 {
        return Err(InflateError::Corrupt("a gzip header of an unknown kind"));
    }
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk::<2>().ok_or(InflateError::Truncated)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..).ok_or(InflateError::Truncated)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest).ok_or(InflateError::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(InflateError::Truncated)?;
    }
    Ok(Some(input.len() - rest.len()))
}

#[cfg(test)]
mod tests;
