use std::fs;
use std::io::Write;

use super::super::identity::Position;
use super::*;
use crate::base::metrics::gauge;

/// A directory with a log that a writer appends to and rotates as Docker does.
pub(super) struct Logger {
    pub(super) dir: tempfile::TempDir,
    pub(super) written: u32,
}

impl Logger {
    pub(super) fn new() -> Logger {
        Logger { dir: tempfile::tempdir().unwrap(), written: 0 }
    }

    pub(super) fn base(&self) -> PathBuf {
        self.dir.path().join("c.log")
    }

    pub(super) fn name(&self, number: usize, end: &str) -> PathBuf {
        self.dir.path().join(format!("c.log.{number}{end}"))
    }

    pub(super) fn write(&mut self, lines: u32) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.base()).unwrap();
        for _ in 0..lines {
            self.written += 1;
            writeln!(file, "{} is the number of this line", self.written).unwrap();
        }
    }

    pub(super) fn rotate(&self, keep: usize) {
        let _ = fs::remove_file(self.name(keep - 1, ""));
        let _ = fs::remove_file(self.name(keep - 1, ".gz"));
        for number in (1..keep - 1).rev() {
            for end in ["", ".gz"] {
                let _ = fs::rename(self.name(number, end), self.name(number + 1, end));
            }
        }
        fs::rename(self.base(), self.name(1, "")).unwrap();
        fs::write(self.base(), "").unwrap();
    }

    pub(super) fn compress(&self, number: usize) {
        let text = fs::read(self.name(number, "")).unwrap();
        let mut gzip = flate2::GzBuilder::new()
            .extra(b"{\"lastTime\":\"x\"}".as_slice())
            .write(fs::File::create(self.name(number, ".gz")).unwrap(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        gzip.finish().unwrap();
        fs::remove_file(self.name(number, "")).unwrap();
    }

    pub(super) fn chain(&self, most_open: usize) -> Chain {
        Chain::new(self.base(), OpenFiles::new(most_open, gauge("test", "", &[])), Losses::new("test"))
    }
}

/// Reads whole lines until there is nothing more: their numbers.
pub(super) fn drain(chain: &mut Chain) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        chain.look().unwrap();
        let filled = chain.fill(100).unwrap();
        let frame = chain.lend();
        let done = memchr::memrchr(b'\n', &frame).map_or(0, |at| at + 1);
        let lines = frame[..done].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        numbers.extend(lines.map(|line| {
            let line = std::str::from_utf8(line).unwrap().trim_start_matches('\0');
            line.split(' ').next().unwrap().parse::<u32>().unwrap()
        }));
        chain.give_back(frame, done);
        match filled {
            Filled::More => {}
            Filled::Ended => chain.leave(),
            Filled::Idle => return numbers,
        }
    }
}

pub(super) fn to(last: u32) -> Vec<u32> {
    (1..=last).collect()
}

#[test]
fn twenty_five_rotations_while_nothing_is_read_lose_nothing() {
    let mut logger = Logger::new();
    logger.write(3);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    for turn in 0..25 {
        logger.write(10);
        logger.rotate(3);
        if turn % 3 == 0 {
            logger.compress(1);
        }
        chain.look().unwrap();
    }
    logger.write(2);
    assert_eq!(drain(&mut chain), to(255));
    logger.write(2);
    assert_eq!(drain(&mut chain), [256, 257]);
    chain.rest();
    assert!(!chain.has_news());
}

#[test]
fn a_new_log_that_has_as_many_files_as_are_kept_may_have_had_more() {
    for (rotations, kept, unseen) in
        [(2, Some(4), 0), (3, Some(4), 1), (9, Some(4), 1), (9, None, 0), (0, Some(1), 0)]
    {
        for is_late in [false, true] {
            let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
            let mut logger = Logger::new();
            metrics::with_local_recorder(&recorder, || {
                let mut chain = logger.chain(100);
                chain.expect_all(kept);
                if is_late {
                    chain.resume(None).unwrap();
                }
                for _ in 0..rotations {
                    logger.write(1);
                    logger.rotate(4);
                }
                logger.write(1);
                if !is_late {
                    chain.resume(None).unwrap();
                }
                drain(&mut chain);
            });
            let text = recorder.handle().render();
            let counted = format!("sluicegate_files_unseen_total{{input=\"test\"}} {unseen}");
            assert!(text.contains(&counted), "{rotations} {kept:?} {is_late}: {text}");
        }
    }
}

#[test]
fn a_restart_goes_on_in_the_middle_of_whatever_the_file_became() {
    for compress in [false, true] {
        for rotations in 0..3 {
            let mut logger = Logger::new();
            logger.write(100);
            let mut chain = logger.chain(100);
            chain.resume(None).unwrap();
            chain.look().unwrap();
            chain.fill(1000).unwrap();
            let frame = chain.lend();
            let done = memchr::memchr(b'\n', &frame).unwrap() + 1;
            chain.give_back(frame, done);
            let position = Position { read: chain.point(0), ..Position::default() };
            drop(chain);
            for _ in 0..rotations {
                logger.rotate(5);
                logger.write(10);
                if compress {
                    logger.compress(1);
                }
            }
            let mut again = logger.chain(100);
            let resumed = again.resume(Some(&position)).unwrap();
            assert_eq!(resumed.read.unwrap().offset, done as u64);
            assert_eq!(drain(&mut again), to(logger.written)[1..], "{compress} {rotations}");
        }
    }
}

#[test]
fn an_unfinished_line_is_begun_again_and_the_place_read_is_known() {
    let mut logger = Logger::new();
    logger.write(50);
    logger.rotate(3);
    logger.write(50);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    let start = Point { offset: 120, ..chain.point(0) };
    drain(&mut chain);
    let position = Position { read: chain.point(0), unfinished: [None, Some(start)], ..Position::default() };
    let mut again = logger.chain(100);
    let resumed = again.resume(Some(&position)).unwrap();
    assert_eq!(again.at(0), resumed.unfinished[1].unwrap());
    assert_eq!(again.at(0).offset, 120);
    assert_eq!(resumed.read.unwrap().generation, again.at(0).generation + 1);
}

#[test]
fn truncated_files_are_read_from_their_beginning() {
    let mut logger = Logger::new();
    logger.write(100);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    assert_eq!(drain(&mut chain).len(), 100);
    fs::OpenOptions::new().write(true).open(logger.base()).unwrap().set_len(0).unwrap();
    logger.write(3);
    assert_eq!(drain(&mut chain), [101, 102, 103]);
    // Grown beyond the old place before anybody looked.
    fs::OpenOptions::new().write(true).open(logger.base()).unwrap().set_len(0).unwrap();
    logger.write(200);
    assert_eq!(drain(&mut chain), (104..=303).collect::<Vec<_>>());
    assert_eq!(chain.truncations(), 2);
}

#[test]
fn a_hole_that_a_truncation_leaves_is_no_new_content() {
    let mut logger = Logger::new();
    logger.write(30);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    drain(&mut chain);
    let file = fs::OpenOptions::new().write(true).open(logger.base()).unwrap();
    let end = file.metadata().unwrap().len();
    file.set_len(0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"31 behind the hole\n", end).unwrap();
    assert_eq!(drain(&mut chain), [31]);
    // Also when the truncated file was seen: then the hole is read.
    file.set_len(0).unwrap();
    chain.look().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"32 behind the hole\n", end).unwrap();
    assert_eq!(drain(&mut chain), [32]);
}

#[test]
fn what_was_removed_is_read_through_the_open_file() {
    let mut logger = Logger::new();
    logger.write(100);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    chain.look().unwrap();
    fs::remove_dir_all(logger.dir.path()).unwrap();
    assert_eq!(drain(&mut chain), to(100));
    assert!(chain.is_gone());
}

#[test]
fn files_beyond_the_bound_are_found_when_their_turn_comes() {
    let mut logger = Logger::new();
    logger.write(10);
    let mut chain = logger.chain(0);
    chain.resume(None).unwrap();
    assert_eq!(drain(&mut chain).len(), 10);
    chain.rest();
    logger.write(10);
    logger.rotate(6);
    for _ in 0..3 {
        logger.write(10);
        logger.rotate(6);
        chain.look().unwrap();
    }
    assert_eq!(drain(&mut chain), (11..=50).collect::<Vec<_>>());
    // An unlinked file that nobody held is lost, and what comes behind it is read.
    chain.rest();
    logger.write(5);
    fs::remove_file(logger.base()).unwrap();
    logger.write(5);
    assert_eq!(drain(&mut chain), (56..=60).collect::<Vec<_>>());
}

#[test]
fn compressed_files_that_begin_alike_are_all_read() {
    let mut logger = Logger::new();
    logger.write(1);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    assert_eq!(drain(&mut chain), [1]);
    let (alike, mut lines) = (format!("0 {}\n", "x".repeat(2_000)), 0);
    // The second time they begin as others did that were read already.
    for _ in 0..2 {
        let mut expected = Vec::new();
        for _ in 0..3 {
            logger.rotate(6);
            logger.compress(1);
            fs::write(logger.base(), &alike).unwrap();
            lines += 1;
            expected.push(0);
            expected.extend(logger.written + 1..=logger.written + lines);
            logger.write(lines);
        }
        assert_eq!(drain(&mut chain), expected);
    }
}

#[test]
fn a_damaged_compressed_file_costs_only_its_rest() {
    let mut logger = Logger::new();
    logger.write(500);
    logger.rotate(3);
    logger.compress(1);
    logger.write(5);
    let packed = fs::read(logger.name(1, ".gz")).unwrap();
    fs::write(logger.name(1, ".gz"), &packed[..packed.len() / 2]).unwrap();
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    let numbers = drain(&mut chain);
    assert_eq!(numbers[numbers.len() - 5..], [501, 502, 503, 504, 505]);
    assert!(numbers.len() > 20);
}

#[test]
fn a_reused_inode_is_another_file() {
    let mut logger = Logger::new();
    logger.write(10);
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    drain(&mut chain);
    let position = Position { read: chain.point(0), ..Position::default() };
    drop(chain);
    fs::remove_file(logger.base()).unwrap();
    logger.write(10);
    let mut again = logger.chain(100);
    again.resume(Some(&position)).unwrap();
    assert_eq!(drain(&mut again), (11..=20).collect::<Vec<_>>());
}

#[test]
fn what_was_replaced_while_nobody_looked_is_told_from_what_was_rotated_away() {
    for replaced in [true, false] {
        let mut logger = Logger::new();
        logger.write(10);
        logger.rotate(3);
        logger.write(10);
        let mut chain = logger.chain(100);
        chain.resume(None).unwrap();
        drain(&mut chain);
        let position = Position { read: chain.point(0), before: chain.before(), ..Position::default() };
        drop(chain);
        if replaced {
            fs::write(logger.base(), "").unwrap();
        } else {
            for _ in 0..3 {
                logger.rotate(3);
                logger.write(10);
            }
        }
        logger.write(5);
        let mut again = logger.chain(100);
        again.resume(Some(&position)).unwrap();
        assert_eq!(drain(&mut again), (21..=logger.written).collect::<Vec<_>>());
    }
}

#[test]
fn files_that_begin_alike_are_told_apart() {
    // The number stands behind more than what a fingerprint sees.
    let line = |number: u32| format!("{} {number}\n", "x".repeat(2 * Fingerprint::BYTES));
    let mut logger = Logger::new();
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    let mut read = String::new();
    for number in 1..=12 {
        fs::write(logger.base(), line(number)).unwrap();
        for at in 0..2 {
            chain.look().unwrap();
            while chain.fill(100_000).unwrap() == Filled::Ended {
                chain.leave();
            }
            let frame = chain.lend();
            read.push_str(std::str::from_utf8(&frame).unwrap());
            let len = frame.len();
            chain.give_back(frame, len);
            if at == 0 {
                logger.rotate(3);
                if number % 2 == 0 {
                    logger.compress(1);
                }
                fs::remove_file(logger.base()).unwrap();
            }
        }
        logger.written += 1;
    }
    let numbers: Vec<&str> = read.lines().map(|line| line.trim_start_matches('x').trim()).collect();
    assert_eq!(numbers, (1..=12).map(|number| number.to_string()).collect::<Vec<_>>());
}
