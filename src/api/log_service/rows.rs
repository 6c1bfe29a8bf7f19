//! Rows of an answer as JSON: objects of text to text. Names that meet twice in a row become `name`, `name_0`, `name_1` ...

use std::collections::HashSet;
use std::io::Write;

use crate::store::Row;

/// The field that says where a row stands in a context.
const INDEX: &str = "__index_number__";

pub(super) fn write_rows(rows: &[Row], out: &mut Vec<u8>) {
    write_list(rows.iter().map(|row| (None, row)), out);
}

/// Rows around an anchor, which has the number 0; `back` of them are before it.
pub(super) fn write_context(rows: &[Row], back: usize, out: &mut Vec<u8>) {
    write_list((-(back as i64)..).map(Some).zip(rows), out);
}

fn write_list<'a>(rows: impl Iterator<Item = (Option<i64>, &'a Row)>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, (index, row)) in rows.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_row(index, row, out);
    }
    out.push(b']');
}

fn write_row(index: Option<i64>, row: &Row, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"__time__\":\"{}\"", row.time);
    if let Some(ns) = row.time_ns {
        let _ = write!(out, ",\"__time_ns_part__\":\"{ns}\"");
    }
    if let Some(index) = index {
        let _ = write!(out, ",\"{INDEX}\":\"{index}\"");
    }
    let mut used = HashSet::new();
    used.extend(["__time__", "__time_ns_part__", "__source__", "__topic__"].map(str::to_owned));
    used.extend(index.map(|_| INDEX.to_owned()));
    for (name, value) in [("__source__", &row.source), ("__topic__", &row.topic)] {
        let _ = write!(out, ",\"{name}\":");
        write_json(&value, out);
    }
    let meta = row.pack_meta.iter().map(|meta| ("__pack_meta__".to_owned(), meta));
    let tags = row.tags.iter().map(|(key, value)| (format!("__tag__:{key}"), value));
    let contents = row.contents.iter().map(|(key, value)| (key.clone(), value));
    for (name, value) in meta.chain(tags).chain(contents) {
        let mut unique = name.clone();
        let mut count = 0;
        while !used.insert(unique.clone()) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        out.push(b',');
        write_json(&unique, out);
        out.push(b':');
        write_json(&value, out);
    }
    out.push(b'}');
}

pub(super) fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Text into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(out, value);
}
