//! Forward inputs: their defaults, and what holds between keys of one input.

use super::connections::{connections, join};
use super::in_memory;
use crate::base::limits;
use crate::config::errors::Faults;
use crate::config::leaf::Address;
use crate::config::plan::*;
use crate::config::raw::{CLIENT, RawForward};

const PORT: u16 = 24224;

pub(super) fn forward(raw: RawForward, key: impl Fn(&str) -> String, faults: &Faults) -> ForwardPlan {
    client_names(&raw, &key, faults);
    fields(&raw, &key, faults);
    let plan = completed(raw);
    sizes(&plan, &key, faults);
    sockets(&plan, &key, faults);
    plan
}

fn completed(raw: RawForward) -> ForwardPlan {
    ForwardPlan {
        listen: raw.listen.unwrap_or_else(|| vec![Listen::Tcp(Address::new(super::LOOPBACK, PORT))]),
        connections: connections(raw.connections),
        udp_heartbeat: raw.udp_heartbeat.unwrap_or(true),
        security: raw.security,
        tag: TagPlan { tag: raw.tag, add_tag_prefix: raw.add_tag_prefix, tag_prefix: raw.tag_prefix },
        source_address_key: raw.source_address_key,
        resolve_hostname: raw.resolve_hostname.unwrap_or(raw.source_hostname_key.is_some()),
        source_hostname_key: raw.source_hostname_key,
        client_name_key: raw.client_name_key,
        metadata: raw.metadata.unwrap_or(Metadata::Nested),
        skip_invalid_event: raw.skip_invalid_event.unwrap_or(true),
        deny_keepalive: raw.deny_keepalive.unwrap_or(false),
        linger_timeout: raw.linger_timeout.unwrap_or(limits::LINGER),
        full_timeout: raw.full_timeout.unwrap_or(limits::FULL),
        max_message: in_memory(raw.max_message, limits::MESSAGE_BYTES),
        chunk_size_limit: raw.chunk_size_limit.map(|bytes| in_memory(Some(bytes), usize::MAX)),
        chunk_size_warn_limit: raw.chunk_size_warn_limit.map(|bytes| in_memory(Some(bytes), usize::MAX)),
        max_inflated: in_memory(raw.max_inflated, limits::INFLATED_BYTES),
        max_depth: raw.max_depth.unwrap_or(limits::DEPTH),
        join: join(raw.join, limits::JOIN_TIMEOUT),
    }
}

/// A peer on a Unix socket has no address, so no client section names it.
fn sockets(plan: &ForwardPlan, key: impl Fn(&str) -> String, faults: &Faults) {
    let closed = plan.security.as_ref().is_some_and(|security| !security.allow_anonymous_source);
    if closed && let Some(socket) = plan.listen.iter().find(|listen| matches!(listen, Listen::Unix(_))) {
        let what = format!(
            "`{socket}` lets nobody in: its peers have no address that security.clients could name, and allow_anonymous_source is false"
        );
        faults.key(&key("listen"), what);
    }
}

/// Nobody has a name from a certificate where no certificate is asked for.
fn client_names(raw: &RawForward, key: impl Fn(&str) -> String, faults: &Faults) {
    let named = match &raw.connections.tls {
        None => false,
        // Faulty: what it would be is unknown.
        Some(None) => return,
        Some(Some(tls)) => tls.client_auth != ClientAuth::None,
    };
    if named {
        return;
    }
    let needs = "needs clients' certificates; set tls.client_ca, and tls.client_auth to required or optional";
    if raw.client_name_key.is_some() {
        faults.key(&key("client_name_key"), needs);
    }
    let mark = format!("${{{CLIENT}}}");
    for (tag, text) in
        [("tag", &raw.tag), ("add_tag_prefix", &raw.add_tag_prefix), ("tag_prefix", &raw.tag_prefix)]
    {
        if text.as_ref().is_some_and(|text| text.contains(&mark)) {
            faults.key(&key(tag), format!("has {mark}, which {needs}"));
        }
    }
}

fn fields(raw: &RawForward, key: impl Fn(&str) -> String, faults: &Faults) {
    if raw.source_hostname_key.is_some() && raw.resolve_hostname == Some(false) {
        faults.key(
            &key("resolve_hostname"),
            "is false, and source_hostname_key needs it; leave out one of the two",
        );
    }
    let fields = [
        ("source_address_key", &raw.source_address_key),
        ("source_hostname_key", &raw.source_hostname_key),
        ("client_name_key", &raw.client_name_key),
    ];
    for (index, (name, field)) in fields.iter().enumerate() {
        let same = fields.iter().take(index).find(|(_, before)| field.is_some() && before == field);
        if let Some((other, _)) = same {
            faults.key(&key(name), format!("is the field of {other} too; give each its own"));
        }
    }
}

/// What closes a connection never comes to be kept or logged.
fn sizes(plan: &ForwardPlan, key: impl Fn(&str) -> String, faults: &Faults) {
    for (name, limit) in
        [("chunk_size_limit", plan.chunk_size_limit), ("chunk_size_warn_limit", plan.chunk_size_warn_limit)]
    {
        if limit.is_some_and(|limit| limit > plan.max_message) {
            let most = crate::config::leaf::size_text(plan.max_message as u64);
            faults.key(&key(name), format!("is more than max_message ({most}), above which nothing is read"));
        }
    }
}
