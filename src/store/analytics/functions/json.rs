//! Functions of JSON, arrays and maps: all three are JSON text here. What is no JSON answers NULL.
//!
//! Paths: `$.a.b[0]["c d"]`, or without the `$`. Elements of arrays count from 1 in `element_at` and `[ ]`, as the service
//! has it, and from 0 in paths and `json_array_get`.

use std::borrow::Cow;

use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};
use serde_json::Value as Json;

use super::{Outcome, argument, number_of, raw, real_text, scalar, truth, user_error, whole};

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    at_path(connection, "p_json_extract", |found| found.to_string().into())?;
    at_path(connection, "p_json_extract_scalar", scalar_of)?;
    at_path(connection, "p_json_extract_long", |found| match number_of_json(found) {
        Value::Real(number) => Value::Integer(number as i64),
        other => other,
    })?;
    at_path(connection, "p_json_extract_double", |found| match number_of_json(found) {
        Value::Integer(number) => Value::Real(number as f64),
        other => other,
    })?;
    at_path(connection, "p_json_size", |found| Value::Integer(size(found)))?;
    of_json(connection, "p_json_parse", |json, _| json.to_string().into())?;
    of_json(connection, "p_json_array_length", |json, _| {
        json.as_array().map_or(Value::Null, |list| Value::Integer(list.len() as i64))
    })?;
    of_json(connection, "p_cardinality", |json, _| Value::Integer(size(json)))?;
    of_json(connection, "p_contains", |json, context| {
        let Some(list) = json.as_array() else { return Value::Null };
        let wanted = raw(context, 1);
        if wanted == ValueRef::Null {
            Value::Null
        } else {
            truth(list.iter().any(|element| is(element, wanted)))
        }
    })?;
    of_json(connection, "p_array_position", |json, context| {
        let Some(list) = json.as_array() else { return Value::Null };
        let wanted = raw(context, 1);
        Value::Integer(list.iter().position(|element| is(element, wanted)).map_or(0, |at| at as i64 + 1))
    })?;
    of_json(connection, "p_json_array_get", |json, context| {
        let index = whole(context, 1).unwrap_or(0);
        json.as_array().and_then(|list| element(list, index)).map_or(Value::Null, plain)
    })?;
    of_json(connection, "p_element_at", |json, context| {
        let found = match json {
            Json::Array(list) => whole(context, 1)
                .filter(|index| *index != 0)
                .and_then(|index| element(list, if index > 0 { index - 1 } else { index })),
            Json::Object(map) => argument(context, 1).and_then(|key| map.get(&*key)),
            _ => None,
        };
        found.map_or(Value::Null, plain)
    })?;
    of_json(connection, "p_array_join", |json, context| {
        let Some(list) = json.as_array() else { return Value::Null };
        let (separator, null) = (argument(context, 1).unwrap_or_default(), argument(context, 2));
        let parts: Vec<Cow<'_, str>> = list.iter().filter_map(|part| shown(part).or(null.clone())).collect();
        parts.join(&separator).into()
    })?;
    of_json(connection, "p_array_distinct", |json, _| {
        let Some(list) = json.as_array() else { return Value::Null };
        let mut seen = std::collections::HashSet::new();
        let kept: Vec<&Json> = list.iter().filter(|part| seen.insert(part.to_string())).collect();
        serde_json::to_string(&kept).map_or(Value::Null, Value::from)
    })?;
    of_json(connection, "p_array_sort", |json, _| {
        let Some(list) = json.as_array() else { return Value::Null };
        let mut sorted: Vec<&Json> = list.iter().collect();
        sorted.sort_by(|one, other| order(one, other));
        serde_json::to_string(&sorted).map_or(Value::Null, Value::from)
    })?;
    of_json(connection, "p_array_max", |json, _| {
        json.as_array()
            .and_then(|list| list.iter().max_by(|one, other| order(one, other)))
            .map_or(Value::Null, plain)
    })?;
    of_json(connection, "p_array_min", |json, _| {
        json.as_array()
            .and_then(|list| list.iter().min_by(|one, other| order(one, other)))
            .map_or(Value::Null, plain)
    })?;
    of_json(connection, "p_map_keys", |json, _| {
        let keys = json.as_object().map(|map| Json::from(map.keys().cloned().collect::<Vec<_>>()));
        keys.map_or(Value::Null, |keys| keys.to_string().into())
    })?;
    of_json(connection, "p_map_values", |json, _| {
        let values = json.as_object().map(|map| Json::from(map.values().cloned().collect::<Vec<_>>()));
        values.map_or(Value::Null, |values| values.to_string().into())
    })?;
    // What UNNEST walks: an array or object, else nothing.
    scalar(connection, "p_unnest", |context| {
        let text = argument(context, 0).unwrap_or_default();
        let is_container = parse(&text).is_some_and(|json| json.is_array() || json.is_object());
        Ok(if is_container { text.into_owned() } else { "[]".to_owned() }.into())
    })?;
    // ARRAY[...]
    scalar(connection, "p_array", |context| {
        let list: Vec<Json> = (0..context.len()).map(|index| json_of(raw(context, index))).collect();
        Ok(Json::from(list).to_string().into())
    })
}

fn of_json(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&Json, &Context<'_>) -> Value + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| {
        let json = argument(context, 0).and_then(|text| parse(&text));
        Ok(json.map_or(Value::Null, |json| work(&json, context)))
    })
}

/// A function of the value at a path, the second argument.
fn at_path(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&Json) -> Value + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| -> Outcome {
        let (Some(text), Some(path)) = (argument(context, 0), argument(context, 1)) else {
            return Ok(Value::Null);
        };
        let steps = context.get_or_create_aux(1, |_| {
            steps(&path)
                .ok_or_else(|| user_error(format!("{path:?} is no JSON path; one looks like $.a.b[0]")))
        })?;
        let Some(json) = parse(&text) else { return Ok(Value::Null) };
        let mut found = Some(&json);
        for step in steps.iter() {
            found = found.and_then(|json| match (json, step) {
                (Json::Object(map), Step::Key(key)) => map.get(key),
                (Json::Array(list), Step::Index(index)) => list.get(*index),
                (Json::Array(list), Step::Key(key)) => list.get(key.parse::<usize>().ok()?),
                _ => None,
            });
        }
        Ok(found.map_or(Value::Null, &work))
    })
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim();
    let mut steps = Vec::new();
    match rest.strip_prefix('$') {
        Some(behind) => rest = behind,
        // A bare name is its own first step.
        None if !rest.starts_with(['.', '[']) => {
            let len = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(rest.get(..len)?.to_owned()));
            rest = rest.get(len..)?;
        }
        None => {}
    }
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let len = name.find(['.', '[']).unwrap_or(name.len());
            let key = name.get(..len)?.trim_matches('"');
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = name.get(len..)?;
        } else {
            let inside = rest.strip_prefix('[')?;
            let quote = inside.chars().next().filter(|first| matches!(first, '"' | '\''));
            let (step, behind) = match quote {
                Some(quote) => {
                    let (key, behind) = inside.get(1..)?.split_once(quote)?;
                    (Step::Key(key.to_owned()), behind.strip_prefix(']')?)
                }
                None => {
                    let (index, behind) = inside.split_once(']')?;
                    (Step::Index(index.trim().parse().ok()?), behind)
                }
            };
            steps.push(step);
            rest = behind;
        }
    }
    Some(steps)
}

fn parse(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

fn element(list: &[Json], index: i64) -> Option<&Json> {
    let index = if index < 0 { index.checked_add(list.len() as i64)? } else { index };
    list.get(usize::try_from(index).ok()?)
}

fn size(json: &Json) -> i64 {
    match json {
        Json::Array(list) => list.len() as i64,
        Json::Object(map) => map.len() as i64,
        _ => 0,
    }
}

/// What is no array and no object.
fn scalar_of(json: &Json) -> Value {
    match json {
        Json::Array(_) | Json::Object(_) => Value::Null,
        _ => shown(json).map_or(Value::Null, |text| text.into_owned().into()),
    }
}

/// An element as a value of its own: numbers as numbers, the rest as text.
fn plain(json: &Json) -> Value {
    match json {
        Json::Number(_) => number_of_json(json),
        _ => shown(json).map_or(Value::Null, |text| text.into_owned().into()),
    }
}

fn number_of_json(json: &Json) -> Value {
    match json {
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => number.as_f64().map_or(Value::Null, Value::Real),
        },
        Json::String(text) => number_of(ValueRef::Text(text.as_bytes())),
        _ => Value::Null,
    }
}

/// `None` for null.
fn shown(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.as_str().into()),
        Json::Number(number) => Some(match (number.as_i64(), number.as_f64()) {
            (None, Some(real)) if !number.is_u64() => real_text(real).into(),
            _ => number.to_string().into(),
        }),
        other => Some(other.to_string().into()),
    }
}

/// Text equals text, numbers equal numbers of any form.
fn is(json: &Json, wanted: ValueRef<'_>) -> bool {
    match (json, wanted) {
        (Json::String(text), ValueRef::Text(wanted)) => text.as_bytes() == wanted,
        (Json::Bool(found), ValueRef::Integer(wanted)) => i64::from(*found) == wanted,
        _ => match (number_of_json(json), number_of(wanted)) {
            (Value::Integer(found), Value::Integer(wanted)) => found == wanted,
            (Value::Integer(number), Value::Real(other)) | (Value::Real(other), Value::Integer(number)) => {
                number as f64 == other
            }
            (Value::Real(found), Value::Real(wanted)) => found == wanted,
            _ => shown(json).is_some_and(|text| Some(text) == super::as_text(wanted)),
        },
    }
}

/// Numbers by value, before texts.
fn order(one: &Json, other: &Json) -> std::cmp::Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => shown(one).cmp(&shown(other)),
    }
}

/// A value as JSON; arrays and objects in a text stay what they are.
pub(super) fn json_of(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
    }
}
