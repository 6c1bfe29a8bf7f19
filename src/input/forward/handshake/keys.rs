//! Who may speak: shared keys and users, by the address a peer comes from. Pure but for the look-up of host names, which
//! happens when keys are loaded and never while a peer waits.
//!
//! The order of the checks and the texts of the refusals are Fluentd's, since its clients and their users know them:
//!
//! ```text
//! the first message is no PING                            invalid ping message
//! no client section holds the peer, and one has to        anonymous source host '<ip>' denied
//! D1 is not that of the section's key, or of the common   shared_key mismatch
//! no user the section permits has this name and D2        username/password mismatch
//! ```
//!
//! Digests are compared in constant time, and a name that no user has costs the same digest as one that some user has.
//! A claimed host name proves nothing and is only for the log.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use subtle::Choice;

use super::digest::{self, Hex};
use super::message::{BadMessage, HOSTNAME_BYTES, NONCE, Ping};
use crate::base::host;
use crate::base::secret::Secret;
use crate::config::plan::{ClientSource, SecurityPlan};

/// The random part of a HELO; good for one PING.
#[derive(Debug)]
pub struct Challenge {
    pub nonce: [u8; NONCE],
    pub auth: [u8; NONCE],
}

impl Challenge {
    pub fn new() -> Result<Challenge, getrandom::Error> {
        let mut challenge = Challenge { nonce: [0; NONCE], auth: [0; NONCE] };
        getrandom::fill(&mut challenge.nonce)?;
        getrandom::fill(&mut challenge.auth)?;
        Ok(challenge)
    }
}

/// A peer that knows its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The user it proved to be, where users are asked for.
    pub username: Option<String>,
    /// The host name it claims; control characters are escaped.
    pub hostname: String,
    /// What HELO promised: the connection stays open after a message.
    pub keepalive: bool,
}

/// Why a peer may not speak. `Display` is what the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("invalid ping message")]
    Ping(BadMessage),
    #[error("anonymous source host '{}' denied", Source(*.0))]
    Anonymous(Option<IpAddr>),
    #[error("shared_key mismatch")]
    SharedKey,
    #[error("username/password mismatch")]
    User,
}

struct Source(Option<IpAddr>);

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.to_canonical().fmt(f),
            None => f.write_str("unix socket"),
        }
    }
}

/// A client section names hosts that nobody can be told by.
#[derive(Debug, thiserror::Error)]
#[error("client sections name hosts that cannot be looked up: {}; use addresses or networks, or repair the look-up", list(.0))]
pub struct UnknownHosts(Vec<(String, io::Error)>);

fn list(hosts: &[(String, io::Error)]) -> String {
    hosts.iter().map(|(host, error)| format!("{host} ({error})")).collect::<Vec<_>>().join(", ")
}

/// The keys of one input, which may be replaced while connections are made.
#[derive(Debug)]
pub struct KeyRing(RwLock<Arc<Keys>>);

impl KeyRing {
    /// Looks the hosts of client sections up, which may block. Fails when one is not known: its peers would be taken for
    /// anonymous ones, with other rights.
    pub fn load(plan: &SecurityPlan) -> Result<KeyRing, UnknownHosts> {
        let (keys, unknown) = Keys::resolve(plan, look_up, None);
        if unknown.is_empty() { Ok(KeyRing(RwLock::new(Arc::new(keys)))) } else { Err(UnknownHosts(unknown)) }
    }

    /// Puts new keys in place for the connections to come; those that are open stay. Looks hosts up again, which may
    /// block; one that is not known at the moment keeps the addresses it had. On an error the old keys stay.
    pub fn replace(&self, plan: &SecurityPlan) -> Result<(), UnknownHosts> {
        let (keys, unknown) = Keys::resolve(plan, look_up, Some(&self.current()));
        if !unknown.is_empty() {
            return Err(UnknownHosts(unknown));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The keys of now: one connection uses the same from its HELO to its PONG.
    pub fn current(&self) -> Arc<Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> =
        dns_lookup::lookup_host(host)?.map(|address| address.to_canonical()).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}

/// Keys and users, ready for use.
#[derive(Debug)]
pub struct Keys {
    /// How we call ourselves.
    hostname: String,
    shared_key: Secret,
    users: Option<Vec<(String, Secret)>>,
    clients: Vec<Client>,
    allow_anonymous_source: bool,
    /// Stands in for the password of a user there is not.
    nobody: Secret,
}

#[derive(Debug)]
struct Client {
    source: ClientSource,
    /// Of a host name.
    addresses: Vec<IpAddr>,
    shared_key: Option<Secret>,
    users: Vec<String>,
}

impl Client {
    fn holds(&self, peer: IpAddr) -> bool {
        match &self.source {
            ClientSource::Network(network) => network.contains(peer),
            ClientSource::Host(_) => self.addresses.contains(&peer.to_canonical()),
        }
    }

    fn permits(&self, username: &str) -> bool {
        self.users.is_empty() || self.users.iter().any(|known| known == username)
    }
}

impl Keys {
    fn resolve(
        plan: &SecurityPlan,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>>,
        before: Option<&Keys>,
    ) -> (Keys, Vec<(String, io::Error)>) {
        let mut unknown = Vec::new();
        let mut known: HashMap<&str, Vec<IpAddr>> = HashMap::new();
        for client in &plan.clients {
            let ClientSource::Host(host) = &client.source else { continue };
            if known.contains_key(host.as_str()) {
                continue;
            }
            let addresses = match (look_up(host), before.and_then(|keys| keys.addresses(host))) {
                (Ok(addresses), _) => addresses,
                (Err(error), Some(addresses)) => {
                    tracing::warn!(
                        host,
                        "the host of a client section cannot be looked up and keeps its addresses: {error}"
                    );
                    addresses.to_vec()
                }
                (Err(error), None) => {
                    unknown.push((host.clone(), error));
                    Vec::new()
                }
            };
            known.insert(host, addresses);
        }
        let clients = plan.clients.iter().map(|client| Client {
            source: client.source.clone(),
            addresses: match &client.source {
                ClientSource::Host(host) => known.get(host.as_str()).cloned().unwrap_or_default(),
                ClientSource::Network(_) => Vec::new(),
            },
            shared_key: client.shared_key.clone(),
            users: client.users.clone(),
        });
        let mut hostname = plan.self_hostname.clone().unwrap_or_else(host::name);
        hostname.truncate(hostname.floor_char_boundary(HOSTNAME_BYTES));
        let users = plan
            .users
            .as_ref()
            .map(|users| users.iter().map(|user| (user.username.clone(), user.password.clone())).collect());
        let keys = Keys {
            hostname,
            shared_key: plan.shared_key.clone(),
            users,
            clients: clients.collect(),
            allow_anonymous_source: plan.allow_anonymous_source,
            nobody: Secret::new("a password of usual length".to_owned()),
        };
        (keys, unknown)
    }

    fn addresses(&self, host: &str) -> Option<&[IpAddr]> {
        let named = |client: &&Client| matches!(&client.source, ClientSource::Host(known) if known == host);
        self.clients.iter().find(named).map(|client| client.addresses.as_slice())
    }

    /// How the gateway calls itself to peers.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Judges a PING that answers the challenge. `peer` is `None` on a Unix socket, which no client section can name.
    /// Gives the user it proved to be, where users are asked for, and D3.
    pub fn check(
        &self,
        peer: Option<IpAddr>,
        ping: &Ping,
        challenge: Challenge,
    ) -> Result<(Option<String>, Hex), Denied> {
        let client = peer.and_then(|peer| self.clients.iter().find(|client| client.holds(peer)));
        if client.is_none() && !self.allow_anonymous_source {
            return Err(Denied::Anonymous(peer));
        }
        let own = client.and_then(|client| client.shared_key.as_ref());
        let key = own.unwrap_or(&self.shared_key).expose().as_bytes();
        let expected = digest::key_digest(&ping.salt, &ping.hostname, &challenge.nonce, key);
        if !bool::from(digest::same(&ping.key_digest, &expected)) {
            return Err(Denied::SharedKey);
        }
        let username = match &self.users {
            None => None,
            Some(users) => Some(self.user(users, client, ping, &challenge).ok_or(Denied::User)?),
        };
        Ok((username, digest::key_digest(&ping.salt, self.hostname.as_bytes(), &challenge.nonce, key)))
    }

    fn user(
        &self,
        users: &[(String, Secret)],
        client: Option<&Client>,
        ping: &Ping,
        challenge: &Challenge,
    ) -> Option<String> {
        let found = users.iter().find(|(username, _)| {
            username.as_bytes() == ping.username && client.is_none_or(|client| client.permits(username))
        });
        let password = found.map_or(&self.nobody, |(_, password)| password).expose().as_bytes();
        let expected = digest::password_digest(&challenge.auth, &ping.username, password);
        let there = Choice::from(u8::from(found.is_some()));
        let proved = bool::from(digest::same(&ping.password_digest, &expected) & there);
        found.filter(|_| proved).map(|(username, _)| username.clone())
    }
}

#[cfg(test)]
mod tests;
