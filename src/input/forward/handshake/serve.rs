//! The server's side of one connection's handshake.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::failures::{FIRST_DELAY, Failures, shown};
use super::keys::{Accepted, Challenge, Denied, KeyRing};
use super::message::{Helo, MESSAGE_BYTES, Parsed, Ping, Pong};
use crate::record::msgpack::{Foreign, foreign};

/// A refused peer may take so long to read why, and may have so much on its way: closing before that is read would make
/// the kernel drop the refusal.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// `None` on a Unix socket.
    pub ip: Option<IpAddr>,
    /// For the log.
    pub label: &'a str,
}

/// Why a handshake did not end well. All of it is counted and logged already; the connection is to be closed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer closed before it said anything: a heartbeat or a probe, and nobody's fault.
    #[error("the peer closed without a word")]
    Heartbeat,
    #[error("{}", explain(.0))]
    Denied(Denied),
    #[error("the peer did not end its PING in time; is it set up with a shared key?")]
    TimedOut,
    #[error("the peer closed in the middle of its PING")]
    Cut,
    #[error("{0}")]
    Foreign(Foreign),
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// What the operator should look at; the peer is told less.
fn explain(denied: &Denied) -> String {
    match denied {
        Denied::Ping(bad) => format!("{denied}: {bad}"),
        Denied::Anonymous(_) => format!("{denied}: no client section holds its address"),
        Denied::SharedKey => format!("{denied}: its key is not the one for its address"),
        Denied::User => format!("{denied}: there is no such user for its address, or its password is wrong"),
    }
}

/// Greets a peer and waits for its PING until `deadline`. Gives who it is, and the bytes it sent behind its PING.
/// A refusal is answered here, after a wait that may end behind the deadline by 100 ms and the time to close.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ring: &KeyRing,
    peer: Peer<'_>,
    deadline: Instant,
    keepalive: bool,
    failures: &Failures,
) -> Result<(Accepted, BytesMut), HandshakeError> {
    let mut claimed = None;
    let outcome = shake(stream, ring, peer, deadline, keepalive, &mut claimed).await;
    let Err(error) = outcome else { return outcome };
    failures.report(peer.label, claimed.as_deref(), &error);
    if let HandshakeError::Denied(denied) = &error {
        let left = deadline.saturating_duration_since(Instant::now()).max(FIRST_DELAY);
        sleep(failures.delay(peer.ip).min(left)).await;
        // A peer that does not take it is no worse off.
        let _ = timeout(LINGER, refuse(stream, denied)).await;
    }
    Err(error)
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ring: &KeyRing,
    peer: Peer<'_>,
    deadline: Instant,
    keepalive: bool,
    claimed: &mut Option<Vec<u8>>,
) -> Result<(Accepted, BytesMut), HandshakeError> {
    let challenge = Challenge::new().map_err(HandshakeError::Random)?;
    let helo = Helo::encode(&challenge.nonce, &challenge.auth, keepalive);
    let mut buffer = BytesMut::new();
    let ping = timeout_at(deadline, async {
        match write(stream, &helo).await {
            // A probe that has closed already.
            Err(error) if is_gone(&error) => return Err(HandshakeError::Heartbeat),
            written => written?,
        }
        read_ping(stream, &mut buffer).await
    });
    let ping = ping.await.map_err(|_| HandshakeError::TimedOut)??;
    *claimed = Some(ping.hostname.clone());
    let keys = ring.current();
    let (username, digest) = keys.check(peer.ip, &ping, challenge).map_err(HandshakeError::Denied)?;
    let pong = Pong::accept(keys.hostname().as_bytes(), &digest);
    timeout_at(deadline, write(stream, &pong)).await.map_err(|_| HandshakeError::TimedOut)??;
    Ok((Accepted { username, hostname: shown(&ping.hostname), keepalive }, buffer))
}

/// Leaves in `buffer` what follows the PING.
async fn read_ping<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> Result<Ping, HandshakeError> {
    loop {
        let room = MESSAGE_BYTES - buffer.len().min(MESSAGE_BYTES);
        buffer.reserve(room.min(1024));
        let read = match stream.read_buf(&mut (&mut *buffer).limit(room)).await {
            Err(error) if buffer.is_empty() && is_gone(&error) => return Err(HandshakeError::Heartbeat),
            read => read?,
        };
        if read == 0 {
            return Err(if buffer.is_empty() { HandshakeError::Heartbeat } else { HandshakeError::Cut });
        }
        if let Some(foreign) = foreign(buffer) {
            return Err(HandshakeError::Foreign(foreign));
        }
        match Ping::parse(buffer) {
            Parsed::Partial => {}
            Parsed::Bad(bad) => return Err(HandshakeError::Denied(Denied::Ping(bad))),
            Parsed::Done(ping, length) => {
                let _ = buffer.split_to(length);
                return Ok(ping);
            }
        }
    }
}

/// One write, for peers that read a message at once.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, denied: &Denied) -> io::Result<()> {
    write(stream, &Pong::deny(&denied.to_string())).await?;
    stream.shutdown().await?;
    let (mut rest, mut total) = ([0; 1024], 0);
    while total < LINGER_BYTES {
        match stream.read(&mut rest).await? {
            0 => break,
            read => total += read,
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}
