//! Writing beside PutLogs, metric stores, and lists of what is not here.

use serde_json::{Value, json};

use super::harness::{Call, NOW, Service, group};
use crate::wire::compress::Kind;

async fn all(service: &Service) -> Vec<Value> {
    let found = service.get_logs(json!({ "from": 0, "to": 4_000_000_000_u32 })).await.json();
    found["data"].as_array().unwrap().clone()
}

/// A request without a signature.
async fn unsigned(service: &Service, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = service
        .http
        .request(method, format!("{}{path}", service.base))
        .header("host", "demo-project.sls.local");
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn browsers_write_where_they_may() {
    let service = Service::start().await;
    let document = json!({ "__topic__": "t", "__source__": "s", "__tags__": { "env": "dev" }, "__logs__": [{ "k": "v" }, { "k": "w", "__time__": "1700000000" }] });
    let path = "/logstores/app-log/track";
    let (status, text) = unsigned(&service, "POST", path, Some(document.clone())).await;
    assert!(status == 401 && text.contains("Unauthorized"), "{text}");
    assert_eq!(unsigned(&service, "GET", "/logstores/no-such/track?k=v", None).await.0, 404);
    let update = json!({ "logstoreName": "app-log", "ttl": 30, "shardCount": 2, "enable_tracking": true });
    assert_eq!(service.outcome(Call::new("PUT", "/logstores/app-log").json(update)).await, "200");

    assert_eq!(unsigned(&service, "POST", path, Some(document)).await, (200, String::new()));
    assert_eq!(
        unsigned(&service, "GET", &format!("{path}?APIVersion=0.6.0&k=a+b&__topic__=g"), None).await.0,
        200
    );
    assert_eq!(unsigned(&service, "OPTIONS", path, None).await.0, 200);
    assert_eq!(unsigned(&service, "DELETE", path, None).await.0, 405);
    assert_eq!(unsigned(&service, "POST", path, Some(json!({}))).await.0, 400);
    // Nothing else is open.
    assert_eq!(unsigned(&service, "POST", "/logstores/app-log/logs", Some(json!({}))).await.0, 400);
    let rows = all(&service).await;
    let of = |row: &Value| {
        ["__time__", "__topic__", "__source__", "__tag__:env", "k"]
            .map(|name| row[name].as_str().unwrap_or("-").to_owned())
    };
    let mut found: Vec<_> = rows.iter().map(of).collect();
    found.sort();
    let now = NOW.to_string();
    assert_eq!(
        found,
        [
            ["1700000000", "t", "s", "dev", "w"],
            [now.as_str(), "g", "127.0.0.1", "-", "a b"],
            [now.as_str(), "t", "s", "dev", "v"],
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn logs_may_be_json() {
    let service = Service::start().await;
    let document = json!({ "__topic__": "t", "__source__": "", "__logs__": [{ "__time__": 1_700_000_000, "n": 5 }], "__tags__": {} });
    for path in ["/logstores/app-log", "/logstores/app-log/shards/lb"] {
        assert_eq!(service.outcome(Call::new("POST", path).json(document.clone())).await, "200");
        assert_eq!(service.outcome(Call::new("POST", path).json(json!([]))).await, "400 PostBodyInvalid");
    }
    let mut packed = Vec::new();
    let text = document.to_string().into_bytes();
    crate::wire::compress::compress(Kind::Lz4, &text, &mut packed).unwrap();
    let call = Call::new("POST", "/logstores/app-log").body("application/json", packed);
    let call = call.set("x-log-compresstype", "lz4").set("x-log-bodyrawsize", &text.len().to_string());
    assert_eq!(service.outcome(call).await, "200");
    let rows = all(&service).await;
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["n"] == "5" && row["__source__"] == "127.0.0.1"));
    service.stop().await;
}

#[tokio::test]
async fn metric_stores_are_logstores() {
    let service = Service::start().await;
    let create = json!({ "name": "metrics", "ttl": 7, "shardCount": 2, "metricType": "prometheus" });
    assert_eq!(service.outcome(Call::new("POST", "/metricstores").json(create)).await, "200");
    let keys = json!({ "name": "prom", "ttl": 7, "sortedKeyCount": 2, "timeIndex": 2, "keys": [] });
    assert_eq!(
        service.outcome(Call::new("POST", "/logstores/metrics/substores").json(keys.clone())).await,
        "200"
    );
    let get = async |path: &str| service.call(Call::new("GET", path)).await.json();
    assert_eq!(get("/metricstores/metrics").await["ttl"], 7);
    assert_eq!(get("/metricstores").await["metricstores"], json!(["metrics"]));
    assert_eq!(get("/logstores/metrics").await["telemetryType"], "Metrics");
    assert_eq!(get("/logstores/metrics/substores").await["substores"], json!(["prom"]));
    assert_eq!(get("/logstores/app-log/substores").await["substores"], json!([]));
    assert_eq!(get("/logstores/metrics/substores/prom").await["keys"][3]["type"], "double");
    assert_eq!(get("/logstores/metrics/substores/storage/ttl").await["ttl"], 7);
    let mut ttl = Call::new("PUT", "/logstores/metrics/substores/storage/ttl");
    ttl.query = vec![("ttl", "9")];
    assert_eq!(service.outcome(ttl).await, "200");
    assert_eq!(get("/metricstores/metrics").await["ttl"], 9);
    assert_eq!(service.outcome(Call::new("DELETE", "/logstores/metrics/substores/prom")).await, "200");
    assert_eq!(
        service.outcome(Call::new("GET", "/logstores/metrics/substores/other")).await,
        "400 NotSupported"
    );
    assert_eq!(
        service.outcome(Call::new("POST", "/logstores/app-log/substores").json(keys)).await,
        "400 ParameterInvalid"
    );
    assert_eq!(service.outcome(Call::new("GET", "/metricstores/app-log")).await, "400 ParameterInvalid");

    let mut write = Call::put(&group(&[1_700_000_000], "AB-0"), Kind::Lz4);
    write.path = "/prometheus/demo-project/metrics/api/v1/write";
    assert_eq!(service.outcome(write).await, "200");
    assert_eq!(service.outcome(Call::new("DELETE", "/metricstores/metrics")).await, "200");
    assert_eq!(service.outcome(Call::new("GET", "/logstores/metrics")).await, "404 LogStoreNotExist");
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_here_is_said_so() {
    let service = Service::start().await;
    for (path, items) in [
        ("/dashboards", "dashboards"),
        ("/savedsearches", "savedsearches"),
        ("/jobs", "results"),
        ("/alerts", "alerts"),
        ("/externalstores", "externalstores"),
    ] {
        let mut call = Call::new("GET", path);
        call.query = vec![("offset", "0"), ("size", "100")];
        assert_eq!(service.call(call).await.json(), json!({ "count": 0, "total": 0, items: [] }));
        assert_eq!(service.outcome(Call::new("POST", path).json(json!({}))).await, "501 NotImplemented");
    }
    let mut tags = Call::new("GET", "/tags");
    tags.query =
        vec![("resourceType", "project"), ("resourceId", "[\"p\"]"), ("tags", "[]"), ("nextToken", "")];
    tags.host = "sls.localhost";
    assert_eq!(service.call(tags).await.json(), json!({ "nextToken": "", "tagResources": [] }));
    for path in ["/tag", "/untag"] {
        assert_eq!(service.outcome(Call::new("POST", path).json(json!({ "tags": [] }))).await, "200");
    }
    let mode = service.call(Call::new("GET", "/logstores/app-log/meteringmode")).await.json();
    assert_eq!(mode["meteringMode"], "ChargeByFunction");
    assert_eq!(service.outcome(Call::new("PUT", "/logstores/app-log/meteringmode").json(mode)).await, "200");
    assert_eq!(
        service.outcome(Call::new("POST", "/logstores/app-log/modification").json(json!({}))).await,
        "501 NotImplemented"
    );
    for (method, path) in [("GET", "/scheduledqueries"), ("GET", "/no/such"), ("POST", "/dashboards/d")] {
        assert_eq!(service.outcome(Call::new(method, path)).await, "501 NotImplemented", "{path}");
    }
    service.stop().await;
}

/// Forms of one search, sent as they are: booleans, spaces, empty values.
#[tokio::test]
async fn parameters_of_all_spellings_are_understood() {
    let service = Service::start().await;
    assert_eq!(service.outcome(Call::put(&group(&[1_700_000_000], "AB-0"), Kind::Lz4)).await, "200");
    let signed = |extra: &[(&'static str, &'static str)]| {
        let mut call = Call::new("GET", "/logstores/app-log");
        call.query =
            [("type", "log"), ("from", "1700000000"), ("to", "1700000060"), ("query", "level: info")]
                .to_vec();
        call.query.extend(extra);
        call
    };
    for extra in [
        vec![("reverse", "True"), ("accurate", "False"), ("powerSql", "false"), ("topic", "")],
        vec![("reverse", "false"), ("line", "10"), ("offset", "0"), ("fromNs", "0"), ("toNs", "0")],
        vec![("topic", "web"), ("highlight", "true"), ("session", "mode=scan"), ("forward", "true")],
    ] {
        let reply = service.call(signed(&extra)).await;
        assert_eq!(reply.json().as_array().map(Vec::len), Some(1), "{extra:?}");
        let info: Value = serde_json::from_str(reply.header("x-log-query-info")).unwrap();
        assert_eq!(
            (&info["keys"], &info["terms"], &info["mode"]),
            (&json!(["level", "msg"]), &json!([["info", "level"]]), &json!(0))
        );
    }
    assert_eq!(service.outcome(signed(&[("reverse", "yes")])).await, "400 InvalidReverse");
    service.stop().await;
}

#[tokio::test]
async fn who_need_not_sign_holds_nobody_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let service = Service::start().await;
    let update = json!({ "logstoreName": "app-log", "ttl": 30, "shardCount": 2, "enable_tracking": true });
    assert_eq!(service.outcome(Call::new("PUT", "/logstores/app-log").json(update)).await, "200");
    let path = "/logstores/app-log/track";
    let much = json!({ "__logs__": [{ "k": "v".repeat(4 << 20) }] });
    let (status, text) = unsigned(&service, "POST", path, Some(much)).await;
    assert!(status == 413 && text.contains("must little than 3145728"), "{status} {text}");

    // Bodies that are announced and never come.
    let address = service.base.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..12 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: demo-project.sls.local\r\ncontent-length: 3000000\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // The service asks for the first ones' bodies, and the others wait for the part of the memory that is theirs.
    for stream in &mut slow[..2] {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
    }
    let raw = group(&[NOW as u32], "");
    assert_eq!(service.outcome(Call::put(&raw, Kind::Lz4)).await, "200");
    drop(slow);
    service.stop().await;
}
