//! A gateway takes the place of another on the same data directory, and no address is without a listener meanwhile.
//!
//! ```text
//! new   run --take-over: connects to DATA/handover.sock, asks, gets every listening socket (SCM_RIGHTS)
//! new   binds what it listens on besides; when nothing can go wrong there any more, it says so
//! old   stops: accepts no more, reads what its connections hold, passes on those whose peers would lose what they write
//!       next (TCP without acks), lets go of the data directory
//! new   waits for the data directory, then reads; peers that connected meanwhile were waiting in the kernel
//! ```
//!
//! One passed connection: its socket with `input len u8 | address len u8 | unread len u32`, big end first, then those.
//!
//! A successor that ends before it says so (a port is taken, a certificate is not there) changes nothing: the old one
//! runs on.
//!
//! The socket lies in the data directory, which is the gateway's own; a peer of another user than ours or root is refused.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::inherited::Inherited;
use crate::base::shutdown::Passed;

const FILE: &str = "handover.sock";
const QUESTION: &[u8; 16] = b"take over, v.1.\n";
const CONFIRMATION: &[u8; 1] = b"!";
/// What one message can carry (`SCM_MAX_FD`).
const SOCKETS: usize = 253;
/// The other side is a program that has nothing else to do.
const ANSWER: Duration = Duration::from_secs(5);
/// It binds sockets and looks names up.
const BINDING: Duration = Duration::from_secs(30);

/// The socket's path as an address can hold it (107 bytes), which a data directory may well be longer than: by way of the
/// open directory, which has to stay open as long as the path is used.
fn within_reach(data_dir: &Path) -> io::Result<(PathBuf, File)> {
    let dir = File::open(data_dir)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{FILE}", dir.as_raw_fd())), dir))
}

/// The old gateway's side.
pub(super) struct HandOver {
    listener: UnixListener,
    path: PathBuf,
    sockets: Vec<OwnedFd>,
}

impl HandOver {
    /// Waits for a successor in a data directory that this process has locked. `sockets` are second handles of all
    /// that listens.
    pub(super) fn open(data_dir: &Path, sockets: Vec<OwnedFd>) -> Result<HandOver> {
        if sockets.len() > SOCKETS {
            bail!("{} sockets listen, and one message carries {SOCKETS}", sockets.len());
        }
        let path = data_dir.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("a socket left there");
            }
            _ => {}
        }
        let (near, _dir) = within_reach(data_dir)?;
        let listener = UnixListener::bind(near)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(HandOver { listener, path, sockets })
    }

    /// Resolves when a successor has all sockets and can take our place, with the way to it.
    pub(super) async fn handed(&self) -> UnixStream {
        loop {
            let asked = async {
                let (mut stream, _) = self.listener.accept().await?;
                let answered = tokio::time::timeout(ANSWER, self.answer(&mut stream)).await;
                answered.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
                let mut confirmation = [0; CONFIRMATION.len()];
                match tokio::time::timeout(BINDING, stream.read_exact(&mut confirmation)).await {
                    Ok(Ok(_)) if confirmation == *CONFIRMATION => Ok(stream),
                    _ => Err(io::Error::other("it got them and did not start; its log says why")),
                }
            };
            match asked.await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::warn!(
                        "another program asked for our sockets and does not take our place: {error}"
                    );
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn answer(&self, stream: &mut UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        if peer != 0 && peer != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(ErrorKind::PermissionDenied, format!("it runs as user {peer}")));
        }
        let mut question = [0; QUESTION.len()];
        stream.read_exact(&mut question).await?;
        if question != *QUESTION {
            return Err(io::Error::new(ErrorKind::InvalidData, "it did not ask as a gateway asks"));
        }
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(AsFd::as_fd).collect();
        let count = [sockets.len() as u8];
        stream.async_io(Interest::WRITABLE, || send(stream, &count, &sockets)).await
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Passes connections on until there are no more.
pub(super) async fn pass_on(
    mut stream: UnixStream,
    mut connections: mpsc::Receiver<Passed>,
    ended: CancellationToken,
) {
    loop {
        let passed = tokio::select! {
            biased;
            passed = connections.recv() => passed,
            () = ended.cancelled() => {
                connections.close();
                connections.recv().await
            }
        };
        let Some(passed) = passed else { return };
        if let Err(error) = pass(&mut stream, &passed).await {
            tracing::warn!(input = %passed.input, peer = %passed.peer, "a connection could not be passed on: {error}");
            return;
        }
    }
}

async fn pass(stream: &mut UnixStream, passed: &Passed) -> io::Result<()> {
    let peer = passed.peer.to_string();
    let mut head = vec![passed.input.len() as u8, peer.len() as u8];
    head.extend_from_slice(&(passed.unread.len() as u32).to_be_bytes());
    let sockets = [passed.stream.as_fd()];
    stream.async_io(Interest::WRITABLE, || send(stream, &head, &sockets)).await?;
    stream.write_all(passed.input.as_bytes()).await?;
    stream.write_all(peer.as_bytes()).await?;
    stream.write_all(&passed.unread).await
}

/// Takes what a predecessor passes on until it ends.
async fn take_passed(mut stream: UnixStream) -> Vec<Passed> {
    let mut taken = Vec::new();
    loop {
        match take(&mut stream).await {
            Ok(Some(passed)) => taken.push(passed),
            Ok(None) => return taken,
            Err(error) => {
                tracing::warn!("connections of the gateway before us are lost: {error}");
                return taken;
            }
        }
    }
}

async fn take(stream: &mut UnixStream) -> io::Result<Option<Passed>> {
    let mut head = [0; 6];
    let (read, sockets) = stream.async_io(Interest::READABLE, || receive(stream, &mut head)).await?;
    if read == 0 {
        return Ok(None);
    }
    let broken = || io::Error::from(ErrorKind::InvalidData);
    stream.read_exact(head.get_mut(read..).ok_or_else(broken)?).await?;
    let socket = sockets.into_iter().next().ok_or_else(broken)?;
    let [input, peer, a, b, c, d] = head;
    let input = String::from_utf8(exactly(stream, input.into()).await?).map_err(|_| broken())?;
    let peer = String::from_utf8(exactly(stream, peer.into()).await?).map_err(|_| broken())?;
    let unread = exactly(stream, u32::from_be_bytes([a, b, c, d]) as usize).await?;
    let peer = peer.parse().map_err(|_| broken())?;
    Ok(Some(Passed { input, peer, stream: TcpStream::from(socket), unread }))
}

async fn exactly(stream: &mut UnixStream, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The bytes with the sockets; few enough for one call.
fn send(stream: &UnixStream, bytes: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    match rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

fn receive(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            sockets.extend(passed);
        }
    }
    Ok((received.bytes, sockets))
}

/// Says that we can take the place of the gateway at the other end. What it passes on is there when it has ended.
pub(super) async fn confirm(mut predecessor: UnixStream) -> io::Result<JoinHandle<Vec<Passed>>> {
    predecessor.write_all(CONFIRMATION).await?;
    Ok(tokio::spawn(take_passed(predecessor)))
}

/// Asks the gateway that runs on this data directory for its sockets; it goes when the start that gets them is sure to
/// listen. Nothing when none runs there.
pub async fn take_over(data_dir: &Path) -> Result<Option<Inherited>> {
    let (near, _dir) = match within_reach(data_dir) {
        // There is no such directory yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.with_context(|| format!("cannot open {}", data_dir.display()))?,
    };
    let mut stream = match UnixStream::connect(near).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot take over from {}", data_dir.join(FILE).display()));
        }
    };
    let asked = async {
        stream.write_all(QUESTION).await?;
        let mut count = [0];
        let (read, sockets) = stream.async_io(Interest::READABLE, || receive(&stream, &mut count)).await?;
        io::Result::Ok((count.first().copied().filter(|_| read > 0), sockets))
    };
    let answer = tokio::time::timeout(ANSWER, asked).await;
    match answer {
        Ok(Ok((Some(count), sockets))) if sockets.len() == usize::from(count) => {
            Ok(Some(Inherited::from_predecessor(sockets, Some(stream))))
        }
        Ok(Ok((None, _))) => {
            bail!("the gateway that runs on {} refused to hand over; its log says why", data_dir.display())
        }
        Ok(Ok(_)) => {
            bail!("not all sockets arrived; raise the limit of open files (ulimit -n) and try again")
        }
        Ok(Err(error)) => Err(error).context("the gateway that runs there did not hand over"),
        Err(_) => bail!("the gateway that runs on {} does not answer; stop it", data_dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_successor_that_is_ready_gets_every_socket_and_a_stranger_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(take_over(dir.path()).await.unwrap().is_none());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let old = HandOver::open(dir.path(), vec![listener.into()]).unwrap();
        let strange = async {
            let mut stream = UnixStream::connect(dir.path().join(FILE)).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut nothing = Vec::new();
            let _ = stream.read_to_end(&mut nothing).await;
            assert!(nothing.is_empty());
            // Nor one that does not get as far as to listen.
            drop(take_over(dir.path()).await.unwrap().unwrap());
            let mut inherited = take_over(dir.path()).await.unwrap().unwrap();
            assert!(inherited.has_predecessor());
            inherited.succeed().await.unwrap();
            inherited
        };
        let (_, mut inherited) = tokio::join!(old.handed(), strange);
        drop(old);
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert_eq!(inherited.tcp(address).unwrap().local_addr().unwrap(), address);
        // Its file is gone with it.
        assert!(take_over(dir.path()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_data_directory_may_have_a_longer_path_than_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120));
        assert!(take_over(&long).await.unwrap().is_none());
        fs::create_dir(&long).unwrap();
        let old = HandOver::open(&long, Vec::new()).unwrap();
        let new = async {
            let mut inherited = take_over(&long).await.unwrap().unwrap();
            inherited.succeed().await.unwrap();
        };
        tokio::join!(old.handed(), new);
        drop(old);
        assert!(!long.join(FILE).exists());
    }
}
