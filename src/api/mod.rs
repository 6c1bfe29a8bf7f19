//! HTTP doors: the embedded Log Service in [`log_service`], on the accept loop of [`server`], which every HTTP port of
//! the gateway uses.

pub mod log_service;
pub mod operations;
pub mod server;
