//! Shards, cursors, PullLogs and consumer groups over a socket.

use serde_json::{Value, json};

use super::harness::{Call, Service, group};
use crate::wire::compress::{Kind, decompress};

fn get<'a>(path: &'a str, query: &[(&'a str, &'a str)]) -> Call<'a> {
    let mut call = Call::new("GET", path);
    call.query = query.to_vec();
    call
}

#[tokio::test]
async fn what_is_put_is_pulled() {
    let service = Service::start().await;
    let shards = service.call(Call::new("GET", "/logstores/app-log/shards")).await.json();
    assert_eq!(shards[0]["inclusiveBeginKey"], "00000000000000000000000000000000");
    assert_eq!(shards[1]["exclusiveEndKey"], "ffffffffffffffffffffffffffffffff");
    assert_eq!((&shards[0]["status"], shards.as_array().unwrap().len()), (&json!("readwrite"), 2));

    let raw = group(&[1_700_000_000, 1_700_000_010], "AB-0");
    let mut put = Call::put(&raw, Kind::Lz4);
    put.path = "/logstores/app-log/shards/route";
    put.query = vec![("key", "80000000000000000000000000000001")];
    assert_eq!(service.outcome(put).await, "200");

    let path = "/logstores/app-log/shards/1";
    let cursor = service.call(get(path, &[("type", "cursor"), ("from", "begin")])).await.json();
    let cursor = cursor["cursor"].as_str().unwrap().to_owned();
    for (name, kind) in [("lz4", Kind::Lz4), ("zstd", Kind::Zstd), ("", Kind::None)] {
        let mut call = get(path, &[("type", "logs"), ("cursor", &cursor), ("count", "10")]);
        if !name.is_empty() {
            call = call.set("accept-encoding", name);
        }
        let reply = service.call(call).await;
        assert_eq!((reply.outcome().as_str(), reply.header("x-log-count")), ("200", "1"), "{name}");
        assert_eq!(reply.header("content-type"), "application/x-protobuf");
        assert_eq!(reply.header("x-log-end-of-cursor"), "1");
        let (size, mut list) = (reply.header("x-log-bodyrawsize").parse().unwrap(), Vec::new());
        decompress(kind, &reply.body, size, 1 << 20, &mut list).unwrap();
        assert!(list.ends_with(&raw), "the LogGroup as it was put");
        let next = reply.header("x-log-cursor").to_owned();
        let mut call = get(path, &[("type", "log"), ("cursor", &next), ("count", "10")]);
        call = call.set("accept-encoding", "lz4");
        let empty = service.call(call).await;
        assert_eq!((empty.header("x-log-count"), empty.header("x-log-bodyrawsize")), ("0", "0"));
        assert_eq!((empty.header("x-log-cursor"), empty.body.len()), (next.as_str(), 0));
    }
    for (query, outcome) in [
        (vec![("type", "log"), ("cursor", "garbage"), ("count", "1")], "400 InvalidCursor"),
        (vec![("type", "log"), ("count", "1")], "400 MissingParameter"),
        (vec![("type", "log"), ("cursor", cursor.as_str()), ("count", "0")], "400 ParameterInvalid"),
        (vec![("type", "cursor"), ("from", "soon")], "400 ParameterInvalid"),
        (vec![("type", "cursor_time"), ("cursor", cursor.as_str())], "200"),
    ] {
        assert_eq!(service.outcome(get(path, &query)).await, outcome, "{query:?}");
    }
    let other = get("/logstores/app-log/shards/9", &[("type", "cursor"), ("from", "end")]);
    assert_eq!(service.outcome(other).await, "404 ShardNotExist");

    let mut split = Call::new("POST", path);
    split.query = vec![("action", "split"), ("key", "c0000000000000000000000000000000")];
    let made = service.call(split).await.json();
    assert_eq!(made.as_array().unwrap().len(), 3);
    assert_eq!(made[0]["status"], "readonly");
    let mut merge = Call::new("POST", "/logstores/app-log/shards/2");
    merge.query = vec![("action", "merge")];
    assert_eq!(service.outcome(merge).await, "200");
    assert_eq!(service.outcome(Call::new("DELETE", path)).await, "200");
    assert_eq!(
        service.outcome(Call::new("DELETE", "/logstores/app-log/shards/0")).await,
        "400 ParameterInvalid"
    );
    service.stop().await;
}

#[tokio::test]
async fn consumers_share_shards_and_write_checkpoints() {
    let service = Service::start().await;
    let base = "/logstores/app-log/consumergroups";
    let one = "/logstores/app-log/consumergroups/cg-1";
    let body = json!({ "consumerGroup": "cg-1", "timeout": 60, "order": false });
    assert_eq!(service.outcome(Call::new("POST", base).json(body.clone())).await, "200");
    assert_eq!(service.outcome(Call::new("POST", base).json(body)).await, "400 ConsumerGroupAlreadyExist");
    assert_eq!(service.outcome(Call::new("PUT", one).json(json!({ "timeout": 90 }))).await, "200");
    let list = service.call(Call::new("GET", base)).await.json();
    assert_eq!(list, json!([{ "name": "cg-1", "timeout": 90, "order": false }]));

    let beat = async |consumer: &'static str, held: Value| {
        let mut call = Call::new("POST", one).json(held);
        call.query = vec![("type", "heartbeat"), ("consumer", consumer)];
        service.call(call).await.json()
    };
    assert_eq!(beat("a", json!([])).await, json!([0, 1]));
    assert_eq!(beat("b", json!([])).await, json!([]));
    assert_eq!(beat("a", json!([0, 1])).await, json!([0]));
    assert_eq!(beat("a", json!([0])).await, json!([0]));
    assert_eq!(beat("b", json!([])).await, json!([1]));

    let checkpoint = async |consumer: &'static str, force: &'static str, cursor: &str| {
        let mut call = Call::new("POST", one).json(json!({ "shard": 1, "checkpoint": cursor }));
        call.query = vec![("type", "checkpoint"), ("consumer", consumer), ("forceSuccess", force)];
        service.outcome(call).await
    };
    assert_eq!(checkpoint("b", "False", "MTIz").await, "200");
    assert_eq!(checkpoint("a", "False", "MTIz").await, "400 ConsumerNotMatch");
    assert_eq!(checkpoint("c", "False", "MTIz").await, "404 ConsumerNotExsit");
    assert_eq!(checkpoint("a", "True", "MTI0").await, "200");
    let all = service.call(Call::new("GET", one)).await.json();
    assert_eq!((&all[0]["checkpoint"], &all[1]["checkpoint"]), (&json!(""), &json!("MTI0")));
    assert_eq!(all[1]["consumer"], "a");
    assert_eq!(service.outcome(Call::new("DELETE", one)).await, "200");
    assert_eq!(service.outcome(Call::new("GET", one)).await, "404 ConsumerGroupNotExist");
    service.stop().await;
}
