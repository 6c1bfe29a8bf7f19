//! Histograms, contexts, topics, project logs, and rows with their place.

use serde_json::{Value, json};

use super::harness::{Call, Reply, Service, group};
use crate::wire::compress::Kind;

const AT: u32 = 1_700_000_000;

fn get<'a>(path: &'a str, query: &[(&'a str, &'a str)]) -> Call<'a> {
    Call { query: query.to_vec(), ..Call::new("GET", path) }
}

fn counts(reply: &Reply) -> Vec<u64> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let pieces = reply.json().as_array().unwrap().clone();
    assert!(pieces.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]));
    assert!(pieces.iter().all(|piece| piece["progress"] == "Complete"));
    let counts: Vec<u64> = pieces.iter().map(|piece| piece["count"].as_u64().unwrap()).collect();
    assert_eq!(reply.header("x-log-count"), counts.iter().sum::<u64>().to_string());
    assert_eq!(reply.header("x-log-progress"), "Complete");
    counts
}

#[tokio::test]
async fn histograms_count_what_a_search_finds() {
    let service = Service::start().await;
    // Some packs lie in one piece, one in several.
    for (number, times) in
        [vec![AT, AT], vec![AT + 1, AT + 3, AT + 59], vec![AT + 60], vec![AT + 30; 5]].iter().enumerate()
    {
        let raw = group(times, &format!("AB-{number:X}"));
        assert_eq!(service.outcome(Call::put(&raw, Kind::Lz4)).await, "200");
    }
    let (from, to) = (AT.to_string(), (AT + 60).to_string());
    let ask = |query: &'static str| {
        [
            ("type", "histogram"),
            ("from", from.as_str()),
            ("to", to.as_str()),
            ("query", query),
            ("topic", "web"),
        ]
        .to_vec()
    };
    for path in ["/logstores/app-log", "/logstores/app-log/index"] {
        let all = counts(&service.call(get(path, &ask("*"))).await);
        assert_eq!((all.len(), all[0], all[1], all[3], all[30], all[59]), (60, 2, 1, 1, 5, 1));
        let some = counts(&service.call(get(path, &ask("level: error | select 1"))).await);
        assert_eq!(some.iter().sum::<u64>(), 4);
        let mut wide = ask("*");
        wide.extend([("interval", "30"), ("fromNs", "0"), ("accurate", "True")]);
        // Pieces begin at multiples of their width.
        assert_eq!(counts(&service.call(get(path, &wide)).await), [4, 5, 1]);
        let mut other = ask("*");
        other.retain(|(name, _)| *name != "topic");
        other.push(("topic", "none"));
        assert_eq!(counts(&service.call(get(path, &other)).await).iter().sum::<u64>(), 0);
    }
    for (name, value, expected) in [
        ("to", from.as_str(), "400 InvalidTimeRange"),
        ("interval", "0", "400 ParameterInvalid"),
        ("from", "x", "400 ParameterInvalid"),
        ("query", "(", "400 InvalidQueryString"),
    ] {
        let mut query = ask("*");
        query.retain(|(other, _)| *other != name);
        query.push((name, value));
        assert_eq!(service.outcome(get("/logstores/app-log", &query)).await, expected, "{name}");
    }
    service.stop().await;
}

async fn context(service: &Service, hit: &Value, back: &str, forward: &str) -> Value {
    let text = |name: &str| hit[name].as_str().unwrap().to_owned();
    let (id, meta) = (text("__tag__:__pack_id__"), text("__pack_meta__"));
    let query = [
        ("type", "context_log"),
        ("pack_id", &id),
        ("pack_meta", &meta),
        ("back_lines", back),
        ("forward_lines", forward),
    ];
    let reply = service.call(get("/logstores/app-log", &query)).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[tokio::test]
async fn a_context_goes_over_the_groups_of_one_sender() {
    let service = Service::start().await;
    for id in ["AB-2", "CD-1", "AB-1", "AB-0", "AB-1", "AB-10"] {
        let raw = group(&[AT, AT + 1, AT + 2], id);
        assert_eq!(service.outcome(Call::put(&raw, Kind::Lz4)).await, "200");
    }
    let ask = json!({ "from": AT, "to": AT + 60, "query": "msg: \"number 1 of AB-1\" | with_pack_meta" });
    let found = service.get_logs(ask).await.json();
    assert_eq!(found["meta"]["whereQuery"], "msg: \"number 1 of AB-1\"");
    let hit =
        found["data"].as_array().unwrap().iter().find(|row| row["msg"] == "hello number 1 of AB-1").unwrap();
    let parts: Vec<&str> = hit["__pack_meta__"].as_str().unwrap().split('|').collect();
    assert_eq!((parts.len(), parts[2], parts[3]), (4, "3", "1"));

    let around = context(&service, hit, "3", "5").await;
    let shown: Vec<(String, String)> = around["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["__pack_meta__"].is_string() && row["__tag__:env"] == "dev");
            (row["__index_number__"].as_str().unwrap().to_owned(), row["msg"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("-3", "1 of AB-0"),
        ("-2", "2 of AB-0"),
        ("-1", "0 of AB-1"),
        ("0", "1 of AB-1"),
        ("1", "2 of AB-1"),
        ("2", "0 of AB-2"),
        ("3", "1 of AB-2"),
        ("4", "2 of AB-2"),
        ("5", "0 of AB-10"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(index, msg)| ((*index).to_owned(), format!("hello number {msg}"))).collect();
    assert_eq!(shown, expected);
    assert_eq!(
        (&around["total_lines"], &around["back_lines"], &around["forward_lines"]),
        (&json!(9), &json!(3), &json!(5))
    );
    assert_eq!(around["progress"], "Complete");
    let all = context(&service, hit, "100", "0").await;
    assert_eq!((&all["back_lines"], &all["forward_lines"]), (&json!(4), &json!(0)));

    // Of another sender, or of no log, there is nothing.
    let meta = hit["__pack_meta__"].as_str().unwrap().to_owned();
    for (id, meta) in [("CD-1", meta.as_str()), ("AB-1", "0|MTY5MzU5Njg0MTIwODU1NjgwOQ==|3|1")] {
        let empty =
            context(&service, &json!({ "__tag__:__pack_id__": id, "__pack_meta__": meta }), "1", "1").await;
        assert_eq!((&empty["total_lines"], &empty["logs"]), (&json!(0), &json!([])));
    }
    let base = [("type", "context_log"), ("pack_id", "AB-1"), ("pack_meta", meta.as_str())];
    for (more, expected) in [
        (vec![], "400 ParameterInvalid"),
        (vec![("back_lines", "0"), ("forward_lines", "0")], "400 ParameterInvalid"),
        (vec![("back_lines", "101")], "400 ParameterInvalid"),
        (vec![("back_lines", "-1")], "400 ParameterInvalid"),
    ] {
        let query: Vec<_> = base.iter().copied().chain(more).collect();
        assert_eq!(service.outcome(get("/logstores/app-log", &query)).await, expected);
    }
    let spoilt = [("type", "context_log"), ("pack_id", "AB-1"), ("pack_meta", "x"), ("back_lines", "1")];
    assert_eq!(service.outcome(get("/logstores/app-log", &spoilt)).await, "400 ParameterInvalid");
    assert_eq!(service.outcome(get("/logstores/app-log", &spoilt[..2])).await, "400 MissingParameter");
    service.stop().await;
}

#[tokio::test]
async fn topics_come_in_order_page_by_page() {
    let service = Service::start().await;
    for topic in ["web", "db", "web", "\u{4e16}"] {
        let document = json!({ "__topic__": topic, "__logs__": [{ "a": "1" }] });
        assert_eq!(
            service.outcome(Call::new("POST", "/logstores/app-log/shards/lb").json(document)).await,
            "200"
        );
    }
    let reply = service.call(get("/logstores/app-log", &[("type", "topic")])).await;
    assert_eq!(reply.json(), json!(["db", "web", "\u{4e16}"]));
    assert_eq!((reply.header("x-log-count"), reply.header("x-log-nexttoken")), ("3", ""));
    assert!(reply.headers.contains_key("x-log-nexttoken"));
    let reply =
        service.call(get("/logstores/app-log", &[("type", "topic"), ("line", "1"), ("token", "e")])).await;
    assert_eq!((reply.json(), reply.header("x-log-count")), (json!(["web"]), "1"));
    service.stop().await;
}

#[tokio::test]
async fn a_project_is_asked_by_a_statement_alone() {
    let service = Service::start().await;
    let raw = group(&[AT, AT + 1, AT + 2], "AB-0");
    assert_eq!(service.outcome(Call::put(&raw, Kind::Lz4)).await, "200");
    let sql = "select count(1) as c from \"app-log\" where __time__ > 1700000000";
    let reply = service.call(get("/logs", &[("query", sql), ("powerSql", "False")])).await;
    assert_eq!(reply.json(), json!([{ "c": "2" }]));
    assert_eq!((reply.header("x-log-progress"), reply.header("x-log-has-sql")), ("Complete", "true"));
    assert_eq!(service.outcome(get("/logs", &[])).await, "400 MissingParameter");
    assert_eq!(service.outcome(get("/logs", &[("query", "select 1")])).await, "400 ParameterInvalid");
    assert_eq!(
        service.outcome(get("/logs", &[("query", "select 1 from nowhere")])).await,
        "404 LogStoreNotExist"
    );
    service.stop().await;
}

#[tokio::test]
async fn logs_say_when_they_arrived_where_that_is_wanted() {
    let service = Service::start().await;
    let update = Call::new("PUT", "/logstores/app-log")
        .json(json!({ "logstoreName": "app-log", "ttl": 30, "shardCount": 2, "appendMeta": true }));
    assert_eq!(service.outcome(update).await, "200");
    assert_eq!(service.outcome(Call::put(&group(&[AT], "AB-0"), Kind::Lz4)).await, "200");
    let rows = service
        .get_logs(json!({ "from": AT, "to": AT + 1, "highlight": true, "session": "mode=scan" }))
        .await
        .json();
    let row = &rows["data"][0];
    assert_eq!(row["__tag__:__client_ip__"], "127.0.0.1");
    assert!(row["__tag__:__receive_time__"].as_str().unwrap().parse::<u64>().unwrap() > u64::from(AT));
    assert!(row.get("__pack_meta__").is_none() && row.get("__tag__:__pack_id__").is_none());
    assert_eq!(rows["meta"]["highlights"], json!([]));
    service.stop().await;
}
