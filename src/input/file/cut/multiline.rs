//! Lines that are one record, by patterns of those it starts with, continues with and ends with.
//!
//! | patterns              | a record                                                            |
//! | --------------------- | ------------------------------------------------------------------- |
//! | start                 | a line that matches, up to the one before the next that matches     |
//! | start, continue       | a line that matches start, and those after it that match continue   |
//! | start, end            | a line that matches start, up to the first that matches end         |
//! | continue, end         | lines that match continue, and the one after them that matches end  |
//! | end                   | up to a line that matches                                           |
//! | start, continue, end  | as with start and end                                               |
//!
//! As in Logtail (spec 10.2). A line that starts a record may end it too, and where a line matches both continue and end, it
//! continues. A pattern must match from the line's first byte on; `$` is the line's end, before a carriage return.
//!
//! The text of a record is a part of the file, with the line feeds (and carriage returns) between its lines. It ends early
//! where a hole begins or where nothing more comes, and it is cut before a line that would make it longer than the bound;
//! only a line that is too long by itself is cut inside, and its first bytes say where it belongs.

use regex::bytes::Regex;

use super::charset::Reading;
use super::lines::{self, Found};
use super::{More, Next};
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::MultilinePlan;

/// What is made of a line in another charset is kept for the next one up to this size.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Where a line belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To the record, which may go on behind it.
    Inside,
    /// To the record, as its last line.
    Last,
    /// To a new record; the one before is complete.
    Next,
    /// To none; the record before it is complete.
    Outside,
    /// To none; those before it were none either.
    Broken,
}

/// The patterns of an input.
#[derive(Debug)]
pub(super) struct Patterns {
    start: Option<Anchored>,
    continues: Option<Anchored>,
    end: Option<Anchored>,
    keep_unmatched: bool,
}

impl Patterns {
    /// `None` when each line is a record by these patterns.
    pub(super) fn new(plan: &MultilinePlan) -> Option<Patterns> {
        let all = |pattern: &LinearRegex| {
            let text = pattern.as_str().trim_start_matches('^').trim_end_matches('$');
            matches!(text, ".*" | "(.*)")
        };
        let [start, continues, end] = [&plan.start, &plan.continues, &plan.end].map(Option::as_ref);
        match (start, continues, end) {
            (None, _, None) => return None,
            (Some(start), None, None) if all(start) => return None,
            _ => {}
        }
        let continues = continues.filter(|_| start.is_none() || end.is_none());
        let [start, continues, end] = [start, continues, end].map(|pattern| pattern.map(Anchored::new));
        Some(Patterns { start, continues, end, keep_unmatched: plan.keep_unmatched })
    }

    /// Where a line belongs that follows the lines of a record, or that none is open before.
    fn place(&self, is_open: bool, line: &[u8]) -> Place {
        let is = |pattern: &Anchored| pattern.is_match(line);
        match (&self.start, &self.continues, &self.end) {
            (Some(start), None, None) if is(start) => {
                if is_open {
                    Place::Next
                } else {
                    Place::Inside
                }
            }
            (Some(_), None, None) if is_open => Place::Inside,
            (Some(_), Some(continues), _) if is_open && is(continues) => Place::Inside,
            (Some(start), Some(_), _) if is(start) => {
                if is_open {
                    Place::Next
                } else {
                    Place::Inside
                }
            }
            (Some(start), None, Some(end)) if is_open || is(start) => {
                if is(end) {
                    Place::Last
                } else {
                    Place::Inside
                }
            }
            (None, Some(continues), Some(_)) if is(continues) => Place::Inside,
            (None, Some(_), Some(end)) if is(end) => Place::Last,
            (None, Some(_), Some(_)) if is_open => Place::Broken,
            (None, None, Some(end)) => {
                if is(end) {
                    Place::Last
                } else {
                    Place::Inside
                }
            }
            _ => Place::Outside,
        }
    }
}

/// A pattern that is looked for at a text's beginning alone.
#[derive(Debug)]
struct Anchored {
    regex: Regex,
    /// The expression itself says so.
    is_anchored: bool,
}

impl Anchored {
    fn new(pattern: &LinearRegex) -> Anchored {
        // Not every expression can stand in a group: one may end in a comment.
        match Regex::new(&format!("\\A(?:{pattern})")) {
            Ok(regex) => Anchored { regex, is_anchored: true },
            Err(_) => Anchored { regex: Regex::clone(pattern), is_anchored: false },
        }
    }

    fn is_match(&self, line: &[u8]) -> bool {
        if self.is_anchored {
            return self.regex.is_match(line);
        }
        // Of all matches the leftmost is found.
        self.regex.find(line).is_some_and(|found| found.start() == 0)
    }
}

/// What is known of the record that begins at some place. Sizes are bytes from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    /// Its lines so far, and the end of the last one's text.
    all: usize,
    text: usize,
    lines: u64,
    /// Bytes of the line behind them that hold no line feed.
    searched: usize,
    /// Where its first line belongs, when it was looked at already.
    first: Option<Place>,
    /// It goes on with a line whose beginning was a record, cut because the line is long (false) or because it had no end
    /// for long (true).
    pub(super) within_line: Option<bool>,
    /// It goes on with a record whose beginning was one.
    is_rest: bool,
    /// Lines up to here are known to belong to no record.
    outside: usize,
}

impl Gathered {
    /// What comes next in `bytes`, which begin where this does; afterwards this is about what begins behind that.
    pub(super) fn next(
        &mut self,
        patterns: &Patterns,
        reading: Reading,
        scratch: &mut Vec<u8>,
        bytes: &[u8],
        most: usize,
        more: More,
    ) -> Next {
        loop {
            let line = bytes.get(self.all..).unwrap_or_default();
            let is_first = self.all == 0;
            let is_whole = !is_first || self.within_line.is_none();
            if is_whole && line.first() == Some(&0) {
                let nulls = reading.nulls(line);
                if nulls > 0 && is_first {
                    *self = Gathered::default();
                    return Next::Skip { next: nulls, dropped: 0 };
                }
                if nulls > 0 {
                    return self.close(Gathered::default(), false);
                }
            }
            let (text, all, has_end, is_piece) =
                match lines::find(reading, line, &mut self.searched, most, more) {
                    Found::Line { text, all, has_end } => (text, all, has_end, false),
                    Found::Piece(len) => (len, len, false, true),
                    Found::Wait if is_first || more == More::Yes => return Next::Wait,
                    Found::Wait => return self.close(Gathered::default(), false),
                };
            if is_first && has_end && text == 0 && self.within_line == Some(true) {
                *self = Gathered::default();
                return Next::Skip { next: all, dropped: 0 };
            }
            let place = match self.first {
                Some(place) if is_first => place,
                _ => {
                    let place = patterns.place(!is_first, reading.utf8(&line[..text], scratch));
                    if scratch.capacity() > SCRATCH_BYTES {
                        *scratch = Vec::new();
                    }
                    place
                }
            };
            // What begins behind this line, in the middle of it unless it has an end.
            let behind = Gathered {
                searched: if is_piece { self.searched.saturating_sub(all) } else { 0 },
                first: (!has_end).then_some(place),
                within_line: (!has_end).then_some(!is_piece),
                is_rest: !has_end,
                ..Gathered::default()
            };
            // What begins with this line, of which that is known.
            let here = |first, is_rest| Gathered {
                searched: self.searched,
                first: Some(first),
                is_rest,
                ..Gathered::default()
            };
            match place {
                Place::Inside | Place::Last if is_first && is_piece => {
                    *self = behind;
                    return Next::Record { text: 0..text, next: all, cut: true };
                }
                Place::Inside | Place::Last if !is_first && (is_piece || self.all + text > most) => {
                    let here = here(place, true);
                    return self.close(here, true);
                }
                Place::Inside | Place::Last => {
                    self.text = self.all + text;
                    self.all += all;
                    self.lines += 1;
                    self.searched = 0;
                    if place == Place::Last || !has_end {
                        return self.close(behind, false);
                    }
                }
                Place::Next => {
                    let here = here(Place::Inside, false);
                    return self.close(here, false);
                }
                Place::Outside if is_first => {
                    let is_new = self.within_line.is_none();
                    let outside = self.outside.saturating_sub(all);
                    let first = if outside > 0 { Some(Place::Outside) } else { behind.first };
                    *self = Gathered { outside, first, ..behind };
                    return if patterns.keep_unmatched {
                        Next::Record { text: 0..text, next: all, cut: is_piece }
                    } else {
                        Next::Skip { next: all, dropped: u64::from(is_new) }
                    };
                }
                Place::Broken if !self.is_rest => {
                    let outside = self.all + all;
                    if patterns.keep_unmatched {
                        *self = Gathered { outside, first: Some(Place::Outside), ..Gathered::default() };
                    } else {
                        let dropped = self.lines + 1;
                        let first = behind.first.map(|_| Place::Outside);
                        *self = Gathered { first, ..behind };
                        return Next::Skip { next: outside, dropped };
                    }
                }
                Place::Outside | Place::Broken => {
                    let here = here(Place::Outside, false);
                    return self.close(here, false);
                }
            }
        }
    }

    /// Whether it goes on with a record, and where its first line belongs ([`super::Cutter::state`]).
    pub(super) fn state(&self) -> u8 {
        let first = match self.first {
            Some(Place::Inside) => 1,
            Some(Place::Last) => 2,
            Some(Place::Outside) => 3,
            // These are said of lines behind the first alone.
            Some(Place::Next | Place::Broken) | None => 0,
        };
        u8::from(self.is_rest) | first << 1
    }

    pub(super) fn restored(within_line: Option<bool>, state: u8) -> Gathered {
        let first = match state >> 1 & 3 {
            1 => Some(Place::Inside),
            2 => Some(Place::Last),
            3 => Some(Place::Outside),
            _ => None,
        };
        Gathered { within_line, is_rest: state & 1 == 1, first, ..Gathered::default() }
    }

    /// What is gathered is a record; `behind` is what is known of what begins there.
    fn close(&mut self, behind: Gathered, cut: bool) -> Next {
        let record = Next::Record { text: 0..self.text, next: self.all, cut };
        *self = behind;
        record
    }
}
