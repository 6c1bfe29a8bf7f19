//! What may be typed: every key, its type and its bounds. Absent keys stay absent; [`super::resolve`] fills them in.
//!
//! A key that is wrong is on the list of faults and then treated as absent, so that the rest is still looked at. What
//! can be judged within one section (`tls`, `security`) is judged where it is read, since only there it is known
//! whether a key is absent or wrong.

mod agent;
mod collection;
mod connections;
mod credentials;
mod destination;
mod docker;
mod file;
mod forward;
mod gelf;
mod input;
mod kubernetes;
mod listen;
mod parse;
mod route;
mod security;
mod splunk;
mod steps;
mod syslog;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use agent::RawAgent;
pub(super) use collection::RawCollection;
pub(super) use connections::{RawConnections, RawJoin, RawUnix};
pub(super) use destination::RawDestination;
pub(super) use docker::{RawDocker, RawDockerPlugin};
pub(super) use file::RawFile;
pub(super) use forward::{CLIENT, RawForward};
pub(super) use gelf::RawGelf;
pub(super) use input::{RawInput, RawKeys};
pub(super) use route::RawRoute;
pub(super) use splunk::RawSplunk;
pub(super) use syslog::RawSyslog;

use super::leaf::Address;
use super::linear_regex::LinearRegex;
use super::names::{is_logstore_name, is_project_name};
use super::plan::{LOCAL_ZONE, Nil, OnFull, OutOfRange, Storage, StoreFull, time_zone};
use super::reader::{Leaf, Table};
use crate::base::limits::{KEY_BYTES, KIB, MIB};

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MOMENT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) struct Raw {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) inputs: Vec<RawInput>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) destinations: Vec<RawDestination>,
    pub(super) default_destination: Option<String>,
    pub(super) buffers: Vec<RawBuffer>,
    pub(super) nil: Option<Nil>,
    pub(super) out_of_range: Option<OutOfRange>,
    pub(super) duplicates: RawDuplicates,
    pub(super) journal: RawJournal,
    pub(super) limits: RawLimits,
    pub(super) log_service: RawLogService,
    pub(super) operations_listen: Option<Address>,
    pub(super) agent: RawAgent,
    pub(super) collection: Option<RawCollection>,
}

pub(super) struct RawBuffer {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) storage: Option<Storage>,
    pub(super) max_bytes: Option<u64>,
    pub(super) on_full: Option<OnFull>,
}

pub(super) struct RawDuplicates {
    pub(super) window: Option<Duration>,
    pub(super) max_bytes: Option<u64>,
}

pub(super) struct RawJournal {
    pub(super) max_bytes: Option<u64>,
    pub(super) segment_bytes: Option<u64>,
    pub(super) fresh_bytes: Option<u64>,
}

pub(super) struct RawLimits {
    pub(super) byte_budget: Option<u64>,
    pub(super) dead_letter_bytes: Option<u64>,
    pub(super) stop_deadline: Option<Duration>,
}

pub(super) struct RawLogService {
    /// Absent: on when no destination is configured.
    pub(super) enabled: Option<bool>,
    pub(super) listen: Option<Address>,
    pub(super) project: Option<String>,
    pub(super) logstore: Option<String>,
    pub(super) max_bytes: Option<u64>,
    pub(super) on_full: Option<StoreFull>,
}

pub(super) fn read(mut root: Table<'_>) -> Raw {
    let raw = Raw {
        data_dir: root.take("data_dir").parsed("a path", absolute),
        inputs: root.take("inputs").named().into_iter().filter_map(input::input).collect(),
        routes: root.take("routes").list().into_iter().filter_map(route::route).collect(),
        destinations: root
            .take("destinations")
            .named()
            .into_iter()
            .filter_map(destination::destination)
            .collect(),
        default_destination: root.take("default_destination").text(),
        buffers: root.take("buffers").named().into_iter().filter_map(buffer).collect(),
        nil: in_table(&mut root, "records", |table| {
            table.take("nil").choice(&[("empty", Nil::Empty), ("drop", Nil::Drop)])
        }),
        out_of_range: in_table(&mut root, "time", |table| {
            table.take("out_of_range").choice(&[("keep", OutOfRange::Keep), ("now", OutOfRange::Now)])
        }),
        duplicates: in_table(&mut root, "duplicates", |table| RawDuplicates {
            window: table.take("window").duration(Duration::ZERO..=24 * HOUR),
            max_bytes: table.take("max_bytes").size(64 * KIB as u64..=GIB),
        }),
        journal: in_table(&mut root, "journal", |table| RawJournal {
            max_bytes: table.take("max_bytes").size(2 * 64 * 1024..=1024 * TIB),
            segment_bytes: table.take("segment_bytes").size(64 * 1024..=4 * GIB),
            fresh_bytes: table.take("fresh_bytes").size(0..=64 * GIB),
        }),
        limits: in_table(&mut root, "limits", |table| RawLimits {
            byte_budget: table.take("byte_budget").size(KIB as u64..=64 * GIB),
            dead_letter_bytes: table.take("dead_letter_bytes").size(0..=TIB),
            stop_deadline: table.take("stop_deadline").duration(Duration::ZERO..=HOUR),
        }),
        log_service: in_table(&mut root, "log_service", |table| RawLogService {
            enabled: table
                .take("enabled")
                .choice(&[("auto", None), ("true", Some(true)), ("false", Some(false))])
                .flatten(),
            listen: table.take("listen").address(),
            project: table.take("project").parsed("text", project_name),
            logstore: table.take("logstore").parsed("text", logstore_name),
            max_bytes: table.take("max_bytes").size(64 * MIB as u64..=1024 * TIB),
            on_full: table
                .take("on_full")
                .choice(&[("refuse", StoreFull::Refuse), ("drop_oldest", StoreFull::DropOldest)]),
        }),
        operations_listen: in_table(&mut root, "operations", |table| table.take("listen").address()),
        agent: in_table(&mut root, "agent", agent::agent),
        collection: collection::collection(root.take("collection")),
    };
    root.finish();
    raw
}

fn in_table<'c, T>(root: &mut Table<'c>, key: &'static str, read: impl FnOnce(&mut Table<'c>) -> T) -> T {
    let mut table = root.take_table(key);
    let value = read(&mut table);
    table.finish();
    value
}

fn field_key(key: String, leaf: &Leaf<'_>) -> Option<String> {
    new_key(&key).map_err(|what| leaf.fault(what)).ok()
}

fn new_key(key: &str) -> Result<String, String> {
    if (1..=KEY_BYTES).contains(&key.len()) {
        Ok(key.to_owned())
    } else {
        Err(format!("is no name for a field; Log Service takes 1 to {KEY_BYTES} bytes"))
    }
}

/// A regular expression, with slashes around it or without.
fn regex(text: &str) -> Result<LinearRegex, String> {
    let bare = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).unwrap_or(text);
    if bare.is_empty() { Err("is empty".to_owned()) } else { LinearRegex::parse(bare) }
}

fn known_zone(text: &str) -> Result<String, String> {
    if time_zone(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is no time zone that this machine knows; write {LOCAL_ZONE}, UTC or a name such as Asia/Shanghai, which the \
         system's tzdata has"
    ))
}

fn buffer((name, leaf): (String, Leaf<'_>)) -> Option<RawBuffer> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    let buffer = RawBuffer {
        name,
        path,
        storage: table.take("storage").choice(&[("disk", Storage::Disk), ("memory", Storage::Memory)]),
        max_bytes: table.take("max_bytes").size(64 * 1024..=1024 * TIB),
        on_full: table
            .take("on_full")
            .choice(&[("block", OnFull::Block), ("evict_oldest", OnFull::EvictOldest)]),
    };
    table.finish();
    Some(buffer)
}

/// An absolute path; `example` is what is told to write instead.
fn parsed_path(leaf: Leaf<'_>, example: &str) -> Option<PathBuf> {
    leaf.parsed("a path", |text| {
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(path) } else { Err(format!("is not an absolute path; write {example}")) }
    })
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("is not an absolute path; write /var/lib/sluicegate".to_owned())
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn project_name(text: &str) -> Result<String, String> {
    if is_project_name(text) {
        Ok(text.to_owned())
    } else {
        Err("is no project name; Log Service takes 3 to 63 of a-z, 0-9 and -, a letter or digit at both ends"
            .to_owned())
    }
}

pub(super) fn logstore_name(text: &str) -> Result<String, String> {
    if is_logstore_name(text) {
        Ok(text.to_owned())
    } else {
        Err("is no logstore name; Log Service takes 3 to 63 of a-z, 0-9, - and _, a letter or digit at both ends".to_owned())
    }
}
