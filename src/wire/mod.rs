//! What Log Service and its clients put on the wire, as pure functions: LogGroup protobuf, compression, signatures,
//! error codes; and what collection agents say to a config server. Nothing here does I/O or knows the runtime, so every
//! part is fuzzed as it stands.

pub mod compress;
pub mod config_server;
pub mod errors;
pub mod json_logs;
pub mod log_entry;
pub mod loggroup;
pub mod protobuf;
pub mod query;
pub mod sign;
