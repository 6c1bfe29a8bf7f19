//! The calls of the Rust SDK against the embedded Log Service: one line of JSON for each, {"call", "said", "wrong"}.
//!
//! Reads KEY_ID, KEY_SECRET and ENDPOINT; the service is reached by the proxy variable. The SDK signs with version 1 and
//! compresses with LZ4; it has no call for histograms, contexts or shards to be split.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aliyun_log_rust_sdk::get_cursor_models::CursorPos;
use aliyun_log_rust_sdk::{Client, Config, Error, FromConfig, Index};
use aliyun_log_sdk_protobuf::{Log, LogGroup};

const PROJECT: &str = "rust-project";
const LOGSTORE: &str = "rust-logs";

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars().take(300) {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out + "\""
}

fn row(call: &str, said: &str, wrong: Option<String>) {
    let wrong = wrong.map_or("null".to_owned(), |text| quoted(&text));
    println!("{{\"call\": {}, \"said\": {}, \"wrong\": {wrong}}}", quoted(call), quoted(said));
}

fn code(error: &Error) -> String {
    match error {
        Error::Server { error_code, .. } => error_code.clone(),
        other => other.to_string(),
    }
}

/// A call that has to give `want`.
fn gives<T: Debug + PartialEq>(call: &str, got: Result<T, Error>, want: T) {
    match got {
        Ok(said) if said == want => row(call, &format!("{said:?}"), None),
        Ok(said) => row(call, "", Some(format!("got {said:?}, want {want:?}"))),
        Err(error) => row(call, "", Some(error.to_string())),
    }
}

/// A call that has to be refused with a code.
fn refused<T>(call: &str, got: Result<T, Error>, want: &str) {
    match got {
        Ok(_) => row(call, "", Some(format!("accepted, want {want}"))),
        Err(error) if code(&error) == want => row(call, &format!("refused: {want}"), None),
        Err(error) => row(call, "", Some(error.to_string())),
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn client(secret: &str) -> Client {
    let endpoint = format!("http://{}", env("ENDPOINT"));
    let config = Config::builder().endpoint(endpoint).access_key(env("KEY_ID"), secret).build().expect("configuration");
    Client::from_config(config).expect("client")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = client(&env("KEY_SECRET"));
    stores(&client).await;
    logs(&client).await;
    pulls(&client).await;
    groups(&client).await;
    ends(&client).await;
}

async fn stores(client: &Client) {
    let made = client.create_project(PROJECT).description("of the Rust SDK").send().await.map(|_| ());
    gives("create_project", made, ());
    refused("create_project twice", client.create_project(PROJECT).description("").send().await, "ProjectAlreadyExist");
    let got = client.get_project(PROJECT).send().await;
    gives("get_project", got.map(|it| it.get_body().description().clone()), "of the Rust SDK".to_owned());
    let listed = client.list_projects(0, 100).send().await;
    gives("list_projects", listed.map(|it| it.get_body().projects().iter().any(|one| one.project_name() == PROJECT)), true);
    gives("update_project", client.update_project(PROJECT).description("changed").send().await.map(|_| ()), ());
    gives("create_logstore", client.create_logstore(PROJECT, LOGSTORE).shard_count(1).ttl(7).send().await.map(|_| ()), ());
    let twice = client.create_logstore(PROJECT, LOGSTORE).shard_count(1).ttl(7).send().await;
    refused("create_logstore twice", twice, "LogStoreAlreadyExist");
    let got = client.get_logstore(PROJECT, LOGSTORE).send().await;
    gives("get_logstore", got.map(|it| (*it.get_body().ttl(), *it.get_body().shard_count())), (7, 1));
    let listed = client.list_logstores(PROJECT, 0, 100).send().await;
    gives("list_logstores", listed.map(|it| it.get_body().logstores().clone()), vec![LOGSTORE.to_owned()]);
    gives("update_logstore", client.update_logstore(PROJECT, LOGSTORE).ttl(14).send().await.map(|_| ()), ());
    refused("get_index, none", client.get_index(PROJECT, LOGSTORE).send().await, "IndexConfigNotExist");
    gives("create_index", client.create_index(PROJECT, LOGSTORE, index()).send().await.map(|_| ()), ());
    refused("create_index twice", client.create_index(PROJECT, LOGSTORE, index()).send().await, "IndexAlreadyExist");
    gives("get_index", client.get_index(PROJECT, LOGSTORE).send().await.map(|_| ()), ());
    gives("update_index", client.update_index(PROJECT, LOGSTORE, index()).send().await.map(|_| ()), ());
    gives("delete_index", client.delete_index(PROJECT, LOGSTORE).send().await.map(|_| ()), ());
}

/// As the service's documents show it, read by the SDK's own types.
fn index() -> Index {
    let text = r#"{"line": {"token": [",", " ", ";"], "caseSensitive": false, "chn": false}, "keys": {
        "level": {"type": "text", "token": [" "], "caseSensitive": false, "chn": false, "doc_value": true},
        "n": {"type": "long", "doc_value": true}}}"#;
    serde_json::from_str(text).expect("index")
}

async fn logs(client: &Client) {
    let now = seconds();
    let mut group = LogGroup::new();
    for number in 0..20u32 {
        let mut log = Log::from_unixtime(now);
        log.add_content_kv("n", number.to_string()).add_content_kv("level", if number % 2 == 0 { "info" } else { "error" });
        log.add_content_kv("msg", "hello 世界");
        group.add_log(log);
    }
    group.set_topic("web").set_source("10.0.0.9");
    group.add_log_tag_kv("env", "dev");
    gives("put_logs", client.put_logs(PROJECT, LOGSTORE).log_group(group.clone()).send().await.map(|_| ()), ());
    refused("put_logs, gone", client.put_logs(PROJECT, "gone").log_group(group).send().await, "LogStoreNotExist");
    let (from, to) = (i64::from(now) - 60, i64::from(now) + 60);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = client.get_logs(PROJECT, LOGSTORE).from(from).to(to).query("level: info").line(100).send().await;
        if found.as_ref().is_ok_and(|it| it.get_body().logs_count() == 0) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        gives("get_logs", found.map(|it| it.get_body().logs_count()), 10);
        break;
    }
    let sql = client.get_logs(PROJECT, LOGSTORE).from(from).to(to).query("* | select count(1) as c").send().await;
    gives("get_logs SQL", sql.map(|it| it.take_body().take_logs()), vec![HashMap::from([("c".to_owned(), "20".to_owned())])]);
    let bad = client.get_logs(PROJECT, LOGSTORE).from(to).to(to).query("*").send().await;
    refused("get_logs, no time", bad, "InvalidTimeRange");
    let wrong = self::client("wrong").get_logs(PROJECT, LOGSTORE).from(from).to(to).query("*").send().await;
    refused("get_logs, wrong key", wrong, "SignatureNotMatch");
}

async fn pulls(client: &Client) {
    let shards = client.list_shards(PROJECT, LOGSTORE).send().await;
    gives("list_shards", shards.map(|it| it.get_body().shards().len()), 1);
    let cursor = async |at| {
        let got = client.get_cursor(PROJECT, LOGSTORE, 0).cursor_pos(at).send().await;
        got.map(|it| it.get_body().cursor().to_owned())
    };
    let (begin, end) = (cursor(CursorPos::Begin).await, cursor(CursorPos::End).await);
    gives("get_cursor by time", cursor(CursorPos::UnixTimeStamp(i64::from(seconds()) - 60)).await.map(|_| ()), ());
    gives("get_cursor begin", begin.as_ref().map(|_| ()).map_err(other), ());
    gives("get_cursor end", end.as_ref().map(|_| ()).map_err(other), ());
    let Ok(begin) = begin else { return };
    let pulled = client.pull_logs(PROJECT, LOGSTORE, 0).cursor(&begin).count(100).send().await;
    gives("pull_logs", pulled.map(|it| it.take_body().into_log_group_list().iter().map(|one| one.logs().len()).sum()), 20);
    let bad = client.pull_logs(PROJECT, LOGSTORE, 0).cursor("garbage").count(100).send().await;
    refused("pull_logs, no cursor", bad, "InvalidCursor");
}

fn other(error: &Error) -> Error {
    Error::Server { error_code: code(error), error_message: error.to_string(), http_status: 0, request_id: None }
}

async fn groups(client: &Client) {
    let group = "cg-1";
    gives("create_consumer_group", client.create_consumer_group(PROJECT, LOGSTORE, group).timeout(60).order(false).send().await.map(|_| ()), ());
    let listed = client.list_consumer_groups(PROJECT, LOGSTORE).send().await;
    gives("list_consumer_groups", listed.map(|it| it.get_body().consumer_groups().len()), 1);
    gives("update_consumer_group", client.update_consumer_group(PROJECT, LOGSTORE, group).timeout(90).order(true).send().await.map(|_| ()), ());
    let beat = client.consumer_group_heartbeat(PROJECT, LOGSTORE, group).consumer("c1").shards(vec![]).send().await;
    gives("heartbeat", beat.map(|it| it.get_body().shards().clone()), vec![0]);
    let end = client.get_cursor(PROJECT, LOGSTORE, 0).cursor_pos(CursorPos::End).send().await;
    let end = end.map(|it| it.get_body().cursor().to_owned()).unwrap_or_default();
    let kept = client.update_consumer_group_checkpoint(PROJECT, LOGSTORE, group);
    gives("update_checkpoint", kept.shard_id(0).consumer_id("c1").checkpoint(end).force_success(true).send().await.map(|_| ()), ());
    let got = client.get_consumer_group_checkpoint(PROJECT, LOGSTORE, group).send().await;
    gives("get_checkpoint", got.map(|it| it.get_body().checkpoints().len()), 1);
    gives("delete_consumer_group", client.delete_consumer_group(PROJECT, LOGSTORE, group).send().await.map(|_| ()), ());
}

async fn ends(client: &Client) {
    gives("delete_logstore", client.delete_logstore(PROJECT, LOGSTORE).send().await.map(|_| ()), ());
    gives("delete_project", client.delete_project(PROJECT).send().await.map(|_| ()), ());
    refused("get_project, gone", client.get_project(PROJECT).send().await, "ProjectNotExist");
}

fn seconds() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as u32
}
