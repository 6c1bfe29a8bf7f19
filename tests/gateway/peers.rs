//! What known peers make of their messages: their chunk ids, and payloads that are no logs.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::harness::{ack, read};

/// The id of Docker's driver: the time, then 8 bytes that are random there.
pub fn docker_id(number: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    STANDARD.encode([now.to_le_bytes(), number.to_le_bytes()].concat())
}

/// Fluentd's id: 16 bytes of base64 and a line end.
pub fn fluentd_id(number: u64) -> String {
    format!("{}\n", STANDARD.encode([[0xfe; 8], number.to_le_bytes()].concat()))
}

/// Fluent Bit's id, a hash over the data there.
pub fn fluent_bit_id(number: u64) -> String {
    STANDARD.encode([[0xfe; 8], number.to_le_bytes()].concat())
}

/// A PackedForward message with a payload of this `fluent_signal`.
pub fn signal(tag: &str, signal: u8, payload: &[u8], chunk: &str) -> Vec<u8> {
    let mut out = vec![0x93, 0xa0 | tag.len() as u8];
    out.extend_from_slice(tag.as_bytes());
    out.push(0xc6);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\x82\xadfluent_signal");
    out.push(signal);
    out.extend_from_slice(b"\xa5chunk");
    out.push(0xa0 | chunk.len() as u8);
    out.extend_from_slice(chunk.as_bytes());
    out
}

/// Writes a message and waits for its ack, and for nothing else before it.
pub async fn deliver(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), message: &[u8], chunk: &str) {
    stream.write_all(message).await.unwrap();
    let expected = ack(chunk);
    assert_eq!(read(stream, expected.len()).await, expected);
}
