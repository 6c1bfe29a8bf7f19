//! A segment file as a start finds it, before its frames are walked: who it says it is, and what its snapshot says
//! about older ones.

use super::files::{Files, SegmentFile, read_full};
use super::frame::{HEADER_BYTES, Identity, Op, parse_ops};
use super::scan::Scan;
use std::collections::BTreeMap;
use std::io;

/// How far a segment counts.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) good: u64,
    /// Bytes before that a torn write broke: nobody misses them.
    pub(super) broken: u64,
}

/// A segment file before it is walked.
pub(super) struct Candidate {
    pub(super) identity: Identity,
    pub(super) name: String,
    pub(super) file: Box<dyn SegmentFile>,
    pub(super) size: u64,
    pub(super) header_sound: bool,
    /// Good lengths of older segments, from its snapshot.
    pub(super) covers: Option<BTreeMap<u32, Extent>>,
    /// Queues its snapshot names.
    pub(super) names: Vec<(u32, String)>,
}

/// Opens a file and reads its header and its snapshot; `None` when it is no segment by either name or header.
pub(super) fn look(files: &dyn Files, name: &str) -> io::Result<Option<Candidate>> {
    let file = files.open(name)?;
    let size = file.size()?;
    let mut header = [0; HEADER_BYTES as usize];
    // What cannot be read is damage, and the name says what the header would.
    let _ = read_full(&*file, &mut header, 0);
    let sound = Identity::from_header(&header);
    let Some(identity) = sound.or_else(|| Identity::from_name(name)) else { return Ok(None) };
    let mut scan = Scan::new(&*file, size, identity.seed());
    let first = scan.frame(HEADER_BYTES);
    let covers = first.as_ref().and_then(|frame| covered(&frame.ops));
    let names = first.map(|frame| named(&frame.ops)).unwrap_or_default();
    let header_sound = sound.is_some();
    Ok(Some(Candidate { identity, name: name.to_owned(), size, header_sound, covers, names, file }))
}

fn named(ops: &[u8]) -> Vec<(u32, String)> {
    let ops = parse_ops(ops).unwrap_or_default().into_iter();
    let names = ops.filter_map(|op| match op {
        Op::Queue { number, name } => Some((number, name.to_owned())),
        _ => None,
    });
    names.collect()
}

/// What a snapshot says about older segments.
fn covered(ops: &[u8]) -> Option<BTreeMap<u32, Extent>> {
    let ops = parse_ops(ops)?;
    let good = ops.iter().filter_map(|op| match op {
        Op::Segment { number, good, broken } => Some((*number, Extent { good: *good, broken: *broken })),
        _ => None,
    });
    ops.first().is_some_and(|op| *op == Op::Snapshot).then(|| good.collect())
}
