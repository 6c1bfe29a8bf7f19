//! An engine's directory, and what of it arrives in a gateway.

mod crowd;
mod house;

use super::*;
use crate::config::plan::OnFull;
use house::{House, Record};

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record["log"].as_str()).collect()
}

/// Checks that each of these lines is there once, each output's in order.
fn assert_lines(records: &[Record], last: u32) {
    let number = |record: &Record| -> u32 {
        assert!(record["log"].ends_with(" of many"), "{record:?}");
        assert!(!record.contains_key("__partial__"), "{record:?}");
        record["log"].split(' ').next().unwrap().parse().unwrap()
    };
    for stream in ["stdout", "stderr"] {
        let numbers: Vec<u32> =
            records.iter().filter(|record| record["source"] == stream).map(number).collect();
        let is_stderr = stream == "stderr";
        let expected: Vec<u32> = (1..=last).filter(|n| n.is_multiple_of(3) == is_stderr).collect();
        assert_eq!(numbers, expected, "{stream}");
    }
}

#[tokio::test]
async fn a_recorded_file_becomes_records_of_the_one_shape() {
    let house = House::new();
    let container = house.container(1, "json-file");
    container.put(include_bytes!("../../../tests/data/docker/json-file-default.log"));
    house.start();
    let records = house.wait(7).await;
    let lens: Vec<usize> = records.iter().map(|record| record["log"].len()).collect();
    assert_eq!(records[0]["log"], "hello");
    assert_eq!(lens[1..2], [0]);
    assert_eq!(lens[3..], ["cr\r".len(), 20_000, 16_384, "oops".len()]);
    let mut fields = records[0].clone();
    fields.remove("log");
    let id = container.id.as_str();
    let expected = [
        ("source", "stdout"),
        ("container_id", id),
        ("container_name", "c1"),
        ("image_name", "img:1"),
        ("team", "core"),
    ];
    assert_eq!(fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    assert_eq!(records[6]["source"], "stderr");
    // "no newline" is followed by the next run's first line, which is another one.
    container.piece("next run\n", "stdout", 59);
    let records = house.wait(2).await;
    assert_eq!(texts(&records), ["no newline", "next run"]);
    assert_eq!(records[0]["__partial__"], "true");
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn attributes_become_fields_and_leave_the_identity_alone() {
    let house = House::new();
    let container = house.container(1, "json-file");
    container.put(include_bytes!("../../../tests/data/docker/json-file-attrs.log"));
    container.put(b"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"log\":\"label\"},\"time\":\"2026-11-22T23:03:08Z\"}\n");
    house.start();
    let records = house.wait(3).await;
    assert_eq!((records[0]["tag"].as_str(), records[0]["APP"].as_str()), ("cap-file/busybox:local", "é<x>"));
    // The label that was asked for is the container's own.
    assert_eq!((records[1]["team"].as_str(), records[1]["X1"].as_str()), ("core", "1"));
    assert_eq!((records[2]["log"].as_str(), records[2]["attrs.log"].as_str()), ("x", "label"));
    assert!(!records[2].contains_key("X1"));
    house.stop().await;
}

#[tokio::test]
async fn rotated_and_compressed_files_are_read_once_in_their_order() {
    let house = House::new();
    let (plain, packed, local) =
        (house.container(1, "json-file"), house.container(2, "json-file"), house.container(3, "local"));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/docker");
    let put = |name: &str, path: PathBuf| fs::copy(data.join(name), path).unwrap();
    put("json-file-rotated-2.log", plain.fixture(2, ""));
    put("json-file-rotated-1.log", plain.fixture(1, ""));
    put("json-file-rotated.log", plain.base.clone());
    for number in 1..=3 {
        put(&format!("json-file-compress.log.{number}.gz"), packed.fixture(number, ".gz"));
    }
    put("json-file-compress.log", packed.base.clone());
    for number in 1..=2 {
        put(&format!("local-rotated-container.log.{number}.gz"), local.fixture(number, ".gz"));
    }
    put("local-rotated-container.log", local.base.clone());
    house.start();
    let counts = [271, 3 * 137 + 52];
    let mut records = Vec::new();
    house
        .until(|| {
            records.extend(house.take().into_iter().map(|(_, record)| record));
            let last = |name: &str, text: &str| {
                records.iter().filter(|r: &&Record| r["container_name"] == name && r["log"] == text).count()
            };
            last("c1", "line-400") == 1 && last("c2", "150") == 4 && last("c3", "250") == 3
        })
        .await;
    let of = |name: &str| -> Vec<&str> {
        let records = records.iter().filter(|record| record["container_name"] == name);
        records.map(|record| record["log"].as_str()).collect()
    };
    assert_eq!((of("c1").len(), of("c2").len()), (counts[0], counts[1]));
    let numbers: Vec<u32> = of("c1").iter().map(|text| text[5..].parse().unwrap()).collect();
    assert_eq!(numbers, (130..=400).collect::<Vec<_>>());
    let numbers: Vec<u32> = of("c2").iter().map(|text| text.parse().unwrap()).collect();
    let expected: Vec<u32> = (0..463).map(|n| (137 + n) % 150 + 1).collect();
    assert_eq!(numbers, expected);
    // Four times 1 to 250, of which the newest are kept.
    let numbers: Vec<u32> = of("c3").iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&250));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] % 250 + 1), "{numbers:?}");
    house.stop().await;
}

#[tokio::test]
async fn the_local_drivers_pieces_are_joined() {
    let house = House::new();
    let container = house.container(1, "local");
    container.put(include_bytes!("../../../tests/data/docker/local-default.bin"));
    house.start();
    let records = house.wait(7).await;
    let lens: Vec<usize> = records.iter().map(|record| record["log"].len()).collect();
    assert_eq!(lens[4..], ["cr\r".len(), 20_000, 16_384]);
    assert!(records.iter().all(|record| !record.contains_key("__partial__")));
    assert_eq!((records[1]["log"].as_str(), records[1]["source"].as_str()), ("oops", "stderr"));
    house.stop().await;
}

#[tokio::test]
async fn restarts_and_kills_lose_nothing_and_repeat_nothing() {
    let mut house = House::new();
    let mut container = house.container(1, "json-file");
    let mut records = Vec::new();
    for turn in 0..8 {
        house.start();
        container.lines(500);
        if turn % 3 == 1 {
            container.rotate(4);
        }
        container.lines(500);
        // Left in the middle of a line of each output.
        container.written += 2;
        let n = container.written;
        let streams = [n - 1, n].map(|n| if n.is_multiple_of(3) { "stderr" } else { "stdout" });
        container.piece(&(n - 1).to_string(), streams[0], (n - 1) % 60);
        if streams[0] != streams[1] {
            container.piece(&n.to_string(), streams[1], n % 60);
        }
        let key = house.key(&container);
        house.until(|| house.positions.get(&key).is_some()).await;
        house = if turn % 2 == 0 { house.kill().await } else { house.restart().await };
        container.piece(" of many\n", streams[0], (n - 1) % 60);
        if streams[0] != streams[1] {
            container.piece(" of many\n", streams[1], n % 60);
        } else {
            container.piece(&format!("{n} of many\n"), streams[1], n % 60);
        }
    }
    house.start();
    records.extend(house.wait(container.written as usize).await);
    assert_lines(&records, container.written);
    house.stop().await;
}

#[tokio::test]
async fn twenty_five_rotations_while_nothing_fits_lose_nothing() {
    let house = House::with(|plan, _| {
        for buffer in &mut plan.buffers {
            buffer.max_bytes = 4 << 10;
            buffer.on_full = OnFull::Block;
        }
    });
    let mut container = house.container(1, "json-file");
    container.lines(4_000);
    house.start();
    house.until(|| house.positions.get(&house.key(&container)).is_some()).await;
    for _ in 0..25 {
        container.lines(200);
        container.rotate(3);
        // Nothing is read, but every file is taken note of.
        let ino = std::os::unix::fs::MetadataExt::ino(&fs::metadata(container.fixture(1, "")).unwrap());
        house.until(|| holds(ino)).await;
    }
    container.lines(10);
    let records = house.wait(container.written as usize).await;
    assert_lines(&records, container.written);
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

/// Whether this process has a file open.
fn holds(inode: u64) -> bool {
    fs::read_dir("/proc/self/fd").unwrap().flatten().any(|entry| {
        fs::metadata(entry.path())
            .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata) == inode)
    })
}

#[tokio::test]
async fn a_removed_container_is_read_to_its_end_and_forgotten() {
    let house = House::new();
    let mut container = house.container(1, "json-file");
    container.lines(10);
    house.start();
    let mut records = house.wait(10).await;
    container.lines(2_000);
    container.piece("unfinished", "stdout", 59);
    fs::remove_dir_all(&container.dir).unwrap();
    records.extend(house.wait(2_001).await);
    let last = records.pop().unwrap();
    assert_eq!((last["log"].as_str(), last["__partial__"].as_str()), ("unfinished", "true"));
    assert_lines(&records, 2_010);
    let key = house.key(&container);
    house.until(|| house.positions.get(&key).is_none()).await;
    house.stop().await;
}

#[tokio::test]
async fn containers_that_come_later_are_found_and_others_left_alone() {
    let house = House::with(|_, docker| docker.start = Start::End);
    let mut old = house.container(1, "json-file");
    old.lines(100);
    let other = house.container(2, "fluentd");
    other.put(b"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-22T23:03:08Z\"}\n");
    house.start();
    house.until(|| house.positions.get(&house.key(&old)).is_some()).await;
    let mut new = house.container(3, "json-file");
    new.lines(5);
    old.piece("later\n", "stdout", 1);
    let records = house.wait(6).await;
    let mut texts = texts(&records);
    texts.sort_unstable();
    assert_eq!(texts, ["1 of many", "2 of many", "3 of many", "4 of many", "5 of many", "later"]);
    // At the second start everything is read, whatever `start` says.
    house.stop().await;
    let mut late = house.container(4, "json-file");
    late.lines(3);
    let house = house.restart().await;
    house.start();
    assert_eq!(house.wait(3).await[0]["container_name"], "c4");
    house.stop().await;
}

#[tokio::test]
async fn a_log_that_comes_after_its_container_is_waited_for() {
    let house = House::new();
    let local = house.container(1, "local");
    let logs = local.base.parent().unwrap().to_owned();
    fs::remove_dir(&logs).unwrap();
    house.start();
    // Found, and not taken for removed.
    house.until(|| house.positions.get(b"docker docker ").is_some()).await;
    fs::create_dir(&logs).unwrap();
    local.put(include_bytes!("../../../tests/data/docker/local-default.bin"));
    house.wait(7).await;
    house.stop().await;
}

#[tokio::test]
async fn a_long_line_is_cut_and_an_unfinished_one_is_not_waited_for_long() {
    let house = House::with(|_, docker| {
        docker.join.timeout = Duration::from_millis(50);
        docker.join.max_line = 100_000;
    });
    let container = house.container(1, "json-file");
    // A character of four bytes, halved by the engine, would be repaired by it already; longer texts are not.
    let piece = "é".repeat(8_192);
    for _ in 0..7 {
        container.piece(&piece, "stdout", 1);
    }
    container.piece("\n", "stdout", 1);
    container.piece("half", "stderr", 2);
    house.start();
    let records = house.wait(2).await;
    assert_eq!((records[0]["log"].len(), records[0]["__cut__"].as_str()), (100_000, "log"));
    assert_eq!((records[1]["log"].as_str(), records[1]["__partial__"].as_str()), ("half", "true"));
    container.piece(" and half\n", "stderr", 2);
    assert_eq!(texts(&house.wait(1).await), [" and half"]);
    house.stop().await;
}

#[tokio::test]
async fn characters_cut_by_the_local_driver_come_together() {
    use crate::wire::log_entry::LogEntry;
    let house = House::new();
    let container = house.container(1, "local");
    let text = "你好".repeat(200_000);
    let pieces: Vec<&[u8]> = text.as_bytes()[..1_000_000].chunks(16_384).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let entry = LogEntry {
            source: b"stdout",
            time_nano: 5_000_000_007,
            line: piece,
            partial: true,
            last: at + 1 == pieces.len(),
            id: b"0123",
            ordinal: at as i32 + 1,
            ..LogEntry::default()
        };
        let mut bytes = Vec::new();
        entry.append(&mut bytes);
        let length = (bytes.len() as u32).to_be_bytes();
        container.put(&[length.as_slice(), &bytes, &length].concat());
    }
    house.start();
    let mut records = Vec::new();
    house
        .until(|| {
            records.extend(house.take());
            !records.is_empty()
        })
        .await;
    // 1,000,000 is no multiple of three: the last character is halved, and is all that is repaired.
    let (time, record) = &records[0];
    let log = &record["log"];
    assert!(log.starts_with(&text[..999_999]) && log[999_999..] == *"\u{fffd}", "{}", log.len());
    assert_eq!((time.rem_euclid(1_000_000_000), record.contains_key("__partial__")), (7, false));
    house.stop().await;
}
