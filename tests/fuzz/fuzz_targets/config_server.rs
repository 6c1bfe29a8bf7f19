//! What an agent or a config server says, of any bytes: refused or read, and then written so that it is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::wire::config_server::{FetchRequest, FetchResponse, HeartbeatRequest, HeartbeatResponse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = HeartbeatRequest::decode(bytes) {
        assert_eq!(HeartbeatRequest::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = HeartbeatResponse::decode(bytes) {
        assert_eq!(HeartbeatResponse::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = FetchRequest::decode(bytes) {
        assert_eq!(FetchRequest::decode(&read.encode()), Ok(read));
    }
    if let Ok(read) = FetchResponse::decode(bytes) {
        assert_eq!(FetchResponse::decode(&read.encode()), Ok(read));
    }
});
