//! Which moment the time of a header means.
//!
//! A time without a year is in the year that puts it nearest to its receipt, one without a zone in the zone of the
//! configuration.

use jiff::tz::TimeZone;

use super::stamp::{Moment, Stamp};
use crate::record::Timestamp;
use crate::record::calendar::{Civil, DAY};

/// Turns what headers say into moments. Remembers the last, since most messages share their second with the one before.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    last: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    civil: Civil,
    seconds: i64,
    /// A year found once is not right for ever.
    received: i64,
}

impl Default for Clock {
    /// On UTC.
    fn default() -> Clock {
        Clock::new(TimeZone::UTC)
    }
}

impl Clock {
    /// `zone`: of times that name none.
    pub fn new(zone: TimeZone) -> Clock {
        Clock { zone, last: None }
    }

    /// The moment a header means. `None` for 29 February without a leap year near.
    pub fn moment(&mut self, stamp: &Stamp, received: Timestamp) -> Option<Timestamp> {
        let seconds = match stamp.moment {
            Moment::Epoch(seconds) => seconds,
            Moment::Civil(civil) => match self.last {
                Some(known) if known.civil == civil && (received.seconds - known.received).abs() < DAY => {
                    known.seconds
                }
                _ => {
                    let seconds = civil.seconds(&self.zone, received.seconds)?;
                    self.last = Some(Known { civil, seconds, received: received.seconds });
                    seconds
                }
            },
        };
        Some(Timestamp { seconds, nanos: stamp.nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::super::stamp::{self, read};
    use super::*;
    use proptest::prelude::*;

    fn clock(zone: &str) -> Clock {
        Clock::new(TimeZone::get(zone).unwrap())
    }

    fn epoch_of(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    /// What a stamp means in a zone, when it is received at a time; with the rest of the text.
    fn means<'t>(text: &'t str, zone: &str, received: &str) -> Option<(String, &'t str)> {
        let (stamp, len) = read(text.as_bytes())?;
        let received = Timestamp::new(epoch_of(received), 0);
        let time = clock(zone).moment(&stamp, received)?;
        let time = jiff::Timestamp::new(time.seconds, time.nanos as i32).unwrap().to_string();
        Some((time, &text[len..]))
    }

    #[test]
    fn all_ways_to_write_a_time_mean_the_same() {
        let now = "2026-11-22T22:54:00Z";
        let second = "2026-11-22T22:53:00Z";
        for (text, rest) in [
            ("2026-11-22T22:53:00Z host", " host"),
            ("2026-11-22T22:53:00z", ""),
            ("2026-11-23T06:53:00+08:00 host", " host"),
            ("2026-11-22T17:53:00-0500 host", " host"),
            ("2026-11-23 06:53:00 host", " host"),
            ("2026-11-23T06:53:00 host", " host"),
            ("Nov 23 06:53:00 host", " host"),
            ("nov 23 2026 06:53:00: %ASA", ": %ASA"),
            ("2026 Nov 23 06:53:00 UTC+", " UTC+"),
            ("2026 Nov 22 22:53:00 UTC: %X", ": %X"),
            ("Nov 22 22:53:00 2026 GMT: %X", ": %X"),
            ("Nov 23 06:53:00 CST: %X", ": %X"),
            ("Nov 23 06:53:00 CRON: x", " CRON: x"),
            ("Nov 23 06:53:00 UTC host", " UTC host"),
            ("Nov 23 06:53:00 2026 aruba", " aruba"),
            ("Nov 22 17:53:00 -05:00: x", ": x"),
            ("Nov 22 17:53:00-05:00 host", " host"),
            ("Nov 23 06:53:00 2026x", " 2026x"),
        ] {
            assert_eq!(means(text, "Asia/Shanghai", now), Some((second.to_owned(), rest)), "{text}");
        }
        let fine = "2026-11-22T22:53:17.78467Z";
        for text in ["2026-11-22T22:53:17.784670Z", "Nov 22 22:53:17.784670", "Nov 22 22:53:17,78467000099"] {
            assert_eq!(means(text, "UTC", now).unwrap().0, fine, "{text}");
        }
        assert_eq!(means("Nov  2 22:53:00 h", "UTC", now), means("Nov 02 22:53:00 h", "UTC", now));
        assert_eq!(means("Nov 2 22:53:00 h", "UTC", now), means("Nov 02 22:53:00 h", "UTC", now));
        let (stamp, len) = stamp::epoch(b"1733266990.123456789 MX84").unwrap();
        assert_eq!((stamp.moment, stamp.nanos, len), (stamp::Moment::Epoch(1_733_266_990), 123_456_789, 20));
    }

    #[test]
    fn a_missing_year_is_the_nearest() {
        let year = |text: &str, received: &str| means(text, "UTC", received).unwrap().0[..4].to_owned();
        assert_eq!(year("Dec 31 23:59:58", "2027-01-01T00:00:03Z"), "2026");
        assert_eq!(year("Jan  1 00:00:02", "2026-12-31T23:59:59Z"), "2027");
        assert_eq!(year("Jan  1 00:00:02", "2026-02-01T00:00:00Z"), "2026");
        assert_eq!(year("Feb 29 12:00:00", "2028-03-01T00:00:00Z"), "2028");
        assert_eq!(means("Feb 29 12:00:00", "UTC", "2026-03-01T00:00:00Z"), None);
        // A clock that was not set yet is left to what holds for all records of improbable times.
        assert_eq!(year("Jan  1 00:00:12 2000", "2026-11-22T00:00:00Z"), "2000");
    }

    #[test]
    fn the_hour_an_autumn_night_has_twice_is_the_nearer_one() {
        let (zone, text) = ("Europe/Berlin", "Oct 25 02:30:00");
        assert_eq!(means(text, zone, "2026-10-25T00:30:05Z").unwrap().0, "2026-10-25T00:30:00Z");
        assert_eq!(means(text, zone, "2026-10-25T01:30:05Z").unwrap().0, "2026-10-25T01:30:00Z");
        assert_eq!(means("Mar 29 02:30:00", zone, "2026-03-29T01:30:00Z").unwrap().0, "2026-03-29T01:30:00Z");
    }

    #[test]
    fn a_remembered_time_is_not_remembered_for_a_year() {
        let mut clock = clock("UTC");
        let (stamp, _) = read(b"Nov 22 22:53:00").unwrap();
        for year in [2026, 2027] {
            let second = epoch_of(&format!("{year}-11-22T22:53:00Z"));
            let time = clock.moment(&stamp, Timestamp::new(second + 5, 0)).unwrap();
            assert_eq!(time.seconds, second);
        }
    }

    proptest! {
        #[test]
        fn the_calendar_agrees_with_another(seconds in 0i64..5_000_000_000, text: Vec<u8>) {
            let time = jiff::Timestamp::from_second(seconds).unwrap();
            let text_of_time = time.to_string();
            let (stamp, len) = read(text_of_time.as_bytes()).unwrap();
            prop_assert_eq!(len, text_of_time.len());
            let found = clock("UTC").moment(&stamp, Timestamp::default()).unwrap();
            prop_assert_eq!(found.seconds, seconds);
            let bsd = time.strftime("%b %e %H:%M:%S").to_string();
            let (stamp, _) = read(bsd.as_bytes()).unwrap();
            let found = clock("UTC").moment(&stamp, Timestamp::new(seconds, 0)).unwrap();
            prop_assert_eq!(found.seconds, seconds);
            read(&text);
        }
    }
}
