//! Cutting texts into words, as an index says: at its token characters, and between ideographs where it cuts Chinese.
//!
//! A table of 256 entries tells for each byte whether it is part of a word, a separator, or the start of a character that
//! has to be looked at. Where Chinese is cut, its punctuation separates and each ideograph is a word of its own; what a
//! query asks for as neighbouring ideographs must stand so in the value, hence any piece of a Chinese text finds it.

use super::letters::{self, SEPARATORS, first_char, is_chinese, is_chinese_punctuation, last_char};

/// How the texts of a field, or of the full-text index, are cut and compared.
#[derive(Clone, PartialEq, Eq)]
pub struct Cutter {
    bytes: [Class; 256],
    /// Separators beyond ASCII.
    wide: Vec<char>,
    chinese: bool,
    /// Letter case counts.
    pub(super) sensitive: bool,
    /// Each place where it cuts is one where packs are cut for their filters.
    pub(super) cuts_as_filters: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Word,
    Separator,
    /// Begins a character that may be a separator or an ideograph.
    Look,
}

/// A part of a query's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Word(&'a str),
    /// Neighbouring ideographs, where Chinese is cut.
    Ideographs(&'a str),
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter")
            .field("chinese", &self.chinese)
            .field("sensitive", &self.sensitive)
            .finish_non_exhaustive()
    }
}

impl Default for Cutter {
    /// At the default separators, in any case, Chinese in one piece.
    fn default() -> Self {
        Cutter::new(SEPARATORS.chars(), false, false)
    }
}

impl Cutter {
    /// Cuts at these characters; `chinese`: and between ideographs; `sensitive`: letter case counts.
    pub fn new(separators: impl Iterator<Item = char>, chinese: bool, sensitive: bool) -> Cutter {
        let mut made =
            Cutter { bytes: [Class::Word; 256], wide: Vec::new(), chinese, sensitive, cuts_as_filters: true };
        for c in separators {
            match u8::try_from(c).ok().filter(u8::is_ascii) {
                Some(byte) => {
                    made.bytes[usize::from(byte)] = Class::Separator;
                    made.cuts_as_filters &= letters::is_separator(byte);
                }
                None => {
                    made.wide.push(c);
                    made.cuts_as_filters = false;
                }
            }
        }
        if chinese || !made.wide.is_empty() {
            made.bytes[0xc2..].fill(Class::Look);
        }
        made
    }

    fn separates(&self, c: char) -> bool {
        match u8::try_from(c).ok().filter(u8::is_ascii) {
            Some(byte) => self.bytes[usize::from(byte)] == Class::Separator,
            None => self.wide.contains(&c) || (self.chinese && is_chinese_punctuation(c)),
        }
    }

    /// An ideograph that is a word of its own.
    pub(super) fn stands_alone(&self, c: char) -> bool {
        self.chinese && is_chinese(c)
    }

    /// The words of a value.
    pub(super) fn tokens<'a>(&'a self, value: &'a [u8]) -> Tokens<'a> {
        Tokens { cutter: self, value, at: 0 }
    }

    /// Whether a word may begin at this place of a value.
    pub(super) fn is_start(&self, value: &[u8], at: usize) -> bool {
        let Some((last, _)) = value.get(..at).and_then(<[u8]>::split_last) else { return at == 0 };
        match self.bytes[usize::from(*last)] {
            Class::Separator => true,
            _ if last.is_ascii() || !self.looks() => false,
            _ => last_char(&value[at.saturating_sub(4)..at])
                .is_some_and(|c| self.separates(c) || self.stands_alone(c)),
        }
    }

    /// Whether a word may end in front of this place.
    pub(super) fn is_end(&self, value: &[u8], at: usize) -> bool {
        let Some(next) = value.get(at) else { return true };
        match self.bytes[usize::from(*next)] {
            Class::Separator => true,
            Class::Word => false,
            Class::Look => {
                first_char(&value[at..]).is_some_and(|(c, _)| self.separates(c) || self.stands_alone(c))
            }
        }
    }

    fn looks(&self) -> bool {
        self.bytes[0xff] == Class::Look
    }

    /// The parts of a query's text. `wildcards`: `*` and `?` are part of a word, and a part of nothing else asks for
    /// nothing.
    pub(super) fn parts<'a>(&self, text: &'a str, wildcards: bool) -> Vec<Part<'a>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Run {
            Separators,
            Word,
            Ideographs,
        }
        let run_of = |c: char| match c {
            '*' | '?' if wildcards => Run::Word,
            c if self.separates(c) => Run::Separators,
            c if self.stands_alone(c) => Run::Ideographs,
            _ => Run::Word,
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let run = run_of(first);
            let end = rest.find(|c| run_of(c) != run).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(end);
            rest = behind;
            // Beside an ideograph a lone `?` would be a character that no word has.
            let empty =
                |part: &str| wildcards && part.chars().all(|c| c == '*' || (c == '?' && self.chinese));
            match run {
                Run::Separators => {}
                Run::Word if empty(part) => {}
                Run::Word => parts.push(Part::Word(part)),
                Run::Ideographs => parts.push(Part::Ideographs(part)),
            }
        }
        parts
    }
}

/// See [`Cutter::tokens`].
#[derive(Clone)]
pub(super) struct Tokens<'a> {
    cutter: &'a Cutter,
    value: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = None;
        while let Some(byte) = self.value.get(self.at) {
            let (mut length, mut ends, mut alone) = (1, false, false);
            match self.cutter.bytes[usize::from(*byte)] {
                Class::Word => {}
                Class::Separator => ends = true,
                Class::Look => {
                    if let Some((c, size)) = first_char(&self.value[self.at..]) {
                        length = size;
                        ends = self.cutter.separates(c);
                        alone = self.cutter.stands_alone(c);
                    }
                }
            }
            match start {
                // What ends this word is looked at again for the next one.
                Some(start) if ends || alone => return self.value.get(start..self.at),
                None if alone => {
                    self.at += length;
                    return self.value.get(self.at - length..self.at);
                }
                None if !ends => start = Some(self.at),
                _ => {}
            }
            self.at += length;
        }
        self.value.get(start?..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(cutter: &Cutter, value: &str) -> Vec<String> {
        cutter.tokens(value.as_bytes()).map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn cuts_where_it_is_told() {
        assert_eq!(
            cut(&Cutter::default(), " a,b--c=\u{4e16}\u{754c}? d"),
            ["a", "b--c", "\u{4e16}\u{754c}", "d"]
        );
        let dashes = Cutter::new("-\u{ff0c}".chars(), false, false);
        assert_eq!(cut(&dashes, "a b-c\u{ff0c}d=\u{e9}"), ["a b", "c", "d=\u{e9}"]);
        let chinese = Cutter::new(" ".chars(), true, false);
        assert_eq!(cut(&chinese, "ab\u{8ba2}\u{5355} c\u{ff0c}d"), ["ab", "\u{8ba2}", "\u{5355}", "c", "d"]);
        assert_eq!(cut(&Cutter::new("".chars(), false, false), "a b,c"), ["a b,c"]);
    }

    #[test]
    fn texts_of_a_query_keep_ideographs_together() {
        let chinese = Cutter::new(" ".chars(), true, false);
        let expected = [Part::Word("a*"), Part::Ideographs("\u{8ba2}\u{5355}"), Part::Word("b")];
        assert_eq!(chinese.parts("a*\u{8ba2}\u{5355}*\u{ff0c}b ?", true), expected);
        let plain = Cutter::default();
        assert_eq!(plain.parts("a?b *", true), [Part::Word("a?b")]);
        assert_eq!(plain.parts("a?b *", false), [Part::Word("a"), Part::Word("b"), Part::Word("*")]);
    }

    proptest! {
        /// Starts and ends are where words begin and end; ideographs are found without their edges.
        #[test]
        fn edges_agree_with_tokens(value in "[a, \u{e9}\u{ff0c}\u{8ba2}\u{5355}-]{0,10}", chinese: bool, wide: bool) {
            let separators = if wide { ",\u{ff0c}" } else { ", " };
            let cutter = Cutter::new(separators.chars(), chinese, false);
            let bytes = value.as_bytes();
            let ideograph = |token: &&[u8]| first_char(token).is_some_and(|(c, _)| cutter.stands_alone(c));
            for token in cutter.tokens(bytes).filter(|token| !ideograph(token)) {
                let start = token.as_ptr() as usize - bytes.as_ptr() as usize;
                prop_assert!(cutter.is_start(bytes, start) && cutter.is_end(bytes, start + token.len()));
                for inside in start + 1..start + token.len() {
                    prop_assert!(!cutter.is_start(bytes, inside) && !cutter.is_end(bytes, inside));
                }
            }
        }

        #[test]
        fn no_bytes_panic(value: Vec<u8>, at in 0usize..20) {
            let cutter = Cutter::new(",\u{ff0c}".chars(), true, true);
            let _ = (cutter.tokens(&value).count(), cutter.is_start(&value, at), cutter.is_end(&value, at));
        }
    }
}
