//! What goes wrong around files: names that wander among the patterns, clocks, restarts at bad moments.

use super::*;
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::MultilinePlan;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

/// Rotated by renaming to a name that matches as well, as logging libraries do: `app.log`, `app-2026-01-01.log`.
#[tokio::test]
async fn a_file_that_is_rotated_to_a_matching_name_is_not_read_twice() {
    for away in [false, true] {
        let mut house = House::with(|_, _, how| how.patience.gone = Duration::from_millis(200));
        let mut log = house.log("app.log");
        house.start();
        let mut texts = Vec::new();
        for day in 1..4 {
            log.lines(100);
            texts.extend(house.texts(100).await);
            if away {
                house = house.restart().await;
            }
            // Some lines before it is renamed, some before that is seen.
            log.lines(5);
            let to = house.path(&format!("app-{day}.log"));
            fs::rename(&log.path, &to).unwrap();
            log.lines(5);
            if away {
                house.start();
            }
            texts.extend(house.texts(10).await);
            house.until(|| house.is_known(&to)).await;
            // Whoever still writes to it is heard.
            fs::OpenOptions::new().append(true).open(&to).unwrap().write_all(b"late\n").unwrap();
            assert_eq!(house.texts(1).await, ["late"]);
        }
        assert_lines(&texts, log.written);
        house.stop().await;
        assert!(house.take().is_empty());
    }
}

#[tokio::test]
async fn a_file_whose_name_became_a_directory_is_read_on_under_its_other_name() {
    let house = House::with(|_, _, how| how.patience.rest = Duration::from_millis(50));
    let log = house.log("a.log");
    log.put("one\n");
    let input = house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    house.until(|| input.report().iter().all(|file| file.state == FileState::Resting)).await;
    fs::rename(&log.path, house.path("b.log")).unwrap();
    fs::create_dir(&log.path).unwrap();
    house.log("b.log").put("two\n");
    assert_eq!(house.texts(1).await, ["two"]);
    house.stop().await;
}

#[tokio::test]
async fn a_file_of_the_future_does_not_hold_back_its_successor() {
    let house = House::with(|_, _, how| how.patience.gone = Duration::from_millis(200));
    let log = house.log("a.log");
    log.put("one\n");
    house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    let file = fs::OpenOptions::new().append(true).open(&log.path).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3_600)).unwrap();
    log.rotate(2);
    log.put("two\n");
    assert_eq!(house.texts(1).await, ["two"]);
    house.stop().await;
}

#[tokio::test]
async fn a_restart_between_two_pieces_of_a_long_record_loses_none() {
    let house = House::with(|_, file, _| {
        file.max_line = 64;
        file.multiline = Some(MultilinePlan {
            start: Some(LinearRegex::parse("BEGIN").unwrap()),
            continues: Some(LinearRegex::parse(r"\s").unwrap()),
            end: None,
            timeout: Duration::from_secs(60),
            keep_unmatched: false,
        });
    });
    let log = house.log("a.log");
    log.put(format!("BEGIN\n {}\n {}\n", "x".repeat(50), "y".repeat(50)));
    house.start();
    let mut texts = house.texts(1).await;
    // The second piece waits for what may follow.
    let house = house.kill().await;
    house.take();
    house.start();
    log.put(" z\nBEGIN again\nBEGIN\n");
    texts.extend(house.texts(2).await);
    assert_eq!(texts[1..], [format!(" {}\n z", "y".repeat(50)), "BEGIN again".to_owned()]);
    house.stop().await;
}

#[tokio::test]
async fn a_line_feed_that_comes_after_a_restart_ends_the_line_that_was_torn() {
    let house = House::with(|_, file, _| file.flush_timeout = Duration::from_millis(50));
    let log = house.log("a.log");
    log.put("one\nhalf");
    house.start();
    assert_eq!(house.texts(2).await, ["one", "half"]);
    let house = house.restart().await;
    house.start();
    log.put("\ntwo\n");
    assert_eq!(house.texts(1).await, ["two"]);
    house.stop().await;
}

#[tokio::test]
async fn names_that_are_no_text_and_offsets_above_4_gib_are_nothing_special() {
    let house = House::with(|_, file, _| {
        file.start = FileStart::End;
        file.offset_key = Some("offset".to_owned());
    });
    let path = house.logs.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.log"));
    let file = fs::File::create(&path).unwrap();
    let end = 5u64 << 30;
    std::os::unix::fs::FileExt::write_all_at(&file, b"old\n", end - 4).unwrap();
    house.start();
    let key = Bytes::from([b"file app ", path.as_os_str().as_bytes()].concat());
    for at in 0..3 {
        house.until(|| house.positions.get(&key).is_some()).await;
        std::os::unix::fs::FileExt::write_all_at(&file, b"new\n", end + 4 * at).unwrap();
        let record = house.wait(1).await.remove(0);
        assert_eq!((record["log"].as_str(), record["offset"].clone()), ("new", (end + 4 * at).to_string()));
    }
    house.stop().await;
    let house = house.restart().await;
    house.start();
    std::os::unix::fs::FileExt::write_all_at(&file, b"more\n", end + 12).unwrap();
    assert_eq!(house.texts(1).await, ["more"]);
    house.stop().await;
}

#[tokio::test]
async fn a_record_that_waits_outlives_its_file_s_truncation() {
    let house = House::with(|_, file, _| {
        file.multiline = Some(MultilinePlan {
            start: Some(LinearRegex::parse("BEGIN").unwrap()),
            continues: None,
            end: None,
            timeout: Duration::from_secs(60),
            keep_unmatched: false,
        });
    });
    let log = house.log("a.log");
    log.put("BEGIN one\nBEGIN two\n more");
    let input = house.start();
    assert_eq!(house.texts(1).await, ["BEGIN one"]);
    house.until(|| input.report()[0].lag == 15).await;
    fs::write(&log.path, "BEGIN three\nBEGIN\n").unwrap();
    assert_eq!(house.texts(2).await, ["BEGIN two\n more", "BEGIN three"]);
    house.stop().await;
}

#[tokio::test]
async fn a_moved_file_is_known_by_its_new_name_after_a_restart_though_nothing_came() {
    let house = House::with(|_, _, how| how.patience.gone = Duration::from_millis(100));
    let log = house.log("a.log");
    log.put("one\n");
    house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    let to = house.log("b.log");
    fs::rename(&log.path, &to.path).unwrap();
    house.until(|| house.is_known(&to.path) && !house.is_known(&log.path)).await;
    let house = house.restart().await;
    house.start();
    to.put("two\n");
    assert_eq!(house.texts(1).await, ["two"]);
    house.stop().await;
}
