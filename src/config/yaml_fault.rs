//! What is wrong with a file that is no YAML map of keys, said in words and with its line.
//!
//! The parser gives text alone, `MESSAGE at byte N line N column N`, in the terms of YAML's grammar. A message that is not
//! known here is passed on as it is; `tests::faults` shows what the known ones become.

const ANCHOR: &str = "* and & begin something of YAML's own; put text that begins so in quotes, as \"**\"";
const OPEN: &str = "a [ or { is never closed";

/// Parts of the parser's messages, the first one found counts, and what they mean to who wrote the file.
const MEANINGS: &[(&str, &str)] = &[
    ("recursion limit", "too many lists and maps inside one another"),
    ("anchor or alias", ANCHOR),
    ("unknown anchor", ANCHOR),
    ("scanning a plain scalar, found a tab", "a tab stands where blanks belong"),
    ("tab", "a tab stands in the indentation; YAML takes blanks only"),
    (
        "mapping values are not allowed",
        "a second `key:` in one line, or the indentation is wrong; put text with `: ` in quotes",
    ),
    (
        "flow mapping",
        "a { is not closed, or its entries have no commas between them; put text with { or } in quotes",
    ),
    (
        "flow sequence",
        "a [ is not closed, or its entries have no commas between them; put text with [ or ] in quotes",
    ),
    (
        "flow construct",
        "what is inside { } or [ ] must stand further to the right than its key, and the bracket must be closed",
    ),
    ("unexpected end of stream", "a quote is opened and never closed"),
    (
        "quoted scalar, found unknown escape",
        "a \\ in double quotes begins an escape; write \\\\ or use single quotes",
    ),
    ("trailing content", "something follows the closing quote; put all of the text in quotes"),
    ("quoted scalar", "the text in quotes is broken; single quotes take everything but themselves"),
    ("simple key expect", "there is no `key:`; every line of a map is `key: value`"),
    ("block sequence entries", "a list begins in a line of its own, each entry with `- `"),
    ("expected '-' indicator", "the indentation fits neither the list above nor the key before it"),
    ("only valid inside a block", "a list entry with `- ` cannot stand inside { } or [ ]"),
    ("did not find expected key", "the indentation fits none of the lines above"),
    ("indent", "the indentation fits none of the lines above"),
    ("expected node content", "a value is missing or is no text; put text with {, }, [, ], * or % in quotes"),
    ("unexpected character", "the first character is one of YAML's own; put the text in quotes"),
    ("must be followed by a valid YAML whitespace", "there is no blank behind the `:` or `-`"),
    ("<document", "something stands behind the end of the map"),
    ("document end marker", "something stands behind the end of the map"),
];

/// A fault of the file as a whole, from the parser's message about this text.
pub(super) fn in_words(text: &str, message: &str) -> String {
    if let Some(documents) = message.strip_prefix("Got ").and_then(|rest| rest.split(' ').next()) {
        return format!("holds {documents} YAML documents, separated by `---`; one is right");
    }
    if message.contains("unsupported hash key") {
        return "has a key that is a map, a list or nothing; keys are plain text".to_owned();
    }
    let Some((what, line)) = located(message) else {
        return "is no YAML map of keys; its lines are `key: value`, and `key:` with more keys below it"
            .to_owned();
    };
    if let Some(key) = what.strip_suffix(": duplicated key in mapping").map(key_text) {
        let line = second_line(text, key, line).unwrap_or(line);
        return format!("line {line}: key `{key}` is there twice");
    }
    if line > text.lines().count() && what.contains("expected node content") {
        return format!("line {}: {OPEN}", text.lines().count());
    }
    let line = line.min(text.lines().count());
    match MEANINGS.iter().find(|(part, _)| what.contains(part)) {
        Some((_, meaning)) => format!("line {line}: {meaning}"),
        None => format!("line {line}: is no YAML: {what}"),
    }
}

/// `WHAT at byte 12 line 3 column 4` as what and its line.
fn located(message: &str) -> Option<(&str, usize)> {
    let (what, place) = message.rsplit_once(" at byte ")?;
    let line = place.split_once("line ")?.1.split(' ').next()?;
    Some((what, line.parse().ok()?))
}

/// The key in `String("listen")` or `Integer(7)`.
fn key_text(shown: &str) -> &str {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(shown);
    inner.trim_matches('"')
}

/// The line of the second of two equal keys. The parser notices it where the key's value ends, which can be far below: it
/// is the nearest line above whose key stands in a map, in one column, that has had it before.
fn second_line(text: &str, key: &str, end: usize) -> Option<usize> {
    let lines: Vec<&str> = text.lines().take(end).collect();
    let is_second = |at: &usize| {
        let (above, line) = (lines.get(..*at)?, lines.get(*at)?);
        let column = key_column(line, key).filter(|column| *column == indentation(line))?;
        for before in above.iter().rev() {
            if key_column(before, key) == Some(column) {
                return Some(());
            }
            let is_empty = before.trim().is_empty() || before.trim_start().starts_with('#');
            if !is_empty && indentation(before) < column {
                return None;
            }
        }
        None
    };
    (0..lines.len()).rev().find(|at| is_second(at).is_some()).map(|at| at + 1)
}

/// Where this key stands in a line that begins with it, behind the `-` of lists.
fn key_column(line: &str, key: &str) -> Option<usize> {
    let inner = line.trim_start_matches([' ', '-', '?']);
    let rest = inner.trim_start_matches(['"', '\'']).strip_prefix(key)?;
    rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':').then(|| line.len() - inner.len())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
