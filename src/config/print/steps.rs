//! Processors as YAML, for routes and for inputs that have their own.

use super::{Page, escape, list, map, quoted, typed};
use crate::config::plan::*;
use crate::config::template::Template;

impl Page {
    pub(super) fn processors(&mut self, steps: &[Step]) {
        if !steps.is_empty() {
            self.heading(2, "processors");
        }
        for step in steps {
            match step {
                Step::Add(fields) => self.line(3, "- add", map(fields, Template::text)),
                Step::Rename(fields) => self.line(3, "- rename", map(fields, |to| escape(to))),
                Step::Remove(keys) => self.line(3, "- remove", list(keys)),
                Step::Keep(keys) => self.line(3, "- keep", list(keys)),
                Step::Parse(parse) => self.parse(parse),
                Step::Time(time) => self.time(time),
                Step::Filter(conditions) => self.line(3, "- filter", map(conditions, condition)),
                Step::Drop(conditions) => self.line(3, "- drop", map(conditions, condition)),
                Step::Mask(mask) => self.mask(mask),
            }
        }
    }

    fn parse(&mut self, parse: &ParsePlan) {
        let format = match &parse.format {
            ParseFormat::Json { .. } => "json",
            ParseFormat::Regex { .. } => "regex",
            ParseFormat::LogFormat(LogFormat { server: LogServer::Nginx, .. }) => "nginx",
            ParseFormat::LogFormat(LogFormat { server: LogServer::Apache, .. }) => "apache",
            ParseFormat::Delimiter(_) => "delimiter",
        };
        self.line(3, "- parse", format);
        self.line(4, "key", typed(&parse.key));
        self.line(4, "keep", parse.keep);
        self.line(4, "prefix", typed(&parse.prefix));
        self.line(
            4,
            "on_failure",
            match parse.on_failure {
                OnFailure::Keep => "keep",
                OnFailure::RawLog => "raw_log",
                OnFailure::Copy => "copy",
                OnFailure::Discard => "discard",
            },
        );
        match &parse.format {
            ParseFormat::Json { depth } => self.line(4, "depth", depth),
            ParseFormat::Regex { regex, keys } => {
                self.line(4, "regex", typed(&format!("/{regex}/")));
                if !keys.is_empty() {
                    self.line(4, "keys", list(keys));
                }
            }
            ParseFormat::LogFormat(format) => self.line(4, "log_format", typed(&format.text)),
            ParseFormat::Delimiter(delimiter) => self.delimiter(delimiter),
        }
    }

    fn delimiter(&mut self, delimiter: &DelimiterPlan) {
        let quote = delimiter.quote.map(String::from).unwrap_or_default();
        self.line(4, "separator", typed(&delimiter.separator));
        self.line(4, "quote", typed(&quote));
        self.line(4, "keys", list(&delimiter.keys));
        self.line(4, "strict", delimiter.strict);
        self.line(
            4,
            "extra",
            match delimiter.extra {
                ExtraColumns::Extend => "extend",
                ExtraColumns::Keep => "keep",
                ExtraColumns::Discard => "discard",
            },
        );
    }

    fn time(&mut self, time: &TimestampPlan) {
        let formats: Vec<&String> = time.formats.iter().map(|format| &format.0).collect();
        self.heading(3, "- time");
        self.line(5, "key", typed(&time.key));
        self.line(5, "format", list(&formats));
        self.line(5, "zone", typed(&time.zone));
        self.line(5, "keep", time.keep);
    }

    fn mask(&mut self, mask: &MaskPlan) {
        self.heading(3, "- mask");
        self.line(5, "keys", list(&mask.keys));
        self.line(5, "pattern", typed(&format!("/{}/", mask.pattern)));
        match &mask.with {
            MaskWith::Text(text) => self.line(5, "text", typed(text)),
            MaskWith::Md5 => self.line(5, "with", "md5"),
        }
        self.line(5, "first", mask.first);
    }
}

/// As it has to be typed, but for its quotes.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Equals(value) => escape(value),
        Condition::Regex(regex) => escape(&format!("/{regex}/")),
    }
}

/// As it has to be typed.
pub(super) fn quoted_condition(of: &Condition) -> String {
    quoted(&condition(of))
}
