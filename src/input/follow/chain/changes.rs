//! What happens to a log besides rotation by number: copies, symbolic links, dated and unknown names, edits.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use super::super::identity::Position;
use super::tests::{Logger, drain, to};
use super::*;

impl Logger {
    /// As logrotate's copytruncate does.
    pub(super) fn copy_and_truncate(&self, keep: usize) {
        for number in (1..keep).rev() {
            let _ = fs::rename(self.name(number, ""), self.name(number + 1, ""));
        }
        fs::copy(self.base(), self.name(1, "")).unwrap();
        self.truncate();
    }

    fn truncate(&self) {
        fs::OpenOptions::new().write(true).open(self.base()).unwrap().set_len(0).unwrap();
    }

    pub(super) fn resumed(&self, position: &Position) -> Chain {
        let mut chain = self.chain(100);
        chain.resume(Some(position)).unwrap();
        chain
    }

    /// A log of so many lines, and a chain that has read the first of them.
    pub(super) fn begun(lines: u32, read: usize) -> (Logger, Chain) {
        let mut logger = Logger::new();
        logger.write(lines);
        let mut chain = started(&logger);
        read_lines(&mut chain, read);
        (logger, chain)
    }

    /// A log of a hundred lines that were read and ten more, and a chain that is so many behind.
    fn behind(behind: usize) -> (Logger, Chain) {
        let mut logger = Logger::new();
        logger.write(100);
        let mut chain = started(&logger);
        drain(&mut chain);
        logger.write(10);
        read_lines(&mut chain, 10 - behind);
        (logger, chain)
    }

    /// As a writer has it that keeps its place, and this place.
    pub(super) fn held(&self) -> (fs::File, u64) {
        let file = fs::OpenOptions::new().write(true).open(self.base()).unwrap();
        let end = file.metadata().unwrap().len();
        (file, end)
    }
}

pub(super) fn started(logger: &Logger) -> Chain {
    let mut chain = logger.chain(100);
    chain.resume(None).unwrap();
    chain
}

pub(super) fn position(chain: &Chain) -> Position {
    Position { read: chain.point(0), before: chain.before(), ..Position::default() }
}

pub(super) fn range(from: u32, to: u32) -> Vec<u32> {
    (from..=to).collect()
}

/// Reads the first `many` lines of what the chain stands at.
fn read_lines(chain: &mut Chain, many: usize) {
    chain.look().unwrap();
    chain.fill(100_000).unwrap();
    let frame = chain.lend();
    let done = memchr::memchr_iter(b'\n', &frame).nth(many - 1).unwrap() + 1;
    chain.give_back(frame, done);
}

#[test]
fn at_first_sight_the_caller_chooses_what_is_read() {
    let mut logger = Logger::new();
    for _ in 0..3 {
        logger.write(5);
        logger.rotate(5);
    }
    logger.write(5);
    let since = fs::metadata(logger.name(1, "")).unwrap().modified().unwrap();
    let old = fs::File::options().write(true).open(logger.name(2, "")).unwrap();
    old.set_modified(since - Duration::from_secs(10)).unwrap();
    for (first_sight, first) in [
        (FirstSight::All, 1),
        (FirstSight::Newest, 16),
        (FirstSight::Since(since), 11),
        (FirstSight::Since(since - Duration::from_secs(100)), 1),
    ] {
        let mut chain = logger.chain(100).with_first_sight(first_sight);
        chain.resume(None).unwrap();
        assert_eq!(drain(&mut chain), range(first, logger.written), "{first_sight:?}");
        // What was passed over stays so.
        logger.write(1);
        logger.rotate(9);
        logger.write(1);
        assert_eq!(drain(&mut chain), range(logger.written - 1, logger.written), "{first_sight:?}");
        fs::remove_file(logger.base()).unwrap();
        fs::rename(logger.name(1, ""), logger.base()).unwrap();
        for number in 2..6 {
            let _ = fs::rename(logger.name(number, ""), logger.name(number - 1, ""));
        }
        // As it was before: sixteen to twenty and what was added.
        fs::write(logger.base(), (16..=20).map(|n| format!("{n} is\n")).collect::<String>()).unwrap();
        logger.written = 20;
    }
}

#[test]
fn dated_names_and_unknown_ones_are_found_again_after_a_restart() {
    for (first, second) in [
        ("c.log-20260101", "c.log-20260102"),
        ("c.log.20260101-150405", "c.log.20260102-150405"),
        ("c.log.bak", "c.log.1"),
        ("c-of-yesterday.log", "c.log.1"),
        ("put away", "c.log-20260101"),
    ] {
        for most_open in [0, 100] {
            let mut logger = Logger::new();
            logger.write(100);
            let mut chain = logger.chain(most_open);
            chain.resume(None).unwrap();
            read_lines(&mut chain, 40);
            let position = position(&chain);
            chain.rest();
            fs::rename(logger.base(), logger.dir.path().join(first)).unwrap();
            logger.write(10);
            fs::rename(logger.base(), logger.dir.path().join(second)).unwrap();
            logger.write(10);
            let mut again = logger.resumed(&position);
            assert_eq!(drain(&mut again), range(41, 120), "{first}");
            assert_eq!(drain(&mut chain), range(41, 120), "{first}");
        }
    }
}

#[test]
fn a_symbolic_link_that_points_elsewhere_is_followed_after_the_old_file_s_end() {
    for away in [false, true] {
        let mut logger = Logger::new();
        let pods = logger.dir.path().join("pods");
        fs::create_dir(&pods).unwrap();
        symlink(pods.join("0.log"), logger.base()).unwrap();
        logger.write(10);
        let mut chain = started(&logger);
        read_lines(&mut chain, 5);
        let position = position(&chain);
        // Rotated once more behind the link, then the container began anew.
        fs::rename(pods.join("0.log"), pods.join("0.log.20260101-150405")).unwrap();
        logger.write(10);
        fs::remove_file(logger.base()).unwrap();
        if !away {
            chain.look().unwrap();
            assert!(chain.is_missing());
        }
        symlink(pods.join("1.log"), logger.base()).unwrap();
        logger.write(10);
        if away {
            chain = logger.resumed(&position);
        }
        assert_eq!(drain(&mut chain), range(6, 30), "{away}");
        logger.write(1);
        fs::rename(pods.join("1.log"), pods.join("1.log.20260101-160405")).unwrap();
        logger.write(1);
        assert_eq!(drain(&mut chain), [31, 32]);
    }
}

#[test]
fn a_copy_is_not_read_twice_and_its_rest_is_read() {
    for behind in [0, 1, 7] {
        for away in [false, true] {
            for copies in 1..3 {
                let (mut logger, mut chain) = Logger::behind(behind);
                let before = position(&chain);
                for _ in 0..copies {
                    logger.copy_and_truncate(5);
                    logger.write(3);
                }
                if away {
                    chain = logger.resumed(&before);
                }
                let case = format!("{behind} behind, {copies} copies, away {away}");
                assert_eq!(drain(&mut chain), range(111 - behind as u32, logger.written), "{case}");
                // Nor by who comes later, nor after a rotation by name.
                let after = position(&chain);
                logger.write(2);
                logger.rotate(9);
                logger.write(2);
                let last = range(logger.written - 3, logger.written);
                assert_eq!(drain(&mut chain), last, "{case}");
                assert_eq!(drain(&mut logger.resumed(&after)), last, "{case}");
            }
        }
    }
}

#[test]
fn a_file_that_was_truncated_and_then_went_comes_before_the_next_one() {
    for removed in [false, true] {
        for behind in [0, 7] {
            let (mut logger, mut chain) = Logger::behind(behind);
            // All between two looks.
            logger.copy_and_truncate(5);
            logger.write(3);
            if removed {
                fs::remove_file(logger.base()).unwrap();
            } else {
                logger.rotate(9);
            }
            logger.write(3);
            let case = format!("removed {removed}, {behind} behind");
            assert_eq!(drain(&mut chain), range(111 - behind as u32, 116), "{case}");
            logger.write(2);
            assert_eq!(drain(&mut chain), [117, 118], "{case}");
        }
    }
}

#[test]
fn the_rest_of_a_compressed_copy_is_read() {
    for away in [false, true] {
        let (mut logger, mut chain) = Logger::begun(100, 50);
        let before = position(&chain);
        logger.copy_and_truncate(3);
        logger.compress(1);
        logger.write(3);
        if away {
            chain = logger.resumed(&before);
        }
        assert_eq!(drain(&mut chain), range(51, 103));
    }
}

#[test]
fn a_new_content_that_begins_as_the_old_one_is_read_from_its_beginning() {
    for (away, copied) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut logger = Logger::new();
        same_head(&logger);
        logger.write(50);
        let mut chain = started(&logger);
        read_lines(&mut chain, 31);
        let before = position(&chain);
        if copied {
            logger.copy_and_truncate(3);
        }
        same_head(&logger);
        logger.write(5);
        if away {
            chain = logger.resumed(&before);
        }
        // What was read and waits is there all the same.
        let mut expected = if copied || !away { range(31, 50) } else { Vec::new() };
        expected.push(0);
        expected.extend(51..=55);
        assert_eq!(drain(&mut chain), expected, "away {away}, copied {copied}");
    }
}

#[test]
fn an_edited_file_is_read_again_and_nothing_of_it_is_missed() {
    let mut logger = Logger::new();
    logger.write(10);
    let mut chain = started(&logger);
    drain(&mut chain);
    let text = fs::read_to_string(logger.base()).unwrap();
    // In place.
    fs::write(logger.base(), text.lines().skip(5).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    assert_eq!(drain(&mut chain), range(6, 10));
    // As an editor does.
    fs::rename(logger.base(), logger.dir.path().join("c.log~")).unwrap();
    fs::write(logger.base(), "10 is the number of this line\n11 is new\n").unwrap();
    assert_eq!(drain(&mut chain), [10, 11]);
}

#[test]
fn a_device_may_have_another_number_after_a_boot() {
    let (logger, chain) = Logger::begun(100, 30);
    let mut moved = position(&chain);
    moved.read.id.device += 1;
    assert_eq!(drain(&mut logger.resumed(&moved)), range(31, 100));
}

#[test]
fn an_inode_that_was_used_again_is_another_file_even_if_it_begins_alike() {
    let mut logger = Logger::new();
    fs::write(logger.base(), format!("0 {}\n", "same".repeat(Fingerprint::BYTES))).unwrap();
    logger.write(100);
    let mut chain = started(&logger);
    read_lines(&mut chain, 30);
    let mut other = position(&chain);
    if other.read.id.born == 0 {
        // Nothing tells them apart here.
        return;
    }
    other.read.id.born -= 1;
    assert_eq!(drain(&mut logger.resumed(&other)), range(0, 100));
}

#[test]
fn a_file_that_is_removed_is_read_to_its_end_and_known_to_be_missing() {
    let mut logger = Logger::new();
    logger.write(10);
    let mut chain = started(&logger);
    chain.look().unwrap();
    fs::remove_file(logger.base()).unwrap();
    assert_eq!(drain(&mut chain), to(10));
    assert!(chain.is_missing() && !chain.is_gone());
    logger.write(1);
    assert_eq!(drain(&mut chain), [11]);
    assert!(!chain.is_missing());
}

/// As long as what a fingerprint sees, then numbered lines of one length.
fn same_head(logger: &Logger) -> fs::File {
    fs::write(logger.base(), format!("0 {}\n", "same".repeat(Fingerprint::BYTES / 4))).unwrap();
    fs::OpenOptions::new().append(true).open(logger.base()).unwrap()
}

#[test]
fn a_new_content_that_begins_as_the_old_one_and_is_longer_is_read_from_its_beginning() {
    let lines = |range: std::ops::RangeInclusive<u32>| -> String {
        range
            .map(|number| format!("{number:05} is the number of this line, which has the same end\n"))
            .collect()
    };
    for (away, copied, resting) in [
        (false, false, false),
        (false, true, false),
        (true, false, false),
        (true, true, false),
        (false, false, true),
        (false, true, true),
    ] {
        let logger = Logger::new();
        same_head(&logger).write_all(lines(1..=50).as_bytes()).unwrap();
        let mut chain = started(&logger);
        read_lines(&mut chain, 31);
        let before = position(&chain);
        if resting {
            chain.rest();
        }
        if copied {
            logger.copy_and_truncate(3);
        }
        same_head(&logger).write_all(lines(1_001..=1_100).as_bytes()).unwrap();
        if away {
            chain = logger.resumed(&before);
        }
        // What was read and waits is there all the same.
        let mut expected = if copied || !away { range(31, 50) } else { Vec::new() };
        expected.push(0);
        expected.extend(1_001..=1_100);
        assert_eq!(drain(&mut chain), expected, "away {away}, copied {copied}, resting {resting}");
    }
}

#[test]
fn a_content_replaced_in_the_moment_of_a_look_is_seen_at_the_next() {
    for _ in 0..50 {
        let logger = Logger::new();
        fs::write(logger.base(), "1 is a line\n").unwrap();
        let mut chain = started(&logger);
        assert_eq!(drain(&mut chain), [1]);
        // As long, and within the time that the file system's clock takes to move on.
        fs::write(logger.base(), "2 is a line\n").unwrap();
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(drain(&mut chain), [2]);
    }
}

#[test]
fn a_log_renamed_to_a_name_of_its_own_while_nobody_looked_is_read_on_before_the_new_ones() {
    for (older, newer) in [(0, 0), (2, 0), (0, 2), (2, 2)] {
        let mut logger = Logger::new();
        for _ in 0..older {
            logger.write(10);
            logger.rotate(9);
        }
        logger.write(10);
        let mut chain = started(&logger);
        drain(&mut chain);
        logger.write(10);
        read_lines(&mut chain, 4);
        let position = position(&chain);
        drop(chain);
        let renamed = logger.dir.path().join("put away by hand");
        fs::rename(logger.base(), &renamed).unwrap();
        logger.write(10);
        for _ in 0..newer {
            logger.rotate(9);
            logger.write(10);
        }
        // The rest of the renamed file, then what came after it; what was rotated before is known.
        let rest = range(logger.written - 10 * (newer + 1) - 5, logger.written);
        let mut again = logger.resumed(&position);
        assert_eq!(drain(&mut again), rest, "{older} {newer}");
        let after = self::position(&again);
        logger.write(3);
        logger.rotate(9);
        logger.write(3);
        let last = range(logger.written - 5, logger.written);
        assert_eq!(drain(&mut again), last, "{older} {newer}");
        assert_eq!(drain(&mut logger.resumed(&after)), last, "{older} {newer}");
    }
}

#[test]
fn a_neighbour_that_begins_alike_is_not_taken_for_a_renamed_log() {
    for has_own_name in [true, false] {
        let mut logger = Logger::new();
        let head = format!("0 {}\n", "same".repeat(Fingerprint::BYTES / 4));
        fs::write(logger.base(), &head).unwrap();
        logger.write(10);
        let mut chain = started(&logger);
        drain(&mut chain);
        let position = position(&chain);
        let text = fs::read(logger.base()).unwrap();
        fs::remove_file(logger.base()).unwrap();
        // The same bytes in another file: a copy where it bears the log's name, else another program's.
        let name = if has_own_name { "c-of-yesterday.log" } else { "other.log" };
        fs::write(logger.dir.path().join(name), [&text[..], b"90 more\n"].concat()).unwrap();
        logger.write(2);
        let expected: &[u32] = if has_own_name { &[90, 11, 12] } else { &[11, 12] };
        assert_eq!(drain(&mut logger.resumed(&position)), expected, "{has_own_name}");
    }
}

/// Some contents are known, as long as anybody remembers them.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Vec<FileId>>>);

impl Known {
    /// What stands under these names is.
    fn of(paths: &[PathBuf]) -> Known {
        let ids = paths.iter().map(|path| FileId::of(&fs::metadata(path).unwrap()));
        Known(Arc::new(Mutex::new(ids.collect())))
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    fn resumed(&self, logger: &Logger, position: &Position) -> Chain {
        let mut chain = logger.chain(100).with_claims(Box::new(self.clone()));
        chain.resume(Some(position)).unwrap();
        chain
    }
}

impl Claims for Known {
    fn claim(&self, found: &Found) -> bool {
        !self.0.lock().unwrap().contains(&found.id)
    }

    fn release(&self, _: FileId) {}
}

#[test]
fn what_was_known_elsewhere_at_the_beginning_is_known_when_that_is_forgotten() {
    for compress in [false, true] {
        let mut logger = Logger::new();
        for _ in 0..2 {
            logger.write(10);
            logger.rotate(9);
        }
        logger.write(10);
        let mut chain = started(&logger);
        assert_eq!(drain(&mut chain), to(30));
        let known = Known::of(&[logger.name(1, ""), logger.name(2, "")]);
        let mut again = known.resumed(&logger, &position(&chain));
        assert!(drain(&mut again).is_empty());
        known.forget();
        if compress {
            logger.compress(1);
        }
        // The one between the known ones and the new one has no name of the log's.
        fs::rename(logger.base(), logger.dir.path().join("put away by hand")).unwrap();
        logger.write(10);
        assert_eq!(drain(&mut again), range(31, 40), "{compress}");
    }
}

#[test]
fn what_was_replaced_is_told_from_what_was_rotated_by_a_file_that_is_known_elsewhere() {
    let mut logger = Logger::new();
    logger.write(10);
    let mut chain = started(&logger);
    drain(&mut chain);
    for turn in 1..=3 {
        logger.write(1);
        logger.copy_and_truncate(9);
        logger.write(10);
        drain(&mut chain);
        if turn == 2 {
            logger.compress(1);
        }
    }
    let position = position(&chain);
    // Copies are older than the file, though that was made before all of them.
    let known = Known::of(&[logger.name(1, "")]);
    fs::write(logger.base(), "").unwrap();
    logger.write(5);
    assert_eq!(drain(&mut known.resumed(&logger, &position)), range(44, 48));
}

#[test]
fn behind_a_copy_that_is_known_elsewhere_comes_what_was_written_after_it() {
    let mut logger = Logger::new();
    let mut chain = started(&logger);
    logger.write(10);
    drain(&mut chain);
    logger.copy_and_truncate(9);
    logger.write(50);
    drain(&mut chain);
    // Nobody knows of a content before this one.
    let position = Position { before: None, ..position(&chain) };
    logger.copy_and_truncate(9);
    logger.compress(2);
    logger.write(5);
    let known = Known::of(&[logger.name(1, "")]);
    assert_eq!(drain(&mut known.resumed(&logger, &position)), range(61, 65));
}
