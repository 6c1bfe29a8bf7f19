//! Applications that write, rotate and remove their logs, and what of it arrives in a gateway.

mod collected;
mod crowd;
mod faults;
mod formats;
pub(super) mod house;
mod rotation;
mod stops;

use super::*;
use crate::config::plan::FileStart;
use house::{House, assert_lines};
use std::fs;

#[tokio::test]
async fn lines_arrive_in_order_with_their_path() {
    let house = House::with(|_, file, _| {
        file.tags = vec![("team".to_owned(), "core".to_owned())];
        file.offset_key = Some("offset".to_owned());
    });
    let mut log = house.log("a.log");
    log.lines(1_000);
    let input = house.start();
    let records = house.wait(1_000).await;
    let texts: Vec<_> = records.iter().map(|record| record["log"].clone()).collect();
    assert_lines(&texts, 1_000);
    assert!(
        records.iter().all(|record| record["__path__"] == log.path.to_str().unwrap()),
        "{:?}",
        records[0]
    );
    assert!(records.iter().all(|record| record["team"] == "core"));
    let first: Vec<_> = records[..3].iter().map(|record| record["offset"].as_str()).collect();
    assert_eq!(first, ["0", "10", "20"]);
    log.put("half");
    log.put(" and half\n");
    assert_eq!(house.texts(1).await, ["half and half"]);
    house.until(|| input.report().iter().all(|file| file.lag == 0)).await;
    let report = input.report();
    let size = fs::metadata(&log.path).unwrap().len();
    assert_eq!((report.len(), report[0].size, report[0].offset, &report[0].path), (1, size, size, &log.path));
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
    assert_eq!(fs::read_dir(house.logs.path()).unwrap().count(), 1, "nothing is written beside it");
}

#[tokio::test]
async fn restarts_and_kills_lose_nothing_and_repeat_nothing() {
    let mut house = House::new();
    let mut log = house.log("a.log");
    let mut texts = Vec::new();
    for turn in 0..8 {
        let stops = turn % 2 == 1;
        house.start();
        log.lines(500);
        log.put(format!("{} of", log.written + 1));
        house.until(|| house.is_known(&log.path)).await;
        texts.extend(house.take().into_iter().map(|mut record| record.remove("log").unwrap()));
        if turn % 3 == 1 {
            log.rotate(8);
            // The line goes on in the new file, where it is another one.
            log.put(format!("{}x\n", log.written + 1));
        }
        house = if stops { house.restart().await } else { house.kill().await };
        if turn % 3 != 1 {
            log.put(" many\n");
            log.written += 1;
        }
    }
    house.start();
    log.put("the end\n");
    house
        .until(|| {
            texts.extend(house.take().into_iter().map(|mut record| record.remove("log").unwrap()));
            texts.last().is_some_and(|text| text == "the end")
        })
        .await;
    texts.pop();
    texts.retain(|text| text.ends_with(" of many"));
    // What was taken before a kill is there again in the copy of the journal.
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    assert_lines(&texts, log.written);
    house.stop().await;
}

#[tokio::test]
async fn a_silent_last_line_is_complete_and_its_rest_another_one() {
    let house = House::with(|_, file, _| file.flush_timeout = Duration::from_millis(50));
    let log = house.log("a.log");
    log.put("one\nhalf");
    house.start();
    assert_eq!(house.texts(2).await, ["one", "half"]);
    // The line feed alone is no line.
    log.put("\ntwo\nhalf");
    assert_eq!(house.texts(2).await, ["two", "half"]);
    log.put(" and half\n");
    assert_eq!(house.texts(1).await, [" and half"]);
    house.stop().await;
}

#[tokio::test]
async fn files_begin_where_the_plan_says_and_later_ones_at_their_beginning() {
    for (start, expected) in [
        (FileStart::End, vec!["later"]),
        (FileStart::Tail(9), vec!["three", "later"]),
        (FileStart::Tail(99), vec!["one", "two", "three", "later"]),
    ] {
        let house = House::with(|_, file, _| file.start = start);
        let old = house.log("old.log");
        old.put("one\ntwo\nthree\n");
        house.start();
        house.until(|| house.is_known(&old.path)).await;
        old.put("later\n");
        assert_eq!(house.texts(expected.len()).await, expected);
        let new = house.log("new.log");
        new.put("new one\n");
        assert_eq!(house.texts(1).await, ["new one"]);
        // At the second start everything is read, whatever `start` says.
        house.stop().await;
        house.log("third.log").put("third\n");
        let house = house.restart().await;
        house.start();
        assert_eq!(house.texts(1).await, ["third"]);
        house.stop().await;
    }
}

#[tokio::test]
async fn new_files_are_found_without_hints_and_with_them() {
    for hints in [true, false] {
        let house = House::with(|_, file, how| {
            how.hints = hints;
            if hints {
                file.scan_interval = Duration::from_secs(600);
            }
        });
        house.log("first.log").put("first\n");
        house.start();
        assert_eq!(house.texts(1).await, ["first"]);
        house.log("second.log").put("second\n");
        assert_eq!(house.texts(1).await, ["second"]);
        fs::create_dir(house.path("deep")).unwrap();
        house.log("deep/third.log").put("third\n");
        assert_eq!(house.texts(1).await, ["third"]);
        house.log("deep/third.log").put("more\n");
        assert_eq!(house.texts(1).await, ["more"]);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_rests_costs_a_line_of_a_table_and_goes_on_where_it_was() {
    let house = House::with(|_, _, how| how.patience.rest = Duration::from_millis(100));
    let mut log = house.log("a.log");
    let input = house.start();
    let mut texts = Vec::new();
    for _ in 0..4 {
        log.lines(100);
        texts.extend(house.texts(100).await);
        house.until(|| input.report().iter().all(|file| file.state == FileState::Resting)).await;
    }
    log.rotate(3);
    log.lines(10);
    texts.extend(house.texts(10).await);
    assert_lines(&texts, 410);
    house.until(|| input.report().iter().all(|file| file.state == FileState::Resting)).await;
    fs::remove_file(&log.path).unwrap();
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_others_go_on() {
    let house = House::new();
    let (bad, good) = (house.log("bad.log"), house.log("good.log"));
    bad.put("one\n");
    let input = house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    let away = house.path("away");
    fs::rename(&bad.path, &away).unwrap();
    std::os::unix::fs::symlink(&bad.path, &bad.path).unwrap();
    let error = || input.report().into_iter().find(|file| file.path == bad.path).unwrap().last_error;
    house.until(|| error().is_some_and(|error| error.contains("cannot look at"))).await;
    good.put("good\n");
    assert_eq!(house.texts(1).await, ["good"]);
    fs::rename(&away, &bad.path).unwrap();
    bad.put("two\n");
    assert_eq!(house.texts(1).await, ["two"]);
    house.until(|| error().is_none()).await;
    house.stop().await;
}

#[tokio::test]
async fn what_a_link_leads_to_is_heard_where_it_stands() {
    for rest in [50, 60_000] {
        // Nothing but the kernel's word.
        let house = House::with(|_, file, how| {
            file.scan_interval = Duration::from_secs(600);
            how.patience.rest = Duration::from_millis(rest);
        });
        let pods = tempfile::tempdir().unwrap();
        let at = |name: &str| pods.path().join(name);
        fs::create_dir(at("pod")).unwrap();
        let target = house::Log { path: at("pod/0.txt"), written: 0 };
        target.put("one\n");
        // As the runtimes have it: a link to a link.
        std::os::unix::fs::symlink(&target.path, at("0.txt")).unwrap();
        std::os::unix::fs::symlink(at("0.txt"), house.path("app.log")).unwrap();
        let input = house.start();
        assert_eq!(house.texts(1).await, ["one"]);
        for turn in 0..4 {
            if rest == 50 {
                house.until(|| input.report().iter().all(|file| file.state == FileState::Resting)).await;
            }
            target.put("more\n");
            assert_eq!(house.texts(1).await, ["more"]);
            // Rotated where it stands.
            fs::rename(&target.path, at(&format!("pod/0.txt.{turn}"))).unwrap();
            target.put("new\n");
            assert_eq!(house.texts(1).await, ["new"]);
        }
        house.stop().await;
    }
}
