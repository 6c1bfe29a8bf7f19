//! (compress)
pub mod body;
pub mod chunk;
