//! What Log Service and its clients put on the wire, as pure functions: LogGroup protobuf, compression, signatures,
//! error codes. Nothing here does I/O or knows the runtime, so every part is fuzzed as it stands.

pub mod compress;
pub mod errors;
pub mod json_logs;
pub mod log_entry;
pub mod loggroup;
pub mod protobuf;
pub mod query;
pub mod sign;
