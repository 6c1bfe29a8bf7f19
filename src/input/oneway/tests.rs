use std::io::Write;
use std::os::unix::net as blocking;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::base::shutdown::Stop;
use crate::config::plan::OnFull;
use crate::input::listener::{Connection, Gate, GateSettings, Peer, Socket, SocketFile, Stream};
use house::{House, Lines};

mod datagrams;
pub(in crate::input) mod house;

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
