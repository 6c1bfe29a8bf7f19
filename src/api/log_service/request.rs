//! Which call a request is, and for which project: from its target, its host and its method.
//!
//! Clients send origin-form targets, and absolute-form ones through a proxy variable, where the authority of the target
//! wins over Host. The project is the first label of the host, unless the host is no project's: an address, a bare
//! name, this machine, the name that clients are told to use, or an endpoint of the vendor. `x-log-project` wins over both.
//! Of two calls on `GET /`, the one with paging parameters lists projects: an endpoint that somebody invented looks like a
//! project's host.

use axum::http::Method;
use axum::http::request::Parts;

use super::ENDPOINT;
use super::answer::Refusal;
use super::nothing;
use crate::base::host;
use crate::store::collection::Language;
use crate::wire::query;

/// The target of a request, taken apart.
pub(super) struct Target {
    pub(super) method: Method,
    /// As received, and unescaped.
    pub(super) raw_path: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, Option<String>)>,
    project: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    CreateProject,
    GetProject,
    UpdateProject,
    DeleteProject,
    ListProjects,
    CreateLogstore,
    ListLogstores,
    GetLogstore(String),
    UpdateLogstore(String),
    DeleteLogstore(String),
    CreateIndex(String),
    UpdateIndex(String),
    GetIndex(String),
    DeleteIndex(String),
    PutLogs {
        logstore: String,
        routed: bool,
    },
    GetLogs(String),
    GetLogsOld(String),
    GetProjectLogs,
    GetHistograms(String),
    GetContextLogs(String),
    ListTopics(String),
    /// Web tracking, and what a browser asks before it.
    Track(String),
    CreateMetricStore,
    ListMetricStores,
    GetMetricStore(String),
    UpdateMetricStore(String),
    DeleteMetricStore(String),
    CreateSubstore(String),
    ListSubstores(String),
    GetSubstore(String, String),
    /// Update and delete.
    KeepSubstore(String, String),
    GetSubstoreTtl(String),
    SetSubstoreTtl(String),
    GetMetering(String),
    SetMetering(String),
    /// A list that is always empty, and the name of its items.
    ListNothing(&'static str),
    ListTags,
    ChangeTags,
    ListShards(String),
    /// `action=split|merge`.
    ChangeShard(String, u32),
    DeleteShard(String, u32),
    GetCursor(String, u32),
    GetCursorTime(String, u32),
    PullLogs(String, u32),
    CreateConsumerGroup(String),
    ListConsumerGroups(String),
    UpdateConsumerGroup(String, String),
    DeleteConsumerGroup(String, String),
    Heartbeat(String, String),
    UpdateCheckpoint(String, String),
    GetCheckpoints(String, String),
    CreateMachineGroup,
    ListMachineGroups,
    GetMachineGroup(String),
    UpdateMachineGroup(String),
    DeleteMachineGroup(String),
    ListMachines(String),
    /// `action=add|delete`.
    ChangeMachines(String),
    /// Names of configs of a machine group.
    ListAppliedConfigs(String),
    /// To the group the config.
    ApplyConfig(String, String),
    RemoveConfig(String, String),
    CreateConfig(Language),
    ListConfigs(Language),
    GetConfig(Language, String),
    UpdateConfig(Language, String),
    DeleteConfig(Language, String),
    ListGroupsOfConfig(String),
    /// What agents of the ConfigServer protocol send, unsigned.
    AgentHeartbeat,
    AgentFetch,
}

impl Call {
    /// Whether it concerns no project.
    pub(super) fn is_of_no_project(&self) -> bool {
        matches!(
            self,
            Call::CreateProject
                | Call::ListProjects
                | Call::ListTags
                | Call::ChangeTags
                | Call::AgentHeartbeat
                | Call::AgentFetch
        )
    }
}

impl Target {
    pub(super) fn of(head: &Parts) -> Result<Target, Refusal> {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let authority = head.uri.authority().map(|authority| authority.as_str());
        let host = authority.or_else(|| header("host")).unwrap_or("");
        let named = header("x-log-project").map(str::trim).filter(|name| !name.is_empty());
        let raw_path = match head.uri.path() {
            "" => "/",
            path => path,
        };
        Ok(Target {
            method: head.method.clone(),
            path: query::decode_path(raw_path),
            raw_path: raw_path.to_owned(),
            query: query::parse(head.uri.query().unwrap_or("")),
            project: named.map(str::to_owned).or_else(|| project_of(host)).or_else(|| in_path(raw_path)),
        })
    }

    /// A parameter's value; one that is absent or empty is none.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name)?;
        found.1.as_deref().filter(|value| !value.is_empty())
    }

    pub(super) fn project(&self) -> Result<&str, Refusal> {
        self.project.as_deref().ok_or_else(|| {
            Refusal::new(
                "InvalidHost",
                "no project: it is the first label of the host name (PROJECT.endpoint), or the header x-log-project",
            )
        })
    }

    pub(super) fn call(&self) -> Result<Call, Refusal> {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let own = |name: &str| name.to_owned();
        let call = match (segments.as_slice(), self.method.as_str()) {
            ([], "GET") if self.project.is_none() || self.is_list() => Call::ListProjects,
            ([], "GET") => Call::GetProject,
            ([], "POST") => Call::CreateProject,
            ([], "PUT") => Call::UpdateProject,
            ([], "DELETE") => Call::DeleteProject,
            (["logstores"], "GET") => Call::ListLogstores,
            (["logstores"], "POST") => Call::CreateLogstore,
            (["logstores", name], "GET") => match self.parameter("type") {
                None => Call::GetLogstore(own(name)),
                Some("log") => Call::GetLogsOld(own(name)),
                Some("histogram") => Call::GetHistograms(own(name)),
                Some("context_log") => Call::GetContextLogs(own(name)),
                Some("topic") => Call::ListTopics(own(name)),
                Some(_) => return Err(self.not_implemented()),
            },
            (["logstores", name], "POST") => Call::PutLogs { logstore: own(name), routed: false },
            (["logstores", name], "PUT") => Call::UpdateLogstore(own(name)),
            (["logstores", name], "DELETE") => Call::DeleteLogstore(own(name)),
            (["logstores", name, "shards"], "GET") => Call::ListShards(own(name)),
            (["logstores", name, "shards", shard], method) => self.of_shard(name, shard, method)?,
            (["logstores", name, "consumergroups"], "GET") => Call::ListConsumerGroups(own(name)),
            (["logstores", name, "consumergroups"], "POST") => Call::CreateConsumerGroup(own(name)),
            (["logstores", name, "consumergroups", group], method) => {
                let (name, group) = (own(name), own(group));
                match (method, self.parameter("type")) {
                    ("GET", _) => Call::GetCheckpoints(name, group),
                    ("PUT", _) => Call::UpdateConsumerGroup(name, group),
                    ("DELETE", _) => Call::DeleteConsumerGroup(name, group),
                    ("POST", Some("heartbeat")) => Call::Heartbeat(name, group),
                    ("POST", Some("checkpoint")) => Call::UpdateCheckpoint(name, group),
                    ("POST", _) => return Err(self.not_implemented()),
                    _ => return Err(self.wrong_method()),
                }
            }
            (["logstores", name, "logs"], "POST") => Call::GetLogs(own(name)),
            (["logstores", name, "index"], "GET") => match self.parameter("type") {
                None => Call::GetIndex(own(name)),
                Some("histogram") => Call::GetHistograms(own(name)),
                Some(_) => return Err(self.not_implemented()),
            },
            (["logstores", name, "index"], "POST") => Call::CreateIndex(own(name)),
            (["logstores", name, "index"], "PUT") => Call::UpdateIndex(own(name)),
            (["logstores", name, "index"], "DELETE") => Call::DeleteIndex(own(name)),
            (["logstores", name, "track"], "GET" | "POST" | "OPTIONS") => Call::Track(own(name)),
            (["prometheus", project, name, "api", "v1", "write"], "POST") => {
                if self.project.as_deref().is_some_and(|named| named != *project) {
                    let message = format!("the path names project {}, the host another", short(project));
                    return Err(Refusal::new("ParameterInvalid", message));
                }
                Call::PutLogs { logstore: own(name), routed: false }
            }
            (["metricstores"], "GET") => Call::ListMetricStores,
            (["metricstores"], "POST") => Call::CreateMetricStore,
            (["metricstores", name], "GET") => Call::GetMetricStore(own(name)),
            (["metricstores", name], "PUT") => Call::UpdateMetricStore(own(name)),
            (["metricstores", name], "DELETE") => Call::DeleteMetricStore(own(name)),
            (["logstores", name, "substores"], "GET") => Call::ListSubstores(own(name)),
            (["logstores", name, "substores"], "POST") => Call::CreateSubstore(own(name)),
            (["logstores", name, "substores", "storage", "ttl"], "GET") => Call::GetSubstoreTtl(own(name)),
            (["logstores", name, "substores", "storage", "ttl"], "PUT") => Call::SetSubstoreTtl(own(name)),
            (["logstores", name, "substores", substore], "GET") => {
                Call::GetSubstore(own(name), own(substore))
            }
            (["logstores", name, "substores", substore], "PUT" | "DELETE") => {
                Call::KeepSubstore(own(name), own(substore))
            }
            (["logstores" | "metricstores", name, "meteringmode"], "GET") => Call::GetMetering(own(name)),
            (["logstores" | "metricstores", name, "meteringmode"], "PUT") => Call::SetMetering(own(name)),
            (["machinegroups", rest @ ..], method) => self.of_machine_groups(rest, method)?,
            (["configs", rest @ ..], method) => self.of_configs(Language::Classic, rest, method)?,
            (["pipelineconfigs", rest @ ..], method) => self.of_configs(Language::Pipeline, rest, method)?,
            (["Agent", "Heartbeat"], "POST") => Call::AgentHeartbeat,
            (["Agent", "FetchPipelineConfig" | "FetchInstanceConfig"], "POST") => Call::AgentFetch,
            (["logs"], "GET") => Call::GetProjectLogs,
            (["tags"], "GET") => Call::ListTags,
            (["tag" | "untag"], "POST") => Call::ChangeTags,
            ([list], "GET") if nothing::items_of(list).is_some() => {
                Call::ListNothing(nothing::items_of(list).unwrap_or("results"))
            }
            (
                []
                | ["logstores"]
                | ["logstores", _]
                | [
                    "logstores",
                    _,
                    "logs" | "index" | "shards" | "consumergroups" | "track" | "substores" | "meteringmode",
                ]
                | ["metricstores"]
                | ["metricstores", _]
                | ["Agent", "Heartbeat" | "FetchPipelineConfig" | "FetchInstanceConfig"],
                _,
            ) => return Err(self.wrong_method()),
            _ => return Err(self.not_implemented()),
        };
        Ok(call)
    }

    fn of_shard(&self, logstore: &str, shard: &str, method: &str) -> Result<Call, Refusal> {
        let name = logstore.to_owned();
        if matches!(shard, "lb" | "route") {
            return match method {
                "POST" => Ok(Call::PutLogs { logstore: name, routed: shard == "route" }),
                _ => Err(self.wrong_method()),
            };
        }
        let Ok(shard) = shard.parse::<u32>() else {
            let message = format!("shard {} is no number", short(shard));
            return Err(Refusal::new("ParameterInvalid", message));
        };
        Ok(match (method, self.parameter("type")) {
            ("GET", Some("cursor")) => Call::GetCursor(name, shard),
            ("GET", Some("cursor_time")) => Call::GetCursorTime(name, shard),
            ("GET", Some("log" | "logs")) => Call::PullLogs(name, shard),
            ("GET", _) => return Err(self.not_implemented()),
            ("POST", _) => Call::ChangeShard(name, shard),
            ("DELETE", _) => Call::DeleteShard(name, shard),
            _ => return Err(self.wrong_method()),
        })
    }

    fn of_machine_groups(&self, rest: &[&str], method: &str) -> Result<Call, Refusal> {
        let own = |name: &str| name.to_owned();
        Ok(match (rest, method) {
            ([], "GET") => Call::ListMachineGroups,
            ([], "POST") => Call::CreateMachineGroup,
            ([name], "GET") => Call::GetMachineGroup(own(name)),
            ([name], "PUT") => Call::UpdateMachineGroup(own(name)),
            ([name], "DELETE") => Call::DeleteMachineGroup(own(name)),
            ([name, "machines"], "GET") => Call::ListMachines(own(name)),
            ([name, "machines"], "PUT") => Call::ChangeMachines(own(name)),
            ([name, "configs"], "GET") => Call::ListAppliedConfigs(own(name)),
            ([name, "configs", config], "PUT") => Call::ApplyConfig(own(name), own(config)),
            ([name, "configs", config], "DELETE") => Call::RemoveConfig(own(name), own(config)),
            ([] | [_] | [_, "machines" | "configs"] | [_, "configs", _], _) => {
                return Err(self.wrong_method());
            }
            _ => return Err(self.not_implemented()),
        })
    }

    fn of_configs(&self, language: Language, rest: &[&str], method: &str) -> Result<Call, Refusal> {
        let own = |name: &str| name.to_owned();
        Ok(match (rest, method) {
            ([], "GET") => Call::ListConfigs(language),
            ([], "POST") => Call::CreateConfig(language),
            ([name], "GET") => Call::GetConfig(language, own(name)),
            ([name], "PUT") => Call::UpdateConfig(language, own(name)),
            ([name], "DELETE") => Call::DeleteConfig(language, own(name)),
            ([name, "machinegroups"], "GET") => Call::ListGroupsOfConfig(own(name)),
            ([] | [_] | [_, "machinegroups"], _) => return Err(self.wrong_method()),
            _ => return Err(self.not_implemented()),
        })
    }

    fn wrong_method(&self) -> Refusal {
        let message = format!("{} is not a method of {}", self.method, short(&self.path));
        Refusal::new("InvalidMethod", message)
    }

    /// A parameter that is a number, when it is there.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let wrong = |_| Refusal::new("ParameterInvalid", format!("{name} {} is no number", short(text)));
        text.parse().map(Some).map_err(wrong)
    }

    fn is_list(&self) -> bool {
        self.query.iter().any(|(name, _)| matches!(name.as_str(), "offset" | "size" | "projectName"))
    }

    fn not_implemented(&self) -> Refusal {
        let kind = self.parameter("type").map_or(String::new(), |kind| format!(" with type={}", short(kind)));
        let message = format!("this Log Service does not know {} {}{kind}", self.method, short(&self.path));
        Refusal::new("NotImplemented", message)
    }
}

/// What is quoted back from a request is bounded.
pub(super) fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The project that the path of a metric store names.
fn in_path(path: &str) -> Option<String> {
    let project = path.strip_prefix("/prometheus/")?.split('/').next()?;
    (!project.is_empty()).then(|| project.to_owned())
}

/// The project a host name stands for.
fn project_of(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next().unwrap_or(authority);
    // An IPv6 literal is in brackets; its colons are no port.
    if host.starts_with('[') {
        return None;
    }
    let host = host.split(':').next().unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    let is_own = host == ENDPOINT || host == host::name().to_ascii_lowercase();
    if is_own || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return None;
    }
    let (project, endpoint) = host.split_once('.')?;
    let vendor = ["log.aliyuncs.com", "sls.aliyuncs.com", "aliyuncs.com"].contains(&endpoint);
    (!vendor && !project.is_empty()).then(|| project.to_owned())
}

#[cfg(test)]
mod tests {
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
        let call =
            |method: &str, uri: &str| target(method, uri, &demo).call().map_err(|refusal| refusal.code());
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
        assert_eq!(
            call("GET", "/logstores/a-b/shards/1?type=logs&count=1"),
            Ok(Call::PullLogs("a-b".into(), 1))
        );
        assert_eq!(call("GET", "/logstores/a-b/shards/1?type=other"), Err("NotImplemented"));
        assert_eq!(call("GET", "/logstores/a-b/shards/lb"), Err("InvalidMethod"));
        assert_eq!(call("DELETE", "/logstores/a-b/shards/x"), Err("ParameterInvalid"));
        let heartbeat = Call::Heartbeat("a-b".into(), "cg".into());
        assert_eq!(call("POST", "/logstores/a-b/consumergroups/cg?type=heartbeat&consumer=c"), Ok(heartbeat));
        assert_eq!(call("POST", "/logstores/a-b/consumergroups/cg"), Err("NotImplemented"));
        assert_eq!(
            call("PUT", "/machinegroups/mg/configs/c"),
            Ok(Call::ApplyConfig("mg".into(), "c".into()))
        );
        assert_eq!(call("GET", "/configs/c"), Ok(Call::GetConfig(Language::Classic, "c".into())));
        assert_eq!(call("POST", "/pipelineconfigs"), Ok(Call::CreateConfig(Language::Pipeline)));
        assert_eq!(call("POST", "/machinegroups/mg/machines"), Err("InvalidMethod"));
        assert_eq!(call("GET", "/machinegroups/mg/other"), Err("NotImplemented"));
        assert_eq!(call("POST", "/Agent/Heartbeat/"), Ok(Call::AgentHeartbeat));
        assert_eq!(call("GET", "/Agent/Heartbeat"), Err("InvalidMethod"));
        assert_eq!(call("PATCH", "/logstores/a-b"), Err("InvalidMethod"));
        assert_eq!(call("GET", "/favicon.ico"), Err("NotImplemented"));
    }
}
