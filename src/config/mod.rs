//! Configuration: read twice, as typed and then as used.
//!
//! ```text
//! file, environment -> source (one tree, who set what) -> reader, raw (typed leaves, every fault kept)
//!                                                            -> resolve (defaults, cross-checks) -> Plan
//! ```
//!
//! Nothing after start-up sees the typed form. All faults are reported together, each with the path of its key (or
//! the variable that set it) and what would be right. Values stay text until a leaf types them, so that a password
//! `0123` never becomes 123. Secrets come from `${env:NAME}` or `${file:/path}` and are never printed.
//!
//! Reading order: [`plan`] (what the program uses), `raw` (what may be typed), [`load()`] (how one becomes the other).

pub mod collected;
pub mod data_dir;
pub mod docker_tag;
pub mod endpoint;
pub mod leaf;
pub mod linear_regex;
pub mod log_format;
pub mod names;
pub mod path_pattern;
pub mod pattern;
pub mod plan;
pub mod regex_groups;
pub mod strptime;
pub mod template;

mod errors;
mod load;
mod logtail_env;
mod placeholder;
mod print;
mod raw;
mod reader;
mod resolve;
mod source;
#[cfg(test)]
mod tests;
mod yaml_fault;

pub use errors::{ConfigErrors, Fault, Place};
pub use load::{Flags, load};
pub use plan::Plan;
