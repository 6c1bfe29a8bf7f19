//! The fluent forward protocol: what Docker's fluentd driver, Fluent Bit, Fluentd and the fluent-logger clients speak.

pub mod entries;
pub mod message;
pub mod signal;
pub mod tally;
