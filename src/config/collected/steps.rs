//! What both languages do with a record, laid into a [`Draft`] as processors of ours.
//!
//! A parser of Logtail works on one field. What becomes of that field:
//!
//! ```text
//!            source is removed        source is kept (perhaps renamed)
//! parsed     the default              KeepingSourceWhenParseSucceed
//! failed     the default; an event    KeepingSourceWhenParseFail; with CopingRawLog once more as __raw_log__
//!            left empty is dropped    (old configurations: as __raw_log__ alone, where discardUnmatch is false)
//! ```

use config::Value;

use super::draft::{Draft, copy_of, flag, map, text, texts};
use super::reading::{Item, shown};
use super::whole::{checked, whole};
use crate::config::strptime;

/// A field that a record has only between two steps.
const BETWEEN: &str = "__source_of_parse__";

/// What becomes of a text that is not of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is removed, and a record that is left empty is dropped.
    Removed,
    Kept,
    KeptAndCopied,
    /// It is called `__raw_log__`.
    RawLog,
}

pub(super) struct Outcomes {
    pub(super) failed: Failed,
    /// A text that is of its format stays beside what it became.
    pub(super) keeps: bool,
    /// What it is called where it stays.
    pub(super) renamed: Option<String>,
}

/// Parses a field. `format` is what `parse` and the format's own keys say, each with whose key it is.
pub(super) fn parse(
    draft: &mut Draft,
    source: &str,
    format: Vec<(&str, Value, String)>,
    outcomes: &Outcomes,
    theirs: &Item<'_>,
) {
    let Outcomes { failed, keeps, renamed } = outcomes;
    let is_alone = draft.is_alone && source == draft.source;
    let renamed = renamed.as_deref().filter(|renamed| *renamed != source);
    let removes = *failed == Failed::Removed && !is_alone;
    if removes && *keeps {
        theirs.fault(
            "keeps a field that was parsed and removes it where it could not be, beside other fields, which is not done here; \
             set KeepingSourceWhenParseFail",
        );
        return;
    }
    let stays = *keeps || matches!(failed, Failed::Kept | Failed::KeptAndCopied);
    let between = removes || (renamed.is_some() && stays);
    let key = if between { BETWEEN } else { source };
    if between {
        draft.step([("rename", map([(source, text(BETWEEN))]))], theirs.path());
        draft.within(&format!("rename.{source}"), theirs.path());
    }
    let on_failure = match failed {
        Failed::Removed if is_alone => "discard",
        Failed::Removed | Failed::Kept => "keep",
        Failed::KeptAndCopied => "copy",
        Failed::RawLog => "raw_log",
    };
    let mut entries = vec![
        ("key".to_owned(), text(key)),
        ("keep".to_owned(), flag(*keeps)),
        ("on_failure".to_owned(), text(on_failure)),
    ];
    let mut origins = Vec::new();
    for (key, value, said) in format {
        entries.push((key.to_owned(), value));
        origins.push((key, said));
    }
    draft.step(entries, theirs.path());
    for (key, said) in origins {
        draft.within(key, &said);
    }
    if removes {
        draft.step([("remove", texts([BETWEEN]))], theirs.path());
    } else if between {
        draft.step([("rename", map([(BETWEEN, text(renamed.unwrap_or(source)))]))], theirs.path());
    }
    draft.is_alone = false;
}

/// The groups of a regular expression, by the keys in order.
pub(super) fn regex_format<'a>(
    regex: &Item<'_>,
    expression: &str,
    keys: &Item<'_>,
) -> Option<Vec<(&'a str, Value, String)>> {
    checked(regex, expression)?;
    let names = names(keys)?;
    // Slashes around it are no part of it, slashes of its own are.
    let expression = format!("/{expression}/");
    Some(vec![
        ("parse", text("regex"), regex.path().to_owned()),
        ("regex", text(&expression), regex.path().to_owned()),
        ("keys", texts(names.iter().map(String::as_str)), keys.path().to_owned()),
    ])
}

/// Names of fields; one text may hold several.
pub(super) fn names(keys: &Item<'_>) -> Option<Vec<String>> {
    let names: Vec<String> = keys
        .texts()
        .into_iter()
        .flat_map(|(_, text)| text.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    if names.is_empty() {
        keys.fault("is missing; write the fields' names in order");
        return None;
    }
    Some(names)
}

/// How columns stand in a line.
pub(super) struct Columns<'a> {
    pub(super) separator: &'a Item<'a>,
    pub(super) quote: &'a Item<'a>,
    /// Where none is said.
    pub(super) default_quote: &'a str,
    pub(super) keys: &'a Item<'a>,
    pub(super) strict: bool,
    /// extend, keep or discard.
    pub(super) extra: &'a str,
}

pub(super) fn delimiter_format<'a>(columns: &Columns<'_>) -> Option<Vec<(&'a str, Value, String)>> {
    let Columns { separator, quote, keys, .. } = columns;
    let Some(between) = separator.some_text() else {
        if !separator.is_present() {
            separator.fault("is missing; write what stands between two columns, such as \",\"");
        } else if separator.text().is_some() {
            separator.fault("is empty; write what stands between two columns, such as \",\"");
        }
        return None;
    };
    let names = names(keys)?;
    let mut format = vec![
        ("parse", text("delimiter"), separator.path().to_owned()),
        ("separator", text(between), separator.path().to_owned()),
        ("keys", texts(names.iter().map(String::as_str)), keys.path().to_owned()),
        ("strict", flag(columns.strict), separator.path().to_owned()),
        ("extra", text(columns.extra), separator.path().to_owned()),
    ];
    let typed = if quote.is_present() { quote.text()? } else { columns.default_quote };
    // The character that Log Service's console writes for none.
    let typed = if typed == "\u{1}" { "" } else { typed };
    let is_single = between.replace("\\t", "\t").chars().count() == 1;
    if is_single || typed.is_empty() {
        format.push(("quote", text(typed), quote.path().to_owned()));
    } else if quote.is_present() && typed != "\"" {
        quote.note("has no effect: quotes are understood only where the separator is one character");
    }
    Some(format)
}

/// Takes a record's time from a field, which stays.
pub(super) fn time(
    draft: &mut Draft,
    (key, theirs): (&str, &str),
    (format, said): (&str, &Item<'_>),
    zone: Option<(&str, &str)>,
    year: &Item<'_>,
) {
    if year.integer().is_some_and(|year| year > 0) && !names_year(format) {
        year.fault(
            "is a fixed year for times that name none, which is not done here: the year is the one that lies nearest; set 0",
        );
    }
    let mut entries = vec![("key", text(key)), ("format", text(format)), ("keep", flag(true))];
    if let Some((zone, _)) = zone {
        entries.push(("zone", text(zone)));
    }
    draft.step([("time", map(entries))], said.path());
    draft.within("time.key", theirs);
    if let Some((_, theirs)) = zone {
        draft.within("time.zone", theirs);
    }
}

fn names_year(format: &str) -> bool {
    use strptime::{Item, Number};
    strptime::parse(format).is_ok_and(|items| {
        items.iter().any(|item| {
            matches!(
                item,
                Item::Epoch
                    | Item::Number(
                        Number::Year | Number::YearOfCentury | Number::WeekYear | Number::WeekYearOfCentury
                    )
            )
        })
    })
}

/// Keeps records whose field matches entirely.
pub(super) fn filter(draft: &mut Draft, key: &str, regex: &str, theirs: &Item<'_>) {
    let Some(regex) = whole(theirs, regex) else { return };
    draft.step([("filter", map([(key, text(&regex))]))], theirs.path());
}

/// Two lists of the same length.
pub(super) fn filters(draft: &mut Draft, keys: &Item<'_>, regexes: &Item<'_>) {
    let (names, expressions) = (keys.texts(), regexes.texts());
    if names.len() != expressions.len() {
        let (left, right) = (names.len(), expressions.len());
        regexes.fault(format!(
            "has {right} expressions for the {left} fields of the other list; write one for each"
        ));
        return;
    }
    for ((_, key), (theirs, regex)) in names.into_iter().zip(expressions) {
        filter(draft, key, regex, &theirs);
    }
}

/// What is replaced in a field.
pub(super) struct Secret<'a> {
    pub(super) key: &'a Item<'a>,
    /// const or md5.
    pub(super) method: &'a Item<'a>,
    pub(super) replacement: &'a Item<'a>,
    pub(super) before: &'a Item<'a>,
    pub(super) content: &'a Item<'a>,
    pub(super) all: &'a Item<'a>,
}

pub(super) fn mask(draft: &mut Draft, secret: &Secret<'_>) {
    let Secret { key, method, replacement, before, content, all } = secret;
    let Some(field) = key.some_text() else {
        key.fault("is missing; write the field that holds the secret");
        return;
    };
    let before_text = before.text().unwrap_or_default();
    let Some(content_text) = content.some_text() else {
        content.fault("is missing; write the expression of what is replaced");
        return;
    };
    if (!before_text.is_empty() && checked(before, before_text).is_none())
        || checked(content, content_text).is_none()
    {
        return;
    }
    let with = match method.text() {
        Some("const") => match replacement.text() {
            Some(replacement) => ("text", text(replacement)),
            None => {
                replacement.fault("is missing; write the text that takes the secret's place");
                return;
            }
        },
        Some("md5") => ("with", text("md5")),
        Some(other) => {
            method.fault(format!("{} is not one of const, md5", shown(other)));
            return;
        }
        None => {
            method.fault("is missing; write const or md5");
            return;
        }
    };
    let pattern = format!("/(?:{before_text})(?<secret>{content_text})/");
    let entries = [
        ("keys", texts([field])),
        ("pattern", text(&pattern)),
        with,
        ("first", flag(!all.boolean().unwrap_or(true))),
    ];
    draft.step([("mask", map(entries))], content.path());
    draft.within("mask.keys", key.path());
}

/// A copy of a field under another name.
pub(super) fn copy(draft: &mut Draft, from: &str, to: &str, theirs: &Item<'_>) {
    match copy_of(from) {
        Some(value) => draft.step([("add", map([(to, value)]))], theirs.path()),
        None => theirs
            .fault(format!("copies the field {}, whose name cannot be written in a template", shown(from))),
    }
}
