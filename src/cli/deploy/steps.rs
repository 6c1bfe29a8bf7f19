//! What a cluster needs in Log Service, step by step. A step looks whether it is there, and makes it where it is not.
//!
//! A new project or logstore is not known everywhere at once: what is told that it does not exist is tried again for a while
//! after one was made here. Somebody who makes the same at the same time is no failure.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::names::{CHANGES, Names};
use crate::output::Client;
use crate::output::calls::CallError;
use crate::output::ensure::TOKENS;

/// A step that is told of what was just made that it does not exist is tried so often, after this.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);
/// Days for which the changes of configurations are kept.
const CHANGES_DAYS: u32 = 90;
/// Their fields, each with an index of its own.
const CHANGES_FIELDS: [&str; 4] = ["config", "source", "state", "reason"];

/// The description of projects that are made here. Only these are deleted.
const ABOUT: &str = "logs of a Kubernetes cluster, made by sluicegate deploy";

enum Step<'a> {
    Project(&'a str),
    Logstore,
    Index,
    /// A machine group, whose name is the id of its members.
    Group(&'a str),
}

/// All steps in order. `dry_run` only looks.
pub(super) async fn deploy(
    client: &Client,
    names: &Names,
    dry_run: bool,
    tell: &mut impl FnMut(&str),
) -> Result<()> {
    let mut steps = vec![Step::Project(&names.project), Step::Logstore, Step::Index];
    steps.extend(names.groups.iter().map(|group| Step::Group(group)));
    let count = steps.len();
    let (mut made_some, mut is_empty) = (false, false);
    for (index, step) in steps.iter().enumerate() {
        let name = step.name();
        let failed = || {
            let kept = "what was made stays, and the same command goes on from here";
            format!("step {} of {count}, {name}, failed; {kept}", index + 1)
        };
        // In a project that is still to be made, there is nothing.
        let found = if is_empty { None } else { step.look(client).await.with_context(failed)? };
        let told = match &found {
            Some(body) => {
                if let Some(note) = step.differs(body) {
                    tell(&format!("note: {name} {note}"));
                }
                "was there"
            }
            None if dry_run => {
                is_empty |= matches!(step, Step::Project(_));
                "would be made"
            }
            None if step.make(client, made_some).await.with_context(failed)? => {
                made_some = true;
                "made"
            }
            None => "was there",
        };
        tell(&format!("{:<60} {told}", name));
    }
    Ok(())
}

impl Step<'_> {
    fn name(&self) -> String {
        match self {
            Step::Project(project) => format!("project {project}"),
            Step::Logstore => format!("logstore {CHANGES}"),
            Step::Index => format!("index of logstore {CHANGES}"),
            Step::Group(group) => format!("machine group {group}"),
        }
    }

    /// Where it is shown.
    fn path(&self) -> String {
        match self {
            Step::Project(_) => "/".to_owned(),
            Step::Logstore => format!("/logstores/{CHANGES}"),
            Step::Index => format!("/logstores/{CHANGES}/index"),
            Step::Group(group) => format!("/machinegroups/{group}"),
        }
    }

    async fn look(&self, client: &Client) -> Result<Option<Value>> {
        match client.ask::<Value>(&self.path(), &[]).await {
            Ok(body) => Ok(Some(body)),
            Err(why) if is_missing(&why) => Ok(None),
            Err(why) => Err(self.helped(why)),
        }
    }

    /// False when it was there after all.
    async fn make(&self, client: &Client, is_new: bool) -> Result<bool> {
        let (path, body) = match self {
            Step::Project(project) => {
                ("/".to_owned(), json!({ "projectName": project, "description": ABOUT }))
            }
            Step::Logstore => {
                let body = json!({
                    "logstoreName": CHANGES,
                    "ttl": CHANGES_DAYS,
                    "shardCount": 1,
                    "autoSplit": true,
                    "maxSplitShard": 64,
                    "appendMeta": false,
                    "enable_tracking": false,
                    "mode": "standard",
                    "telemetryType": "",
                });
                ("/logstores".to_owned(), body)
            }
            Step::Index => (self.path(), index()),
            Step::Group(group) => {
                let body = json!({
                    "groupName": group,
                    "groupType": "",
                    "groupAttribute": { "externalName": "", "groupTopic": "" },
                    "machineIdentifyType": "userdefined",
                    "machineList": [group],
                });
                ("/machinegroups".to_owned(), body)
            }
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match client.order("POST", &path, Some(&body)).await {
                Ok(()) => return Ok(true),
                Err(why) if why.is_there() => return Ok(false),
                Err(why) if is_new && why.is_absent() && tries < TRIES => tokio::time::sleep(PAUSE).await,
                Err(why) => return Err(self.helped(why)),
            }
        }
    }

    /// What is there and would not do what it is there for.
    fn differs(&self, body: &Value) -> Option<String> {
        let Step::Group(group) = self else { return None };
        let mut members = body["machineList"].as_array().into_iter().flatten();
        let takes = body["machineIdentifyType"] == "userdefined" && members.any(|member| *member == **group);
        (!takes).then(|| {
            format!(
                "was there and does not take agents with the user-defined id {group}; change it, or its gateways get nothing"
            )
        })
    }

    fn helped(&self, why: CallError) -> anyhow::Error {
        match (self, why.status()) {
            (Step::Project(project), Some(401 | 403)) => anyhow!(
                "{why}; either the access key may not do this (log:GetProject, log:CreateProject), or {project} belongs to \
                 somebody else, as all customers share one name space: choose another one with --project"
            ),
            (_, Some(401 | 403)) => anyhow!("{why}; the access key may not do this"),
            _ => anyhow!("{why}"),
        }
    }
}

/// What undeploying deletes, in this order.
pub(super) struct Doomed {
    /// Machine groups of the cluster that are there.
    pub(super) groups: Vec<String>,
    /// All logstores of its project, where that is deleted.
    pub(super) logs: Option<Vec<String>>,
}

/// What is there of a cluster. `logs`: its project is to go, too.
pub(super) async fn doomed(client: &Client, names: &Names, logs: bool) -> Result<Doomed> {
    let listed = match client.list::<String>("/machinegroups", "machinegroups").await {
        Ok(listed) => listed,
        Err(why) if is_missing(&why) => return Ok(Doomed { groups: Vec::new(), logs: None }),
        Err(why) => return Err(why.into()),
    };
    let groups: Vec<String> = names.groups.iter().filter(|group| listed.contains(group)).cloned().collect();
    if !logs {
        return Ok(Doomed { groups, logs: None });
    }
    let others: Vec<&str> =
        listed.iter().filter(|group| !names.groups.contains(group)).map(String::as_str).collect();
    if !others.is_empty() {
        bail!(
            "--delete-logs: project {} has machine groups that are not of cluster {} ({}), so it is used by others, too; \
             delete single logstores instead, in the console",
            names.project,
            names.cluster_id,
            others.join(", ")
        );
    }
    let project: Value = client.ask("/", &[]).await?;
    if project["description"] != ABOUT {
        bail!(
            "--delete-logs: project {} was not made by sluicegate deploy, as its description says; delete it in the console, if \
             nobody else uses it",
            names.project
        );
    }
    Ok(Doomed { groups, logs: Some(client.list("/logstores", "logstores").await?) })
}

pub(super) async fn delete(
    client: &Client,
    names: &Names,
    doomed: &Doomed,
    tell: &mut impl FnMut(&str),
) -> Result<()> {
    let groups = doomed
        .groups
        .iter()
        .map(|group| (format!("machine group {group}"), format!("/machinegroups/{group}")));
    let project = doomed.logs.iter().map(|_| (format!("project {}", names.project), "/".to_owned()));
    for (name, path) in groups.chain(project) {
        match client.order("DELETE", &path, None).await {
            Ok(()) => tell(&format!("{name:<60} deleted")),
            Err(why) if is_missing(&why) => tell(&format!("{name:<60} was not there")),
            Err(why) => {
                return Err(anyhow!("{name} cannot be deleted; the same command goes on from here: {why}"));
            }
        }
    }
    Ok(())
}

/// Some calls say that something does not exist with another status than 404.
fn is_missing(why: &CallError) -> bool {
    why.is_absent() || why.code().ends_with("NotExist")
}

fn index() -> Value {
    let tokens: Vec<String> = TOKENS.chars().map(String::from).collect();
    let text =
        json!({ "type": "text", "token": tokens, "caseSensitive": false, "chn": false, "doc_value": true });
    let keys: Map<String, Value> =
        CHANGES_FIELDS.iter().map(|field| ((*field).to_owned(), text.clone())).collect();
    json!({ "line": { "token": tokens, "caseSensitive": false, "chn": false }, "keys": keys })
}
