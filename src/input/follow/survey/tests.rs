use std::io::Write;
use std::time::Duration;

use super::super::OpenFiles;
use super::super::generation::Generation;
use super::*;
use crate::base::metrics::gauge;

fn heads(base: &Path, known: impl FnMut(&Found) -> bool) -> Vec<String> {
    let found = survey(base, &Listings::default(), known).unwrap().unwrap();
    found.into_iter().map(|found| String::from_utf8(found.head).unwrap()).collect()
}

/// Files named so behind `app.log`, each made a minute after the one before.
fn files(names: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("app.log");
    for (minute, (name, text)) in names.iter().enumerate() {
        let file = File::create(dir.path().join(format!("app.log{name}"))).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(60 * minute as u64 + 60)).unwrap();
    }
    (dir, base)
}

#[test]
fn files_come_oldest_first() {
    let (dir, base) = files(&[
        ("", "now"),
        (".1", "before"),
        (".3", "long ago"),
        (".1.gz", "in the making"),
        (".x", "other"),
    ]);
    fs::create_dir(dir.path().join("app.log.4")).unwrap();
    assert_eq!(heads(&base, |_| false), ["long ago", "before", "now"]);
    assert_eq!(heads(&base, |found| found.head == b"before"), ["now"]);
    assert!(survey(&dir.path().join("no/app.log"), &Listings::default(), |_| false).unwrap().is_none());
    assert!(
        survey(&dir.path().join("other.log"), &Listings::default(), |_| false).unwrap().unwrap().is_empty()
    );
}

#[test]
fn a_file_that_moves_into_a_gap_of_the_listing_is_met() {
    let names = [(".4", "e"), (".2", "c"), (".1", "b"), ("", "a")];
    // Once by one name, and, as if there had been two rotations, by two.
    for up in [3, 5] {
        let (dir, base) = files(&names);
        let mut moved = false;
        let found = heads(&base, |found| {
            if found.head == b"b" && !std::mem::replace(&mut moved, true) {
                fs::rename(dir.path().join("app.log.2"), dir.path().join(format!("app.log.{up}"))).unwrap();
            }
            false
        });
        assert!(found.contains(&"c".to_owned()) && found.len() == 4, "{found:?}");
    }
}

#[test]
fn a_log_that_rotates_while_it_is_looked_at_shows_its_files_in_their_order() {
    let (dir, base) = files(&[(".1", "n0"), ("", "n1")]);
    let at = |end: &str| dir.path().join(format!("app.log{end}"));
    let mut rotations = 2;
    let found = heads(&base, |found| {
        if found.head == b"n1" && rotations > 0 {
            for number in [2, 3] {
                let _ = fs::rename(at(".2"), at(".3"));
                fs::rename(at(".1"), at(".2")).unwrap();
                fs::rename(at(""), at(".1")).unwrap();
                fs::write(at(""), format!("n{number}")).unwrap();
                rotations -= 1;
            }
        }
        found.head == b"n0"
    });
    assert_eq!(found, ["n1", "n2", "n3"]);
}

#[test]
fn dated_names_stand_in_their_order_and_beside_numbers_in_that_of_time() {
    let (_dir, base) =
        files(&[("-20260103", "third"), ("-20260101", "first"), ("", "now"), ("-20260102", "second")]);
    assert_eq!(heads(&base, |_| false), ["first", "second", "third", "now"]);
    let (_dir, base) = files(&[
        (".old", "a"),
        (".2", "b"),
        (".1", "c"),
        ("-20260101", "d"),
        (".2026-01-02-13", "e"),
        (".bak", "f"),
        ("", "g"),
    ]);
    assert_eq!(heads(&base, |_| false), ["a", "b", "c", "d", "e", "f", "g"]);
}

#[test]
fn a_log_whose_name_is_a_compressed_file_s_is_inflated() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("app.log.gz");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&base).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"inside").unwrap();
    gzip.finish().unwrap();
    assert_eq!(heads(&base, |_| false), ["inside"]);
}

#[test]
fn an_inode_of_another_moment_is_another_file() {
    let (_dir, base) = files(&[("", &"x".repeat(2_000))]);
    let found = open(base, false).unwrap().unwrap();
    let point = Point {
        id: found.id,
        print: Fingerprint::of(&found.head),
        offset: 1_500,
        tail: Tail::of(&[b'x'; 9]),
    };
    assert_eq!(found.likeness(&point), 3);
    let with = |id| Point { id, ..point };
    // Another number of the device after a boot.
    assert_eq!(found.likeness(&with(FileId { device: 0, ..found.id })), 2);
    assert_eq!(found.likeness(&with(FileId { born: 0, ..found.id })), 2);
    if found.id.born != 0 {
        assert_eq!(found.likeness(&with(FileId { born: 1, ..found.id })), 0);
    }
    assert_eq!(found.likeness(&with(FileId { inode: 0, ..found.id })), 1);
    assert_eq!(found.likeness(&Point { offset: 2_001, ..point }), 0);
    assert!(found.lost(&Point { offset: 2_001, ..point }) && !found.lost(&point));
    let other = Point { tail: Tail::of(b"another text"), ..point };
    assert!(found.likeness(&other) == 0 && found.lost(&other));
}

#[test]
fn a_file_that_was_empty_when_it_was_met_is_known_when_it_is_compressed() {
    let (dir, base) = files(&[("", "")]);
    let met = open(base.clone(), false).unwrap().unwrap();
    let open_files = OpenFiles::new(1, gauge("test", "", &[]));
    let generation = Generation::new(1, open(base.clone(), false).unwrap().unwrap(), &open_files);
    fs::write(&base, "what was written since").unwrap();
    let packed = dir.path().join("app.log.1.gz");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
    gzip.write_all(b"what was written since").unwrap();
    gzip.finish().unwrap();
    fs::remove_file(&base).unwrap();
    let compressed = open(packed, true).unwrap().unwrap();
    assert!(compressed.is_content_of(&met));
    assert!(generation.is(&compressed));
}
