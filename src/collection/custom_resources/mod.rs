//! Custom resources of Kubernetes, `AliyunLogConfig` and `ClusterAliyunPipelineConfig`: as files, and from the API server.
//!
//! ```text
//! [directory]  *.yaml, *.yml, *.json, looked at again and again --.
//!                                                                 |--> [choice]: which are ours --> Found
//! [cluster]    list and watch of both kinds ----------------------'
//!    `-- [statuses]: what became of each is written back <-- outcomes
//! ```
//!
//! A resource is ours when it names no machine group or one of this gateway's user-defined ids. A gateway without any id is
//! what a DaemonSet has by default: it takes those of a cluster's default group, too.

mod choice;
pub mod cluster;
pub mod directory;
mod statuses;
#[cfg(test)]
mod tests;
