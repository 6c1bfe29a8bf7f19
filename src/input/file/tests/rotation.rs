//! Files that are renamed, copied, truncated and removed.

use super::*;
use crate::config::plan::OnFull;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// A gateway whose buffer takes a block and is full then.
fn blocked() -> House {
    House::with(|plan, _, how| {
        how.patience.gone = Duration::from_millis(200);
        for buffer in &mut plan.buffers {
            buffer.max_bytes = 4 << 10;
            buffer.on_full = OnFull::Block;
        }
    })
}

/// Whether this process has a file open.
fn holds(inode: u64) -> bool {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .any(|entry| fs::metadata(entry.path()).is_ok_and(|metadata| metadata.ino() == inode))
}

#[tokio::test]
async fn who_writes_on_into_a_renamed_file_is_heard() {
    let house = House::new();
    let log = house.log("a.log");
    let mut writer = OpenOptions::new().create(true).append(true).open(&log.path).unwrap();
    writeln!(writer, "one").unwrap();
    house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    log.rotate(2);
    for _ in 0..3 {
        writeln!(writer, "late").unwrap();
        assert_eq!(house.texts(1).await, ["late"]);
    }
    log.put("new\n");
    assert_eq!(house.texts(1).await, ["new"]);
    house.stop().await;
}

#[tokio::test]
async fn a_copied_and_truncated_file_is_read_anew_and_its_copy_is_not() {
    let house = House::new();
    let mut log = house.log("a.log");
    let mut texts = Vec::new();
    house.start();
    for _ in 0..5 {
        log.lines(100);
        texts.extend(house.texts(100).await);
        fs::copy(&log.path, log.rotated(1)).unwrap();
        OpenOptions::new().write(true).open(&log.path).unwrap().set_len(0).unwrap();
        log.lines(10);
        texts.extend(house.texts(10).await);
    }
    assert_lines(&texts, log.written);
    house.stop().await;
}

#[tokio::test]
async fn rotated_files_that_match_are_no_logs_while_theirs_is_away() {
    let mut house = House::with(|_, file, how| {
        let all = format!("{}*", file.paths[0].text());
        file.paths = vec![PathPattern::parse(&all).unwrap()];
        how.patience.gone = Duration::from_millis(50);
    });
    let mut log = house.log("a.log");
    let mut files = house.start();
    let mut texts = Vec::new();
    for _ in 0..3 {
        log.lines(10);
        texts.extend(house.texts(10).await);
        log.rotate(3);
    }
    fs::remove_file(&log.path).unwrap();
    for _ in 0..2 {
        // Given up, and found again by each walk.
        let is_resting = |file: &FileReport| file.path == log.path && file.state == FileState::Resting;
        house.until(|| files.report().iter().any(is_resting)).await;
        house = house.restart().await;
        files = house.start();
    }
    log.lines(5);
    texts.extend(house.texts(5).await);
    assert_lines(&texts, log.written);
    house.stop().await;
}

#[tokio::test]
async fn twenty_five_rotations_while_nothing_fits_lose_nothing() {
    let house = blocked();
    let mut log = house.log("a.log");
    log.lines(40_000);
    house.start();
    house.until(|| house.is_known(&log.path)).await;
    for _ in 0..25 {
        log.lines(200);
        log.rotate(3);
        // Nothing is read, but every file is taken note of.
        let inode = fs::metadata(log.rotated(1)).unwrap().ino();
        house.until(|| holds(inode)).await;
    }
    log.lines(10);
    assert_lines(&house.texts(log.written as usize).await, log.written);
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn a_file_removed_while_nothing_fits_is_read_to_its_end_and_forgotten() {
    let house = blocked();
    let mut log = house.log("a.log");
    log.lines(40_000);
    log.put("unfinished");
    let input = house.start();
    house.until(|| house.is_known(&log.path)).await;
    fs::remove_file(&log.path).unwrap();
    let mut texts = house.texts(log.written as usize + 1).await;
    assert_eq!(texts.pop().unwrap(), "unfinished");
    assert_lines(&texts, log.written);
    house.until(|| !house.is_known(&log.path)).await;
    assert!(input.report().is_empty());
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn a_file_renamed_to_another_matching_name_is_not_read_again() {
    let house = House::with(|_, _, how| how.patience.gone = Duration::from_millis(200));
    let mut log = house.log("a.log");
    log.lines(100);
    house.start();
    let mut texts = house.texts(100).await;
    let to = house.path("b.log");
    fs::rename(&log.path, &to).unwrap();
    house.until(|| !house.is_known(&log.path)).await;
    log.path = to;
    log.lines(10);
    texts.extend(house.texts(10).await);
    assert_lines(&texts, 110);
    house.until(|| house.is_known(&log.path)).await;
    house.stop().await;
}

#[tokio::test]
async fn a_file_rotated_while_nobody_runs_is_read_on() {
    let house = House::new();
    let mut log = house.log("a.log");
    log.lines(100);
    house.start();
    let mut texts = house.texts(100).await;
    house.stop().await;
    log.lines(10);
    fs::rename(&log.path, log.rotated(1)).unwrap();
    let house = house.restart().await;
    house.start();
    texts.extend(house.texts(10).await);
    log.lines(10);
    texts.extend(house.texts(10).await);
    assert_lines(&texts, 120);
    house.stop().await;
}

/// Names move up, and every one of them matches: `a.log`, `a.1.log`, `a.2.log`.
fn shift(log: &house::Log, keep: usize) {
    let name = |number: usize| log.path.with_file_name(format!("a.{number}.log"));
    let _ = fs::remove_file(name(keep));
    for number in (1..keep).rev() {
        let _ = fs::rename(name(number), name(number + 1));
    }
    fs::rename(&log.path, name(1)).unwrap();
    fs::write(&log.path, "").unwrap();
}

#[tokio::test]
async fn files_that_shift_through_matching_names_are_read_once() {
    for hints in [true, false] {
        for rest in [50, 60_000] {
            let house = House::with(|_, _, how| {
                how.hints = hints;
                how.patience =
                    Patience { rest: Duration::from_millis(rest), gone: Duration::from_millis(200) };
            });
            let mut log = house.log("a.log");
            house.start();
            let mut texts = Vec::new();
            for _ in 0..6 {
                log.lines(20);
                texts.extend(house.texts(20).await);
                log.lines(5);
                shift(&log, 4);
                log.lines(5);
                texts.extend(house.texts(10).await);
            }
            assert_lines(&texts, log.written);
            // Each is known by the name that it has in the end, and whoever still writes to it is heard.
            for number in 1..=4 {
                let path = house.path(&format!("a.{number}.log"));
                house.until(|| house.is_known(&path)).await;
                OpenOptions::new().append(true).open(&path).unwrap().write_all(b"late\n").unwrap();
                assert_eq!(house.texts(1).await, ["late"], "{number}");
            }
            house.stop().await;
            assert!(house.take().is_empty());
        }
    }
}

#[tokio::test]
async fn files_that_shift_through_matching_names_are_read_once_over_restarts_and_kills() {
    for away in [false, true] {
        for is_kill in [false, true] {
            let mut house = House::with(|_, _, how| how.patience.gone = Duration::from_secs(10));
            let mut log = house.log("a.log");
            house.start();
            let mut texts = Vec::new();
            for turn in 0..6 {
                log.lines(20);
                texts.extend(house.texts(20).await);
                if !away {
                    shift(&log, 9);
                    log.lines(5);
                    texts.extend(house.texts(5).await);
                }
                house = if is_kill { house.kill().await } else { house.restart().await };
                // What was taken before is in the copy of the journal, too.
                house.take();
                log.lines(5);
                if away {
                    shift(&log, 9);
                    if turn % 2 == 1 {
                        log.lines(5);
                        shift(&log, 9);
                    }
                }
                log.lines(5);
                house.start();
                let count = log.written as usize - texts.len();
                texts.extend(house.texts(count).await);
            }
            // Two that were made while nobody ran are read side by side.
            texts.sort_by_key(|text| text.split(' ').next().and_then(|number| number.parse::<u32>().ok()));
            assert_lines(&texts, log.written);
            let last = house.log("last.log");
            last.put("last\n");
            assert_eq!(house.texts(1).await, ["last"]);
            house.stop().await;
            assert!(house.take().is_empty());
        }
    }
}
