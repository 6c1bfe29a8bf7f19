//! Files as configurations of Log Service describe them.

use serde_json::{Value, json};

use super::*;
use crate::config::collected::Form;
use crate::config::collected::tests::{classic, file_of, with};

/// Reads `*.log` of a directory as a Logtail config says.
fn house(detail: Value) -> House {
    House::with(|_, file, _| {
        let detail = with(json!({ "logPath": "/var/log", "filePattern": "a.log" }), detail);
        let made = file_of(Form::Classic, &classic(detail));
        *file = FilePlan { paths: file.paths.clone(), scan_interval: file.scan_interval, ..made };
    })
}

#[tokio::test]
async fn gbk_in_several_lines_with_a_topic_of_the_path() {
    let house = house(
        json!({ "logType": "common_reg_log", "logBeginRegex": "\\d+-\\d+-\\d+ .*", "fileEncoding": "gbk",
        "regex": "(\\S+)\\s(.*)", "key": ["day", "text"], "topicFormat": "/.*/(.*)/(.*)\\.log" }),
    );
    let log = house.log("a.log");
    // The two characters for "log", as GBK has them.
    log.put(b"2024-01-01 \xc8\xd5\xd6\xbe\n  more\n2024-01-02 b\nlast\n2024-01-03 c\n");
    house.start();
    let records = house.wait(2).await;
    let fields: Vec<_> =
        records.iter().map(|record| (record["day"].as_str(), record["text"].as_str())).collect();
    assert_eq!(fields, [("2024-01-01", "\u{65e5}\u{5fd7}\n  more"), ("2024-01-02", "b\nlast")]);
    let directory = log.path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert_eq!((records[0]["__topic_1__"].as_str(), records[0]["__topic_2__"].as_str()), (directory, "a"));
    house.stop().await;
}

#[tokio::test]
async fn lines_before_the_first_record_are_kept_or_dropped_as_unmatched_ones() {
    for (discard, expected) in [(true, vec!["1 a\n b"]), (false, vec!["stray", "1 a\n b"])] {
        let house = house(
            json!({ "logType": "common_reg_log", "logBeginRegex": "\\d .*", "discardUnmatch": discard }),
        );
        house.log("a.log").put("stray\n1 a\n b\n2 c\n");
        house.start();
        let records = house.wait(expected.len()).await;
        let texts: Vec<&str> = records.iter().map(|record| record["content"].as_str()).collect();
        assert_eq!(texts, expected);
        house.stop().await;
    }
}
