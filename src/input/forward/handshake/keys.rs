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
mod tests {
    use super::super::vectors::{AUTH, D1, D2, D3, NONCE as N, SALT};
    use super::*;
    use crate::config::leaf::Network;
    use crate::config::plan::{ClientPlan, UserPlan};

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn plan() -> SecurityPlan {
        SecurityPlan {
            self_hostname: Some("gw.local".to_owned()),
            shared_key: secret("secret"),
            users: None,
            clients: Vec::new(),
            allow_anonymous_source: true,
        }
    }

    fn user(name: &str, password: &str) -> UserPlan {
        UserPlan { username: name.to_owned(), password: secret(password) }
    }

    fn client(network: &str, key: Option<&str>, users: &[&str]) -> ClientPlan {
        ClientPlan {
            source: ClientSource::Network(Network::parse(network).unwrap()),
            shared_key: key.map(secret),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
        }
    }

    fn challenge() -> Challenge {
        Challenge { nonce: N, auth: AUTH }
    }

    /// What a client with these says to the challenge.
    fn ping(key: &str, user: Option<(&str, &str)>) -> Ping {
        let hostname = b"client.local".to_vec();
        let (name, password) = user.unwrap_or_default();
        Ping {
            key_digest: digest::key_digest(SALT, &hostname, &N, key.as_bytes()).to_vec(),
            password_digest: digest::password_digest(&AUTH, name.as_bytes(), password.as_bytes()).to_vec(),
            hostname,
            salt: SALT.to_vec(),
            username: name.as_bytes().to_vec(),
        }
    }

    fn check(plan: &SecurityPlan, peer: Option<IpAddr>, ping: &Ping) -> Result<Option<String>, Denied> {
        KeyRing::load(plan).unwrap().current().check(peer, ping, challenge()).map(|(username, _)| username)
    }

    #[test]
    fn the_specifications_ping_is_taken_and_a_changed_digit_is_not() {
        let mut plan = plan();
        plan.users = Some(vec![user("alice", "pa55")]);
        let mut ping = ping("secret", Some(("alice", "pa55")));
        assert_eq!((&*ping.key_digest, &*ping.password_digest), (D1.as_slice(), D2.as_slice()));
        let ring = KeyRing::load(&plan).unwrap();
        let accepted = ring.current().check(PEER, &ping, challenge()).unwrap();
        assert_eq!(accepted, (Some("alice".to_owned()), *D3));
        ping.key_digest[20] ^= 1;
        assert_eq!(check(&plan, PEER, &ping), Err(Denied::SharedKey));
    }

    /// Recorded from Fluent Bit 5.1.1: the whole messages, without and with a user.
    #[test]
    fn fluent_bits_digests_are_ours() {
        let mut plan = plan();
        plan.shared_key = secret("s3cr3t");
        let recorded = [
            (&include_bytes!("../../../../tests/data/forward/fluent-bit-shared-key.bin")[..], &b""[..], None),
            (
                include_bytes!("../../../../tests/data/forward/fluent-bit-shared-key-user.bin"),
                b"fedcba9876543210",
                Some("alice"),
            ),
        ];
        for (bytes, auth, name) in recorded {
            plan.users = name.map(|name| vec![user(name, "wonder")]);
            let super::super::message::Parsed::Done(ping, _) = Ping::parse(bytes) else { panic!("no ping") };
            assert_eq!(ping.hostname, b"edge-1");
            let nonce = *b"0123456789abcdef";
            let ring = KeyRing::load(&plan).unwrap();
            if auth.is_empty() {
                let auth = [0; NONCE];
                assert!(ring.current().check(PEER, &ping, Challenge { nonce, auth }).is_ok());
            } else {
                let challenge = Challenge { nonce, auth: auth.try_into().unwrap() };
                let (username, _) = ring.current().check(PEER, &ping, challenge).unwrap();
                assert_eq!(username.as_deref(), name);
            }
        }
    }

    /// One row per combination of key and users: half-configured security must not let anybody in.
    #[test]
    fn every_combination_of_key_and_user() {
        let (ok, key, user_) = (Ok(()), Err(Denied::SharedKey), Err(Denied::User));
        let right = ("alice", "pa55");
        for (users, their_key, their_user, expected) in [
            (None, "secret", None, ok),
            (None, "secret", Some(("eve", "x")), ok),
            (None, "", None, key),
            (None, "Secret", Some(right), key),
            (Some(vec![]), "secret", None, user_),
            (Some(vec![]), "secret", Some(right), user_),
            (Some(vec![right]), "secret", Some(right), ok),
            (Some(vec![right]), "wrong", Some(right), key),
            (Some(vec![right]), "secret", None, user_),
            (Some(vec![right]), "secret", Some(("alice", "")), user_),
            (Some(vec![right]), "secret", Some(("alice", "pa55 ")), user_),
            (Some(vec![right]), "secret", Some(("alic", "epa55")), user_),
            (Some(vec![right]), "secret", Some(("bob", "a password of usual length")), user_),
            (Some(vec![("bob", "b"), right]), "secret", Some(right), ok),
            (Some(vec![("bob", "b"), right]), "secret", Some(("bob", "pa55")), user_),
        ] {
            let mut plan = plan();
            plan.users = users.map(|users| users.into_iter().map(|(name, word)| user(name, word)).collect());
            let found = check(&plan, PEER, &ping(their_key, their_user)).map(|_| ());
            assert_eq!(found, expected, "{:?} {their_key} {their_user:?}", plan.users);
        }
        let mut open = plan();
        open.shared_key = secret("");
        assert_eq!(check(&open, PEER, &ping("", None)), Ok(None));
        assert_eq!(check(&open, PEER, &ping("secret", None)), Err(Denied::SharedKey));
        let mut empty = ping("secret", Some(("alice", "pa55")));
        empty.password_digest.clear();
        let mut asks = plan();
        asks.users = Some(vec![user("alice", "pa55")]);
        assert_eq!(check(&asks, PEER, &empty), Err(Denied::User));
        empty.key_digest.clear();
        assert_eq!(check(&asks, PEER, &empty), Err(Denied::SharedKey));
    }

    #[test]
    fn the_first_client_section_that_holds_the_peer_gives_key_and_users() {
        let mut plan = plan();
        plan.users = Some(vec![user("alice", "a"), user("bob", "b")]);
        plan.clients = vec![
            client("192.0.2.0/28", Some("near"), &["bob"]),
            client("192.0.2.0/24", Some("far"), &[]),
            client("2001:db8::/32", None, &["alice"]),
        ];
        let at = |address: &str| Some(address.parse().unwrap());
        let (alice, bob) = (Some(("alice", "a")), Some(("bob", "b")));
        for (peer, key, user, expected) in [
            (PEER, "near", bob, Ok("bob")),
            (PEER, "near", alice, Err(Denied::User)),
            (PEER, "far", bob, Err(Denied::SharedKey)),
            (PEER, "secret", bob, Err(Denied::SharedKey)),
            (at("::ffff:192.0.2.7"), "near", bob, Ok("bob")),
            (at("192.0.2.77"), "far", alice, Ok("alice")),
            (at("2001:db8::1"), "secret", alice, Ok("alice")),
            (at("2001:db8::1"), "secret", bob, Err(Denied::User)),
            (at("203.0.113.1"), "secret", bob, Ok("bob")),
            (None, "secret", alice, Ok("alice")),
        ] {
            let found = check(&plan, peer, &ping(key, user));
            assert_eq!(found, expected.map(|name| Some(name.to_owned())), "{peer:?} {key} {user:?}");
        }
        plan.allow_anonymous_source = false;
        let denied = check(&plan, at("::ffff:203.0.113.1"), &ping("secret", bob)).unwrap_err();
        assert_eq!(denied.to_string(), "anonymous source host '203.0.113.1' denied");
        let denied = check(&plan, None, &ping("secret", bob)).unwrap_err();
        assert_eq!(denied.to_string(), "anonymous source host 'unix socket' denied");
        assert_eq!(check(&plan, PEER, &ping("near", bob)), Ok(Some("bob".to_owned())));
    }

    #[test]
    fn hosts_are_looked_up_when_keys_are_loaded_and_keep_their_addresses() {
        let mut plan = plan();
        plan.allow_anonymous_source = false;
        plan.clients = vec![ClientPlan {
            source: ClientSource::Host("web.test".to_owned()),
            shared_key: None,
            users: Vec::new(),
        }];
        let known = |_: &str| Ok(vec![PEER.unwrap()]);
        let unknown = |_: &str| Err(io::ErrorKind::NotFound.into());
        let (keys, missing) = Keys::resolve(&plan, known, None);
        assert!(missing.is_empty() && keys.check(PEER, &ping("secret", None), challenge()).is_ok());
        let (_, missing) = Keys::resolve(&plan, unknown, None);
        assert_eq!(missing.len(), 1);
        let (keys, missing) = Keys::resolve(&plan, unknown, Some(&keys));
        assert!(missing.is_empty() && keys.check(PEER, &ping("secret", None), challenge()).is_ok());
        let other = Some("192.0.2.8".parse().unwrap());
        assert!(keys.check(other, &ping("secret", None), challenge()).is_err());
        let error = UnknownHosts(vec![("web.test".to_owned(), io::Error::other("no such name"))]);
        assert_eq!(
            error.to_string(),
            "client sections name hosts that cannot be looked up: web.test (no such name); use addresses or networks, \
             or repair the look-up"
        );
    }

    #[test]
    fn keys_are_replaced_for_the_connections_to_come() {
        let mut plan = plan();
        let ring = KeyRing::load(&plan).unwrap();
        let before = ring.current();
        plan.shared_key = secret("new");
        ring.replace(&plan).unwrap();
        assert!(before.check(PEER, &ping("secret", None), challenge()).is_ok());
        assert!(ring.current().check(PEER, &ping("secret", None), challenge()).is_err());
        assert!(ring.current().check(PEER, &ping("new", None), challenge()).is_ok());
        assert!(!format!("{ring:?}").contains("new"));
    }

    #[test]
    fn a_long_host_name_still_fits_a_pong() {
        let mut plan = plan();
        plan.self_hostname = Some("ä".repeat(200));
        assert_eq!(KeyRing::load(&plan).unwrap().current().hostname().len(), 254);
    }
}
