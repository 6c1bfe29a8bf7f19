//! What happens when a log is truncated under a writer that keeps its place: NULs up to there, then new lines.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::changes::{position, range, started};
use super::tests::{Logger, drain, to};
use super::*;

#[test]
fn behind_a_hole_the_copy_ends_before_the_new_lines_come() {
    let (logger, mut chain) = Logger::begun(30, 20);
    let (file, end) = logger.held();
    logger.copy_and_truncate(3);
    file.write_all_at(b"31 behind the hole\n", end).unwrap();
    assert_eq!(drain(&mut chain), range(21, 31));
    assert_eq!(chain.truncations(), 0);
}

#[test]
fn a_writer_that_keeps_its_place_may_be_truncated_again_and_again() {
    for away in [false, true] {
        let (mut logger, mut chain) = Logger::begun(100, 90);
        let (file, mut end) = logger.held();
        let mut numbers = Vec::new();
        for turn in 0..4 {
            let before = position(&chain);
            logger.copy_and_truncate(9);
            for _ in 0..10 {
                logger.written += 1;
                let line = format!("{} is behind a hole\n", logger.written);
                file.write_all_at(line.as_bytes(), end).unwrap();
                end += line.len() as u64;
            }
            if away {
                chain = logger.resumed(&before);
            }
            // Some are left to the next copy.
            while numbers.len() < 15 + 10 * turn {
                chain.look().unwrap();
                chain.fill(50).unwrap();
                let frame = chain.lend();
                let line = memchr::memchr(b'\n', &frame).map_or(0, |at| at + 1);
                let text = std::str::from_utf8(&frame[..line]).unwrap().trim_matches('\0');
                numbers.extend(
                    text.split(' ').next().filter(|text| !text.is_empty()).map(|n| n.parse::<u32>().unwrap()),
                );
                let nulls = frame.iter().take_while(|byte| **byte == 0).count();
                let is_end = line == 0 && nulls == 0;
                chain.give_back(frame, line.max(nulls));
                if is_end && chain.fill(50).unwrap() == Filled::Ended {
                    chain.leave();
                }
            }
        }
        numbers.extend(drain(&mut chain));
        assert_eq!(numbers, range(91, logger.written), "away {away}");
    }
}

/// All that comes until there is nothing more: each line, and what was torn off at the end of a content.
fn texts(chain: &mut Chain, looks_first: bool) -> Vec<String> {
    let mut texts = Vec::new();
    let mut looks = looks_first;
    loop {
        if looks {
            chain.look().unwrap();
        }
        looks = true;
        let filled = chain.fill(100).unwrap();
        let frame = chain.lend();
        let done = match filled {
            Filled::Ended => frame.len(),
            _ => memchr::memrchr(b'\n', &frame).map_or(0, |at| at + 1),
        };
        let lines = frame[..done].split(|byte| *byte == b'\n');
        let lines = lines.map(|line| String::from_utf8_lossy(line).trim_start_matches('\0').to_owned());
        texts.extend(lines.filter(|line| !line.is_empty()));
        chain.give_back(frame, done);
        match filled {
            Filled::More => {}
            Filled::Ended => chain.leave(),
            Filled::Idle => return texts,
        }
    }
}

#[test]
fn a_line_whose_rest_a_hole_swallowed_does_not_go_on_behind_it() {
    for is_seen in [true, false] {
        for swallowed in [0, 1, 300, 5_000] {
            let mut logger = Logger::new();
            logger.write(30);
            let mut chain = started(&logger);
            assert_eq!(drain(&mut chain), to(30));
            let file = fs::OpenOptions::new().write(true).open(logger.base()).unwrap();
            let mut end = file.metadata().unwrap().len();
            // Again and again: what stands before the half line is a hole itself then.
            for turn in 0..3 {
                file.write_all_at(b"half of a", end).unwrap();
                assert!(texts(&mut chain, true).is_empty());
                end += 9 + swallowed;
                file.set_len(0).unwrap();
                file.write_all_at(b" line\nnext\n", end).unwrap();
                end += 11;
                let expected = ["half of a", " line", "next"];
                assert_eq!(texts(&mut chain, is_seen), expected, "{is_seen} {swallowed} {turn}");
            }
        }
    }
}

#[test]
fn the_rest_of_a_line_is_read_from_the_copy_that_was_made_before_the_hole() {
    for is_seen in [true, false] {
        let mut logger = Logger::new();
        logger.write(30);
        let mut chain = started(&logger);
        assert_eq!(drain(&mut chain), to(30));
        let file = fs::OpenOptions::new().write(true).open(logger.base()).unwrap();
        let mut end = file.metadata().unwrap().len();
        for turn in 0..3 {
            file.write_all_at(b"half of a", end).unwrap();
            assert!(texts(&mut chain, true).is_empty());
            file.write_all_at(b" line\nmore\n", end + 9).unwrap();
            logger.copy_and_truncate(9);
            file.write_all_at(b"next\n", end + 20).unwrap();
            end += 25;
            assert_eq!(texts(&mut chain, is_seen), ["half of a line", "more", "next"], "{is_seen} {turn}");
        }
    }
}

#[test]
fn nuls_inside_a_line_are_a_part_of_it() {
    let logger = Logger::new();
    let mut file = fs::File::create(logger.base()).unwrap();
    file.write_all(b"a line").unwrap();
    let mut chain = started(&logger);
    assert!(texts(&mut chain, true).is_empty());
    file.write_all(b"\0\0with some\0").unwrap();
    assert!(texts(&mut chain, true).is_empty());
    file.write_all(b"\n").unwrap();
    assert_eq!(texts(&mut chain, true), ["a line\0\0with some\0"]);
}
