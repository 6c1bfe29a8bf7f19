//! Any text is read as the format of a server or refused, and any line by it: with nothing escaped, as a lazy regular
//! expression reads it; written back, the values are the line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use regex::bytes::Regex;
use sluicegate::config::log_format;
use sluicegate::config::plan::{Escape, LogFormat, LogPart, LogServer, ParseFormat, ValueShape};

fn parse(format: LogFormat, line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (parsed, values) = sluicegate_fuzz::parse(ParseFormat::LogFormat(format), line);
    parsed.then_some(values)
}

fn lazy(format: &LogFormat) -> Option<Regex> {
    let parts = format.parts.iter().map(|part| match part {
        LogPart::Literal(text) => regex::escape(text),
        LogPart::Variable(_) => "(.*?)".to_owned(),
    });
    // A literal beyond ASCII can only stand in an expression over characters.
    Regex::new(&format!("(?s-u)^{}$", parts.collect::<String>())).ok()
}

fuzz_target!(|input: (bool, &str, &[u8])| {
    let (apache, typed, line) = input;
    let server = if apache { LogServer::Apache } else { LogServer::Nginx };
    let Ok(format) = log_format::parse(server, typed) else { return };
    let _ = parse(format.clone(), line);

    let mut plain = LogFormat { escape: Escape::None, ..format };
    for part in &mut plain.parts {
        if let LogPart::Variable(variable) = part {
            variable.shape = ValueShape::Plain;
        }
    }
    let found = parse(plain.clone(), line);
    if let Some(regex) = lazy(&plain) {
        let wanted = regex.captures(line).map(|found| {
            found.iter().skip(1).flatten().map(|group| group.as_bytes().to_vec()).collect::<Vec<_>>()
        });
        assert_eq!(found, wanted);
    }
    if let Some(values) = found {
        let mut values = values.into_iter();
        let written = plain.parts.iter().flat_map(|part| match part {
            LogPart::Literal(text) => text.clone().into_bytes(),
            LogPart::Variable(_) => values.next().unwrap_or_default(),
        });
        assert_eq!(written.collect::<Vec<u8>>(), line);
    }
});
