//! Files up to the Log Service: what applications write, a sidecar's and a node's way to read it, and what becomes of it
//! when something stops, is killed, is full or is refused.

mod formats;
mod full;
mod many;
mod pods;
mod program;
mod restarts;
mod sidecar;
mod tenants;
pub mod volume;
