//! A LogGroup on its way: as it is, or packed before it was stored.

use std::borrow::Cow;

use bytes::Bytes;

use crate::wire::compress::{BodyError, Kind, body};
use crate::wire::loggroup::packed;

/// A LogGroup on its way.
pub enum Load {
    Raw(Vec<u8>),
    /// One LZ4 block, made before the logs were stored.
    Packed {
        block: Bytes,
        raw_len: usize,
    },
}

impl Load {
    /// Packed logs with their tail. `None` when the block is damaged, which its checksum would have shown.
    pub fn packed(logs: &[u8], len: usize, tail: &[u8]) -> Option<Load> {
        let block = packed::append(logs, tail)?;
        Some(Load::Packed { block: Bytes::from(block), raw_len: len + tail.len() })
    }

    pub(super) fn raw_len(&self) -> usize {
        match self {
            Load::Raw(group) => group.len(),
            Load::Packed { raw_len, .. } => *raw_len,
        }
    }

    pub(super) fn unpack(&self) -> Cow<'_, [u8]> {
        match self {
            Load::Raw(group) => Cow::Borrowed(group),
            Load::Packed { block, raw_len } => {
                let mut group = Vec::new();
                // We made the block ourselves; one that does not inflate would have been refused by its checksum.
                if let Err(error) = body::decompress(Kind::Lz4, block, *raw_len, *raw_len, &mut group) {
                    tracing::error!("a packed LogGroup does not inflate: {error}");
                }
                Cow::Owned(group)
            }
        }
    }

    /// Its bytes in this compression, which packed ones may have already.
    pub(super) fn compressed(&self, kind: Kind) -> Result<Bytes, BodyError> {
        if let (Load::Packed { block, .. }, Kind::Lz4) = (self, kind) {
            return Ok(block.clone());
        }
        let mut out = Vec::new();
        body::compress(kind, &self.unpack(), &mut out)?;
        Ok(Bytes::from(out))
    }
}
