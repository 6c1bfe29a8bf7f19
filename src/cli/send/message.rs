//! Records as messages, in the dialect that every forward server reads.
//!
//! ```text
//! packed    [tag, bin of entries, {"size": n, "compressed": "gzip" | "zstd", "chunk": id}]
//! forward   [tag, [entry, ...],   {"size": n, "chunk": id}]
//! message   [tag, EventTime, record, {"chunk": id}]
//! entry     [EventTime, record]
//! ```
//!
//! A message has at most 1,000 records, and about 1 MiB before compression: Fluent Bit takes no larger ones.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};

/// A batch is sent at so many records or bytes.
const RECORDS: usize = 1_000;
const BYTES: usize = 512 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    Packed,
    Forward,
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    None,
}

/// Encoded entries of one message.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<u8>,
    count: usize,
}

impl Batch {
    /// Adds a record, with the time of now.
    pub(super) fn push(&mut self, record: &Map<String, Value>) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.entries.extend_from_slice(b"\x92\xd7\x00");
        self.entries.extend_from_slice(&(now.as_secs() as u32).to_be_bytes());
        self.entries.extend_from_slice(&now.subsec_nanos().to_be_bytes());
        rmp_serde::encode::write_named(&mut self.entries, record)?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.count = 0;
    }
}

pub(super) struct Format {
    pub(super) tag: String,
    pub(super) mode: Mode,
    pub(super) compression: Compression,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compressed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<&'a str>,
}

impl Format {
    /// Whether a message takes no more records.
    pub(super) fn is_full(&self, batch: &Batch) -> bool {
        let records = if self.mode == Mode::Message { 1 } else { RECORDS };
        batch.count >= records || batch.entries.len() >= BYTES
    }

    /// The bytes of a message. With a chunk id it asks for an ack.
    pub(super) fn encode(&self, batch: &Batch, chunk: Option<&str>) -> Result<Vec<u8>> {
        let mut options = Options { size: Some(batch.count), compressed: None, chunk };
        let mut out = Vec::with_capacity(batch.entries.len() + self.tag.len() + 128);
        out.push(if self.mode == Mode::Message { 0x94 } else { 0x93 });
        rmp_serde::encode::write(&mut out, &self.tag)?;
        match self.mode {
            Mode::Packed => {
                let (name, packed) = self.compress(&batch.entries)?;
                options.compressed = name;
                let packed = packed.as_deref().unwrap_or(&batch.entries);
                out.push(0xc6);
                out.extend_from_slice(&length(packed.len())?);
                out.extend_from_slice(packed);
            }
            Mode::Forward => {
                out.push(0xdd);
                out.extend_from_slice(&length(batch.count)?);
                out.extend_from_slice(&batch.entries);
            }
            Mode::Message => {
                options.size = None;
                // The entry without the header of its array.
                out.extend_from_slice(batch.entries.get(1..).unwrap_or_default());
            }
        }
        rmp_serde::encode::write_named(&mut out, &options)?;
        Ok(out)
    }

    fn compress(&self, entries: &[u8]) -> Result<(Option<&'static str>, Option<Vec<u8>>)> {
        Ok(match self.compression {
            Compression::None => (None, None),
            Compression::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(entries)?;
                (Some("gzip"), Some(gzip.finish()?))
            }
            Compression::Zstd => {
                (Some("zstd"), Some(zstd::bulk::compress(entries, zstd::DEFAULT_COMPRESSION_LEVEL)?))
            }
        })
    }
}

fn length(length: usize) -> Result<[u8; 4]> {
    Ok(u32::try_from(length).context("too much for one message")?.to_be_bytes())
}
