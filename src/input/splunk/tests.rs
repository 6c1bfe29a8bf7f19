//! The decoder against the recordings of Docker's driver, and the whole input behind a socket.

mod connections;
mod decoding;
mod house;

/// The requests of a recording: head and body.
fn requests(recorded: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = recorded;
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        requests.push((head, rest[end..end + length].to_vec()));
        rest = &rest[end + length..];
    }
    requests
}

macro_rules! recording {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/splunk/docker-", $name, ".bin"))
    };
}
use recording;
