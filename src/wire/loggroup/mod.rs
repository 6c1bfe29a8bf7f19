//! (loggroup)
pub mod encode;
pub mod walk;
