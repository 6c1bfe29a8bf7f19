//! GetProjectLogs: `GET /logs?query=SELECT ... FROM logstore WHERE __time__ > ...`, a statement that names its logstore and its
//! time itself.
//!
//! The statement alone decides which rows count. Its conditions on `__time__` are read besides, where they stand for
//! themselves behind WHERE (no OR, no NOT, one SELECT), so that only packs of that time are inflated.

use std::sync::Arc;

use super::analysis;
use super::answer::{Answer, Refusal};
use super::request::{Target, short};
use crate::store::analytics::Limits;
use crate::store::query::Query;
use crate::store::{Analyse, Store};

const SECOND: i64 = 1_000_000_000;

pub(super) async fn get(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    let sql = target.parameter("query").ok_or_else(|| Refusal::missing_parameter("query"))?;
    let tokens = tokens(sql);
    let name = source(&tokens).ok_or_else(|| {
        Refusal::new(
            "ParameterInvalid",
            "the statement names no logstore: SELECT ... FROM logstore WHERE __time__ > ...",
        )
    })?;
    let (id, index) = {
        let catalog = store.catalog();
        let logstore = catalog.logstore(target.project()?, &short(&name))?;
        (logstore.id, logstore.index.as_ref().map(Arc::clone))
    };
    let (from, to) = times(&tokens);
    if from >= to {
        return Err(Refusal::new("InvalidTimeRange", "the conditions on __time__ leave no time"));
    }
    let analyse = Analyse {
        logstore: id,
        name,
        index,
        from: from.saturating_mul(SECOND),
        to: to.saturating_mul(SECOND),
        topic: None,
        query: Query::all(),
        sql: sql.to_owned(),
        limits: Limits::default(),
    };
    Ok(analysis::run(store, String::new(), analyse).await?.old_answer())
}

/// Words, operators and single characters of a statement; quoted names come without their quotes, texts as `'`.
fn tokens(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!');
        let run = |of: &dyn Fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let (token, length) = match first {
            '\'' | '"' => {
                let end = rest.get(1..).and_then(|behind| behind.find(first)).map_or(rest.len(), |at| at + 2);
                let inner = rest.get(1..end.saturating_sub(1).max(1)).unwrap_or("");
                (if first == '"' { inner } else { "'" }, end)
            }
            c if is_operator(c) => (&rest[..run(&is_operator)], run(&is_operator)),
            c if c.is_alphanumeric() || c == '_' => (&rest[..run(&is_word)], run(&is_word)),
            c => (&rest[..c.len_utf8()], c.len_utf8()),
        };
        if !first.is_whitespace() {
            tokens.push(token.to_owned());
        }
        rest = rest.get(length..).unwrap_or("");
    }
    tokens
}

fn is(token: &str, word: &str) -> bool {
    token.eq_ignore_ascii_case(word)
}

/// What stands behind the first FROM that names something.
fn source(tokens: &[String]) -> Option<String> {
    let named = |pair: &&[String]| is(&pair[0], "from") && pair[1].starts_with(|c: char| c.is_alphanumeric());
    tokens.windows(2).find(named).map(|pair| pair[1].clone())
}

/// Seconds within which `__time__` must lie, the second exclusive.
fn times(tokens: &[String]) -> (i64, i64) {
    let (mut from, mut to) = (i64::MIN / SECOND, i64::MAX / SECOND);
    let open = (from, to);
    let count = |word| tokens.iter().filter(|token| is(token, word)).count();
    if count("select") != 1 || ["or", "not", "case", "if"].into_iter().any(|word| count(word) > 0) {
        return open;
    }
    let Some(start) = tokens.iter().position(|token| is(token, "where")) else { return open };
    let mut depth = 0;
    let behind = tokens.get(start + 1..).unwrap_or(&[]);
    for (at, token) in behind.iter().enumerate() {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if ["group", "order", "having", "limit"].iter().any(|end| is(word, end)) => break,
            word if depth == 0 && is(word, "__time__") => {
                let next = |n: usize| behind.get(at + n).map_or("", String::as_str);
                let starts = at == 0 || behind.get(at - 1).is_some_and(|before| is(before, "and"));
                let ends = |n: usize| {
                    let word = next(n);
                    word.is_empty()
                        || word == ";"
                        || ["and", "group", "order", "limit", "having"].iter().any(|end| is(word, end))
                };
                let Some(value) = next(2).parse::<i64>().ok().filter(|_| starts) else { continue };
                match next(1) {
                    ">" if ends(3) => from = from.max(value.saturating_add(1)),
                    ">=" if ends(3) => from = from.max(value),
                    "<" if ends(3) => to = to.min(value),
                    "<=" if ends(3) => to = to.min(value.saturating_add(1)),
                    "=" if ends(3) => {
                        from = from.max(value);
                        to = to.min(value.saturating_add(1));
                    }
                    word if is(word, "between") && is(next(3), "and") => {
                        if let (Ok(last), true) = (next(4).parse::<i64>(), ends(5)) {
                            from = from.max(value);
                            to = to.min(last.saturating_add(1));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_their_logstore() {
        let source = |sql| source(&tokens(sql));
        assert_eq!(source("select count(1) as c from app where __time__ > 1").as_deref(), Some("app"));
        assert_eq!(source("SELECT ' from x' FROM \"app-log\"").as_deref(), Some("app-log"));
        assert_eq!(source("select a from (select b FROM app-log)").as_deref(), Some("app-log"));
        for none in ["", "select 1", "select 'from x'", "from", "select \"", "\u{4e16}'"] {
            assert_eq!(source(none), None, "{none}");
        }
    }

    #[test]
    fn times_are_read_where_they_stand_alone() {
        let open = (i64::MIN / SECOND, i64::MAX / SECOND);
        let times = |condition: &str| times(&tokens(&format!("select count(*) from app {condition}")));
        assert_eq!(times("where __time__ > 100 and __time__<=200 and a = 'x or y'"), (101, 201));
        assert_eq!(times("WHERE a = 1 AND __time__ between 100 and 200 group by b"), (100, 201));
        assert_eq!(times("where \"__time__\" = 7;"), (7, 8));
        assert_eq!(times("where __time__ >= 5").0, 5);
        for vague in [
            "",
            "where __time__ > 100 or a = 1",
            "where not __time__ > 100",
            "where (__time__ > 100)",
            "where x - __time__ > 100",
            "where __time__ > 100 + 5",
            "where __time__ > to_unixtime(now())",
            "where a in (select 1) and __time__ > 100",
            "group by __time__ > 100",
        ] {
            assert_eq!(times(vague), open, "{vague}");
        }
    }
}
