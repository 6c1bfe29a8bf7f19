use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::net as blocking;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::DatagramSocket;
use crate::base::shutdown::Stop;
use crate::config::plan::OnFull;
use crate::input::listener::{Connection, Gate, GateSettings, Outlive, Peer, Socket, SocketFile, Stream};
use house::{House, Lines};

pub(super) mod house;

type Oneway = Arc<super::Oneway<Lines>>;

fn serve(oneway: &Oneway, stream: Stream, stop: &Stop) -> JoinHandle<()> {
    let peer = Peer { label: "peer".into(), address: None, client: None, tls: false };
    let connection =
        Connection { stream, peer, deadline: tokio::time::Instant::now(), first: Default::default() };
    tokio::spawn(oneway.clone().serve(connection, stop.clone()))
}

fn unix(oneway: &Oneway, stop: &Stop) -> (UnixStream, JoinHandle<()>) {
    let (peer, ours) = UnixStream::pair().unwrap();
    (peer, serve(oneway, Stream::Unix(ours), stop))
}

async fn udp(oneway: &Oneway, stop: &Stop) -> (std::net::SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let address = (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port()).into();
    (address, tokio::spawn(oneway.clone().receive(DatagramSocket::Udp(socket), stop.clone())))
}

fn unixgram(oneway: &Oneway, path: &Path, stop: &Stop) -> JoinHandle<()> {
    let socket = UnixDatagram::bind(path).unwrap();
    let socket = DatagramSocket::Unix(socket, SocketFile::new(path, Default::default()).unwrap());
    assert_eq!(socket.to_string(), format!("unixgram:{}", path.display()));
    tokio::spawn(oneway.clone().receive(socket, stop.clone()))
}

/// The value of a metric of this thread's recorder.
fn value(recorder: &PrometheusRecorder, series: &str) -> u64 {
    recorder.handle().run_upkeep();
    let page = recorder.handle().render();
    let line = page.lines().find(|line| line.starts_with(series));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

async fn budget_is_back(house: &House) {
    while house.intake.budget.used() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn lines_are_cut_over_reads_and_the_last_one_at_the_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let house = House::new();
    let (mut peer, served) = unix(&house.oneway(), &Stop::default());
    for piece in ["o", "ne\nt", "wo", "\n", "\nthr", "ee"] {
        peer.write_all(piece.as_bytes()).await.unwrap();
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
    drop(peer);
    served.await.unwrap();
    assert_eq!(house.texts().await, ["one", "two", "", "three"]);
    assert_eq!(house.intake.budget.used(), 0);
    assert_eq!(value(&recorder, "sluicegate_received_records_total"), 4);
    assert_eq!(value(&recorder, "sluicegate_received_bytes_total"), 14);
    assert_eq!(value(&recorder, "sluicegate_input_cut_messages_total"), 0);
}

#[tokio::test]
async fn a_fault_costs_its_connection_and_nothing_that_came_before() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let house = House::new();
    let (mut peer, served) = unix(&house.oneway(), &Stop::default());
    peer.write_all(b"one\ntwo\n!three\nfour\n").await.unwrap();
    served.await.unwrap();
    assert_eq!(house.texts().await, ["one", "two"]);
    assert!(peer.write_all(b"five\n").await.is_err());
    assert_eq!(house.intake.budget.used(), 0);
    assert_eq!(
        value(&recorder, "sluicegate_input_closed_total{input=\"test\",reason=\"framing\"}"),
        1,
        "{}",
        recorder.handle().render()
    );
}

#[tokio::test]
async fn an_end_that_is_no_message_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let house = House::new();
    let (mut peer, served) = unix(&house.oneway(), &Stop::default());
    peer.write_all(b"one\n?half").await.unwrap();
    drop(peer);
    served.await.unwrap();
    assert_eq!(house.texts().await, ["one"]);
    assert_eq!(value(&recorder, "sluicegate_input_cut_messages_total"), 1);
}

#[tokio::test]
async fn who_stalls_or_idles_is_closed_and_what_came_is_kept() {
    let house = House::new();
    let short = Duration::from_millis(20);
    let oneway = house.oneway_with(|plan, _| {
        plan.stall_timeout = short;
        plan.idle_timeout = Some(short);
    });
    let (mut peer, served) = unix(&oneway, &Stop::default());
    peer.write_all(b"one\nhalf").await.unwrap();
    served.await.unwrap();
    let (mut silent, served) = unix(&oneway, &Stop::default());
    served.await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(house.texts().await, ["one", "half"]);
}

/// Writes numbered lines, a write each, until the socket takes no more; tells how many it took.
fn write_until_it_fails(mut peer: blocking::UnixStream, started: &AtomicBool) -> usize {
    peer.set_nonblocking(false).unwrap();
    let mut count = 0;
    loop {
        match peer.write(format!("line {count}\n").as_bytes()) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
                return count;
            }
        }
        if count == 1000 {
            started.store(true, Ordering::Release);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_loses_nothing_that_a_unix_socket_took() {
    let house = House::new();
    let oneway = house.oneway();
    for _ in 0..10 {
        let stop = Stop::default();
        let (peer, served) = unix(&oneway, &stop);
        let peer = peer.into_std().unwrap();
        let started = Arc::new(AtomicBool::new(false));
        let seen = started.clone();
        let writing = std::thread::spawn(move || write_until_it_fails(peer, &seen));
        while !started.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.draining.cancel();
        served.await.unwrap();
        let written = writing.join().unwrap();
        let texts = house.texts().await;
        assert_eq!(texts.len(), written);
        assert!(texts == numbered(written), "lines came in another order");
        house.deliver().await;
        assert_eq!(house.intake.budget.used(), 0);
    }
}

#[tokio::test]
async fn a_stop_takes_who_has_come_and_gone_before_being_let_in() {
    let house = House::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let socket =
        Socket::Unix(UnixListener::bind(&path).unwrap(), SocketFile::new(&path, Default::default()).unwrap());
    for number in 0..100 {
        let mut peer = blocking::UnixStream::connect(&path).unwrap();
        peer.write_all(format!("line {number}\n").as_bytes()).unwrap();
    }
    let oneway = house.oneway();
    let gate = Arc::new(Gate::new("test", GateSettings::from(&oneway.connections)).unwrap());
    let stop = Stop::default();
    stop.draining.cancel();
    oneway.listen(gate, socket, stop.clone()).await;
    stop.tasks.close();
    stop.tasks.wait().await;
    assert_eq!(house.texts().await.len(), 100);
}

#[tokio::test]
async fn a_stop_takes_what_tcp_has_brought() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stop = Stop::default();
    let served = serve(&house.oneway(), Stream::Tcp(listener.accept().await.unwrap().0), &stop);
    let lines = numbered(20_000);
    // More than one read takes, less than the sockets hold.
    peer.write_all(format!("{}\nhalf", lines.join("\n")).as_bytes()).await.unwrap();
    stop.draining.cancel();
    served.await.unwrap();
    let texts = house.texts().await;
    assert!(texts[..20_000] == lines && texts[20_000..] == ["half"], "{}", texts.len());
}

#[tokio::test]
async fn everything_passes_a_budget_and_a_window_that_are_far_too_small() {
    let house = House::with(700, |_| ());
    let oneway = house.oneway_with(|plan, _| plan.window = 600);
    let lines = numbered(3_000);
    let text = format!("{}\n", lines.join("\n"));
    let mut served = Vec::new();
    for _ in 0..4 {
        let (mut peer, task) = unix(&oneway, &Stop::default());
        let text = text.clone();
        served.push(tokio::spawn(async move { peer.write_all(text.as_bytes()).await.unwrap() }));
        served.push(task);
    }
    for task in served {
        task.await.unwrap();
    }
    assert_eq!(house.texts().await.len(), 12_000);
    assert_eq!(house.intake.budget.used(), 0);
}

fn small_buffers(plan: &mut crate::config::plan::Plan) {
    for buffer in &mut plan.buffers {
        (buffer.max_bytes, buffer.on_full) = (64 << 10, OnFull::Block);
    }
}

#[tokio::test]
async fn a_full_buffer_stops_connections_old_and_new_and_a_stop_waits_for_none() {
    let house = House::with(8 << 20, small_buffers);
    let oneway = house.oneway();
    let stop = Stop::default();
    let (peer, served) = unix(&oneway, &stop);
    let line = format!("{}\n", "x".repeat(99));
    let mut written = 0;
    // Until the peer's own socket is full too.
    peer.writable().await.unwrap();
    let mut refused = 0;
    while refused < 100 {
        match peer.try_write(line.as_bytes()) {
            Ok(len) => {
                assert_eq!(len, line.len());
                (written, refused) = (written + 1, 0);
            }
            Err(_) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    let stored = house.texts().await.len();
    assert!(stored < written && stored > 100, "{stored} of {written}");
    // Those that connect anew for every line are no way around it.
    let mut late = Vec::new();
    for _ in 0..1_000 {
        let (mut peer, served) = unix(&oneway, &stop);
        peer.write_all(line.as_bytes()).await.unwrap();
        late.push(served);
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let full = house.texts().await.len();
    assert!(full < 700, "{full}");
    let mut delivered = house.deliver().await;
    assert_eq!(delivered, full);
    while delivered < written + 800 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        delivered += house.deliver().await;
    }
    stop.draining.cancel();
    for served in late.into_iter().chain([served]) {
        served.await.unwrap();
    }
    delivered += house.deliver().await;
    assert_eq!(delivered, written + 1_000);
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn each_sender_of_datagrams_has_a_series_of_its_own() {
    let house = House::new();
    let stop = Stop::default();
    let (address, served) = udp(&house.oneway(), &stop).await;
    let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    // The same machine from another port.
    let again = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (socket, text) in [(&one, "one"), (&other, "other"), (&again, "again"), (&one, ""), (&one, "end")] {
        socket.send_to(text.as_bytes(), address).await.unwrap();
    }
    house.wait_for(4).await;
    let lines = house.lines().await;
    let series = |text: &str| lines.iter().find(|(_, line)| line == text).unwrap().0;
    assert_eq!(series("one"), series("again"));
    assert_eq!(series("one"), series("end"));
    assert_ne!(series("one"), series("other"));
    let texts: Vec<_> =
        lines.iter().filter(|(number, _)| *number == series("one")).map(|(_, line)| line).collect();
    assert_eq!(texts, ["one", "again", "end"]);
    budget_is_back(&house).await;
    stop.draining.cancel();
    served.await.unwrap();
    // Nobody is there any more, and the sender hears of it.
    one.connect(address).await.unwrap();
    one.send(b"late").await.unwrap();
    assert!(one.recv(&mut [0; 1]).await.is_err());
}

#[tokio::test]
async fn more_senders_than_are_remembered_lose_nothing() {
    let house = House::new();
    let stop = Stop::default();
    let (address, served) = udp(&house.oneway(), &stop).await;
    for number in 0..1200u32 {
        let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + number);
        let socket = UdpSocket::bind((from, 0)).await.unwrap();
        socket.send_to(b"hello", address).await.unwrap();
    }
    house.wait_for(1200).await;
    let series: std::collections::HashSet<u64> =
        house.lines().await.into_iter().map(|(series, _)| series).collect();
    assert_eq!(series.len(), 1200);
    stop.draining.cancel();
    served.await.unwrap();
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn what_the_kernel_drops_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let house = House::new();
    let stop = Stop::default();
    let oneway = house.oneway_with(|_, plan| plan.receive_buffer = 4096);
    let (address, served) = udp(&oneway, &stop).await;
    // Bound here, and silent until the gateway's socket has its settings.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"first", address).await.unwrap();
    house.wait_for(1).await;
    let socket = socket.into_std().unwrap();
    socket.set_nonblocking(false).unwrap();
    // This thread runs the gateway too, so it receives nothing meanwhile.
    for number in 0..5_000 {
        socket.send_to(format!("line {number}").as_bytes(), address).unwrap();
    }
    let dropped = "sluicegate_datagrams_dropped_total{input=\"test\",reason=\"kernel\"}";
    let received = "sluicegate_datagrams_total{input=\"test\"}";
    let mut sent = 5_001;
    // What was dropped last is told with the next datagram that is kept.
    while value(&recorder, dropped) + value(&recorder, received) < sent {
        let seen = value(&recorder, received);
        socket.send_to(b"last", address).unwrap();
        sent += 1;
        while value(&recorder, received) == seen {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(value(&recorder, dropped) + value(&recorder, received), sent);
    assert!(value(&recorder, dropped) > 1_000);
    stop.draining.cancel();
    served.await.unwrap();
    assert_eq!(house.texts().await.len() as u64, value(&recorder, received));
    assert_eq!(value(&recorder, "sluicegate_received_records_total"), value(&recorder, received));
}

#[tokio::test]
async fn a_stop_takes_all_datagrams_that_came() {
    let house = House::new();
    let stop = Stop::default();
    let (address, served) = udp(&house.oneway(), &stop).await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"line 0", address).unwrap();
    house.wait_for(1).await;
    for number in 1..1_000 {
        socket.send_to(format!("line {number}").as_bytes(), address).unwrap();
    }
    stop.draining.cancel();
    served.await.unwrap();
    assert!(house.texts().await == numbered(1_000));
}

#[tokio::test]
async fn unix_datagrams_may_be_large_and_a_stop_loses_none() {
    let house = House::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let stop = Stop::default();
    let served = unixgram(&house.oneway(), &path, &stop);
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(&path).unwrap();
    socket.send(&vec![b'x'; 200_000]).await.unwrap();
    assert_eq!(house.wait_for(1).await[0].len(), 200_000);
    let socket = socket.into_std().unwrap();
    socket.set_nonblocking(false).unwrap();
    let writing = std::thread::spawn(move || {
        let mut count = 0;
        while socket.send(format!("line {count}").as_bytes()).is_ok() {
            count += 1;
        }
        count
    });
    house.wait_for(500).await;
    stop.draining.cancel();
    served.await.unwrap();
    let written = writing.join().unwrap();
    assert!(house.texts().await[1..] == numbered(written), "not all {written} lines");
    assert_eq!(house.intake.budget.used(), 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_successor_has_takes_datagrams_after_our_stop() {
    let house = House::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let ours = blocking::UnixDatagram::bind(&path).unwrap();
    ours.set_nonblocking(true).unwrap();
    let theirs = ours.try_clone().unwrap();
    let outlive = Outlive::default();
    let file = SocketFile::new(&path, outlive.clone()).unwrap();
    let ours = DatagramSocket::Unix(UnixDatagram::from_std(ours).unwrap(), file);
    let stop = Stop::default();
    let served = tokio::spawn(house.oneway().receive(ours, stop.clone()));
    let sender = blocking::UnixDatagram::unbound().unwrap();
    sender.connect(&path).unwrap();
    sender.send(b"one").unwrap();
    house.wait_for(1).await;
    outlive.set();
    stop.draining.cancel();
    served.await.unwrap();
    sender.send(b"two").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(theirs.recv(&mut buffer).unwrap(), 3);
    assert_eq!(house.texts().await, ["one"]);
}
