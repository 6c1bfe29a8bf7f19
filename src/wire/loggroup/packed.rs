//! Packed fragments: logs that fill a LogGroup by themselves are compressed before they are stored, so that the disk
//! gets a quarter of the bytes and the sender compresses nothing.
//!
//! What is only known when the group is sealed (its pack id) stands behind the logs, and an LZ4 block can be lengthened:
//! its last sequence holds nothing but literals, so a tail is appended by making that run of literals longer.
//!
//! ```text
//! block      token literals offset | token literals offset | ... | token' literals          last: no match
//! with tail  token literals offset | token literals offset | ... | token" literals tail     token" says more literals
//! mark       01 | logs' length before compression, u32 little endian                        beside the stored bytes
//! ```
//!
//! Source: the LZ4 block format, its end-of-block conditions. A longer run of literals keeps all of them.

use bytes::Bytes;

const PACKED: u8 = 1;

/// The mark of an entry whose payload is an LZ4 block of `raw` bytes of logs.
pub fn mark(raw: usize) -> Bytes {
    let mut mark = vec![PACKED];
    mark.extend_from_slice(&(raw as u32).to_le_bytes());
    Bytes::from(mark)
}

/// The length of the logs before compression, where the mark says that they are packed.
pub fn raw_len(mark: &[u8]) -> Option<usize> {
    match mark {
        [PACKED, len @ ..] => Some(u32::from_le_bytes(len.try_into().ok()?) as usize),
        _ => None,
    }
}

/// Appends `tail` to what an LZ4 block holds, without decompressing it. `None` when it is no whole block.
pub fn append(block: &[u8], tail: &[u8]) -> Option<Vec<u8>> {
    let last = last_sequence(block)?;
    let literals = block.len() - last.literals + tail.len();
    let mut out = Vec::with_capacity(block.len() + tail.len() + 2 + tail.len() / 255);
    out.extend_from_slice(&block[..last.token]);
    if literals < 15 {
        out.push((literals as u8) << 4);
    } else {
        out.push(0xf0);
        let mut rest = literals - 15;
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(&block[last.literals..]);
    out.extend_from_slice(tail);
    Some(out)
}

struct Last {
    token: usize,
    /// Where its literals begin.
    literals: usize,
}

/// Behind a token with two short lengths: at most so many literals, and the offset of its match.
const SHORT: usize = 14 + 2;

fn last_sequence(block: &[u8]) -> Option<Last> {
    let mut at = 0;
    loop {
        let token = at;
        let first = *block.get(at)?;
        // Nearly all sequences are such, and the last one is not while there are more bytes than that.
        if first < 0xf0 && first & 15 != 15 && block.len() - at > 1 + SHORT {
            at += 3 + usize::from(first >> 4);
            continue;
        }
        at += 1;
        let literals = length(block, &mut at, first >> 4)?;
        let start = at;
        at = at.checked_add(literals)?;
        if at == block.len() {
            return Some(Last { token, literals: start });
        }
        at += 2;
        length(block, &mut at, first & 15)?;
    }
}

/// A length of four bits, continued in bytes when they are all set.
fn length(block: &[u8], at: &mut usize, nibble: u8) -> Option<usize> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let more = *block.get(*at)?;
            *at += 1;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_lengthened_block_inflates_to_logs_and_tail(
            seed in prop::collection::vec(any::<u8>(), 0..40),
            times in 0usize..200,
            tail in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let logs = seed.repeat(times);
            let block = lz4_flex::block::compress(&logs);
            let whole = append(&block, &tail).unwrap();
            let inflated = lz4_flex::block::decompress(&whole, logs.len() + tail.len()).unwrap();
            prop_assert_eq!(inflated, [logs, tail].concat());
        }

        #[test]
        fn damaged_blocks_are_refused_or_lengthened_but_never_panic(block in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = append(&block, b"tail");
        }
    }

    #[test]
    fn marks_tell_the_length() {
        assert_eq!(raw_len(&mark(370_000)), Some(370_000));
        assert_eq!(raw_len(b""), None);
        assert_eq!(raw_len(b"\x01\x02"), None);
    }
}
