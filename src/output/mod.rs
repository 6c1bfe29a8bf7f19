//! Shipping: what is stored for a destination becomes LogGroups, which are sealed, sent by PutLogs, and settled.
//!
//! ```text
//! journal queue -> lease -> coalesce -> seal -> concatenate, compress, sign -> PutLogs -> judge -> settle
//!                                                          ^                                |
//!                                                          `---- retry, split, halve <------'
//! ```
//!
//! The embedded Log Service is no special case: it is spoken to over HTTP like the cloud.

pub mod calls;
pub mod client;
pub mod coalesce;
pub mod concurrency;
pub mod credentials;
pub mod deliver;
pub mod ensure;
pub mod rate;
pub mod refused;
pub mod sender;
pub mod shard_key;
#[cfg(test)]
pub(crate) mod testing;

pub use client::Client;
pub use sender::{Outbox, Sender};
