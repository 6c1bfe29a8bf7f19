//! Packets that are one gzip or zlib stream each, as GELF sends them: small, many, inflated whole and capped.
//!
//! ```text
//! gzip   1f 8b 08 flags mtime(4) xfl os [extra] [name] [comment] [crc16]  deflate...  crc32(4) length(4)
//! zlib   78 and check bits (01, 5e, 9c, da)                               deflate...  adler32(4)
//! ```
//!
//! One engine serves all packets of a socket, since a fresh one costs more than a packet. What stands behind the stream's
//! end is not looked at: its checksum says that it is whole.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::chunk::gzip_header;

/// Room made at once, and at first.
const BLOCK: usize = 64 * 1024;
const FIRST_BLOCK: usize = 2 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Gzip,
    Zlib,
}

impl Form {
    /// What a packet's first bytes say; nothing when it is not compressed.
    pub fn of(packet: &[u8]) -> Option<Form> {
        match packet {
            [0x1f, 0x8b, ..] => Some(Form::Gzip),
            // Method 8, window at most 32 KiB, no dictionary; check bits make the two a multiple of 31.
            [method, flags, ..]
                if method & 0x8f == 0x08
                    && flags & 0x20 == 0
                    && (u32::from(*method) * 256 + u32::from(*flags)).is_multiple_of(31) =>
            {
                Some(Form::Zlib)
            }
            _ => None,
        }
    }
}

/// Why a packet cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("the compressed message ends too early; it was cut on its way")]
    Truncated,
    #[error("the compressed message is damaged: {0}")]
    Damaged(&'static str),
    #[error("the message inflates to more than {limit} bytes")]
    Size { limit: usize },
}

/// Inflates packet after packet.
#[derive(Default)]
pub struct Inflater {
    engine: Option<Box<Decompress>>,
}

impl Inflater {
    /// Appends what the packet holds to `out`, at most `limit` bytes. After an error `out` is as it was.
    pub fn inflate(
        &mut self,
        form: Form,
        packet: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let from = out.len();
        let done = self.run(form, packet, limit, out);
        if done.is_err() {
            out.truncate(from);
        }
        done
    }

    fn run(&mut self, form: Form, packet: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), PacketError> {
        let zlib = form == Form::Zlib;
        let mut input = packet;
        if !zlib {
            let header = gzip_header(packet).map_err(|_| PacketError::Damaged("its gzip header"))?;
            input = header.and_then(|length| packet.get(length..)).ok_or(PacketError::Truncated)?;
        }
        let engine = self.engine.get_or_insert_with(|| Box::new(Decompress::new(zlib)));
        engine.reset(zlib);
        let start = out.len();
        let mut block = packet.len().saturating_mul(4).clamp(FIRST_BLOCK, BLOCK);
        loop {
            // One byte beyond the limit shows that there is more than the limit.
            let room = block.min((limit - (out.len() - start)).saturating_add(1));
            let from = out.len();
            out.resize(from + room, 0);
            let (read, written) = (engine.total_in(), engine.total_out());
            let status = engine
                .decompress(input, &mut out[from..], FlushDecompress::None)
                .map_err(|_| PacketError::Damaged("its deflate data"))?;
            let (read, written) = (engine.total_in() - read, engine.total_out() - written);
            input = input.get(read as usize..).unwrap_or_default();
            out.truncate(from + written as usize);
            if out.len() - start > limit {
                return Err(PacketError::Size { limit });
            }
            if status == Status::StreamEnd {
                break;
            }
            if read == 0 && written == 0 {
                return Err(PacketError::Truncated);
            }
            block = BLOCK;
        }
        if zlib {
            return Ok(());
        }
        let Some([crc_a, crc_b, crc_c, crc_d, len_a, len_b, len_c, len_d]) = input.first_chunk::<8>() else {
            return Err(PacketError::Truncated);
        };
        let mut crc = Crc::new();
        crc.update(&out[start..]);
        let told = u32::from_le_bytes([*crc_a, *crc_b, *crc_c, *crc_d]);
        let length = u32::from_le_bytes([*len_a, *len_b, *len_c, *len_d]);
        if told != crc.sum() || length != crc.amount() {
            return Err(PacketError::Damaged("its checksum is wrong"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn one_engine_takes_both_forms_in_any_order() {
        let (mut inflater, mut out) = (Inflater::default(), b"before".to_vec());
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        for level in [0, 1, 9, 1] {
            for text in [b"".as_slice(), b"{}", &text[..5_000], &text] {
                for packed in [gzip(text, level), zlib(text, level)] {
                    let form = Form::of(&packed).unwrap();
                    inflater.inflate(form, &packed, text.len(), &mut out).unwrap();
                    assert_eq!(&out[6..], text, "{form:?} {level}");
                    out.truncate(6);
                }
            }
        }
    }

    #[test]
    fn limits_cuts_and_damage_leave_nothing_behind() {
        let text = vec![b'a'; 100_000];
        let (mut inflater, mut out) = (Inflater::default(), Vec::new());
        for packed in [gzip(&text, 6), zlib(&text, 6)] {
            let form = Form::of(&packed).unwrap();
            let size = inflater.inflate(form, &packed, text.len() - 1, &mut out);
            assert_eq!(size, Err(PacketError::Size { limit: text.len() - 1 }));
            for cut in 0..packed.len() {
                assert!(inflater.inflate(form, &packed[..cut], text.len(), &mut out).is_err(), "{cut}");
            }
            let mut damaged = packed.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(inflater.inflate(form, &damaged, text.len(), &mut out).is_err());
            assert!(out.is_empty());
        }
        assert_eq!(Form::of(b"{\"version\":\"1.1\"}"), None);
        assert_eq!(Form::of(b"x"), None);
    }

    proptest::proptest! {
        #[test]
        fn garbage_stays_below_the_limit(bytes: Vec<u8>, limit in 0usize..5_000) {
            let (mut inflater, mut out) = (Inflater::default(), Vec::new());
            for form in [Form::Gzip, Form::Zlib] {
                out.clear();
                let done = inflater.inflate(form, &bytes, limit, &mut out);
                proptest::prop_assert!(out.len() <= limit);
                proptest::prop_assert!(done.is_ok() || out.is_empty());
            }
        }
    }
}
