//! A datagram socket, and receiving many datagrams with one call.
//!
//! ```text
//! kernel -> slots (one datagram each, 64 KiB; Unix 256 KiB) -> round: [datagram][datagram]... end to end
//! ```
//!
//! The slots are one piece of zeroed memory of which only the pages that datagrams touch become real. The round is exactly
//! as long as what came, so a batch of small lines keeps no large buffer alive.
//!
//! What the kernel had to drop because the socket's buffer was full, it tells with the next datagram it keeps
//! (`SO_RXQ_OVFL`). A Unix socket drops nothing: its writers wait.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use bytes::BytesMut;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, getsockopt, recvmmsg,
    setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::udp::Udp;
use crate::base::limits::{KIB, READ_BYTES};
use crate::input::listener::SocketFile;
use crate::record::Timestamp;

/// Slots of a call, while few datagrams come and while many do.
const FEW: usize = 8;
const MANY: usize = 64;
/// Unix datagrams are large and few: the kernel lets 10 of them wait by default.
const UNIX_MANY: usize = 16;
/// A UDP datagram is shorter than 64 KiB. A cache line more, so that the slots' beginnings do not fall onto each other in
/// the processor's caches.
const UDP_SLOT: usize = 64 * KIB + 64;
/// Larger than what a writer may send that did not enlarge its own send buffer (`net.core.wmem_default`, 208 KiB).
const UNIX_SLOT: usize = 256 * KIB + 64;
/// Datagrams of a round: what a full batch takes.
const ROUND_DATAGRAMS: usize = crate::base::limits::GROUP_RECORDS;

/// Where an input receives datagrams.
pub enum DatagramSocket {
    Udp(Udp),
    Unix(UnixDatagram, SocketFile),
}

impl fmt::Display for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatagramSocket::Udp(socket) => socket.fmt(f),
            DatagramSocket::Unix(_, file) => write!(f, "unixgram:{}", file.path().display()),
        }
    }
}

impl DatagramSocket {
    fn try_io<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            DatagramSocket::Udp(socket) => socket.try_io(receive),
            DatagramSocket::Unix(socket, _) => socket.try_io(Interest::READABLE, receive),
        }
    }

    /// Asks the kernel for a receive buffer and for news of what it drops. `Some` of the size it gave, where that is less.
    pub(super) fn tune(&self, receive_buffer: usize) -> Option<usize> {
        let DatagramSocket::Udp(socket) = self else { return None };
        // Without these the socket works all the same.
        let _ = setsockopt(socket, sockopt::RxqOvfl, &1);
        let wanted = receive_buffer.min(i32::MAX as usize / 2);
        if setsockopt(socket, sockopt::RcvBufForce, &wanted).is_err() {
            let _ = setsockopt(socket, sockopt::RcvBuf, &wanted);
        }
        // The kernel doubles what it is asked for, for its own bookkeeping.
        let got = getsockopt(socket, sockopt::RcvBuf).ok()? / 2;
        (got < wanted).then_some(got)
    }

    /// Ends what can be received: where the socket can tell its writers that nobody reads any more, it does, and what it
    /// holds can still be read. False where the socket goes on without us: then it stays as it is, for who reads it next.
    pub(super) fn shut_read(&self) -> bool {
        if let DatagramSocket::Unix(socket, file) = self {
            if file.outlives_us() {
                return false;
            }
            let _ = socket.shutdown(Shutdown::Read);
        }
        true
    }

    pub(super) async fn readable(&mut self) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.readable().await,
            DatagramSocket::Unix(socket, _) => socket.readable().await,
        }
    }
}

/// Datagrams that were received and not decoded yet, end to end.
#[derive(Default)]
pub(super) struct Round {
    pub(super) frame: BytesMut,
    pub(super) datagrams: Vec<Datagram>,
}

pub(super) struct Datagram {
    /// Its place in the frame.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sender: Option<SocketAddr>,
    pub(super) received: Timestamp,
}

impl Round {
    pub(super) fn is_full(&self) -> bool {
        self.frame.len() >= READ_BYTES || self.datagrams.len() >= ROUND_DATAGRAMS
    }
}

/// What the kernel said while it handed datagrams over.
#[derive(Default)]
pub(super) struct News {
    pub(super) datagrams: u64,
    pub(super) truncated: u64,
    /// Datagrams it dropped.
    pub(super) dropped: u64,
}

/// Receives from one socket.
pub(super) struct Receiver {
    pub(super) socket: DatagramSocket,
    slots: Vec<u8>,
    /// Slots of the next call.
    wanted: usize,
    /// The kernel's count of what it dropped, as told last.
    dropped: u32,
}

impl Receiver {
    pub(super) fn new(socket: DatagramSocket) -> Receiver {
        Receiver { socket, slots: Vec::new(), wanted: FEW, dropped: 0 }
    }

    /// Receives what is there, once the socket is readable. True when more may be.
    pub(super) fn receive(&mut self, round: &mut Round, news: &mut News) -> io::Result<bool> {
        let Receiver { socket, slots, wanted, dropped } = self;
        let tried = socket.try_io(|| match receive(socket, slots, wanted, dropped, round, news)? {
            true => Ok(()),
            // Fewer came than could have: the socket is empty, and need not be asked again to learn that.
            false => Err(io::ErrorKind::WouldBlock.into()),
        });
        more(tried.map(|()| true))
    }

    /// As [`Receiver::receive`], whether or not the socket is known to be readable.
    pub(super) fn receive_unasked(&mut self, round: &mut Round, news: &mut News) -> io::Result<bool> {
        let Receiver { socket, slots, wanted, dropped } = self;
        more(receive(socket, slots, wanted, dropped, round, news))
    }

    /// Gives the slots back while nothing comes.
    pub(super) fn rest(&mut self) {
        self.slots = Vec::new();
        self.wanted = FEW;
    }
}

fn more(tried: io::Result<bool>) -> io::Result<bool> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        tried => tried,
    }
}

fn receive(
    socket: &DatagramSocket,
    slots: &mut Vec<u8>,
    wanted: &mut usize,
    dropped: &mut u32,
    round: &mut Round,
    news: &mut News,
) -> io::Result<bool> {
    let before = round.frame.len();
    let (got, most) = match socket {
        DatagramSocket::Udp(socket) => {
            let slots = slots_of(slots, MANY * UDP_SLOT).chunks_exact_mut(UDP_SLOT).take(*wanted);
            // Nothing but this count is asked for, so there is room for nothing else.
            let control = Some(nix::cmsg_space!(u32));
            let fd = socket.as_fd().as_raw_fd();
            (receive_into(fd, slots, *wanted, control, address, dropped, round, news)?, MANY)
        }
        DatagramSocket::Unix(socket, _) => {
            let slots = slots_of(slots, UNIX_MANY * UNIX_SLOT).chunks_exact_mut(UNIX_SLOT).take(*wanted);
            // With room for control messages a peer could leave its open files with us.
            let fd = socket.as_raw_fd();
            (receive_into(fd, slots, *wanted, None, |_: &()| None, dropped, round, news)?, UNIX_MANY)
        }
    };
    let full = got == *wanted;
    *wanted = match full {
        true if round.frame.len() - before < READ_BYTES => (*wanted * 2).min(most),
        _ if got < *wanted / 4 => (*wanted / 2).max(FEW),
        _ => *wanted,
    };
    Ok(full)
}

/// Zeroed by the kernel, page by page when a datagram comes to lie there.
fn slots_of(slots: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if slots.is_empty() {
        *slots = vec![0; bytes];
    }
    slots
}

#[allow(clippy::too_many_arguments)]
fn receive_into<'a, S: SockaddrLike + Copy + 'a>(
    fd: RawFd,
    slots: impl Iterator<Item = &'a mut [u8]>,
    wanted: usize,
    control: Option<Vec<u8>>,
    address: impl Fn(&S) -> Option<SocketAddr>,
    dropped: &mut u32,
    round: &mut Round,
    news: &mut News,
) -> io::Result<usize> {
    let mut parts: Vec<[IoSliceMut<'_>; 1]> = slots.map(|slot| [IoSliceMut::new(slot)]).collect();
    // Made anew for each call: the kernel shrinks the lengths in it to what it had to say.
    let mut headers = MultiHeaders::<S>::preallocate(wanted, control);
    let messages = recvmmsg(fd, &mut headers, parts.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    let received = Timestamp::now();
    let mut count = 0;
    for message in messages {
        count += 1;
        let from = round.frame.len();
        message.iovs().for_each(|bytes| round.frame.extend_from_slice(bytes));
        news.truncated += u64::from(message.flags.contains(MsgFlags::MSG_TRUNC));
        for said in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::RxqOvfl(total) = said {
                news.dropped += u64::from(total.wrapping_sub(*dropped));
                *dropped = total;
            }
        }
        let sender = message.address.as_ref().and_then(&address);
        round.datagrams.push(Datagram { from, to: round.frame.len(), sender, received });
    }
    news.datagrams += count as u64;
    Ok(count)
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddrV4::from(*v4).into()),
        (None, Some(v6)) => Some(SocketAddrV6::from(*v6).into()),
        (None, None) => None,
    }
}
