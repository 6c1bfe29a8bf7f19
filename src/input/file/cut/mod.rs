//! Cutting a file's bytes into the texts of records: pure functions over what was read so far.
//!
//! ```text
//! frame   .... | a line LF | NUL NUL NUL | start LF more LF more LF | start LF mo
//!            from   Record       Skip              Record               Wait, or Record when it is `Quiet`
//! ```
//!
//! * What is cut depends on the bytes alone, not on how many of them a read brought, save that a record which nothing
//!   follows for a time is complete. The rest of its last line, should it come, is a record by itself.
//! * Nothing is left out in silence: an empty line is a record with an empty text, a long one becomes several, and lines
//!   that belong to no record are counted where they are dropped. A carriage return before a line feed is cut off (Logtail
//!   keeps it). NULs where a line begins are no text: a file that was truncated under its writer has such holes, and so has
//!   one whose host lost power. A byte order mark at a file's beginning is none either.
//! * A byte is searched once however often [`Cutter::next`] is called, except that lines which turn out to belong to no
//!   record are walked again one by one.
//!
//! [`cri`] reads the lines of container runtimes, which have a form of their own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{Charset, FilePlan, MultilinePlan};
use crate::record::{Batch, Span};

use charset::{Mark, Reading};
use lines::Found;
use multiline::{Gathered, Patterns};

mod charset;
pub mod cri;
mod lines;
mod multiline;

/// A smaller bound is raised to this, so that each piece of a line has a character.
const SMALLEST_MAX_LINE: usize = 16;

/// Cuts one file. A clone shares its patterns, so an input makes one and gives each file a clone.
#[derive(Clone, Debug)]
pub struct Cutter {
    rules: Arc<Rules>,
    reading: Reading,
    is_at_beginning: bool,
    gathered: Gathered,
    /// Of single lines: bytes that hold no line feed, and whether the line's beginning was a record, cut because it is long
    /// (false) or because it had no end for long (true).
    searched: usize,
    within_line: Option<bool>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Rules {
    charset: Charset,
    /// Absent: each line is a record.
    patterns: Option<Patterns>,
    max_line: usize,
    patience: Duration,
}

/// What comes next in a file. Places are those of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record's text, without its last line feed. `cut`: it is longer than the bound, and the next one goes on with it.
    Record { text: Range<usize>, next: usize, cut: bool },
    /// Bytes that hold no record: a hole, a byte order mark, or lines of no multi-line record, of which `dropped` begin here.
    Skip { next: usize, dropped: u64 },
    /// Not all there yet.
    Wait,
}

/// What may follow the bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// More, at any moment.
    Yes,
    /// Nothing did for [`Cutter::patience`]: what waits is complete.
    Quiet,
    /// Nothing will.
    Never,
}

impl Cutter {
    pub fn new(plan: &FilePlan) -> Cutter {
        Cutter::with(plan.charset, plan.multiline.as_ref(), plan.max_line, plan.flush_timeout)
    }

    /// As [`Cutter::new`], of what counts of a plan. `max_line` is in bytes of the file.
    pub fn with(
        charset: Charset,
        multiline: Option<&MultilinePlan>,
        max_line: usize,
        flush_timeout: Duration,
    ) -> Cutter {
        // Even, since units of UTF-16 are not cut.
        let max_line = max_line.max(SMALLEST_MAX_LINE) & !1;
        let patience = multiline.map_or(flush_timeout, |multiline| multiline.timeout);
        let patterns = multiline.and_then(Patterns::new);
        Cutter {
            rules: Arc::new(Rules { charset, patterns, max_line, patience }),
            reading: Reading::of(charset),
            is_at_beginning: true,
            gathered: Gathered::default(),
            searched: 0,
            within_line: None,
            scratch: Vec::new(),
        }
    }

    /// What begins at `frame[from..]`. Between two calls that say [`Next::Wait`] it may only grow; else the next call is
    /// about `next`.
    pub fn next(&mut self, frame: &[u8], from: usize, more: More) -> Next {
        let bytes = frame.get(from..).unwrap_or_default();
        if self.is_at_beginning {
            match self.reading.take_mark(bytes) {
                Mark::Unknown if bytes.is_empty() || more == More::Yes => return Next::Wait,
                Mark::Unknown => {}
                Mark::Is(len) => {
                    self.is_at_beginning = false;
                    if len > 0 {
                        return Next::Skip { next: from + len, dropped: 0 };
                    }
                }
            }
        }
        let next = match &self.rules.patterns {
            None => self.line(bytes, more),
            Some(patterns) => self.gathered.next(
                patterns,
                self.reading,
                &mut self.scratch,
                bytes,
                self.rules.max_line,
                more,
            ),
        };
        match next {
            Next::Record { text, next, cut } => {
                self.is_at_beginning = false;
                Next::Record { text: from + text.start..from + text.end, next: from + next, cut }
            }
            Next::Skip { next, dropped } => {
                self.is_at_beginning = false;
                Next::Skip { next: from + next, dropped }
            }
            Next::Wait => Next::Wait,
        }
    }

    /// A line is a record.
    fn line(&mut self, bytes: &[u8], more: More) -> Next {
        if self.within_line.is_none() && bytes.first() == Some(&0) {
            let nulls = self.reading.nulls(bytes);
            if nulls > 0 {
                self.searched = 0;
                return Next::Skip { next: nulls, dropped: 0 };
            }
        }
        match lines::find(self.reading, bytes, &mut self.searched, self.rules.max_line, more) {
            Found::Line { text, all, has_end } => {
                let was_torn = self.within_line == Some(true);
                self.searched = 0;
                self.within_line = (!has_end).then_some(true);
                if was_torn && has_end && text == 0 {
                    return Next::Skip { next: all, dropped: 0 };
                }
                Next::Record { text: 0..text, next: all, cut: false }
            }
            Found::Piece(len) => {
                self.searched = self.searched.saturating_sub(len);
                self.within_line = Some(false);
                Next::Record { text: 0..len, next: len, cut: true }
            }
            Found::Wait => Next::Wait,
        }
    }

    /// Another content begins: what waited is forgotten.
    pub fn reset(&mut self) {
        self.reading = Reading::of(self.rules.charset);
        self.is_at_beginning = true;
        self.gathered = Gathered::default();
        self.searched = 0;
        self.within_line = None;
    }

    /// What is known of the record that begins at the next place, for who goes on there later; 0: nothing.
    ///
    /// ```text
    /// bits   0-1 it goes on with a line, whose beginning was cut (1) or had no end for long (2)
    ///        2   it goes on with a record        3-4 its first line is inside (1), last (2) or outside (3) of one
    /// ```
    pub fn state(&self) -> u8 {
        let within = |within: Option<bool>| within.map_or(0, |is_torn| 1 + u8::from(is_torn));
        match self.rules.patterns {
            None => within(self.within_line),
            Some(_) => within(self.gathered.within_line) | self.gathered.state() << 2,
        }
    }

    /// Goes on at a place of which an earlier cutter knew this.
    pub fn restore(&mut self, state: u8) {
        let within = match state & 3 {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        };
        match self.rules.patterns {
            None => self.within_line = within,
            Some(_) => self.gathered = Gathered::restored(within, state >> 2),
        }
    }

    /// Whether the next place asked for is the file's first byte, where a byte order mark may stand. So it is taken to be
    /// when a content begins.
    pub fn at_beginning(&mut self, is_at_beginning: bool) {
        self.is_at_beginning = is_at_beginning;
    }

    /// Takes the byte order of UTF-16 from the file's first bytes, where reading does not begin with them.
    pub fn learn_byte_order(&mut self, head: &[u8]) {
        self.reading.take_mark(head);
    }

    /// The text as UTF-8: a part of the frame where it is that already (or is to be repaired when it is encoded), else made
    /// in the arena. What is no character becomes U+FFFD.
    pub fn text(&self, batch: &mut Batch, text: Range<usize>) -> Span {
        self.reading.span(batch, text)
    }

    /// How long [`Next::Wait`] may last before it is [`More::Quiet`].
    pub fn patience(&self) -> Duration {
        self.rules.patience
    }

    /// [`Next::Wait`] is said only while fewer bytes than this follow `from`.
    pub fn longest_wait(&self) -> usize {
        let line = lines::longest(self.reading, self.rules.max_line);
        if self.rules.patterns.is_some() { 2 * line } else { line }
    }

    /// Places to begin at are multiples of this, counted from the file's beginning.
    pub fn alignment(&self) -> usize {
        self.reading.unit()
    }
}

#[cfg(test)]
mod tests;
