//! (encode)
