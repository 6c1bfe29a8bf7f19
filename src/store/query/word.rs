//! A word of a query, and whether a value holds it.
//!
//! A plain word is looked for as bytes, by the one of its bytes that is rarest in logs; only where it begins and ends as
//! a word is the value cut at all. Words with wildcards, and words beyond ASCII whose case does not count, are compared
//! with each token. Values are bytes and may be no UTF-8: such bytes match nothing but a wildcard.

use std::sync::Arc;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use super::cutter::{Cutter, Part};
use super::letters::{first_char, is_chinese, is_chinese_punctuation, lowered, lowered_text};

/// Bytes of a word that are looked for; the rest is compared where these are found.
const NEEDLE: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Lowered, where case does not count.
    text: Box<str>,
    sensitive: bool,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// All bytes are as in the text, or ASCII letters of the other case.
    Plain(Needle),
    /// Beyond ASCII, and case does not count; the needle is the longest run that is ASCII.
    Folded(Option<Needle>),
    /// `*` is any run of characters, `?` any one; the needle is the longest run without either.
    Wild(Option<Needle>),
    /// Neighbouring ideographs, anywhere.
    Ideographs(Arc<Finder<'static>>),
}

impl Word {
    /// A word that matches its own text; `*` and `?` stand for themselves.
    pub(super) fn literal(text: &str, sensitive: bool) -> Word {
        // An ideograph has no case, and no other character is lowered to one.
        let plain = |c: char| c.is_ascii() || is_chinese(c) || is_chinese_punctuation(c);
        if sensitive || text.chars().all(plain) {
            let text: Box<str> = if sensitive { text.into() } else { text.to_ascii_lowercase().into() };
            let shape = Shape::Plain(Needle::new(text.as_bytes(), sensitive));
            return Word { text, sensitive, shape };
        }
        let text = lowered_text(text);
        let longest = text.split(|c: char| !c.is_ascii()).max_by_key(|run| run.len());
        let needle = longest.filter(|run| !run.is_empty()).map(|run| Needle::new(run.as_bytes(), false));
        Word { text: text.into(), sensitive, shape: Shape::Folded(needle) }
    }

    /// A word in which `*` is any run of characters and `?` any one.
    pub(super) fn wild(text: &str, sensitive: bool) -> Word {
        let plain = Word::literal(text, sensitive);
        if !text.contains(['*', '?']) {
            return plain;
        }
        let longest = plain
            .text
            .split(['*', '?'])
            .filter(|run| sensitive || run.is_ascii())
            .max_by_key(|run| run.len());
        let needle = longest.filter(|run| !run.is_empty()).map(|run| Needle::new(run.as_bytes(), sensitive));
        Word { shape: Shape::Wild(needle), ..plain }
    }

    /// The words of a text as a field's values are cut.
    pub(super) fn cut(text: &str, wildcards: bool, cutter: &Cutter) -> Vec<Word> {
        let parts = cutter.parts(text, wildcards).into_iter();
        let word = |part| match part {
            Part::Word(text) if wildcards => Word::wild(text, cutter.sensitive),
            Part::Word(text) => Word::literal(text, cutter.sensitive),
            Part::Ideographs(text) => {
                let finder = Arc::new(Finder::new(text.as_bytes()).into_owned());
                Word { text: text.into(), sensitive: true, shape: Shape::Ideographs(finder) }
            }
        };
        parts.map(word).collect()
    }

    /// The words of a phrase, each ideograph one of its own where Chinese is cut.
    pub(super) fn cut_phrase(text: &str, cutter: &Cutter) -> Vec<Word> {
        let mut words = Vec::new();
        for part in cutter.parts(text, false) {
            match part {
                Part::Word(text) => words.push(Word::literal(text, cutter.sensitive)),
                Part::Ideographs(text) => {
                    words.extend(text.chars().map(|c| Word::literal(c.encode_utf8(&mut [0; 4]), true)));
                }
            }
        }
        words
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_wild(&self) -> bool {
        matches!(self.shape, Shape::Wild(_))
    }

    /// Ideographs, whose edges are not those of words.
    pub(super) fn is_ideographs(&self) -> bool {
        matches!(self.shape, Shape::Ideographs(_))
    }

    pub(super) fn starts_wild(&self) -> bool {
        self.is_wild() && self.text.starts_with(['*', '?'])
    }

    /// Whether bytes that a value is somewhere in could hold this word: a quick no for a log, or a whole pack.
    pub(super) fn may_occur(&self, bytes: &[u8]) -> bool {
        match &self.shape {
            Shape::Plain(needle) | Shape::Wild(Some(needle)) | Shape::Folded(Some(needle)) => {
                needle.is_in(bytes)
            }
            Shape::Ideographs(finder) => finder.find(bytes).is_some(),
            Shape::Folded(None) | Shape::Wild(None) => true,
        }
    }

    /// Whether the words of a value include this one.
    pub(super) fn occurs(&self, value: &[u8], cutter: &Cutter) -> bool {
        match &self.shape {
            Shape::Plain(needle) => {
                let length = self.text.len();
                needle.starts(value).any(|at| {
                    // The cheap looks come first: bytes are compared at the beginning of a word only.
                    cutter.is_start(value, at)
                        && cutter.is_end(value, at + length)
                        && value.get(at..at + length).is_some_and(|found| self.equals(found))
                })
            }
            Shape::Ideographs(finder) => finder.find(value).is_some(),
            Shape::Folded(Some(needle)) | Shape::Wild(Some(needle)) if !needle.is_in(value) => false,
            Shape::Folded(_) | Shape::Wild(_) => cutter.tokens(value).any(|token| self.is(token)),
        }
    }

    fn equals(&self, found: &[u8]) -> bool {
        let text = self.text.as_bytes();
        if self.sensitive { found == text } else { found.eq_ignore_ascii_case(text) }
    }

    /// Whether a token, or a whole value, is this word.
    pub(super) fn is(&self, token: &[u8]) -> bool {
        match &self.shape {
            Shape::Plain(_) | Shape::Ideographs(_) => self.equals(token),
            Shape::Folded(_) => self.is_folded(token),
            Shape::Wild(_) => self.matches_wild(token),
        }
    }

    fn is_folded(&self, token: &[u8]) -> bool {
        self.characters(token).eq(self.text.chars().map(Some))
    }

    /// Greedy with one point of return: linear in practice, never more than pattern times token.
    fn matches_wild(&self, token: &[u8]) -> bool {
        let mut pattern = self.text.chars();
        let mut token = self.characters(token);
        let mut back = None;
        loop {
            match pattern.next() {
                Some('*') => {
                    back = Some((pattern.clone(), token));
                    continue;
                }
                Some(wanted) if token.next().is_some_and(|found| wanted == '?' || found == Some(wanted)) => {
                    continue;
                }
                None if token.bytes.is_empty() => return true,
                _ => {}
            }
            // Let the last star take one character more.
            let Some((after, from)) = &mut back else { return false };
            if from.next().is_none() {
                return false;
            }
            pattern = after.clone();
            token = *from;
        }
    }

    fn characters<'a>(&self, bytes: &'a [u8]) -> Characters<'a> {
        Characters { bytes, sensitive: self.sensitive }
    }
}

/// Bytes that are looked for, ASCII letters in either case unless case counts.
#[derive(Clone, Debug)]
struct Needle {
    bytes: Box<[u8]>,
    sensitive: bool,
    /// Which of them is looked for first.
    rare: usize,
}

impl Needle {
    fn new(text: &[u8], sensitive: bool) -> Needle {
        let bytes: Box<[u8]> = text.get(..NEEDLE).unwrap_or(text).into();
        let rare = (0..bytes.len()).min_by_key(|at| frequency(bytes[*at])).unwrap_or(0);
        Needle { bytes, sensitive, rare }
    }

    /// Where it might start: its rarest byte stands right.
    fn starts<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let rare = self.bytes.get(self.rare).copied().unwrap_or(0);
        let other = if self.sensitive { rare } else { rare.to_ascii_uppercase() };
        let mut from = self.rare;
        std::iter::from_fn(move || {
            let rest = value.get(from..)?;
            let at = if rare == other { memchr(rare, rest) } else { memchr2(rare, other, rest) };
            from += at? + 1;
            Some(from - 1 - self.rare)
        })
    }

    fn is_in(&self, value: &[u8]) -> bool {
        self.starts(value).any(|at| {
            value.get(at..at + self.bytes.len()).is_some_and(|found| match self.sensitive {
                true => *found == *self.bytes,
                false => found.eq_ignore_ascii_case(&self.bytes),
            })
        })
    }
}

/// How common a byte is in logs, roughly: the order matters, not the number.
fn frequency(byte: u8) -> usize {
    const FROM_RARE_TO_COMMON: &[u8] = b"zqjxkvwbygfhpumlcdnsrioate9876543-._210";
    let byte = byte.to_ascii_lowercase();
    FROM_RARE_TO_COMMON.iter().position(|known| *known == byte).map_or(0, |place| place + 1)
}

/// The characters of bytes, lowered unless case counts; none where they are no UTF-8.
#[derive(Clone, Copy)]
struct Characters<'a> {
    bytes: &'a [u8],
    sensitive: bool,
}

impl Iterator for Characters<'_> {
    type Item = Option<char>;

    fn next(&mut self) -> Option<Option<char>> {
        let (first, rest) = self.bytes.split_first()?;
        let Some((c, length)) = first_char(self.bytes) else {
            self.bytes = rest;
            return Some(None);
        };
        self.bytes = self.bytes.get(length..).unwrap_or_default();
        Some(Some(match (self.sensitive, first.is_ascii()) {
            (true, _) => c,
            (_, true) => c.to_ascii_lowercase(),
            _ => lowered(c),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Glob matching as the definition has it, for short texts.
    fn glob(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..])),
            (Some(('?', rest)), Some((_, text))) => glob(rest, text),
            (Some((wanted, rest)), Some((found, text))) => wanted == found && glob(rest, text),
            _ => false,
        }
    }

    #[test]
    fn lowering_is_the_same_for_words_and_values() {
        // A final sigma is lowered by itself, the Kelvin sign is no k.
        assert!(
            Word::literal("\u{39f}\u{394}\u{39f}\u{3a3}", false)
                .is("\u{3bf}\u{3b4}\u{3bf}\u{3c3}".as_bytes())
        );
        assert!(!Word::literal("k", false).is("\u{212a}".as_bytes()));
        assert!(Word::literal("\u{212a}", false).is("\u{212a}".as_bytes()));
        assert!(Word::literal("\u{130}x", false).is("\u{130}X".as_bytes()));
    }

    proptest! {
        #[test]
        fn wildcards_match_as_defined(
            pattern in "[aB\u{e9}?*]{1,8}", text in "[abAB\u{e9}\u{c9}]{0,8}", sensitive: bool,
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let lower = |text: &str| if sensitive { text.to_owned() } else { text.to_lowercase() };
            let expected = glob(&chars(&lower(&pattern)), &chars(&lower(&text)));
            let word = Word::wild(&pattern, sensitive);
            prop_assert_eq!(word.is(text.as_bytes()), expected || (!word.is_wild() && lower(&pattern) == lower(&text)));
            prop_assert!(!expected || word.may_occur(text.as_bytes()));
        }

        #[test]
        fn a_word_matches_its_own_text_in_any_case(text in "\\PC{1,12}", bytes: Vec<u8>) {
            prop_assert!(Word::literal(&text, false).is(text.as_bytes()));
            prop_assert!(Word::literal(&text, true).is(text.as_bytes()));
            prop_assert!(Word::literal(&text.to_ascii_uppercase(), false).is(text.as_bytes()));
            let _ = (Word::literal(&text, false).is(&bytes), Word::wild(&format!("{text}*"), false).is(&bytes));
        }

        /// Looking for bytes finds what cutting finds.
        #[test]
        fn words_are_found_as_if_all_tokens_were_looked_at(
            word in "[a-cA\u{e9}.]{1,3}", value in "[a-cABC\u{e9}\u{8ba2}., =]{0,20}", sensitive: bool, chinese: bool,
        ) {
            let cutter = Cutter::new(", =".chars(), chinese, sensitive);
            let word = Word::literal(&word, sensitive);
            let expected = cutter.tokens(value.as_bytes()).any(|token| word.is(token));
            prop_assert_eq!(word.occurs(value.as_bytes(), &cutter), expected);
            prop_assert!(!expected || word.may_occur(value.as_bytes()));
        }
    }
}
