//! What the bytes of files become.

use super::*;
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{Charset, FileFormat, MultilinePlan};

fn multiline(start: &str, timeout: Duration) -> Option<MultilinePlan> {
    Some(MultilinePlan {
        start: Some(LinearRegex::parse(start).unwrap()),
        continues: None,
        end: None,
        keep_unmatched: true,
        timeout,
    })
}

#[tokio::test]
async fn records_of_several_lines_go_over_blocks_and_restarts() {
    let mut house = House::with(|_, file, _| {
        file.multiline = multiline(r"\d+ ", Duration::from_secs(60));
    });
    let log = house.log("a.log");
    let record = |number: u32| format!("{number} begins\n{}", "  goes on\n".repeat(number as usize % 40_000));
    let mut texts = Vec::new();
    for number in [1, 30_000, 7, 35_000, 2] {
        house.start();
        log.put(record(number));
        if number != 1 {
            texts.extend(house.texts(1).await);
        }
        house.until(|| texts.is_empty() || house.is_known(&log.path)).await;
        // Its end is not known, so it is read again.
        house = house.kill().await;
        house.take();
    }
    house.start();
    log.put("9 is the last\n");
    texts.extend(house.texts(1).await);
    let expected: Vec<_> = [1, 30_000, 7, 35_000, 2].map(|n| record(n).trim_end().to_owned()).into();
    assert!(texts == expected, "{:?}", texts.iter().map(String::len).collect::<Vec<_>>());
    house.stop().await;
    // All of its lines are whole.
    assert_eq!(house.take()[0]["log"], "9 is the last");
}

#[tokio::test]
async fn the_last_record_of_several_lines_is_complete_when_nothing_follows() {
    let house = House::with(|_, file, _| file.multiline = multiline(r"\d+ ", Duration::from_millis(50)));
    let log = house.log("a.log");
    log.put("1 a\n b\n2 c\n d\n");
    house.start();
    assert_eq!(house.texts(2).await, ["1 a\n b", "2 c\n d"]);
    house.stop().await;
}

#[tokio::test]
async fn long_lines_are_cut_and_marked() {
    let house = House::with(|_, file, _| file.max_line = 100_000);
    let log = house.log("a.log");
    log.put(format!("{}\nshort\n", "é".repeat(120_000)));
    house.start();
    let records = house.wait(4).await;
    let lens: Vec<_> =
        records.iter().map(|record| (record["log"].len(), record.get("__cut__").cloned())).collect();
    let cut = Some("log".to_owned());
    assert_eq!(lens, [(100_000, cut.clone()), (100_000, cut), (40_000, None), (5, None)]);
    house.stop().await;
}

#[tokio::test]
async fn container_runtimes_lines_are_joined_whichever_it_is() {
    let house = House::with(|_, file, _| {
        file.format = FileFormat::Container;
        file.offset_key = Some("at".to_owned());
    });
    let (cri, json) = (house.log("cri.log"), house.log("json.log"));
    let time = "2026-11-22T23:03:07.5Z";
    let lines = ["stdout P a", "stderr F oops", "stdout P b", "stdout F c", "stdout F whole"];
    cri.put(lines.map(|line| format!("{time} {line}\n")).concat());
    house.start();
    let records = house.wait(3).await;
    let found: Vec<_> = records.iter().map(|r| [&*r["log"], &*r["source"], &*r["at"]]).collect();
    assert_eq!(found, [["oops", "stderr", "34"], ["abc", "stdout", "0"], ["whole", "stdout", "139"]]);
    for (text, stream) in [("x", "stdout"), ("y\\n", "stdout"), ("z\\n", "stderr")] {
        json.put(format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n"));
    }
    let records = house.wait(2).await;
    let found: Vec<_> = records.iter().map(|record| [&*record["log"], &*record["source"]]).collect();
    assert_eq!(found, [["xy", "stdout"], ["z", "stderr"]]);
    house.stop().await;
}

#[tokio::test]
async fn pieces_are_read_again_after_a_restart() {
    let mut house = House::with(|_, file, _| file.format = FileFormat::Cri);
    let log = house.log("a.log");
    let mut texts = Vec::new();
    for number in 0..6 {
        house.start();
        log.put(format!(
            "2026-11-22T23:03:07Z stdout P {number}\n2026-11-22T23:03:07Z stderr F other {number}\n"
        ));
        texts.extend(house.texts(1).await);
        house = house.restart().await;
        house.start();
        log.put("2026-11-22T23:03:08Z stdout P -\n2026-11-22T23:03:09Z stdout F end\n");
        texts.extend(house.texts(1).await);
        house = house.restart().await;
    }
    let expected: Vec<_> = (0..6).flat_map(|n| [format!("other {n}"), format!("{n}-end")]).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn other_charsets_become_utf_8() {
    for (charset, bytes) in [
        (Charset::Gbk, b"\xc4\xe3\xba\xc3\nx\n".to_vec()),
        (Charset::Utf16, "\u{feff}你好\nx\n".encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        let house = House::with(|_, file, _| file.charset = charset);
        let log = house.log("a.log");
        let middle = bytes.len() - if charset == Charset::Gbk { 2 } else { 4 };
        log.put(&bytes[..middle]);
        house.start();
        assert_eq!(house.texts(1).await, ["你好"]);
        let house = house.restart().await;
        log.put(&bytes[middle..]);
        house.start();
        assert_eq!(house.texts(1).await, ["x"]);
        house.stop().await;
    }
}
