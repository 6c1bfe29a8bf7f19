//! Processors as typed: one list, the same for a route and for an input that has processors of its own.
//!
//! ```yaml
//! - parse: nginx            # the format; its keys stand beside it
//!   key: log
//! - time: { key: time_local, format: "%d/%b/%Y:%H:%M:%S %z" }
//! - drop: { status: /^2/ }  # every other processor is one key
//! ```
//!
//! A key that belongs to another format of `parse` is a fault that says so: as an unknown one it would send people to
//! look for a slip of the pen.

use super::parse::parse;
use super::{field_key, new_key, regex};
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{Condition, LOCAL_ZONE, MaskPlan, MaskWith, Step, TimeFormat, TimestampPlan, zone};
use crate::config::reader::{Leaf, Table};
use crate::config::strptime;

const ONLY_ONE: &str =
    "is not a processor; write one of add, remove, keep, rename, parse, time, filter, drop, mask";

pub(super) fn steps(leaf: Leaf<'_>) -> Vec<Step> {
    leaf.list().into_iter().filter_map(step).collect()
}

/// What must hold for fields, by their names.
pub(super) fn conditions(entries: Vec<(String, Leaf<'_>)>) -> Vec<(String, Condition)> {
    let one = |(key, leaf): (String, Leaf<'_>)| Some((key, leaf.parsed("text or a /regex/", condition)?));
    entries.into_iter().filter_map(one).collect()
}

fn condition(text: &str) -> Result<Condition, String> {
    let Some(source) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) else {
        return Ok(Condition::Equals(text.to_owned()));
    };
    LinearRegex::parse(source).map(Condition::Regex)
}

fn step(leaf: Leaf<'_>) -> Option<Step> {
    if leaf.has("parse") {
        return leaf.table().and_then(parse);
    }
    let (kind, value) = leaf.single(ONLY_ONE)?;
    match kind.as_str() {
        "add" => {
            let fields = value.entries().into_iter();
            Some(Step::Add(
                fields.filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.template()?))).collect(),
            ))
        }
        "remove" => Some(Step::Remove(value.list().into_iter().filter_map(Leaf::text).collect())),
        // Without a name, it would remove all that there is.
        "keep" => value.several("one field's name", new_key).map(Step::Keep),
        "rename" => rename(value),
        "time" => value.table().and_then(time),
        "filter" => some_conditions(value).map(Step::Filter),
        "drop" => some_conditions(value).map(Step::Drop),
        "mask" => value.table().and_then(mask),
        _ => {
            value.fault(ONLY_ONE);
            None
        }
    }
}

/// A map has no order, so a chain of renames within one step would be ambiguous.
fn rename(value: Leaf<'_>) -> Option<Step> {
    let mut pairs = Vec::new();
    for (from, leaf) in value.entries() {
        if let Some(to) = leaf.clone().parsed("a field's name", new_key) {
            pairs.push((leaf, from, to));
        }
    }
    for (index, (leaf, _, to)) in pairs.iter().enumerate() {
        if pairs.iter().any(|(_, other, _)| other == to) {
            leaf.fault(format!("renames to `{to}`, which the same step renames; use two steps"));
        }
        if pairs.iter().take(index).any(|(_, _, other)| other == to) {
            leaf.fault(format!("is the second field of this step to become `{to}`"));
        }
    }
    Some(Step::Rename(pairs.into_iter().map(|(_, from, to)| (from, to)).collect()))
}

/// At least one: no condition would hold for every record.
fn some_conditions(value: Leaf<'_>) -> Option<Vec<(String, Condition)>> {
    let entries = value.clone().entries();
    if entries.is_empty() {
        value.fault("has no condition; write { field: text } or { field: /regex/ }");
        return None;
    }
    Some(conditions(entries))
}

fn time(mut table: Table<'_>) -> Option<Step> {
    let key = table
        .take("key")
        .required("write the field that holds the time, such as time_local")
        .parsed("a field's name", new_key);
    let formats = table
        .take("format")
        .required("write it as strptime does, such as \"%Y-%m-%d %H:%M:%S\"")
        .one_or_more("one format", |text| strptime::parse(text).map(|_| TimeFormat(text.to_owned())));
    let zone = table.take("zone").parsed("text", known_zone);
    let keep = table.take("keep").boolean();
    table.finish();
    Some(Step::Time(TimestampPlan {
        key: key?,
        formats: formats?,
        zone: zone.unwrap_or_else(|| LOCAL_ZONE.to_owned()),
        keep: keep.unwrap_or(false),
    }))
}

fn known_zone(text: &str) -> Result<String, String> {
    if zone(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is no time zone that this machine knows; write {LOCAL_ZONE}, UTC, +08:00, GMT+08:00 or a name such as \
         Asia/Shanghai, which the system's tzdata has"
    ))
}

fn mask(mut table: Table<'_>) -> Option<Step> {
    let both = table.has("text") && table.has("with");
    let neither = !table.has("text") && !table.has("with");
    let keys = table.take("keys").any_number("one field's name", new_key);
    let pattern = table
        .take("pattern")
        .required("write a regular expression; where it has a group named `secret`, only that is replaced")
        .parsed("a regular expression", regex);
    let text = table.take("text").text().map(MaskWith::Text);
    let md5 = table.take("with").choice(&[("md5", ())]).map(|()| MaskWith::Md5);
    let first = table.take("first").boolean();
    if both {
        table.fault("with", "says what takes the secret's place, and so does text; keep one of them");
    } else if neither {
        table.fault(
            "text",
            "is missing; write text: \"[masked]\", or with: md5, which keeps equal secrets equal",
        );
    }
    table.finish();
    Some(Step::Mask(MaskPlan {
        keys: keys.unwrap_or_default(),
        pattern: pattern?,
        with: text.or(md5)?,
        first: first.unwrap_or(false),
    }))
}
