//! An input that reads files, as typed.

use std::time::Duration;

use super::connections::tag;
use super::kubernetes::kubernetes;
use super::steps::steps;
use super::{HOUR, MOMENT, TIB, field_key, new_key, regex};
use crate::base::limits::{KIB, MIB, VALUE_BYTES};
use crate::config::path_pattern::PathPattern;
use crate::config::plan::{Charset, FileFormat, FileStart, KubernetesPlan, MultilinePlan, Step};
use crate::config::reader::{Leaf, Table};

/// A directory of some hundred files is read in less.
const SCAN: Duration = Duration::from_millis(10);
/// As Logtail bounds its own.
const DEPTH: usize = 1_000;
/// Logtail's bytes of a large file that is seen for the first time.
const TAIL: u64 = MIB as u64;
/// How long the lines of one record may be apart: as for pieces of a line.
const MULTILINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Tags that every LogGroup has from the gateway itself.
const OWN_TAGS: [&str; 2] = ["__path__", "__pack_id__"];

#[derive(Default)]
pub(in crate::config) struct RawFile {
    pub(in crate::config) paths: Option<Vec<PathPattern>>,
    pub(in crate::config) exclude: Option<Vec<PathPattern>>,
    pub(in crate::config) max_depth: Option<usize>,
    pub(in crate::config) start: Option<FileStart>,
    pub(in crate::config) scan_interval: Option<Duration>,
    pub(in crate::config) charset: Option<Charset>,
    pub(in crate::config) format: Option<FileFormat>,
    pub(in crate::config) multiline: Option<MultilinePlan>,
    pub(in crate::config) max_line: Option<u64>,
    pub(in crate::config) flush_timeout: Option<Duration>,
    pub(in crate::config) stop_delay: Option<Duration>,
    pub(in crate::config) rate_limit: Option<u64>,
    pub(in crate::config) tag: Option<String>,
    pub(in crate::config) key: Option<String>,
    pub(in crate::config) offset_key: Option<String>,
    pub(in crate::config) tags: Vec<(String, String)>,
    pub(in crate::config) processors: Vec<Step>,
    pub(in crate::config) join_partial: Option<bool>,
    pub(in crate::config) join_timeout: Option<Duration>,
    pub(in crate::config) kubernetes: Option<KubernetesPlan>,
}

pub(super) fn file(table: &mut Table<'_>) -> RawFile {
    let paths = table.take("paths").required("write the files' paths, such as /var/log/app/*.log");
    let paths = patterns(paths);
    let exclude = table.take("exclude");
    let exclude = if exclude.is_empty() { None } else { patterns(exclude) };
    let max_depth = table.take("max_depth").integer(0..=DEPTH);
    let start = start(table);
    let scan_interval = table.take("scan_interval").duration(SCAN..=HOUR);
    let charset = table.take("charset").choice(&[
        ("utf-8", Charset::Utf8),
        ("gbk", Charset::Gbk),
        ("gb18030", Charset::Gb18030),
        ("utf-16", Charset::Utf16),
        ("utf-16le", Charset::Utf16Le),
        ("utf-16be", Charset::Utf16Be),
    ]);
    let format = table.take("format").choice(&[
        ("lines", FileFormat::Lines),
        ("cri", FileFormat::Cri),
        ("docker", FileFormat::DockerJson),
        ("container", FileFormat::Container),
    ]);
    if format.is_some_and(|format| format != FileFormat::Lines) {
        lines_alone(table, charset);
    }
    let multiline = multiline(table.take("multiline"));
    let max_line = table.take("max_line").size(KIB as u64..=VALUE_BYTES as u64);
    let flush_timeout = table.take("flush_timeout").duration(MOMENT..=24 * HOUR);
    let stop_delay = table.take("stop_delay").duration(Duration::ZERO..=HOUR);
    let rate_limit = table.take("rate_limit").size(KIB as u64..=TIB);
    let tag = table.take("tag").parsed("text", tag);
    let key = table.take("key").parsed("a field's name", new_key);
    let offset_key = table.take("offset_key").parsed("a field's name", new_key);
    let tags = table.take("tags").entries().into_iter().filter_map(constant_tag).collect();
    let processors = steps(table.take("processors"));
    let join_partial = table.take("join_partial").boolean();
    let join_timeout = table.take("join_timeout").duration(MOMENT..=HOUR);
    let kubernetes = kubernetes(table.take("kubernetes"));
    RawFile {
        paths,
        exclude,
        max_depth,
        start,
        scan_interval,
        charset,
        format,
        multiline,
        max_line,
        flush_timeout,
        stop_delay,
        rate_limit,
        tag,
        key,
        offset_key,
        tags,
        processors,
        join_partial,
        join_timeout,
        kubernetes,
    }
}

/// One pattern or a list. In one text commas separate them where another absolute path follows: `{a,b}` has commas too.
fn patterns(leaf: Leaf<'_>) -> Option<Vec<PathPattern>> {
    leaf.separated("one path", absolute_paths, PathPattern::parse)
}

fn absolute_paths(text: &str) -> Vec<&str> {
    let mut paths = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(',') {
        let (before, behind) = (text.get(from..at), text.get(at + 1..).unwrap_or_default());
        if behind.trim_start().starts_with('/') {
            paths.extend(before.map(str::trim));
            from = at + 1;
        }
    }
    paths.extend(text.get(from..).map(str::trim));
    paths
}

fn start(table: &mut Table<'_>) -> Option<FileStart> {
    let start = table.take("start").choice(&[
        ("beginning", FileStart::Beginning),
        ("end", FileStart::End),
        ("tail", FileStart::Tail(TAIL)),
    ]);
    let of_tail = matches!(start, Some(FileStart::Tail(_)));
    if !of_tail && table.has("tail_bytes") {
        table.refuse("tail_bytes", "belongs to start: tail");
    }
    match table.take("tail_bytes").size(KIB as u64..=TIB) {
        Some(bytes) if of_tail => Some(FileStart::Tail(bytes)),
        _ => start,
    }
}

/// Keys that have no meaning where each line is an engine's own, in UTF-8, with the text in `log`.
fn lines_alone(table: &mut Table<'_>, charset: Option<Charset>) {
    for key in ["multiline", "key"] {
        if table.has(key) {
            table.refuse(
                key,
                "belongs to format: lines; an engine's lines are one record each, with the text in `log`",
            );
        }
    }
    if charset.is_some_and(|charset| charset != Charset::Utf8) {
        table.fault("charset", "belongs to format: lines; engines write UTF-8");
    }
}

fn multiline(leaf: Leaf<'_>) -> Option<MultilinePlan> {
    if !leaf.is_present() {
        return None;
    }
    let whole = leaf.clone();
    let mut table = leaf.table()?;
    let [start, goes_on, end] = ["start", "continue", "end"].map(|key| table.has(key));
    if !start && !end {
        whole.fault(if goes_on {
            "has continue alone, which says neither where a record begins nor where it ends; add start or end"
        } else {
            "has no pattern; write start, the expression that a record's first line matches"
        });
    } else if start && goes_on && end {
        table.fault("continue", "is not looked at beside start and end; take one of the three out");
    }
    let mut pattern = |key| table.take(key).parsed("a regular expression", regex);
    let plan = MultilinePlan {
        start: pattern("start"),
        continues: pattern("continue"),
        end: pattern("end"),
        keep_unmatched: table.take("unmatched").choice(&[("keep", true), ("discard", false)]).unwrap_or(true),
        timeout: table.take("timeout").duration(MOMENT..=HOUR).unwrap_or(MULTILINE_TIMEOUT),
    };
    table.finish();
    Some(plan)
}

fn constant_tag((key, leaf): (String, Leaf<'_>)) -> Option<(String, String)> {
    let key = field_key(key, &leaf)?;
    if OWN_TAGS.contains(&key.as_str()) {
        leaf.fault("is a tag that the gateway sets itself");
        return None;
    }
    Some((key, leaf.text()?))
}
