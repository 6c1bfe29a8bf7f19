//! Reading a connection within the byte budget.
//!
//! Permits are taken for bytes that are there, never while the peer is silent: a quiet connection reads a little,
//! uncharged, and keeps no memory. As soon as that little read comes back full, more is on its way and reads grow.
//! Inside a message every byte is charged, so that half a message in each of a thousand connections stays bounded.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::limits;
use crate::input::budget::{Budget, Grant};

/// What a quiet connection reads into.
const SMALL_READ: usize = 2 * limits::KIB;
const GROWTH: usize = 8;

pub struct Reader<R> {
    inner: R,
    budget: Budget,
    buffer: BytesMut,
    /// Permits for what is in the buffer.
    pub grant: Grant,
    next_read: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(inner: R, budget: Budget) -> Self {
        Reader { inner, grant: budget.empty_grant(), budget, buffer: BytesMut::new(), next_read: SMALL_READ }
    }

    /// What was read and not taken.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first `len` bytes off.
    pub fn take(&mut self, len: usize) -> Bytes {
        self.buffer.split_to(len).freeze()
    }

    /// Waits for more bytes; 0 at the end of the stream. Cancelling it loses nothing.
    pub async fn read(&mut self) -> io::Result<usize> {
        let inside = !self.buffer.is_empty();
        if self.next_read > SMALL_READ {
            let want = self.next_read;
            self.budget.extend(&mut self.grant, want).await;
            let read = self.read_now(want).await;
            self.give_back();
            if let Some(read) = read? {
                if read == want {
                    self.next_read = (want * GROWTH).min(limits::READ_BYTES);
                }
                return Ok(read);
            }
            self.next_read = SMALL_READ;
        }
        if inside {
            self.budget.extend(&mut self.grant, SMALL_READ).await;
        }
        self.buffer.reserve(SMALL_READ);
        let read = self.inner.read_buf(&mut (&mut self.buffer).limit(SMALL_READ)).await?;
        if read == SMALL_READ {
            self.next_read = SMALL_READ * GROWTH;
        }
        Ok(read)
    }

    /// Reads what is there already. `None` when nothing is.
    pub async fn read_now(&mut self, want: usize) -> io::Result<Option<usize>> {
        self.buffer.reserve(want);
        let mut room = (&mut self.buffer).limit(want);
        tokio::select! {
            biased;
            read = self.inner.read_buf(&mut room) => read.map(Some),
            () = std::future::ready(()) => Ok(None),
        }
    }

    /// Takes permits for the bytes in the buffer again, after [`Reader::let_go`].
    pub async fn charge(&mut self) {
        let missing = self.buffer.len().saturating_sub(self.grant.bytes());
        self.budget.extend(&mut self.grant, missing).await;
    }

    /// Gives the permits up while the connection waits for room in a buffer: others may need them meanwhile.
    pub fn let_go(&mut self) {
        self.grant.shrink(0);
        self.grant.leave_overdraft();
    }

    /// Gives back the permits for more than is in the buffer.
    pub fn give_back(&mut self) {
        self.grant.shrink(self.buffer.len());
    }

    /// Keeps no memory while nothing comes.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.next_read = SMALL_READ;
        }
    }
}
