//! Inputs that read files: their defaults, and what must hold between them.

use std::time::Duration;

use super::in_memory;
use crate::base::limits;
use crate::config::errors::Faults;
use crate::config::leaf::duration_text;
use crate::config::plan::{
    Charset, FileFormat, FilePlan, FileStart, InputKind, InputPlan, JoinPlan, LimitsPlan,
};
use crate::config::raw::RawFile;

/// Directories that `**` goes down; Logtail's for its own `**`.
const MAX_DEPTH: usize = 10;
/// What the kernel does not tell, as of network volumes, is found after this.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Logtail's longest line.
const MAX_LINE: usize = 512 * limits::KIB;
/// Logtail's time for a last line without its line feed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// The field of a line's text, as Docker's drivers call it.
const KEY: &str = "log";
/// What a container's line has beside its text.
const SOURCE: &str = "source";

pub(super) fn file(raw: RawFile, key_of: impl Fn(&str) -> String, faults: &Faults) -> FilePlan {
    let format = raw.format.unwrap_or(FileFormat::Lines);
    let key = raw.key.unwrap_or_else(|| KEY.to_owned());
    let max_line = in_memory(raw.max_line, MAX_LINE);
    if let Some(offset) = &raw.offset_key
        && (*offset == key || (format != FileFormat::Lines && offset == SOURCE))
    {
        let what =
            format!("is `{offset}`, which the record has already; give the place in the file another name");
        faults.key(&key_of("offset_key"), what);
    }
    FilePlan {
        paths: raw.paths.unwrap_or_default(),
        exclude: raw.exclude.unwrap_or_default(),
        max_depth: raw.max_depth.unwrap_or(MAX_DEPTH),
        start: raw.start.unwrap_or(FileStart::Beginning),
        scan_interval: raw.scan_interval.unwrap_or(SCAN_INTERVAL),
        charset: raw.charset.unwrap_or(Charset::Utf8),
        format,
        multiline: raw.multiline,
        max_line,
        flush_timeout: raw.flush_timeout.unwrap_or(FLUSH_TIMEOUT),
        stop_delay: raw.stop_delay.unwrap_or_default(),
        rate_limit: raw.rate_limit,
        tag: raw.tag,
        path_topic: None,
        key,
        offset_key: raw.offset_key,
        tags: raw.tags,
        processors: raw.processors,
        join: JoinPlan {
            partial: raw.join_partial.unwrap_or(true),
            timeout: raw.join_timeout.unwrap_or(limits::JOIN_TIMEOUT),
            max_line,
        },
        kubernetes: raw.kubernetes,
    }
}

/// Two readers of one file would bring each line twice. Only the same pattern is seen here; of others, whoever runs the
/// inputs sees which files they find.
pub(super) fn patterns(plans: &[InputPlan], faults: &Faults) {
    let files: Vec<(&str, &FilePlan)> = plans
        .iter()
        .filter_map(|input| match &input.kind {
            InputKind::File(file) => Some((input.name.as_str(), &**file)),
            _ => None,
        })
        .collect();
    for (index, (name, file)) in files.iter().enumerate() {
        for path in &file.paths {
            let before = files.iter().take(index).find(|(_, before)| before.paths.contains(path));
            if let Some((other, _)) = before {
                let what =
                    format!("`{path}` is read by inputs.{other} already, so each line would come twice");
                faults.key(&format!("inputs.{name}.paths"), what);
            }
        }
    }
}

/// What an input reads while it waits has to be delivered, and all be closed, before the deadline.
pub(super) fn stop_delays(plans: &[InputPlan], limits: &LimitsPlan, faults: &Faults) {
    let most = limits.longest_stop_delay();
    for input in plans {
        if let InputKind::File(file) = &input.kind
            && file.stop_delay > most
        {
            let (most, deadline) = (duration_text(most), duration_text(limits.stop_deadline));
            let enough = duration_text(LimitsPlan::shortest_stop_deadline(file.stop_delay));
            let what = format!(
                "leaves no time to deliver what comes until then; write at most {most}, or raise limits.stop_deadline \
                 ({deadline}) to {enough}"
            );
            faults.key(&format!("inputs.{}.stop_delay", input.name), &what);
        }
    }
}
