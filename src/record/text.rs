//! Text that has to be right: UTF-8 repaired, JSON strings escaped.
//!
//! Values are bytes until they leave the gateway, because senders cut lines inside characters. What is no UTF-8 then
//! becomes U+FFFD, one for each maximal broken piece, as every browser and `from_utf8_lossy` do it.

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// How long `bytes` are once repaired; equal to their length when they are sound.
pub fn repaired_len(bytes: &[u8]) -> usize {
    if std::str::from_utf8(bytes).is_ok() {
        return bytes.len();
    }
    bytes
        .utf8_chunks()
        .map(|chunk| chunk.valid().len() + if chunk.invalid().is_empty() { 0 } else { REPLACEMENT.len() })
        .sum()
}

/// Appends `bytes` as sound UTF-8. True when something had to be repaired.
pub fn append_repaired(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if std::str::from_utf8(bytes).is_ok() {
        out.extend_from_slice(bytes);
        return false;
    }
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    true
}

/// Appends `bytes` as a JSON string with its quotes: repaired, and escaped only where JSON demands it.
pub fn append_json_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    match std::str::from_utf8(bytes) {
        Ok(text) => escape(out, text.as_bytes()),
        Err(_) => {
            for chunk in bytes.utf8_chunks() {
                escape(out, chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice(REPLACEMENT);
                }
            }
        }
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut clean = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[clean..at]);
        clean = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&text[clean..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_bytes_become_replacement_characters() {
        let mut out = Vec::new();
        assert!(append_repaired(&mut out, b"caf\xc3\xa9 \xff\xfe \xe4\xbd"));
        assert_eq!(out, "café \u{fffd}\u{fffd} \u{fffd}".as_bytes());
        assert!(!append_repaired(&mut Vec::new(), "你好".as_bytes()));
    }

    #[test]
    fn json_strings_escape_what_json_forbids() {
        let mut out = Vec::new();
        append_json_string(&mut out, b"a\"b\\c\n\t\x01\x7f\xff/");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\t\\u0001\u{7f}\u{fffd}/\"".as_bytes());
    }

    proptest! {
        #[test]
        fn repair_and_escape_agree_with_the_standard_library(bytes: Vec<u8>) {
            let lossy = String::from_utf8_lossy(&bytes);
            let mut out = Vec::new();
            let repaired = append_repaired(&mut out, &bytes);
            prop_assert_eq!(&out[..], lossy.as_bytes());
            prop_assert_eq!(repaired, out != bytes);
            prop_assert_eq!(repaired_len(&bytes), out.len());
            let mut json = Vec::new();
            append_json_string(&mut json, &bytes);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), lossy);
        }
    }
}
