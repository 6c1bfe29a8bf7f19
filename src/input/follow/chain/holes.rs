//! What happens when a log is truncated under a writer that keeps its place: NULs up to there, then new lines.

use std::os::unix::fs::FileExt;

use super::changes::{position, range};
use super::tests::{Logger, drain};
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
