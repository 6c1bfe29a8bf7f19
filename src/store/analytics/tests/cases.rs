//! Each function and clause: statement, rows.

use super::*;

const ACCESS: &str = "
    __time__=1700000000 __source__=10.0.0.1 __topic__=web __tag__:env=prod level=info  status=200 latency=1.50 url=/a?x=1&y=b%20c host=a
    __time__=1700000007 __source__=10.0.0.1 __topic__=web __tag__:env=prod level=info  status=200 latency=2.5  url=/b host=b
    __time__=1700000065 __source__=10.0.0.2 __topic__=web __tag__:env=dev  level=error status=500 latency=12   url=/a host=a
    __time__=1700000070 __source__=10.0.0.2 __topic__=web __tag__:env=dev  level=warn  status=404 latency=-    url=/c
";

fn check(cases: &[(&str, &str)]) {
    let mut failed = Vec::new();
    for (sql, wanted) in cases {
        for may_weigh in [false, true] {
            let found = match run_over(ACCESS, sql, None, may_weigh) {
                Ok(table) => rows(&table).join("\n"),
                Err(error) => format!("error: {error}"),
            };
            if found != *wanted {
                failed.push(format!("{sql}\n  wanted: {wanted}\n  found:  {found} (weighted: {may_weigh})"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn clauses() {
    check(&[
        ("select count(*)", "4"),
        ("SELECT count(1) AS c FROM log", "4"),
        ("select count(1) from app", "4"),
        ("select count(host)", "3"),
        ("select level, count(*) c group by level order by c desc, level", "info | 2\nerror | 1\nwarn | 1"),
        ("select level, count(*) group by 1 order by 2 desc, 1 limit 1", "info | 2"),
        ("select level, count(*) as c from log group by level having c > 1", "info | 2"),
        ("select level from log order by level desc limit 1, 2", "info\ninfo"),
        ("select level from log order by level desc limit 2 offset 2", "info\nerror"),
        ("select level from log order by level desc offset 3", "error"),
        ("select distinct level order by level", "error\ninfo\nwarn"),
        ("select status, latency from log where status >= 404 order by status", "404 | -\n500 | 12"),
        ("select latency from log order by latency", "1.50\n2.5\n12\n-"),
        ("select count(*) from log where status = '200' and level like 'in%'", "2"),
        ("select count(*) where level LIKE 'IN%'", "0"),
        ("select count(*) where level not like '%o%' or host is null", "1"),
        ("select count(*) where status in (200, 404)", "3"),
        ("select count(*) where status in ('200', '404')", "3"),
        ("select count(*) where status not in (200)", "2"),
        ("select count(*) where status between 300 and 500", "2"),
        ("select count(*) where not (status = 200)", "2"),
        ("select count(*) where \"__tag__:env\" = 'dev'", "2"),
        (
            "select \"__tag__:env\" e, __source__, __topic__, count(*) group by e, __source__, __topic__ order by e",
            "dev | 10.0.0.2 | web | 2\nprod | 10.0.0.1 | web | 2",
        ),
        (
            "select __time__ - __time__ % 60 as t, count(*) as c group by t order by t",
            "1699999980 | 2\n1700000040 | 2",
        ),
        ("with t as (select level l, count(*) c from log group by level) select max(c) from t", "2"),
        (
            "with t(a, b) as (select level, count(*) from log group by level) select a from t where b = 2",
            "info",
        ),
        ("select sum(c) from (select level, count(*) as c from log group by level)", "4"),
        (
            "select a.level, a.c, b.c from (select level, count(*) c from log group by level) a \
          join (select level, count(*) c from log where status < 500 group by level) b on a.level = b.level \
          order by a.level",
            "info | 2 | 2\nwarn | 1 | 1",
        ),
        (
            "select a.level, b.c from (select level, count(*) c from log group by level) a \
          left join (select level, count(*) c from log where status < 500 group by level) b using (level) \
          order by 1",
            "error | null\ninfo | 2\nwarn | 1",
        ),
        ("select level from log where status = (select max(status) from log)", "error"),
        ("select count(*) where level in (select level from log where status >= 500)", "1"),
        (
            "select level from log a where exists (select 1 from log b where b.host = a.host and b.status = 500) order by 1",
            "error\ninfo",
        ),
        (
            "select level from log where status = 500 union select host from log where status = 500 order by 1",
            "a\nerror",
        ),
        ("select 1 as x from log limit 1", "1"),
        (
            "(select level from log where status = 500) union all (select level from log where status = 404) order by level",
            "error\nwarn",
        ),
        ("select level from log intersect select 'info' from log", "info"),
        ("select level from log except select 'info' from log order by 1", "error\nwarn"),
        (
            "select level, row_number() over (partition by level order by __time__) r from log order by __time__",
            "info | 1\ninfo | 2\nerror | 1\nwarn | 1",
        ),
        (
            "select level, rank() over (order by count(*) desc) r, sum(count(*)) over () s group by level order by r, level",
            "info | 1 | 4\nerror | 2 | 4\nwarn | 2 | 4",
        ),
        (
            "select __time__, lag(__time__, 1) over (order by __time__) from log order by 1 limit 2",
            "1700000000 | null\n1700000007 | 1700000000",
        ),
        (
            "select __time__ - lead(__time__, 1, 0) over (order by __time__) from log order by __time__ limit 1",
            "-7",
        ),
        (
            "select case when status >= 500 then 'bad' when status >= 400 then 'odd' else 'good' end k, count(*) \
          group by k order by k",
            "bad | 1\ngood | 2\nodd | 1",
        ),
        ("select case level when 'info' then 1 else 2 end x, count(*) group by x order by x", "1 | 2\n2 | 2"),
        ("set session parallel_sql=true; select count(*)", "4"),
        ("select count(*) as \"my count\", 1 as 'two'; ", "4 | 1"),
        ("-- why\nselect /* what */ count(*) from log", "4"),
        ("select status > 300 as b, count(*) group by b order by b", "false | 2\ntrue | 2"),
        (
            "select x from log cross join unnest(split('p,q', ',')) as t(x) where status = 500 order by x",
            "p\nq",
        ),
        (
            "select k, v from log, unnest(cast(json_parse('{\"a\":1,\"b\":true}') as map(varchar, varchar))) as t(k, v) \
          where status = 500 order by k",
            "a | 1\nb | true",
        ),
        (
            "select x, n from log cross join unnest(array['u', 'w']) with ordinality as t(x, n) where status = 404 order by n",
            "u | 1\nw | 2",
        ),
        (
            "select level as l, lower(level) as level, count(*) as c group by l, level order by c desc limit 1",
            "info | info | 2",
        ),
        (
            "select * from (select level, count(*) from log group by level) order by 2 desc, 1 limit 1",
            "info | 2",
        ),
    ]);
}

#[test]
fn aggregates() {
    check(&[
        (
            "select count_if(status = 200), sum(status), avg(status), min(status), max(status)",
            "2 | 1304 | 326.0 | 200 | 500",
        ),
        ("select sum(latency), avg(latency), min(latency)", "16.0 | 5.333333333333333 | 1.5"),
        ("select sum(latency) where status = 1", "null"),
        ("select count(*), count(host) where status = 1", "0 | 0"),
        ("select max_by(level, __time__), min_by(level, status)", "warn | info"),
        ("select arbitrary(__topic__), approx_distinct(level), count(distinct status)", "web | 3 | 3"),
        ("select approx_percentile(latency, 0.5), approx_percentile(status, 0.99)", "2.5 | 500"),
        ("select approx_percentile(status, array[0.25, 0.75])", "[200,404]"),
        ("select array_agg(level order by __time__)", "[\"info\",\"info\",\"error\",\"warn\"]"),
        ("select histogram(level)", "{\"error\":1,\"info\":2,\"warn\":1}"),
        ("select map_agg(url, status) where status = 404", "{\"/c\":\"404\"}"),
        (
            "select round(stddev(status), 3), round(stddev_pop(status), 3), round(variance(status), 1)",
            "150.678 | 130.491 | 22704.0",
        ),
        ("select bool_and(status > 100), bool_or(status > 400), every(status > 300)", "true | true | false"),
        (
            "select count(*) filter (where level = 'info'), sum(status) filter (where level = 'error')",
            "2 | 500",
        ),
        ("select sum(status) / count(*), sum(status) * 1.0 / count(*)", "326 | 326.0"),
        ("select round(count_if(status >= 400) * 100.0 / count(*), 2)", "50.0"),
        ("select array_join(array_agg(distinct level), ',') from log where level = 'info'", "info"),
        (
            "select level, count(*) * 100 / sum(count(*)) over () p group by level order by p desc, level limit 1",
            "info | 50",
        ),
    ]);
}

#[test]
fn times() {
    check(&[
        ("select from_unixtime(min(__time__))", "2023-11-14 22:13:20.000"),
        ("select from_unixtime(min(__time__), 'Asia/Shanghai')", "2023-11-15 06:13:20.000"),
        ("select to_unixtime(from_unixtime(min(__time__)))", "1700000000.0"),
        (
            "select date_format(from_unixtime(__time__), '%Y-%m-%d %H:%i:%s') t, count(*) group by t order by t limit 1",
            "2023-11-14 22:13:20 | 1",
        ),
        ("select date_format(__time__, '%H:%i') t, count(*) group by t order by t", "22:13 | 2\n22:14 | 2"),
        (
            "select date_trunc('minute', __time__) t, count(*) group by t order by t",
            "2023-11-14 22:13:00.000 | 2\n2023-11-14 22:14:00.000 | 2",
        ),
        (
            "select date_trunc('hour', from_unixtime(__time__)) t, count(1) c group by date_trunc('hour', from_unixtime(__time__))",
            "2023-11-14 22:00:00.000 | 4",
        ),
        (
            "select date_parse('2023-11-14 22:13:20', '%Y-%m-%d %H:%i:%s') from log limit 1",
            "2023-11-14 22:13:20.000",
        ),
        ("select to_unixtime(date_parse('14/Nov/2023', '%d/%b/%Y')) from log limit 1", "1699920000.0"),
        (
            "select date_trunc('week', now()), date_trunc('month', now()), date_trunc('quarter', now()), date_trunc('year', now()) \
          from log limit 1",
            "2023-11-13 00:00:00.000 | 2023-11-01 00:00:00.000 | 2023-10-01 00:00:00.000 | 2023-01-01 00:00:00.000",
        ),
        (
            "select date_add('month', 1, timestamp '2024-01-31 10:00:00'), date_diff('day', date '2024-01-01', date '2024-03-01') \
          from log limit 1",
            "2024-02-29 10:00:00.000 | 60",
        ),
        (
            "select date_diff('month', '2024-01-31', '2024-02-29'), date_diff('hour', now(), current_timestamp) from log limit 1",
            "1 | 0",
        ),
        (
            "select current_date, now() - interval '1' day, now() + interval '2' hour from log limit 1",
            "2023-11-14 | 2023-11-13 22:13:20.000 | 2023-11-15 00:13:20.000",
        ),
        ("select count(*) where from_unixtime(__time__) > now() - interval '1' hour", "4"),
        ("select count(*) where from_unixtime(__time__) >= '2023-11-14 22:14:00'", "2"),
        ("select count(*) where __time__ > to_unixtime(now()) + 60", "2"),
        ("select count(*) where date(from_unixtime(__time__)) = current_date", "4"),
        (
            "select year(now()), month(now()), day(now()), hour(now()), minute(now()), second(now()) from log limit 1",
            "2023 | 11 | 14 | 22 | 13 | 20",
        ),
        (
            "select day_of_week(now()), dow(now()), doy(now()), week(now()), quarter(now()), extract(hour from now()) from log limit 1",
            "2 | 2 | 318 | 46 | 4 | 22",
        ),
        (
            "select time_series(__time__, '1m', '%H:%i:%s', '0') as t, count(*) as c group by t order by t",
            "22:13:00 | 2\n22:14:00 | 2",
        ),
        (
            "select format_datetime(now(), 'yyyy-MM-dd''T''HH:mm:ss.SSS'), to_iso8601(now()) from log limit 1",
            "2023-11-14T22:13:20.000 | 2023-11-14T22:13:20.000Z",
        ),
        (
            "select cast('2023-11-14' as timestamp), cast(now() as date), cast(now() as varchar) from log limit 1",
            "2023-11-14 00:00:00.000 | 2023-11-14 | 2023-11-14 22:13:20.000",
        ),
        (
            "select from_iso8601_timestamp('2023-11-15T06:13:20+08:00'), date_format(now(), '%W %M %e %b %a %p %l %y %j %f') from log limit 1",
            "2023-11-14 22:13:20.000 | Tuesday November 14 Nov Tue PM 10 23 318 000000",
        ),
        (
            "select date_parse('nonsense', '%Y') is null, date_trunc('day', level) is null from log limit 1",
            "true | true",
        ),
    ]);
}

#[test]
fn texts() {
    check(&[
        (
            "select length('héllo'), lower('ÀB'), upper('àb'), reverse('abc') from log limit 1",
            "5 | àb | ÀB | cba",
        ),
        (
            "select substr('hello', 2), substr('hello', 2, 3), substr('hello', -3), substring('hello', 1, 1) from log limit 1",
            "ello | ell | llo | h",
        ),
        (
            "select strpos('hello', 'l'), strpos('hello', 'z'), position('l', 'hello') is null from log limit 1",
            "3 | 0 | false",
        ),
        (
            "select concat('a', 'b', status), level || '-' || status from log where status = 500",
            "ab500 | error-500",
        ),
        (
            "select split('a,b,c', ','), split('a,b,c', ',', 2), split('a,b', ',')[2] from log limit 1",
            "[\"a\",\"b\",\"c\"] | [\"a\",\"b,c\"] | b",
        ),
        ("select split_part('a,b,c', ',', 2), split_part('a', ',', 2) from log limit 1", "b | null"),
        ("select replace('aXbX', 'X', '-'), replace('aXbX', 'X') from log limit 1", "a-b- | ab"),
        (
            "select trim('  a '), ltrim('  a'), rtrim('a  '), lpad('7', 3, '0'), rpad('ab', 4, 'xy') from log limit 1",
            "a | a | a | 007 | abxy",
        ),
        (
            "select starts_with('abc', 'ab'), ends_with('abc', 'bc'), chr(65), codepoint('A') from log limit 1",
            "true | true | A | 65",
        ),
        ("select regexp_like(level, '^(err|warn)') b, count(*) group by b order by b", "false | 2\ntrue | 2"),
        (
            "select regexp_extract('a12b345', '\\d+'), regexp_extract('a12b345', '(\\d)(\\d+)', 2), regexp_extract('x', '\\d') from log limit 1",
            "12 | 2 | null",
        ),
        (
            "select regexp_extract_all('a12b345', '\\d+'), regexp_replace('a12b3', '\\d+', '#'), regexp_replace('a12', '(\\d)', '<$1>') from log limit 1",
            "[\"12\",\"345\"] | a#b# | a<1><2>",
        ),
        (
            "select url_extract_path(url), url_extract_parameter(url, 'y'), url_extract_query(url) from log order by __time__ limit 1",
            "/a | b c | x=1&y=b c",
        ),
        (
            "select url_extract_host('https://u@h.com:8080/p?q#f'), url_extract_port('https://h.com:8080/'), url_extract_protocol('https://h'), \
          url_extract_fragment('https://h/p#f') from log limit 1",
            "h.com | 8080 | https | f",
        ),
        ("select url_decode('a%20b+c'), url_encode('a b/ü') from log limit 1", "a b c | a+b%2F%C3%BC"),
        (
            "select md5('a'), sha1('a'), to_base64('hi'), from_base64('aGk=') from log limit 1",
            "0cc175b9c0f1b6a831c399e269772661 | 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8 | aGk= | hi",
        ),
        (
            "select sha256('a') from log limit 1",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        (
            "select levenshtein_distance('kitten', 'sitting'), length(status) from log where status = 500",
            "3 | 3",
        ),
    ]);
}

#[test]
fn json_arrays_and_maps() {
    check(&[
        (
            "select json_extract('{\"a\":{\"b\":[1,\"x\"]}}', '$.a.b'), json_extract_scalar('{\"a\":{\"b\":[1,\"x\"]}}', '$.a.b[1]') from log limit 1",
            "[1,\"x\"] | x",
        ),
        (
            "select json_extract_scalar('{\"a\":7}', '$.a') + 1, json_extract_scalar('{\"a\":true}', '$.a') from log limit 1",
            "8 | true",
        ),
        (
            "select json_extract_scalar('{\"a b\":\"z\"}', '$[\"a b\"]'), json_extract_scalar('broken', '$.a') from log limit 1",
            "z | null",
        ),
        (
            "select json_parse('[1, 2]'), json_format(json_parse('{\"a\": 1}')), json_array_length('[1,2,3]') from log limit 1",
            "[1,2] | {\"a\":1} | 3",
        ),
        (
            "select json_array_contains('[1,2]', 2), json_array_contains('[\"a\"]', 'b'), json_size('{\"a\":[1,2]}', '$.a') from log limit 1",
            "true | false | 2",
        ),
        (
            "select cast(json_extract('{\"n\":\"5\"}', '$.n') as varchar), cast(json_extract_scalar('{\"n\":\"5\"}', '$.n') as bigint) from log limit 1",
            "\"5\" | 5",
        ),
        (
            "select element_at(array[1, 2, 3], 2), array[1,2][1], element_at(json_parse('{\"k\":\"v\"}'), 'k') from log limit 1",
            "2 | 1 | v",
        ),
        (
            "select cardinality(array['a', 'b']), contains(array[1, 2], 3), contains(split('a,b', ','), 'b') from log limit 1",
            "2 | false | true",
        ),
        (
            "select array_distinct(array[1,1,2]), array_sort(array[3,1,2]), array_max(array[1,3]), array_min(array[1,3]), array_position(array['x','y'], 'y') from log limit 1",
            "[1,2] | [1,2,3] | 3 | 1 | 2",
        ),
        (
            "select map_keys(json_parse('{\"a\":1}')), map_values(json_parse('{\"a\":1}')), split_to_map('a=1,b=2', ',', '=')['b'] from log limit 1",
            "[\"a\"] | [1] | 2",
        ),
        (
            "select json_array_get('[1,2]', 0), json_extract_long('{\"a\":\"12\"}', '$.a') + 1 from log limit 1",
            "1 | 13",
        ),
    ]);
}

#[test]
fn conditions_and_numbers() {
    check(&[
        ("select if(status > 300, 'bad', 'good') k, count(*) group by k order by k", "bad | 2\ngood | 2"),
        ("select if(status > 300, 1) k, count(*) group by k order by k", "1 | 2\nnull | 2"),
        ("select coalesce(host, 'none') h, count(*) group by h order by h", "a | 2\nb | 1\nnone | 1"),
        ("select nullif(level, 'info') l, count(*) group by l order by l", "error | 1\nwarn | 1\nnull | 2"),
        (
            "select try(cast('x' as bigint)), try_cast('x' as double), try_cast('7' as bigint), cast('1.5' as double) from log limit 1",
            "null | null | 7 | 1.5",
        ),
        (
            "select cast(2.5 as bigint), cast(status as bigint) + 1, cast(status as varchar) || '!', cast('true' as boolean) from log where status = 500",
            "3 | 501 | 500! | true",
        ),
        (
            "select greatest(1, 3, 2), least(1, 3, 2), greatest(latency, 5) from log where status = 500",
            "3 | 1 | 12",
        ),
        (
            "select round(2.5), round(2.345, 2), round(7), floor(1.5), ceil(1.2), ceiling(1.2), truncate(-1.7), abs(-3) from log limit 1",
            "3.0 | 2.35 | 7 | 1.0 | 2.0 | 2.0 | -1.0 | 3",
        ),
        (
            "select mod(7, 3), 7 % 3, 7.5 % 2, power(2, 10), sqrt(16), ln(e()), log10(1000), log2(8), log(2, 8), sign(-2) from log limit 1",
            "1 | 1 | 1.5 | 1024.0 | 4.0 | 1.0 | 3.0 | 3.0 | 3.0 | -1",
        ),
        (
            "select 7 / 2, 7 / 2.0, status / 3, 1 / 0, -(-1) from log where status = 500",
            "3 | 3.5 | 166 | null | 1",
        ),
        (
            "select bitwise_and(6, 3), bitwise_or(6, 3), bitwise_xor(6, 3), to_base(255, 16), from_base('ff', 16) from log limit 1",
            "2 | 7 | 5 | ff | 255",
        ),
        ("select rand() < 1, random(10) < 10, pi() > 3 from log limit 1", "true | true | true"),
        (
            "select is_ip('10.0.0.1'), is_ip('x'), ip_prefix('10.1.2.3', 8), is_subnet_of('10.0.0.0/8', '10.1.1.1'), ip_to_domain('10.0.0.1') from log limit 1",
            "true | false | 10.0.0.0/8 | true | intranet",
        ),
        (
            "select ip_subnet_min('10.1.2.0/24'), ip_subnet_max('10.1.2.0/24'), typeof(1), typeof(now()) from log limit 1",
            "10.1.2.0 | 10.1.2.255 | bigint | timestamp",
        ),
        (
            "select latency is null, host is not null, level is distinct from 'info' from log where status = 404",
            "false | false | true",
        ),
        (
            "select true and null, null or true, not false, true is true from log limit 1",
            "null | true | true | true",
        ),
        (
            "select 1.0 / 3, 1e3, .5, 9223372036854775807 from log limit 1",
            "0.3333333333333333 | 1000.0 | 0.5 | 9223372036854775807",
        ),
    ]);
}

#[test]
fn an_index_gives_types() {
    let kinds =
        [("level", Kind::Text), ("status", Kind::Long), ("latency", Kind::Double), ("payload", Kind::Json)];
    let fields = Fields(kinds.map(|(name, kind)| (name.to_owned(), kind)).into());
    let table = run_over(
        ACCESS,
        "select status, avg(latency) a, level from log group by status, level order by status",
        Some(&fields),
        true,
    );
    let table = table.unwrap();
    assert_eq!(table.columns, ["status", "a", "level"]);
    assert_eq!(table.types, ["bigint", "double", "varchar"]);
    assert_eq!(rows(&table), ["200 | 2.0 | info", "404 | null | warn", "500 | 12.0 | error"]);
    let table = run_over(ACCESS, "select * from log limit 1", Some(&fields), true).unwrap();
    assert_eq!(
        table.columns,
        ["__time__", "__source__", "__topic__", "level", "status", "latency", "payload"]
    );
    let table =
        run_over(ACCESS, "select STATUS from log order by status desc limit 1", Some(&fields), true).unwrap();
    assert_eq!(rows(&table), ["500"]);
}

#[test]
fn names_types_and_the_default_limit() {
    let table = run_over(
        ACCESS,
        "select level, count(1), avg(status), max(level), status > 1 from log group by 1, 5",
        None,
        true,
    )
    .unwrap();
    assert_eq!(table.columns, ["level", "_col1", "_col2", "_col3", "_col4"]);
    assert_eq!(table.types, ["varchar", "bigint", "double", "varchar", "boolean"]);
    let many: String = (0..150).map(|number| format!("n={number}\n")).collect();
    let table = run_over(&many, "select n from log order by n", None, true).unwrap();
    assert_eq!((table.rows.len(), table.cut), (100, true));
    assert_eq!(table.types, ["varchar"]);
    let table = run_over(&many, "select n from log order by n limit 120", None, true).unwrap();
    assert_eq!((table.rows.len(), table.cut, table.rows[11][0].as_deref()), (120, false, Some("11")));
    let table = run_over("b=1 a=2", "select * from log", None, true).unwrap();
    assert_eq!(table.columns, ["__time__", "__source__", "__topic__", "b", "a"]);
}
