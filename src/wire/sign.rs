//! (sign)
