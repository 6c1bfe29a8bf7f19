//! The section `security` of an input as typed: complete in itself, or faulty. Its names are those of Fluentd's `<security>`,
//! `<user>` and `<client>`.
//!
//! It refuses everything half-configured, so that no peer is let in by a key that somebody forgot: a missing or empty
//! shared key that a peer would need, users that nobody asks for, and clients that name users who are not there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::base::secret::Secret;
use crate::config::leaf::{Network, check_host_name};
use crate::config::plan::{ClientPlan, ClientSource, SecurityPlan, UserPlan};
use crate::config::reader::{Leaf, Table};

/// The handshake's texts are short; peers write them with a one-byte length.
const TEXT_BYTES: usize = 255;
const EMPTY_KEY: &str = "allow_empty_shared_key";

pub(super) fn security(leaf: Leaf<'_>) -> Option<SecurityPlan> {
    if !leaf.is_present() {
        return None;
    }
    let mut table = leaf.table()?;
    let plan = section(&mut table);
    table.finish();
    plan
}

fn section(table: &mut Table<'_>) -> Option<SecurityPlan> {
    let self_hostname = table.take("self_hostname").parsed("text", short_text);
    let allow_empty = table.take(EMPTY_KEY).boolean().unwrap_or(false);
    let has_key = table.has("shared_key");
    let key = shared_key(table.take("shared_key"), allow_empty);
    let users = users(table.take("users"));
    let user_auth = user_auth(table, users.as_deref());
    let anonymous = table.take("allow_anonymous_source").boolean();
    let clients = clients(table, users.as_deref(), allow_empty)?;

    let anonymous = anonymous.unwrap_or(true);
    let needs_key = anonymous || clients.iter().flatten().any(|client| client.shared_key.is_none());
    if !has_key && needs_key {
        let write = if allow_empty { "shared_key: \"\"" } else { "one" };
        table.fault(
            "shared_key",
            format!(
                "is missing; write {write}, or give every client its own and set allow_anonymous_source: false"
            ),
        );
    }
    if !anonymous && clients.is_empty() {
        table.fault("allow_anonymous_source", "is false and there are no clients, so nobody could come in");
    }
    Some(SecurityPlan {
        self_hostname,
        shared_key: key.unwrap_or_else(|| Secret::new(String::new())),
        users: user_auth.then(|| users.into_iter().flatten().filter_map(|user| user.plan).collect()),
        clients: clients.into_iter().collect::<Option<_>>()?,
        allow_anonymous_source: anonymous,
    })
}

fn shared_key(leaf: Leaf<'_>, allow_empty: bool) -> Option<Secret> {
    let key = short_secret(&leaf)?;
    if key.expose().is_empty() && !allow_empty {
        leaf.fault(format!("is empty; write a key, or set {EMPTY_KEY}: true"));
        return None;
    }
    Some(key)
}

/// Whether peers need a name and a password; said and typed have to agree.
fn user_auth(table: &mut Table<'_>, users: Option<&[RawUser]>) -> bool {
    let typed = table.has("user_auth");
    let user_auth = table.take("user_auth").boolean();
    let (Some(users), false) = (users, typed && user_auth.is_none()) else { return false };
    let user_auth = user_auth.unwrap_or(false);
    if user_auth && users.is_empty() {
        table.fault("user_auth", "is true and there are no users; write users: [ { username, password } ]");
    }
    if !user_auth && !users.is_empty() {
        table.fault("users", "are asked for nothing as it is; set user_auth: true");
    }
    user_auth
}

#[derive(Default)]
struct RawUser {
    /// Absent when it is faulty, as is the plan.
    username: Option<String>,
    plan: Option<UserPlan>,
}

/// Nothing when it is no list.
fn users(leaf: Leaf<'_>) -> Option<Vec<RawUser>> {
    let mut taken = BTreeSet::new();
    let user = |leaf: Leaf<'_>| {
        let Some(mut table) = leaf.table() else { return RawUser::default() };
        let username = table.take("username").required("write the user's name").parsed("text", short_text);
        let password = password(table.take("password").required("write the user's password"));
        if let Some(name) = &username
            && !taken.insert(name.clone())
        {
            table.fault("username", format!("`{name}` is there twice"));
        }
        table.finish();
        let plan = username.clone().zip(password).map(|(username, password)| UserPlan { username, password });
        RawUser { username, plan }
    };
    Some(leaf.items()?.into_iter().map(user).collect())
}

fn password(leaf: Leaf<'_>) -> Option<Secret> {
    let password = short_secret(&leaf)?;
    if password.expose().is_empty() {
        leaf.fault("is empty; write the user's password");
        return None;
    }
    Some(password)
}

/// Each client, or nothing where one is faulty; nothing at all when it is no list.
fn clients(
    table: &mut Table<'_>,
    users: Option<&[RawUser]>,
    allow_empty: bool,
) -> Option<Vec<Option<ClientPlan>>> {
    let client = |leaf: Leaf<'_>| {
        let mut table = leaf.table()?;
        let source = source(&mut table);
        let has_key = table.has("shared_key");
        let shared_key = shared_key(table.take("shared_key"), allow_empty);
        let names = named_users(table.take("users"), users);
        table.finish();
        if has_key && shared_key.is_none() {
            return None;
        }
        Some(ClientPlan { source: source?, shared_key, users: names })
    };
    Some(table.take("clients").items()?.into_iter().map(client).collect())
}

fn source(table: &mut Table<'_>) -> Option<ClientSource> {
    let only_one = "host and network are there; write one of them";
    match (table.has("host"), table.has("network")) {
        (true, true) => table.fault("host", only_one),
        (false, false) => {
            table.fault("network", "is missing; write network: 10.0.0.0/8, or host with a name")
        }
        _ => {}
    }
    let network = table.take("network").parsed("a network", Network::parse).map(ClientSource::Network);
    network.or(table.take("host").parsed("text", host))
}

/// A name, or as in Fluentd an address.
fn host(text: &str) -> Result<ClientSource, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Network::parse(text).map(ClientSource::Network);
    }
    check_host_name(text).map_err(|_| "is no host; write a name or an address")?;
    short_text(text).map(ClientSource::Host)
}

fn named_users(leaf: Leaf<'_>, users: Option<&[RawUser]>) -> Vec<String> {
    let known: Option<Vec<&str>> =
        users.and_then(|users| users.iter().map(|user| user.username.as_deref()).collect());
    let check = |name: &str| match &known {
        Some(known) if known.is_empty() => {
            Err("is no user, since there are none; write users beside clients".to_owned())
        }
        Some(known) if !known.contains(&name) => {
            Err(format!("is none of the users; there are {}", known.join(", ")))
        }
        // One whose own name is faulty may be the one that is meant.
        _ => Ok(name.to_owned()),
    };
    leaf.any_number("one user's name", check).unwrap_or_default()
}

fn short_text(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        1..=TEXT_BYTES => Ok(text.to_owned()),
        _ => Err(format!("is longer than {TEXT_BYTES} bytes")),
    }
}

fn short_secret(leaf: &Leaf<'_>) -> Option<Secret> {
    let secret = leaf.secret_or_empty()?;
    if secret.expose().len() > TEXT_BYTES {
        leaf.fault(format!("is longer than {TEXT_BYTES} bytes"));
        return None;
    }
    Some(secret)
}
