//! What a start would make of given bytes, without a disk: the door for fuzzing.

use super::files::{Files, SegmentFile, Space};
use super::frame::{FRAME_HEAD, HEADER_BYTES, Identity};
use super::recover::recover;
use super::state::State;
use std::io;
use std::path::Path;

/// A file of bytes, so that a fuzzer can hand in what no disk holds.
struct Loose(Vec<u8>);

impl SegmentFile for Loose {
    fn write_some(&self, _: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn cut(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_some(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// A directory of such files.
struct Shelf<'a>(&'a [&'a [u8]]);
impl Files for Shelf<'_> {
    fn create(&self, _: &str) -> io::Result<Box<dyn SegmentFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let number = Identity::from_name(name).map_or(0, |identity| identity.segment as usize);
        let bytes = self.0.get(number.wrapping_sub(1)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Loose(bytes.to_vec())))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let identity = |segment| Identity { segment, generation: 1, salt: 0 };
        Ok((1..=self.0.len() as u32).map(|number| identity(number).name()).collect())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { available: 0, total: 0 })
    }

    fn place(&self) -> &Path {
        Path::new("memory")
    }
}

/// How many entries a start would find live in a directory that holds these segments alone, oldest first, each under
/// the name of number 1, 2, ..., generation 1, salt 0.
pub fn survey(segments: &[&[u8]]) -> usize {
    let mut state = State::default();
    if let Ok(found) = recover(&Shelf(segments)) {
        found.fill(&mut state);
    }
    state.queues.iter().map(|queue| queue.slots.len()).sum()
}

/// The segment with its header and the lengths and checksums of its frames put right, as far as they can be: nearly
/// every change stops at a checksum, and a fuzzer is to come further.
pub fn mend(segment: &[u8]) -> Vec<u8> {
    let identity = Identity { segment: 1, generation: 1, salt: 0 };
    let mut mended = identity.header().to_vec();
    let mut rest = segment.get(HEADER_BYTES as usize..).unwrap_or_default();
    while let Some((head, behind)) = rest.split_first_chunk::<FRAME_HEAD>() {
        let [.., a, b, c, d] = *head;
        let said = (u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize).saturating_sub(20);
        let (body, next) = behind.split_at(said.min(behind.len()));
        let ops_len = (u32::from_le_bytes([a, b, c, d]) as usize).min(body.len());
        let numbers = &head[8..24];
        let (len, ops_len_bytes) = ((body.len() + 20) as u32, (ops_len as u32).to_le_bytes());
        let mut crc = identity.seed();
        for part in [&len.to_le_bytes()[..], numbers, &ops_len_bytes, body.get(..ops_len).unwrap_or_default()]
        {
            crc = crc32c::crc32c_append(crc, part);
        }
        for part in [&len.to_le_bytes()[..], &crc.to_le_bytes(), numbers, &ops_len_bytes, body] {
            mended.extend_from_slice(part);
        }
        rest = next;
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::super::frame::AppendOp;
    use super::*;
    use bytes::Bytes;

    /// Frames `numbers`, one entry each.
    fn segment(numbers: std::ops::Range<u64>) -> Vec<u8> {
        let identity = Identity { segment: 1, generation: 1, salt: 0 };
        let mut batch = Batch::default();
        batch.header(&identity);
        for number in numbers {
            batch.begin(number, number - 1);
            batch.queue(0, "a");
            let op = AppendOp {
                queue: 0,
                index: number,
                stream: 1,
                records: 1,
                stored_at: 1,
                mark: b"",
                trailer: b"trailer",
                len: 0,
                crc: 0,
            };
            batch.append(&op, Bytes::from_static(b"payload"));
            batch.end(identity.seed());
        }
        batch.slices().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn mending_leaves_a_sound_segment_alone_and_makes_a_broken_one_pass() {
        let sound = segment(1..4);
        assert_eq!(survey(&[&sound]), 3);
        assert_eq!(mend(&sound), sound);
        let mut broken = sound.clone();
        broken[9] ^= 1;
        broken[HEADER_BYTES as usize + 4] ^= 1;
        assert_eq!(survey(&[&broken]), 2);
        assert_eq!(mend(&broken), sound);
    }
}
