//! What a log is here: records in a batch, their fields as spans into the received bytes, and the pure functions that
//! make spans out of MessagePack, JSON, numbers and times.

pub mod batch;
pub mod calendar;
pub mod digits;
pub mod json;
pub mod msgpack;
pub mod number;
pub mod strptime;
pub mod text;
pub mod time;

pub use batch::{Batch, Field, Record, Span};
pub use time::Timestamp;
