//! Targets and hosts as clients write them.

use super::*;
use axum::http::Request;

fn target(method: &str, uri: &str, headers: &[(&str, &str)]) -> Target {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Target::of(&request.body(()).unwrap().into_parts().0).unwrap()
}

#[test]
fn the_project_is_in_the_host() {
    for (host, project) in [
        ("demo.sls.local:18080", Some("demo")),
        ("demo.127.0.0.1", Some("demo")),
        ("demo.localhost:80", Some("demo")),
        ("demo.cn-hangzhou.log.aliyuncs.com", Some("demo")),
        ("cn-hangzhou.log.aliyuncs.com", None),
        ("cn-hangzhou-intranet.log.aliyuncs.com:80", None),
        ("cn-local.log.local:80", None),
        ("demo.cn-local.log.local", Some("demo")),
        ("127.0.0.1:24280", None),
        ("[::1]:24280", None),
        ("localhost:24280", None),
        ("gateway", None),
        ("", None),
    ] {
        assert_eq!(project_of(host).as_deref(), project, "{host}");
    }
    let through_proxy =
        target("GET", "http://demo.cn-local.log.local:80/logstores", &[("host", "other.example.org")]);
    assert_eq!(through_proxy.project().unwrap(), "demo");
    let named = target("GET", "/logstores", &[("host", "127.0.0.1"), ("x-log-project", "demo")]);
    assert_eq!(named.project().unwrap(), "demo");
    let none = target("GET", "/logstores", &[("host", "127.0.0.1")]);
    assert_eq!(none.project().unwrap_err().code(), "InvalidHost");
}

#[test]
fn calls_are_told_by_path_method_and_type() {
    let demo = [("host", "demo.sls.local")];
    let call = |method: &str, uri: &str| target(method, uri, &demo).call().map_err(|refusal| refusal.code());
    assert_eq!(call("GET", "/"), Ok(Call::GetProject));
    assert_eq!(call("GET", "/?offset=0&size=100&resourceGroupId="), Ok(Call::ListProjects));
    assert_eq!(call("POST", "/?"), Ok(Call::CreateProject));
    assert_eq!(call("GET", "/logstores/a-b?type=log&from=1"), Ok(Call::GetLogsOld("a-b".into())));
    assert_eq!(call("GET", "/logstores/a-b"), Ok(Call::GetLogstore("a-b".into())));
    let routed = Call::PutLogs { logstore: "a-b".into(), routed: true };
    assert_eq!(call("POST", "/logstores/a-b/shards/route?key=0"), Ok(routed));
    assert_eq!(call("POST", "/logstores/a-b/index"), Ok(Call::CreateIndex("a-b".into())));
    assert_eq!(call("PUT", "/logstores/a-b/index"), Ok(Call::UpdateIndex("a-b".into())));
    assert_eq!(call("DELETE", "/logstores/a-b/index"), Ok(Call::DeleteIndex("a-b".into())));
    assert_eq!(call("PATCH", "/logstores/a-b/index"), Err("InvalidMethod"));
    let histograms = Call::GetHistograms("a-b".into());
    assert_eq!(call("GET", "/logstores/a-b?type=histogram").as_ref(), Ok(&histograms));
    assert_eq!(call("GET", "/logstores/a-b/index?type=histogram"), Ok(histograms));
    assert_eq!(call("GET", "/logstores/a-b?type=other"), Err("NotImplemented"));
    assert_eq!(call("GET", "/dashboards?offset=0&size=100"), Ok(Call::ListNothing("dashboards")));
    assert_eq!(call("POST", "/dashboards"), Err("NotImplemented"));
    assert_eq!(call("DELETE", "/logstores/a-b/track"), Err("InvalidMethod"));
    let write = Call::PutLogs { logstore: "m-s".into(), routed: false };
    assert_eq!(call("POST", "/prometheus/demo/m-s/api/v1/write"), Ok(write));
    assert_eq!(call("POST", "/prometheus/other/m-s/api/v1/write"), Err("ParameterInvalid"));
    let unnamed = target("POST", "/prometheus/demo/m-s/api/v1/write", &[("host", "127.0.0.1")]);
    assert_eq!(unnamed.project().unwrap(), "demo");
    assert_eq!(call("GET", "/logstores/a-b/shards"), Ok(Call::ListShards("a-b".into())));
    assert_eq!(call("GET", "/logstores/a-b/shards/1?type=logs&count=1"), Ok(Call::PullLogs("a-b".into(), 1)));
    assert_eq!(call("GET", "/logstores/a-b/shards/1?type=other"), Err("NotImplemented"));
    assert_eq!(call("GET", "/logstores/a-b/shards/lb"), Err("InvalidMethod"));
    assert_eq!(call("DELETE", "/logstores/a-b/shards/x"), Err("ParameterInvalid"));
    let heartbeat = Call::Heartbeat("a-b".into(), "cg".into());
    assert_eq!(call("POST", "/logstores/a-b/consumergroups/cg?type=heartbeat&consumer=c"), Ok(heartbeat));
    assert_eq!(call("POST", "/logstores/a-b/consumergroups/cg"), Err("NotImplemented"));
    assert_eq!(call("PUT", "/machinegroups/mg/configs/c"), Ok(Call::ApplyConfig("mg".into(), "c".into())));
    assert_eq!(call("GET", "/configs/c"), Ok(Call::GetConfig(Form::Classic, "c".into())));
    assert_eq!(call("POST", "/pipelineconfigs"), Ok(Call::CreateConfig(Form::Pipeline)));
    assert_eq!(call("POST", "/machinegroups/mg/machines"), Err("InvalidMethod"));
    assert_eq!(call("GET", "/machinegroups/mg/other"), Err("NotImplemented"));
    assert_eq!(call("POST", "/Agent/Heartbeat/"), Ok(Call::AgentHeartbeat));
    assert_eq!(call("GET", "/Agent/Heartbeat"), Err("InvalidMethod"));
    assert_eq!(call("PATCH", "/logstores/a-b"), Err("InvalidMethod"));
    assert_eq!(call("GET", "/favicon.ico"), Err("NotImplemented"));
}
