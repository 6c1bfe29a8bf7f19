//! Token filters: which words a pack may hold, in about ten bits for each, so that a search for a rare word skips nearly
//! all packs without reading them.
//!
//! ```text
//! filter   layout: u8 (1)   probes: u8   bits, 8 a byte, lowest first
//! ```
//!
//! A Bloom filter over the hashes of a pack's tokens; about 1 in 120 packs that do not hold a token is read in vain. One
//! of a layout that is not known here, or that is damaged in its length, may hold everything.
//!
//! The tokens of a pack are those of every value, topic, source and tag, cut at the default separators and lowered,
//! whatever index the logstore has: it may change, packs do not. Three things more are tokens, because an index can be
//! set to look into them: in a token with Chinese letters or punctuation, the pieces between these, and each two
//! neighbouring ideographs; and in a value that looks like JSON, what its strings with escapes stand for.

use memchr::memchr;
use xxhash_rust::xxh3::xxh3_64;

use super::letters::{first_char, is_chinese, is_chinese_punctuation, is_separator, lower_into};
use crate::record::json::{scan, unescape};
use crate::store::pack::PACK_ID;
use crate::wire::loggroup::Group;

/// Also to be raised when what counts as a token changes.
const LAYOUT: u8 = 1;
const PROBES: u8 = 7;
const BITS_A_TOKEN: usize = 10;
const HEADER: usize = 2;

/// Making and asking filters; a filter itself is bytes.
pub struct Filter;

impl Filter {
    /// A filter of these hashes; the same one may come any number of times.
    pub fn build(hashes: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut hashes: Vec<u64> = hashes.collect();
        hashes.sort_unstable();
        hashes.dedup();
        let bytes = (hashes.len() * BITS_A_TOKEN).div_ceil(8).max(1);
        let mut filter = vec![0; HEADER + bytes];
        let (header, bits) = filter.split_at_mut(HEADER);
        header.copy_from_slice(&[LAYOUT, PROBES]);
        for hash in hashes {
            for bit in places(hash, PROBES, bytes) {
                if let Some(byte) = bits.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        filter
    }

    /// Whether the tokens of a filter may include this one; never false for one that it was built of.
    pub fn may_hold(filter: &[u8], hash: u64) -> bool {
        let Some(([LAYOUT, probes], bits)) = filter.split_first_chunk::<HEADER>() else { return true };
        let holds = |bit: usize| bits.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
        bits.is_empty() || places(hash, *probes, bits.len()).all(holds)
    }
}

/// The bits of a hash among `bytes` bytes.
fn places(hash: u64, probes: u8, bytes: usize) -> impl Iterator<Item = usize> {
    let bits = bytes as u64 * 8;
    // Two halves make all probes; an odd step never stands still.
    let step = hash.rotate_left(32) | 1;
    (0..probes).map(move |probe| {
        let mixed = hash.wrapping_add(step.wrapping_mul(u64::from(probe)));
        ((u128::from(mixed) * u128::from(bits)) >> 64) as usize
    })
}

/// Calls `each` with the hash of every token of a LogGroup, repeated ones included.
pub fn tokens_of(group: &Group<'_>, each: &mut impl FnMut(u64)) {
    let mut hasher = Hasher::default();
    hasher.value(group.topic, each);
    hasher.value(group.source, each);
    for (_, value) in group.tags().filter(|tag| tag.0 != PACK_ID) {
        hasher.value(value, each);
    }
    for log in group.logs() {
        for (_, value) in log.contents() {
            hasher.value(value, each);
        }
    }
}

/// The hash of one token: of its lowered bytes.
pub(super) fn hash_of(token: &str) -> u64 {
    Hasher::default().of(token.as_bytes())
}

/// The tokens that stand for a run of Chinese: each two neighbours; a single one has none.
pub(super) fn pairs(run: &str) -> impl Iterator<Item = &str> {
    let ends = run.char_indices().map(|(at, c)| at + c.len_utf8()).skip(1);
    run.char_indices().zip(ends).filter_map(|((from, _), to)| run.get(from..to))
}

/// Keeps its memory from token to token.
#[derive(Default)]
struct Hasher {
    lowered: Vec<u8>,
    unescaped: Vec<u8>,
}

impl Hasher {
    fn of(&mut self, token: &[u8]) -> u64 {
        lower_into(token, &mut self.lowered);
        xxh3_64(&self.lowered)
    }

    fn value(&mut self, value: &[u8], each: &mut impl FnMut(u64)) {
        self.text(value, each);
        let looks_like_json = matches!(value.trim_ascii_start().first(), Some(b'{' | b'['));
        if looks_like_json && memchr(b'\\', value).is_some() {
            self.escaped_strings(value, each);
        }
    }

    fn text(&mut self, text: &[u8], each: &mut impl FnMut(u64)) {
        for token in text.split(|byte| is_separator(*byte)).filter(|token| !token.is_empty()) {
            each(self.of(token));
            if !token.is_ascii() {
                self.chinese(token, each);
            }
        }
    }

    /// The pieces of a token around Chinese letters and punctuation, and each two ideographs in a row.
    fn chinese(&mut self, token: &[u8], each: &mut impl FnMut(u64)) {
        let (mut at, mut piece, mut before) = (0, 0, None);
        while at < token.len() {
            let (c, length) = first_char(&token[at..]).map_or((None, 1), |(c, length)| (Some(c), length));
            let ideograph = c.is_some_and(is_chinese);
            if ideograph || c.is_some_and(is_chinese_punctuation) {
                if piece < at {
                    each(self.of(&token[piece..at]));
                }
                piece = at + length;
            }
            if let Some(first) = before.filter(|_| ideograph) {
                each(self.of(&token[first..at + length]));
            }
            before = ideograph.then_some(at);
            at += length;
        }
        if piece > 0 && piece < token.len() {
            each(self.of(&token[piece..]));
        }
    }

    fn escaped_strings(&mut self, json: &[u8], each: &mut impl FnMut(u64)) {
        let mut at = 0;
        while let Some(quote) = memchr(b'"', json.get(at..).unwrap_or_default()) {
            let Ok(string) = scan::string(json, at + quote) else { return };
            at = string.end + 1;
            if string.escaped {
                let raw = json.get(string.start..string.end).unwrap_or_default();
                let mut made = std::mem::take(&mut self.unescaped);
                made.resize(raw.len(), 0);
                let length = unescape(raw, &mut made);
                self.text(made.get(..length).unwrap_or_default(), each);
                self.unescaped = made;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(value: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        Hasher::default().value(value, &mut |hash| found.push(hash));
        found
    }

    #[test]
    fn one_in_a_hundred_is_held_by_mistake() {
        for count in [1_000u64, 20_000] {
            let filter = Filter::build((0..count).map(|n| hash_of(&format!("token-{n}"))));
            assert!(filter.len() <= count as usize * BITS_A_TOKEN / 8 + HEADER + 1);
            assert!((0..count).all(|n| Filter::may_hold(&filter, hash_of(&format!("token-{n}")))));
            let wrong =
                (0..20_000).filter(|n| Filter::may_hold(&filter, hash_of(&format!("other-{n}")))).count();
            assert!(wrong < 240, "{wrong} of 20,000 at {count} tokens");
        }
    }

    #[test]
    fn an_unknown_filter_holds_everything_and_an_empty_one_nothing() {
        assert!(Filter::may_hold(b"", 7));
        assert!(Filter::may_hold(b"\x01\x07", 7));
        assert!(Filter::may_hold(b"\x02\x07\x00", 7));
        assert!(!Filter::may_hold(&Filter::build(std::iter::empty()), 7));
    }

    #[test]
    fn tokens_are_cut_lowered_and_looked_into() {
        let hashes = |texts: &[&str]| texts.iter().map(|text| hash_of(text)).collect::<Vec<_>>();
        assert_eq!(tokens(b"GET /Index.html?a=1"), hashes(&["get", "index.html", "a", "1"]));
        let mixed = "Order\u{8ba2}\u{5355}\u{53f7}\u{ff1a}X7".as_bytes();
        let pieces = ["order", "\u{8ba2}\u{5355}", "\u{5355}\u{53f7}", "x7"];
        assert_eq!(tokens(mixed)[1..], hashes(&pieces));
        let json = tokens(br#"{"a\n":"b\u0063 d\"e"}"#);
        assert!(hashes(&["a", "bc", "d", "e"]).iter().all(|hash| json.contains(hash)));
        assert_eq!(pairs("abc").collect::<Vec<_>>(), ["ab", "bc"]);
        assert_eq!(pairs("a").count() + pairs("").count(), 0);
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_held(hashes: Vec<u64>, garbage: Vec<u8>, asked: u64, value: Vec<u8>) {
            let filter = Filter::build(hashes.iter().copied());
            prop_assert!(hashes.iter().all(|hash| Filter::may_hold(&filter, *hash)));
            let _ = (Filter::may_hold(&garbage, asked), tokens(&value));
        }
    }
}
