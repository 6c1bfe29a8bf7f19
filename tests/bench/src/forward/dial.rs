//! How a client of the forward input opens a connection: TCP, then TLS, then the shared-key handshake, as asked.
//!
//! ```text
//! S -> C  92 "HELO" {"nonce": N, "auth": A, ...}
//! C -> S  96 "PING" host salt hex(SHA512(salt host N key)) "" ""
//! S -> C  95 "PONG" true "" server hex(...)      or   95 "PONG" false reason "" ""
//! ```
//!
//! TLS sessions are never resumed: every handshake is a full one. Connections come from several loopback addresses, so
//! that ports in TIME_WAIT do not run out.

use std::{
    io::{self, Error},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use sha2::{Digest, Sha512};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpSocket,
};
use tokio_rustls::TlsConnector;

use super::certificates::SERVER;

/// Loopback addresses that connections come from.
const SOURCES: u64 = 16;
const HOST: &str = "client.bench";
const SALT: &str = "00112233445566778899aabbccddeeff";

/// What is spoken below the messages.
#[derive(Clone, Default)]
pub struct Way {
    pub tls: Option<Tls>,
    pub shared_key: Option<String>,
}

#[derive(Clone)]
pub struct Tls {
    pub authority: PathBuf,
    /// Certificate and key of the client.
    pub client: Option<(PathBuf, PathBuf)>,
    /// TLS 1.2 instead of 1.3.
    pub old: bool,
}

/// A connection over any of the ways.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

pub struct Dialer {
    to: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    shared_key: Option<String>,
}

impl Dialer {
    pub fn new(to: SocketAddr, way: &Way) -> io::Result<Dialer> {
        let tls = match &way.tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(SERVER).map_err(Error::other)?;
                Some((TlsConnector::from(Arc::new(config(tls)?)), name))
            }
        };
        Ok(Dialer { to, tls, shared_key: way.shared_key.clone() })
    }

    /// Opens connection number `index`; it is ready for messages.
    pub async fn dial(&self, index: u64) -> io::Result<Box<dyn Duplex>> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 0, (index % SOURCES) as u8 + 1);
        socket.bind((source, 0).into())?;
        let socket = socket.connect(self.to).await?;
        socket.set_nodelay(true)?;
        let mut stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(socket),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), socket).await?),
        };
        if let Some(key) = &self.shared_key {
            greet(&mut stream, key).await?;
        }
        Ok(stream)
    }
}

fn config(tls: &Tls) -> io::Result<ClientConfig> {
    let certificates = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
        let read = CertificateDer::pem_file_iter(path).map_err(Error::other)?;
        read.collect::<Result<_, _>>().map_err(Error::other)
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.authority)? {
        roots.add(certificate).map_err(Error::other)?;
    }
    let version = if tls.old { &TLS12 } else { &TLS13 };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .map_err(Error::other)?
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(Error::other)?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(Error::other)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Proves the shared key; an error tells the server's reason.
async fn greet(stream: &mut Box<dyn Duplex>, key: &str) -> io::Result<()> {
    let (mut buffer, mut filled) = ([0; 1024], 0);
    let nonce = loop {
        filled += more(stream, &mut buffer[filled..]).await?;
        match nonce(&buffer[..filled]) {
            Read::Whole(nonce) => break nonce,
            Read::Part => {}
            Read::Wrong => return Err(Error::other("the server's HELO cannot be read")),
        }
    };
    let mut ping = b"\x96\xa4PING".to_vec();
    for text in [HOST.as_bytes(), SALT.as_bytes(), &digest(&nonce, key), b"", b""] {
        ping.extend_from_slice(&[0xd9, text.len() as u8]);
        ping.extend_from_slice(text);
    }
    stream.write_all(&ping).await?;
    stream.flush().await?;
    filled = 0;
    loop {
        filled += more(stream, &mut buffer[filled..]).await?;
        match pong(&buffer[..filled]) {
            Read::Whole(None) => return Ok(()),
            Read::Whole(Some(reason)) => return Err(Error::other(format!("the server refuses: {reason}"))),
            Read::Part => {}
            Read::Wrong => return Err(Error::other("the server's PONG cannot be read")),
        }
    }
}

async fn more(stream: &mut Box<dyn Duplex>, room: &mut [u8]) -> io::Result<usize> {
    match stream.read(room).await? {
        0 => Err(Error::other("closed inside the handshake")),
        count => Ok(count),
    }
}

fn digest(nonce: &[u8], key: &str) -> Vec<u8> {
    let hash =
        Sha512::new().chain_update(SALT).chain_update(HOST).chain_update(nonce).chain_update(key).finalize();
    hash.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// What reading a message that may not be there in full comes to.
#[derive(Debug, PartialEq)]
enum Read<T> {
    Whole(T),
    Part,
    Wrong,
}

/// A value of HELO or PONG.
#[derive(Debug, PartialEq)]
enum Item<'a> {
    Array(u8),
    Map(u8),
    Bool(bool),
    Bytes(&'a [u8]),
}

/// Takes the next value off `bytes`.
fn item<'a>(bytes: &mut &'a [u8]) -> Read<Item<'a>> {
    let Some((&marker, rest)) = bytes.split_first() else { return Read::Part };
    let (header, len) = match marker {
        0x80..=0x8f | 0x90..=0x9f | 0xc2 | 0xc3 => {
            *bytes = rest;
            return Read::Whole(match marker {
                0x80..=0x8f => Item::Map(marker & 15),
                0x90..=0x9f => Item::Array(marker & 15),
                _ => Item::Bool(marker == 0xc3),
            });
        }
        0xa0..=0xbf => (0, usize::from(marker & 31)),
        0xc4 | 0xd9 => match rest.first() {
            None => return Read::Part,
            Some(len) => (1, usize::from(*len)),
        },
        _ => return Read::Wrong,
    };
    let Some(text) = rest.get(header..header + len) else { return Read::Part };
    *bytes = &rest[header + len..];
    Read::Whole(Item::Bytes(text))
}

/// The nonce of a HELO.
fn nonce(mut bytes: &[u8]) -> Read<Vec<u8>> {
    let mut next = || item(&mut bytes);
    let mut items = Vec::new();
    let mut left = 3;
    while left > 0 {
        match next() {
            Read::Whole(Item::Map(pairs)) => left += 2 * usize::from(pairs),
            Read::Whole(item) => items.push(item),
            Read::Part => return Read::Part,
            Read::Wrong => return Read::Wrong,
        }
        left -= 1;
    }
    match items.split_first_chunk::<2>() {
        Some(([Item::Array(2), Item::Bytes(b"HELO")], pairs)) => pairs
            .chunks_exact(2)
            .find_map(|pair| match pair {
                [Item::Bytes(b"nonce"), Item::Bytes(nonce)] => Some(Read::Whole(nonce.to_vec())),
                _ => None,
            })
            .unwrap_or(Read::Wrong),
        _ => Read::Wrong,
    }
}

/// The reason of a PONG that refuses, nothing of one that takes us.
fn pong(mut bytes: &[u8]) -> Read<Option<String>> {
    let mut items = Vec::new();
    while items.len() < 6 {
        match item(&mut bytes) {
            Read::Whole(item) => items.push(item),
            Read::Part => return Read::Part,
            Read::Wrong => return Read::Wrong,
        }
    }
    match items.as_slice() {
        [Item::Array(5), Item::Bytes(b"PONG"), Item::Bool(true), ..] => Read::Whole(None),
        [Item::Array(5), Item::Bytes(b"PONG"), Item::Bool(false), Item::Bytes(reason), ..] => {
            Read::Whole(Some(String::from_utf8_lossy(reason).into_owned()))
        }
        _ => Read::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_found_in_every_spelling_and_only_when_all_is_there() {
        let ours = b"\x92\xa4HELO\x83\xa5nonce\xc4\x10abcdefghijklmnop\xa4auth\xc4\x10ABCDEFGHIJKLMNOP\xa9keepalive\xc3";
        let theirs = b"\x92\xa4HELO\x82\xa4auth\xb0ABCDEFGHIJKLMNOP\xa5nonce\xb0abcdefghijklmnop";
        for helo in [&ours[..], &theirs[..]] {
            assert_eq!(nonce(helo), Read::Whole(b"abcdefghijklmnop".to_vec()));
            for end in 0..helo.len() {
                assert_eq!(nonce(&helo[..end]), Read::Part, "{end} bytes");
            }
        }
        assert_eq!(nonce(b"\x92\xa4HALO\x80"), Read::Wrong);
    }

    #[test]
    fn a_pong_takes_us_or_tells_why_not() {
        assert_eq!(pong(b"\x95\xa4PONG\xc3\xa0\xa2gw\xd9\x02aa"), Read::Whole(None));
        assert_eq!(pong(b"\x95\xa4PONG\xc2\xa2no\xa0\xa0"), Read::Whole(Some("no".to_owned())));
        assert_eq!(pong(b"\x95\xa4PONG\xc3\xa0\xa2gw\xd9\x02a"), Read::Part);
    }

    #[test]
    fn the_digest_is_that_of_the_protocol() {
        // SHA-512 of "00112233445566778899aabbccddeeff" "client.bench" 00 01 02 03 "secret", by sha512sum.
        assert_eq!(digest(&[0, 1, 2, 3], "secret"), EXPECTED.as_bytes());
    }

    const EXPECTED: &str = "03f75164f8ada3079392d01d29752eb414912e546fc6c1a01398b925ed029d59\
        c2c2a6d7e7f94dfa0e4ec6fa1da7b7b203d89c5ab6110c3f70b32361ca66b28f";
}
