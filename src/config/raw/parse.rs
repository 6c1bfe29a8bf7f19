//! The processor `parse` as typed: which format, and the keys of that format.

use super::{new_key, regex};
use crate::base::limits::{DEPTH, KEY_BYTES};
use crate::config::log_format;
use crate::config::plan::{DelimiterPlan, ExtraColumns, LogServer, OnFailure, ParseFormat, ParsePlan, Step};
use crate::config::reader::Table;
use crate::config::regex_groups::{self, SKIPPED};

/// Of Log Service's documentation of delimiter mode.
const SEPARATOR_CHARACTERS: usize = 4;
/// The common one, and the default of both servers' packages.
const LOG_FORMAT: &str = "combined";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Regex,
    Nginx,
    Apache,
    Delimiter,
}

const FORMATS: [(&str, Format); 5] = [
    ("json", Format::Json),
    ("regex", Format::Regex),
    ("nginx", Format::Nginx),
    ("apache", Format::Apache),
    ("delimiter", Format::Delimiter),
];

/// The keys that only some formats have.
const OWN: [(&str, &[Format]); 8] = [
    ("depth", &[Format::Json]),
    ("regex", &[Format::Regex]),
    ("keys", &[Format::Regex, Format::Delimiter]),
    ("log_format", &[Format::Nginx, Format::Apache]),
    ("separator", &[Format::Delimiter]),
    ("quote", &[Format::Delimiter]),
    ("strict", &[Format::Delimiter]),
    ("extra", &[Format::Delimiter]),
];

pub(super) fn parse(mut table: Table<'_>) -> Option<Step> {
    // Without a format nobody knows what the other keys would mean.
    let format = table.take("parse").choice(&FORMATS)?;
    let key = table.take("key").parsed("a field's name", new_key);
    let keep = table.take("keep").boolean();
    let prefix = table.take("prefix").parsed("text", prefix);
    let on_failure = table.take("on_failure").choice(&[
        ("keep", OnFailure::Keep),
        ("raw_log", OnFailure::RawLog),
        ("copy", OnFailure::Copy),
        ("discard", OnFailure::Discard),
    ]);
    let plan = match format {
        Format::Json => json(&mut table),
        Format::Regex => regular_expression(&mut table),
        Format::Nginx => server_log(&mut table, LogServer::Nginx),
        Format::Apache => server_log(&mut table, LogServer::Apache),
        Format::Delimiter => delimiter(&mut table),
    };
    for (key, formats) in OWN {
        if !formats.contains(&format) && table.has(key) {
            let others = FORMATS.iter().filter(|(_, other)| formats.contains(other));
            let others: Vec<String> = others.map(|(word, _)| format!("`parse: {word}`")).collect();
            table.refuse(key, &format!("belongs to {}, not to this format", others.join(" and ")));
        }
    }
    table.finish();
    // Text that is not JSON is common beside JSON, and no sign that something went wrong.
    let default = if format == Format::Json { OnFailure::Keep } else { OnFailure::RawLog };
    Some(Step::Parse(ParsePlan {
        format: plan?,
        key: key.unwrap_or_else(|| "log".to_owned()),
        keep: keep.unwrap_or(false),
        prefix: prefix.unwrap_or_default(),
        on_failure: on_failure.unwrap_or(default),
    }))
}

fn prefix(text: &str) -> Result<String, String> {
    if text.len() < KEY_BYTES {
        Ok(text.to_owned())
    } else {
        Err(format!("leaves no room for a key; Log Service takes {KEY_BYTES} bytes in all"))
    }
}

fn json(table: &mut Table<'_>) -> Option<ParseFormat> {
    Some(ParseFormat::Json { depth: table.take("depth").integer(1..=DEPTH).unwrap_or(1) })
}

fn regular_expression(table: &mut Table<'_>) -> Option<ParseFormat> {
    let expression = table
        .take("regex")
        .required("write an expression that matches the whole text, with a group for each field")
        .parsed("a regular expression", regex);
    let named = !table.has("keys");
    let keys = keys(table);
    let expression = expression?;
    // Keys that are faulty would be judged a second time.
    if let Some(keys) = if named { Some(Vec::new()) } else { keys.clone() }
        && let Err(what) = regex_groups::check(&expression, &keys)
    {
        table.fault("regex", what);
    }
    Some(ParseFormat::Regex { regex: expression, keys: if named { Vec::new() } else { keys? } })
}

fn server_log(table: &mut Table<'_>, server: LogServer) -> Option<ParseFormat> {
    let leaf = table.take("log_format");
    let format = if leaf.is_present() {
        leaf.parsed("text", |text| log_format::parse(server, text))
    } else {
        log_format::parse(server, LOG_FORMAT).ok()
    };
    format.map(ParseFormat::LogFormat)
}

fn delimiter(table: &mut Table<'_>) -> Option<ParseFormat> {
    let separator = table
        .take("separator")
        .required("write what stands between two columns, such as \",\" or \"\\t\"")
        .parsed("text", separator);
    let quote = table.take("quote").parsed("text", quote);
    let typed = table.has("keys");
    let keys = keys(table);
    if !typed {
        table.fault("keys", "is missing; write the columns' names in order, _ for one that is not wanted");
    }
    let strict = table.take("strict").boolean();
    let extra = table.take("extra").choice(&[
        ("extend", ExtraColumns::Extend),
        ("keep", ExtraColumns::Keep),
        ("discard", ExtraColumns::Discard),
    ]);
    let separator = separator?;
    let single = separator.chars().count() == 1;
    if let Some(Some(quote)) = quote {
        if !single {
            table.fault("quote", "is understood only where the separator is one character");
        } else if separator.starts_with(quote) {
            table.fault("quote", "is the separator as well");
        }
    }
    Some(ParseFormat::Delimiter(DelimiterPlan {
        quote: quote.unwrap_or(single.then_some('"').filter(|_| separator != "\"")),
        separator,
        keys: keys?,
        strict: strict.unwrap_or(false),
        extra: extra.unwrap_or(ExtraColumns::Extend),
    }))
}

/// Names of fields in order, each once save the one that skips.
fn keys(table: &mut Table<'_>) -> Option<Vec<String>> {
    let leaf = table.take("keys");
    let keys = leaf.clone().several("one field's name", new_key)?;
    for (index, key) in keys.iter().enumerate() {
        if key != SKIPPED && keys.iter().take(index).any(|before| before == key) {
            leaf.fault(format!("names `{key}` twice; {SKIPPED} skips one that is not wanted"));
            return None;
        }
    }
    Some(keys)
}

fn separator(text: &str) -> Result<String, String> {
    let text = text.replace("\\t", "\t");
    if !(1..=SEPARATOR_CHARACTERS).contains(&text.chars().count()) {
        return Err(format!("is no separator; write 1 to {SEPARATOR_CHARACTERS} characters"));
    }
    if text.contains('\n') {
        return Err("has a line feed, which separates lines".to_owned());
    }
    Ok(text)
}

/// Empty: none.
fn quote(text: &str) -> Result<Option<char>, String> {
    let mut characters = text.chars();
    let first = characters.next();
    if characters.next().is_some() {
        return Err("is more than one character; write '\"', or \"\" for none".to_owned());
    }
    Ok(first)
}
