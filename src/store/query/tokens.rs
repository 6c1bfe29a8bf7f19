//! Cutting texts into words, and comparing words: at the default token characters, in any letter case.
//!
//! `, ' " ; = ( ) [ ] { } ? @ & < > / :` and white space separate words; Chinese text is not cut further. Values are
//! bytes and may be no UTF-8: such bytes match nothing but a wildcard.

/// A word of a query: lower-case, perhaps with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    text: String,
    ascii: bool,
    wild: bool,
}

const SEPARATORS: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b", '\";=()[]{}?@&<>/:\n\t\r";
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

pub(super) fn is_separator(byte: u8) -> bool {
    SEPARATORS[byte as usize]
}

/// The words of a value.
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| is_separator(*byte)).filter(|token| !token.is_empty())
}

impl Word {
    /// A word that matches its own text; `*` and `?` stand for themselves.
    pub(super) fn literal(text: &str) -> Word {
        Word { text: text.to_lowercase(), ascii: text.is_ascii(), wild: false }
    }

    /// A word in which `*` is any run of characters and `?` any one.
    pub(super) fn wild(text: &str) -> Word {
        Word { wild: text.contains(['*', '?']), ..Word::literal(text) }
    }

    /// The words of a quoted text or of a bare one (where wildcards count, and `?` separates nothing).
    pub(super) fn cut(text: &str, wildcards: bool) -> Vec<Word> {
        text.split(|c: char| c.is_ascii() && is_separator(c as u8) && !(wildcards && c == '?'))
            // A run of stars alone asks for nothing.
            .filter(|part| !part.trim_start_matches(if wildcards { '*' } else { ' ' }).is_empty())
            .map(|part| if wildcards { Word::wild(part) } else { Word::literal(part) })
            .collect()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn starts_wild(&self) -> bool {
        self.wild && self.text.starts_with(['*', '?'])
    }

    /// Whether a token (or a whole value) is this word.
    pub(super) fn matches(&self, token: &[u8]) -> bool {
        if self.wild {
            return self.matches_wild(token);
        }
        if self.ascii && token.is_ascii() {
            return token.eq_ignore_ascii_case(self.text.as_bytes());
        }
        let mut found = Characters(token);
        let mut wanted = self.text.chars();
        loop {
            match (found.next(), wanted.next()) {
                (None, None) => return true,
                (Some(Lowered::One(a)), Some(b)) if a == b => {}
                (Some(Lowered::Many(lowered)), Some(b)) => {
                    let mut lowered = lowered;
                    if lowered.next() != Some(b) || !lowered.all(|c| wanted.next() == Some(c)) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// Greedy with one point of return: linear in practice, never more than pattern times token.
    fn matches_wild(&self, token: &[u8]) -> bool {
        let mut pattern = self.text.chars();
        let mut token = Characters(token);
        let mut back: Option<(std::str::Chars<'_>, Characters<'_>)> = None;
        loop {
            match pattern.next() {
                Some('*') => {
                    back = Some((pattern.clone(), token));
                    continue;
                }
                Some(wanted) if token.next().is_some_and(|found| wanted == '?' || found.is(wanted)) => {
                    continue;
                }
                None if token.0.is_empty() => return true,
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
}

/// Characters of bytes, lower-case; what is no UTF-8 is a character no pattern holds.
#[derive(Clone, Copy)]
struct Characters<'a>(&'a [u8]);

enum Lowered {
    One(char),
    Many(std::char::ToLowercase),
    Broken,
}

impl Lowered {
    fn is(&self, wanted: char) -> bool {
        match self {
            Lowered::One(found) => *found == wanted,
            Lowered::Many(found) => found.clone().next() == Some(wanted),
            Lowered::Broken => false,
        }
    }
}

impl Iterator for Characters<'_> {
    type Item = Lowered;

    fn next(&mut self) -> Option<Lowered> {
        let (first, rest) = self.0.split_first()?;
        if first.is_ascii() {
            self.0 = rest;
            return Some(Lowered::One(char::from(first.to_ascii_lowercase())));
        }
        let head = &self.0[..self.0.len().min(4)];
        let valid = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
        };
        let Some(found) = valid.chars().next() else {
            self.0 = rest;
            return Some(Lowered::Broken);
        };
        self.0 = &self.0[found.len_utf8()..];
        let lowered = found.to_lowercase();
        match lowered.len() {
            1 => Some(Lowered::One(lowered.clone().next().unwrap_or(found))),
            _ => Some(Lowered::Many(lowered)),
        }
    }
}
