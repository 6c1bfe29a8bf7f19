//! Ground: what every room may use and what uses no room: bounds, metrics, back-off, quiet logging, private files, free
//! space, secrets, TLS, names of peers, the host's name, the clock of the store, one HTTP
//! connection, the signal to stop.

pub mod backoff;
pub mod clock;
pub mod disk;
pub mod file;
pub mod host;
pub mod http;
pub mod limits;
pub mod log_limit;
pub mod metrics;
pub mod resolver;
pub mod secret;
pub mod shutdown;
pub mod signal;
pub mod tls;
