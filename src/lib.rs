//! Sluicegate, a forwarding gateway for logs.
//!
//! Docker's log drivers, Fluent Bit, Fluentd, every fluent-logger, syslog, GELF and Splunk's collector send to it, and it
//! reads the files of Docker's own drivers; it stores what it acknowledges and ships it to Alibaba Cloud Log Service, or to
//! the Log Service it carries inside.
//!
//! ```text
//! socket, FIFO, file -> input -> Batch -> pipeline -> Fragment -> journal -> output -> PutLogs -> Log Service
//!                         ^                                          |                            (cloud, or embedded)
//!                         `------------ receipt: stored -------------'
//! ```
//!
//! The house, from the roof down; a room uses only what lies below it:
//!
//! ```text
//! roof     main  cli  app            wiring only
//! doors    input  collection  api    bytes come in | what is to be collected | HTTP of the embedded Log Service, and operations
//! rooms    pipeline  store  output  cluster   transform | keep here | ship | ask Kubernetes
//! cellar   journal                   durable bytes; knows no logs
//! coins    record  wire              pure functions: no I/O, no runtime
//! ground   config  base
//! ```
//!
//! Reading order for a newcomer: [`record`] (what a log is here), [`input`] (how it comes in), [`pipeline`] (what
//! happens to it), [`journal`] (where it is safe), [`output`] (how it leaves), [`app`] (how all is put together).

pub mod api;
pub mod app;
pub mod base;
pub mod cli;
pub mod cluster;
pub mod collection;
pub mod config;
pub mod input;
pub mod journal;
pub mod output;
pub mod pipeline;
pub mod record;
pub mod store;
pub mod wire;
