//! The plan of an input that reads files: which ones, how their bytes become records, and what the records are told of.

use std::time::Duration;

use super::{JoinPlan, Step};
use crate::config::linear_regex::LinearRegex;
use crate::config::path_pattern::PathPattern;

#[derive(Clone, Debug, PartialEq)]
pub struct FilePlan {
    /// At least one.
    pub paths: Vec<PathPattern>,
    pub exclude: Vec<PathPattern>,
    /// Directories that `**` goes down at most.
    pub max_depth: usize,
    /// Where a file begins that is there at the very first start. Later ones are read from their beginning.
    pub start: FileStart,
    /// How often directories and files are looked at, beside what the kernel tells.
    pub scan_interval: Duration,
    pub charset: Charset,
    pub format: FileFormat,
    /// Absent: each line is a record.
    pub multiline: Option<MultilinePlan>,
    /// Bytes of one record's text; of a longer one the beginning is kept and marked.
    pub max_line: usize,
    /// A last line without a line feed becomes a record when nothing follows it for so long.
    pub flush_timeout: Duration,
    /// At a stop, files are read on for so long, for what an application writes that stops at the same time.
    pub stop_delay: Duration,
    /// Bytes that all files of the input may bring in a second.
    pub rate_limit: Option<u64>,
    /// Instead of `file.<input>`.
    pub tag: Option<String>,
    /// What this takes of a file's path is the tag of its records, and tags of their LogGroups. Only what is collected for
    /// others has it.
    pub path_topic: Option<LinearRegex>,
    /// The field that gets a line's text.
    pub key: String,
    /// Field that gets the place of a record's first byte in its file.
    pub offset_key: Option<String>,
    /// Constant tags of every LogGroup, by key, beside `__path__`.
    pub tags: Vec<(String, String)>,
    /// What is done with each record before it is routed.
    pub processors: Vec<Step>,
    /// Pieces of the formats that cut lines.
    pub join: JoinPlan,
    /// What a file's path tells of a Pod. Absent: nothing.
    pub kubernetes: Option<KubernetesPlan>,
}

/// Where a file is read from that nothing is known about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStart {
    Beginning,
    End,
    /// As Logtail begins: of a larger file only the last so many bytes, from the next line's beginning on.
    Tail(u64),
}

/// How a file's text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Gbk,
    Gb18030,
    /// Its byte order mark says which; without one little end first.
    Utf16,
    Utf16Le,
    Utf16Be,
}

/// What a line of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Text.
    Lines,
    /// `<time> <stream> <P|F> <text>`, as containerd and CRI-O write it; pieces are joined.
    Cri,
    /// An object with log, stream and time, as Docker's json-file driver writes it; pieces are joined.
    DockerJson,
    /// One of the two above, as each file's first line says.
    Container,
}

/// Which lines are one record. A pattern is looked for from the line's first byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultilinePlan {
    /// Begins a record.
    pub start: Option<LinearRegex>,
    /// Goes on with one.
    pub continues: Option<LinearRegex>,
    /// Is the last line of one.
    pub end: Option<LinearRegex>,
    /// Lines outside of any record: true keeps each as a record, false drops and counts it.
    pub keep_unmatched: bool,
    /// A record that nothing follows for so long is complete.
    pub timeout: Duration,
}

/// What is taken of the Pods of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesPlan {
    /// Patterns of whole names; empty takes all.
    pub namespaces: NameFilter,
    pub pods: NameFilter,
    pub containers: NameFilter,
    /// Labels of the Pod that must have these values; asks the API server.
    pub labels: Vec<(String, String)>,
    /// Tags from the API server: node, image, labels. Absent: it is not asked.
    pub api: Option<KubernetesApiPlan>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    pub include: Vec<LinearRegex>,
    pub exclude: Vec<LinearRegex>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesApiPlan {
    /// `https://host:port`.
    pub server: String,
    /// The node whose Pods are asked for together at the start. Absent: each is asked for when a file of it is met.
    pub node: Option<String>,
    pub token_file: std::path::PathBuf,
    pub ca_file: std::path::PathBuf,
    /// Labels that become tags of their own names; empty takes all.
    pub labels: Vec<String>,
    /// Records wait so long for the answer about a new Pod, and then go without it.
    pub patience: Duration,
}
