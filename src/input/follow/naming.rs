//! The names that rotation gives to a log's files.
//!
//! ```text
//! app.log.1   app.log.2.gz                                          numbered: the higher, the older
//! app.log-20260101   app.log.2026-01-01.gz   app.log.2026-01-01-13  dated: the later, the newer
//! app.log-20260101-1735689600   0.log.20260101-150405   app.log-1735689600   app.log.2026-01-01.2
//! app.log.bak   app.log.old   app.log~                              kept: nothing tells their age but their time
//! ```
//!
//! Pure: names in, kinds out. A name between, as `app-20260101.log`, is not taken for a rotated one: it may as well be a log
//! of its own. Who followed the file knows it again by what it is.

use std::cmp::Ordering;

/// What a name behind a log's own says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub kind: Kind,
    pub gzip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number(u32),
    /// Year, month and day as one number, and what is more exact.
    Date(u32, u64, u64),
    /// Seconds since 1970.
    Epoch(u64),
    Kept,
}

impl Kind {
    /// Kinds of one order.
    pub fn order(self) -> u8 {
        match self {
            Kind::Number(_) => 0,
            Kind::Date(..) => 1,
            Kind::Epoch(_) => 2,
            Kind::Kept => 3,
        }
    }

    /// Less is newer. Of different orders, or of two kept ones, names tell nothing: `Equal`.
    pub fn newer_first(self, other: Kind) -> Ordering {
        match (self, other) {
            (Kind::Number(a), Kind::Number(b)) => a.cmp(&b),
            (Kind::Date(a1, a2, a3), Kind::Date(b1, b2, b3)) => (b1, b2, b3).cmp(&(a1, a2, a3)),
            (Kind::Epoch(a), Kind::Epoch(b)) => b.cmp(&a),
            _ => Ordering::Equal,
        }
    }
}

/// What `name` is to the log `base`. `None`: another file, or the log itself.
pub fn rotated(base: &[u8], name: &[u8]) -> Option<Rotated> {
    let rest = name.strip_prefix(base).filter(|_| !base.is_empty())?;
    let plain = rest.strip_suffix(b".gz");
    let kind = kind(plain.unwrap_or(rest))?;
    Some(Rotated { kind, gzip: plain.is_some() })
}

/// The logs that `name` may be a rotated file of, the longest first.
pub fn bases(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    (1..name.len())
        .rev()
        .filter(|at| matches!(name.get(*at), Some(b'.' | b'-' | b'_' | b'~')))
        .filter_map(|at| name.get(..at))
        .filter(|base| rotated(base, name).is_some())
}

fn kind(rest: &[u8]) -> Option<Kind> {
    if matches!(rest, b".bak" | b".old" | b"~") {
        return Some(Kind::Kept);
    }
    let (separator @ (b'.' | b'-' | b'_'), rest) = rest.split_first()? else { return None };
    if *separator == b'.' && rest.len() <= 4 {
        return whole(rest).map(|number| Kind::Number(number as u32));
    }
    dated(rest)
}

fn dated(rest: &[u8]) -> Option<Kind> {
    let (day, rest) = match *rest {
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, ref rest @ ..] => {
            (day(&[y1, y2, y3, y4, m1, m2, d1, d2])?, rest)
        }
        [y1, y2, y3, y4, b'-', m1, m2] | [y1, y2, y3, y4, m1, m2] => {
            return Some(Kind::Date(day(&[y1, y2, y3, y4, m1, m2, b'0', b'1'])?, 0, 0));
        }
        [y1, y2, y3, y4, m1, m2, d1, d2, ref rest @ ..] if !rest.first().is_some_and(u8::is_ascii_digit) => {
            (day(&[y1, y2, y3, y4, m1, m2, d1, d2])?, rest)
        }
        _ => return whole(rest).filter(|_| rest.len() == 10).map(Kind::Epoch),
    };
    // Hours, minutes, seconds, a number or an epoch, with whatever stands between them.
    let mut parts = [0u64; 2];
    let mut at = 0;
    let mut rest = rest;
    while let Some((separator, behind)) = rest.split_first() {
        if !matches!(separator, b'-' | b'.' | b'_' | b':' | b'T') {
            return None;
        }
        let len = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = whole(behind.get(..len)?)?;
        let part = parts.get_mut(at.min(1))?;
        *part = part.checked_mul(10_000_000_000).map_or(u64::MAX, |part| part.saturating_add(number));
        at += 1;
        if at > 4 {
            return None;
        }
        rest = behind.get(len..)?;
    }
    Some(Kind::Date(day, parts[0], parts[1]))
}

fn day(text: &[u8; 8]) -> Option<u32> {
    let day = whole(text)? as u32;
    let (year, month, date) = (day / 10_000, day / 100 % 100, day % 100);
    ((1970..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&date)).then_some(day)
}

/// One to ten digits and nothing else.
fn whole(text: &[u8]) -> Option<u64> {
    if !(1..=10).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<Rotated> {
        rotated(b"app.log", name.as_bytes())
    }

    #[test]
    fn names_of_rotated_files() {
        for (name, kind) in [
            ("app.log.1", Kind::Number(1)),
            ("app.log.007", Kind::Number(7)),
            ("app.log-20260101", Kind::Date(20_260_101, 0, 0)),
            ("app.log.2026-01-01", Kind::Date(20_260_101, 0, 0)),
            ("app.log.2026-01-01-13", Kind::Date(20_260_101, 13, 0)),
            ("app.log.2026-01-01.2", Kind::Date(20_260_101, 2, 0)),
            ("app.log-20260101-1735689600", Kind::Date(20_260_101, 1_735_689_600, 0)),
            ("app.log.20260101-150405", Kind::Date(20_260_101, 150_405, 0)),
            ("app.log.2026-01", Kind::Date(20_260_101, 0, 0)),
            ("app.log-1735689600", Kind::Epoch(1_735_689_600)),
            ("app.log.bak", Kind::Kept),
            ("app.log~", Kind::Kept),
        ] {
            assert_eq!(of(name), Some(Rotated { kind, gzip: false }), "{name}");
            assert_eq!(of(&format!("{name}.gz")), Some(Rotated { kind, gzip: true }), "{name}");
        }
        for name in [
            "app.log",
            "app.log.gz",
            "app.log2",
            "app.log.x",
            "app.log-1",
            "app.log.1.2",
            "app.log-20261301",
            "app.log-2026010112345678",
            "app.log.2026-01-01-",
            "app.log.2026-01-01-1-2-3-4-5",
            "app.log.1.gz.tmp",
            "other.log.1",
            "app.log-99999999999999999999999999",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn newer_names_come_first() {
        let mut names = [
            "app.log.20260101-150405",
            "app.log.20260102-000000",
            "app.log.20260101-150406",
            "app.log-20251231",
            "app.log.2026-01-01-15-04-05",
        ];
        names.sort_by(|a, b| of(a).unwrap().kind.newer_first(of(b).unwrap().kind));
        assert_eq!(names[0], "app.log.20260102-000000");
        assert_eq!(names[1], "app.log.20260101-150406");
        assert_eq!(names[4], "app.log-20251231");
        assert_eq!(Kind::Number(1).newer_first(Kind::Number(2)), Ordering::Less);
    }

    #[test]
    fn a_name_tells_which_log_it_may_be_of() {
        let of = |name: &str| -> Vec<String> {
            bases(name.as_bytes()).map(|base| String::from_utf8(base.to_vec()).unwrap()).collect()
        };
        assert_eq!(of("app.log.1.gz"), ["app.log"]);
        assert_eq!(of("0.log.20260101-150405"), ["0.log"]);
        assert_eq!(of("app.log.2026-01-01.1"), ["app.log.2026-01-01", "app.log"]);
        assert!(of("app.log").is_empty() && of(".1").is_empty() && of("").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_name(name in proptest::collection::vec(0u8..=255, 0..40)) {
            for base in bases(&name) {
                proptest::prop_assert!(name.starts_with(base));
            }
        }
    }
}
