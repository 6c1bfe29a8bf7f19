//! (body)
