//! JSON, both ways: [`write`] makes it of what came as MessagePack, [`read`] makes spans of what came as JSON.

pub mod read;
pub(crate) mod scan;
pub mod write;

pub(crate) use read::unescape;
pub use read::{JsonError, ReadLimits, Value, read_object, read_value};
pub use write::{EVENT_TIME, append_json, append_text, event_time};
