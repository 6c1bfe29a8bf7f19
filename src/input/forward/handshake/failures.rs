//! What failed handshakes leave behind: a count by reason, a log line now and then, and patience for the address.
//!
//! A refusal is told after 100 ms, and after twice as long with each one more from the same address, up to 5 s, so that
//! trying keys is slow. Every ten seconds without a refusal forgive one. Peers that know their key never wait, even
//! behind an address that many share.
//!
//! The memory is bounded: two generations of so many addresses each; when the young one is full it becomes the old one,
//! whose rest is forgotten. An IPv6 peer has a network of addresses to come from, so /64 networks are counted there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::HandshakeError;
use super::keys::Denied;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};

/// The shortest wait before a refusal, and the longest.
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
pub const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// So much quiet takes one failure back.
const FORGIVE: Duration = Duration::from_secs(10);
/// Addresses of one generation.
const ADDRESSES: usize = 4_096;
/// Counts above this change nothing and would be long to forgive.
const COUNT: u32 = 12;
/// Characters of a claimed host name in the log.
const SHOWN: usize = 64;

/// The reasons, as they stand in metrics.
const REASONS: [&str; 7] =
    ["invalid_ping", "anonymous_source", "shared_key", "user", "timeout", "cut", "foreign"];

pub struct Failures {
    input: String,
    reasons: [(&'static str, LogLimit, Counter); REASONS.len()],
    addresses: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Option<IpAddr>, Seen>,
    old: HashMap<Option<IpAddr>, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    count: u32,
    last: Instant,
}

impl Failures {
    pub fn new(input: &str) -> Self {
        let reasons = REASONS.map(|reason| {
            let failed = counter(
                "sluicegate_handshake_failures_total",
                "Shared-key handshakes that failed, by reason.",
                &[("input", input), ("reason", reason)],
            );
            (reason, LogLimit::new(Duration::from_secs(1)), failed)
        });
        Failures { input: input.to_owned(), reasons, addresses: Mutex::default() }
    }

    /// Counts a refusal and gives the wait before it is told. `peer` is `None` on a Unix socket.
    pub fn delay(&self, peer: Option<IpAddr>) -> Duration {
        self.delay_at(peer, Instant::now())
    }

    fn delay_at(&self, peer: Option<IpAddr>, now: Instant) -> Duration {
        let peer = peer.map(network);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let before = addresses.young.get(&peer).or_else(|| addresses.old.get(&peer)).copied();
        let count = before.map_or(0, |seen| {
            let quiet = now.saturating_duration_since(seen.last).as_secs() / FORGIVE.as_secs();
            seen.count.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
        });
        if addresses.young.len() >= ADDRESSES && !addresses.young.contains_key(&peer) {
            addresses.old = std::mem::take(&mut addresses.young);
        }
        addresses.young.insert(peer, Seen { count: (count + 1).min(COUNT), last: now });
        FIRST_DELAY.saturating_mul(1 << count).min(LONGEST_DELAY)
    }

    /// Addresses that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let addresses = self.addresses.lock().unwrap();
        addresses.young.len() + addresses.old.len()
    }

    /// Counts a failure and logs it, where that is due. `claimed` is the host name of the PING, if there was one.
    pub(super) fn report(&self, peer: &str, claimed: Option<&[u8]>, error: &HandshakeError) {
        let Some(reason) = reason(error) else { return };
        let Some((_, limit, failed)) = self.reasons.iter().find(|(known, _, _)| *known == reason) else {
            return;
        };
        failed.increment(1);
        if let Some(suppressed) = limit.allow() {
            let claimed = claimed.map_or_else(|| "none".to_owned(), shown);
            tracing::warn!(
                input = %self.input,
                %peer,
                claimed_host = claimed,
                suppressed,
                "handshake failed: {error}"
            );
        }
    }
}

/// `None` where the peer is not to blame.
fn reason(error: &HandshakeError) -> Option<&'static str> {
    Some(match error {
        HandshakeError::Denied(Denied::Ping(_)) => "invalid_ping",
        HandshakeError::Denied(Denied::Anonymous(_)) => "anonymous_source",
        HandshakeError::Denied(Denied::SharedKey) => "shared_key",
        HandshakeError::Denied(Denied::User) => "user",
        HandshakeError::TimedOut => "timeout",
        HandshakeError::Cut => "cut",
        HandshakeError::Foreign(_) => "foreign",
        HandshakeError::Heartbeat | HandshakeError::Lost(_) | HandshakeError::Random(_) => return None,
    })
}

/// The network whose failures count together.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// A peer's text for the log: escaped and cut.
pub(super) fn shown(bytes: &[u8]) -> String {
    // No character becomes shorter by escaping.
    let bytes = bytes.get(..4 * SHOWN).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes).escape_debug().to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    #[test]
    fn refusals_are_slower_each_time_and_quiet_forgives() {
        let failures = Failures::new("test");
        let start = Instant::now();
        let millis: Vec<_> = (0..8).map(|_| failures.delay_at(PEER, start).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(failures.delay_at(None, start), FIRST_DELAY, "others are not held");
        assert_eq!(failures.delay_at(PEER, start + 4 * FORGIVE).as_millis(), 1600);
        assert_eq!(failures.delay_at(PEER, start + 100 * FORGIVE), FIRST_DELAY);
    }

    #[test]
    fn a_long_siege_is_forgiven_in_minutes() {
        let failures = Failures::new("test");
        let start = Instant::now();
        for _ in 0..10_000 {
            failures.delay_at(PEER, start);
        }
        assert_eq!(failures.delay_at(PEER, start + FORGIVE * COUNT), FIRST_DELAY);
    }

    #[test]
    fn addresses_are_bounded_and_networks_count_as_one() {
        let failures = Failures::new("test");
        for n in 0..50_000u32 {
            failures.delay(Some(IpAddr::V4(n.into())));
        }
        assert!(failures.remembered() <= 2 * ADDRESSES);
        assert!(failures.delay(Some(IpAddr::V4(49_999.into()))) > FIRST_DELAY, "the last are remembered");
        let v6 = |last: u16| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last)));
        assert_eq!(failures.delay(v6(1)), FIRST_DELAY);
        assert_eq!(failures.delay(v6(2)), 2 * FIRST_DELAY);
        let mapped = Some("::ffff:198.51.100.7".parse().unwrap());
        assert_eq!(failures.delay(mapped), FIRST_DELAY);
        assert_eq!(failures.delay(Some("198.51.100.7".parse().unwrap())), 2 * FIRST_DELAY);
    }

    #[test]
    fn claimed_names_cannot_forge_log_lines() {
        assert_eq!(shown(b"web-1"), "web-1");
        assert_eq!(shown(b"a\nb\x1b[31m\xff"), "a\\nb\\u{1b}[31m\u{fffd}");
        assert_eq!(shown(&[b'x'; 255]), format!("{}...", "x".repeat(64)));
    }
}
