//! Both sides against each other, and the server against what no client should send.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::client::{GreetError, Identity};
use super::message::{Helo, NONCE, Parsed, Ping, Pong};
use super::vectors::{AUTH, D1, D2, D3, NONCE as N, SALT, vector};
use super::{Accepted, Denied, Failures, HandshakeError, KeyRing, Peer, digest, greet, serve};
use crate::base::secret::Secret;
use crate::config::plan::{SecurityPlan, UserPlan};

const PEER: Peer<'static> =
    Peer { ip: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), label: "127.0.0.1" };
/// Only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

type Served = Result<(Accepted, BytesMut), HandshakeError>;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn ring() -> KeyRing {
    KeyRing::load(&SecurityPlan {
        self_hostname: Some("gw.local".to_owned()),
        shared_key: secret("secret"),
        users: Some(vec![UserPlan { username: "alice".to_owned(), password: secret("pa55") }]),
        clients: Vec::new(),
        allow_anonymous_source: true,
    })
    .unwrap()
}

fn identity(key: &str, user: Option<(&str, &str)>) -> Identity {
    Identity {
        hostname: "client.local".to_owned(),
        shared_key: secret(key),
        user: user.map(|(name, password)| (name.to_owned(), secret(password))),
    }
}

fn start_with(
    failures: Arc<Failures>,
    patience: Duration,
) -> (DuplexStream, tokio::task::JoinHandle<Served>) {
    let (ours, mut theirs) = duplex(16 * 1024);
    let served = tokio::spawn(async move {
        serve(&mut theirs, &ring(), PEER, Instant::now() + patience, true, &failures).await
    });
    (ours, served)
}

fn start() -> (DuplexStream, tokio::task::JoinHandle<Served>) {
    start_with(Arc::new(Failures::new("test")), PATIENCE)
}

async fn read_helo(stream: &mut DuplexStream) -> Helo {
    let mut bytes = [0; 65];
    stream.read_exact(&mut bytes).await.unwrap();
    match Helo::parse(&bytes) {
        Parsed::Done(helo, 65) => helo,
        other => panic!("{other:?}"),
    }
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The PING of `alice` that answers a HELO.
fn answer(helo: &Helo) -> Vec<u8> {
    let key = digest::key_digest(SALT, b"client.local", &helo.nonce, b"secret");
    let password = digest::password_digest(&helo.auth, b"alice", b"pa55");
    Ping::encode(b"client.local", SALT, &key, b"alice", &password)
}

#[tokio::test]
async fn client_and_server_prove_themselves_to_each_other() {
    let (mut stream, served) = start();
    let server = greet(&mut stream, &identity("secret", Some(("alice", "pa55"))), PATIENCE).await.unwrap();
    assert_eq!((&*server.hostname, server.keepalive, &*server.rest), ("gw.local", true, &b""[..]));
    let (accepted, rest) = served.await.unwrap().unwrap();
    let expected =
        Accepted { username: Some("alice".to_owned()), hostname: "client.local".to_owned(), keepalive: true };
    assert_eq!((accepted, &*rest), (expected, &b""[..]));
}

#[tokio::test]
async fn a_ping_byte_by_byte_and_events_behind_it() {
    let (mut stream, served) = start();
    let ping = answer(&read_helo(&mut stream).await);
    for byte in &ping[..ping.len() - 1] {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&[&ping[ping.len() - 1..], b"event"].concat()).await.unwrap();
    let (_, rest) = served.await.unwrap().unwrap();
    assert_eq!(&*rest, b"event");
}

#[tokio::test]
async fn wrong_keys_and_users_are_told_after_a_while_and_closed() {
    let failures = Arc::new(Failures::new("test"));
    for (identity, text) in [
        (identity("wrong", Some(("alice", "pa55"))), "shared_key mismatch"),
        (identity("secret", Some(("alice", "wrong"))), "username/password mismatch"),
        (identity("secret", None), "username/password mismatch"),
    ] {
        let (mut stream, served) = start_with(failures.clone(), PATIENCE);
        let begin = Instant::now();
        let error = greet(&mut stream, &identity, PATIENCE).await.unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(100));
        assert!(matches!(&error, GreetError::Denied(reason) if reason == text), "{error}");
        assert_eq!(rest(&mut stream).await, b"");
        drop(stream);
        assert!(
            matches!(served.await.unwrap(), Err(HandshakeError::Denied(denied)) if denied.to_string() == text)
        );
    }
    assert!(failures.delay(PEER.ip) >= Duration::from_millis(800), "the fourth failure of this address");
}

/// H6 and a replay: yesterday's PING answers yesterday's nonce.
#[tokio::test]
async fn a_recorded_ping_opens_nothing() {
    let (mut stream, served) = start();
    read_helo(&mut stream).await;
    stream.write_all(&vector("H3")).await.unwrap();
    assert_eq!(rest(&mut stream).await, vector("H5"));
    drop(stream);
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::Denied(Denied::SharedKey))));
    let mut nonces = std::collections::HashSet::new();
    for _ in 0..100 {
        let (mut stream, _served) = start();
        let helo = read_helo(&mut stream).await;
        assert!(nonces.insert(helo.nonce) && nonces.insert(helo.auth));
    }
}

/// H7.
#[tokio::test]
async fn an_event_or_a_pong_instead_of_ping() {
    for bytes in
        [b"\x93\xa7app.log\xceU\xec\xe6\xf8\x81\xa1m\xa3foo".to_vec(), vector("H4"), vec![0x96; 5000]]
    {
        let (mut stream, served) = start();
        read_helo(&mut stream).await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"\x95\xa4PONG\xc2\xb4invalid ping message\xa0\xa0");
        drop(stream);
        assert!(matches!(served.await.unwrap(), Err(HandshakeError::Denied(Denied::Ping(_)))));
    }
}

#[tokio::test]
async fn who_says_nothing_is_a_heartbeat_and_who_stops_is_not() {
    let (stream, served) = start();
    drop(stream);
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::Heartbeat)));
    let (mut stream, served) = start();
    read_helo(&mut stream).await;
    stream.shutdown().await.unwrap();
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::Heartbeat)));
    let (mut stream, served) = start();
    stream.write_all(&vector("H3")[..50]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::Cut)));
    let (mut stream, served) = start();
    stream.write_all(b"\x16\x03\x01\x02").await.unwrap();
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::Foreign(_))));
}

#[tokio::test]
async fn a_slow_peer_has_until_the_deadline() {
    let (mut stream, served) = start_with(Arc::new(Failures::new("test")), Duration::from_millis(50));
    stream.write_all(&vector("H3")[..50]).await.unwrap();
    assert!(matches!(served.await.unwrap(), Err(HandshakeError::TimedOut)));
    // One that takes nothing, either.
    let (_ours, mut theirs) = duplex(1);
    let deadline = Instant::now() + Duration::from_millis(50);
    let served = serve(&mut theirs, &ring(), PEER, deadline, true, &Failures::new("test")).await;
    assert!(matches!(served, Err(HandshakeError::TimedOut)));
}

/// All at once, each from an address of its own: no map, buffer or task is left, and the wait is one wait.
#[tokio::test]
async fn ten_thousand_failed_handshakes_leave_little_behind() {
    let (failures, ring) = (Arc::new(Failures::new("test")), Arc::new(ring()));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..10_000u32 {
        let (failures, ring) = (failures.clone(), ring.clone());
        tasks.spawn(async move {
            let (mut ours, mut theirs) = duplex(1024);
            ours.write_all(&vector("H3")).await.unwrap();
            let peer = Peer { ip: Some(std::net::Ipv4Addr::from(n).into()), label: "many" };
            let deadline = Instant::now() + PATIENCE;
            let served = serve(&mut theirs, &ring, peer, deadline, true, &failures);
            let (served, _) = tokio::join!(served, async {
                let answer = rest(&mut ours).await;
                drop(ours);
                answer
            });
            matches!(served, Err(HandshakeError::Denied(Denied::SharedKey)))
        });
    }
    while let Some(denied) = tasks.join_next().await {
        assert!(denied.unwrap());
    }
    assert!(failures.remembered() <= 8_192);
    assert_eq!(Arc::strong_count(&failures), 1);
}

/// The server's part played by hand: what our client makes of it.
async fn greeted(helo: &[u8], pong: Option<&[u8]>) -> Result<super::client::Server, GreetError> {
    let (mut ours, mut theirs) = duplex(16 * 1024);
    let (helo, pong) = (helo.to_vec(), pong.map(<[u8]>::to_vec));
    let server = tokio::spawn(async move {
        theirs.write_all(&helo).await.unwrap();
        let Some(pong) = pong else { return };
        let mut ping = [0; 512];
        let _ = theirs.read(&mut ping).await;
        let _ = theirs.write_all(&pong).await;
    });
    let outcome =
        greet(&mut ours, &identity("secret", Some(("alice", "pa55"))), Duration::from_millis(500)).await;
    server.await.unwrap();
    outcome
}

#[tokio::test]
async fn a_server_that_proves_nothing_gets_nothing() {
    let helo = Helo::encode(&N, &AUTH, true);
    let found = greeted(&helo, Some(&Pong::accept(b"gw.local", D3))).await;
    assert!(matches!(found, Err(GreetError::Impostor)), "D3 of another salt");
    let found = greeted(&helo, Some(b"\x95\xa4PONG\xc3\xa0\xa0\xa0")).await;
    assert!(matches!(found, Err(GreetError::Impostor)), "no D3");
    let found = greeted(&helo, Some(&vector("H5"))).await;
    assert!(matches!(found, Err(GreetError::Denied(reason)) if reason == "shared_key mismatch"));
    assert!(matches!(greeted(&helo, Some(b"")).await, Err(GreetError::NoPong)));
    assert!(matches!(greeted(b"", None).await, Err(GreetError::NoHelo)));
    assert!(matches!(greeted(b"HTTP/1.1 400", None).await, Err(GreetError::Foreign(_))));
    assert!(matches!(
        greeted(b"\x81\xa3ack", None).await,
        Err(GreetError::Foreign(_) | GreetError::Bad("HELO", _))
    ));
    assert!(matches!(greeted(&vector("H5"), None).await, Err(GreetError::Bad("HELO", _))));
}

/// What Fluent Bit's server sends: raw bytes as str, no keepalive; and one that asks for no password.
#[tokio::test]
async fn the_client_answers_every_form_of_helo() {
    for (helo, has_auth) in
        [(vector("H2"), true), (b"\x92\xa4HELO\x82\xa5nonce\xa2no\xa4auth\xc0".to_vec(), false)]
    {
        let (mut ours, mut theirs) = duplex(16 * 1024);
        let server = tokio::spawn(async move {
            theirs.write_all(&helo).await.unwrap();
            let (mut bytes, mut filled) = ([0; 1024], 0);
            let ping = loop {
                filled += theirs.read(&mut bytes[filled..]).await.unwrap();
                if let Parsed::Done(ping, length) = Ping::parse(&bytes[..filled]) {
                    assert_eq!(length, filled, "nothing before PONG");
                    break ping;
                }
            };
            let Parsed::Done(helo, _) = Helo::parse(&helo) else { panic!("no helo") };
            let digest = digest::key_digest(&ping.salt, b"fb", &helo.nonce, b"secret");
            theirs.write_all(&[&Pong::accept(b"fb", &digest)[..], b"\x80"].concat()).await.unwrap();
            ping
        });
        let server_found =
            greet(&mut ours, &identity("secret", Some(("alice", "pa55"))), PATIENCE).await.unwrap();
        assert_eq!(&*server_found.rest, b"\x80");
        let ping = server.await.unwrap();
        assert!(ping.salt.len() == 32 && ping.salt.iter().all(u8::is_ascii_hexdigit));
        let proof = (&*ping.username, ping.password_digest.len());
        assert_eq!(proof, if has_auth { (&b"alice"[..], 128) } else { (&b""[..], 0) });
    }
}

/// The digests of the sheet are those of its messages.
#[test]
fn the_sheets_ping_answers_the_sheets_helo() {
    let Parsed::Done(helo, _) = Helo::parse(&vector("H1")) else { panic!("no helo") };
    assert_eq!(answer(&helo), vector("H3"));
    assert_eq!((D1.len(), D2.len(), NONCE), (128, 128, 16));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_bytes_open_the_server_or_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..600), flip in any::<u16>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut stream, served) = start();
            let mut ping = answer(&read_helo(&mut stream).await);
            // Half of the cases are random bytes, half a good PING with one bit changed that counts.
            let sent = if flip % 2 == 0 { bytes } else {
                let at = 24 + usize::from(flip) % (ping.len() - 24);
                ping[at] ^= 1;
                ping
            };
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(!answer.starts_with(b"\x95\xa4PONG\xc3"));
            drop(stream);
            assert!(served.await.unwrap().is_err());
        });
    }
}
