//! Machine groups, configs and agents: what an unmodified client sent, refusals by their codes, heartbeats.

use serde_json::{Value, json};

use super::harness::{Call, NOW, Reply, Service};
use crate::wire::config_server::{
    ACCEPTS_PIPELINES, Attributes, CONTENT_TYPE, ConfigDetail, ConfigInfo, FetchRequest, FetchResponse,
    HEARTBEAT_PATH, HeartbeatRequest, HeartbeatResponse, REMOVED, REPORT_FULL_STATE, Tag,
};

fn group(by: &str, members: &[&str]) -> Value {
    json!({ "groupName": "mg-1", "groupType": "", "groupAttribute": { "externalName": "", "groupTopic": "web" },
        "machineIdentifyType": by, "machineList": members, "mine": { "kept": true } })
}

fn config(name: &str) -> Value {
    json!({ "configName": name, "inputType": "file", "outputType": "LogService",
        "inputDetail": { "logType": "json_log", "logPath": "/var/log/app", "filePattern": "*.log", "mine": 1 },
        "outputDetail": { "logstoreName": "app-log" } })
}

fn pipeline(name: &str) -> Value {
    json!({ "configName": name, "inputs": [{ "Type": "input_file", "FilePaths": ["/var/log/*.log"] }],
        "flushers": [{ "Type": "flusher_sls", "Logstore": "app-log" }] })
}

async fn say(service: &Service, method: &str, path: &str, body: Value) -> String {
    let call = Call::new(method, path);
    service.outcome(if body.is_null() { call } else { call.json(body) }).await
}

async fn get(service: &Service, path: &str) -> Value {
    service.call(Call::new("GET", path)).await.json()
}

#[tokio::test]
async fn what_a_client_was_recorded_to_send_is_answered_in_its_shape() {
    let service = Service::start().await;
    let recorded = std::fs::read_to_string("tests/data/sls/python-collection.jsonl").unwrap();
    let mut answered = 0;
    for line in recorded.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let target = record["request_line"].as_str().unwrap().split(' ').collect::<Vec<_>>();
        let (path, query) = target[1].split_once('?').unwrap_or((target[1], ""));
        let name = record["call"].as_str().unwrap();
        if name == "apply_config_to_machine_group" {
            // Deleted by the recording before.
            assert_eq!(say(&service, "POST", "/machinegroups", group("ip", &["10.0.0.1"])).await, "200");
            assert_eq!(say(&service, "POST", "/configs", config("cfg-json")).await, "200");
        }
        let mut call = Call::new(target[0], path);
        call.query = query.split('&').filter_map(|part| part.split_once('=')).collect();
        if let Some(body) = record["body_text"].as_str() {
            call = call.json(serde_json::from_str(body).unwrap());
        }
        let reply = service.call(call).await;
        assert_eq!(reply.outcome(), "200", "{name}");
        match record["answer"]["body_text"].as_str() {
            None => assert!(reply.body.is_empty(), "{name}"),
            Some(expected) => {
                let (expected, reply) = (serde_json::from_str::<Value>(expected).unwrap(), reply.json());
                for key in expected.as_object().unwrap().keys() {
                    assert!(reply.get(key).is_some(), "{name}: {key} of {reply}");
                }
            }
        }
        answered += 1;
    }
    assert_eq!(answered, 27);
    service.stop().await;
}

#[tokio::test]
async fn groups_and_configs_are_made_changed_applied_and_deleted() {
    let service = Service::start().await;
    assert_eq!(say(&service, "POST", "/machinegroups", group("userdefined", &["web"])).await, "200");
    let made = get(&service, "/machinegroups/mg-1").await;
    assert_eq!((&made["mine"], &made["machineList"]), (&json!({ "kept": true }), &json!(["web"])));
    assert!(made["createTime"].as_i64().is_some_and(|time| time > 0) && made["lastModifyTime"].is_i64());
    let mut add = Call::new("PUT", "/machinegroups/mg-1/machines").json(json!(["db", "web"]));
    add.query = vec![("action", "add")];
    assert_eq!(service.outcome(add).await, "200");
    assert_eq!(get(&service, "/machinegroups/mg-1").await["machineList"], json!(["db", "web"]));

    assert_eq!(say(&service, "POST", "/configs", config("cfg-1")).await, "200");
    assert_eq!(say(&service, "POST", "/pipelineconfigs", pipeline("pipe-1")).await, "200");
    let classic = get(&service, "/configs/cfg-1").await;
    assert_eq!(
        classic["outputDetail"],
        json!({ "logstoreName": "app-log", "endpoint": "cn-local.log.local", "region": "cn-local" })
    );
    assert_eq!(
        (&classic["inputDetail"]["mine"], &classic["inputDetail"]["maxDepth"]),
        (&json!(1), &json!(100))
    );
    assert_eq!(get(&service, "/pipelineconfigs/pipe-1").await["inputs"], pipeline("")["inputs"]);
    let lists = [("/configs", "cfg-1"), ("/pipelineconfigs", "pipe-1")];
    for (path, name) in lists {
        assert_eq!(get(&service, path).await, json!({ "count": 1, "total": 1, "configs": [name] }));
        let mut other = Call::new("GET", path);
        other.query = vec![("logstoreName", "other")];
        assert_eq!(service.call(other).await.json()["total"], 0);
    }
    for name in ["cfg-1", "pipe-1", "cfg-1"] {
        assert_eq!(
            say(&service, "PUT", &format!("/machinegroups/mg-1/configs/{name}"), Value::Null).await,
            "200"
        );
    }
    let applied = get(&service, "/machinegroups/mg-1/configs").await;
    assert_eq!(applied, json!({ "count": 2, "configs": ["cfg-1", "pipe-1"] }));
    let groups = get(&service, "/configs/pipe-1/machinegroups").await;
    assert_eq!(groups, json!({ "count": 1, "machinegroups": ["mg-1"] }));
    // A change of the group keeps what is applied to it.
    assert_eq!(say(&service, "PUT", "/machinegroups/mg-1", group("ip", &[])).await, "200");
    assert_eq!(get(&service, "/machinegroups/mg-1/configs").await["count"], 2);
    assert_eq!(say(&service, "DELETE", "/machinegroups/mg-1/configs/cfg-1", Value::Null).await, "200");
    assert_eq!(say(&service, "DELETE", "/machinegroups/mg-1/configs/cfg-1", Value::Null).await, "200");
    assert_eq!(say(&service, "DELETE", "/pipelineconfigs/pipe-1", Value::Null).await, "200");
    assert_eq!(get(&service, "/machinegroups/mg-1/configs").await["count"], 0);
    assert_eq!(say(&service, "DELETE", "/machinegroups/mg-1", Value::Null).await, "200");
    assert_eq!(get(&service, "/machinegroups").await["total"], 0);
    service.stop().await;
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_service() {
    let service = Service::start().await;
    assert_eq!(say(&service, "POST", "/machinegroups", group("ip", &[])).await, "200");
    assert_eq!(say(&service, "POST", "/configs", config("cfg-1")).await, "200");
    assert_eq!(say(&service, "POST", "/pipelineconfigs", pipeline("pipe-1")).await, "200");
    let without_name = json!({ "machineIdentifyType": "ip", "machineList": [] });
    let mut renamed = config("cfg-2");
    renamed["inputDetail"]["logPath"] = json!("relative");
    for (method, path, body, expected) in [
        ("POST", "/machinegroups", group("ip", &[]), "400 MachineGroupAlreadyExist"),
        ("POST", "/machinegroups", without_name, "400 ParameterInvalid"),
        ("POST", "/machinegroups", json!([]), "400 PostBodyInvalid"),
        ("PUT", "/machinegroups/mg-2", group("ip", &[]), "404 MachineGroupNotExist"),
        ("GET", "/machinegroups/mg-2", Value::Null, "404 MachineGroupNotExist"),
        ("DELETE", "/machinegroups/mg-2", Value::Null, "404 MachineGroupNotExist"),
        ("GET", "/machinegroups/mg-2/machines", Value::Null, "404 MachineGroupNotExist"),
        ("GET", "/machinegroups/mg-2/configs", Value::Null, "404 MachineGroupNotExist"),
        ("PUT", "/machinegroups/mg-1/machines", json!(["a"]), "400 MissingParameter"),
        ("PUT", "/machinegroups/mg-1/configs/none", Value::Null, "404 ConfigNotExist"),
        ("PUT", "/machinegroups/mg-2/configs/cfg-1", Value::Null, "404 MachineGroupNotExist"),
        ("POST", "/configs", config("cfg-1"), "400 ConfigAlreadyExist"),
        ("POST", "/configs", config("pipe-1"), "400 ConfigAlreadyExist"),
        ("POST", "/configs", config("Cfg"), "400 ParameterInvalid"),
        ("POST", "/configs", renamed, "400 ParameterInvalid"),
        ("PUT", "/configs/cfg-1", config("cfg-2"), "400 ParameterInvalid"),
        ("PUT", "/configs/none", config("none"), "404 ConfigNotExist"),
        ("GET", "/configs/none", Value::Null, "404 ConfigNotExist"),
        ("GET", "/configs/none/machinegroups", Value::Null, "404 ConfigNotExist"),
        ("GET", "/configs/pipe-1", Value::Null, "400 ParameterInvalid"),
        ("PUT", "/configs/pipe-1", config("pipe-1"), "400 ParameterInvalid"),
        ("DELETE", "/pipelineconfigs/cfg-1", Value::Null, "400 ParameterInvalid"),
        ("DELETE", "/pipelineconfigs/none", Value::Null, "404 ConfigNotExist"),
        ("PATCH", "/configs/cfg-1", Value::Null, "405 InvalidMethod"),
    ] {
        assert_eq!(say(&service, method, path, body).await, expected, "{method} {path}");
    }
    let message = service.call(Call::new("GET", "/configs/pipe-1")).await.json();
    assert_eq!(
        message["errorMessage"],
        "configName: pipe-1 is a pipeline config; use the calls of /pipelineconfigs/pipe-1"
    );
    let mut elsewhere = Call::new("GET", "/machinegroups");
    elsewhere.host = "no-project.sls.local";
    assert_eq!(service.outcome(elsewhere).await, "404 ProjectNotExist");
    let mut unsigned = Call::new("GET", "/configs/cfg-1");
    unsigned.secret = Some("guessed");
    assert_eq!(service.outcome(unsigned).await, "401 SignatureNotMatch");
    service.stop().await;
}

/// Unsigned, to an address and no project's host, as agents do.
async fn post(service: &Service, path: &str, kind: &str, body: Vec<u8>) -> Reply {
    let request =
        service.http.post(format!("{}{path}", service.base)).header("content-type", kind).body(body);
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Reply { status, headers, body: answer.bytes().await.unwrap().to_vec() }
}

async fn beat(service: &Service, request: &HeartbeatRequest) -> HeartbeatResponse {
    let reply = post(service, HEARTBEAT_PATH, CONTENT_TYPE, request.encode()).await;
    assert_eq!((reply.outcome().as_str(), reply.header("content-type")), ("200", CONTENT_TYPE));
    let response = HeartbeatResponse::decode(&reply.body).unwrap();
    assert_eq!(response.request_id, request.request_id);
    response
}

fn agent(ip: &str, tags: &[(&str, &str)]) -> HeartbeatRequest {
    let pair = |(name, value): &(&str, &str)| Tag { name: (*name).into(), value: (*value).into() };
    HeartbeatRequest {
        request_id: b"r-1".to_vec(),
        capabilities: ACCEPTS_PIPELINES,
        instance_id: "agent-1".into(),
        attributes: Some(Attributes {
            ip: ip.into(),
            hostname: "node-1".into(),
            host_id: "h-1".into(),
            ..Attributes::default()
        }),
        tags: tags.iter().map(pair).collect(),
        ..HeartbeatRequest::default()
    }
}

fn reported(updates: &[ConfigDetail]) -> Vec<ConfigInfo> {
    let info = |one: &ConfigDetail| ConfigInfo {
        name: one.name.clone(),
        version: one.version,
        ..ConfigInfo::default()
    };
    updates.iter().filter(|one| one.version != REMOVED).map(info).collect()
}

#[tokio::test]
async fn an_agent_is_listed_and_gets_its_configs_by_heartbeat() {
    let service = Service::start().await;
    assert_eq!(say(&service, "POST", "/machinegroups", group("userdefined", &["web"])).await, "200");
    assert_eq!(say(&service, "POST", "/configs", config("cfg-1")).await, "200");
    assert_eq!(say(&service, "POST", "/pipelineconfigs", pipeline("pipe-1")).await, "200");
    for name in ["cfg-1", "pipe-1"] {
        assert_eq!(
            say(&service, "PUT", &format!("/machinegroups/mg-1/configs/{name}"), Value::Null).await,
            "200"
        );
    }
    let mut agent = agent("10.0.0.7", &[("env", "prod"), ("user_defined_id", "db, web")]);
    let first = beat(&service, &agent).await.pipeline_updates;
    let names: Vec<&str> = first.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["demo-project$cfg-1", "demo-project$pipe-1"]);
    let detail: Value = serde_json::from_slice(&first[0].detail).unwrap();
    assert_eq!(detail["processors"][0]["Type"], "processor_parse_json_native");
    let machines = json!({ "count": 1, "total": 1, "machines": [{ "ip": "10.0.0.7", "machine-uniqueid": "agent-1",
        "userdefined-id": "db,web,prod", "lastHeartbeatTime": NOW, "host-id": "h-1" }] });
    assert_eq!(get(&service, "/machinegroups/mg-1/machines").await, machines);

    agent.pipeline_configs = reported(&first);
    agent.pipeline_configs.push(ConfigInfo { name: "of-a-file".into(), ..ConfigInfo::default() });
    assert_eq!(beat(&service, &agent).await.pipeline_updates, []);
    // What has not changed may be left out.
    let short = HeartbeatRequest { attributes: None, tags: Vec::new(), ..agent.clone() };
    assert_eq!(beat(&service, &short).await.pipeline_updates, []);
    let unknown = HeartbeatRequest { instance_id: "agent-2".into(), ..short };
    assert_eq!(beat(&service, &unknown).await.flags, REPORT_FULL_STATE);
    // Who takes its configs over the API is not sent them here.
    let own = HeartbeatRequest { capabilities: 0, pipeline_configs: Vec::new(), ..agent.clone() };
    assert_eq!(beat(&service, &own).await.pipeline_updates, []);

    let mut changed = config("cfg-1");
    changed["inputDetail"]["filePattern"] = json!("other.log");
    assert_eq!(say(&service, "PUT", "/configs/cfg-1", changed).await, "200");
    assert_eq!(say(&service, "DELETE", "/machinegroups/mg-1/configs/pipe-1", Value::Null).await, "200");
    let second = beat(&service, &agent).await.pipeline_updates;
    assert_eq!(second.len(), 2);
    assert!(second[0].name == "demo-project$cfg-1" && second[0].version > first[0].version);
    assert_eq!((second[1].name.as_str(), second[1].version), ("demo-project$pipe-1", REMOVED));

    let fetch = FetchRequest {
        request_id: b"f".to_vec(),
        instance_id: "agent-1".into(),
        pipeline_configs: reported(&first),
        instance_configs: Vec::new(),
    };
    let reply = post(&service, "/Agent/FetchPipelineConfig", CONTENT_TYPE, fetch.encode()).await;
    let fetched = FetchResponse::decode(&reply.body).unwrap();
    assert_eq!(
        (fetched.request_id.as_slice(), fetched.pipeline_updates.as_slice()),
        (b"f".as_slice(), &second[..1])
    );
    let reply = post(&service, "/Agent/FetchInstanceConfig", CONTENT_TYPE, Vec::new()).await;
    assert_ne!(FetchResponse::decode(&reply.body).unwrap().common.status, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_group_by_address_lists_members_that_never_came() {
    let service = Service::start().await;
    let body = group("ip", &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(say(&service, "POST", "/machinegroups", body).await, "200");
    beat(&service, &agent("10.0.0.2", &[])).await;
    let mut list = Call::new("GET", "/machinegroups/mg-1/machines");
    list.query = vec![("offset", "0"), ("size", "1")];
    let page = service.call(list).await.json();
    let never = json!({ "ip": "10.0.0.1", "machine-uniqueid": "", "userdefined-id": "", "lastHeartbeatTime": 0, "host-id": "" });
    assert_eq!(page, json!({ "count": 1, "total": 2, "machines": [never] }));
    let all = get(&service, "/machinegroups/mg-1/machines").await;
    assert_eq!(all["machines"][1]["lastHeartbeatTime"], NOW);
    service.stop().await;
}

#[tokio::test]
async fn heartbeats_of_strangers_are_bounded() {
    let service = Service::start().await;
    let body = agent("10.0.0.2", &[]).encode();
    let from_a_browser = post(&service, HEARTBEAT_PATH, "text/plain", body.clone()).await;
    assert_eq!(from_a_browser.outcome(), "400 InvalidContentType");
    let damaged = post(&service, HEARTBEAT_PATH, CONTENT_TYPE, body[..body.len() - 3].to_vec()).await;
    assert_eq!(damaged.outcome(), "400 PostBodyInvalid");
    let large = post(&service, HEARTBEAT_PATH, CONTENT_TYPE, vec![0; 300 << 10]).await;
    assert_eq!(large.outcome(), "413 PostBodyTooLarge");
    for wrong in [
        HeartbeatRequest { instance_id: String::new(), ..agent("10.0.0.2", &[]) },
        agent(&"1".repeat(1000), &[]),
        agent("10.0.0.2", &[("k", &"y".repeat(300))]),
        agent(
            "10.0.0.2",
            &[("user_defined_id", &(0..60_000).map(|n| format!("{n:x},")).collect::<String>()[..200_000])],
        ),
    ] {
        let response = beat(&service, &wrong).await;
        assert!(response.common.status != 0 && !response.common.error_message.is_empty());
    }
    service.stop().await;
}
