//! Makes a record fit Log Service before it is encoded: text is UTF-8, keys have 1 to 128 bytes, a value at most 1 MB,
//! a record far less than a LogGroup, and its time fits the field. This is the one UTF-8 check of the whole way; Docker
//! cuts inside characters, so it comes after joining.
//!
//! Nothing is changed in silence. A cut value is named in the record's field `__cut__`, a changed key in `__renamed__`,
//! a moved time in `__original_time__`, and each is counted.

use crate::base::limits;
use crate::base::metrics::{Counter, counter};
use crate::config::plan::OutOfRange;
use crate::record::{Batch, Field, Span, Timestamp, text};

/// All values of one record together; the rest of a LogGroup's 10 MB stays for keys, tags and its neighbours.
const RECORD_BYTES: usize = 8 * limits::MIB;
/// How much of a long key is remembered.
const NAME_BYTES: usize = 4 * limits::KIB;

pub struct Tidy {
    out_of_range: OutOfRange,
    repaired: Counter,
    cut: Counter,
    renamed: Counter,
    moved: Counter,
}

impl Tidy {
    pub fn new(out_of_range: OutOfRange) -> Self {
        let changed = |what| {
            counter(
                "sluicegate_records_changed_total",
                "Changes made to fit Log Service: records repaired or moved, values cut, keys renamed.",
                &[("change", what)],
            )
        };
        Tidy {
            out_of_range,
            repaired: changed("utf8_repaired"),
            cut: changed("value_cut"),
            renamed: changed("key_renamed"),
            moved: changed("time_moved"),
        }
    }

    /// Checks every field of a record and mends what would be refused.
    pub fn fields(&self, batch: &mut Batch, record: usize) {
        let mut total = 0;
        for at in batch.records[record].range() {
            let Field { key, value } = batch.fields[at];
            total += key.len() + value.len();
            let fits = (1..=limits::KEY_BYTES).contains(&key.len())
                && value.len() <= limits::VALUE_BYTES
                && total <= RECORD_BYTES;
            if !fits || !is_text(batch.bytes(key)) || !is_text(batch.bytes(value)) {
                return self.mend(batch, record);
            }
        }
    }

    #[cold]
    fn mend(&self, batch: &mut Batch, record: usize) {
        let mut room = RECORD_BYTES;
        let (mut repaired, mut cut, mut renamed) = (false, Vec::new(), Vec::new());
        for at in batch.records[record].range() {
            let Field { key, value } = batch.fields[at];
            // Cut first, then repaired: broken bytes take three each, and what is cut need not be repaired.
            let value_room = limits::VALUE_BYTES.min(room);
            let long_key = key.len() > limits::KEY_BYTES;
            let old_key = repair(batch, clip(batch, key, NAME_BYTES), &mut repaired);
            let new_key =
                if key.is_empty() { batch.keep(b"_") } else { clip(batch, old_key, limits::KEY_BYTES) };
            if long_key || key.is_empty() {
                append_name(&mut renamed, batch.bytes(old_key));
                self.renamed.increment(1);
            }
            let whole = repair(batch, clip(batch, value, value_room), &mut repaired);
            let new_value = clip(batch, whole, value_room);
            room = room.saturating_sub(new_key.len() + new_value.len());
            if value.len() > value_room || new_value != whole {
                append_name(&mut cut, batch.bytes(new_key));
                self.cut.increment(1);
            }
            batch.fields[at] = Field { key: new_key, value: new_value };
        }
        if repaired {
            self.repaired.increment(1);
        }
        for (name, list) in [(&b"__cut__"[..], &cut), (b"__renamed__", &renamed)] {
            if !list.is_empty() {
                let key = batch.keep(name);
                let kept = batch.keep(list);
                let value = clip(batch, kept, limits::VALUE_BYTES);
                batch.extend(record, key, value);
            }
        }
    }

    /// The seconds a Log carries. A time that does not fit is replaced by `now`, the original kept in a field.
    pub fn time(&self, batch: &mut Batch, record: usize, now: Timestamp) -> (u32, u32) {
        let time = batch.records[record].time;
        let fits = u32::try_from(time.seconds).ok();
        let within =
            (now.seconds - limits::TIME_BEHIND..=now.seconds + limits::TIME_AHEAD).contains(&time.seconds);
        match fits {
            Some(seconds) if within || self.out_of_range == OutOfRange::Keep => (seconds, time.nanos),
            _ => {
                self.moved.increment(1);
                let key = batch.keep(b"__original_time__");
                let value = batch.make(|arena| {
                    arena.extend_from_slice(format!("{}.{:09}", time.seconds, time.nanos).as_bytes())
                });
                batch.extend(record, key, value);
                (now.seconds.clamp(0, i64::from(u32::MAX)) as u32, now.nanos)
            }
        }
    }
}

/// Most of all text is ASCII, and that is seen many bytes at a time.
fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

fn repair(batch: &mut Batch, span: Span, repaired: &mut bool) -> Span {
    if is_text(batch.bytes(span)) {
        return span;
    }
    *repaired = true;
    let bytes = batch.bytes(span).to_vec();
    batch.make(|arena| {
        text::append_repaired(arena, &bytes);
    })
}

/// The longest prefix of valid text that has at most `len` bytes and ends between characters.
fn clip(batch: &Batch, span: Span, len: usize) -> Span {
    if span.len() <= len {
        return span;
    }
    let bytes = batch.bytes(span);
    let mut end = len;
    // A character has at most three bytes behind its first; broken text has no borders to look for.
    while end > len.saturating_sub(3) && (bytes[end] & 0xc0) == 0x80 {
        end -= 1;
    }
    span.slice(0, end)
}

fn append_name(list: &mut Vec<u8>, name: &[u8]) {
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn one(key: &[u8], value: &[u8]) -> Batch {
        let frame: Vec<u8> = [key, value].concat();
        let mut batch = Batch { frame: Bytes::from(frame), ..Batch::default() };
        batch.begin(Timestamp::new(1_700_000_000, 5));
        batch.push(Span::frame(0, key.len()), Span::frame(key.len(), value.len()));
        batch
    }

    fn field(batch: &Batch, key: &[u8]) -> Option<Vec<u8>> {
        batch.value_of(&batch.records[0], key).map(|value| batch.bytes(value).to_vec())
    }

    #[test]
    fn good_text_is_left_alone() {
        let mut batch = one(b"log", "caf\u{e9} \u{1f600}".as_bytes());
        Tidy::new(OutOfRange::Keep).fields(&mut batch, 0);
        assert_eq!(batch.fields.len(), 1);
        assert!(batch.arena.is_empty());
    }

    #[test]
    fn broken_text_is_repaired() {
        let mut batch = one(b"log", b"bin\xff end");
        Tidy::new(OutOfRange::Keep).fields(&mut batch, 0);
        assert_eq!(field(&batch, b"log").unwrap(), "bin\u{fffd} end".as_bytes());
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_marked() {
        let value = "\u{4f60}".repeat(limits::VALUE_BYTES / 3 + 1);
        let mut batch = one(b"log", value.as_bytes());
        Tidy::new(OutOfRange::Keep).fields(&mut batch, 0);
        let cut = field(&batch, b"log").unwrap();
        assert_eq!(cut.len(), limits::VALUE_BYTES / 3 * 3);
        assert!(std::str::from_utf8(&cut).is_ok());
        assert_eq!(field(&batch, b"__cut__").unwrap(), b"log");
    }

    #[test]
    fn keys_that_are_empty_or_long_get_a_legal_name() {
        let mut batch = one(b"", b"v");
        Tidy::new(OutOfRange::Keep).fields(&mut batch, 0);
        assert_eq!(field(&batch, b"_").unwrap(), b"v");
        let long = [b'k'; 200];
        let mut batch = one(&long, b"v");
        Tidy::new(OutOfRange::Keep).fields(&mut batch, 0);
        assert_eq!(field(&batch, &long[..128]).unwrap(), b"v");
        assert_eq!(field(&batch, b"__renamed__").unwrap(), long);
    }

    #[test]
    fn strange_times_move_only_when_told_or_when_they_cannot_be_written() {
        let now = Timestamp::new(1_700_000_000, 0);
        let old = Timestamp::new(1_600_000_000, 7);
        let mut batch = one(b"k", b"v");
        batch.records[0].time = old;
        assert_eq!(Tidy::new(OutOfRange::Keep).time(&mut batch, 0, now), (1_600_000_000, 7));
        assert_eq!(Tidy::new(OutOfRange::Now).time(&mut batch, 0, now), (1_700_000_000, 0));
        assert_eq!(field(&batch, b"__original_time__").unwrap(), b"1600000000.000000007");
        let mut batch = one(b"k", b"v");
        batch.records[0].time = Timestamp::new(-1, 0);
        assert_eq!(Tidy::new(OutOfRange::Keep).time(&mut batch, 0, now), (1_700_000_000, 0));
    }
}
