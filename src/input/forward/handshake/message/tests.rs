//! The sheet's vectors, every form and every cut of the three messages, and bytes that are none.

use proptest::prelude::*;

use super::super::vectors::{AUTH, D1, D2, D3, NONCE as N, SALT, vector};
use super::*;

fn done<T>(parsed: Parsed<T>) -> (T, usize) {
    match parsed {
        Parsed::Done(message, length) => (message, length),
        Parsed::Partial => panic!("partial"),
        Parsed::Bad(bad) => panic!("{bad}"),
    }
}

fn ping() -> Ping {
    Ping {
        hostname: b"client.local".to_vec(),
        salt: SALT.to_vec(),
        key_digest: D1.to_vec(),
        username: b"alice".to_vec(),
        password_digest: D2.to_vec(),
    }
}

/// H1 to H5.
#[test]
fn the_specifications_messages_are_written_and_read() {
    assert_eq!(Helo::encode(&N, &AUTH, true), vector("H1"));
    for (name, keepalive) in [("H1", true), ("H2", true)] {
        let helo = Helo { nonce: N.to_vec(), auth: AUTH.to_vec(), keepalive };
        assert_eq!(done(Helo::parse(&vector(name))), (helo, vector(name).len()));
    }
    assert_eq!(Ping::encode(b"client.local", SALT, D1, b"alice", D2), vector("H3"));
    assert_eq!(done(Ping::parse(&vector("H3"))), (ping(), vector("H3").len()));
    assert_eq!(Pong::accept(b"gw.local", D3), vector("H4"));
    assert_eq!(Pong::deny("shared_key mismatch"), vector("H5"));
    let (pong, _) = done(Pong::parse(&vector("H4")));
    assert_eq!((pong.ok, &*pong.hostname, &*pong.key_digest), (true, &b"gw.local"[..], D3.as_slice()));
    let (pong, _) = done(Pong::parse(&vector("H5")));
    assert_eq!((pong.ok, &*pong.reason), (false, &b"shared_key mismatch"[..]));
}

#[test]
fn strings_come_as_str_or_bin_in_any_header_form() {
    let mut bytes =
        b"\xdc\0\x07\xc4\x04PING\xc5\0\x01h\xda\0\x01s\xdb\0\0\0\x01d\xc6\0\0\0\x01u\xa1p".to_vec();
    bytes.extend_from_slice(b"\x81\xa1x\x91\xc0rest");
    let (ping, length) = done(Ping::parse(&bytes));
    assert_eq!((&*ping.hostname, &*ping.salt, &*ping.key_digest), (&b"h"[..], &b"s"[..], &b"d"[..]));
    assert_eq!((&*ping.username, &*ping.password_digest), (&b"u"[..], &b"p"[..]));
    assert_eq!(&bytes[length..], b"rest");
}

#[test]
fn a_helo_may_lack_what_it_does_not_need() {
    let bare = Helo { nonce: Vec::new(), auth: Vec::new(), keepalive: true };
    assert_eq!(done(Helo::parse(b"\x92\xa4HELO\x80")), (bare, 7));
    let bytes = b"\x93\xa4HELO\x84\xa5nonce\xa2no\xa4auth\xc0\xa3new\x92\x01\x02\xa9keepalive\xc2\xa1x";
    let helo = Helo { nonce: b"no".to_vec(), auth: Vec::new(), keepalive: false };
    assert_eq!(done(Helo::parse(bytes)), (helo, bytes.len()));
    let odd = b"\x92\xa4HELO\x81\xa9keepalive\xa3yes";
    assert!(done(Helo::parse(odd)).0.keepalive);
}

#[test]
fn what_is_no_ping_is_refused_as_soon_as_it_shows() {
    let other = Parsed::Bad(BadMessage::Other("PING"));
    for bytes in [
        &b"\x93"[..],
        b"\x95\xa4PING",
        b"\x96\xa4PONG",
        b"\x96\xc0",
        b"\xc0",
        b"\x81",
        b"\xdd\xff\xff\xff\xff",
    ] {
        assert_eq!(Ping::parse(bytes), other, "{bytes:x?}");
    }
    let long = |field, length, limit| Parsed::Bad(BadMessage::Length { field, length, limit });
    assert_eq!(Ping::parse(b"\x96\xa4PING\xda\x01\0"), long("host name", 256, 255));
    assert_eq!(Ping::parse(b"\x96\xa4PING\xa0\xdb\xff\xff\xff\xff"), long("salt", 0xffff_ffff, 128));
    assert_eq!(Ping::parse(b"\x96\xa4PING\x01"), Parsed::Bad(BadMessage::Type("host name")));
    let endless = [b"\x97\xa4PING\xa0\xa0\xa0\xa0\xa0\xc5\xff\xff".as_slice(), &[0; 5000]].concat();
    assert_eq!(Ping::parse(&endless), Parsed::Bad(BadMessage::TooLong));
    assert_eq!(Ping::parse(&endless[..MESSAGE_BYTES - 1]), Parsed::Partial);
}

#[test]
fn a_message_cut_anywhere_is_partial() {
    for name in ["H1", "H2", "H3", "H4", "H5"] {
        let bytes = vector(name);
        for cut in 0..bytes.len() {
            let partial = match name {
                "H1" | "H2" => Helo::parse(&bytes[..cut]) == Parsed::Partial,
                "H3" => Ping::parse(&bytes[..cut]) == Parsed::Partial,
                _ => Pong::parse(&bytes[..cut]) == Parsed::Partial,
            };
            assert!(partial, "{name} cut at {cut}");
        }
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"\x96".to_vec()),
        Just(b"\x92".to_vec()),
        Just(b"\x95".to_vec()),
        Just(b"\xa4PING".to_vec()),
        Just(b"\xa4HELO".to_vec()),
        Just(b"\xa4PONG".to_vec()),
        Just(b"\xa5nonce".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(0x80..=0xdfu8, 1..4),
        (0u8..32, any::<u8>())
            .prop_map(|(length, fill)| { [vec![0xa0 | length], vec![fill; usize::from(length)]].concat() }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_get_one_verdict_however_they_are_cut(pieces in proptest::collection::vec(piece(), 0..12)) {
        let bytes = pieces.concat();
        fn check<T: PartialEq + std::fmt::Debug>(bytes: &[u8], parse: impl Fn(&[u8]) -> Parsed<T>) {
            let whole = parse(bytes);
            let first = (0..=bytes.len()).map(|cut| parse(&bytes[..cut])).find(|parsed| *parsed != Parsed::Partial);
            assert_eq!(first.unwrap_or(Parsed::Partial), whole);
        }
        check(&bytes, Ping::parse);
        check(&bytes, Helo::parse);
        check(&bytes, Pong::parse);
    }

    #[test]
    fn what_is_written_is_read(
        hostname in proptest::collection::vec(any::<u8>(), 0..256),
        salt in proptest::collection::vec(any::<u8>(), 0..129),
        username in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        let bytes = Ping::encode(&hostname, &salt, D1, &username, D2);
        let ping = Ping { hostname, salt, key_digest: D1.to_vec(), username, password_digest: D2.to_vec() };
        prop_assert_eq!(Ping::parse(&bytes), Parsed::Done(ping, bytes.len()));
    }
}
