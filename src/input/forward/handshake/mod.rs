//! The shared-key handshake: a peer proves that it knows a key before its first record is read.
//!
//! ```text
//! accept, TLS -> HELO ->                <- PING   check -> PONG true   -> the session, with what follows PING
//!                                                      `-> wait, PONG false, close
//! ```
//!
//! [`message`] and [`digest`] are pure; [`keys`] judges, [`failures`] remembers, [`serve`] is the server's side of a
//! connection and [`client`] the other one. Invariants: at most 4 KiB are read before a peer has proved itself; nonce and
//! salt are fresh for every connection, so a recorded PING is worthless; neither keys nor digests are logged. Who sends
//! nothing and closes is a heartbeat: Fluentd makes one a second. Source of the format: the forward protocol's
//! specification v1, and what Fluentd 1.19 and Fluent Bit 5.1 were seen to do.

pub mod client;
pub mod digest;
pub mod failures;
pub mod keys;
pub mod message;
mod serve;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use client::greet;
pub use failures::Failures;
pub use keys::{Accepted, Denied, KeyRing};
pub use serve::{HandshakeError, Peer, serve};
