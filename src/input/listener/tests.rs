use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;

use super::*;
use crate::base::tls::testing::{Setup, connector};
use crate::config::plan::ClientAuth;

fn settings() -> GateSettings {
    GateSettings {
        tls: None,
        proxies: Vec::new(),
        max_connections: 100,
        all: None,
        max_connections_per_peer: None,
        outlive: Outlive::default(),
        handshake_timeout: Duration::from_secs(30),
        speaks_first: false,
    }
}

/// A listening gate whose connections are handed over as they are served.
struct House {
    address: SocketAddr,
    served: mpsc::Receiver<Connection>,
    stop: Stop,
}

impl House {
    async fn new(settings: GateSettings) -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        House { address, ..House::on(Socket::Tcp(listener), settings) }
    }

    fn on(socket: Socket, settings: GateSettings) -> House {
        let gate = Arc::new(Gate::new("test", settings).unwrap());
        let (hand, served) = mpsc::channel(100);
        let stop = Stop::default();
        let serve = move |connection: Connection| {
            let hand = hand.clone();
            async move {
                let _ = hand.send(connection).await;
            }
        };
        tokio::spawn(gate.listen(socket, stop.clone(), serve));
        House { address: ([127, 0, 0, 1], 1).into(), served, stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn next(&mut self) -> Connection {
        self.served.recv().await.unwrap()
    }

    fn nobody_served(&mut self) -> bool {
        self.served.try_recv().is_err()
    }
}

/// Waits until the other side closes.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is a close as well.
    let _ = stream.read_to_end(&mut rest).await;
}

async fn read(connection: &mut Connection, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    connection.stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn network(text: &str) -> Vec<Network> {
    vec![Network::parse(text).unwrap()]
}

/// What is logged on this thread, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let lines = self.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_plain_client_on_the_tls_port_is_told_in_the_log_and_closed() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let setup = Setup::new();
    let mut house = House::new(GateSettings { tls: Some(setup.plan()), ..settings() }).await;
    closed(house.send(b"\x93\xa1t").await).await;
    // Probes come and go without a word.
    drop(house.connect().await);
    let mut greeted = connector(&setup.client())
        .connect("localhost".try_into().unwrap(), house.connect().await)
        .await
        .unwrap();
    greeted.write_all(b"hi").await.unwrap();
    let mut connection = house.next().await;
    assert_eq!(read(&mut connection, 2).await, b"hi");
    assert!(connection.peer.tls && connection.peer.client.is_none());
    assert_eq!(&*connection.peer.label, "127.0.0.1");
    let text = lines.text();
    assert!(text.contains("plain client on the TLS port") && text.contains("allow_plain"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn probes_and_heartbeats_come_and_go_without_a_word() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let setup = Setup::new();
    let mut house = House::new(GateSettings { tls: Some(setup.plan()), ..settings() }).await;
    let client = connector(&setup.client());
    for reset in [false, true] {
        let stream = house.connect().await;
        rustix::net::sockopt::set_socket_linger(&stream, reset.then_some(Duration::ZERO)).unwrap();
        drop(stream);
        let stream = house.connect().await;
        rustix::net::sockopt::set_socket_linger(&stream, reset.then_some(Duration::ZERO)).unwrap();
        drop(client.connect("localhost".try_into().unwrap(), stream).await.unwrap());
    }
    let _last = client.connect("localhost".try_into().unwrap(), house.connect().await).await.unwrap();
    house.next().await;
    house.stop.draining.cancel();
    house.stop.tasks.close();
    house.stop.tasks.wait().await;
    assert_eq!(lines.text(), "");
}

#[tokio::test]
async fn one_port_serves_tls_and_plain_and_who_waits_for_a_greeting() {
    let setup = Setup::new();
    let tls = crate::config::plan::TlsPlan { allow_plain: true, ..setup.mutual(ClientAuth::Optional, &[]) };
    let settings = GateSettings { tls: Some(tls), speaks_first: true, ..settings() };
    let mut house = House::new(settings).await;
    let client = setup.client_with("agent", &setup.ca.issue("agent 7", Vec::new()));
    let silent = house.connect().await;
    let _plain = house.send(b"\x93\xa1t").await;
    let mut connection = house.next().await;
    assert!(!connection.peer.tls);
    assert_eq!(read(&mut connection, 3).await, b"\x93\xa1t");
    let stream = house.connect().await;
    let (_tls, connection) =
        tokio::join!(connector(&client).connect("localhost".try_into().unwrap(), stream), house.next());
    assert_eq!((connection.peer.tls, connection.peer.client.as_deref()), (true, Some("agent 7")));
    let connection = house.next().await;
    assert_eq!(connection.peer.address, Some(silent.local_addr().unwrap()));
    assert!(!connection.peer.tls && connection.deadline > Instant::now());
}

#[tokio::test]
async fn silence_and_a_byte_now_and_then_end_at_the_deadline() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let setup = Setup::new();
    let handshake_timeout = Duration::from_millis(200);
    let settings = GateSettings {
        tls: Some(setup.plan()),
        proxies: network("127.0.0.2"),
        handshake_timeout,
        ..settings()
    };
    let mut house = House::new(settings).await;
    closed(house.connect().await).await;
    let (mut slow, mut writer) = house.connect().await.into_split();
    let drip = tokio::spawn(async move {
        // The beginning of a ClientHello that takes for ever.
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().chain(std::iter::repeat(&0)) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    drip.await.unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut proxy = socket.connect(house.address).await.unwrap();
    proxy.write_all(b"PROXY ").await.unwrap();
    closed(proxy).await;
    assert!(house.nobody_served());
    assert!(lines.text().contains("handshake_timeout"), "{}", lines.text());
}

#[tokio::test]
async fn a_proxy_on_the_list_says_for_whom_it_speaks() {
    let settings = GateSettings { proxies: network("127.0.0.0/8"), ..settings() };
    let mut house = House::new(settings).await;
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([192, 0, 2, 8, 198, 51, 100, 1, 0, 1, 0, 2]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, label) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n".to_vec(), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2, "192.0.2.8"),
        (local, "127.0.0.1"),
    ] {
        let (head, tail) = header.split_at(header.len() / 2);
        let mut stream = house.send(head).await;
        tokio::task::yield_now().await;
        stream.write_all(&[tail, b"after"].concat()).await.unwrap();
        let mut connection = house.next().await;
        assert_eq!(&*connection.peer.label, label);
        assert_eq!(read(&mut connection, 5).await, b"after", "no byte of what follows is taken");
    }
    closed(house.send(b"GET / HTTP/1.1\r\n").await).await;
    closed(house.send(b"PROXY TCP9 nonsense\r\n").await).await;
    assert!(house.nobody_served());
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let settings = GateSettings { proxies: network("192.0.2.0/24"), ..settings() };
    let mut house = House::new(settings).await;
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224\r\n";
    let _stream = house.send(header).await;
    let mut connection = house.next().await;
    assert_eq!(&*connection.peer.label, "127.0.0.1");
    assert_eq!(read(&mut connection, header.len()).await, header);
}

#[tokio::test]
async fn tls_may_stand_behind_a_proxy_header() {
    let setup = Setup::new();
    let settings = GateSettings { tls: Some(setup.plan()), proxies: network("127.0.0.1"), ..settings() };
    let mut house = House::new(settings).await;
    let stream = house.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 24224\r\n").await;
    let mut client =
        connector(&setup.client()).connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut connection = house.next().await;
    assert_eq!((&*connection.peer.label, connection.peer.tls), ("192.0.2.7", true));

    // What is written leaves without a flush, large or small, while the other side is read.
    let large = vec![7; 3_000_000];
    let (mut reader, mut writer) = tokio::io::split(&mut connection.stream);
    let sent = async {
        writer.write_all(&large).await.unwrap();
        reader.read_u8().await.unwrap()
    };
    let got = async {
        let mut got = vec![0; large.len()];
        client.read_exact(&mut got).await.unwrap();
        client.write_all(b"k").await.unwrap();
        client.flush().await.unwrap();
        got
    };
    let (byte, got) = tokio::join!(sent, got);
    assert!(byte == b'k' && got == large);

    // A peer that goes without TLS's goodbye has simply ended.
    client.write_all(b"last").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    let mut rest = Vec::new();
    connection.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last");
}

#[tokio::test]
async fn a_peer_has_so_many_connections_and_behind_a_proxy_its_own() {
    let settings = GateSettings { max_connections_per_peer: Some(1), ..settings() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (hand, mut served) = mpsc::channel(10);
    // These connections last until their peer ends them.
    let serve = move |mut connection: Connection| {
        let hand = hand.clone();
        async move {
            hand.send(connection.peer.label.clone()).await.unwrap();
            let _ = connection.stream.read_to_end(&mut Vec::new()).await;
        }
    };
    let gate =
        Arc::new(Gate::new("test", GateSettings { proxies: network("127.0.0.2"), ..settings }).unwrap());
    tokio::spawn(gate.clone().listen(Socket::Tcp(listener), Stop::default(), serve));
    let first = TcpStream::connect(address).await.unwrap();
    served.recv().await.unwrap();
    closed(TcpStream::connect(address).await.unwrap()).await;

    let through_proxy = async |source: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(format!("PROXY TCP4 {source} 127.0.0.1 1 2\r\n").as_bytes()).await.unwrap();
        stream
    };
    let _one = through_proxy("192.0.2.1").await;
    let _two = through_proxy("192.0.2.2").await;
    served.recv().await.unwrap();
    served.recv().await.unwrap();
    closed(through_proxy("192.0.2.1").await).await;

    drop(first);
    // Its place is free once its task has ended.
    loop {
        let again = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            label = served.recv() => {
                assert_eq!(label.as_deref(), Some("127.0.0.1"));
                break;
            }
            _ = again.peek(&mut byte) => {}
        }
    }
}

#[tokio::test]
async fn the_bound_on_all_connections_holds_over_all_addresses() {
    let gate = Arc::new(Gate::new("test", GateSettings { max_connections: 1, ..settings() }).unwrap());
    let (hand, mut served) = mpsc::channel(10);
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let hand = hand.clone();
        let serve = move |mut connection: Connection| {
            let hand = hand.clone();
            async move {
                hand.send(()).await.unwrap();
                let _ = connection.stream.read_to_end(&mut Vec::new()).await;
            }
        };
        tokio::spawn(gate.clone().listen(Socket::Tcp(listener), Stop::default(), serve));
    }
    let _first = TcpStream::connect(addresses[0]).await.unwrap();
    served.recv().await.unwrap();
    closed(TcpStream::connect(addresses[1]).await.unwrap()).await;
    assert!(served.try_recv().is_err());
}

#[tokio::test]
async fn a_unix_peer_has_no_address() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let setup = Setup::new();
    let settings = GateSettings { tls: Some(setup.plan()), ..settings() };
    let mut house =
        House::on(Socket::Unix(listener, SocketFile::new(&path, Outlive::default()).unwrap()), settings);
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"hi").await.unwrap();
    let mut connection = house.next().await;
    assert_eq!((&*connection.peer.label, connection.peer.address), ("unix", None));
    assert_eq!(read(&mut connection, 2).await, b"hi");
}

#[tokio::test]
async fn a_stop_ends_who_has_not_begun() {
    let setup = Setup::new();
    let mut house = House::new(GateSettings { tls: Some(setup.plan()), ..settings() }).await;
    let silent = house.connect().await;
    while house.stop.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    house.stop.draining.cancel();
    closed(silent).await;
    house.stop.tasks.close();
    house.stop.tasks.wait().await;
    assert!(house.nobody_served());
}

/// One input's idle peers leave no file for another's, nor for the journal: that bound is everyone's.
#[tokio::test]
async fn all_inputs_together_have_a_bound_and_a_place_comes_back() {
    let all = Some(Arc::new(Semaphore::new(1)));
    let mut one = House::new(GateSettings { all: all.clone(), ..settings() }).await;
    let setup = Setup::new();
    let tls = GateSettings { all: all.clone(), tls: Some(setup.plan()), ..settings() };
    let mut other = House::new(tls).await;
    let waiting = other.connect().await;
    until_taken(&all).await;
    closed(one.connect().await).await;
    assert!(one.nobody_served());
    // It leaves before its handshake.
    drop(waiting);
    while all.as_ref().unwrap().available_permits() == 0 {
        tokio::task::yield_now().await;
    }
    let _peer = one.connect().await;
    one.next().await;
    assert!(other.nobody_served());
}

async fn until_taken(all: &Option<Arc<Semaphore>>) {
    while all.as_ref().unwrap().available_permits() > 0 {
        tokio::task::yield_now().await;
    }
}
