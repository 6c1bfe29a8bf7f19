//! A pack: one accepted LogGroup as it came, with what a search needs to know without inflating it.
//!
//! `__pack_id__`, a tag set by the sender, is `SERIES-SEQUENCE`, the sequence in hex; logs of the same time are put in
//! its order. A pack_id of another shape is a series of its own.

use bytes::Bytes;

use super::shards::Route;
use crate::record::Timestamp;
use crate::wire::compress::Kind;
use crate::wire::loggroup::{Group, WalkError, walk};

/// Seconds around now that the cloud once accepted: 7 days back, 15 minutes ahead.
const BEHIND: i64 = 7 * 24 * 3600;
const AHEAD: i64 = 15 * 60;

/// What is known of a pack without inflating it is read for many packs at a time: a few bytes of a compressed body shall
/// not become megabytes there. Of a topic or a source only so much is kept beside the body.
const TEXT_BYTES: usize = 4096;
/// A longer pack_id is none.
const PACK_ID_BYTES: usize = 256;

pub(crate) const PACK_ID: &[u8] = b"__pack_id__";

#[derive(Debug)]
pub struct Pack {
    pub(super) body: Bytes,
    pub(super) kind: Kind,
    pub(super) digest: i64,
    pub(super) raw_size: usize,
    pub(super) logs: usize,
    /// Nanoseconds since 1970 of the oldest and the newest log.
    pub(super) first_time: i64,
    pub(super) last_time: i64,
    /// Which shard it asks for; the writer chooses.
    pub(super) route: Route,
    /// The sender's address, where it is to be kept.
    pub(super) client: String,
    pub(super) series: Vec<u8>,
    pub(super) sequence: i64,
    pub(super) topic: Vec<u8>,
    pub(super) source: Vec<u8>,
    /// Logs whose time is far from now. They are kept like all others, and counted.
    pub(super) odd_times: u64,
}

impl Pack {
    /// A pack of a body and the LogGroup it inflates to. A LogGroup without logs is a pack of none.
    pub fn new(body: Bytes, kind: Kind, raw: &[u8]) -> Result<Pack, WalkError> {
        let group = walk(raw)?;
        let (mut first_time, mut last_time, mut odd_times) = (i64::MAX, 0, 0);
        let now = Timestamp::now().seconds;
        for log in group.logs() {
            let time = log.nanoseconds();
            let age = now - i64::from(log.time);
            odd_times += u64::from(!(-AHEAD..=BEHIND).contains(&age));
            first_time = first_time.min(time);
            last_time = last_time.max(time);
        }
        let (series, sequence) = series(&group);
        Ok(Pack {
            digest: digest(&body),
            body,
            kind,
            raw_size: raw.len(),
            logs: group.log_count(),
            first_time,
            last_time,
            route: Route::Balanced,
            client: String::new(),
            series: series.to_vec(),
            sequence,
            topic: beginning(group.topic).to_vec(),
            source: beginning(group.source).to_vec(),
            odd_times,
        })
    }

    /// For the shard of a hash key.
    pub fn routed(self, route: Route) -> Pack {
        Pack { route, ..self }
    }

    /// With the address it came from, for a logstore that keeps it.
    pub fn from_client(self, client: String) -> Pack {
        Pack { client, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.logs == 0
    }

    /// Number of logs.
    pub fn logs(&self) -> usize {
        self.logs
    }
}

/// Tells later whether a stored body is what came: neither SQLite nor LZ4 would notice a flipped bit.
pub(super) fn digest(body: &[u8]) -> i64 {
    xxhash_rust::xxh3::xxh3_64(body).cast_signed()
}

fn series<'a>(group: &Group<'a>) -> (&'a [u8], i64) {
    group.tag(PACK_ID).map_or((b"", 0), series_of)
}

/// As much of a topic as is kept beside the body and compared with a topic that is asked for.
pub(super) fn beginning(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES).unwrap_or(text)
}

/// The series and the sequence of a pack_id.
pub(super) fn series_of(id: &[u8]) -> (&[u8], i64) {
    if id.len() > PACK_ID_BYTES {
        return (b"", 0);
    }
    let Some(dash) = id.iter().rposition(|byte| *byte == b'-') else { return (id, 0) };
    let sequence =
        std::str::from_utf8(&id[dash + 1..]).ok().and_then(|hex| i64::from_str_radix(hex, 16).ok());
    match sequence {
        Some(sequence) if sequence >= 0 => (&id[..dash], sequence),
        _ => (id, 0),
    }
}

/// The number under which a compression is stored: those of the protocol's `CompressType`.
pub(super) fn compression_number(kind: Kind) -> i64 {
    match kind {
        Kind::None => 0,
        Kind::Deflate => 1,
        Kind::Lz4 => 2,
        Kind::Zstd => 3,
    }
}

pub(super) fn compression_of(number: i64) -> Option<Kind> {
    [Kind::None, Kind::Deflate, Kind::Lz4, Kind::Zstd].get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::loggroup::encode::put_trailer;

    fn pack(pack_id: &str) -> Pack {
        let mut raw = [b"\x0a\x02\x08\x07".as_slice(), b"\x0a\x07\x08\x05\x25\x02\0\0\0"].concat();
        put_trailer(&mut raw, b"t", b"", &[("__pack_id__", pack_id)]);
        Pack::new(Bytes::new(), Kind::None, &raw).unwrap()
    }

    #[test]
    fn knows_its_times_and_its_place() {
        let known = pack("0A-B-1f");
        assert_eq!((known.first_time, known.last_time, known.logs), (5_000_000_002, 7_000_000_000, 2));
        assert_eq!(known.odd_times, 2);
        assert_eq!((known.series.as_slice(), known.sequence), (b"0A-B".as_slice(), 31));
        for odd in ["AB", "AB-", "AB-xyz", "AB--5", "AB-ffffffffffffffff"] {
            let known = pack(odd);
            assert!(known.sequence == 0 || odd == "AB--5", "{odd}");
        }
        let long = pack(&format!("{}-1f", "A".repeat(PACK_ID_BYTES)));
        assert_eq!((long.series.as_slice(), long.sequence), (b"".as_slice(), 0));
        let mut raw = b"\x0a\x02\x08\x07".to_vec();
        put_trailer(&mut raw, &vec![b't'; 1 << 20], &vec![b's'; 1 << 20], &[]);
        let known = Pack::new(Bytes::new(), Kind::None, &raw).unwrap();
        assert_eq!((known.topic.len(), known.source.len()), (TEXT_BYTES, TEXT_BYTES));
        for kind in [Kind::None, Kind::Lz4, Kind::Zstd, Kind::Deflate] {
            assert_eq!(compression_of(compression_number(kind)), Some(kind));
        }
        assert_eq!(compression_of(9), None);
    }
}
