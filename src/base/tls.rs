//! TLS: the only room that knows rustls.
//!
//! A server side that reloads its files while connections go on ([`ServerTls`]), a client side for `sluicegate send`
//! ([`ClientTls`]), and the names in certificates ([`names`]). The cryptography is aws-lc-rs, named wherever one is asked
//! for: no process-wide default is assumed or set. TLS 1.2 and 1.3, no ALPN, no early data.
//!
//! What it refuses: a key with a passphrase (there is nobody to type it), a key that does not belong to its certificate,
//! files above [`FILE_BYTES`].

mod client;
mod fault;
pub mod names;
mod pem;
mod plan;
mod server;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use client::ClientTls;
pub use fault::{Fault, certificate_fault};
pub use plan::{ClientAuth, TlsPlan, TlsVersion};
pub use server::{Accepted, Reload, ServerStream, ServerTls};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// A certificate, key or CA file is never near this; a device or a log file given by mistake would be.
const FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Why TLS cannot be set up: always a file or a setting of ours, never a peer.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "{}: cannot be read: {error}; correct the path, or let the user that runs this program read it",
        path.display()
    )]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: is larger than {} MiB, so it is no PEM file; correct the path", path.display(), FILE_BYTES >> 20)]
    TooLarge { path: PathBuf },
    #[error("{}: is no valid PEM file: {reason}; it may be half written", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error(
        "{}: has no certificate in it; it needs at least one block -----BEGIN CERTIFICATE-----",
        path.display()
    )]
    NoCertificate { path: PathBuf },
    #[error("{}: has no private key in it; it needs a block -----BEGIN PRIVATE KEY-----", path.display())]
    NoKey { path: PathBuf },
    #[error(
        "{}: the private key has a passphrase; write one without, such as by `openssl pkey -in FILE -out NEW`, and keep it \
         readable for its owner alone",
        path.display()
    )]
    EncryptedKey { path: PathBuf },
    #[error("{}: the private key cannot be used: {reason}", path.display())]
    BadKey { path: PathBuf, reason: rustls::Error },
    #[error("{}: the certificate cannot be used: {reason}", path.display())]
    BadCertificate { path: PathBuf, reason: String },
    #[error(
        "{} does not belong to the certificate in {}; give the key it was issued for, and the server's own certificate \
         first in its file",
        key.display(),
        certificate.display()
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("client certificates are asked for without a CA to check them by; set client_ca")]
    NoClientCa,
    #[error("{0:?} is no name a server's certificate could carry; give a host name or an IP address")]
    ServerName(String),
    #[error("the roots that this machine trusts cannot be used: {0}; give a file of CA certificates instead")]
    Roots(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
