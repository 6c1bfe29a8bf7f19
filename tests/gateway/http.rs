//! HTTP by hand: a request as bytes, and its answer off a connection that stays open.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::harness::PATIENCE;

/// A POST with these header lines, each with its end.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Sends a request and reads its answer: the status, and a body that says its length.
pub async fn call(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> (u16, String) {
    stream.write_all(request).await.unwrap();
    tokio::time::timeout(PATIENCE, answer(stream)).await.unwrap()
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (status, String::from_utf8(body).unwrap())
}
