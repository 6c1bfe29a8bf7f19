//! YAML as JSON: documents of plain data, within bounds.
//!
//! Files of a directory may be anyone's. So nothing is expanded (no anchors and aliases), nothing is nested deeper than JSON
//! would be read, and a key that stands twice in a map is a fault and not the last one's. The parser's events are taken one by
//! one: it never calls itself.

use serde_json::{Map, Number, Value};
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use crate::config::yaml_fault::in_words;

/// Custom resources are some KiB, and a directory may hold a hundred in one file.
const BYTES: usize = 4 << 20;
const DEPTH: usize = 64;
const NODES: usize = 200_000;

/// What is being read.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// The documents of a text, in order. The error says what is wrong with it, and where.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > BYTES {
        return Err(format!("is larger than {} MiB", BYTES >> 20));
    }
    let text = text.trim_start_matches('\u{feff}');
    let mut parser = Parser::new_from_str(text);
    let (mut done, mut open, mut nodes) = (Vec::new(), Vec::new(), 0_usize);
    loop {
        let (event, marker) = parser.next_token().map_err(|error| in_words(text, &error.to_string()))?;
        let value = match event {
            Event::StreamEnd => return Ok(done),
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => continue,
            Event::Alias(_) => return Err(at(&marker, NO_ALIAS)),
            Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
            | Event::Scalar(_, _, anchor, _)
                if anchor != 0 =>
            {
                return Err(at(&marker, NO_ALIAS));
            }
            Event::SequenceStart(..) => {
                push(&mut open, Open::List(Vec::new()), &marker)?;
                continue;
            }
            Event::MappingStart(..) => {
                push(&mut open, Open::Map(Map::new(), None), &marker)?;
                continue;
            }
            Event::Scalar(text, style, _, tag) => scalar(text, style, tag.as_ref()),
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Map(members, _)) => Value::Object(members),
                None => return Err(at(&marker, "closes what was never opened")),
            },
        };
        nodes += 1;
        if nodes > NODES {
            return Err(format!("holds more than {NODES} values"));
        }
        match open.last_mut() {
            None => done.push(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(members, key)) => match key.take() {
                Some(key) => {
                    members.insert(key, value);
                }
                None => {
                    let name = match value {
                        Value::String(text) => text,
                        Value::Number(number) => number.to_string(),
                        Value::Bool(value) => value.to_string(),
                        Value::Null | Value::Array(_) | Value::Object(_) => {
                            return Err(at(&marker, "a key is no text"));
                        }
                    };
                    if members.contains_key(&name) {
                        return Err(at(&marker, &format!("the key {name} stands twice in one map")));
                    }
                    *key = Some(name);
                }
            },
        }
    }
}

const NO_ALIAS: &str =
    "* and & begin something of YAML's own, which is not taken here; put text that begins so in quotes";

fn push(open: &mut Vec<Open>, what: Open, marker: &Marker) -> Result<(), String> {
    if open.len() == DEPTH {
        return Err(at(marker, &format!("lists and maps are nested deeper than {DEPTH}")));
    }
    open.push(what);
    Ok(())
}

fn at(marker: &Marker, what: &str) -> String {
    format!("line {}: {what}", marker.line())
}

/// Text in quotes is text; other text may be a number, a boolean or nothing.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Value {
    if style != TScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::String(text);
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    // A leading zero is no number's: 0123 is a code.
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0') || digits.starts_with("0."));
    if is_number {
        if let Ok(number) = text.parse::<i64>() {
            return Value::Number(number.into());
        }
        let is_float =
            digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        if let Some(number) = text.parse::<f64>().ok().filter(|_| is_float).and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text)
}
