//! The API server of Kubernetes: what a client asks it, and what it says unasked.
//!
//! ```text
//! [kind]    which resources there are, and their paths     /apis/GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL[/NAME]
//! [client]  get, list in pages, patch of a status, server-side apply, delete
//! [follow]  list once, then watch: all, and every change of it
//! [error]   what went wrong; of what is forbidden, which verb of which resource
//! ```
//!
//! HTTPS alone, with the CA and the token of a service account. Whoever asks bounds what an answer may be; a watch bounds its
//! lines. Nothing here retries but [`follow`], which goes on for ever.
//!
//! Source: the Kubernetes API reference, "Kubernetes API Concepts", "Accessing the API from a Pod".

mod client;
mod error;
mod follow;
mod kind;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use client::{Access, Client, FIELD_MANAGER, Page};
pub use error::ApiError;
pub use follow::{Change, Manners, follow};
pub use kind::{Kind, Unknown};
