//! Forward messages as JSON: what golang's `MarshalAsJSON`, fluent-logger-php and scripts with a socket send.
//!
//! ```text
//! ["app.log", 1441588984, {"m":"foo"}]["app.log", [[1441588984, {"m":"a"}]], {"chunk":"c1"}]
//! ^ a text                            ^ the next: adjacent, or behind white space, cut anywhere by reads
//! ```
//!
//! The first byte of a connection decides (Fluentd's rule): `[` and `{` are small integers in MessagePack, with which no
//! message begins. From then on all of the connection is JSON, and so are its acks. A [`Framer`] finds where a text
//! ends, [`transcode`] turns it into the MessagePack message of the same shape, and one decoder serves both. A text
//! that is no array becomes a frame that is no array, which costs the connection like any other.

mod framer;
mod transcode;

pub use framer::{Cut, FrameError, Framer};
pub use transcode::{TranscodeError, transcode};

/// Whether a connection whose first bytes are these speaks JSON. On a connection with a shared key it may not.
pub fn begins(first: &[u8]) -> bool {
    matches!(first.first(), Some(b'[' | b'{'))
}
