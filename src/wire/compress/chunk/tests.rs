use std::io::Write;

use flate2::{Compression, GzBuilder};
use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer =
        GzBuilder::new().filename("n").comment("c").extra(b"xy").write(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn inflate(packing: Packing, packed: &[u8], limit: usize, step: usize) -> Result<Vec<u8>, InflateError> {
    let mut inflate = Inflate::new(packing, Bytes::copy_from_slice(packed), limit)?;
    let mut out = b"before".to_vec();
    loop {
        let before = out.len();
        let progress = inflate.step(&mut out, step)?;
        assert!(out.len() - before <= step.max(1));
        if progress == Progress::Done {
            assert_eq!(inflate.produced(), out.len() - 6);
            return Ok(out.split_off(6));
        }
    }
}

fn whole(packing: Packing, packed: &[u8]) -> Result<Vec<u8>, InflateError> {
    inflate(packing, packed, 1 << 20, usize::MAX)
}

#[test]
fn all_members_are_read_and_only_zeros_may_follow() {
    for (packing, pack) in [(Packing::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Packing::Zstd, zstd)] {
        let mut packed = [pack(b"one "), pack(b""), pack(b"two")].concat();
        assert_eq!(whole(packing, &packed), Ok(b"one two".to_vec()));
        packed.extend([0; 5]);
        assert_eq!(whole(packing, &packed), Ok(b"one two".to_vec()));
        packed.extend(b"\x1e\x8b");
        assert!(matches!(whole(packing, &packed), Err(InflateError::Corrupt(_))));
    }
}

#[test]
fn every_cut_is_an_error() {
    for (packing, first, packed) in [
        (Packing::Gzip, gzip(b"some text").len(), [gzip(b"some text"), gzip(b"more")].concat()),
        (Packing::Zstd, zstd(b"some text").len(), [zstd(b"some text"), zstd(b"more")].concat()),
    ] {
        for cut in (0..packed.len()).filter(|cut| *cut != first) {
            assert_eq!(whole(packing, &packed[..cut]), Err(InflateError::Truncated), "{packing:?} {cut}");
        }
        assert!(whole(packing, &packed[..first]).is_ok());
    }
}

#[test]
fn wrong_checksums_are_errors() {
    let mut packed = gzip(b"some text");
    let length = packed.len();
    packed[length - 1] ^= 1;
    assert!(matches!(whole(Packing::Gzip, &packed), Err(InflateError::Corrupt(_))));
    packed[length - 1] ^= 1;
    packed[length - 5] ^= 1;
    assert!(matches!(whole(Packing::Gzip, &packed), Err(InflateError::Corrupt(_))));
    assert!(matches!(whole(Packing::Gzip, b"\x1f\x8b\x07\0\0\0\0\0\0\0"), Err(InflateError::Corrupt(_))));
    assert!(matches!(whole(Packing::Gzip, b"no gzip"), Err(InflateError::Corrupt(_))));
    assert!(matches!(whole(Packing::Zstd, b"no zstd"), Err(InflateError::Corrupt(_))));
}

/// A frame that announces 37,139 bytes, and ends after 23 with an empty block.
#[test]
fn a_frame_keeps_its_word_about_its_length() {
    let mut frame = b"\x28\xb5\x2f\xfd\xa0\x13\x91\0\0\xba\0\0\0".to_vec();
    frame.extend(b"\x01\0\0");
    for step in [1, 77, usize::MAX] {
        let result = inflate(Packing::Zstd, &frame, 1 << 20, step);
        assert!(matches!(result, Err(InflateError::Corrupt(_))), "{result:?}");
    }
    // A skippable frame between two others.
    let chunk = [&zstd(b"one")[..], b"\x50\x2a\x4d\x18\x02\0\0\0xx", &zstd(b"two")].concat();
    assert_eq!(inflate(Packing::Zstd, &chunk, 1 << 20, 2), Ok(b"onetwo".to_vec()));
}

#[test]
fn bombs_are_capped() {
    let zeros = vec![0; 3 << 20];
    for (packing, packed) in [(Packing::Gzip, gzip(&zeros)), (Packing::Zstd, zstd(&zeros))] {
        assert_eq!(inflate(packing, &packed, 65_536, 1000), Err(InflateError::Size { limit: 65_536 }));
        assert_eq!(
            inflate(packing, &packed, (3 << 20) - 1, 1 << 22),
            Err(if packing == Packing::Gzip {
                InflateError::Size { limit: (3 << 20) - 1 }
            } else {
                InflateError::Ratio { packed: packed.len() }
            })
        );
    }
    assert_eq!(inflate(Packing::Gzip, &gzip(&zeros), 3 << 20, 1 << 16).unwrap().len(), 3 << 20);
    // A frame header that asks for a window of 2 GiB.
    let wide = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00";
    assert!(matches!(whole(Packing::Zstd, wide), Err(InflateError::Corrupt(_))));
}

#[test]
fn the_first_bytes_overrule_the_label() {
    let entry = b"\x92\x01\x80";
    for label in [Label::Plain, Label::Gzip, Label::Zstd, Label::Other] {
        assert_eq!(sniff(label, entry), Ok(None));
        assert_eq!(sniff(label, b""), Ok(None));
        assert_eq!(sniff(label, &gzip(entry)), Ok(Some(Packing::Gzip)));
        assert_eq!(sniff(label, &zstd(entry)), Ok(Some(Packing::Zstd)));
    }
    assert_eq!(sniff(Label::Plain, b"\x05"), Ok(None));
    assert_eq!(sniff(Label::Other, b"\x04\x22\x4d\x18"), Err(InflateError::Unknown));
    assert_eq!(sniff(Label::Gzip, b"\x1f"), Err(InflateError::Truncated));
    assert!(matches!(sniff(Label::Gzip, b"text"), Err(InflateError::Corrupt(_))));
    assert!(matches!(sniff(Label::Zstd, b"text"), Err(InflateError::Corrupt(_))));
}

proptest! {
    #[test]
    fn steps_of_any_size_give_the_same_bytes(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 1..4),
        step in 1usize..3000,
        use_zstd: bool,
    ) {
        let (packing, pack) = if use_zstd { (Packing::Zstd, zstd as fn(&[u8]) -> Vec<u8>) } else { (Packing::Gzip, gzip as _) };
        let packed: Vec<u8> = pieces.iter().flat_map(|piece| pack(piece)).collect();
        prop_assert_eq!(inflate(packing, &packed, 1 << 20, step), Ok(pieces.concat()));
    }

    #[test]
    fn any_bytes_inflate_or_fail(mut bytes: Vec<u8>, use_zstd: bool) {
        let packing = if use_zstd { Packing::Zstd } else { Packing::Gzip };
        let _ = whole(packing, &bytes);
        let magic: &[u8] = if use_zstd { &ZSTD_MAGIC } else { b"\x1f\x8b\x08\0\0\0\0\0\0\0" };
        bytes.splice(0..0, magic.iter().copied());
        let _ = whole(packing, &bytes);
    }
}
