//! A container's FIFO: looked at without taking, and taken from when what was seen is safe.
//!
//! ```text
//! FIFO  [ a | b | c | d ...          tee(2) copies what lies at the head into a pipe of our own, which is read
//!         `-- look --'               the FIFO itself is unchanged
//!         `-- take --'               later: read(2) takes exactly these bytes off
//! ```
//!
//! What lies in the FIFO outlives this process, since the engine holds both of its ends open. So an entry is in the FIFO,
//! in the journal, or in both, at every moment.
//!
//! One read takes all that was seen: the kernel does not stop between, so a process that is killed has taken all of it or
//! nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::io::Interest;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::limits::{KIB, MIB};

/// What a FIFO may hold, as asked of the kernel: more than its usual 64 KiB lets a container run on while we store. An
/// entry must fit as a whole to be seen; the engine's have at most 16 KiB of text.
const CAPACITY: usize = MIB;
/// What it holds without being asked.
const USUAL: usize = 64 * KIB;
/// So many FIFOs are enlarged. All pipes of a user together may have 64 MiB (`pipe-user-pages-soft`), and the kernel then
/// makes small ones for every program of that user: for containers as well, whose root is the engine's.
const LARGE: usize = 16;

/// Why a FIFO cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FifoError {
    #[error("cannot open the FIFO {}: {error}", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{} is no FIFO", .0.display())]
    Kind(PathBuf),
    #[error("cannot read the FIFO {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("somebody else reads the FIFO {}: {missing} bytes that were seen in it are gone", path.display())]
    Stolen { path: PathBuf, missing: usize },
}

/// What a look showed.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The bytes at the head, in the buffer.
    Bytes,
    /// Nothing at this moment.
    Nothing,
    /// Nothing, and nobody holds the other end.
    Ended,
}

pub struct Fifo {
    fd: Receiver,
    path: PathBuf,
    capacity: usize,
    _large: Option<OwnedSemaphorePermit>,
}

impl Fifo {
    /// Opens the FIFO without waiting for a writer. Needs a runtime.
    pub fn open(path: &Path, pipes: &Pipes) -> Result<Fifo, FifoError> {
        let failed = |error: io::Error| FifoError::Open { path: path.to_owned(), error };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            return Err(FifoError::Kind(path.to_owned()));
        }
        let large = pipes.large.clone().try_acquire_owned().ok();
        // One that an earlier run enlarged is as it was again, unless it is full.
        let capacity = resize(&fd, if large.is_some() { CAPACITY } else { USUAL }).min(pipes.capacity);
        let fd = Receiver::from_owned_fd(fd).map_err(failed)?;
        Ok(Fifo { fd, path: path.to_owned(), capacity, _large: large })
    }

    /// Bytes that can be seen in it at once.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits until there is something to see, or may be; true when nobody holds the other end any more.
    pub async fn readable(&self) -> Result<bool, FifoError> {
        let ready = self.fd.ready(Interest::READABLE).await.map_err(|error| self.failed(error))?;
        Ok(ready.is_read_closed())
    }

    /// Lets [`Fifo::readable`] wait for more than the `known` bytes that lie in it.
    pub fn wait_for_more_than(&self, known: usize) -> Result<(), FifoError> {
        // Counted after the readiness was looked at: what comes behind the count makes it ready again.
        let is_more = || match rustix::io::ioctl_fionread(&self.fd)? {
            waiting if waiting > known as u64 => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        match self.fd.try_io(is_more) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// Bytes that lie in it.
    pub fn waiting(&self) -> Result<usize, FifoError> {
        let waiting = rustix::io::ioctl_fionread(&self.fd).map_err(|error| self.failed(error.into()))?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    /// Copies up to `max` bytes from the head into `into`, which is cleared before.
    pub fn look(&self, pipes: &Pipes, max: usize, into: &mut Vec<u8>) -> Result<Seen, FifoError> {
        into.clear();
        pipes.look(&self.fd, max, into).map_err(|error| self.failed(error))
    }

    /// Takes `len` bytes that were seen off the head. `scratch` is overwritten.
    pub fn take(&self, len: usize, scratch: &mut Vec<u8>) -> Result<(), FifoError> {
        let mut missing = len;
        while missing > 0 {
            scratch.clear();
            scratch.reserve_exact(missing);
            match rustix::io::read(&self.fd, limited(scratch, missing)) {
                Ok(0) | Err(Errno::AGAIN) => {
                    return Err(FifoError::Stolen { path: self.path.clone(), missing });
                }
                Ok(taken) => missing -= taken,
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed(error.into())),
            }
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> FifoError {
        FifoError::Read { path: self.path.clone(), error }
    }
}

/// Room for at most `len` more bytes.
fn limited(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    buffer.resize(len, 0);
    buffer
}

/// Asks for room and gives what there is: who is not root may have less.
fn resize(pipe: impl AsFd, bytes: usize) -> usize {
    let size = || rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or(4096);
    if size() != bytes {
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, bytes);
    }
    size()
}

/// Pipes that are looked through. Each is empty when it is not in use. As many as can be in use at once are made before
/// there are FIFOs, which may leave this user nothing but small ones.
pub struct Pipes {
    idle: Mutex<Vec<Pipe>>,
    /// Of the smallest.
    capacity: usize,
    large: Arc<Semaphore>,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipes {
    /// Makes sure that this kernel can look into a pipe: without that, a crash would lose what was read and not stored.
    pub fn new() -> io::Result<Pipes> {
        let used_at_once = std::thread::available_parallelism().map_or(2, usize::from);
        let idle = (0..used_at_once).map(|_| Pipe::new()).collect::<io::Result<Vec<Pipe>>>()?;
        let capacity = idle.iter().map(|pipe| resize(&pipe.reader, CAPACITY)).min().unwrap_or(USUAL);
        if capacity < USUAL {
            return Err(io::Error::other(
                "this user has so many pipes that the kernel makes small ones, see fs.pipe-user-pages-soft",
            ));
        }
        let pipes = Pipes { idle: Mutex::new(idle), capacity, large: Arc::new(Semaphore::new(LARGE)) };
        let probe = Pipe::new()?;
        rustix::io::write(&probe.writer, b"probe")?;
        let mut seen = Vec::new();
        pipes.look(&probe.reader, 64, &mut seen)?;
        let mut left = [0; 8];
        let taken = rustix::io::read(&probe.reader, &mut left)?;
        if seen == b"probe" && left.get(..taken) == Some(b"probe") {
            return Ok(pipes);
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "tee(2) does not leave the bytes where they are"))
    }

    fn look(&self, from: impl AsFd, max: usize, into: &mut Vec<u8>) -> io::Result<Seen> {
        let idle = self.lock().pop();
        let pipe = idle.map_or_else(Pipe::new, Ok)?;
        let len = loop {
            match rustix::pipe::tee(&from, &pipe.writer, max, SpliceFlags::NONBLOCK) {
                Ok(0) => return self.back(pipe, Seen::Ended),
                Ok(len) => break len,
                Err(Errno::AGAIN) => return self.back(pipe, Seen::Nothing),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        into.reserve(len);
        while into.len() < len {
            match rustix::io::read(&pipe.reader, spare_capacity(into)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                // The pipe is not given back: nobody knows what is in it.
                Err(error) => return Err(error.into()),
            }
        }
        self.back(pipe, Seen::Bytes)
    }

    fn back(&self, pipe: Pipe, seen: Seen) -> io::Result<Seen> {
        self.lock().push(pipe);
        Ok(seen)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pipe>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        resize(&reader, CAPACITY);
        Ok(Pipe { reader, writer })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn make(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    #[tokio::test]
    async fn looking_leaves_what_taking_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        make(&path);
        let pipes = Pipes::new().unwrap();
        let fifo = Fifo::open(&path, &pipes).unwrap();
        let (mut seen, mut scratch) = (Vec::new(), Vec::new());
        assert_eq!(fifo.look(&pipes, 100, &mut seen).unwrap(), Seen::Ended);
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        assert_eq!(fifo.look(&pipes, 100, &mut seen).unwrap(), Seen::Nothing);
        writer.write_all(b"hello world").unwrap();
        assert!(!fifo.readable().await.unwrap());
        for _ in 0..3 {
            assert_eq!(fifo.look(&pipes, 5, &mut seen).unwrap(), Seen::Bytes);
            assert_eq!((seen.as_slice(), fifo.waiting().unwrap()), (&b"hello"[..], 11));
        }
        fifo.take(6, &mut scratch).unwrap();
        assert_eq!(fifo.look(&pipes, 100, &mut seen).unwrap(), Seen::Bytes);
        assert_eq!(seen, b"world");
        drop(writer);
        fifo.take(5, &mut scratch).unwrap();
        assert_eq!(fifo.look(&pipes, 100, &mut seen).unwrap(), Seen::Ended);
        assert!(matches!(fifo.take(5, &mut scratch), Err(FifoError::Stolen { missing: 5, .. })));
    }

    #[tokio::test]
    async fn only_a_fifo_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let pipes = Pipes::new().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(Fifo::open(&path, &pipes), Err(FifoError::Open { .. })));
        std::fs::write(&path, b"x").unwrap();
        assert!(matches!(Fifo::open(&path, &pipes), Err(FifoError::Kind(_))));
        let link = dir.path().join("link");
        make(&dir.path().join("fifo"));
        std::os::unix::fs::symlink(dir.path().join("fifo"), &link).unwrap();
        assert!(matches!(Fifo::open(&link, &pipes), Err(FifoError::Open { .. })));
    }

    #[tokio::test]
    async fn a_thousand_containers_leave_others_their_pipes() {
        let dir = tempfile::tempdir().unwrap();
        let pipes = Pipes::new().unwrap();
        let path = |number: usize| dir.path().join(number.to_string());
        let hold = |number: usize| {
            make(&path(number));
            OpenOptions::new().read(true).write(true).open(path(number)).unwrap()
        };
        let _engine: Vec<_> = (0..LARGE + 2).map(hold).collect();
        let open = |number: usize| Fifo::open(&path(number), &pipes).unwrap();
        let mut fifos: Vec<Fifo> = (0..LARGE + 2).map(open).collect();
        let large = |fifos: &[Fifo]| fifos.iter().filter(|fifo| fifo.capacity() == CAPACITY).count();
        assert_eq!((large(&fifos), fifos.last().unwrap().capacity()), (LARGE, USUAL));
        // Another run may choose others.
        let again = fifos.split_off(LARGE);
        drop(again);
        fifos.truncate(LARGE - 2);
        fifos.extend((LARGE..LARGE + 2).map(open));
        fifos.extend((LARGE - 2..LARGE).map(open));
        assert_eq!(large(&fifos), LARGE);
    }

    /// An entry of the largest size lies in the FIFO as a whole, with a smaller one before it.
    #[tokio::test]
    async fn the_largest_entry_is_seen_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        make(&path);
        let pipes = Pipes::new().unwrap();
        let fifo = Fifo::open(&path, &pipes).unwrap();
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(&[1; 333]).unwrap();
        writer.write_all(&vec![2; 1_000_004]).unwrap();
        let mut seen = Vec::new();
        fifo.look(&pipes, CAPACITY, &mut seen).unwrap();
        assert_eq!(seen.len(), 1_000_337);
        fifo.take(1_000_337, &mut Vec::new()).unwrap();
        assert_eq!(fifo.look(&pipes, CAPACITY, &mut seen).unwrap(), Seen::Nothing);
    }
}
