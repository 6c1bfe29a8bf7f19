//! The query part of a request target: `name=value&name&...`, percent-encoded, with `+` or `%20` for a space.
//!
//! Decoding never fails: a stray `%` stays as it is, and bytes that are no UTF-8 are repaired, since a request that
//! carries them is answered with an error about the parameter and not with one about its spelling.

/// Decoded parameters in the order received; a parameter without `=` has no value.
pub fn parse(query: &str) -> Vec<(String, Option<String>)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (decode(name, true), Some(decode(value, true))),
            None => (decode(part, true), None),
        })
        .collect()
}

/// Decodes a path: as [`parse`], but `+` is a plus sign.
pub fn decode_path(path: &str) -> String {
    decode(path, false)
}

/// Encodes a parameter's value for a target: all but unreserved characters.
pub fn encode(value: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_clients_write() {
        let parsed = parse("query=level%3A+info&topic=&flag&x=%E4%B8%96%zz%");
        let expected = [
            ("query", Some("level: info")),
            ("topic", Some("")),
            ("flag", None),
            ("x", Some("\u{4e16}%zz%")),
        ];
        let parsed: Vec<_> = parsed.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(parsed, expected);
        assert_eq!(decode_path("/logstores/a+b%2Dc"), "/logstores/a+b-c");
        assert!(parse("").is_empty());
    }

    #[test]
    fn encoded_values_decode_to_themselves() {
        let mut text = String::from("q=");
        encode("level: info & \u{4e16}+~", &mut text);
        assert_eq!(text, "q=level%3A%20info%20%26%20%E4%B8%96%2B~");
        assert_eq!(parse(&text)[0].1.as_deref(), Some("level: info & \u{4e16}+~"));
    }
}
