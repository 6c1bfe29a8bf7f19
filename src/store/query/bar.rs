//! The bar: what stands before it is a search, what stands behind it says what becomes of the logs found.

use super::parse::{error_at, search};
use super::{QUERY_BYTES, Query, QueryError};
use crate::store::Index;

/// A query in its two parts.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub search: Query,
    /// What stands before the bar, as it was written.
    pub where_text: String,
    pub analysis: Option<Analysis>,
}

/// What stands behind the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Analysis {
    /// A statement, and how many characters of the query stand before it.
    Sql(String, usize),
    /// `with_pack_meta`: each log comes with its place in its pack.
    PackMeta,
    /// Some other pipe, and how many characters stand before it. [`SPL`] says what to do instead.
    Spl(String, usize),
}

/// What to answer to [`Analysis::Spl`].
pub const SPL: &str = "what stands behind `|` must be a SELECT statement (`* | SELECT count(*)`) or with_pack_meta; the \
                       pipes of SPL (where, extend, project, parse-json ...) are not supported by this Log Service";

/// Reads a whole query for a logstore with this index configuration; without one, all fields are searched as text.
pub fn read(text: &str, index: Option<&Index>) -> Result<Parsed, QueryError> {
    if text.len() > QUERY_BYTES {
        return Err(error_at(text, 0, format!("the query is longer than {QUERY_BYTES} bytes")));
    }
    let (before, behind) = match bar(text) {
        None => (text, None),
        Some(at) => (&text[..at], Some(at + 1)),
    };
    let analysis = behind.map(|at| analysis(text, at)).transpose()?;
    let (query, phrase) = search(before, index)?;
    if let (Some(at), Some(Analysis::Sql(..))) = (phrase, &analysis) {
        return Err(error_at(
            text,
            at,
            "a phrase cannot be used with a statement behind `|`; use words, or `like` in it",
        ));
    }
    Ok(Parsed { search: query, where_text: before.trim().to_owned(), analysis })
}

fn analysis(text: &str, at: usize) -> Result<Analysis, QueryError> {
    let rest = text.get(at..).unwrap_or("");
    let statement = rest.trim();
    let start = at + rest.len() - rest.trim_start().len();
    let before = text.get(..start).unwrap_or(text).chars().count();
    // A statement may begin with parentheses; one that sets something for the session comes before another.
    let word = statement.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let word = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    Ok(match statement {
        "" => return Err(error_at(text, start, "expected a SELECT statement or with_pack_meta behind `|`")),
        _ if is("with_pack_meta") && statement.len() == word.len() => Analysis::PackMeta,
        _ if is("select") || is("with") || is("set") => Analysis::Sql(statement.to_owned(), before),
        _ => Analysis::Spl(statement.to_owned(), before),
    })
}

/// The first bar outside double quotes.
pub(super) fn bar(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'|' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(text: &str) -> Option<Analysis> {
        read(text, None).unwrap().analysis
    }

    #[test]
    fn a_query_is_cut_at_its_first_bar() {
        assert_eq!(behind("error"), None);
        assert_eq!(behind("\"a | b\""), None);
        assert_eq!(behind("\"a \\\" | b\""), None);
        let sql = |text: &str, before| Some(Analysis::Sql(text.into(), before));
        assert_eq!(behind("\u{4e16} |  Select '|' from log "), sql("Select '|' from log", 5));
        assert_eq!(behind("|select 1"), sql("select 1", 1));
        assert_eq!(behind("* | (select 1)"), sql("(select 1)", 4));
        assert_eq!(
            behind("*|with t as (select 1) select * from t"),
            sql("with t as (select 1) select * from t", 2)
        );
        assert_eq!(
            behind("* | set session parallel_sql=true; select 1"),
            sql("set session parallel_sql=true; select 1", 4)
        );
        assert_eq!(behind("* | WITH_PACK_META "), Some(Analysis::PackMeta));
        for spl in ["where a = 1", "extend x = 1 | limit 1", "with_pack_meta x", "selects"] {
            assert_eq!(behind(&format!("* | {spl}")), Some(Analysis::Spl(spl.into(), 4)));
        }
        let read = read(" level: info | select 1", None).unwrap();
        assert_eq!((read.where_text.as_str(), read.search.terms.len()), ("level: info", 1));
        assert!(super::read("| select 1", None).unwrap().search.is_all());
    }

    #[test]
    fn errors_keep_their_place() {
        for (text, position, part) in [
            ("* |", 4, "SELECT"),
            ("*  |  ", 7, "SELECT"),
            ("a and | select 1", 7, "expected a word"),
            ("x #\"a b\" | select 1", 3, "phrase"),
        ] {
            let error = read(text, None).unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.reason.contains(part), "{text}: {error}");
        }
        assert!(read("#\"a b\" | with_pack_meta", None).is_ok());
        assert!(read(&"a".repeat(QUERY_BYTES + 1), None).is_err());
    }
}
