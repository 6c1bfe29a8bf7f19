//! A forward input as YAML. What is absent in the plan is left out; `off` stands where absence is a word.

use super::{Page, duration_text, escape, list, quoted, size_text, typed};
use crate::base::secret::Secret;
use crate::config::plan::*;

/// In tags, the only placeholder; the rest of a tag is text.
const CLIENT: &str = "${client}";

impl Page {
    pub(super) fn forward(&mut self, forward: &ForwardPlan) {
        self.line(2, "type", "forward");
        self.line(2, "listen", list(&forward.listen));
        self.line(2, "unix_mode", quoted(&format!("{:04o}", forward.connections.unix.mode)));
        self.owner(&forward.connections.unix);
        self.line(2, "udp_heartbeat", forward.udp_heartbeat);
        if let Some(tls) = &forward.connections.tls {
            self.tls(tls);
        }
        self.line(2, "proxy_protocol", list(&forward.connections.proxy_protocol));
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
        for (key, field) in [
            ("source_address_key", &forward.source_address_key),
            ("source_hostname_key", &forward.source_hostname_key),
            ("client_name_key", &forward.client_name_key),
        ] {
            if let Some(field) = field {
                self.line(2, key, typed(field));
            }
        }
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
        self.line(2, "join_partial", forward.join.partial);
        self.line(2, "join_timeout", duration_text(forward.join.timeout));
        self.line(2, "max_line", size_text(forward.join.max_line as u64));
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
        self.line(2, "max_connections", forward.connections.max_connections);
        if let Some(most) = forward.connections.max_connections_per_peer {
            self.line(2, "max_connections_per_peer", most);
        }
        self.line(2, "window", size_text(forward.connections.window as u64));
        self.line(2, "handshake_timeout", duration_text(forward.connections.handshake_timeout));
        self.line(2, "stall_timeout", duration_text(forward.connections.stall_timeout));
        self.line(
            2,
            "idle_timeout",
            forward.connections.idle_timeout.map_or_else(|| "off".to_owned(), duration_text),
        );
        self.line(2, "full_timeout", duration_text(forward.full_timeout));
        self.line(2, "linger_timeout", duration_text(forward.linger_timeout));
    }

    fn owner(&mut self, unix: &UnixPlan) {
        let user = unix.user.as_deref().unwrap_or_default();
        let owner = match &unix.group {
            Some(group) => format!("{user}:{group}"),
            None => user.to_owned(),
        };
        if !owner.is_empty() {
            self.line(2, "unix_owner", typed(&owner));
        }
    }

    fn tls(&mut self, tls: &TlsPlan) {
        self.heading(2, "tls");
        self.line(3, "certificate", typed(&tls.certificate.to_string_lossy()));
        self.line(3, "key", typed(&tls.key.to_string_lossy()));
        self.line(
            3,
            "min_version",
            match tls.min_version {
                TlsVersion::V1_2 => "\"1.2\"",
                TlsVersion::V1_3 => "\"1.3\"",
            },
        );
        if let Some(authority) = &tls.client_ca {
            self.line(3, "client_ca", typed(&authority.to_string_lossy()));
        }
        self.line(
            3,
            "client_auth",
            match tls.client_auth {
                ClientAuth::None => "none",
                ClientAuth::Optional => "optional",
                ClientAuth::Required => "required",
            },
        );
        if !tls.client_names.is_empty() {
            self.line(3, "client_names", list(&tls.client_names));
        }
        self.line(3, "allow_plain", tls.allow_plain);
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

/// An empty one is none, and says so.
fn secret(secret: &Secret) -> String {
    if secret.expose().is_empty() { quoted("") } else { quoted(&secret.to_string()) }
}
