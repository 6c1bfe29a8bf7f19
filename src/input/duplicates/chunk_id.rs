//! What the chunk ids of the forward protocol are worth: which never come again for other data, and which may.
//!
//! ```text
//! who                      id                                                              class
//! Fluentd                  base64 of 16 bytes and a newline, 25 characters                 random
//! Docker, fluent-logger Go base64 of (int64 LE Unix seconds, 8 random bytes), 24           random
//! Fluency, others          a UUID as text, anything else                                   random
//! Fluent Bit               base64 of 16 bytes of a SHA-512 over the payload, 24            content
//! older Fluent Bit         the hash as hexadecimal digits, 32 or more                      content
//! ```
//!
//! A content id is the same for equal data, so that data that is honestly sent twice looks like a message that comes
//! again. An id that could be either is taken for content: that forgets sooner, and at worst stores something twice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Class;

/// Clocks of senders may differ from ours by so much, and a message may be so old.
const DAY: u64 = 86_400;

/// `now` is in Unix seconds.
pub fn class(id: &[u8], now: u64) -> Class {
    if id.len() >= 32 && id.iter().all(u8::is_ascii_hexdigit) {
        return Class::Content;
    }
    if id.len() != 24 {
        return Class::Random;
    }
    let mut bytes = [0; 18];
    match STANDARD.decode_slice(id, &mut bytes) {
        Ok(16) => {}
        _ => return Class::Random,
    }
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    let seconds = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
    match u64::try_from(seconds) {
        Ok(seconds) if seconds.abs_diff(now) <= DAY => Class::Random,
        _ => Class::Content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;

    fn of_time(seconds: i64) -> String {
        let mut bytes = seconds.to_le_bytes().to_vec();
        bytes.extend([0xfe; 8]);
        STANDARD.encode(bytes)
    }

    #[test]
    fn a_time_in_front_makes_it_random() {
        for seconds in [NOW, NOW - DAY, NOW + DAY] {
            assert_eq!(class(of_time(seconds as i64).as_bytes(), NOW), Class::Random);
        }
        for seconds in [(NOW - DAY) as i64 - 1, (NOW + DAY) as i64 + 1, 0, -1, i64::MIN, i64::MAX] {
            assert_eq!(class(of_time(seconds).as_bytes(), NOW), Class::Content);
        }
    }

    #[test]
    fn hashes_are_content_and_all_else_is_random() {
        let content = ["nDGMT3q/pzCKY0XVoTg1Nw==", "0123456789abcdef0123456789ABCDEF", &"a".repeat(128)];
        for id in content {
            assert_eq!(class(id.as_bytes(), NOW), Class::Content, "{id}");
        }
        let random = [
            "",
            "c1",
            "nDGMT3q/pzCKY0XVoTg1Nw==\n",
            "p8n9gmxTQVC8/nh2wlKKeQAA",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef01234567",
            "2f1c3c0e-94f8-4b4c-9f52-6a2a1c0d8a11",
            "nDGMT3q/pzCKY0XVoTg1Nw=!",
        ];
        for id in random {
            assert_eq!(class(id.as_bytes(), NOW), Class::Random, "{id}");
        }
        assert_eq!(class(&[0xff; 24], NOW), Class::Random);
    }
}
