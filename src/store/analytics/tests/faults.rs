//! What is refused, and where.

use super::*;

const LOGS: &str = "__time__=1700000000 level=info n=1\n__time__=1700000001 level=info n=2";

#[test]
fn faults_have_their_place() {
    let cases = [
        ("delete from log", "line 1:1: SELECT or WITH is expected here, not delete"),
        ("select count(*); drop table log", "line 1:18: the end of the statement is expected here, not drop"),
        ("select 1 fro log", "line 1:14: the end of the statement is expected here, not log"),
        ("select count(*\nfrom log", "line 1:14: a value is expected here, not *"),
        ("select cuont(*)", "line 1:8: there is no function cuont; perhaps count is meant"),
        ("select counts(*)", "line 1:8: there is no function counts; perhaps count is meant"),
        (
            "select dateformat(__time__, '%Y')",
            "line 1:8: there is no function dateformat; perhaps date_format is meant",
        ),
        ("select length(1, 2)", "line 1:8: length takes 1 argument, not 2"),
        (
            "select ip_to_country(ip)",
            "line 1:8: ip_to_country needs geographic data, which the embedded Log Service does not \
          have; it is answered by the cloud only",
        ),
        (
            "select level from other",
            "line 1:19: there is no relation other: a statement reads its own logstore, as log",
        ),
        ("select a.x from (select 1 as y from log) a", "line 1:8: there is no column x here"),
        (
            "select level from log where count(*) > 1",
            "line 1:29: count is over many rows and cannot stand in WHERE; HAVING can \
          use it",
        ),
        ("select level group by 3", "line 1:23: position 3 is not among the 1 columns of the select"),
        (
            "select level, count(*)",
            "line 1:8: level must stand in GROUP BY or inside an aggregate, such as arbitrary(level)",
        ),
        (
            "select lower(level), n + 1, count(*) group by level",
            "line 1:22: n must stand in GROUP BY or inside an aggregate, such as arbitrary(n)",
        ),
        ("select 'abc", "line 1:8: this text has no closing '"),
        (
            "select now() - 1",
            "line 1:8: a time is computed with by INTERVAL, date_add and date_diff; to_unixtime makes a number \
          of it",
        ),
        ("select x -> 1", "line 1:10: the end of the statement is expected here, not ->"),
        ("select transform(a, x -> x + 1)", "line 1:23: functions as arguments (x -> ...) are not supported"),
        ("select level from log limit 1000001", "line 1:29: LIMIT and OFFSET are at most 1000000"),
        ("select row_number()", "line 1:8: row_number needs OVER (...)"),
        (
            "select * from (select level, n from log) where level in (select 1, 2 from log)",
            "line 1:48: the select of IN gives 2 columns, not one",
        ),
        (
            "select rank() over (order by sum(max(n))) from log",
            "line 1:34: max stands inside sum; use a sub-select",
        ),
        ("select cast(level as bigint)", "Cannot cast 'info' to BIGINT; TRY_CAST gives null instead"),
        ("select regexp_like(level, '(')", ""),
    ];
    for (sql, wanted) in cases {
        let error = run_over(LOGS, sql, None, true).expect_err(sql).to_string();
        if wanted.is_empty() {
            assert!(error.contains("regular expression"), "{sql}: {error}");
        } else {
            assert_eq!(error, wanted, "{sql}");
        }
    }
    let fields = Fields(vec![("level".to_owned(), Kind::Text)]);
    let error = run_over(LOGS, "select levle from log", Some(&fields), true).unwrap_err();
    assert_eq!(error.to_string(), "line 1:8: there is no column levle; perhaps level is meant");
}

#[test]
fn nothing_but_the_table_can_be_read() {
    for sql in [
        "select * from sqlite_master",
        "select load_extension('x') from log",
        "select readfile('/etc/passwd') from log",
        "select randomblob(1000000000) from log",
        "with recursive t as (select 1) select * from t",
        "pragma database_list",
        "attach 'x' as y",
        "select 1 from log where 1 = 1; select 2",
    ] {
        assert!(matches!(run_over(LOGS, sql, None, true), Err(AnalyticsError::Statement { .. })), "{sql}");
    }
}

#[test]
fn bounds_say_which_they_are() {
    let many: String = (0..5000).map(|number| format!("n={number}\n")).collect();
    let bound = |sql: &str, limits| match run_within(&many, sql, None, true, limits) {
        Err(AnalyticsError::Bound(bound)) => bound,
        other => panic!("{other:?}"),
    };
    let all = Limits::default();
    assert_eq!(bound("select n from log", Limits { rows: 100, ..all }), Bound::Rows(100));
    assert_eq!(bound("select n from log", Limits { bytes: 10_000, ..all }), Bound::Bytes(10_000));
    let none = std::time::Duration::ZERO;
    assert_eq!(bound("select n from log", Limits { time: none, ..all }), Bound::Time(0));
    // A join of all with all runs into the clock inside SQLite.
    let short = std::time::Duration::from_millis(300);
    let sql = "select count(*) from log a, log b, log c where a.n + b.n = c.n * 2.5";
    assert_eq!(bound(sql, Limits { time: short, ..all }), Bound::Time(0));
    let cut =
        run_within(&many, "select n from log limit 5000", None, true, Limits { answer_bytes: 1000, ..all })
            .unwrap();
    assert!(cut.cut && cut.rows.len() < 50);
}

#[test]
fn deep_and_long_statements_are_refused_not_followed() {
    for sql in [
        format!("select {}1{} from log", "(".repeat(20_000), ")".repeat(20_000)),
        format!("select {}1 from log", "- ".repeat(20_000)),
        format!("select {}true from log", "not ".repeat(10_000)),
        format!("select 1{} from log", "+1".repeat(20_000)),
        format!("select x{} from log", "[1]".repeat(10_000)),
        format!("select 1 from log where {} 1=1", "1=1 and ".repeat(8_000)),
        format!("select 1 from log {}", "union select 1 from log ".repeat(2_000)),
        format!("{}select 1 from log{}", "select * from (".repeat(1_000), ")".repeat(1_000)),
        format!("select {} from log", "case when true then ".repeat(3_000)),
    ] {
        assert!(matches!(run_over(LOGS, &sql, None, true), Err(AnalyticsError::Statement { .. })));
    }
    let conditions = format!("select count(*) from log where {}", vec!["n = 1"; 1_500].join(" or "));
    assert_eq!(rows(&run_over(LOGS, &conditions, None, true).unwrap()), ["1"]);
}
