//! The API over a real socket: what works, and every way to be refused.

mod auth;
mod beside;
mod collection;
mod harness;
mod lists;
mod pulls;
mod queries;

use serde_json::{Value, json};

use crate::wire::compress::{Kind, decompress};
use crate::wire::sign::{authorization_v1, content_md5};
use harness::{Call, DATE, Service, group};

#[tokio::test]
async fn what_is_put_is_found() {
    let service = Service::start().await;
    for (number, kind) in [Kind::Lz4, Kind::Zstd, Kind::Deflate, Kind::None].into_iter().enumerate() {
        let raw = group(&[1_700_000_000 + number as u32, 1_700_000_010], &format!("AB-{number:X}"));
        let reply = service.call(Call::put(&raw, kind)).await;
        assert_eq!((reply.outcome().as_str(), reply.body.len()), ("200", 0), "{kind:?}");
    }
    let range = json!({ "from": 1_700_000_000, "to": 1_700_000_060, "query": "*", "line": 10 });
    let all = service.get_logs(range.clone()).await.json();
    assert_eq!(all["meta"]["count"], 8);
    assert_eq!(all["meta"]["progress"], "Complete");
    assert_eq!(
        all["data"][0],
        json!({ "__time__": "1700000000", "__source__": "10.0.0.9", "__topic__": "web", "__tag__:env": "dev",
                "level": "info", "msg": "hello number 0 of AB-0" })
    );
    let messages = |reply: &Value| -> Vec<String> {
        reply["data"].as_array().unwrap().iter().map(|row| row["msg"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(messages(&all)[4..], (0..4).map(|n| format!("hello number 1 of AB-{n}")).collect::<Vec<_>>());

    let mut ask = range.clone();
    ask["query"] = json!("level: ERROR and not ab-2");
    ask["reverse"] = json!(true);
    ask["offset"] = json!(1);
    let some = service.get_logs(ask).await.json();
    assert_eq!(messages(&some), ["hello number 1 of AB-1", "hello number 1 of AB-0"]);
    assert_eq!(some["meta"]["terms"][0], json!({ "key": "level", "term": "ERROR" }));

    let packed = service
        .call(Call::new("POST", "/logstores/app-log/logs").json(range).set("accept-encoding", "lz4"))
        .await;
    assert_eq!(packed.header("x-log-compresstype"), "lz4");
    let (size, mut raw) = (packed.header("x-log-bodyrawsize").parse().unwrap(), Vec::new());
    decompress(Kind::Lz4, &packed.body, size, 1 << 20, &mut raw).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&raw).unwrap()["data"], all["data"]);

    let mut old = Call::new("GET", "/logstores/app-log");
    old.query = vec![
        ("type", "log"),
        ("from", "1700000000"),
        ("to", "1700000060"),
        ("query", "hello and level: info"),
        ("reverse", "False"),
        ("topic", ""),
        ("powerSql", "False"),
    ];
    let old = service.call(old).await;
    assert_eq!(old.json().as_array().unwrap().len(), 4);
    assert_eq!((old.header("x-log-progress"), old.header("x-log-count")), ("Complete", "4"));
    service.stop().await;
}

#[tokio::test]
async fn projects_and_logstores_are_made_listed_changed_and_deleted() {
    let service = Service::start().await;
    let other = "other-project.sls.local";
    let with_host = |mut call: Call<'static>| {
        call.host = other;
        call
    };
    let mut create =
        Call::new("POST", "/").json(json!({ "projectName": "other-project", "description": "d" }));
    create.host = "127.0.0.1";
    assert_eq!(service.outcome(create).await, "200");
    let again = Call::new("POST", "/").json(json!({ "projectName": "other-project" }));
    assert_eq!(service.outcome(with_host(again)).await, "400 ProjectAlreadyExist");
    let project = service.call(with_host(Call::new("GET", "/"))).await.json();
    assert_eq!((&project["projectName"], &project["description"]), (&json!("other-project"), &json!("d")));
    assert_eq!(project["createTime"].as_str().unwrap().len(), 19);

    let mut list = Call::new("GET", "/");
    list.host = "cn-local.log.local";
    list.query = vec![("offset", "0"), ("size", "1"), ("resourceGroupId", "")];
    let list = service.call(list).await.json();
    assert_eq!((&list["count"], &list["total"]), (&json!(1), &json!(2)));
    assert_eq!(list["projects"][0]["dataRedundancyType"], "LRS");

    let sent = json!({ "logstoreName": "web-log", "ttl": 7, "shardCount": 2, "enable_tracking": false,
        "autoSplit": true, "maxSplitShard": 64, "appendMeta": false, "telemetryType": "" });
    assert_eq!(service.outcome(with_host(Call::new("POST", "/logstores").json(sent.clone()))).await, "200");
    let again = Call::new("POST", "/logstores").json(sent);
    assert_eq!(service.outcome(with_host(again)).await, "400 LogStoreAlreadyExist");
    for (name, ttl, expected) in [("UPPER", 7, "LogStoreInfoInvalid"), ("fine", 0, "LogStoreInfoInvalid")] {
        let bad = Call::new("POST", "/logstores").json(json!({ "logstoreName": name, "ttl": ttl }));
        assert_eq!(service.outcome(with_host(bad)).await, format!("400 {expected}"));
    }
    let change = Call::new("PUT", "/logstores/web-log").json(json!({ "ttl": 90, "shardCount": 9 }));
    assert_eq!(service.outcome(with_host(change)).await, "200");
    let logstore = service.call(with_host(Call::new("GET", "/logstores/web-log"))).await.json();
    assert_eq!((&logstore["ttl"], &logstore["shardCount"]), (&json!(90), &json!(2)));
    assert_eq!(logstore["logstoreName"], "web-log");
    let names = service.call(with_host(Call::new("GET", "/logstores"))).await.json();
    assert_eq!(names, json!({ "count": 1, "total": 1, "logstores": ["web-log"] }));

    let index = Call::new("GET", "/logstores/web-log/index");
    assert_eq!(service.outcome(with_host(index)).await, "400 IndexConfigNotExist");
    assert_eq!(service.outcome(with_host(Call::new("DELETE", "/logstores/web-log"))).await, "200");
    assert_eq!(
        service.outcome(with_host(Call::new("GET", "/logstores/web-log"))).await,
        "404 LogStoreNotExist"
    );
    assert_eq!(service.outcome(with_host(Call::new("DELETE", "/"))).await, "200");
    assert_eq!(service.outcome(with_host(Call::new("GET", "/"))).await, "404 ProjectNotExist");
    let bad = Call::new("POST", "/").json(json!({ "projectName": "No" }));
    assert_eq!(service.outcome(bad).await, "400 ParameterInvalid");
    service.stop().await;
}

#[tokio::test]
async fn who_is_not_the_owner_of_the_key_is_refused() {
    let service = Service::start().await;
    let get = || Call::new("GET", "/logstores");
    assert_eq!(service.outcome(get()).await, "200");
    let mut call = get();
    call.secret = Some("guessed");
    assert_eq!(service.outcome(call).await, "401 SignatureNotMatch");
    let mut call = get();
    call.key_id = Some("somebody");
    assert_eq!(service.outcome(call).await, "401 Unauthorized");
    let mut call = get();
    call.after = |headers| headers.retain(|(name, _)| *name != "authorization");
    assert_eq!(service.outcome(call).await, "400 MissingParameter");
    let mut call = get();
    call.after = |headers| headers.push(("x-log-added", "after signing".into()));
    assert_eq!(service.outcome(call).await, "401 SignatureNotMatch");
    // Added after signing by the vendor's own clients, and only for the clock.
    let mut call = get();
    call.after = |headers| headers.push(("x-log-date", DATE.into()));
    assert_eq!(service.outcome(call).await, "200");

    assert_eq!(
        service.outcome(get().set("date", "Tue, 14 Nov 2023 21:59:00 GMT")).await,
        "400 RequestTimeExpired"
    );
    assert_eq!(
        service.outcome(get().set("date", "Tue, 14 Nov 2023 22:31:00 GMT")).await,
        "400 RequestTimeExpired"
    );
    assert_eq!(service.outcome(get().set("date", "yesterday")).await, "400 InvalidDateFormat");
    assert_eq!(service.outcome(get().without("date")).await, "400 MissingDate");
    assert_eq!(
        service.outcome(get().set("x-log-signaturemethod", "hmac-md5")).await,
        "400 InvalidSignatureMethod"
    );
    service.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_whole() {
    let service = Service::start().await;
    let raw = group(&[1_700_000_000], "AB-0");
    let put = |kind| Call::put(&raw, kind);
    assert_eq!(
        service.outcome(put(Kind::Lz4).set("content-md5", &"0".repeat(32))).await,
        "400 PostBodyInvalid"
    );
    assert_eq!(service.outcome(put(Kind::Lz4).without("content-md5")).await, "400 MissingParameter");
    for kind in [Kind::Lz4, Kind::Zstd, Kind::Deflate] {
        for wrong in [raw.len() - 1, raw.len() + 1] {
            let call = put(kind).set("x-log-bodyrawsize", &wrong.to_string());
            assert_eq!(service.outcome(call).await, "400 PostBodyUncompressError", "{kind:?}");
        }
    }
    let call = put(Kind::Lz4).set("x-log-bodyrawsize", "10485761");
    assert_eq!(service.outcome(call).await, "413 PostBodyTooLarge");
    assert_eq!(
        service.outcome(put(Kind::Lz4).set("x-log-bodyrawsize", "many")).await,
        "400 InvalidBodyRawSize"
    );
    assert_eq!(service.outcome(put(Kind::Lz4).without("x-log-bodyrawsize")).await, "400 MissingBodyRawSize");
    assert_eq!(
        service.outcome(put(Kind::Lz4).set("x-log-compresstype", "br")).await,
        "400 InvalidCompressType"
    );
    assert_eq!(service.outcome(put(Kind::None).set("x-log-bodyrawsize", "0")).await, "200");
    let call = put(Kind::None).set("content-type", "text/plain");
    assert_eq!(service.outcome(call).await, "400 InvalidContentType");
    assert_eq!(service.outcome(Call::put(b"no protobuf at all", Kind::Lz4)).await, "400 PostBodyInvalid");
    assert_eq!(service.outcome(Call::put(b"", Kind::None)).await, "200");

    // Too large as it is sent: the whole body is taken in, so that the client hears the reason.
    let huge = vec![7u8; 11 << 20];
    assert_eq!(service.outcome(Call::put(&huge, Kind::None)).await, "413 PostBodyTooLarge");
    let huge = vec![7u8; (10 << 20) + 1];
    assert_eq!(service.outcome(Call::put(&huge, Kind::None)).await, "413 PostBodyTooLarge");

    let mut call = put(Kind::Lz4);
    call.path = "/logstores/no-such/shards/lb";
    assert_eq!(service.outcome(call).await, "404 LogStoreNotExist");
    let mut call = put(Kind::Lz4);
    call.host = "no-such.sls.local";
    assert_eq!(service.outcome(call).await, "404 ProjectNotExist");
    let mut call = put(Kind::Lz4);
    call.path = "/logstores/app-log/shards/route";
    assert_eq!(service.outcome(call).await, "400 MissingParameter");
    for (key, expected) in [("14d2f850ad6ea48e46e4547edbbb27e0", "200"), ("xyz", "400 ParameterInvalid")] {
        let mut call = put(Kind::Lz4);
        call.path = "/logstores/app-log/shards/route";
        call.query = vec![("key", key)];
        assert_eq!(service.outcome(call).await, expected);
    }
    let found = service.get_logs(json!({ "from": 0, "to": 2_000_000_000 })).await.json();
    assert_eq!(found["meta"]["count"], 2, "of all these requests two with a log were accepted");
    service.stop().await;
}

#[tokio::test]
async fn bad_searches_say_what_is_wrong() {
    let service = Service::start().await;
    let ask = |field: &str, value: Value| {
        let mut ask = json!({ "from": 1, "to": 2, "query": "*" });
        ask[field] = value;
        ask
    };
    for (field, value, expected) in [
        ("from", json!(2), "400 InvalidTimeRange"),
        ("from", json!("yesterday"), "400 ParameterInvalid"),
        ("from", Value::Null, "400 MissingParameter"),
        ("line", json!(101), "400 InvalidLine"),
        ("line", json!(-1), "400 InvalidLine"),
        ("offset", json!(-1), "400 InvalidOffset"),
        ("query", json!("(a"), "400 InvalidQueryString"),
        ("query", json!("* | select cuont(1)"), "400 ParameterInvalid"),
        ("line", json!(0), "200"),
    ] {
        assert_eq!(service.get_logs(ask(field, value.clone())).await.outcome(), expected, "{field} {value}");
    }
    for (method, path, expected) in [
        ("GET", "/logstores/app-log/other", "501 NotImplemented"),
        ("GET", "/scheduledqueries", "501 NotImplemented"),
        ("PATCH", "/logstores", "405 InvalidMethod"),
        ("GET", "/logstores/app-log/logs", "405 InvalidMethod"),
    ] {
        assert_eq!(service.outcome(Call::new(method, path)).await, expected, "{method} {path}");
    }
    service.stop().await;
}

/// As the vendor's Python SDK sends it.
fn recorded_index() -> Value {
    json!({
        "line": { "token": [",", " ", ";", "="], "caseSensitive": false, "auto_text_keys": [], "chn": false,
                  "auto_key_detect": false },
        "keys": {
            "level": { "type": "text", "token": [" ", ","], "caseSensitive": false, "doc_value": true },
            "latency": { "type": "double", "doc_value": true },
            "payload": { "type": "json", "token": [" "], "caseSensitive": false, "doc_value": true, "index_all": true,
                         "max_depth": -1, "json_keys": { "status": { "type": "long", "doc_value": true } } },
        },
    })
}

#[tokio::test]
async fn index_configurations_are_made_shown_changed_and_deleted() {
    let service = Service::start().await;
    let path = "/logstores/app-log/index";
    let call = |method: &'static str| Call::new(method, path);
    assert_eq!(service.outcome(call("GET")).await, "400 IndexConfigNotExist");
    assert_eq!(service.outcome(call("PUT").json(recorded_index())).await, "400 IndexConfigNotExist");
    assert_eq!(service.outcome(call("DELETE")).await, "400 IndexConfigNotExist");
    for bad in [json!({}), json!([]), json!({ "keys": { "a": { "type": "int" } } })] {
        assert_eq!(service.outcome(call("POST").json(bad)).await, "400 ParameterInvalid");
    }
    assert_eq!(service.outcome(call("POST").json(recorded_index())).await, "200");
    assert_eq!(service.outcome(call("POST").json(recorded_index())).await, "400 IndexAlreadyExist");
    let mut expected = recorded_index();
    let shown = service.call(call("GET")).await.json();
    for (key, value) in [("index_mode", json!("v2")), ("storage", json!("pg")), ("max_text_len", json!(2048))]
    {
        assert_eq!(shown[key], value);
    }
    assert_eq!(shown["ttl"], 30);
    assert_eq!(shown["line"], expected["line"]);
    // What the Rust SDK wants of each key.
    for name in ["level", "payload"] {
        for part in ["caseSensitive", "chn", "token", "doc_value"] {
            assert!(!shown["keys"][name][part].is_null(), "{name} {part}");
        }
    }
    let put = service.call(Call::put(&group(&[1_700_000_000, 1_700_000_001], "AB-0"), Kind::Lz4)).await;
    assert_eq!(put.outcome(), "200");
    let range = |query: &str| json!({ "from": 1_700_000_000, "to": 1_700_000_060, "query": query });
    assert_eq!(service.get_logs(range("level: info")).await.json()["meta"]["count"], 1);
    expected["keys"]["level"]["caseSensitive"] = json!(true);
    expected["line"]["include_keys"] = json!(["level"]);
    assert_eq!(service.outcome(call("PUT").json(expected)).await, "200");
    assert_eq!(service.get_logs(range("level: INFO")).await.json()["meta"]["count"], 0);
    assert_eq!(service.get_logs(range("level: info")).await.json()["meta"]["count"], 1);
    assert_eq!(service.get_logs(range("hello")).await.json()["meta"]["count"], 0);
    let refused = service.get_logs(range("error and msg: hello")).await;
    assert_eq!(refused.outcome(), "400 InvalidQueryString");
    assert!(refused.json()["errorMessage"].as_str().unwrap().starts_with("character 11: no index covers"));
    assert_eq!(service.outcome(call("DELETE")).await, "200");
    assert_eq!(service.get_logs(range("msg: hello")).await.json()["meta"]["count"], 2);
    assert_eq!(service.outcome(Call::new("GET", "/logstores/no-such/index")).await, "404 LogStoreNotExist");
    assert_eq!(
        service.outcome(Call::new("POST", "/logstores/no-such/index").json(json!({}))).await,
        "404 LogStoreNotExist"
    );
    service.stop().await;
}

/// Forms of requests that no client library of ours writes, sent as they are.
#[tokio::test]
async fn requests_of_all_forms_are_understood() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let service = Service::start().await;
    let address = service.base.strip_prefix("http://").unwrap();
    let (id, secret) = (service.key.id.as_str(), service.key.secret.expose());
    let body = json!({ "from": 1, "to": 2, "line": 10 }).to_string();
    let (half, rest) = body.split_at(10);
    let md5 = content_md5(body.as_bytes());
    let signed = [("Date", DATE), ("Content-Type", "application/json"), ("Content-MD5", &md5)];
    let post = authorization_v1(id, secret, "POST", "/logstores/app-log/logs", &[], &signed);
    let get =
        authorization_v1(id, secret, "GET", "/logstores", &[("offset", "0"), ("size", "100")], &signed[..1]);
    let bare = authorization_v1(
        id,
        secret,
        "GET",
        "/logstores",
        &[],
        &[("Date", DATE), ("X-Log-Project", "demo-project")],
    );
    let requests = [
        // Through a proxy variable: the authority of the target wins over Host.
        format!(
            "GET http://demo-project.cn-local.log.local:80/logstores?offset=0&size=100 HTTP/1.1\r\nHost: x.y.z\r\n\
             Date: {DATE}\r\nAuthorization: {get}\r\nx-log-date: {DATE}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        // No project in the host, but named in a header; an empty query; an empty Content-MD5.
        format!(
            "GET /logstores? HTTP/1.1\r\nhost: 127.0.0.1\r\ndate: {DATE}\r\nx-log-project: demo-project\r\n\
             content-md5:\r\nauthorization: {bare}\r\nconnection: close\r\n\r\n"
        ),
        // In chunks, after a question whether to send.
        format!(
            "POST /logstores/app-log/logs HTTP/1.1\r\nHost: demo-project.sls.local\r\nDate: {DATE}\r\n\
             Content-Type: application/json\r\nContent-MD5: {md5}\r\nAuthorization: {post}\r\n\
             Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             {:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
            half.len(),
            rest.len()
        ),
    ];
    for request in requests {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{request}\n{answer}");
        assert!(answer.contains("app-log") || answer.contains("\"count\":0"), "{answer}");
    }
    service.stop().await;
}

/// Every request recorded from an unmodified client finds its call or is refused as one that comes later.
#[test]
fn recorded_requests_find_their_calls() {
    use super::request::Target;
    let mut known = 0;
    for name in ["python-put", "python-query", "python-store", "cli", "rust", "node"] {
        for line in std::fs::read_to_string(format!("tests/data/sls/{name}.jsonl")).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let mut words = line["request_line"].as_str().unwrap().split(' ');
            let mut request =
                axum::http::Request::builder().method(words.next().unwrap()).uri(words.next().unwrap());
            for pair in line["headers"].as_array().unwrap() {
                request = request.header(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            }
            let target = Target::of(&request.body(()).unwrap().into_parts().0).unwrap();
            match target.call() {
                Ok(_) => known += 1,
                Err(refusal) => assert_eq!(refusal.code(), "NotImplemented", "{line}"),
            }
        }
    }
    assert!(known >= 35, "{known}");
}

#[tokio::test]
async fn a_statement_behind_the_bar_answers_rows_of_columns() {
    let service = Service::start().await;
    let raw = group(&[1_700_000_000, 1_700_000_001, 1_700_000_002], "AB-0");
    assert_eq!(service.outcome(Call::put(&raw, Kind::Lz4)).await, "200");
    let ask = |query: &str| json!({ "from": 1_700_000_000, "to": 1_700_000_060, "query": query });
    let reply = service
        .get_logs(ask("hello | select level, count(1) as c, null as x group by level order by c desc"))
        .await;
    let body = reply.json();
    assert_eq!(
        body["data"],
        json!([{"level": "info", "c": "2", "x": "null"}, {"level": "error", "c": "1", "x": "null"}])
    );
    let meta = &body["meta"];
    assert_eq!(meta["hasSQL"], true);
    assert_eq!(meta["whereQuery"], "hello");
    assert_eq!(meta["aggQuery"], "select level, count(1) as c, null as x group by level order by c desc");
    assert_eq!(meta["keys"], json!(["level", "c", "x"]));
    assert_eq!(meta["columnTypes"], json!(["varchar", "bigint", "varchar"]));
    assert_eq!((&meta["count"], &meta["processedRows"]), (&json!(2), &json!(3)));

    let rows = |reply: harness::Reply| reply.json()["data"].clone();
    let found = service.get_logs(ask("level: info | select min(__time__) t, \"__tag__:env\" e, __source__ s, __topic__ p group by e, s, p")).await;
    assert_eq!(rows(found), json!([{"t": "1700000000", "e": "dev", "s": "10.0.0.9", "p": "web"}]));
    let found = service.get_logs(ask("* | select * from log order by __time__ desc limit 1")).await;
    assert_eq!(
        rows(found),
        json!([{"__time__": "1700000002", "__source__": "10.0.0.9", "__topic__": "web", "level": "info", "msg": "hello number 2 of AB-0"}])
    );
    // The range counts before the statement.
    let found = service
        .get_logs(json!({ "from": 1_700_000_001, "to": 1_700_000_002, "query": "|select count(*) c" }))
        .await;
    assert_eq!(rows(found), json!([{"c": "1"}]));

    let reply = service.get_logs(ask("* | select count(*), coutn(level)")).await;
    assert_eq!(reply.outcome(), "400 ParameterInvalid");
    let message = reply.json()["errorMessage"].as_str().unwrap().to_owned();
    assert_eq!(message, "line 1:18: there is no function coutn; perhaps count is meant");

    let mut call = Call::new("GET", "/logstores/app-log");
    call.query = vec![
        ("from", "1700000000"),
        ("query", "* | select count(1) as c"),
        ("to", "1700000060"),
        ("type", "log"),
    ];
    let reply = service.call(call).await;
    assert_eq!(reply.json(), json!([{"c": "3"}]));
    assert_eq!(reply.header("x-log-has-sql"), "true");
    assert_eq!(reply.header("x-log-agg-query"), "select count(1) as c");
    assert_eq!(reply.header("x-log-where-query"), "*");
    assert_eq!(reply.header("x-log-count"), "1");

    // An index says which fields there are.
    let token = json!([" "]);
    let index = json!({
        "line": { "token": token, "caseSensitive": false },
        "keys": { "level": { "type": "text", "token": token, "caseSensitive": false, "doc_value": true, "alias": "severity" } },
    });
    assert_eq!(service.outcome(Call::new("POST", "/logstores/app-log/index").json(index)).await, "200");
    let found =
        service.get_logs(ask("* | select severity, count(1) c from log group by severity order by c")).await;
    assert_eq!(rows(found), json!([{"severity": "error", "c": "1"}, {"severity": "info", "c": "2"}]));
    let reply = service.get_logs(ask("* | select levle from log")).await;
    let message = reply.json()["errorMessage"].as_str().unwrap().to_owned();
    assert_eq!(message, "line 1:8: there is no column levle; perhaps level is meant");
    service.stop().await;
}
