//! The leaves of a configuration: sizes, durations, addresses, secrets, each with its one way to be written.
//!
//! Every parser answers with what would be right, so that a message needs no manual. None of them is lenient: `64M`,
//! `5` for five seconds or `::1:80` are refused, since a wrong guess would only show under load.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A size: an integer (bytes), or an integer and one of B, KiB, MiB, GiB, KB, MB, GB (the last three are powers of 1000).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_number(text);
    let right = || {
        let digits = if digits.is_empty() { "64" } else { digits };
        let unit = match unit.bytes().next().map(|first| first.to_ascii_uppercase()) {
            Some(b'K') => "KiB",
            Some(b'G') => "GiB",
            _ => "MiB",
        };
        format!("is not a size; write {digits}{unit}")
    };
    let number: u64 = digits.parse().map_err(|_| right())?;
    if unit.is_empty() {
        return Ok(number);
    }
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(right)?;
    number.checked_mul(*factor).ok_or_else(|| "is too large".to_owned())
}

/// The shortest exact way to write a size.
pub fn size_text(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// A duration: an integer and one of ms, s, m, h.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split_number(text);
    let right = || {
        let digits = if digits.is_empty() { "60" } else { digits };
        format!("is not a duration; write {digits}s (units: ms, s, m, h)")
    };
    let number: u64 = digits.parse().map_err(|_| right())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(right()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| "is too long".to_owned())
}

/// The shortest exact way to write a duration of whole milliseconds.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= factor && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    format!("{millis}ms")
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

/// Addresses by prefix: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub fn parse(text: &str) -> Result<Network, String> {
        let right = || "is no network; write 10.0.0.0/8, 2001:db8::/32 or an address".to_owned();
        let net: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse().map_err(|_| right())?,
        };
        if net.addr() != net.addr().to_canonical() {
            return Err("is an IPv4 network in IPv6 form; write it as IPv4".to_owned());
        }
        Ok(Network(net.trunc()))
    }

    /// Whether an address lies in it. An IPv4 address inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Host and port. Port 0 lets the kernel choose, where that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, an IPv6 one without brackets; with `port` it is what `TcpListener::bind` takes.
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn new(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    /// `host:port`, an IPv6 host in brackets.
    pub fn parse(text: &str) -> Result<Address, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("names no host; write it as host:port, such as 127.0.0.1:{text}"));
        }
        let (host, port) = split_host(text)?;
        let Some(port) = port else {
            return Err("has no port; write it as host:port, such as 127.0.0.1:24224".to_owned());
        };
        Ok(Address { host, port })
    }

    /// Whether two sockets bound to both would collide: the same port, and the same host or one of every interface.
    pub fn collides(&self, other: &Address) -> bool {
        if self.port == 0 || self.port != other.port {
            return false;
        }
        match (self.ip(), other.ip()) {
            (Some(one), Some(two)) => {
                one == two
                    // A socket on [::] takes IPv4 as well.
                    || one == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                    || two == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                    || (one.is_ipv4() == two.is_ipv4() && (one.is_unspecified() || two.is_unspecified()))
            }
            _ => self.host.eq_ignore_ascii_case(&other.host),
        }
    }

    fn ip(&self) -> Option<IpAddr> {
        if self.host.eq_ignore_ascii_case("localhost") {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        self.host.parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`, and checks both parts.
pub(super) fn split_host(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("has an opening [ and no ]; write [::1]:24224")?;
        host.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets; write [::1]:24224")?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("has something behind its ]; write [::1]:24224".to_owned()),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(
                    "has several colons; write an IPv6 address in brackets, as \"[::1]:24224\"".to_owned()
                );
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(
            "names no host; write 127.0.0.1 for this machine alone or 0.0.0.0 for every interface".to_owned()
        );
    }
    if !text.starts_with('[') {
        check_host_name(host)?;
    }
    let port = match port {
        None => None,
        Some(digits) => Some(parse_port(digits)?),
    };
    Ok((host.to_owned(), port))
}

fn parse_port(digits: &str) -> Result<u16, String> {
    let port = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None };
    port.ok_or_else(|| "has no valid port; it is a number from 0 to 65535".to_owned())
}

pub(super) fn check_host_name(host: &str) -> Result<(), String> {
    let legal = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let only_numbers = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !legal || (only_numbers && host.parse::<Ipv4Addr>().is_err()) {
        return Err(
            "has no valid host; write a name, an IPv4 address or an IPv6 address in brackets".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn sizes_are_exact_and_errors_say_what_to_write() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("64MiB", 64 << 20),
            ("2KB", 2_000),
            ("3MB", 3_000_000),
            ("1GB", 1_000_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_size("64MX").unwrap_err(), "is not a size; write 64MiB");
        assert_eq!(parse_size("7k").unwrap_err(), "is not a size; write 7KiB");
        for wrong in ["", "MiB", "-1", "1.5MiB", "1 MiB", "99999999999999999999", "99999999999GiB", "64mib"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        for (text, millis) in [("500ms", 500), ("5s", 5_000), ("1m", 60_000), ("2h", 7_200_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration("60").unwrap_err(), "is not a duration; write 60s (units: ms, s, m, h)");
        for wrong in ["", "s", "1.5s", "5 s", "1d", "99999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_every_kind() {
        for text in
            ["127.0.0.1:24224", "0.0.0.0:0", "localhost:1", "my-host.example:65535", "[::1]:24224", "[::]:80"]
        {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "24224",
            ":24224",
            "::1:24224",
            "[::1]",
            "[::1:2",
            "[zz]:1",
            "host:",
            "host:+1",
            "host:65536",
            "300.1.1.1:1",
            "a b:1",
            "[::1]x:1",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_sockets_collide_on_one_port_and_overlapping_hosts() {
        let collide =
            |one: &str, two: &str| Address::parse(one).unwrap().collides(&Address::parse(two).unwrap());
        assert!(collide("127.0.0.1:1", "127.0.0.1:1"));
        assert!(collide("127.0.0.1:1", "localhost:1"));
        assert!(collide("0.0.0.0:1", "127.0.0.1:1"));
        assert!(collide("[::]:1", "127.0.0.1:1"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!collide("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!collide("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!collide("0.0.0.0:1", "[::1]:1"));
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }
}
