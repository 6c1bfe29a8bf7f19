//! Datagram sockets: whose series a datagram is, what the kernel drops, and stops.

use std::net::Ipv4Addr;
use std::os::unix::net as blocking;
use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::task::JoinHandle;

use super::house::House;
use super::{Oneway, budget_is_back, numbered, value};
use crate::base::shutdown::Stop;
use crate::input::listener::{Outlive, SocketFile};
use crate::input::oneway::{DatagramSocket, Udp};

async fn udp(oneway: &Oneway, stop: &Stop) -> (std::net::SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let address = (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port()).into();
    (
        address,
        tokio::spawn(oneway.clone().receive(DatagramSocket::Udp(Udp::new(socket).unwrap()), stop.clone())),
    )
}

fn unixgram(oneway: &Oneway, path: &Path, stop: &Stop) -> JoinHandle<()> {
    let socket = UnixDatagram::bind(path).unwrap();
    let socket = DatagramSocket::Unix(socket, SocketFile::new(path, Default::default()).unwrap());
    assert_eq!(socket.to_string(), format!("unixgram:{}", path.display()));
    tokio::spawn(oneway.clone().receive(socket, stop.clone()))
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

/// Another process has the same socket: what we do to it at a stop is done to that one's.
#[tokio::test]
async fn a_socket_that_outlives_us_goes_on_for_the_next_one() {
    let house = House::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let writer = blocking::UnixDatagram::unbound().unwrap();
    let first = blocking::UnixDatagram::bind(&path).unwrap();
    first.set_nonblocking(true).unwrap();
    writer.connect(&path).unwrap();
    let mut sent = 0;
    let mut send = |count: usize| {
        for _ in 0..count {
            writer.send(format!("line {sent}").as_bytes()).unwrap();
            sent += 1;
        }
    };
    for _ in 0..3 {
        let outlive = Outlive::default();
        let file = SocketFile::new(&path, outlive.clone()).unwrap();
        let ours = UnixDatagram::from_std(first.try_clone().unwrap()).unwrap();
        let stop = Stop::default();
        let oneway = house.oneway();
        let served = tokio::spawn(oneway.receive(DatagramSocket::Unix(ours, file), stop.clone()));
        // The kernel keeps ten that nobody has read (net.unix.max_dgram_qlen); one more would wait in this very thread.
        send(1);
        outlive.set();
        stop.draining.cancel();
        served.await.unwrap();
        assert!(path.exists());
        send(1);
    }
    let stop = Stop::default();
    let served = {
        let file = SocketFile::new(&path, Outlive::default()).unwrap();
        let socket = DatagramSocket::Unix(UnixDatagram::from_std(first).unwrap(), file);
        tokio::spawn(house.oneway().receive(socket, stop.clone()))
    };
    house.wait_for(6).await;
    stop.draining.cancel();
    served.await.unwrap();
    assert_eq!(house.texts().await, numbered(6));
    assert!(writer.send(b"late").is_err() && !path.exists());
}

#[tokio::test]
async fn udp_that_outlives_us_loses_nothing_and_is_read_once() {
    let house = House::new();
    let first = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    first.set_nonblocking(true).unwrap();
    let address = first.local_addr().unwrap();
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for turn in 0..4 {
        let ours = UdpSocket::from_std(first.try_clone().unwrap()).unwrap();
        let stop = Stop::default();
        let served =
            tokio::spawn(house.oneway().receive(DatagramSocket::Udp(Udp::new(ours).unwrap()), stop.clone()));
        for number in 0..100 {
            peer.send_to(format!("line {}", turn * 200 + number).as_bytes(), address).unwrap();
        }
        stop.draining.cancel();
        served.await.unwrap();
        for number in 100..200 {
            peer.send_to(format!("line {}", turn * 200 + number).as_bytes(), address).unwrap();
        }
    }
    assert_eq!(house.texts().await, numbered(700));
}
