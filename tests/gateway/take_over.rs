//! A gateway takes the place of another in the middle of everything: no connect fails, no ack lies, and no datagram is
//! lost that the kernel took.

use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sluicegate::app::{Gateway, take_over};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::harness::{EMBEDDED, PATIENCE, TestGateway, ack, message, plan_in, start, until};
use super::peers::docker_id;
use super::watch;

/// The paths of Unix sockets.
struct Paths {
    forward: PathBuf,
    syslog: PathBuf,
}

/// Where a gateway listens, as its configuration says it.
fn config(paths: &Paths, tcp: &str, extra: &str, udp: &str, others: [&str; 2]) -> String {
    let [service, operations] = others;
    let (forward, syslog) = (paths.forward.display(), paths.syslog.display());
    format!(
        "operations: {{ listen: '{operations}' }}\nlog_service: {{ listen: '{service}' }}\ninputs:\n  \
         forward: {{ listen: ['{tcp}', 'unix:{forward}'] }}\n{extra}  \
         syslog: {{ listen: ['udp:{udp}', 'unixgram:{syslog}'] }}\n"
    )
}

const FREE: &str = "127.0.0.1:0";

impl TestGateway {
    /// Starts a successor with this configuration while this one runs.
    pub async fn hand_over(self, text: &str) -> TestGateway {
        let plan = plan_in(self.dir.path(), text);
        let data = self.data();
        let starting = tokio::spawn(async move {
            let inherited = take_over(&data).await.unwrap().expect("a gateway runs there");
            Gateway::start_with(plan, Some(watch::watch()), inherited).await
        });
        let successor = self.gateway.handed_over().await;
        let TestGateway { gateway, dir } = self;
        gateway.make_way(successor).await;
        TestGateway { gateway: starting.await.unwrap().unwrap(), dir }
    }
}

/// Peers that connect anew for each message and keep it until it is acknowledged.
#[derive(Default)]
struct Peers {
    enough: AtomicBool,
    acked: AtomicUsize,
    again: AtomicUsize,
}

impl Peers {
    /// Gives the number of messages acknowledged.
    async fn talk<S>(self: Arc<Self>, peer: u64, connect: impl AsyncFn() -> io::Result<S>) -> u64
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut number = 0;
        while !self.enough.load(Ordering::SeqCst) {
            let chunk = docker_id(peer << 32 | number);
            let line = format!("{peer}/{number}");
            let event = message("app", 1_700_000_000, &[("log", &line)], Some(&chunk));
            loop {
                let mut stream =
                    connect().await.unwrap_or_else(|error| panic!("peer {peer} is refused: {error}"));
                if said(&mut stream, &event, &ack(&chunk)).await {
                    break;
                }
                self.again.fetch_add(1, Ordering::SeqCst);
            }
            self.acked.fetch_add(1, Ordering::SeqCst);
            number += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        number
    }

    async fn wait_for_more(&self, count: usize) {
        let before = self.acked.load(Ordering::SeqCst);
        until("acks", async || self.acked.load(Ordering::SeqCst) >= before + count).await;
    }
}

/// Whether a message was acknowledged before its connection ended.
async fn said(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), event: &[u8], ack: &[u8]) -> bool {
    if stream.write_all(event).await.is_err() {
        return false;
    }
    let mut answer = vec![0; ack.len()];
    let read =
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an ack or an end");
    read.is_ok_and(|_| answer == ack)
}

/// Sends a numbered datagram a few times in a millisecond, and gives how many were taken.
fn datagrams(
    enough: Arc<AtomicBool>,
    sender: &'static str,
    send: impl Fn(&[u8]) + Send + 'static,
) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut number = 0;
        while !enough.load(Ordering::SeqCst) {
            send(
                format!("<14>1 2026-11-22T22:54:25.951177Z vm {sender} - - - {sender}/{number}\n").as_bytes(),
            );
            number += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        number
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_and_nothing_is_lost() {
    let sockets = tempfile::tempdir().unwrap();
    let paths = Paths { forward: sockets.path().join("f.sock"), syslog: sockets.path().join("s.sock") };
    let extra = format!("  extra: {{ type: forward, listen: '{FREE}' }}\n");
    let mut gateway = start(&config(&paths, FREE, &extra, FREE, [FREE; 2])).await;
    let (tcp, udp) = (gateway.address("forward"), gateway.udp_address("syslog"));
    let (unwanted, service) = (gateway.address("extra"), gateway.address("log service"));
    let operations = gateway.address("operations");

    let peers = Arc::new(Peers::default());
    let mut talking = JoinSet::new();
    for peer in 0..4 {
        talking.spawn(peers.clone().talk(peer, async move || TcpStream::connect(tcp).await));
    }
    for peer in 4..6 {
        let path = paths.forward.clone();
        talking.spawn(peers.clone().talk(peer, async move || UnixStream::connect(&path).await));
    }
    let sent_enough = Arc::new(AtomicBool::new(false));
    let by_udp = UdpSocket::bind(FREE).unwrap();
    by_udp.connect(udp).unwrap();
    let by_file = UnixDatagram::unbound().unwrap();
    by_file.connect(&paths.syslog).unwrap();
    let by_udp = datagrams(sent_enough.clone(), "udp", move |datagram| {
        by_udp.send(datagram).unwrap();
    });
    let by_file = datagrams(sent_enough.clone(), "file", move |datagram| {
        by_file.send(datagram).unwrap();
    });

    peers.wait_for_more(50).await;
    assert!(TcpStream::connect(unwanted).await.is_ok());
    let (tcp, udp, others) =
        (tcp.to_string(), udp.to_string(), [service.to_string(), operations.to_string()]);
    let text = config(&paths, &tcp, "", &udp, [&others[0], &others[1]]);
    // Who has taken over hands over, too.
    for _ in 0..3 {
        gateway = gateway.hand_over(&text).await;
        peers.wait_for_more(50).await;
        let refused = TcpStream::connect(unwanted).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
    assert_eq!(
        (gateway.address("forward").to_string(), gateway.udp_address("syslog").to_string()),
        (tcp, udp)
    );
    for path in [&paths.forward, &paths.syslog] {
        assert!(std::fs::symlink_metadata(path).unwrap().file_type().is_socket());
    }

    peers.enough.store(true, Ordering::SeqCst);
    let acked: u64 = talking.join_all().await.into_iter().sum();
    sent_enough.store(true, Ordering::SeqCst);
    let join = |thread: JoinHandle<usize>| tokio::task::spawn_blocking(move || thread.join().unwrap());
    let (by_udp, by_file) = (join(by_udp).await.unwrap(), join(by_file).await.unwrap());
    assert_eq!(acked as usize, peers.acked.load(Ordering::SeqCst));
    assert!(by_udp > 0 && by_file > 0);
    let expected = acked as usize + by_udp + by_file;
    gateway.wait_until_delivered().await;
    let found = gateway.wait_for("default", "*", expected).await;
    let text = |record: &serde_json::Map<String, serde_json::Value>| {
        record.get("log").or(record.get("message")).unwrap().as_str().unwrap().to_owned()
    };
    let mut texts: Vec<String> = found.iter().map(text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), expected);
    gateway.stop().await;
    assert!(!paths.forward.exists() && !paths.syslog.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_runs_nothing_is_taken_over() {
    let gateway = start(EMBEDDED).await;
    let data = gateway.data();
    assert!(data.join("handover.sock").exists());
    let dir = gateway.stop().await;
    assert!(take_over(&data).await.unwrap().is_none());
    drop(dir);
}
