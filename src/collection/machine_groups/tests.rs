//! Rounds against a service that is a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::survey::Survey;
use super::*;
use crate::base::secret::Secret;
use crate::collection::identity::Identity;
use crate::collection::report::Board;
use crate::collection::{Form, Wanted};
use crate::output::credentials::AccessKey;
use crate::output::testing::{Said, Server};

/// Path to answer; what is not in it does not exist.
type Table = Arc<Mutex<BTreeMap<String, Value>>>;

struct House {
    table: Table,
    server: Server,
}

impl House {
    /// A project with machine groups; each has its members and its configurations.
    async fn new(groups: &[(&str, &[&str], &[&str])]) -> House {
        let table: Table = Table::default();
        let told = table.clone();
        let server = Server::start(move |_, seen| {
            let path = seen.target.split('?').next().unwrap_or_default();
            let key = format!("{} {path}", seen.header("x-log-project"));
            match told.lock().unwrap().get(key.trim()) {
                Some(Value::String(code)) => {
                    let (status, code) = code.split_once(' ').unwrap();
                    Said::log_service(status.parse().unwrap(), code)
                }
                Some(body) => Said::new(200, body.to_string()).with("x-log-requestid", "R"),
                None => Said::log_service(404, "ConfigNotExist"),
            }
        })
        .await;
        let house = House { table, server };
        house.say("/machinegroups", names("machinegroups", groups.iter().map(|group| group.0)));
        for (group, members, configs) in groups {
            house.group(group, "userdefined", members);
            house.say(&format!("/machinegroups/{group}/configs"), names("configs", configs.iter().copied()));
            for config in *configs {
                house.say(&format!("/configs/{config}"), classic(config));
            }
        }
        house
    }

    fn say(&self, path: &str, answer: Value) {
        self.table.lock().unwrap().insert(format!("demo {path}"), answer);
    }

    fn group(&self, group: &str, kind: &str, members: &[&str]) {
        let group_of = json!({
            "groupName": group,
            "groupType": "",
            "groupAttribute": { "externalName": "", "groupTopic": format!("topic-{group}") },
            "machineIdentifyType": kind,
            "machineList": members,
        });
        self.say(&format!("/machinegroups/{group}"), group_of);
    }

    fn settings(&self, project: &str) -> Settings {
        let secret = Secret::new("secret".to_owned());
        let key = AccessKey { id: "id".to_owned(), secret, security_token: None };
        let service = Service::Embedded {
            endpoint: self.server.url(),
            credentials: Credentials::Static(Arc::new(key)),
        };
        Settings {
            service,
            project: project.to_owned(),
            interval: Duration::from_secs(3_600),
            timeout: Duration::from_secs(20),
            kept: Vec::new(),
        }
    }

    /// The paths asked since the last time.
    fn asked(&self, before: &mut usize) -> Vec<String> {
        let seen = self.server.seen();
        let new = seen[*before..].iter().map(|seen| seen.target.split('?').next().unwrap().to_owned());
        let new = new.collect();
        *before = seen.len();
        new
    }
}

fn names<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Value {
    let names: Vec<&str> = names.collect();
    json!({ "count": names.len(), "total": names.len(), key: names })
}

fn classic(name: &str) -> Value {
    json!({ "configName": name, "inputType": "file", "inputDetail": { "logType": "json_log" } })
}

fn who(ids: &[&str], addresses: &[&str]) -> Identity {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Identity { ids: own(ids), hostname: "host".to_owned(), addresses: own(addresses) }
}

fn shown(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(|one| format!("{} {:?} {:?}", one.id(), one.form, one.group_topic)).collect()
}

#[tokio::test]
async fn a_round_costs_what_is_ours_and_a_share_of_the_others() {
    let others: Vec<String> = (0..50).map(|n| format!("other-{n:02}")).collect();
    let others: Vec<(&str, &[&str], &[&str])> =
        others.iter().map(|name| (name.as_str(), ["them"].as_slice(), ["secret"].as_slice())).collect();
    let mut groups = others.clone();
    groups.push(("web", &["them", " web-id "], &["access", "errors"]));
    groups.push(("web-2", &["web-id"], &["errors", "gone"]));
    let house = House::new(&groups).await;
    house.group("other-00", "ip", &["10.0.0.7"]);
    house.say("/configs/gone", json!("404 ConfigNotExist"));
    let mut survey = Survey::new(house.settings("demo"));
    let me = who(&["web-id", "else"], &["10.0.0.9"]);

    let found = survey.round(&me).await.unwrap().wanted;
    assert_eq!(
        shown(&found),
        [r#"demo.access Classic Some("topic-web")"#, r#"demo.errors Classic Some("topic-web")"#]
    );
    assert_eq!(found[0].body, classic("access"));
    let mut before = 0;
    // The list, 52 groups, the configurations of two, each of them once, and the one that is gone in both languages.
    assert_eq!(house.asked(&mut before).len(), 1 + 52 + 2 + 2 + 2);

    // Soon after, hardly one of the others.
    assert_eq!(survey.round(&me).await.unwrap().wanted.len(), 2);
    let asked = house.asked(&mut before);
    let of_others = asked.iter().filter(|path| path.contains("other")).count();
    assert!(of_others <= 2, "{asked:?}");
    assert_eq!(asked.len() - of_others, 1 + 2 * 2 + 2 + 2, "list, own groups twice, own configurations");

    // Who has another address asks for all of them again.
    survey.forget();
    let found = survey.round(&who(&[], &["10.0.0.7"])).await.unwrap().wanted;
    assert_eq!(shown(&found), [r#"demo.secret Classic Some("topic-other-00")"#]);
    // Who has no address any more has to be answered to know that nothing is its own: a machine without network is not.
    assert!(survey.round(&who(&[], &[])).await.unwrap().wanted.is_empty());
    house.say("/machinegroups", json!("503 ServerBusy"));
    assert!(survey.round(&who(&[], &[])).await.is_err());
}

#[tokio::test]
async fn both_languages_share_one_name_space() {
    let house = House::new(&[("web", &["web-id"], &["old", "new", "odd"])]).await;
    house.say("/configs/new", json!("400 ParameterInvalid"));
    house.say("/pipelineconfigs/new", json!({ "configName": "new", "inputs": [{ "Type": "input_file" }] }));
    house.say("/configs/odd", json!({ "configName": "odd" }));
    let mut survey = Survey::new(house.settings("demo"));
    let (me, mut before) = (who(&["web-id"], &[]), 0);
    for round in 0..2 {
        let found = survey.round(&me).await.unwrap().wanted;
        let forms: Vec<(&str, Form)> = found.iter().map(|one| (one.name.as_str(), one.form)).collect();
        assert_eq!(forms, [("new", Form::Pipeline), ("odd", Form::Classic), ("old", Form::Classic)]);
        let asked = house.asked(&mut before);
        assert_eq!(asked.iter().filter(|path| *path == "/configs/new").count(), 1 - round, "remembered");
    }
    // Somebody replaces it by one of the other language.
    house.say("/configs/new", classic("new"));
    house.say("/pipelineconfigs/new", json!("400 ParameterInvalid"));
    assert_eq!(survey.round(&me).await.unwrap().wanted[0].form, Form::Classic);
    // One that is refused in both, or that the key may not read, is told and holds up none of the others.
    for (classic, pipeline, said) in [
        ("400 ParameterInvalid", "400 ParameterInvalid", "ParameterInvalid: m"),
        ("403 Unauthorized", "404 ConfigNotExist", "Unauthorized: m"),
        ("404 ConfigNotExist", "403 Unauthorized", "Unauthorized: m"),
    ] {
        house.say("/configs/new", json!(classic));
        house.say("/pipelineconfigs/new", json!(pipeline));
        let Round { wanted, refused, .. } = survey.round(&me).await.unwrap();
        assert_eq!((wanted.len(), refused.len(), refused[0].0.as_str()), (2, 1, "demo.new"));
        let reason = refused[0].1[0].as_str();
        assert!(reason.starts_with(&format!("configuration new of project demo: {said}")), "{reason}");
    }
}

#[tokio::test]
async fn a_failure_is_no_answer_and_says_what_to_do() {
    let house = House::new(&[("web", &["web-id"], &["access"])]).await;
    let me = who(&["web-id"], &[]);
    for (path, answer, part, rests) in [
        ("/machinegroups", "404 ProjectNotExist", "sluicegate deploy", false),
        ("/machinegroups", "401 Unauthorized", "access key of collection.destination", false),
        ("/machinegroups/web", "403 Unauthorized", "log:GetMachineGroup", false),
        ("/machinegroups/web", "404 NoSuchRoute", "NoSuchRoute", false),
        ("/machinegroups/web/configs", "503 ServerBusy", "asked less often", true),
        ("/configs/access", "403 ReadQuotaExceed", "asked less often", true),
        ("/configs/access", "500 InternalServerError", "asked less often", true),
    ] {
        let before = house.table.lock().unwrap().clone();
        house.say(path, json!(answer));
        let trouble = Survey::new(house.settings("demo")).round(&me).await.unwrap_err();
        assert!(trouble.to_string().contains(part), "{path} {answer}: {trouble}");
        assert_eq!(trouble.wants_rest(), rests, "{answer}");
        *house.table.lock().unwrap() = before;
    }
    // An answer of somebody else is none.
    for path in ["/machinegroups", "/machinegroups/web", "/machinegroups/web/configs"] {
        for answer in [json!({}), json!({ "status": "up", "total": 1 }), json!([])] {
            let before = house.table.lock().unwrap().clone();
            house.say(path, answer.clone());
            let round = Survey::new(house.settings("demo")).round(&me).await;
            assert!(round.is_err(), "{path} {answer}");
            *house.table.lock().unwrap() = before;
        }
    }
    // What goes away between two requests is no failure.
    house.say("/machinegroups", names("machinegroups", ["gone", "web", "not/a/name"].into_iter()));
    house.say("/machinegroups/gone", json!("404 GroupNotExist"));
    assert_eq!(Survey::new(house.settings("demo")).round(&me).await.unwrap().wanted.len(), 1);
}

#[tokio::test]
async fn without_a_project_all_that_let_us_in_are_asked() {
    let house = House::new(&[("web", &["web-id"], &["access"])]).await;
    let project = |name: &str| json!({ "projectName": name, "region": "" });
    let listed = json!({ "total": 3, "projects": [project("demo"), project("closed"), project("deleted")] });
    house.table.lock().unwrap().insert("/".to_owned(), listed);
    let closed = |answer: &str| {
        house.table.lock().unwrap().insert("closed /machinegroups".to_owned(), json!(answer));
    };
    closed("403 Unauthorized");
    let deleted = ("deleted /machinegroups".to_owned(), json!("404 ProjectNotExist"));
    house.table.lock().unwrap().extend([deleted]);
    let mut survey = Survey::new(house.settings(""));
    let me = who(&["web-id"], &[]);
    let all = survey.round(&me).await.unwrap();
    assert_eq!(shown(&all.wanted), [r#"demo.access Classic Some("topic-web")"#]);
    assert_eq!(all.warning, None);
    // What let us in once goes on when it does not any more, is not even listed, or did so before a restart.
    let alone = json!({ "total": 1, "projects": [project("closed")] });
    let mut settings = house.settings("");
    settings.kept = all.wanted;
    let mut later = Survey::new(settings);
    house.say("/machinegroups", json!("403 Unauthorized"));
    for survey in [&mut survey, &mut later] {
        for _ in 0..2 {
            let all = survey.round(&me).await.unwrap();
            assert_eq!(shown(&all.wanted), [r#"demo.access Classic Some("topic-web")"#]);
            let warning = all.warning.unwrap();
            assert!(warning.starts_with("project demo: Unauthorized"), "{warning}");
        }
        house.table.lock().unwrap().insert("/".to_owned(), alone.clone());
    }
    // It says itself that it is no more.
    house.say("/machinegroups", json!("404 ProjectNotExist"));
    assert!(survey.round(&me).await.unwrap().wanted.is_empty());
    closed("503 ServerBusy");
    assert!(survey.round(&me).await.unwrap_err().wants_rest());
}

#[tokio::test]
async fn a_new_identity_counts_at_once() {
    let house = House::new(&[("web", &["web-id"], &["access"]), ("db", &["db-id"], &["slow"])]).await;
    let (identity, watched) = watch::channel(Arc::new(who(&["web-id"], &[])));
    let (found, mut rounds) = mpsc::channel(1);
    let board = Arc::new(Board::new(&BTreeSet::from([Source::MachineGroups])));
    let stop = CancellationToken::new();
    let outcomes = board.outcomes();
    let context =
        SourceContext { found, identity: watched, outcomes, stop: stop.clone(), board: board.clone() };
    let running = tokio::spawn(run(house.settings("demo"), context));
    assert_eq!(rounds.recv().await.unwrap().wanted[0].name, "access");
    // The next round would be in an hour.
    identity.send_replace(Arc::new(who(&["db-id"], &[])));
    assert_eq!(rounds.recv().await.unwrap().wanted[0].name, "slow");
    house.say("/machinegroups", json!("401 Unauthorized"));
    identity.send_replace(Arc::new(who(&["web-id"], &[])));
    while board.document()["sources"][0]["error"].is_null() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(rounds.try_recv().is_err(), "a failure tells nothing");
    stop.cancel();
    running.await.unwrap();
}
