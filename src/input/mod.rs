//! (input)
