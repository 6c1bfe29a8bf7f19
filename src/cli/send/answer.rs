//! What a server says to a message: an ack, "not now", or something that shows what it really is. Pure.

use super::delivery::Trouble;
use crate::record::msgpack::{Foreign, Token, WalkError, Walker, foreign};

/// An ack is far shorter.
pub(super) const ANSWER_BYTES: usize = 4 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `{"ack": id}`; the id as str or bin.
    Ack(Vec<u8>),
    /// `{}`, or a map without an ack: the records are not stored, and may be sent again.
    NotNow,
    /// The HELO of a server that asks for a shared key, or the PONG that ends its patience.
    Handshake,
    /// A TLS alert or handshake.
    Tls,
    Other(Foreign),
}

impl Answer {
    /// The answer at the front and its length; `None` while it is not all there.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
        let mut walker = Walker::new(bytes);
        let answer = match walker.peek()? {
            0x15 | 0x16 => Ok(Answer::Tls),
            0x90..=0x9f | 0xdc | 0xdd => Ok(Answer::Handshake),
            0x80..=0x8f | 0xde | 0xdf => map(bytes, &mut walker),
            first => Ok(Answer::Other(foreign(bytes).unwrap_or(Foreign::Other(first)))),
        };
        match answer {
            Ok(answer) => Some((answer, walker.position())),
            Err(WalkError::End) if bytes.len() < ANSWER_BYTES => None,
            Err(_) => Some((Answer::Other(Foreign::Other(bytes.first().copied()?)), bytes.len())),
        }
    }

    /// What it means for a message that waits for the ack of `chunk`.
    pub(super) fn judge(self, to: &str, chunk: &[u8]) -> Result<(), Trouble> {
        Err(match self {
            Answer::Ack(id) if id == chunk => return Ok(()),
            Answer::Ack(_) => {
                Trouble::Passing(format!("{to} acknowledged something else; the records may not be stored"))
            }
            Answer::NotNow => Trouble::Passing(format!("{to} cannot store records at the moment")),
            Answer::Handshake => Trouble::Lasting(format!(
                "{to} asks for a shared key; give it by --shared-key-file or SLUICEGATE_SHARED_KEY"
            )),
            Answer::Tls => Trouble::Lasting(format!("{to}: the server speaks TLS; add --tls")),
            Answer::Other(who) => Trouble::Lasting(format!("{to} is no forward server: {who}")),
        })
    }
}

fn map(bytes: &[u8], walker: &mut Walker<'_>) -> Result<Answer, WalkError> {
    let Token::Map(pairs) = walker.next()? else { return Ok(Answer::NotNow) };
    let mut answer = Answer::NotNow;
    for _ in 0..pairs {
        let key = walker.clone().take_bytes().and_then(|place| bytes.get(place));
        walker.skip()?;
        let value = walker.clone().take_bytes().and_then(|place| bytes.get(place));
        walker.skip()?;
        if let (Some(b"ack"), Some(id)) = (key, value) {
            answer = Answer::Ack(id.to_vec());
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_come_whole_or_in_parts_as_str_or_bin_among_other_keys() {
        let ack = |id: &[u8], length| Some((Answer::Ack(id.to_vec()), length));
        let bytes = b"\x81\xa3ack\xa2c1\x80";
        assert_eq!(Answer::parse(bytes), ack(b"c1", 8));
        for cut in 0..8 {
            assert_eq!(Answer::parse(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Answer::parse(b"\x82\x01\x91\xc0\xc4\x03ack\xc4\x01i"), ack(b"i", 12));
        assert_eq!(Answer::parse(b"\x80"), Some((Answer::NotNow, 1)));
        assert_eq!(Answer::parse(b"\x81\xa3ack\xc0"), Some((Answer::NotNow, 6)));
    }

    #[test]
    fn other_answers_say_what_to_do() {
        let say = |bytes: &[u8]| {
            let (answer, _) = Answer::parse(bytes).unwrap();
            answer.judge("gw:24224", b"c1").unwrap_err().to_string()
        };
        assert_eq!(say(b"\x15\x03\x01\0\x02\x02\x32"), "gw:24224: the server speaks TLS; add --tls");
        assert_eq!(
            say(b"\x92\xa4HELO"),
            "gw:24224 asks for a shared key; give it by --shared-key-file or SLUICEGATE_SHARED_KEY"
        );
        assert_eq!(say(b"\x80"), "gw:24224 cannot store records at the moment");
        assert!(say(b"\x81\xa3ack\xa2c2").starts_with("gw:24224 acknowledged something else"));
        assert!(say(b"HTTP/1.1 400 Bad Request").starts_with("gw:24224 is no forward server: "));
        assert!(say(b"\xc1").starts_with("gw:24224 is no forward server: "));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_some_answer_or_its_beginning(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            if let Some((_, length)) = Answer::parse(&bytes) {
                assert!(length <= bytes.len());
            }
            let long = [&b"\x81\xdb\xff\xff\xff\xff"[..], &[0; ANSWER_BYTES]].concat();
            assert!(Answer::parse(&long).is_some());
        }
    }
}
