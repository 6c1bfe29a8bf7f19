//! Any text is matched as a whole by every expression: the groups that become fields are those of the expression between
//! `\A` and `\z`, and a text that does not match stays as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regex::bytes::Regex;
use sluicegate::config::linear_regex::LinearRegex;
use sluicegate::config::plan::ParseFormat;
use sluicegate::config::regex_groups;

const KNOWN: [&str; 4] = [
    r#"(\S+) - (\S+) \[([^\]]*)\] "(\S+) (.*?) (\S+)" (\d+) (\d+) "([^"]*)" "([^"]*)""#,
    r"(?:(a)|(b)|(c))*(.*)",
    r"(\w*)\s*(?<x>[^é]*)",
    r"(?x) (\d+) # digits",
];

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (which, typed, text) = input;
    let expression = KNOWN.get(usize::from(which)).copied().unwrap_or(typed);
    let Ok(regex) = LinearRegex::parse(expression) else { return };
    let keys: Vec<String> = (1..regex.captures_len()).map(|at| format!("k{at}")).collect();
    if keys.is_empty() || regex_groups::check(&regex, &keys).is_err() {
        return;
    }
    let slow = |flags: &str| {
        // The newline ends a comment, where the expression may have some.
        ["", "\n"].iter().find_map(|end| Regex::new(&format!("(?{flags})\\A(?:{expression}{end})\\z")).ok())
    };
    let Some(slow) = slow("s-u").or_else(|| slow("s")) else { return };
    let wanted = slow.captures(text).map(|found| {
        let groups = found.iter().skip(1);
        groups.map(|group| group.map_or(&b""[..], |group| group.as_bytes()).to_vec()).collect::<Vec<_>>()
    });

    let (parsed, found) = sluicegate_fuzz::parse(ParseFormat::Regex { regex, keys }, text);
    match wanted {
        // More groups than a record has fields.
        Some(wanted) if wanted.len() > 512 => assert!(!parsed),
        Some(wanted) => assert_eq!((parsed, found), (true, wanted)),
        None => assert_eq!((parsed, found), (false, vec![text.to_vec()])),
    }
});
