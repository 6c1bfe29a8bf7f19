//! Bodies of Log Service: one compressed block whose inflated size the sender declares in `x-log-bodyrawsize`.
//!
//! ```text
//! lz4             one raw LZ4 block: no frame, no size in front (not the LZ4 frame format)
//! zstd            a zstd frame, level 1
//! deflate, gzip   both names mean a zlib stream in the vendor's clients; gzip and raw deflate are taken as well,
//!                 told apart by their first bytes
//! ```
//!
//! Refused: a declared size above the cap, a result that is larger or smaller than declared, damaged data. Nothing is
//! reserved for a claim that the compressed bytes cannot hold.

use std::cell::RefCell;
use std::io::Read;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    None,
    Lz4,
    Zstd,
    /// Called `deflate` or `gzip`; sniffed when read, a zlib stream when written.
    Deflate,
}

impl Kind {
    /// From the value of `x-log-compresstype`; an absent or empty header is [`Kind::None`].
    pub fn from_header(value: &str) -> Option<Kind> {
        match value.trim() {
            "" => Some(Kind::None),
            name if name.eq_ignore_ascii_case("lz4") => Some(Kind::Lz4),
            name if name.eq_ignore_ascii_case("zstd") => Some(Kind::Zstd),
            name if name.eq_ignore_ascii_case("deflate") || name.eq_ignore_ascii_case("gzip") => {
                Some(Kind::Deflate)
            }
            _ => None,
        }
    }

    /// The value of `x-log-compresstype`; a plain body has no such header.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Kind::None => None,
            Kind::Lz4 => Some("lz4"),
            Kind::Zstd => Some("zstd"),
            Kind::Deflate => Some("deflate"),
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BodyError {
    #[error("the body declares {declared} bytes, {cap} are allowed")]
    TooLarge { declared: usize, cap: usize },
    #[error("the body inflates to {found} bytes, {declared} were declared")]
    SizeMismatch { declared: usize, found: usize },
    #[error("the body inflates to more than the {declared} bytes declared")]
    LargerThanDeclared { declared: usize },
    #[error("the {kind} body is damaged: {reason}")]
    Damaged { kind: &'static str, reason: String },
    #[error("the {kind} compressor failed: {reason}")]
    Failed { kind: &'static str, reason: String },
}

thread_local! {
    // A zstd context is a few hundred KiB and costs more to make than a small body to compress.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses `raw` into `out`, whose former content is dropped and whose memory is used again.
pub fn compress(kind: Kind, raw: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
    out.clear();
    match kind {
        Kind::None => out.extend_from_slice(raw),
        Kind::Lz4 => {
            out.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
            let written = lz4_flex::block::compress_into(raw, out)
                .map_err(|error| BodyError::Failed { kind: "lz4", reason: error.to_string() })?;
            out.truncate(written);
        }
        Kind::Zstd => {
            out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
            ZSTD.with_borrow_mut(|slot| {
                let context = match slot {
                    Some(context) => context,
                    None => slot.insert(zstd::bulk::Compressor::new(1)?),
                };
                context.compress_to_buffer(raw, out)
            })
            .map_err(|error| BodyError::Failed { kind: "zstd", reason: error.to_string() })?;
        }
        Kind::Deflate => {
            let mut encoder = flate2::bufread::ZlibEncoder::new(raw, flate2::Compression::fast());
            encoder
                .read_to_end(out)
                .map_err(|error| BodyError::Failed { kind: "deflate", reason: error.to_string() })?;
        }
    }
    Ok(())
}

/// Inflates `bytes` into `out` (former content dropped, memory used again). `raw_size` is the size the sender declared,
/// `cap` the largest one accepted; the result has exactly the declared size.
pub fn decompress(
    kind: Kind,
    bytes: &[u8],
    raw_size: usize,
    cap: usize,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    out.clear();
    if raw_size > cap {
        return Err(BodyError::TooLarge { declared: raw_size, cap });
    }
    match kind {
        Kind::None => {
            if bytes.len() != raw_size {
                return Err(BodyError::SizeMismatch { declared: raw_size, found: bytes.len() });
            }
            out.extend_from_slice(bytes);
        }
        Kind::Lz4 => {
            // One byte of a block makes at most 255 of output: what claims more is not reserved for.
            if raw_size > bytes.len().saturating_mul(255) {
                return Err(damaged("lz4", "fewer bytes than the declared size needs"));
            }
            out.resize(raw_size, 0);
            let written = lz4_flex::block::decompress_into(bytes, out).map_err(|error| match error {
                lz4_flex::block::DecompressError::OutputTooSmall { .. } => {
                    BodyError::LargerThanDeclared { declared: raw_size }
                }
                other => damaged("lz4", other),
            })?;
            out.truncate(written);
        }
        Kind::Zstd => {
            let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
            if size.is_some_and(|size| size > raw_size as u64) {
                return Err(BodyError::LargerThanDeclared { declared: raw_size });
            }
            // The buffer may own more than was declared: the slice bounds what is written.
            out.resize(raw_size, 0);
            let written = UNZSTD
                .with_borrow_mut(|slot| {
                    let context = match slot {
                        Some(context) => context,
                        None => slot.insert(zstd::bulk::Decompressor::new()?),
                    };
                    context.decompress_to_buffer(bytes, out.as_mut_slice())
                })
                .map_err(|error| damaged("zstd", error))?;
            out.truncate(written);
        }
        Kind::Deflate => {
            let limit = raw_size as u64 + 1;
            let inflated = match bytes {
                [0x1f, 0x8b, ..] => flate2::bufread::MultiGzDecoder::new(bytes).take(limit).read_to_end(out),
                // A zlib header: method 8, window at most 32 KiB, check bits make it a multiple of 31.
                [method, flags, ..]
                    if method & 0x8f == 0x08 && (u32::from(*method) * 256 + u32::from(*flags)) % 31 == 0 =>
                {
                    flate2::bufread::ZlibDecoder::new(bytes).take(limit).read_to_end(out)
                }
                _ => flate2::bufread::DeflateDecoder::new(bytes).take(limit).read_to_end(out),
            };
            inflated.map_err(|error| damaged("deflate", error))?;
            if out.len() > raw_size {
                return Err(BodyError::LargerThanDeclared { declared: raw_size });
            }
        }
    }
    if out.len() != raw_size {
        return Err(BodyError::SizeMismatch { declared: raw_size, found: out.len() });
    }
    Ok(())
}

fn damaged(kind: &'static str, reason: impl ToString) -> BodyError {
    BodyError::Damaged { kind, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const CAP: usize = 10 * 1024 * 1024;

    fn text() -> Vec<u8> {
        (0..20_000u32).flat_map(|n| format!("line {} of many\n", n % 700).into_bytes()).collect()
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let (mut packed, mut raw) = (Vec::new(), vec![1, 2, 3]);
        for kind in [Kind::None, Kind::Lz4, Kind::Zstd, Kind::Deflate] {
            for text in [text(), Vec::new(), vec![7], (0..=255).collect()] {
                compress(kind, &text, &mut packed).unwrap();
                decompress(kind, &packed, text.len(), CAP, &mut raw).unwrap();
                assert_eq!(raw, text, "{kind:?}");
                if kind != Kind::None {
                    assert_eq!(Kind::from_header(kind.header().unwrap()), Some(kind));
                }
            }
        }
    }

    #[test]
    fn gzip_and_raw_deflate_go_under_both_names() {
        let text = text();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut plain = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        plain.write_all(&text).unwrap();
        let mut raw = Vec::new();
        for packed in [gzip.finish().unwrap(), plain.finish().unwrap()] {
            decompress(Kind::from_header("gzip").unwrap(), &packed, text.len(), CAP, &mut raw).unwrap();
            assert_eq!(raw, text);
        }
    }

    #[test]
    fn a_wrong_size_is_refused() {
        let text = text();
        let (mut packed, mut raw) = (Vec::new(), Vec::new());
        for kind in [Kind::None, Kind::Lz4, Kind::Zstd, Kind::Deflate] {
            compress(kind, &text, &mut packed).unwrap();
            for declared in [0, text.len() - 1, text.len() + 1] {
                assert!(decompress(kind, &packed, declared, CAP, &mut raw).is_err(), "{kind:?} {declared}");
            }
            assert_eq!(
                decompress(kind, &packed, CAP + 1, CAP, &mut raw),
                Err(BodyError::TooLarge { declared: CAP + 1, cap: CAP })
            );
            raw = Vec::new();
            let _ = decompress(kind, b"\xf0\xff\xff\xff", CAP, CAP, &mut raw);
            assert!(kind != Kind::Lz4 || raw.capacity() < 64 * 1024, "memory for a claim nobody can hold");
        }
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_an_error_or_has_its_size(bytes: Vec<u8>, declared in 0usize..5_000) {
            let mut raw = Vec::new();
            for kind in [Kind::None, Kind::Lz4, Kind::Zstd, Kind::Deflate] {
                if decompress(kind, &bytes, declared, CAP, &mut raw).is_ok() {
                    proptest::prop_assert_eq!(raw.len(), declared);
                }
            }
        }
    }
}
