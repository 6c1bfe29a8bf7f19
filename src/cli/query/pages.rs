//! Which records to ask for next: page after page through a time range, or around and around at its end (`--follow`).
//!
//! A page begins at a second, behind what is known of it. A plain offset would make the service skip everything again
//! for each page.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::time::AHEAD;

pub(super) type Record = Map<String, Value>;

/// GetLogs gives at most so many per page.
pub(super) const PAGE: usize = 100;
/// `--follow` looks back so many seconds, for records that arrive late: a LogGroup takes its second to fill, and the
/// clocks of senders are behind.
const OVERLAP: i64 = 30;

/// The time of a record in Unix seconds.
pub(super) fn second(record: &Record) -> i64 {
    record.get("__time__").and_then(Value::as_str).and_then(|time| time.parse().ok()).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) from: i64,
    /// Exclusive.
    pub(super) to: i64,
    pub(super) offset: usize,
}

impl Pages {
    pub(super) fn advance(&mut self, page: &[Record]) {
        let last = page.last().map_or(self.from, second);
        if last == self.from {
            self.offset += page.len();
        } else {
            self.from = last;
            self.offset = page.iter().rev().take_while(|record| second(record) == last).count();
        }
    }
}

/// A range without an end. Its last seconds are read again and again, and only what was not there before is new.
///
/// Two records may be the same in everything that is shown, so it is their number that counts. A second is always read
/// from its beginning, since a record that arrives late moves those behind it; only where one second fills more than
/// a page can that make a record appear twice.
pub(super) struct Follow {
    start: i64,
    pub(super) pages: Pages,
    /// What was met, by second and text.
    met: BTreeMap<i64, HashMap<String, Count>>,
}

#[derive(Default)]
struct Count {
    printed: usize,
    /// Met on the way that is under way.
    now: usize,
}

impl Follow {
    pub(super) fn new(start: i64, now: i64) -> Follow {
        let pages = Pages { from: start, to: now + AHEAD, offset: 0 };
        Follow { start, pages, met: BTreeMap::new() }
    }

    /// Whether this record of the page is new.
    pub(super) fn is_new(&mut self, record: &Record) -> bool {
        let text = Value::Object(record.clone()).to_string();
        let count = self.met.entry(second(record)).or_default().entry(text).or_default();
        count.now += 1;
        let new = count.now > count.printed;
        count.printed = count.printed.max(count.now);
        new
    }

    /// Goes on behind a full page, or turns back behind the last one; true when it turned back.
    pub(super) fn advance(&mut self, page: &[Record], now: i64) -> bool {
        let recent = self.start.max(now - OVERLAP);
        let last = page.last().map_or(self.pages.from, second);
        let turns = page.len() < PAGE;
        if turns {
            self.pages = Pages { from: recent, to: now + AHEAD, offset: 0 };
        } else if last == self.pages.from {
            self.pages.offset += page.len();
            return false;
        } else {
            self.pages = Pages { from: last, to: now + AHEAD, offset: 0 };
        }
        self.met = self.met.split_off(&recent.min(self.pages.from));
        for counts in self.met.range_mut(self.pages.from..).flat_map(|(_, counts)| counts.values_mut()) {
            counts.now = 0;
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(time: i64, log: &str) -> Record {
        let Value::Object(record) = json!({ "__time__": time.to_string(), "log": log }) else { panic!() };
        record
    }

    /// What the service gives for these pages, of records in the order of their times.
    fn page(stored: &[Record], pages: &Pages) -> Vec<Record> {
        let mut stored: Vec<Record> = stored.to_vec();
        stored.sort_by_key(second);
        let within = stored.into_iter().filter(|record| (pages.from..pages.to).contains(&second(record)));
        within.skip(pages.offset).take(PAGE).collect()
    }

    /// Reads until it turns back; what was new.
    fn read(follow: &mut Follow, stored: &[Record], now: i64) -> Vec<String> {
        let mut printed = Vec::new();
        loop {
            let page = page(stored, &follow.pages);
            for record in &page {
                if follow.is_new(record) {
                    printed.push(record["log"].as_str().unwrap().to_owned());
                }
            }
            if follow.advance(&page, now) {
                return printed;
            }
        }
    }

    #[test]
    fn what_is_followed_comes_once_and_late_records_come_too() {
        // 250 records in one second, 250 spread over others.
        let mut stored: Vec<Record> = (0..250).map(|n| record(1_000, &format!("a{n}"))).collect();
        stored.extend((0..250).map(|n| record(1_001 + n / 10, &format!("b{n}"))));
        let mut follow = Follow::new(900, 1_030);
        assert_eq!(read(&mut follow, &stored, 1_030).len(), 500);
        assert_eq!(read(&mut follow, &stored, 1_031), [""; 0]);
        stored.extend([record(1_031, "new"), record(1_010, "late"), record(1_031, "new")]);
        assert_eq!(
            read(&mut follow, &stored, 1_032),
            ["late", "new", "new"],
            "two that look the same are two"
        );
        for now in 1_033..1_200 {
            stored.push(record(now - 20, "slow"));
            assert_eq!(read(&mut follow, &stored, now), ["slow"], "{now}");
            assert!(follow.met.len() < 100, "what is old is forgotten");
        }
    }

    #[test]
    fn nothing_before_the_start_is_read() {
        let mut follow = Follow::new(1_000, 1_000);
        follow.advance(&[], 1_001);
        assert_eq!(follow.pages, Pages { from: 1_000, to: 1_061, offset: 0 });
        follow.advance(&[], 2_000);
        assert_eq!(follow.pages, Pages { from: 1_970, to: 2_060, offset: 0 });
    }

    #[test]
    fn a_page_begins_behind_what_is_known_of_its_second() {
        let stored: Vec<Record> = (0..450).map(|n| record(1_000 + (n / 130), &n.to_string())).collect();
        let mut pages = Pages { from: 0, to: 2_000, offset: 0 };
        let mut found = Vec::new();
        loop {
            let page = page(&stored, &pages);
            pages.advance(&page);
            found.extend(page.iter().map(|record| record["log"].as_str().unwrap().parse::<usize>().unwrap()));
            if page.len() < PAGE {
                break;
            }
        }
        assert_eq!(found, (0..450).collect::<Vec<_>>());
    }
}
