//! Inputs that read files, as YAML.

use super::{Page, duration_text, escape, list, map, size_text, typed};
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::*;

impl Page {
    pub(super) fn file(&mut self, file: &FilePlan) {
        self.line(2, "type", "file");
        self.line(2, "paths", list(&file.paths));
        self.line(2, "exclude", list(&file.exclude));
        self.line(2, "max_depth", file.max_depth);
        let start = match file.start {
            FileStart::Beginning => "beginning",
            FileStart::End => "end",
            FileStart::Tail(_) => "tail",
        };
        self.line(2, "start", start);
        if let FileStart::Tail(bytes) = file.start {
            self.line(2, "tail_bytes", size_text(bytes));
        }
        self.line(2, "scan_interval", duration_text(file.scan_interval));
        self.line(2, "charset", charset(file.charset));
        self.line(
            2,
            "format",
            match file.format {
                FileFormat::Lines => "lines",
                FileFormat::Cri => "cri",
                FileFormat::DockerJson => "docker",
                FileFormat::Container => "container",
            },
        );
        if let Some(multiline) = &file.multiline {
            self.multiline(multiline);
        }
        self.line(2, "max_line", size_text(file.max_line as u64));
        self.line(2, "flush_timeout", duration_text(file.flush_timeout));
        self.line(2, "stop_delay", duration_text(file.stop_delay));
        if let Some(bytes) = file.rate_limit {
            self.line(2, "rate_limit", size_text(bytes));
        }
        self.text("tag", file.tag.as_deref());
        if file.format == FileFormat::Lines {
            self.line(2, "key", typed(&file.key));
        }
        self.text("offset_key", file.offset_key.as_deref());
        self.line(2, "tags", map(&file.tags, |value| escape(value)));
        self.line(2, "join_partial", file.join.partial);
        self.line(2, "join_timeout", duration_text(file.join.timeout));
        self.processors(&file.processors);
        if let Some(kubernetes) = &file.kubernetes {
            self.kubernetes(kubernetes);
        }
    }

    fn multiline(&mut self, multiline: &MultilinePlan) {
        self.heading(2, "multiline");
        let patterns =
            [("start", &multiline.start), ("continue", &multiline.continues), ("end", &multiline.end)];
        for (key, pattern) in patterns {
            if let Some(pattern) = pattern {
                self.line(3, key, regex(pattern));
            }
        }
        self.line(3, "unmatched", if multiline.keep_unmatched { "keep" } else { "discard" });
        self.line(3, "timeout", duration_text(multiline.timeout));
    }

    fn kubernetes(&mut self, kubernetes: &KubernetesPlan) {
        self.heading(2, "kubernetes");
        let filters = [
            ("namespaces", &kubernetes.namespaces),
            ("pods", &kubernetes.pods),
            ("containers", &kubernetes.containers),
        ];
        for (key, filter) in filters {
            let names = |names: &[LinearRegex]| names.iter().map(regex).collect::<Vec<_>>().join(", ");
            let (include, exclude) = (names(&filter.include), names(&filter.exclude));
            self.line(3, key, format!("{{ include: [{include}], exclude: [{exclude}] }}"));
        }
        let Some(api) = &kubernetes.api else { return };
        self.line(3, "labels", map(&kubernetes.labels, |value| escape(value)));
        self.heading(3, "api");
        self.line(4, "server", typed(&api.server));
        if let Some(node) = &api.node {
            self.line(4, "node", typed(node));
        }
        self.line(4, "token_file", typed(&api.token_file.to_string_lossy()));
        self.line(4, "ca_file", typed(&api.ca_file.to_string_lossy()));
        self.line(4, "labels", list(&api.labels));
        self.line(4, "patience", duration_text(api.patience));
    }
}

fn charset(charset: Charset) -> &'static str {
    match charset {
        Charset::Utf8 => "utf-8",
        Charset::Gbk => "gbk",
        Charset::Gb18030 => "gb18030",
        Charset::Utf16 => "utf-16",
        Charset::Utf16Le => "utf-16le",
        Charset::Utf16Be => "utf-16be",
    }
}

fn regex(pattern: &LinearRegex) -> String {
    typed(&format!("/{pattern}/"))
}
