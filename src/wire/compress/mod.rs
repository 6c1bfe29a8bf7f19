//! Compression of what crosses the wire. Every decompressor of the gateway lives here, because each of them is capped:
//! [`body`] for bodies of Log Service requests and answers, whose size is declared; [`chunk`] for chunks of the forward
//! protocol, whose size nobody tells; [`packet`] for datagrams that are a stream each.

pub mod body;
pub mod chunk;
pub mod packet;

pub use body::{BodyError, Kind, compress, decompress};
