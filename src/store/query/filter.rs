//! Which words occur in a pack, in few bytes: a search for a rare word inflates only packs that may hold it.
//!
//! ```text
//! blocks of 32 bytes, a power of two of them; a word's hash chooses a block and one bit in each of its eight 4-byte lanes
//! ```
//!
//! A split block bloom filter, as Parquet has: what was added is always found, what was not in about one of a hundred
//! cases at [`BITS`] a word.

use xxhash_rust::xxh3::xxh3_64;

const BLOCK: usize = 32;
/// Bits of a filter for each word in it.
const BITS: usize = 10;
/// The largest filter of a pack: more words than this holds make it answer "perhaps" more often.
const BLOCKS: usize = 1 << 14;
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The hash of a lower-case word.
pub fn hash(word: &[u8]) -> u64 {
    xxh3_64(word)
}

/// Words a pack must hold for any of its logs to match.
#[derive(Clone, Debug, PartialEq)]
pub enum Needed {
    Word(u64),
    All(Vec<Needed>),
    Any(Vec<Needed>),
}

impl Needed {
    /// Whether a pack with this filter can hold a match.
    pub fn may_be_in(&self, filter: &[u8]) -> bool {
        match self {
            Needed::Word(hash) => may_hold(filter, *hash),
            Needed::All(parts) => parts.iter().all(|part| part.may_be_in(filter)),
            Needed::Any(parts) => parts.iter().any(|part| part.may_be_in(filter)),
        }
    }
}

/// A filter of these words' hashes, each counted once by the caller.
pub fn build(hashes: &[u64]) -> Vec<u8> {
    let blocks = (hashes.len() * BITS).div_ceil(BLOCK * 8).next_power_of_two().clamp(1, BLOCKS);
    let mut filter = vec![0; blocks * BLOCK];
    for hash in hashes {
        let from = block(*hash, blocks);
        for (lane, salt) in filter[from..from + BLOCK].chunks_exact_mut(4).zip(SALTS) {
            let bit = bit(*hash, salt);
            lane[bit / 8] |= 1 << (bit % 8);
        }
    }
    filter
}

/// Whether a word may be among those of a filter. Bytes that are no filter say yes.
pub fn may_hold(filter: &[u8], hash: u64) -> bool {
    let blocks = filter.len() / BLOCK;
    if !filter.len().is_multiple_of(BLOCK) || !blocks.is_power_of_two() {
        return true;
    }
    let from = block(hash, blocks);
    let Some(block) = filter.get(from..from + BLOCK) else { return true };
    block.chunks_exact(4).zip(SALTS).all(|(lane, salt)| {
        let bit = bit(hash, salt);
        lane[bit / 8] & (1 << (bit % 8)) != 0
    })
}

fn block(hash: u64, blocks: usize) -> usize {
    ((hash >> 32) as usize & (blocks - 1)) * BLOCK
}

fn bit(hash: u64, salt: u32) -> usize {
    ((hash as u32).wrapping_mul(salt) >> 27) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        for count in [0usize, 1, 20, 5_000] {
            let hashes: Vec<u64> = (0..count).map(|n| hash(format!("word{n}").as_bytes())).collect();
            let filter = build(&hashes);
            assert!(hashes.iter().all(|hash| may_hold(&filter, *hash)));
            let others =
                (0..10_000).filter(|n| may_hold(&filter, hash(format!("other{n}").as_bytes()))).count();
            assert!(others < 300, "{others} of 10000 at {count}");
        }
        assert!(may_hold(b"no filter", 7) && may_hold(b"", 7));
        let filter = build(&[hash(b"a"), hash(b"b")]);
        let word = |text: &[u8]| Needed::Word(hash(text));
        assert!(Needed::All(vec![word(b"a"), word(b"b")]).may_be_in(&filter));
        assert!(!Needed::All(vec![word(b"a"), word(b"nowhere")]).may_be_in(&filter));
        assert!(Needed::Any(vec![word(b"nowhere"), word(b"b")]).may_be_in(&filter));
    }
}
