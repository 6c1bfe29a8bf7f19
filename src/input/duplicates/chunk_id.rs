//! What the chunk ids of the forward protocol are worth: which never come again for other data, and which may.
//!
//! ```text
//! who                      id                                                              class
//! Fluentd                  base64 of 16 bytes and a newline, 25 characters                 random
//! Docker, fluent-logger Go base64 of (int64 LE Unix seconds, 8 random bytes), 24           random
//! Fluency                  a UUID as text                                                  random
//! Fluent Bit               base64 of 16 bytes of a SHA-512 over the payload, 24            content
//! all others                                                                               content
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
    let random = match id {
        [id @ .., b'\n'] => id.len() == 24 && STANDARD.decode(id).is_ok(),
        _ if id.len() == 36 => is_uuid(id),
        _ => decoded(id).is_some_and(|bytes| begins_with_time(bytes, now)),
    };
    if random { Class::Random } else { Class::Content }
}

/// The 16 bytes that 24 characters of base64 stand for.
fn decoded(id: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 18];
    match STANDARD.decode_slice(id, &mut bytes) {
        Ok(16) if id.len() == 24 => bytes[..16].try_into().ok(),
        _ => None,
    }
}

fn begins_with_time([a, b, c, d, e, f, g, h, ..]: [u8; 16], now: u64) -> bool {
    let seconds = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
    u64::try_from(seconds).is_ok_and(|seconds| seconds.abs_diff(now) <= DAY)
}

fn is_uuid(id: &[u8]) -> bool {
    id.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
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
    fn only_what_is_made_at_random_is_random() {
        for id in ["nDGMT3q/pzCKY0XVoTg1Nw==\n", "2f1c3c0e-94f8-4b4c-9f52-6a2a1c0d8a11"] {
            assert_eq!(class(id.as_bytes(), NOW), Class::Random, "{id}");
        }
        let content = [
            "",
            "\n",
            "c1",
            "17",
            "nDGMT3q/pzCKY0XVoTg1Nw==",
            "nDGMT3q/pzCKY0XVoTg1Nw=!",
            "p8n9gmxTQVC8/nh2wlKKeQAA",
            "2f1c3c0e-94f8-4b4c-9f52-6a2a1c0d8a1z",
            "0123456789abcdef0123456789ABCDEF",
            &"a".repeat(128),
        ];
        for id in content {
            assert_eq!(class(id.as_bytes(), NOW), Class::Content, "{id}");
        }
        assert_eq!(class(&[0xff; 24], NOW), Class::Content);
    }
}
