//! (input)
pub mod forward;
