//! Answers UDP heartbeats, by which Fluentd's out_forward (`heartbeat_type udp`) and Fluency find out whether we live.
//!
//! A datagram of at most one byte (Fluentd sends `00`, Fluency nothing) is answered with one byte `00` from the address
//! and port it was sent to, since Fluentd takes no answer from elsewhere: on a socket of every interface the kernel is
//! asked for that address and told it again. Larger datagrams are none of ours: ignored and counted. An answer is never
//! larger than a smallest datagram with its headers, so nobody gains by asking in another's name. Our answer would be a
//! question to another gateway, or to us: a datagram with a forged sender could set two of them talking for ever. So what
//! seems to come from a server (from our own port number, or from one below 1024, such as echo's) gets no answer. One at a
//! time, and an answer the kernel has no room for is not sent: heartbeats come again.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};

/// After a failed receive the loop rests, or it might spin.
const PAUSE: Duration = Duration::from_millis(100);
const ANSWER: &[u8] = &[0];
/// Ports below are those of servers; nobody asks from there.
const SERVERS: u16 = 1024;

/// The UDP side of one TCP address of an input.
pub struct Heartbeat {
    socket: UdpSocket,
    /// Where we listen.
    port: Option<u16>,
    input: Arc<str>,
    answered: Counter,
    ignored: Counter,
    failing: LogLimit,
}

impl Heartbeat {
    pub fn new(input: &str, socket: UdpSocket) -> Heartbeat {
        let count = |outcome| {
            counter(
                "sluicegate_heartbeats_total",
                "Datagrams at the heartbeat ports, by what became of them.",
                &[("input", input), ("outcome", outcome)],
            )
        };
        // Without it the answers come from the address the kernel likes best, mostly the right one.
        let _ = match socket.local_addr() {
            Ok(address) if address.is_ipv6() => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true),
            _ => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true),
        };
        Heartbeat {
            port: socket.local_addr().ok().map(|address| address.port()),
            socket,
            input: input.into(),
            answered: count("answered"),
            ignored: count("ignored"),
            failing: LogLimit::new(Duration::from_secs(10)),
        }
    }

    /// Answers until the input drains.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let answered = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                answered = self.answer() => answered,
            };
            if let Err(error) = answered {
                if let Some(suppressed) = self.failing.allow() {
                    tracing::warn!(input = %self.input, suppressed, "UDP heartbeats cannot be received: {error}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn answer(&self) -> io::Result<()> {
        let question = self.socket.async_io(Interest::READABLE, || receive(&self.socket)).await?;
        let Question { len: 0..=1, from: Some(peer), to } = question else {
            self.ignored.increment(1);
            return Ok(());
        };
        if port(&peer).is_none_or(|port| port < SERVERS || Some(port) == self.port) {
            self.ignored.increment(1);
            return Ok(());
        }
        let send = || answer(&self.socket, &peer, to.as_ref());
        if self.socket.try_io(Interest::WRITABLE, send).is_ok() {
            self.answered.increment(1);
        }
        Ok(())
    }
}

struct Question {
    len: usize,
    from: Option<SockaddrStorage>,
    to: Option<Local>,
}

/// An address of ours, as the kernel names it for one datagram.
enum Local {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

fn port(peer: &SockaddrStorage) -> Option<u16> {
    let v4 = peer.as_sockaddr_in().map(|address| address.port());
    v4.or_else(|| peer.as_sockaddr_in6().map(|address| address.port()))
}

fn receive(socket: &UdpSocket) -> io::Result<Question> {
    // One byte more than a heartbeat has: what fills it is none.
    let mut datagram = [0; 2];
    let mut parts = [IoSliceMut::new(&mut datagram)];
    let mut control = nix::cmsg_space!(in6_pktinfo);
    let received = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let to = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Local::V4(info)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Local::V6(info)),
        _ => None,
    });
    Ok(Question { len: received.bytes, from: received.address, to })
}

fn answer(socket: &UdpSocket, peer: &SockaddrStorage, from: Option<&Local>) -> io::Result<usize> {
    let send = |control: &[ControlMessage<'_>]| {
        let parts = [IoSlice::new(ANSWER)];
        Ok(sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_DONTWAIT, Some(peer))?)
    };
    match from {
        // The way back is the routing table's to choose, so no interface is named.
        Some(Local::V4(info)) => send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: info.ipi_spec_dst,
            ipi_addr: in_addr { s_addr: 0 },
        })]),
        Some(Local::V6(info)) => {
            let link_local = info.ipi6_addr.s6_addr[0] == 0xfe && info.ipi6_addr.s6_addr[1] & 0xc0 == 0x80;
            let ipi6_ifindex = if link_local { info.ipi6_ifindex } else { 0 };
            send(&[ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_ifindex, ..*info })])
        }
        None => send(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(at: &str) -> (std::net::SocketAddr, CancellationToken) {
        let socket = UdpSocket::bind(at).await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(Heartbeat::new("test", socket).run(stop.clone()));
        (address, stop)
    }

    async fn ask(client: &UdpSocket, bytes: &[u8], server: std::net::SocketAddr) {
        client.send_to(bytes, server).await.unwrap();
        let mut answer = [7; 16];
        let (len, from) = client.recv_from(&mut answer).await.unwrap();
        assert_eq!((&answer[..len], from), (&b"\0"[..], server));
    }

    #[tokio::test]
    async fn one_byte_and_none_are_answered_and_more_is_not() {
        let (server, stop) = start("127.0.0.1:0").await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        ask(&client, b"\0", server).await;
        ask(&client, b"", server).await;
        client.send_to(b"\x93\xa1", server).await.unwrap();
        // One that is gone before its answer comes costs nobody anything.
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        gone.send_to(b"\0", server).await.unwrap();
        drop(gone);
        ask(&client, b"", server).await;
        stop.cancel();
    }

    /// Two of us, or one alone, would answer each other for ever.
    #[tokio::test]
    async fn another_server_gets_no_answer() {
        let (server, stop) = start("127.0.0.1:0").await;
        // What a forged sender looks like: another machine's gateway on the same port.
        let other = UdpSocket::bind(("127.0.0.2", server.port())).await.unwrap();
        other.send_to(b"\0", server).await.unwrap();
        // Datagrams are taken in order, so this answer comes behind the one that must not.
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        ask(&client, b"\0", server).await;
        assert!(other.try_recv_from(&mut [0; 8]).is_err());
        stop.cancel();
    }

    #[tokio::test]
    async fn the_answer_comes_from_where_the_question_went() {
        let (server, stop) = start("0.0.0.0:0").await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for ip in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 1, 2, 3]] {
            ask(&client, b"\0", (ip, server.port()).into()).await;
        }
        stop.cancel();
        // A machine may have no IPv6; where it has, one socket serves both.
        if UdpSocket::bind("[::1]:0").await.is_err() {
            return;
        }
        let (server, stop) = start("[::]:0").await;
        let client = UdpSocket::bind("[::1]:0").await.unwrap();
        ask(&client, b"\0", (std::net::Ipv6Addr::LOCALHOST, server.port()).into()).await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        ask(&client, b"\0", ([127, 0, 0, 3], server.port()).into()).await;
        stop.cancel();
    }
}
