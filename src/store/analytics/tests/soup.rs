//! Statements thrown together from words of the dialect: each is answered or refused, never an internal error.

use proptest::prelude::*;

use super::*;

const WORDS: [&str; 84] = [
    "select",
    "from",
    "log",
    "where",
    "group",
    "by",
    "order",
    "having",
    "limit",
    "1",
    "2",
    "0.5",
    "'a'",
    "level",
    "n",
    "t",
    "(",
    ")",
    "(",
    ")",
    ",",
    ",",
    ",",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<",
    ">",
    "<>",
    "||",
    "and",
    "or",
    "not",
    "in",
    "like",
    "between",
    "is",
    "null",
    "case",
    "when",
    "then",
    "else",
    "end",
    "count",
    "sum",
    "max",
    "avg",
    "if",
    "coalesce",
    "cast",
    "as",
    "bigint",
    "varchar",
    "distinct",
    "union",
    "all",
    "join",
    "on",
    "left",
    "with",
    "interval",
    "day",
    "now",
    "date_trunc",
    "'minute'",
    "__time__",
    "json_extract",
    "'$.a'",
    "array",
    "[",
    "]",
    "unnest",
    "cross",
    "over",
    "partition",
    "row_number",
    "exists",
    "desc",
    "true",
    "histogram",
    "approx_percentile",
];

const PARTS: [&str; 40] = [
    "count(*)",
    "level",
    "n",
    "sum(n)",
    "max(level)",
    "n + 1",
    "level || 'x'",
    "n > 1",
    "level like 'a%'",
    "case when n > 1 then 'x' end",
    "(select max(n) from log)",
    "date_trunc('minute', __time__)",
    "from_unixtime(n)",
    "n in (1, '2')",
    "level in (select n from log)",
    "row_number() over (order by n)",
    "sum(count(*)) over ()",
    "approx_percentile(n, 0.5)",
    "histogram(level)",
    "array[n, level][1]",
    "split(level, ',')",
    "now() - interval '1' day",
    "cast(n as bigint)",
    "try(cast(level as double))",
    "not n",
    "-level",
    "null",
    "if(n = 1, level, n)",
    "coalesce(n, level, 1)",
    "greatest(n, 2)",
    "json_extract(level, '$.a')",
    "n between 1 and level",
    "exists (select 1 from log where n = 1)",
    "max_by(level, n)",
    "stddev(n)",
    "a.n",
    "b.level",
    "array_agg(n)",
    "time_series(__time__, '1m', '%H', '0')",
    "regexp_like(level, n)",
];

fn never_internal(sql: &str) -> Result<(), TestCaseError> {
    let logs = "__time__=1700000000 level=a n=1\n__time__=1700000060 level={\"a\":1} n=x\n__time__=5";
    for may_weigh in [false, true] {
        let found = run_over(logs, sql, None, may_weigh);
        prop_assert!(!matches!(found, Err(AnalyticsError::Database(_))), "{}: {:?}", sql, found);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn words_in_any_order(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 1..30)) {
        never_internal(&format!("select {}", words.join(" ")))?;
    }

    #[test]
    fn parts_in_any_clause(
        parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 6),
        clauses in proptest::collection::vec(any::<bool>(), 5),
        from in proptest::sample::select(vec!["log", "log a", "log a, log b", "(select level, n, __time__ from log) a", "log a left join log b on a.n = b.n"]),
    ) {
        let mut sql = format!("select {} as x, {} from {from}", parts[0], parts[1]);
        for (index, clause) in ["where", "group by", "having", "order by"].iter().enumerate() {
            if clauses[index] {
                sql.push_str(&format!(" {clause} {}", parts[index + 2]));
            }
        }
        if clauses[4] {
            sql = format!("with t as ({sql}) select x, count(*) from t group by x order by 2");
        }
        never_internal(&sql)?;
    }

    #[test]
    fn any_text(sql in "\\PC{0,60}") {
        never_internal(&sql)?;
    }
}
