//! The entries of the local driver's files.
//!
//! ```text
//! length u32 BE | LogEntry (protobuf, its first byte 0a) | the same length        repeated
//! ```
//!
//! Where this does not hold, bytes are passed over up to the next place where it does. An entry whose end is not written
//! yet is waited for.

use memchr::memchr_iter;

use crate::wire::log_entry::{LENGTH_BYTES, LogEntry, MAX_ENTRY};

/// The largest entry with its lengths: what must be there at once.
pub const MAX_FRAME: usize = MAX_ENTRY + 2 * LENGTH_BYTES;
/// Tag of a LogEntry's first field.
const SOURCE_TAG: u8 = 0x0a;

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'b> {
    /// An entry, and the bytes it takes with its lengths.
    Entry(LogEntry<'b>, usize),
    /// So many bytes are no entry.
    Damaged(usize),
    /// The entry's end is not there yet.
    Wait,
}

/// Reads what comes next in `unread`, which is not empty. `ended`: nothing will be written behind it.
pub fn next(unread: &[u8], ended: bool) -> Next<'_> {
    match candidate(unread) {
        Candidate::Whole(entry, taken) => return Next::Entry(entry, taken),
        Candidate::Short if !ended => return Next::Wait,
        Candidate::Short | Candidate::Wrong => {}
    }
    // The next place that may be one: a length that may be, and the first field's tag behind it.
    let found = memchr_iter(SOURCE_TAG, unread).filter(|at| *at > LENGTH_BYTES).map(|at| at - LENGTH_BYTES);
    for at in found {
        if length(&unread[at..]).is_some() {
            return Next::Damaged(at);
        }
    }
    // The beginning of one may be at the very end.
    let kept = if ended { 0 } else { LENGTH_BYTES };
    match unread.len().saturating_sub(kept) {
        0 => Next::Wait,
        damaged => Next::Damaged(damaged),
    }
}

enum Candidate<'b> {
    Whole(LogEntry<'b>, usize),
    Short,
    Wrong,
}

fn candidate(bytes: &[u8]) -> Candidate<'_> {
    if bytes.len() <= LENGTH_BYTES {
        return Candidate::Short;
    }
    let (Some(length), Some(&SOURCE_TAG)) = (length(bytes), bytes.get(LENGTH_BYTES)) else {
        return Candidate::Wrong;
    };
    let end = LENGTH_BYTES + length;
    let Some(behind) = bytes.get(end..end + LENGTH_BYTES) else { return Candidate::Short };
    if behind != &bytes[..LENGTH_BYTES] {
        return Candidate::Wrong;
    }
    match LogEntry::read(&bytes[LENGTH_BYTES..end]) {
        Ok(entry) => Candidate::Whole(entry, end + LENGTH_BYTES),
        Err(_) => Candidate::Wrong,
    }
}

/// A length that an entry may have.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    (1..=MAX_ENTRY).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        LogEntry { source: b"stdout", time_nano: 7, line: text, ..LogEntry::default() }.append(&mut entry);
        let length = (entry.len() as u32).to_be_bytes();
        [length.as_slice(), &entry, &length].concat()
    }

    /// Texts and the bytes passed over.
    fn read(bytes: &[u8], ended: bool) -> (Vec<Vec<u8>>, usize, usize) {
        let (mut texts, mut damaged, mut at) = (Vec::new(), 0, 0);
        while at < bytes.len() {
            match next(&bytes[at..], ended) {
                Next::Entry(entry, taken) => {
                    texts.push(entry.line.to_vec());
                    at += taken;
                }
                Next::Damaged(len) => {
                    damaged += len;
                    at += len;
                }
                Next::Wait => break,
            }
        }
        (texts, damaged, bytes.len() - at)
    }

    #[test]
    fn entries_are_read_and_an_unwritten_end_is_waited_for() {
        let file = [framed(b"one"), framed(b""), framed(&[b'\n'; 300])].concat();
        let texts = vec![b"one".to_vec(), Vec::new(), vec![b'\n'; 300]];
        assert_eq!(read(&file, false), (texts.clone(), 0, 0));
        for cut in 1..12 {
            let (found, damaged, left) = read(&file[..file.len() - cut], false);
            assert_eq!((found.as_slice(), damaged), (&texts[..2], 0));
            assert_eq!(left, framed(&[b'\n'; 300]).len() - cut);
        }
    }

    #[test]
    fn damage_is_passed_over_up_to_the_next_entry() {
        let good = framed(b"good");
        for damage in [
            vec![0; 875],
            b"garbage \n\n\n\n".to_vec(),
            framed(b"half of it")[..9].to_vec(),
            vec![0, 0, 0, 9, 0x0a],
            vec![0x0a; 50],
        ] {
            let file = [good.clone(), damage.clone(), good.clone(), good.clone()].concat();
            let (texts, damaged, left) = read(&file, true);
            assert_eq!((texts.len(), damaged, left), (3, damage.len(), 0), "{damage:?}");
        }
        // At the end of a file that goes on, only what may still be an entry is kept.
        assert_eq!(read(&vec![0; 5_000], false), (Vec::new(), 4_996, 4));
        assert_eq!(read(&vec![0; 5_000], true), (Vec::new(), 5_000, 0));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes: Vec<u8>, texts: Vec<Vec<u8>>) {
            read(&bytes, false);
            let file: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
            proptest::prop_assert_eq!(read(&file, false), (texts, 0, 0));
        }
    }
}
