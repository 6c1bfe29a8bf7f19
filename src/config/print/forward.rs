//! A forward input as YAML. What is absent in the plan is left out; `off` stands where absence is a word.

use super::{Page, duration_text, escape, list, quoted, secret, size_text, typed};
use crate::config::plan::*;

/// In tags, the only placeholder; the rest of a tag is text.
const CLIENT: &str = "${client}";

impl Page {
    pub(super) fn forward(&mut self, forward: &ForwardPlan) {
        self.line(2, "type", "forward");
        self.line(2, "listen", list(&forward.listen));
        self.connections(&forward.connections);
        self.line(2, "udp_heartbeat", forward.udp_heartbeat);
        if let Some(security) = &forward.security {
            self.security(security);
        }
        let tag = &forward.tag;
        for (key, text) in
            [("tag", &tag.tag), ("add_tag_prefix", &tag.add_tag_prefix), ("tag_prefix", &tag.tag_prefix)]
        {
            if let Some(text) = text {
                let parts: Vec<String> = text.split(CLIENT).map(escape).collect();
                self.line(2, key, quoted(&parts.join(CLIENT)));
            }
        }
        self.text("source_address_key", forward.source_address_key.as_deref());
        self.text("source_hostname_key", forward.source_hostname_key.as_deref());
        self.text("client_name_key", forward.client_name_key.as_deref());
        self.line(2, "resolve_hostname", forward.resolve_hostname);
        self.line(
            2,
            "metadata",
            match forward.metadata {
                Metadata::Nested => "nested",
                Metadata::Fields => "fields",
                Metadata::Drop => "drop",
            },
        );
        self.line(2, "skip_invalid_event", forward.skip_invalid_event);
        self.line(2, "deny_keepalive", forward.deny_keepalive);
        self.bounds(forward);
        self.join(&forward.join);
    }

    fn bounds(&mut self, forward: &ForwardPlan) {
        self.line(2, "max_message", size_text(forward.max_message as u64));
        for (key, size) in [
            ("chunk_size_limit", forward.chunk_size_limit),
            ("chunk_size_warn_limit", forward.chunk_size_warn_limit),
        ] {
            if let Some(size) = size {
                self.line(2, key, size_text(size as u64));
            }
        }
        self.line(2, "max_inflated", size_text(forward.max_inflated as u64));
        self.line(2, "max_depth", forward.max_depth);
        self.line(2, "full_timeout", duration_text(forward.full_timeout));
        self.line(2, "linger_timeout", duration_text(forward.linger_timeout));
    }

    fn security(&mut self, security: &SecurityPlan) {
        self.heading(2, "security");
        if let Some(name) = &security.self_hostname {
            self.line(3, "self_hostname", typed(name));
        }
        let clients = &security.clients;
        let common_key_counts =
            security.allow_anonymous_source || clients.iter().any(|client| client.shared_key.is_none());
        let common_key = common_key_counts.then_some(&security.shared_key);
        let mut keys = clients.iter().filter_map(|client| client.shared_key.as_ref()).chain(common_key);
        let any_is_empty = keys.any(|key| key.expose().is_empty());
        if common_key_counts || !security.shared_key.expose().is_empty() {
            self.line(3, "shared_key", secret(&security.shared_key));
        }
        self.line(3, "allow_empty_shared_key", any_is_empty);
        self.line(3, "user_auth", security.users.is_some());
        let users = security.users.as_deref().unwrap_or_default();
        if !users.is_empty() {
            self.heading(3, "users");
        }
        for user in users {
            self.line(4, "- username", typed(&user.username));
            self.line(5, "password", secret(&user.password));
        }
        self.line(3, "allow_anonymous_source", security.allow_anonymous_source);
        if !clients.is_empty() {
            self.heading(3, "clients");
        }
        for client in clients {
            match &client.source {
                ClientSource::Network(network) => self.line(4, "- network", quoted(&network.to_string())),
                ClientSource::Host(host) => self.line(4, "- host", typed(host)),
            }
            if let Some(key) = &client.shared_key {
                self.line(5, "shared_key", secret(key));
            }
            if !client.users.is_empty() {
                self.line(5, "users", list(&client.users));
            }
        }
    }
}
