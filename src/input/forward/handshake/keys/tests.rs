//! Who is let in and who is not: each combination of address, key and user; keys that change.

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
        (&include_bytes!("../../../../../tests/data/forward/fluent-bit-shared-key.bin")[..], &b""[..], None),
        (
            include_bytes!("../../../../../tests/data/forward/fluent-bit-shared-key-user.bin"),
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
