//! The clients against a recorder of their own, and their bytes read another way than they were written.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs,
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    certificates::{Certificates, Pair},
    chunk::{self, Compression, Form, Shape},
    clients::{self, Clients},
    dial::{Dialer, Tls, Way},
};
use crate::{
    disk::Scratch,
    msgpack,
    records::{self, Stream},
    tests::{Value, value},
};

const SHAPE: Shape = Shape { entries: 10, form: Form::Legacy, compression: Compression::None };

/// The blob of a message, inflated by other means than the gateway's, its count of records and its chunk id.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the bytes are our own")]
fn open(message: &Value) -> (Vec<u8>, u64, Vec<u8>) {
    let Value::Array(parts) = message else { panic!("not an array: {message:?}") };
    let [_, Value::Bytes(blob), option] = parts.as_slice() else { panic!("not packed: {message:?}") };
    let mut plain = Vec::new();
    match option.get("compressed").map(Value::bytes) {
        None => plain.extend_from_slice(blob),
        Some(b"gzip") => {
            flate2::read::GzDecoder::new(blob.as_slice()).read_to_end(&mut plain).unwrap();
        }
        Some(b"zstd") => plain = zstd::bulk::decompress(blob, 1 << 20).unwrap(),
        Some(other) => panic!("compressed: {other:?}"),
    }
    let Some(Value::Number(size)) = option.get("size") else { panic!("no size") };
    (plain, *size, option.get("chunk").unwrap().bytes().to_vec())
}

/// The number in each record of a blob, and how many group markers and records with metadata there are.
fn numbers(blob: &[u8], form: Form) -> (Vec<u64>, usize, usize) {
    let (mut numbers, mut markers, mut metadata) = (Vec::new(), 0, 0);
    let mut from = blob;
    while let Some(Value::Array(entry)) = value(&mut from) {
        let [head, record] = entry.as_slice() else { panic!("an entry of {}", entry.len()) };
        let time = match (form, head) {
            (Form::Legacy, time) => time,
            (_, Value::Array(pair)) => {
                metadata += usize::from(pair[1].get("otlp").is_some());
                &pair[0]
            }
            (_, other) => panic!("not a pair: {other:?}"),
        };
        match time {
            Value::Time(0xffff_ffff, 0) => {
                assert!(
                    record.get("resource").unwrap().get("attributes").unwrap().get("service.name").is_some()
                );
                assert!(record.get("scope").unwrap().get("name").is_some());
                markers += 1;
            }
            Value::Time(0xffff_fffe, 0) => markers += 1,
            Value::Time(..) => {
                numbers.push(records::number_of(record.get("log").unwrap().bytes()).unwrap());
            }
            other => panic!("no time: {other:?}"),
        }
    }
    (numbers, markers, metadata)
}

#[test]
fn every_form_and_compression_holds_every_record() {
    for form in [Form::Legacy, Form::V2, Form::Metadata] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut stream = Stream::all(1_003, 1, 1, 1_700_000_000).remove(0);
            let messages = chunk::build(&mut stream, 7, Shape { entries: 100, form, compression }).unwrap();
            assert_eq!(messages.ends.len(), 11);
            let (mut from, mut all) = (messages.bytes.as_slice(), Vec::new());
            for place in 0..11 {
                let (blob, size, id) = open(&value(&mut from).unwrap());
                let (numbers, markers, metadata) = numbers(&blob, form);
                assert_eq!(numbers.len() as u64, size);
                assert_eq!(markers, if form == Form::Metadata { 2 } else { 0 });
                assert_eq!(metadata, if form == Form::Metadata { numbers.len() } else { 0 });
                assert_eq!(id, msgpack::chunk_id(7, place));
                all.extend(numbers);
            }
            assert!(from.is_empty());
            assert_eq!(all, (0..1_003).collect::<Vec<_>>());
        }
    }
}

/// Answers the chunks of every connection, the `spoiled` first ones wrongly, until it is closed.
fn acknowledge(mut stream: impl Read + Write, spoiled: usize) -> usize {
    let mut messages = 0;
    while let Some(message) = value(&mut stream) {
        let (.., id) = open(&message);
        let mut ack = msgpack::ack(&id.try_into().unwrap());
        if messages < spoiled {
            ack[20] ^= 1;
        }
        messages += 1;
        stream.write_all(&ack).unwrap();
    }
    messages
}

fn recorder(
    connections: usize,
    serve: impl Fn(TcpStream) -> usize + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    let recorded = thread::spawn(move || {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                let (socket, serve) = (listener.accept().unwrap().0, Arc::clone(&serve));
                thread::spawn(move || serve(socket))
            })
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).sum()
    });
    (address, recorded)
}

fn plain(to: SocketAddr) -> Clients {
    Clients {
        to,
        way: Way::default(),
        shape: SHAPE,
        records: 1_003,
        connections: 5,
        seed: 2,
        window: 3,
        rate: None,
        series: 1,
    }
}

#[test]
fn every_message_is_sent_and_every_ack_read_at_any_pace() {
    for (window, rate) in [(1, None), (3, None), (1, Some(100_000)), (64, Some(2_000))] {
        let (to, recorded) = recorder(5, |socket| acknowledge(socket, 0));
        let latencies = clients::run(&Clients { window, rate, ..plain(to) }).unwrap();
        assert_eq!(latencies.len(), 103, "201 or 200 records make 21 or 20 messages");
        assert_eq!(recorded.join().unwrap(), 103);
    }
}

#[test]
fn a_wrong_ack_and_a_close_are_errors() {
    let (to, recorded) = recorder(5, |socket| acknowledge(socket, 1));
    assert!(clients::run(&plain(to)).unwrap_err().to_string().contains("not the ack"));
    recorded.join().unwrap();
    let (to, recorded) = recorder(5, |mut socket| usize::from(value(&mut socket).is_some()));
    assert!(clients::run(&plain(to)).is_err());
    recorded.join().unwrap();
}

fn scratch(name: &str) -> Scratch {
    Scratch::new(&std::env::temp_dir(), name).unwrap()
}

/// A server's end of TLS that wants a client certificate.
fn tls(certificates: &Certificates, Pair { certificate, key }: &Pair) -> Arc<ServerConfig> {
    let read = |path: &PathBuf| CertificateDer::from_pem_file(path).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read(&certificates.authority)).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![read(certificate)], PrivateKeyDer::from_pem_file(key).unwrap());
    Arc::new(config.unwrap())
}

#[test]
fn clients_speak_both_versions_of_tls_with_both_kinds_of_key() {
    let dir = scratch("bench-tls-test");
    let certificates = Certificates::make(&dir.path).unwrap();
    for (server, old) in
        [(&certificates.ecdsa, false), (&certificates.ecdsa, true), (&certificates.rsa, false)]
    {
        let config = tls(&certificates, server);
        let (to, recorded) = recorder(5, move |socket| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            acknowledge(StreamOwned::new(connection, socket), 0)
        });
        let client = &certificates.client;
        let client = Some((client.certificate.clone(), client.key.clone()));
        let tls = Some(Tls { authority: certificates.authority.clone(), client, old });
        let latencies = clients::run(&Clients { way: Way { tls, shared_key: None }, ..plain(to) }).unwrap();
        assert_eq!(latencies.len(), 103);
        assert_eq!(recorded.join().unwrap(), 103);
    }
}

#[test]
fn the_reason_of_a_refused_key_is_told() {
    let (to, recorded) = recorder(1, |mut socket| {
        socket.write_all(b"\x92\xa4HELO\x81\xa5nonce\xb0abcdefghijklmnop").unwrap();
        let Some(Value::Array(ping)) = value(&mut socket) else { panic!("no PING") };
        assert_eq!((ping.len(), ping[0].bytes()), (6, &b"PING"[..]));
        socket.write_all(b"\x95\xa4PONG\xc2\xb3shared_key mismatch\xa0\xa0").unwrap();
        1
    });
    let way = Way { tls: None, shared_key: Some("wrong".to_owned()) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(Dialer::new(to, &way).unwrap().dial(0)).err().unwrap();
    assert!(refused.to_string().contains("shared_key mismatch"), "{refused}");
    recorded.join().unwrap();
}

#[test]
fn flags_say_all_there_is_to_say() {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 24224));
    let tls = Tls { authority: "/a".into(), client: Some(("/c".into(), "/k".into())), old: true };
    let way = Way { tls: Some(tls), shared_key: Some("key".to_owned()) };
    let shape = Shape { entries: 3, form: Form::Metadata, compression: Compression::Zstd };
    let clients = Clients { way, shape, rate: Some(5), ..plain(to) };
    let flags = clients.flags();
    let read = super::flags::read_clients(flags.clone().into_iter()).unwrap();
    assert_eq!(read.flags(), flags);
    assert_eq!((read.shape.form, read.rate, read.series), (Form::Metadata, Some(5), 1));
}
