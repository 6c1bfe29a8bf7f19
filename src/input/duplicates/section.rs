//! The bytes of the ledger's entries: ids with the time they were stored, written, read and merged.
//!
//! ```text
//! entry     version u8 = 1, section...
//! section   time u64 LE (Unix seconds), count u32 LE, count x (kind u8, fingerprint 16 bytes LE)
//! kind      0 random id, stored    1 content id, stored    2 content id whose ack was read
//! ```
//!
//! Kinds of a later version are passed over; an entry of another version, or one that ends within a section, is refused.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::table::Fingerprint;

const VERSION: u8 = 1;
const SECTION_BYTES: usize = 12;
const ID_BYTES: usize = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Random = 0,
    Content = 1,
    Read = 2,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Random, Kind::Content, Kind::Read];
}

/// What many payloads became.
pub(super) struct Merged {
    /// When the newest section was written.
    pub(super) newest: u64,
    pub(super) ids: usize,
    pub(super) payload: Bytes,
}

/// An entry of one section with `count` ids.
pub(super) fn one(time: u64, count: usize, ids: impl Iterator<Item = (Kind, Fingerprint)>) -> Bytes {
    let mut payload = Vec::with_capacity(1 + SECTION_BYTES + count * ID_BYTES);
    payload.push(VERSION);
    put(&mut payload, time, count, ids);
    Bytes::from(payload)
}

fn put(payload: &mut Vec<u8>, time: u64, count: usize, ids: impl Iterator<Item = (Kind, Fingerprint)>) {
    payload.extend_from_slice(&time.to_le_bytes());
    payload.extend_from_slice(&(count as u32).to_le_bytes());
    for (kind, fingerprint) in ids {
        payload.push(kind as u8);
        payload.extend_from_slice(&fingerprint.0.to_le_bytes());
    }
}

/// Calls `with` for every id of a payload with its time and kind. False when the payload is not of this form; what was
/// read of it until then is good.
pub(super) fn each(payload: &[u8], mut with: impl FnMut(u64, Kind, Fingerprint)) -> bool {
    let Some((&VERSION, mut rest)) = payload.split_first() else { return false };
    while !rest.is_empty() {
        let Some((time, behind)) = rest.split_first_chunk() else { return false };
        let Some((count, behind)) = behind.split_first_chunk() else { return false };
        let (time, count) = (u64::from_le_bytes(*time), u32::from_le_bytes(*count) as usize);
        let Some((ids, behind)) = count.checked_mul(ID_BYTES).and_then(|len| behind.split_at_checked(len))
        else {
            return false;
        };
        for id in ids.chunks_exact(ID_BYTES) {
            if let Some((&kind, fingerprint)) = id.split_first()
                && let Some(kind) = Kind::ALL.into_iter().find(|known| *known as u8 == kind)
                && let Some(fingerprint) = fingerprint.first_chunk()
            {
                with(time, kind, Fingerprint(u128::from_le_bytes(*fingerprint)));
            }
        }
        rest = behind;
    }
    true
}

/// One payload with the ids of many, without those stored at `oldest` or before, and without those that cancel out.
pub(super) fn merge<'a>(payloads: impl Iterator<Item = &'a Bytes>, oldest: u64) -> Option<Merged> {
    let mut by_time: BTreeMap<u64, Vec<(Kind, Fingerprint)>> = BTreeMap::new();
    let mut balance = Balance::default();
    for payload in payloads {
        each(payload, |time, kind, fingerprint| match kind {
            _ if time <= oldest => {}
            Kind::Random => by_time.entry(time).or_default().push((kind, fingerprint)),
            kind => balance.add(time, kind, fingerprint),
        });
    }
    for (time, kind, fingerprint) in balance.left() {
        by_time.entry(time).or_default().push((kind, fingerprint));
    }
    let newest = *by_time.last_key_value()?.0;
    let ids: usize = by_time.values().map(Vec::len).sum();
    let mut payload = Vec::with_capacity(1 + by_time.len() * SECTION_BYTES + ids * ID_BYTES);
    payload.push(VERSION);
    for (time, section) in by_time {
        put(&mut payload, time, section.len(), section.into_iter());
    }
    Some(Merged { newest, ids, payload: Bytes::from(payload) })
}

/// How often content ids were stored, less how often their acks were read, and when last.
#[derive(Default)]
pub(super) struct Balance(HashMap<Fingerprint, (i64, u64)>);

impl Balance {
    pub(super) fn add(&mut self, time: u64, kind: Kind, fingerprint: Fingerprint) {
        let (count, last) = self.0.entry(fingerprint).or_default();
        *count += if kind == Kind::Content { 1 } else { -1 };
        *last = time.max(*last);
    }

    fn left(self) -> impl Iterator<Item = (u64, Kind, Fingerprint)> {
        self.0.into_iter().flat_map(|(fingerprint, (count, last))| {
            let kind = if count > 0 { Kind::Content } else { Kind::Read };
            (0..count.unsigned_abs()).map(move |_| (last, kind, fingerprint))
        })
    }

    pub(super) fn stored_and_unread(self) -> Vec<(u64, Fingerprint)> {
        let unread = self.0.into_iter().filter(|(_, (count, _))| *count > 0);
        unread.map(|(fingerprint, (_, last))| (last, fingerprint)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Sections = Vec<(u64, Vec<(u8, u128)>)>;

    fn payload(sections: &Sections) -> Bytes {
        let mut payload = vec![VERSION];
        for (time, ids) in sections {
            let ids = ids.iter().map(|(kind, id)| (Kind::ALL[usize::from(*kind)], Fingerprint(*id)));
            put(&mut payload, *time, ids.len(), ids);
        }
        Bytes::from(payload)
    }

    fn read(payload: &[u8]) -> (bool, Vec<(u64, u8, u128)>) {
        let mut ids = Vec::new();
        let whole = each(payload, |time, kind, fingerprint| ids.push((time, kind as u8, fingerprint.0)));
        (whole, ids)
    }

    #[test]
    fn what_is_not_of_this_form_is_refused() {
        let whole = payload(&vec![(7, vec![(0, 1), (1, 2)]), (8, vec![(2, 2)])]);
        assert_eq!(read(&whole), (true, vec![(7, 0, 1), (7, 1, 2), (8, 2, 2)]));
        for end in 0..whole.len() {
            let section = 1 + SECTION_BYTES + 2 * ID_BYTES;
            assert_eq!(read(&whole[..end]).0, end == 1 || end == section, "{end}");
        }
        assert!(!read(b"\x02").0);
        let mut huge = vec![VERSION];
        put(&mut huge, 1, u32::MAX as usize, std::iter::empty());
        assert_eq!(read(&huge), (false, vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
            read(&[&[VERSION][..], &bytes].concat());
        }

        /// Merging changes nothing that a start would make of it.
        #[test]
        fn merging_keeps_what_counts(
            entries in proptest::collection::vec(
                proptest::collection::vec((90u64..110, proptest::collection::vec((0u8..3, 0u128..6), 0..5)), 0..4),
                0..8,
            ),
        ) {
            let payloads: Vec<Bytes> = entries.iter().map(payload).collect();
            let of = |payloads: &[Bytes]| {
                let (mut random, mut balance) = (Vec::new(), HashMap::new());
                for (time, kind, id) in payloads.iter().flat_map(|payload| read(payload).1) {
                    match kind {
                        _ if time <= 95 => {}
                        0 => random.push((time, id)),
                        1 => *balance.entry(id).or_insert(0) += 1,
                        _ => *balance.entry(id).or_insert(0) -= 1,
                    }
                }
                random.sort_unstable();
                balance.retain(|_, count| *count != 0);
                (random, balance)
            };
            let merged: Vec<Bytes> = merge(payloads.iter(), 95).into_iter().map(|merged| merged.payload).collect();
            prop_assert_eq!(of(&merged), of(&payloads));
        }
    }
}
