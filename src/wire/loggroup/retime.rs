//! New times for logs whose own the service does not take: everything else of the LogGroup stays, byte for byte.
//!
//! A log that is changed says its former time in the field `__original_time__`, as seconds and nine digits.

use std::ops::RangeInclusive;

use super::encode::{self, pair_len};
use super::walk::{LOGS, Log, WalkError, log_of, walk};
use crate::wire::protobuf::Fields;

/// The field with the former time.
pub const ORIGINAL_TIME: &[u8] = b"__original_time__";

/// The LogGroup with `now` (seconds since 1970) instead of each time outside of `window`, and how many were changed.
/// `None` when there is no such time.
pub fn retime(
    group: &[u8],
    now: u32,
    window: RangeInclusive<i64>,
) -> Result<Option<(Vec<u8>, usize)>, WalkError> {
    let strange = |log: &Log<'_>| !window.contains(&i64::from(log.time));
    if !walk(group)?.logs().any(|log| strange(&log)) {
        return Ok(None);
    }
    let (mut out, mut changed) = (Vec::with_capacity(group.len() + 64), 0);
    let mut fields = Fields::new(group);
    while let Some(field) = fields.next()? {
        let log = if field.number == LOGS { Some(log_of(field.bytes()?)?) } else { None };
        match log.filter(strange) {
            Some(log) => {
                put_at(&mut out, &log, now);
                changed += 1;
            }
            None => out.extend_from_slice(field.whole),
        }
    }
    Ok(Some((out, changed)))
}

fn put_at(out: &mut Vec<u8>, log: &Log<'_>, now: u32) {
    let original = format!("{}.{:09}", log.time, log.time_ns.unwrap_or(0));
    let original = (ORIGINAL_TIME, original.as_bytes());
    // It may have been moved before: the first time is the one that counts.
    let known = log.contents().any(|(key, _)| key == ORIGINAL_TIME);
    let contents = || log.contents().chain((!known).then_some(original));
    let len = contents().map(|(key, value)| pair_len(key.len(), value.len())).sum();
    encode::put_log(out, now, 0, len, contents());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::loggroup::encode::{put_log, put_trailer};

    #[test]
    fn only_strange_times_change() {
        let mut group = Vec::new();
        let pair: (&[u8], &[u8]) = (b"k", b"v");
        for (seconds, nanos) in [(1_000, 7), (5_000, 8), (9_000, 9)] {
            put_log(&mut group, seconds, nanos, pair_len(1, 1), std::iter::once(pair));
        }
        put_trailer(&mut group, b"t", b"s", &[("a", "b")]);
        assert_eq!(retime(&group, 5_500, 0..=10_000), Ok(None));
        let (moved, changed) = retime(&group, 5_500, 4_000..=6_000).unwrap().unwrap();
        assert_eq!(changed, 2);
        let walked = walk(&moved).unwrap();
        let logs: Vec<_> = walked.logs().collect();
        assert_eq!(logs.iter().map(|log| log.time).collect::<Vec<_>>(), [5_500, 5_000, 5_500]);
        assert_eq!(logs[1].time_ns, Some(8));
        let fields: Vec<_> = logs[0].contents().collect();
        assert_eq!(fields, [pair, (ORIGINAL_TIME, b"1000.000000007")]);
        assert_eq!((walked.topic, walked.tag(b"a")), (&b"t"[..], Some(&b"b"[..])));
        // Moved again, a week later: the first time stays.
        let (again, _) = retime(&moved, 99_000, 99_000..=99_000).unwrap().unwrap();
        let log = walk(&again).unwrap().logs().next().unwrap();
        assert_eq!((log.time, log.contents().count()), (99_000, 2));
        assert!(log.contents().any(|(_, value)| value == b"1000.000000007"));
    }
}
