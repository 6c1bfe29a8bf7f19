//! A record as a line for people: time, where it came from, the text, and what else it has.
//!
//! Log text is hostile: its control characters never reach the terminal.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::pages::second;

/// The line; `colour` for a terminal.
pub(super) fn line(record: &Map<String, Value>, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        let text = harmless(text);
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    };
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let nanos: i32 = text("__time_ns_part__").and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
    let time = Timestamp::new(second(record), nanos).unwrap_or_default();
    let mut out = paint("2", &time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let name = text("container_name").map(|name| name.trim_start_matches('/')).or_else(|| text("__topic__"));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        out.push(' ');
        out.push_str(&paint("36", name));
    }
    if let Some(log) = text("log") {
        out.push(' ');
        out.push_str(&if text("source") == Some("stderr") { paint("31", log) } else { harmless(log) });
    }
    for (key, value) in record {
        if key.starts_with("__")
            || matches!(key.as_str(), "log" | "container_name" | "container_id" | "source")
        {
            continue;
        }
        out.push(' ');
        out.push_str(&paint("2", &format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    out
}

pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn escape_sequences_in_logs_stay_harmless() {
        let record =
            json!({ "__time__": "1700000000", "log": "\x1b[2Jgone", "container_name": "/web", "k": "v" });
        let Value::Object(record) = record else { return };
        assert_eq!(line(&record, false), "2023-11-14T22:13:20.000Z web \u{fffd}[2Jgone k=v");
        assert!(!line(&record, true).contains("\x1b[2J"));
    }
}
