//! The processor `parse`: makes fields of the text of one.
//!
//! ```text
//! json        members                       regex       groups of a match of the whole text
//! log_format  variables of a server's line  delimiter   columns
//!                      `---- splice: where they stand, what they are called ----'
//! ```
//!
//! Values are spans of the text wherever it says them as they are; only what is written with escapes is made. What is made
//! here lives until the record is encoded.
//!
//! A record fails, and is counted, when its text is not of the format, when nothing comes of it, when it is longer than any
//! record can be, and when more than [`splice::FIELDS`] fields would come of it. Then it stays as it was, but for what the
//! plan says of failures.

mod delimiter;
mod escapes;
mod json;
mod log_format;
mod regex;
mod splice;
#[cfg(test)]
mod tests;

use crate::base::limits::MIB;
use crate::base::metrics::{Counter, counter};
use crate::config::plan::{LogServer, Nil, OnFailure, ParseFormat, ParsePlan};
use crate::record::{Batch, Span};
use splice::Splice;

/// A longer text would not fit a record; what is parsed is cut nowhere.
const TEXT_BYTES: usize = 8 * MIB;
/// What Logtail calls a line that it could not parse.
const RAW_LOG: &[u8] = b"__raw_log__";

pub(super) struct Parse {
    plan: ParsePlan,
    format: Format,
    failed: Counter,
}

enum Format {
    Json(json::Parser),
    Regex(regex::Parser),
    Line(log_format::Parser),
    Delimiter(Box<delimiter::Parser>),
}

/// What parsing uses again for the next record.
#[derive(Default)]
pub(super) struct Scratch {
    locations: regex::Locations,
}

impl Parse {
    pub(super) fn new(plan: &ParsePlan, nil: Nil) -> Parse {
        let (format, name) = match &plan.format {
            ParseFormat::Json { depth } => (Format::Json(json::Parser::new(*depth, nil)), "json"),
            ParseFormat::Regex { regex, keys } => {
                (Format::Regex(regex::Parser::new(&plan.prefix, regex, keys)), "regex")
            }
            ParseFormat::LogFormat(format) => (
                Format::Line(log_format::Parser::new(&plan.prefix, format)),
                match format.server {
                    LogServer::Nginx => "nginx",
                    LogServer::Apache => "apache",
                },
            ),
            ParseFormat::Delimiter(columns) => {
                (Format::Delimiter(Box::new(delimiter::Parser::new(&plan.prefix, columns))), "delimiter")
            }
        };
        let failed = counter(
            "sluicegate_parse_failed_total",
            "Records whose text is not of the format that a processor parses.",
            &[("format", name)],
        );
        Parse { plan: plan.clone(), format, failed }
    }

    /// Parses the field of one record that the plan names; a record without it has nothing to parse. False when the record
    /// is to be dropped.
    pub(super) fn apply(&self, batch: &mut Batch, record: usize, scratch: &mut Scratch) -> bool {
        let key = self.plan.key.as_bytes();
        let mut fields = batch.records[record].range();
        let Some(at) = fields.rfind(|&at| batch.bytes(batch.fields[at].key) == key) else { return true };
        self.expand(batch, record, at, scratch) || self.fail(batch, record, at)
    }

    /// Writes the record anew with the fields of the text at `at` in its place. False, with the batch as it was, when it is
    /// not of the format.
    fn expand(&self, batch: &mut Batch, record: usize, at: usize, scratch: &mut Scratch) -> bool {
        let text = batch.fields[at].value;
        if text.len() > TEXT_BYTES {
            return false;
        }
        let mut splice = Splice::open(&self.plan, batch, record, at);
        let parsed = match &self.format {
            Format::Json(parser) => parser.parse(batch, text, &mut splice),
            Format::Regex(parser) => parser.parse(batch, text, &mut splice, &mut scratch.locations),
            Format::Line(parser) => parser.parse(batch, text, &mut splice),
            Format::Delimiter(parser) => parser.parse(batch, text, &mut splice),
        };
        if parsed {
            return splice.close(batch, record);
        }
        splice.undo(batch);
        false
    }

    fn fail(&self, batch: &mut Batch, record: usize, at: usize) -> bool {
        self.failed.increment(1);
        match self.plan.on_failure {
            OnFailure::Keep => true,
            OnFailure::Discard => false,
            OnFailure::RawLog => {
                let name = self.raw_log(batch, record);
                batch.fields[at].key = name;
                true
            }
            OnFailure::Copy => {
                let (name, text) = (self.raw_log(batch, record), batch.fields[at].value);
                batch.extend(record, name, text);
                true
            }
        }
    }

    /// What a text is called that could not be parsed.
    fn raw_log(&self, batch: &mut Batch, record: usize) -> Span {
        let name = batch.keep(RAW_LOG);
        let there = batch.value_of(&batch.records[record], RAW_LOG).is_some();
        // A line that an earlier processor could not parse keeps its name.
        if there { splice::joined(batch, &[&self.plan.key, "."], name) } else { name }
    }
}
