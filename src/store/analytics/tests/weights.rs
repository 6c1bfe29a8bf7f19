//! The weighted table answers as the plain one does.

use proptest::prelude::*;

use super::*;

fn logs() -> impl Strategy<Value = String> {
    let value = prop_oneof!["[ab]", "[0-3]", "[0-9]\\.5", Just("-".to_owned())];
    let log = (0..200i64, "[ab]", proptest::option::of(value.clone()), proptest::option::of(value));
    proptest::collection::vec(log, 0..40).prop_map(|logs| {
        let mut text = String::new();
        for (time, level, n, m) in logs {
            text.push_str(&format!("__time__={} level={level}", 1_700_000_000 + time));
            for (name, value) in [("n", n), ("m", m)] {
                if let Some(value) = value {
                    text.push_str(&format!(" {name}={value}"));
                }
            }
            text.push('\n');
        }
        text
    })
}

fn statements() -> impl Strategy<Value = String> {
    let aggregate = proptest::sample::select(vec![
        "count(*)",
        "count(n)",
        "sum(n)",
        "avg(m)",
        "min(n)",
        "max(m)",
        "count_if(n > 1)",
        "count(distinct n)",
        "sum(distinct n)",
        "approx_percentile(n, 0.5)",
        "histogram(m)",
        "round(stddev(n), 6)",
        "bool_or(n > 1)",
        "approx_distinct(m)",
        "count(*) filter (where level = 'a')",
        "sum(n + m)",
        "avg(n) filter (where m > 1)",
        "max_by(n, n)",
        "round(var_pop(m), 6)",
        "sum(count(*)) over ()",
    ]);
    let keys = proptest::sample::select(vec![
        "level",
        "n",
        "__time__ - __time__ % 60",
        "n > 1",
        "date_trunc('minute', __time__)",
    ]);
    let filter = proptest::sample::select(vec!["", " where n > 1", " where level = 'a' or m = '1'"]);
    let having = proptest::sample::select(vec!["", " having count(*) > 1"]);
    (aggregate.clone(), aggregate, keys, filter, having, any::<bool>()).prop_map(
        |(one, other, key, filter, having, is_nested)| {
            let sql = format!(
                "select {key} as k, {one} as x, {other} as y from log{filter} group by {key}{having}"
            );
            if is_nested {
                format!("select * from ({sql}) order by 1, 2, 3 limit 1000")
            } else {
                format!("{sql} order by 1, 2, 3 limit 1000")
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn weights_change_no_answer(logs in logs(), sql in statements()) {
        let plain = run_over(&logs, &sql, None, false).unwrap();
        let weighted = run_over(&logs, &sql, None, true).unwrap();
        prop_assert_eq!(rows(&plain), rows(&weighted), "{}", sql);
        prop_assert_eq!(plain.types, weighted.types);
    }
}

#[test]
fn only_aggregates_are_weighted() {
    let allows = |sql: &str| weighted::allows(&parse::parse(sql).unwrap(), "app");
    for sql in [
        "select count(*)",
        "select distinct level from log",
        "select level, avg(n) from app group by level order by max(n)",
        "select * from (select level, count(*) c from log group by level) where c > 1",
        "select a.level from (select level from log group by 1) a join (select level from log group by 1) b on a.level = b.level",
    ] {
        assert!(allows(sql), "{sql}");
    }
    for sql in [
        "select level",
        "select level from log order by __time__",
        "select array_agg(level) from log",
        "select count(*) from log a, log b",
        "select count(*) from (select level from log)",
        "select count(*) from log where rand() < 0.5",
        "select count(*) from log where n > (select n from log limit 1)",
        "select row_number() over () from log",
        "select distinct row_number() over () from log",
        "select count(*) from log union select n from log",
    ] {
        assert!(!allows(sql), "{sql}");
    }
}
