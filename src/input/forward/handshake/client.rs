//! The client's side of the handshake, for `sluicegate send`.

use std::io;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::digest::{key_digest, password_digest, same};
use super::failures::shown;
use super::message::{BadMessage, HOSTNAME_BYTES, Helo, MESSAGE_BYTES, Parsed, Ping, Pong, USERNAME_BYTES};
use crate::base::secret::Secret;
use crate::record::msgpack::{Foreign, foreign};

/// What a client knows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// How it calls itself; at most 255 bytes.
    pub hostname: String,
    pub shared_key: Secret,
    /// Name, at most 255 bytes, and password.
    pub user: Option<(String, Secret)>,
}

/// A server that knows the key.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    pub hostname: String,
    /// False: it closes the connection after one message.
    pub keepalive: bool,
    /// What it sent behind its PONG.
    pub rest: BytesMut,
}

/// Why the server does not take us, or we do not take the server.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    #[error(
        "sent no {0} within {1:?}; a server without a shared key sends none, and a TLS server waits for TLS"
    )]
    Silent(&'static str, Duration),
    #[error("closed the connection without a HELO")]
    NoHelo,
    /// What Fluent Bit does with a wrong key.
    #[error(
        "closed the connection without an answer to PING, as some servers do when the shared key is wrong"
    )]
    NoPong,
    #[error("denies access: {0}")]
    Denied(String),
    #[error("could not prove that it knows the shared key; nothing was sent to it")]
    Impostor,
    #[error("sent no {0}: {1}")]
    Bad(&'static str, BadMessage),
    #[error("is no forward server: {0}")]
    Foreign(Foreign),
    #[error("cannot be told a {0} of more than 255 bytes")]
    TooLong(&'static str),
    #[error("was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("cannot be greeted, the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Proves to the server that we know the key, and has it prove the same. Sends nothing else. Each of its two messages may
/// take `patience`.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
    patience: Duration,
) -> Result<Server, GreetError> {
    let Identity { hostname, shared_key, user } = identity;
    if hostname.len() > HOSTNAME_BYTES {
        return Err(GreetError::TooLong("host name"));
    }
    if user.as_ref().is_some_and(|(name, _)| name.len() > USERNAME_BYTES) {
        return Err(GreetError::TooLong("user name"));
    }
    let mut buffer = BytesMut::new();
    let helo = read(stream, &mut buffer, patience, "HELO", Helo::parse).await?.ok_or(GreetError::NoHelo)?;
    let salt = salt()?;
    let key = shared_key.expose().as_bytes();
    let digest = key_digest(&salt, hostname.as_bytes(), &helo.nonce, key);
    // A server that sends no salt for passwords asks for none, and a digest without salt could be used again.
    let (username, password) = match user {
        Some((username, password)) if !helo.auth.is_empty() => {
            let digest = password_digest(&helo.auth, username.as_bytes(), password.expose().as_bytes());
            (username.as_bytes(), digest.to_vec())
        }
        // Fluentd and Fluent Bit send a digest of nothing here, too, and no server without users looks at it.
        None if !helo.auth.is_empty() => (&b""[..], password_digest(&helo.auth, b"", b"").to_vec()),
        _ => (&b""[..], Vec::new()),
    };
    let ping = Ping::encode(hostname.as_bytes(), &salt, &digest, username, &password);
    timeout(patience, async {
        stream.write_all(&ping).await?;
        stream.flush().await
    })
    .await
    .map_err(|_| GreetError::Silent("PONG", patience))??;
    let pong = read(stream, &mut buffer, patience, "PONG", Pong::parse).await?.ok_or(GreetError::NoPong)?;
    if !pong.ok {
        return Err(GreetError::Denied(shown(&pong.reason)));
    }
    let expected = key_digest(&salt, &pong.hostname, &helo.nonce, key);
    if !bool::from(same(&pong.key_digest, &expected)) {
        return Err(GreetError::Impostor);
    }
    Ok(Server { hostname: shown(&pong.hostname), keepalive: helo.keepalive, rest: buffer })
}

/// 32 hex characters: text, since some servers take no other salt.
fn salt() -> Result<[u8; 32], GreetError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(GreetError::Random)?;
    let mut salt = [0; 32];
    for (pair, byte) in salt.chunks_exact_mut(2).zip(random) {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default() as u8;
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    Ok(salt)
}

/// `None` when the server closed instead.
async fn read<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    buffer: &mut BytesMut,
    patience: Duration,
    name: &'static str,
    parse: impl Fn(&[u8]) -> Parsed<T>,
) -> Result<Option<T>, GreetError> {
    let reading = async {
        loop {
            if !buffer.is_empty() {
                if let Some(foreign) = foreign(buffer) {
                    return Err(GreetError::Foreign(foreign));
                }
                match parse(buffer) {
                    Parsed::Partial => {}
                    Parsed::Bad(bad) => return Err(GreetError::Bad(name, bad)),
                    Parsed::Done(message, length) => {
                        let _ = buffer.split_to(length);
                        return Ok(Some(message));
                    }
                }
            }
            let room = MESSAGE_BYTES - buffer.len().min(MESSAGE_BYTES);
            buffer.reserve(room.min(1024));
            match stream.read_buf(&mut (&mut *buffer).limit(room)).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    };
    timeout(patience, reading).await.map_err(|_| GreetError::Silent(name, patience))?
}
