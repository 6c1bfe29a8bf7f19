//! Delivering a message: on the connection there is or on a new one, until it is acknowledged or trying again is no use.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::answer::{ANSWER_BYTES, Answer};
use super::complain;
use super::connect::{Connection, Target, tls_trouble};
use super::message::{Batch, Format};
use crate::base::backoff::Backoff;

/// Between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A server may take so long to close, once it has everything.
const LINGER: Duration = Duration::from_secs(2);

/// Why a message is not delivered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Another try may help.
    #[error("{0}")]
    Passing(String),
    /// The server closed where it owed an answer, as one does that was spoken to in plain and speaks TLS.
    #[error("{0}")]
    Closed(String),
    /// It will be so the next time.
    #[error("{0}")]
    Lasting(String),
}

pub(super) struct Delivery {
    target: Target,
    format: Format,
    /// How long to wait for acks; without, none are asked for.
    ack: Option<Duration>,
    retries: u32,
    connection: Option<Connection>,
}

impl Delivery {
    pub(super) fn new(target: Target, format: Format, ack: Option<Duration>, retries: u32) -> Delivery {
        Delivery { target, format, ack, retries, connection: None }
    }

    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// Returns when the batch is acknowledged, or written where no acks are asked for.
    pub(super) async fn deliver(&mut self, batch: &Batch) -> Result<()> {
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).context("the system gives no random bytes")?;
        let chunk = STANDARD.encode(id);
        let message = self.format.encode(batch, self.ack.map(|_| chunk.as_str()))?;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let trouble = match self.attempt(&message, &chunk).await {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            self.connection = None;
            let last = backoff.tries() >= self.retries;
            if last && matches!(trouble, Trouble::Closed(_)) && self.target.is_tls_server().await {
                return Err(Answer::Tls.judge(&self.target.to, b"").err().unwrap_or(trouble).into());
            }
            if last || matches!(trouble, Trouble::Lasting(_)) {
                return Err(trouble.into());
            }
            let wait = backoff.next_wait();
            complain(&format!(
                "{trouble}; trying again in {:.1} s ({} of {})",
                wait.as_secs_f64(),
                backoff.tries(),
                self.retries
            ));
            sleep(wait).await;
        }
    }

    async fn attempt(&mut self, message: &[u8], chunk: &str) -> Result<(), Trouble> {
        let to = self.target.to.as_str();
        if let Some(connection) = &mut self.connection
            && is_stale(connection, to).await?
        {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.target.connect().await?),
        };
        let write = async {
            connection.stream.write_all(message).await?;
            connection.stream.flush().await
        };
        let written = match self.ack {
            Some(patience) => timeout(patience, write).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "it does not take what it is sent"))
            }),
            None => write.await,
        };
        match (self.ack, written) {
            (Some(patience), Ok(())) => read_ack(connection, to, chunk, patience).await?,
            (None, Ok(())) => {}
            (_, Err(error)) => return Err(write_trouble(connection, to, error).await),
        }
        if !connection.keepalive {
            self.close().await?;
        }
        Ok(())
    }

    /// Ends the last connection in order: what is written reaches the server.
    pub(super) async fn finish(&mut self) -> Result<()> {
        Ok(self.close().await?)
    }

    async fn close(&mut self) -> Result<(), Trouble> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        let shutdown = timeout(LINGER, connection.stream.shutdown()).await;
        if self.ack.is_some() {
            return Ok(());
        }
        let end = timeout(LINGER, async {
            shutdown.unwrap_or(Ok(()))?;
            // What is unread here at the close would make the kernel drop what the server has not read.
            while !connection.unread.is_empty() || fill(&mut connection).await? > 0 {
                if let Some((answer, _)) = Answer::parse(&connection.unread) {
                    return Ok(Some(answer));
                }
                connection.unread.clear();
            }
            io::Result::Ok(None)
        });
        match end.await {
            Ok(Ok(Some(answer))) => answer.judge(&self.target.to, b""),
            Ok(Err(error)) => Err(tls_trouble(&self.target.to, &error).unwrap_or_else(|| {
                Trouble::Passing(format!("{} may not have taken everything: {error}", self.target.to))
            })),
            _ => Ok(()),
        }
    }
}

/// Whether an idle connection has been closed, or is of no more use: nobody says anything on it unasked.
async fn is_stale(connection: &mut Connection, to: &str) -> Result<bool, Trouble> {
    match timeout(Duration::ZERO, fill(connection)).await {
        Err(_) if connection.unread.is_empty() => Ok(false),
        Ok(Err(error)) => tls_trouble(to, &error).map_or(Ok(true), Err),
        Ok(Ok(0)) => Ok(true),
        _ => match Answer::parse(&connection.unread) {
            Some((answer @ (Answer::Handshake | Answer::Tls | Answer::Other(_)), _)) => {
                answer.judge(to, b"").map(|()| true)
            }
            _ => Ok(true),
        },
    }
}

async fn read_ack(
    connection: &mut Connection,
    to: &str,
    chunk: &str,
    patience: Duration,
) -> Result<(), Trouble> {
    let answer = timeout(patience, async {
        loop {
            if let Some((answer, length)) = Answer::parse(&connection.unread) {
                let _ = connection.unread.split_to(length);
                return Ok(Some(answer));
            }
            if fill(connection).await? == 0 {
                return io::Result::Ok(None);
            }
        }
    });
    match answer.await {
        Ok(Ok(Some(answer))) => answer.judge(to, chunk.as_bytes()),
        Ok(Ok(None)) => {
            Err(Trouble::Closed(unacknowledged(to, "it closed the connection; its log may say why")))
        }
        Ok(Err(error)) => Err(tls_trouble(to, &error)
            .unwrap_or_else(|| Trouble::Closed(unacknowledged(to, &error.to_string())))),
        Err(_) => {
            let patience = crate::config::leaf::duration_text(patience);
            Err(Trouble::Passing(unacknowledged(to, &format!("it sent none within {patience}"))))
        }
    }
}

fn unacknowledged(to: &str, why: &str) -> String {
    format!("no ack from {to}, the records may not be stored: {why}")
}

/// A server that closes in the middle of a message may have said why.
async fn write_trouble(connection: &mut Connection, to: &str, error: io::Error) -> Trouble {
    if let Some(trouble) = tls_trouble(to, &error) {
        return trouble;
    }
    let said = timeout(LINGER, async {
        while Answer::parse(&connection.unread).is_none() && fill(connection).await.unwrap_or(0) > 0 {}
        Answer::parse(&connection.unread)
    });
    match said.await {
        Ok(Some((answer @ (Answer::Handshake | Answer::Tls | Answer::Other(_)), _))) => {
            match answer.judge(to, b"") {
                Err(trouble) => trouble,
                Ok(()) => Trouble::Passing(unacknowledged(to, &error.to_string())),
            }
        }
        _ => Trouble::Closed(format!("{to} closed the connection before it had everything: {error}")),
    }
}

/// Reads what is there, up to the bound of an answer.
async fn fill(connection: &mut Connection) -> io::Result<usize> {
    let room = ANSWER_BYTES - connection.unread.len().min(ANSWER_BYTES);
    let unread: &mut BytesMut = &mut connection.unread;
    unread.reserve(room.min(512));
    connection.stream.read_buf(&mut unread.limit(room)).await
}
