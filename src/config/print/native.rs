//! The inputs of Docker's other drivers as YAML.

use super::{Page, duration_text, list, quoted, secret, size_text, typed};
use crate::config::plan::*;

impl Page {
    pub(super) fn syslog(&mut self, syslog: &SyslogPlan) {
        self.line(2, "type", "syslog");
        self.line(2, "listen", listen(&syslog.listen));
        self.connections(&syslog.connections);
        self.line(2, "receive_buffer", size_text(syslog.datagrams.receive_buffer as u64));
        self.line(2, "max_message", size_text(syslog.max_message as u64));
        self.text("tag", syslog.tag.as_deref());
        self.line(
            2,
            "time",
            match syslog.time {
                SyslogTime::Auto => "auto",
                SyslogTime::Header => "header",
                SyslogTime::Received => "received",
            },
        );
        self.line(2, "time_zone", typed(&syslog.time_zone));
        self.line(2, "container_tags", list(&syslog.container_tags));
        self.text("source_address_key", syslog.source_address_key.as_deref());
        self.join(&syslog.join);
    }

    pub(super) fn gelf(&mut self, gelf: &GelfPlan) {
        self.line(2, "type", "gelf");
        self.line(2, "listen", listen(&gelf.listen));
        self.connections(&gelf.connections);
        self.line(2, "receive_buffer", size_text(gelf.datagrams.receive_buffer as u64));
        self.line(2, "max_message", size_text(gelf.max_message as u64));
        self.line(2, "chunk_timeout", duration_text(gelf.chunk_timeout));
        self.line(2, "max_incomplete", gelf.max_incomplete);
        self.line(2, "max_incomplete_bytes", size_text(gelf.max_incomplete_bytes as u64));
        self.text("tag", gelf.tag.as_deref());
        self.line(2, "keep_command", gelf.keep_command);
        self.text("source_address_key", gelf.source_address_key.as_deref());
        self.join(&gelf.join);
    }

    pub(super) fn splunk(&mut self, splunk: &SplunkPlan) {
        self.line(2, "type", "splunk");
        self.line(2, "listen", listen(&splunk.listen));
        self.connections(&splunk.connections);
        let tokens: Vec<String> = splunk.tokens.iter().map(secret).collect();
        self.line(2, "tokens", format!("[{}]", tokens.join(", ")));
        self.line(2, "acknowledgement", splunk.acknowledgement);
        self.line(2, "max_body", size_text(splunk.max_body as u64));
        self.line(2, "max_event", size_text(splunk.max_event as u64));
        self.text("tag", splunk.tag.as_deref());
        self.line(2, "container_tags", list(&splunk.container_tags));
        self.text("source_address_key", splunk.source_address_key.as_deref());
        self.join(&splunk.join);
    }

    pub(super) fn docker_plugin(&mut self, plugin: &DockerPluginPlan) {
        self.line(2, "type", "docker_plugin");
        self.line(2, "socket", typed(&plugin.socket.to_string_lossy()));
        self.unix(&plugin.unix);
        self.line(2, "tag", typed(&plugin.tag.to_string()));
        self.line(2, "read_logs_bytes", size_text(plugin.read_logs_bytes));
        self.join(&plugin.join);
    }

    pub(super) fn docker(&mut self, docker: &DockerPlan) {
        self.line(2, "type", "docker");
        self.line(2, "data_root", typed(&docker.data_root.to_string_lossy()));
        self.line(
            2,
            "start",
            match docker.start {
                Start::Beginning => "beginning",
                Start::End => "end",
            },
        );
        self.line(2, "scan_interval", duration_text(docker.scan_interval));
        self.line(2, "tag", typed(&docker.tag.to_string()));
        self.line(2, "labels", list(&docker.labels));
        self.line(2, "env", list(&docker.env));
        self.join(&docker.join);
    }
}

/// Each socket alone: for these inputs, `host:port` would be two of them.
fn listen(sockets: &[Listen]) -> String {
    let one = |socket: &Listen| match socket {
        Listen::Tcp(address) => quoted(&format!("tcp:{address}")),
        _ => typed(&socket.to_string()),
    };
    format!("[{}]", sockets.iter().map(one).collect::<Vec<_>>().join(", "))
}
