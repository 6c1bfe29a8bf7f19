//! Acks: one map with one key, `{"ack": <chunk>}`, the chunk id echoed exactly as it came, as str or as bin. Peers compare
//! bytes and reject a str that comes back as bin, extra keys, and an ack split over two reads. A peer that sends JSON gets
//! the same map as JSON, without a line end.

use crate::record::text;

/// Appends the ack for a chunk id. `text` says that it came as str. Ids are bounded far below 64 KiB.
pub fn append(out: &mut Vec<u8>, id: &[u8], text: bool) {
    out.extend_from_slice(b"\x81\xa3ack");
    match (id.len(), text) {
        (len @ 0..=31, true) => out.push(0xa0 | len as u8),
        (len @ 0..=255, text) => out.extend_from_slice(&[if text { 0xd9 } else { 0xc4 }, len as u8]),
        (len, text) => {
            out.push(if text { 0xda } else { 0xc5 });
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(id);
}

/// Appends the ack for a chunk id as JSON.
pub fn append_json(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"ack\":");
    text::append_json_string(out, id);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_the_id_as_it_came() {
        let ack = |id: &[u8], text| {
            let mut out = Vec::new();
            append(&mut out, id, text);
            out
        };
        assert_eq!(ack(b"c1", true), b"\x81\xa3ack\xa2c1");
        assert_eq!(ack(b"c1", false), b"\x81\xa3ack\xc4\x02c1");
        assert_eq!(ack(&[b'x'; 40], true)[5..7], [0xd9, 40]);
        assert_eq!(ack(&[b'x'; 256], true)[5..8], [0xda, 1, 0]);
    }

    #[test]
    fn json_peers_get_json() {
        let mut out = Vec::new();
        append_json(&mut out, b"c1");
        append_json(&mut out, "\"\\\n日".as_bytes());
        assert_eq!(out, "{\"ack\":\"c1\"}{\"ack\":\"\\\"\\\\\\n日\"}".as_bytes());
    }
}
