//! What a character is to a search: how it is lowered, whether it is Chinese, which bytes separate words.
//!
//! Lowering takes one character to one, so that a value and a query are lowered alike wherever they are cut. An ASCII
//! letter comes from an ASCII letter only: the Kelvin sign, and the dotted capital I of two lower letters, stay
//! themselves. What is ASCII in a word can therefore be looked for as bytes.

/// `, ' " ; = ( ) [ ] { } ? @ & < > / :` and white space: what separates words where nothing else is configured.
pub(in crate::store) const SEPARATORS: &str = ", '\";=()[]{}?@&<>/:\n\t\r";

const IS_SEPARATOR: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = SEPARATORS.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

pub(super) fn is_separator(byte: u8) -> bool {
    IS_SEPARATOR[usize::from(byte)]
}

/// The lower-case form of a character; of one with several, itself.
pub(super) fn lowered(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if one.is_ascii() == c.is_ascii() => one,
        _ => c,
    }
}

/// A text, lowered character by character.
pub(super) fn lowered_text(text: &str) -> String {
    text.chars().map(lowered).collect()
}

/// Bytes lowered into `out`, which is emptied first. What is no UTF-8 stays as it is.
pub(super) fn lower_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if bytes.is_ascii() {
        out.extend(bytes.iter().map(u8::to_ascii_lowercase));
        return;
    }
    for chunk in bytes.utf8_chunks() {
        let mut buffer = [0; 4];
        for c in chunk.valid().chars().map(lowered) {
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

/// An ideograph: a word of its own where Chinese is cut.
pub(super) fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Punctuation of Chinese texts: it separates words where Chinese is cut.
pub(super) fn is_chinese_punctuation(c: char) -> bool {
    matches!(c,
        '\u{2010}'..='\u{2027}' | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}'
        | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}')
}

/// The first character of bytes and how many they are; none for a byte that begins no UTF-8.
pub(super) fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    let head = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let c = valid.chars().next()?;
    Some((c, c.len_utf8()))
}

/// The last character of bytes; none where they end in no UTF-8.
pub(super) fn last_char(bytes: &[u8]) -> Option<char> {
    let start = (1..=bytes.len().min(4)).find(|back| bytes[bytes.len() - back] & 0xc0 != 0x80)?;
    let (c, length) = first_char(&bytes[bytes.len() - start..])?;
    (length == start).then_some(c)
}
