//! (msgpack)
