//! What inputs have in common, as YAML. What is absent in the plan is left out; `off` stands where absence is a word.

use super::{Page, duration_text, list, quoted, size_text, typed};
use crate::config::plan::*;

impl Page {
    pub(super) fn connections(&mut self, connections: &ConnectionsPlan) {
        self.unix(&connections.unix);
        if let Some(tls) = &connections.tls {
            self.tls(tls);
        }
        self.line(2, "proxy_protocol", list(&connections.proxy_protocol));
        self.line(2, "max_connections", connections.max_connections);
        if let Some(most) = connections.max_connections_per_peer {
            self.line(2, "max_connections_per_peer", most);
        }
        self.line(2, "window", size_text(connections.window as u64));
        self.line(2, "handshake_timeout", duration_text(connections.handshake_timeout));
        self.line(2, "stall_timeout", duration_text(connections.stall_timeout));
        let idle = connections.idle_timeout.map_or_else(|| "off".to_owned(), duration_text);
        self.line(2, "idle_timeout", idle);
    }

    pub(super) fn unix(&mut self, unix: &UnixPlan) {
        self.line(2, "unix_mode", quoted(&format!("{:04o}", unix.mode)));
        self.owner(unix);
    }

    pub(super) fn join(&mut self, join: &JoinPlan) {
        self.line(2, "join_partial", join.partial);
        self.line(2, "join_timeout", duration_text(join.timeout));
        self.line(2, "max_line", size_text(join.max_line as u64));
    }

    /// A text of a key that takes no template, if there is one.
    pub(super) fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.line(2, key, typed(text));
        }
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
}
