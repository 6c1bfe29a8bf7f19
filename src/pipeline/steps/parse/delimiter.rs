//! Columns as fields: the processor `parse: delimiter`.
//!
//! ```text
//! separator `,` quote `"` keys a,b,_,d     1,"x, ""y""",skip,,5,6
//!                                          a=1  b=x, "y"  d=  __column4__=5  __column5__=6     (extra: extend)
//!                                                              __column4__=5,6                 (extra: keep)
//! ```
//!
//! Spaces before the record, and spaces and carriage returns behind it, are trimmed; those around a column are its own. A
//! quote opens only at the beginning of a column. Inside, two quotes are one, and the separator is text. Behind the closing
//! quote stands a separator or the end.
//!
//! It refuses a text where anything else stands behind a closing quote, where a quote stands inside a column without quotes,
//! or a quote is not closed; a blank text; and, when the plan is strict, one with fewer columns than keys. A separator of
//! more than one character has no quotes.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use super::splice::{Names, Splice};
use crate::config::plan::{DelimiterPlan, ExtraColumns};
use crate::config::regex_groups::SKIPPED;
use crate::record::{Batch, Span};

pub(super) struct Parser {
    /// Never empty; finds itself.
    separator: Finder<'static>,
    /// Empty for none.
    quote: Vec<u8>,
    names: Names,
    /// Whether each named column becomes a field.
    wanted: Vec<bool>,
    strict: bool,
    extra: ExtraColumns,
    prefix: String,
}

/// One column of a text; places are bytes of it.
struct Column {
    from: usize,
    to: usize,
    /// It has doubled quotes.
    doubled: bool,
    /// Where the next one begins.
    next: Option<usize>,
}

impl Parser {
    pub(super) fn new(prefix: &str, plan: &DelimiterPlan) -> Parser {
        let single = plan.separator.chars().count() == 1;
        let quote = plan.quote.filter(|_| single).map(String::from).unwrap_or_default();
        Parser {
            separator: Finder::new(plan.separator.as_bytes()).into_owned(),
            quote: quote.into_bytes(),
            names: Names::new(prefix, plan.keys.iter().map(String::as_str)),
            wanted: plan.keys.iter().map(|key| key != SKIPPED).collect(),
            strict: plan.strict,
            extra: plan.extra,
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn parse(&self, batch: &mut Batch, text: Span, splice: &mut Splice<'_>) -> bool {
        let text = trimmed(batch, text);
        if text.is_empty() {
            return false;
        }
        let laid = self.names.lay(batch);
        let (mut at, mut index, mut rest) = (0, 0, None);
        loop {
            let extra = index >= self.wanted.len();
            if extra && self.extra != ExtraColumns::Extend {
                rest = rest.or(Some(at));
                if self.quote.is_empty() {
                    break;
                }
            }
            let Some(column) = self.column(batch.bytes(text), at) else { return false };
            let put = match self.wanted.get(index) {
                Some(true) => {
                    let value = self.value(batch, text, &column);
                    splice.put(batch, self.names.of(laid, index), value)
                }
                None if self.extra == ExtraColumns::Extend => {
                    let value = self.value(batch, text, &column);
                    self.put_extra(batch, splice, index, value)
                }
                _ => true,
            };
            if !put {
                return false;
            }
            index += 1;
            let Some(next) = column.next else { break };
            at = next;
        }
        match rest {
            Some(from) if self.extra == ExtraColumns::Keep => {
                let value = text.slice(from, text.len() - from);
                self.put_extra(batch, splice, self.wanted.len(), value)
            }
            _ => !self.strict || index >= self.wanted.len(),
        }
    }

    fn put_extra(&self, batch: &mut Batch, splice: &mut Splice<'_>, index: usize, value: Span) -> bool {
        use std::io::Write;
        let name = batch.make(|arena| {
            // Writing to memory does not fail.
            let _ = write!(arena, "{}__column{index}__", self.prefix);
        });
        splice.put(batch, name, value)
    }

    /// The column that begins at `at`; `None` when the text is not of the format there.
    fn column(&self, text: &[u8], at: usize) -> Option<Column> {
        let here = text.get(at..)?;
        match self.quote.as_slice() {
            [] => Some(self.until(text, at, self.find_separator(here))),
            quote if here.starts_with(quote) => self.quoted(text, at + quote.len()),
            quote => Some(self.until(text, at, self.find_unquoted(here, quote)?)),
        }
    }

    /// A column without quotes, with its length when it is not the last.
    fn until(&self, text: &[u8], from: usize, len: Option<usize>) -> Column {
        let to = len.map_or(text.len(), |len| from + len);
        let next = len.map(|_| to + self.separator.needle().len());
        Column { from, to, doubled: false, next }
    }

    fn find_separator(&self, text: &[u8]) -> Option<usize> {
        match self.separator.needle() {
            &[byte] => memchr(byte, text),
            _ => self.separator.find(text),
        }
    }

    /// The first separator, if there is one; `None` when a quote stands before it.
    fn find_unquoted(&self, text: &[u8], quote: &[u8]) -> Option<Option<usize>> {
        let separator = self.separator.needle();
        let (&first, &opening) = (separator.first()?, quote.first()?);
        let mut at = 0;
        while let Some(found) = memchr2(first, opening, text.get(at..)?) {
            at += found;
            let here = text.get(at..)?;
            if here.starts_with(separator) {
                return Some(Some(at));
            }
            if here.starts_with(quote) {
                return None;
            }
            at += 1;
        }
        Some(None)
    }

    /// The column whose opening quote ends at `from`.
    fn quoted(&self, text: &[u8], from: usize) -> Option<Column> {
        let quote = self.quote.as_slice();
        let first = *quote.first()?;
        let (mut to, mut doubled) = (from, false);
        loop {
            to += memchr(first, text.get(to..)?)?;
            let here = text.get(to..)?;
            let Some(behind) = here.strip_prefix(quote) else {
                to += 1;
                continue;
            };
            if behind.starts_with(quote) {
                doubled = true;
                to += 2 * quote.len();
                continue;
            }
            let separator = self.separator.needle();
            let next = match behind {
                [] => None,
                _ if behind.starts_with(separator) => Some(to + quote.len() + separator.len()),
                _ => return None,
            };
            return Some(Column { from, to, doubled, next });
        }
    }

    fn value(&self, batch: &mut Batch, text: Span, column: &Column) -> Span {
        let raw = text.slice(column.from, column.to - column.from);
        if column.doubled {
            batch.rewrite(raw, raw.len(), |raw, out| unquote(raw, &self.quote, out))
        } else {
            raw
        }
    }
}

/// Writes one quote for two; gives the length of what was written.
fn unquote(raw: &[u8], quote: &[u8], out: &mut [u8]) -> usize {
    let (mut rest, mut to) = (raw, 0);
    while let [first, behind @ ..] = rest {
        // The quotes of a column stand in pairs.
        let (text, after) = match rest.strip_prefix(quote) {
            Some(second) => (quote, second.strip_prefix(quote).unwrap_or(second)),
            None => (std::slice::from_ref(first), behind),
        };
        if let Some(room) = out.get_mut(to..to + text.len()) {
            room.copy_from_slice(text);
        }
        to += text.len();
        rest = after;
    }
    to
}

fn trimmed(batch: &Batch, text: Span) -> Span {
    let bytes = batch.bytes(text);
    let from = bytes.iter().take_while(|byte| **byte == b' ').count();
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\r')).map_or(from, |last| last + 1);
    text.slice(from, end.saturating_sub(from))
}
