//! Escapes in the values of access logs, undone. No escape is shorter than what it stands for.
//!
//! ```text
//! Hex   \xHH                       Nginx writes all bytes above ASCII so, too
//! Json  \" \\ \/ \b \f \n \r \t \u00HH
//! C     \" \\ \b \f \n \r \t \v \xHH
//! ```
//!
//! A quote or a backslash behind a backslash is itself in all of them. What else stands behind one stays as it is, with its
//! backslash.

use memchr::memchr;

use crate::config::plan::Escape;
use crate::record::{Batch, Span};

/// A value as it was before its server wrote it.
pub(super) fn undone(batch: &mut Batch, value: Span, escape: Escape) -> Span {
    if escape == Escape::None || memchr(b'\\', batch.bytes(value)).is_none() {
        return value;
    }
    batch.rewrite(value, value.len(), |text, out| undo(text, out, escape))
}

/// Writes into `out`, which is as long as the text; gives the length of what was written.
fn undo(text: &[u8], out: &mut [u8], escape: Escape) -> usize {
    let (mut from, mut to) = (0, 0);
    let mut put = |bytes: &[u8]| {
        if let Some(room) = out.get_mut(to..to + bytes.len()) {
            room.copy_from_slice(bytes);
            to += bytes.len();
        }
    };
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let run = memchr(b'\\', rest).unwrap_or(rest.len());
        put(rest.get(..run).unwrap_or_default());
        from += run;
        if run == rest.len() {
            break;
        }
        let behind = rest.get(run + 1..).unwrap_or_default();
        from += match one(behind, escape) {
            Some((byte, taken)) => {
                put(&[byte]);
                1 + taken
            }
            None => {
                put(b"\\");
                1
            }
        };
    }
    to
}

/// The byte that an escape stands for, and how much it takes behind its backslash.
fn one(behind: &[u8], escape: Escape) -> Option<(u8, usize)> {
    let letters = escape != Escape::Hex;
    let byte = match *behind.first()? {
        byte @ (b'"' | b'\\') => byte,
        b'x' if escape != Escape::Json => return Some((hex(behind.get(1..3)?)?, 3)),
        // Nginx writes control bytes so, and nothing else.
        b'u' if escape == Escape::Json && behind.get(1..3) == Some(b"00") => {
            return hex(behind.get(3..5)?).filter(u8::is_ascii).map(|byte| (byte, 5));
        }
        b'/' if escape == Escape::Json => b'/',
        b'n' if letters => b'\n',
        b't' if letters => b'\t',
        b'r' if letters => b'\r',
        b'b' if letters => 0x08,
        b'f' if letters => 0x0c,
        b'v' if escape == Escape::C => 0x0b,
        _ => return None,
    };
    Some((byte, 1))
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |byte, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(byte << 4 | u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &[u8], escape: Escape) -> Vec<u8> {
        let mut batch = Batch::default();
        let value = batch.keep(text);
        let found = undone(&mut batch, value, escape);
        batch.bytes(found).to_vec()
    }

    #[test]
    fn each_server_has_its_own() {
        let text = br#"a\x22\xE4\xbd\xA0\"\\\n\v\/\u0007\u00e9\q\x2"#;
        assert_eq!(of(text, Escape::Hex), b"a\"\xe4\xbd\xa0\"\\\\n\\v\\/\\u0007\\u00e9\\q\\x2");
        assert_eq!(of(text, Escape::C), b"a\"\xe4\xbd\xa0\"\\\n\x0b\\/\\u0007\\u00e9\\q\\x2");
        assert_eq!(of(text, Escape::Json), b"a\\x22\\xE4\\xbd\\xA0\"\\\n\\v/\x07\\u00e9\\q\\x2");
        assert_eq!(of(text, Escape::None), text);
        assert_eq!(of(b"end\\", Escape::C), b"end\\");
    }

    proptest! {
        #[test]
        fn what_nginx_and_apache_write_comes_back(bytes: Vec<u8>) {
            let hex = |byte: u8| format!("\\x{byte:02X}").into_bytes();
            let nginx = |&byte: &u8| match byte {
                b'"' | b'\\' | 0..0x20 | 0x7f.. => hex(byte),
                byte => vec![byte],
            };
            let apache = |&byte: &u8| match byte {
                b'"' | b'\\' => vec![b'\\', byte],
                b'\n' => b"\\n".to_vec(),
                b'\t' => b"\\t".to_vec(),
                0x0b => b"\\v".to_vec(),
                0..0x20 | 0x7f.. => hex(byte),
                byte => vec![byte],
            };
            let written: Vec<u8> = bytes.iter().flat_map(nginx).collect();
            prop_assert_eq!(of(&written, Escape::Hex), &bytes[..]);
            let written: Vec<u8> = bytes.iter().flat_map(apache).collect();
            prop_assert_eq!(of(&written, Escape::C), &bytes[..]);
        }
    }
}
