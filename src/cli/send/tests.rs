//! The command against servers that behave, misbehave, or speak something else.

mod secure;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::*;
use crate::base::secret::Secret;
use crate::base::tls::ServerTls;
use crate::config::plan::{ClientAuth, SecurityPlan, TlsPlan, TlsVersion, UserPlan};
use crate::input::forward::ack;
use crate::input::forward::handshake::message::{Helo, Pong};
use crate::input::forward::handshake::{Failures, KeyRing, Peer, serve};
use crate::input::forward::message::{Body, Frame, Message, open};
use crate::record::msgpack::{Limits, Scanner};
use crate::wire::compress::chunk::{Inflate, Label, Progress, sniff};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    send: Send,
}

fn parse(arguments: &[&str]) -> Result<Send, clap::Error> {
    Ok(Command::try_parse_from([&["send"], arguments].concat())?.send)
}

/// Runs the command to its end: nothing, or what it says.
fn run(arguments: &[&str]) -> tokio::task::JoinHandle<Result<(), String>> {
    let send = parse(arguments).unwrap_or_else(|error| panic!("{error}"));
    tokio::task::spawn_blocking(|| send.execute().map(|_| ()).map_err(|error| format!("{error:#}")))
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    (listener, to)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// Reads one whole message; nothing follows it before its ack.
async fn message<S: AsyncReadExt + Unpin>(stream: &mut S) -> (Vec<u8>, Message) {
    let (mut scanner, mut bytes) = (Scanner::new(Limits::default()), Vec::new());
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed inside a message");
        if let Some(length) = scanner.scan(&bytes).unwrap() {
            assert_eq!(length, bytes.len());
            let Ok(Frame::Message(message)) = open(&bytes) else { panic!("no message: {bytes:x?}") };
            return (bytes, message);
        }
    }
}

async fn acknowledge<S: AsyncWriteExt + Unpin>(stream: &mut S, bytes: &[u8], message: &Message) {
    let mut answer = Vec::new();
    let chunk = message.options.chunk.as_ref().unwrap();
    ack::append(&mut answer, &bytes[chunk.id.clone()], chunk.text);
    stream.write_all(&answer).await.unwrap();
}

/// Takes one message and acknowledges it.
async fn take<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S) -> (Vec<u8>, Message) {
    let (bytes, found) = message(stream).await;
    acknowledge(stream, &bytes, &found).await;
    (bytes, found)
}

#[tokio::test]
async fn every_mode_and_compression_arrives() {
    for (arguments, records) in [
        (&[][..], 2),
        (&["--compress", "gzip"], 2),
        (&["--compress", "zstd"], 2),
        (&["--mode", "forward"], 2),
        (&["--mode", "message"], 1),
    ] {
        let (listener, to) = listen().await;
        let sent = run(&[&["--tag", "app.web", "--to", &to, r#"{"n":1}"#, r#"{"n":2}"#], arguments].concat());
        let mut stream = accept(&listener).await;
        let (bytes, message) = take(&mut stream).await;
        assert_eq!(&bytes[message.tag.clone()], b"app.web");
        assert_eq!(message.options.chunk.as_ref().unwrap().id.len(), 24);
        match message.body {
            Body::Packed(place) => {
                assert_eq!(message.options.size, Some(records));
                let packing = sniff(message.options.compressed, &bytes[place.clone()]).unwrap();
                assert_eq!(packing.is_none(), message.options.compressed == Label::Plain);
                let mut entries = bytes[place.clone()].to_vec();
                if let Some(packing) = packing {
                    let mut inflate = Inflate::new(packing, bytes[place].to_vec().into(), 1 << 20).unwrap();
                    entries.clear();
                    while inflate.step(&mut entries, 1 << 16).unwrap() == Progress::More {}
                }
                assert_eq!(entries.len(), 2 * 15);
                assert!(entries.ends_with(b"\x81\xa1n\x02"));
            }
            Body::Entries(place) => assert!(bytes[place].ends_with(b"\x81\xa1n\x02")),
            Body::Event(event) => {
                assert_eq!(&bytes[event.record], b"\x81\xa1n\x01");
                let (bytes, message) = take(&mut stream).await;
                let Body::Event(event) = message.body else { panic!("no event") };
                assert_eq!(&bytes[event.record], b"\x81\xa1n\x02");
            }
            Body::Dropped(_) => panic!("dropped"),
        }
        assert_eq!(sent.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn the_same_bytes_come_again_until_they_are_acknowledged() {
    let (listener, to) = listen().await;
    let sent = run(&["--tag", "t", "--to", &to, "{}"]);
    let mut stream = accept(&listener).await;
    let (first, _) = message(&mut stream).await;
    drop(stream);
    let mut stream = accept(&listener).await;
    assert_eq!(message(&mut stream).await.0, first);
    stream.write_all(b"\x80").await.unwrap();
    let mut stream = accept(&listener).await;
    let (again, _) = message(&mut stream).await;
    assert_eq!(again, first);
    stream.write_all(b"\x81\xa3ack\xa5other").await.unwrap();
    let mut stream = accept(&listener).await;
    let (last, found) = message(&mut stream).await;
    assert_eq!(last, first);
    acknowledge(&mut stream, &last, &found).await;
    assert_eq!(sent.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_is_not_acknowledged_is_an_error_that_says_why() {
    let (listener, to) = listen().await;
    let sent = run(&["--tag", "t", "--to", &to, "--retries", "0", "--ack-timeout", "50ms", "{}"]);
    let mut stream = accept(&listener).await;
    message(&mut stream).await;
    let none = format!("no ack from {to}, the records may not be stored: it sent none within 50ms");
    assert_eq!(sent.await.unwrap(), Err(none));
    let sent = run(&["--tag", "t", "--to", &to, "--retries", "0", "{}"]);
    let mut stream = accept(&listener).await;
    message(&mut stream).await;
    drop(stream);
    // It asks whether we speak TLS.
    drop(accept(&listener).await);
    let closed = format!(
        "no ack from {to}, the records may not be stored: it closed the connection; its log may say why"
    );
    assert_eq!(sent.await.unwrap(), Err(closed));
    drop(listener);
    let refused = run(&["--tag", "t", "--to", &to, "--retries", "1", "{}"]).await.unwrap().unwrap_err();
    let nobody = format!("nothing accepts records on {to}; is the gateway running there? (");
    assert!(refused.starts_with(&nobody), "{refused}");
    let missing = run(&["--tag", "t", "--to", "unix:/nowhere/s", "--retries", "0", "{}"]).await.unwrap();
    assert!(missing.unwrap_err().starts_with("nothing accepts records on unix:/nowhere/s;"));
}

/// What a server says that is no ack, and what the user should do.
#[tokio::test]
async fn servers_that_want_something_else_are_told_apart() {
    for (answer, expected) in [
        (&b"\x15\x03\x01\0\x02\x02\x32"[..], ": the server speaks TLS; add --tls"),
        (
            &Helo::encode(&[0; 16], &[0; 16], true),
            " asks for a shared key; give it by --shared-key-file or SLUICEGATE_SHARED_KEY",
        ),
        (
            &Pong::deny("invalid ping message"),
            " asks for a shared key; give it by --shared-key-file or SLUICEGATE_SHARED_KEY",
        ),
    ] {
        for no_ack in [false, true] {
            let (listener, to) = listen().await;
            let flag: &[&str] = if no_ack { &["--no-ack"] } else { &[] };
            let sent = run(&[&["--tag", "t", "--to", &to, "{}"], flag].concat());
            let mut stream = accept(&listener).await;
            message(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            drop(stream);
            assert_eq!(sent.await.unwrap(), Err(format!("{to}{expected}")));
        }
    }
}

#[tokio::test]
async fn without_acks_everything_is_there_before_the_end() {
    let (listener, to) = listen().await;
    let sent = run(&["--tag", "t", "--to", &to, "--no-ack", "{}"]);
    let mut stream = accept(&listener).await;
    let (_, found) = message(&mut stream).await;
    assert_eq!(found.options.chunk, None);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    drop(stream);
    assert_eq!(sent.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn unix_sockets_and_names_with_several_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forward.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let sent = run(&["--tag", "t", "--to", &format!("unix:{}", path.display()), "{}"]);
    take(&mut listener.accept().await.unwrap().0).await;
    assert_eq!(sent.await.unwrap(), Ok(()));
    let (listener, _) = listen().await;
    let to = format!("localhost:{}", listener.local_addr().unwrap().port());
    let sent = run(&["--tag", "t", "--to", &to, "{}"]);
    take(&mut accept(&listener).await).await;
    assert_eq!(sent.await.unwrap(), Ok(()));
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A CA, and a certificate of it for `name` with its key.
    fn certificates(&self, name: &str) -> (PathBuf, PathBuf, PathBuf) {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (
            self.write("ca.pem", &ca.pem()),
            self.write("cert.pem", &own.pem()),
            self.write("key.pem", &key.serialize_pem()),
        )
    }

    /// A CA's own certificate for `name`, and its key.
    fn ca_for(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        (self.write("ca-leaf.pem", &ca.pem()), self.write("ca-leaf.key", &key.serialize_pem()))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn lines_become_records_and_a_bad_one_ends_the_run_behind_those_before() {
    let (listener, to) = listen().await;
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let mut messages = Vec::new();
        for _ in 0..4 {
            messages.push(take(&mut stream).await);
        }
        messages
    });
    let client = tokio::task::spawn_blocking(move || {
        block_on(async {
            let send = parse(&["--tag", "t", "--to", &to]).unwrap();
            let format =
                || Format { tag: "t".to_owned(), mode: Mode::Packed, compression: Compression::None };
            let patience = Some(Duration::from_secs(30));
            let mut delivery = Delivery::new(send.connect.target(|_| None)?, format(), patience, 0);
            let (mut total, many) = (0, "line\n".repeat(2_500));
            let mut lines = Lines::of(Cursor::new(many));
            send.send_lines(&mut delivery, &mut lines, &mut total).await?;
            let send = parse(&["--tag", "t", "--json-lines"]).unwrap();
            let mut lines = Lines::of(Cursor::new("{\"a\":1}\n[2]\n{}\n"));
            let error = send.send_lines(&mut delivery, &mut lines, &mut total).await.unwrap_err();
            Ok((total, format!("{error:#}")))
        })
    });
    let (total, error) = client.await.unwrap().unwrap();
    assert_eq!((total, error.as_str()), (2_501, "line 2 of standard input: is not a JSON object"));
    let sizes: Vec<_> = server.await.unwrap().iter().map(|(_, found)| found.options.size).collect();
    assert_eq!(sizes.iter().flatten().sum::<u64>(), 2_501);
}

#[test]
fn arguments_that_do_not_fit_together_are_refused() {
    let files = Files::new();
    let key = files.write("key", "k");
    for (arguments, expected) in [
        (&["--to", "localhost", "{}"][..], "--to localhost: has no port; write it as host:port"),
        (
            &["--to", "24224", "{}"],
            "--to 24224: names no host; write it as host:port, such as 127.0.0.1:24224",
        ),
        (
            &["--to", "::1:24224", "{}"],
            "--to ::1:24224: has several colons; write an IPv6 address in brackets",
        ),
        (
            &["--to", "unix:socket", "{}"],
            "--to unix:socket: the path is not absolute; write it as unix:/path",
        ),
        (&["--mode", "forward", "--compress", "gzip", "{}"], "--compress works with --mode packed alone"),
        (&["{}", "[1]"], "record 2: [1]: is not a JSON object"),
        (&["{broken"], "record 1: {broken: is not JSON: "),
        (&["--user", "ann", "{}"], "--user needs a shared key: give it by --shared-key-file or"),
        (&["--user", "ann", "--shared-key-file", text(&key), "{}"], "--user needs a password: give it by"),
        (&["--shared-key-file", "/nowhere/key", "{}"], "/nowhere/key cannot be read: "),
        (&["--tls", "--to", "unix:/socket", "{}"], "a Unix socket has no host name for --tls to check"),
        (&["--tls", "--ca", text(&key), "{}"], text(&key)),
    ] {
        let send = parse(&[&["--tag", "t"], arguments].concat()).unwrap();
        let error = format!("{:#}", send.execute().unwrap_err());
        assert!(error.starts_with(expected), "{error}");
    }
    for arguments in [
        &["--ca", "f"][..],
        &["--tls", "--ca", "f", "--insecure"],
        &["--tls", "--cert", "f"],
        &["--password-file", "f"],
        &["--shared-key", "visible to all"],
        &["--json-lines", "{}"],
        &["--ack-timeout", "5"],
    ] {
        assert!(parse(&[&["--tag", "t"], arguments].concat()).is_err(), "{arguments:?}");
    }
}

#[test]
fn secrets_come_from_the_environment_too_and_are_never_shown() {
    let send = parse(&["--tag", "t", "--user", "ann"]).unwrap();
    let variable = |name: &str| match name {
        "SLUICEGATE_SHARED_KEY" => Some("k3y".to_owned()),
        "SLUICEGATE_PASSWORD" => Some("w0rd".to_owned()),
        _ => None,
    };
    let identity = send.connect.target(variable).unwrap().identity().cloned().unwrap();
    assert_eq!(identity.shared_key.expose(), "k3y");
    assert_eq!(identity.user.as_ref().unwrap().1.expose(), "w0rd");
    let shown = format!("{identity:?}");
    assert!(!shown.contains("k3y") && !shown.contains("w0rd"), "{shown}");
    let none = parse(&["--tag", "t"]).unwrap().connect.target(|_| Some(String::new())).unwrap();
    assert!(none.identity().is_none(), "an empty variable is none");
}
