//! Ground: what every room may use and what uses no room: bounds, metrics, back-off, clocks, quiet logging, shutdown.

pub mod backoff;
pub mod host;
pub mod limits;
pub mod log_limit;
pub mod metrics;
pub mod secret;
