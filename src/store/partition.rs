//! Which file a pack belongs to: a slice of arrival time, in a class of packs that are kept equally long.
//!
//! ```text
//! packs/30d-1795392000.db      ttl in days, a dash, the second (since 1970) in which the slice starts
//!
//! ttl 30 d   |-- 1 day --|-- 1 day --|-- 1 day --| ...     a file goes, whole, when its end is older than its ttl
//! ttl 1 d    |1.5h|1.5h|1.5h|1.5h| ...
//! ```
//!
//! A slice is a sixteenth of the ttl, at least an hour and at most a day, and longer where a class would have more than
//! 32 files. A file that has grown large enough ends before its slice does, and the next one starts in the second of
//! that, so that there is always an old file to drop when all of them may take only so much. So a pack is kept for its ttl and at most one slice more. It keeps the ttl under which it arrived: a
//! logstore whose ttl changes writes into another class from then on. A ttl of 3650 days is for ever.

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Days that mean for ever.
pub(super) const FOR_EVER: i64 = 3650;

/// A file of packs, by what is in its name; ordered by start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// Nanoseconds since 1970, whole seconds, of the first arrival that may be in it.
    pub start: i64,
    /// Days its packs are kept.
    pub ttl: i64,
}

impl Slice {
    /// The slice for a pack that arrives at this nanosecond in a logstore of this ttl.
    pub(super) fn of(ttl: i64, arrived: i64) -> Slice {
        let ttl = ttl.clamp(1, FOR_EVER);
        let length = length(ttl);
        Slice { start: arrived.div_euclid(length) * length, ttl }
    }

    /// The part of a slice from this nanosecond on; `floor` is a start it has to be above.
    pub(super) fn rest(ttl: i64, arrived: i64, floor: i64) -> Slice {
        let second = arrived.div_euclid(SECOND) * SECOND;
        Slice { start: second.max(floor.saturating_add(SECOND)), ttl: ttl.clamp(1, FOR_EVER) }
    }

    /// The first nanosecond behind it.
    pub fn end(&self) -> i64 {
        let length = length(self.ttl);
        self.start.div_euclid(length).saturating_add(1).saturating_mul(length)
    }

    /// The least slice above this one.
    pub(super) fn behind(&self) -> Slice {
        Slice { start: self.start, ttl: self.ttl + 1 }
    }

    /// Whether a pack of this id may lie here.
    pub(super) fn may_hold(&self, id: i64) -> bool {
        (self.start..self.end()).contains(&id)
    }

    /// Whether the last pack that could be in it is older than its ttl.
    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.ttl < FOR_EVER && self.end().saturating_add(self.ttl * DAY) <= now
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}d-{}.db", self.ttl, self.start / SECOND)
    }

    /// Reads a name that [`file_name`](Slice::file_name) made; `None` for any other.
    pub(super) fn from_name(name: &str) -> Option<Slice> {
        let (ttl, start) = name.strip_suffix(".db")?.split_once("d-")?;
        let (ttl, start) = (ttl.parse().ok()?, start.parse::<i64>().ok()?.checked_mul(SECOND)?);
        let slice = Slice { start, ttl };
        ((1..=FOR_EVER).contains(&ttl) && slice.file_name() == name).then_some(slice)
    }
}

fn length(ttl: i64) -> i64 {
    let length = (ttl * DAY / 16).clamp(HOUR, DAY).max(ttl * DAY / 32);
    // A name counts seconds.
    length / SECOND * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_few_files_and_each_pack_its_own() {
        for ttl in 1..=FOR_EVER {
            let length = length(ttl);
            assert!(ttl * DAY / length <= 33, "{ttl} days");
            assert!(length >= HOUR && (length <= DAY || ttl > 32), "{ttl} days");
            for at in [0, 1, length - 1, length, 1_795_426_089_123_456_789] {
                let slice = Slice::of(ttl, at);
                assert!(slice.may_hold(at) && !slice.may_hold(slice.end()));
                assert_eq!(Slice::from_name(&slice.file_name()), Some(slice));
                assert_eq!(Slice::of(ttl, slice.end()).start, slice.end());
                let rest = Slice::rest(ttl, at, slice.start);
                assert!(rest.start > slice.start && rest.end() >= slice.end());
                assert_eq!(Slice::from_name(&rest.file_name()), Some(rest));
            }
        }
        assert_eq!(length(1), HOUR * 3 / 2);
        assert_eq!(length(30), DAY);
    }

    #[test]
    fn expires_when_its_last_moment_is_too_old() {
        let slice = Slice::of(1, 10 * DAY);
        assert!(!slice.is_expired(slice.end() + DAY - 1));
        assert!(slice.is_expired(slice.end() + DAY));
        assert!(!Slice::of(FOR_EVER, 0).is_expired(i64::MAX));
    }

    #[test]
    fn other_names_are_none_of_ours() {
        for name in [
            "",
            "30d-1795392000.db-wal",
            "30d-1795392000.db.damaged",
            "0d-0.db",
            "030d-1795392000.db",
            "x.db",
        ] {
            assert_eq!(Slice::from_name(name), None, "{name}");
        }
    }
}
