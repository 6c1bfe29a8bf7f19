//! Native processors of a pipeline: each becomes one or two steps of ours.

use serde_json::json;

use crate::config::collected::draft::{Draft, text};
use crate::config::collected::extended;
use crate::config::collected::reading::{Item, Object, shown};
use crate::config::collected::steps::{self, Columns, Failed, Outcomes, Secret};

pub(super) fn lay(item: &Item<'_>, draft: &mut Draft) {
    let mut processor = item.object();
    let kind = processor.take("Type");
    let Some(name) = kind.some_text() else {
        return kind.fault("is missing; it names the processor");
    };
    match name {
        "processor_parse_regex_native" => regex(&mut processor, item, draft),
        "processor_parse_json_native" => {
            let format = vec![("parse", text("json"), kind.path().to_owned())];
            parse(&mut processor, item, draft, |_| Some(format));
        }
        "processor_parse_delimiter_native" => delimiter(&mut processor, item, draft),
        "processor_parse_timestamp_native" => time(&mut processor, draft),
        "processor_filter_regex_native" => filter(&mut processor, draft),
        "processor_desensitize_native" => desensitize(&mut processor, draft),
        name => {
            if !extended::step(name, item, &mut processor, draft) {
                return kind.fault(extended::unknown(name));
            }
        }
    }
    processor.finish();
}

type Format = Vec<(&'static str, config::Value, String)>;

/// What all parsers have: the field, and what becomes of it.
fn parse(
    processor: &mut Object<'_>,
    item: &Item<'_>,
    draft: &mut Draft,
    format: impl FnOnce(&mut Object<'_>) -> Option<Format>,
) {
    let source = processor.take("SourceKey");
    let format = format(processor);
    let [kept, keeps, copied] =
        ["KeepingSourceWhenParseFail", "KeepingSourceWhenParseSucceed", "CopingRawLog"]
            .map(|key| processor.take(key).boolean().unwrap_or(false));
    let renamed = processor.take("RenamedSourceKey");
    let failed = match (kept, copied) {
        (false, _) => Failed::Removed,
        (true, false) => Failed::Kept,
        (true, true) => Failed::KeptAndCopied,
    };
    let outcomes = Outcomes { failed, keeps, renamed: renamed.some_text().map(str::to_owned) };
    if let (Some(source), Some(format)) = (field(&source), format) {
        steps::parse(draft, source, format, &outcomes, item);
    }
}

/// A field's name that has to be there.
fn field<'r>(item: &Item<'r>) -> Option<&'r str> {
    let name = item.some_text();
    if name.is_none() && (!item.is_present() || item.text().is_some()) {
        item.fault("is missing; write the field, such as content");
    }
    name
}

fn regex(processor: &mut Object<'_>, item: &Item<'_>, draft: &mut Draft) {
    parse(processor, item, draft, |processor| {
        let (regex, keys) = (processor.take("Regex"), processor.take("Keys"));
        match regex.some_text() {
            Some(expression) => steps::regex_format(&regex, expression, &keys),
            None => {
                if !regex.is_present() || regex.text().is_some() {
                    regex.fault("is missing; write the expression that matches the whole text");
                }
                None
            }
        }
    });
}

fn delimiter(processor: &mut Object<'_>, item: &Item<'_>, draft: &mut Draft) {
    parse(processor, item, draft, |processor| {
        let [separator, quote, keys] = ["Separator", "Quote", "Keys"].map(|key| processor.take(key));
        let short = processor.take("AllowingShortenedFields").boolean().unwrap_or(true);
        let extra = processor.take("OverflowedFieldsTreatment");
        let extra = match extra.some_text() {
            None => "extend",
            Some(word @ ("extend" | "keep" | "discard")) => word,
            Some(other) => {
                extra.fault(format!("{} is not one of extend, keep, discard", shown(other)));
                return None;
            }
        };
        let columns = Columns {
            separator: &separator,
            quote: &quote,
            default_quote: "\"",
            keys: &keys,
            strict: !short,
            extra,
        };
        steps::delimiter_format(&columns)
    });
}

fn time(processor: &mut Object<'_>, draft: &mut Draft) {
    let [source, format, zone, year] =
        ["SourceKey", "SourceFormat", "SourceTimezone", "SourceYear"].map(|key| processor.take(key));
    let Some(key) = field(&source) else { return };
    let Some(text) = format.some_text() else {
        if !format.is_present() || format.text().is_some() {
            format.fault("is missing; write it as strptime does, such as %Y-%m-%d %H:%M:%S");
        }
        return;
    };
    let zone_text = zone.some_text().map(|text| (text, zone.path()));
    steps::time(draft, (key, source.path()), (text, &format), zone_text, &year);
}

fn filter(processor: &mut Object<'_>, draft: &mut Draft) {
    let (keys, regexes) = (processor.take("FilterKey"), processor.take("FilterRegex"));
    steps::filters(draft, &keys, &regexes);
    for (key, item, regex) in processor.take("Include").members() {
        steps::filter(draft, key, regex, &item);
    }
    processor.refuse(&[(
        "ConditionExp",
        json!(null),
        "is a tree of conditions, which is not read here; write Include, or FilterKey and FilterRegex",
    )]);
    processor.no_effect(&[(
        "DiscardingNonUTF8",
        json!(false),
        "text is always UTF-8; what is no character becomes U+FFFD",
    )]);
}

fn desensitize(processor: &mut Object<'_>, draft: &mut Draft) {
    let [key, method, replacement, before, content, all] = [
        "SourceKey",
        "Method",
        "ReplacingString",
        "ContentPatternBeforeReplacedString",
        "ReplacedContentPattern",
        "ReplacingAll",
    ]
    .map(|key| processor.take(key));
    steps::mask(
        draft,
        &Secret {
            key: &key,
            method: &method,
            replacement: &replacement,
            before: &before,
            content: &content,
            all: &all,
        },
    );
}
