//! (chunk)
