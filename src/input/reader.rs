//! Reading a connection within the byte budget.
//!
//! Permits are taken for bytes that are there, never while the peer is silent: a quiet connection reads a little,
//! uncharged, and keeps no memory. When that little read comes back full, more is there, and a large read follows.
//! Inside a message every byte is charged, so that half a message in each of a thousand connections stays bounded.

use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::limits;
use crate::input::budget::{Budget, Grant};

/// What a quiet connection reads into.
const SMALL_READ: usize = 2 * limits::KIB;
/// What is left behind more than this is moved, when it is less than what goes.
const LARGE_TAKE: usize = 4 * SMALL_READ;

pub struct Reader<R> {
    inner: R,
    budget: Budget,
    buffer: BytesMut,
    /// Permits for what is in the buffer.
    pub grant: Grant,
    /// The last read took all there was.
    drained: bool,
    /// Bytes in the buffer that no read has told of.
    first: usize,
    /// Time spent waiting for the peer inside the message that is arriving.
    waited: Duration,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// `first` was read before, and is what the first read gives.
    pub fn new(inner: R, budget: Budget, first: BytesMut) -> Self {
        Reader {
            inner,
            grant: budget.empty_grant(),
            budget,
            first: first.len(),
            buffer: first,
            drained: true,
            waited: Duration::ZERO,
        }
    }

    /// What is read from.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// What is read from, and what was read and not taken.
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.inner, self.buffer)
    }

    /// What was read and not taken.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first `len` bytes off: all messages that are complete.
    pub fn take(&mut self, len: usize) -> Bytes {
        if len > 0 {
            self.waited = Duration::ZERO;
        }
        let taken = self.buffer.split_to(len).freeze();
        if len > LARGE_TAKE && self.buffer.len() < len {
            // A few bytes, charged as such, must not keep the memory of a large message.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        taken
    }

    /// How long the peer has kept us waiting inside the message that is arriving, all pauses together.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits for more bytes; 0 at the end of the stream. Cancelling it loses nothing.
    pub async fn read(&mut self) -> io::Result<usize> {
        if self.first > 0 {
            return Ok(std::mem::take(&mut self.first));
        }
        if !self.drained
            && let Some(read) = self.read_more().await?
        {
            return Ok(read);
        }
        if !self.buffer.is_empty() {
            self.budget.extend(&mut self.grant, SMALL_READ).await;
        }
        self.buffer.reserve(SMALL_READ);
        let since = (!self.buffer.is_empty()).then(Instant::now);
        let read = self.inner.read_buf(&mut (&mut self.buffer).limit(SMALL_READ)).await?;
        self.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
        self.drained = read < SMALL_READ;
        Ok(read)
    }

    /// Reads a lot, within the budget, when more is there already. `None` when nothing is.
    pub async fn read_more(&mut self) -> io::Result<Option<usize>> {
        self.budget.extend(&mut self.grant, limits::READ_BYTES).await;
        let read = self.read_now(limits::READ_BYTES).await;
        self.give_back();
        let read = read?;
        self.drained = read.is_none_or(|read| read < limits::READ_BYTES);
        Ok(read)
    }

    /// Whether the last read left more behind.
    pub fn has_more(&self) -> bool {
        !self.drained
    }

    /// Reads what is there already. `None` when nothing is.
    async fn read_now(&mut self, want: usize) -> io::Result<Option<usize>> {
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

    /// Lets go of what was read and not taken, and of all permits.
    pub fn forget(&mut self) {
        self.buffer = BytesMut::new();
        self.let_go();
    }

    /// Gives back the permits for more than is in the buffer.
    pub fn give_back(&mut self) {
        self.grant.shrink(self.buffer.len());
    }

    /// Reads on and throws away, until the peer has closed its side or the time is over. Closing while bytes are unread
    /// would reset the connection, and the peer could lose acks that are on their way.
    pub async fn discard(&mut self, time: Duration) {
        self.forget();
        let mut buffer = vec![0; SMALL_READ];
        let discarding = async { while self.inner.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
        let _ = tokio::time::timeout(time, discarding).await;
    }

    /// Keeps no memory while nothing comes.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_is_left_behind_a_large_message_does_not_keep_its_memory() {
        let (mut peer, ours) = tokio::io::duplex(2 * limits::MIB);
        let mut reader = Reader::new(ours, Budget::new(16 * limits::MIB), BytesMut::new());
        peer.write_all(&vec![7; limits::MIB + 1]).await.unwrap();
        while reader.unread().len() <= limits::MIB {
            reader.read().await.unwrap();
        }
        drop(reader.take(limits::MIB));
        assert_eq!(reader.unread(), [7]);
        // What is still held would be used again for this.
        reader.buffer.reserve(768 * limits::KIB);
        assert!(reader.buffer.capacity() < 800 * limits::KIB, "{}", reader.buffer.capacity());
    }
}
