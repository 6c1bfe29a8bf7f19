//! The PROXY protocol, versions 1 and 2, as HAProxy's specification has it (proxy-protocol.txt, 2.1 and 2.2): a header
//! in which a balancer says for whom it connects.
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224\r\n            at most 107 bytes; UNKNOWN instead of TCP4: no address
//! v2   0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a | 2c | ff | len16 | addresses, extensions
//!                                            c: 0 LOCAL, 1 PROXY   ff: 11 TCP4 (12 bytes), 21 TCP6 (36 bytes), others: no address
//! ```
//!
//! Refuses: headers above 107 and 552 bytes, unknown versions and commands, addresses that are none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const V1_BYTES: usize = 107;
const V2_FIXED: usize = 16;
/// Addresses and extensions of a version 2 header: what the specification says a receiver must be able to take.
const V2_REST: usize = 536;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes are the beginning of a header.
    Partial,
    /// A header of `len` bytes; no source where it names none, and the socket's own counts.
    Done {
        len: usize,
        source: Option<SocketAddr>,
    },
    Bad(&'static str),
}

/// What a peer sent where a header was due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The peer it connects for; `None`: itself.
    Source(Option<SocketAddr>),
    /// Nothing: a probe.
    Nothing,
    Bad(&'static str),
}

/// Reads a header and not a byte more. Bytes are taken off the socket only once they are known to belong to it.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Header> {
    let mut header = [0; V2_FIXED + V2_REST];
    let mut taken = 0;
    loop {
        // Never empty: a header that is longer than this is bad.
        let there = stream.peek(&mut header[taken..]).await?;
        if there == 0 {
            return Ok(if taken == 0 { Header::Nothing } else { Header::Bad("it ends in the middle") });
        }
        let (end, done) = match parse(&header[..taken + there]) {
            Parsed::Partial => (taken + there, None),
            Parsed::Done { len, source } => (len, Some(Header::Source(source))),
            Parsed::Bad(what) => return Ok(Header::Bad(what)),
        };
        stream.read_exact(&mut header[taken..end]).await?;
        if let Some(done) = done {
            return Ok(done);
        }
        taken = end;
    }
}

/// Judges the bytes that have come so far.
pub fn parse(bytes: &[u8]) -> Parsed {
    if begins(bytes, V2_START) {
        parse_v2(bytes)
    } else if begins(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Parsed::Bad("there is none")
    }
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let within = &bytes[..bytes.len().min(V1_BYTES)];
    let Some(end) = memchr::memmem::find(within, b"\r\n") else {
        return if bytes.len() < V1_BYTES { Parsed::Partial } else { Parsed::Bad("it has no end") };
    };
    let len = end + 2;
    let Ok(line) = std::str::from_utf8(&within[..end]) else {
        return Parsed::Bad("it is no text");
    };
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Parsed::Done { len, source: None };
    }
    let (source, destination) = (words.next(), words.next());
    let (port, other_port) = (words.next(), words.next());
    let ip = |text: Option<&str>| -> Option<IpAddr> {
        match family {
            Some("TCP4") => text?.parse().ok().map(IpAddr::V4),
            Some("TCP6") => text?.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let number = |text: Option<&str>| text?.parse::<u16>().ok();
    match (ip(source), ip(destination), number(port), number(other_port), words.next()) {
        (Some(ip), Some(_), Some(port), Some(_), None) => {
            Parsed::Done { len, source: Some(SocketAddr::new(ip, port)) }
        }
        _ => Parsed::Bad("its addresses are none"),
    }
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else { return Parsed::Partial };
    let [.., command, family, high, low] = *fixed;
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 {
        return Parsed::Bad("its version is unknown");
    }
    if rest_len > V2_REST {
        return Parsed::Bad("it is too long");
    }
    let Some(rest) = rest.get(..rest_len) else { return Parsed::Partial };
    let len = V2_FIXED + rest_len;
    let source = match (command & 0x0f, family) {
        (0, _) => None,
        (1, 0x11) => match *rest {
            [a, b, c, d, _, _, _, _, high, low, _, _, ..] => {
                Some((Ipv4Addr::new(a, b, c, d).into(), [high, low]))
            }
            _ => return Parsed::Bad("it is too short for its addresses"),
        },
        (1, 0x21) => match (rest.first_chunk::<16>(), rest.get(32..36)) {
            (Some(ip), Some([high, low, _, _])) => Some((Ipv6Addr::from(*ip).into(), [*high, *low])),
            _ => return Parsed::Bad("it is too short for its addresses"),
        },
        // Unix sockets, datagrams, what is not said: the balancer has no address for us.
        (1, _) => None,
        _ => return Parsed::Bad("its command is unknown"),
    };
    let source = source.map(|(ip, port): (IpAddr, _)| SocketAddr::new(ip, u16::from_be_bytes(port)));
    Parsed::Done { len, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2_START.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn done(bytes: &[u8]) -> Option<String> {
        match parse(bytes) {
            Parsed::Done { len, source } => {
                assert_eq!(len, bytes.len());
                Some(source.map_or("own".to_owned(), |source| source.to_string()))
            }
            _ => None,
        }
    }

    #[test]
    fn headers_name_their_peer() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 0x5e, 0xa0];
        let mut six = [0u8; 40];
        (six[0], six[15], six[32], six[33]) = (0x20, 1, 0, 9);
        for (bytes, source) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224\r\n".to_vec(), "192.0.2.7:56324"),
            (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), "[2001:db8::1]:1"),
            (b"PROXY UNKNOWN ffff:f::f ffff:f::f 65535 65535\r\n".to_vec(), "own"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "own"),
            (v2(0x21, 0x11, &four), "192.0.2.7:56324"),
            (v2(0x21, 0x21, &six), "[2000::1]:9"),
            (v2(0x20, 0x11, &four), "own"),
            (v2(0x20, 0x00, &[]), "own"),
            (v2(0x21, 0x31, &[0; 216]), "own"),
            (v2(0x21, 0x11, &[four.as_slice(), &[0; 524]].concat()), "192.0.2.7:56324"),
        ] {
            assert_eq!(done(&bytes).as_deref(), Some(source));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Parsed::Partial, "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_early() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"\x93\xa1t".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224 9\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 99999\r\n".to_vec(),
            b"PROXY \xff\r\n".to_vec(),
            [b"PROXY UNKNOWN ".as_slice(), &[b'a'; 100]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[0; 537]),
        ] {
            assert!(matches!(parse(&bytes), Parsed::Bad(_)), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_and_never_beyond_them(
            start in prop_oneof![Just(&b""[..]), Just(V1_START), Just(V2_START)],
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [start, &bytes].concat();
            match parse(&bytes) {
                Parsed::Done { len, .. } => prop_assert!(len <= bytes.len().min(V2_FIXED + V2_REST)),
                Parsed::Partial => prop_assert!(bytes.len() < V2_FIXED + V2_REST),
                Parsed::Bad(_) => {}
            }
        }
    }
}
