//! What may be typed: every key, its type and its bounds. Absent keys stay absent; [`super::resolve`] fills them in.
//!
//! A key that is wrong is on the list of faults and then treated as absent, so that the rest is still looked at.

use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use super::leaf::Address;
use super::names::{is_logstore_name, is_project_name};
use super::pattern::Pattern;
use super::plan::{
    CloudPlan, Compression, Condition, LOCAL, Nil, OnFull, OutOfRange, SourceAddress, Step, Storage,
};
use super::reader::{Leaf, Table};
use super::template::Template;
use crate::base::limits::{DEPTH, KEY_BYTES, KIB, LOG_GROUP_BYTES, VALUE_BYTES};

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MOMENT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Offsets inside one frame have 31 bits; broken text takes three bytes for one when it is repaired.
const FRAME_BYTES: u64 = GIB / 2;

pub(super) struct Raw {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) inputs: Vec<RawInput>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) destinations: Vec<RawDestination>,
    pub(super) default_destination: Option<String>,
    pub(super) buffers: Vec<RawBuffer>,
    pub(super) nil: Option<Nil>,
    pub(super) out_of_range: Option<OutOfRange>,
    pub(super) journal: RawJournal,
    pub(super) limits: RawLimits,
    pub(super) log_service: RawLogService,
    pub(super) operations_listen: Option<Address>,
}

pub(super) struct RawInput {
    pub(super) name: String,
    pub(super) forward: RawForward,
}

#[derive(Default)]
pub(super) struct RawForward {
    pub(super) listen: Option<Vec<Address>>,
    pub(super) max_message: Option<u64>,
    pub(super) max_inflated: Option<u64>,
    pub(super) max_depth: Option<usize>,
    pub(super) max_connections: Option<usize>,
    pub(super) stall_timeout: Option<Duration>,
    pub(super) window: Option<u64>,
    pub(super) join_partial: Option<bool>,
    pub(super) join_timeout: Option<Duration>,
    pub(super) max_line: Option<u64>,
}

pub(super) struct RawRoute {
    /// The key's path, for faults found later.
    pub(super) path: String,
    /// Absent when it is faulty.
    pub(super) pattern: Option<Pattern>,
    /// Whether conditions were typed, right or wrong.
    pub(super) conditional: bool,
    pub(super) conditions: Vec<(String, Condition)>,
    pub(super) destination: Option<String>,
    pub(super) logstore: Option<Template>,
    pub(super) topic: Option<Template>,
    pub(super) processors: Vec<Step>,
}

#[derive(Default)]
pub(super) struct RawDestination {
    pub(super) name: String,
    pub(super) path: String,
    /// Absent for `local`, and when a required key is missing.
    pub(super) cloud: Option<RawCloud>,
    pub(super) topic: Option<Template>,
    pub(super) compression: Option<Compression>,
    pub(super) in_flight: Option<usize>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) batch_bytes: Option<u64>,
    pub(super) batch_age: Option<Duration>,
    pub(super) source: Option<SourceAddress>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) hostname_tag: Option<bool>,
    pub(super) receive_time_tag: Option<bool>,
    pub(super) buffer: Option<String>,
}

pub(super) struct RawCloud {
    pub(super) place: CloudPlan,
    pub(super) project: String,
    pub(super) logstore: String,
}

pub(super) struct RawBuffer {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) storage: Option<Storage>,
    pub(super) max_bytes: Option<u64>,
    pub(super) on_full: Option<OnFull>,
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
}

pub(super) fn read(mut root: Table<'_>) -> Raw {
    let raw = Raw {
        data_dir: root.take("data_dir").parsed("a path", absolute),
        inputs: root.take("inputs").named().into_iter().filter_map(input).collect(),
        routes: root.take("routes").list().into_iter().filter_map(route).collect(),
        destinations: root.take("destinations").named().into_iter().filter_map(destination).collect(),
        default_destination: root.take("default_destination").text(),
        buffers: root.take("buffers").named().into_iter().filter_map(buffer).collect(),
        nil: in_table(&mut root, "records", |table| {
            table.take("nil").choice(&[("empty", Nil::Empty), ("drop", Nil::Drop)])
        }),
        out_of_range: in_table(&mut root, "time", |table| {
            table.take("out_of_range").choice(&[("keep", OutOfRange::Keep), ("now", OutOfRange::Now)])
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
        }),
        operations_listen: in_table(&mut root, "operations", |table| table.take("listen").address()),
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

fn input((name, leaf): (String, Leaf<'_>)) -> Option<RawInput> {
    let mut table = leaf.table()?;
    let kind = table.take("type");
    let named_forward = name == "forward";
    let kind = if named_forward { kind } else { kind.required("write type: forward, the one type there is") };
    kind.choice(&[("forward", ())]);
    let forward = RawForward {
        listen: table.take("listen").addresses(),
        max_message: table.take("max_message").size(KIB as u64..=FRAME_BYTES),
        max_inflated: table.take("max_inflated").size(KIB as u64..=FRAME_BYTES),
        max_depth: table.take("max_depth").integer(4..=DEPTH),
        max_connections: table.take("max_connections").integer(1..=1_000_000),
        stall_timeout: table.take("stall_timeout").duration(MOMENT..=HOUR),
        window: table.take("window").size(KIB as u64..=GIB),
        join_partial: table.take("join_partial").boolean(),
        join_timeout: table.take("join_timeout").duration(MOMENT..=HOUR),
        max_line: table.take("max_line").size(KIB as u64..=VALUE_BYTES as u64),
    };
    table.finish();
    Some(RawInput { name, forward })
}

fn route(leaf: Leaf<'_>) -> Option<RawRoute> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    let when = table.take("when").entries();
    let route = RawRoute {
        path,
        conditional: !when.is_empty(),
        pattern: pattern(table.take("match")),
        conditions: when
            .into_iter()
            .filter_map(|(key, leaf)| Some((key, leaf.parsed("text or a /regex/", condition)?)))
            .collect(),
        destination: table.take("destination").text(),
        logstore: table.take("logstore").template(),
        topic: table.take("topic").template(),
        processors: table.take("processors").list().into_iter().filter_map(step).collect(),
    };
    table.finish();
    Some(route)
}

fn pattern(leaf: Leaf<'_>) -> Option<Pattern> {
    if leaf.is_present() { leaf.parsed("a tag pattern", Pattern::parse) } else { Some(Pattern::everything()) }
}

fn condition(text: &str) -> Result<Condition, String> {
    let Some(source) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) else {
        return Ok(Condition::Equals(text.to_owned()));
    };
    match Regex::new(source) {
        Ok(regex) => Ok(Condition::Regex(regex)),
        Err(error) => Err(format!("is not a regular expression: {}", last_line(&error.to_string()))),
    }
}

/// Syntax errors come as a drawing of several lines; the last one says what is wrong.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

fn step(leaf: Leaf<'_>) -> Option<Step> {
    let only_one = "is not a processor; write one of add, remove, rename";
    let (kind, value) = leaf.single(only_one)?;
    match kind.as_str() {
        "add" => {
            let fields = value.entries().into_iter();
            Some(Step::Add(
                fields.filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.template()?))).collect(),
            ))
        }
        "remove" => Some(Step::Remove(value.list().into_iter().filter_map(Leaf::text).collect())),
        "rename" => {
            let fields = value.entries().into_iter();
            let pair =
                |(from, leaf): (String, Leaf<'_>)| Some((from, leaf.parsed("a field's name", new_key)?));
            Some(Step::Rename(fields.filter_map(pair).collect()))
        }
        _ => {
            value.fault(only_one);
            None
        }
    }
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

fn destination((name, leaf): (String, Leaf<'_>)) -> Option<RawDestination> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    let destination = RawDestination {
        cloud: if name == LOCAL { embedded(&mut table) } else { cloud(&mut table) },
        name,
        path,
        topic: table.take("topic").template(),
        compression: table.take("compression").choice(&[
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
            ("none", Compression::None),
        ]),
        in_flight: table.take("in_flight").integer(1..=256),
        request_timeout: table.take("request_timeout").duration(MOMENT..=HOUR),
        batch_bytes: table.take("batch_bytes").size(KIB as u64..=LOG_GROUP_BYTES as u64),
        batch_age: table.take("batch_age").duration(MOMENT..=HOUR),
        source: table.take("source").choice(&[("peer", SourceAddress::Peer), ("host", SourceAddress::Host)]),
        tags: tags(table.take("tags")),
        hostname_tag: table.take("hostname_tag").boolean(),
        receive_time_tag: table.take("receive_time_tag").boolean(),
        buffer: table.take("buffer").text(),
    };
    table.finish();
    Some(destination)
}

fn tags(leaf: Leaf<'_>) -> Vec<(String, String)> {
    leaf.entries()
        .into_iter()
        .filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.text()?)))
        .collect()
}

fn cloud(table: &mut Table<'_>) -> Option<RawCloud> {
    let endpoint = table.take("endpoint").required("write https://cn-hangzhou.log.aliyuncs.com").endpoint();
    let connect = table.take("connect").address();
    let project =
        table.take("project").required("write the Log Service project").parsed("text", project_name);
    let logstore =
        table.take("logstore").required("write the logstore in that project").parsed("text", logstore_name);
    let id = table
        .take("access_key_id")
        .required("write access_key_id: ${env:ALIBABA_CLOUD_ACCESS_KEY_ID}")
        .parsed("text", not_empty);
    let secret = table
        .take("access_key_secret")
        .required("write access_key_secret: ${env:ALIBABA_CLOUD_ACCESS_KEY_SECRET}")
        .secret();
    let security_token = table.take("security_token").secret();
    let place = CloudPlan {
        endpoint: endpoint?,
        connect,
        access_key_id: id?,
        access_key_secret: secret?,
        security_token,
    };
    Some(RawCloud { place, project: project?, logstore: logstore? })
}

/// `local` has its place and its key from the embedded Log Service.
fn embedded(table: &mut Table<'_>) -> Option<RawCloud> {
    let own =
        "`local` is the embedded Log Service, which knows its own; give another destination another name";
    for key in ["endpoint", "connect", "access_key_id", "access_key_secret", "security_token"] {
        table.refuse(key, own);
    }
    table.refuse("project", "`local` is the embedded Log Service; set log_service.project");
    table.refuse("logstore", "`local` is the embedded Log Service; set log_service.logstore");
    None
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
