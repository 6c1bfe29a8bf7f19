//! One look at everything that machine groups hold for us, and what is remembered between two looks.
//!
//! Remembered per project: when a group of others was last asked for, and in which language a configuration is written. Both
//! languages share one name space and each has a call of its own, which refuses the other's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::Settings;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::collection::identity::Identity;
use crate::collection::{Form, Source, Wanted};
use crate::output::Client;
use crate::output::calls::{CallError, is_askable};

/// Within this time each group of others is asked for again.
pub(super) const FOREIGN: Duration = Duration::from_secs(40);
/// Configurations of one gateway; Log Service has room for fewer in a project.
const CONFIGS: usize = 1_000;
const SAID_AGAIN: Duration = Duration::from_secs(3_600);

pub(super) struct Survey {
    settings: Settings,
    /// By project; the one without a name lists projects.
    clients: HashMap<String, Arc<Client>>,
    projects: HashMap<String, Memory>,
    counts: Counts,
    odd_names: LogLimit,
    closed_projects: LogLimit,
}

/// What is remembered of a project.
#[derive(Default)]
struct Memory {
    /// Groups of others, and when they were asked for.
    foreign: HashMap<String, Instant>,
    looked: Option<Instant>,
    pipelines: HashSet<String>,
    /// It let us look once.
    is_open: bool,
}

struct Counts {
    ok: Counter,
    failed: Counter,
}

/// What went wrong where.
#[derive(Debug)]
pub(super) struct Trouble {
    what: String,
    why: CallError,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Group {
    machine_identify_type: String,
    machine_list: Option<Vec<String>>,
    group_attribute: Option<Attribute>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attribute {
    group_topic: Option<String>,
}

#[derive(Deserialize)]
struct Applied {
    #[serde(default)]
    configs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    project_name: String,
    #[serde(default)]
    region: Option<String>,
}

impl Survey {
    pub(super) fn new(settings: Settings) -> Survey {
        let count = |outcome| {
            counter(
                "sluicegate_collection_requests_total",
                "Requests to Log Service about machine groups and their configurations.",
                &[("outcome", outcome)],
            )
        };
        Survey {
            settings,
            clients: HashMap::new(),
            projects: HashMap::new(),
            counts: Counts { ok: count("ok"), failed: count("failed") },
            odd_names: LogLimit::new(SAID_AGAIN),
            closed_projects: LogLimit::new(SAID_AGAIN),
        }
    }

    /// We are somebody else: groups of others may be ours.
    pub(super) fn forget(&mut self) {
        self.projects.values_mut().for_each(|memory| memory.foreign.clear());
    }

    /// Everything, or why it is not known.
    pub(super) async fn round(&mut self, who: &Identity) -> Result<Vec<Wanted>, Trouble> {
        let named = self.settings.project.clone();
        if who.ids.is_empty() && who.addresses.is_empty() {
            return Ok(Vec::new());
        }
        if !named.is_empty() {
            return self.project(&named, who).await;
        }
        let projects = self.list_projects().await?;
        self.clients.retain(|name, _| name.is_empty() || projects.contains(name));
        self.projects.retain(|name, _| projects.contains(name));
        let mut all = Vec::new();
        for project in projects {
            match self.project(&project, who).await {
                Ok(wanted) => all.extend(wanted),
                Err(trouble) if trouble.why.code() == "ProjectNotExist" => {}
                Err(trouble) if self.is_closed(&project, &trouble) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(all)
    }

    /// A key may list all projects and be let into some: one that never let it in has nothing that could be kept.
    fn is_closed(&self, project: &str, trouble: &Trouble) -> bool {
        let refused = matches!(trouble.why.status(), Some(401 | 403)) && !trouble.wants_rest();
        let was_open = self.projects.get(project).is_some_and(|memory| memory.is_open);
        if refused && !was_open && self.closed_projects.allow().is_some() {
            tracing::warn!("machine groups of a project are left out: {trouble}");
        }
        refused && !was_open
    }

    async fn list_projects(&mut self) -> Result<Vec<String>, Trouble> {
        let of = |why| Trouble { what: "the projects of the service".to_owned(), why };
        let client = self.client("").await.map_err(of)?;
        let listed = client.list::<Project>("/", "projects").await;
        let region = self.settings.service.region();
        let ours = |project: &Project| match (region, project.region.as_deref()) {
            (Some(ours), Some(its)) => its.is_empty() || its == ours,
            _ => true,
        };
        let listed = self.counts.note(listed).map_err(of)?;
        let mut names: Vec<String> =
            listed.into_iter().filter(ours).map(|project| project.project_name).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn project(&mut self, project: &str, who: &Identity) -> Result<Vec<Wanted>, Trouble> {
        let client = self.client(project).await.map_err(|why| trouble_of(project, "", why))?;
        let mut memory = self.projects.remove(project).unwrap_or_default();
        let looked = self.look(&client, project, who, &mut memory).await;
        memory.is_open |= looked.is_ok();
        self.projects.insert(project.to_owned(), memory);
        looked
    }

    async fn look(
        &self,
        client: &Client,
        project: &str,
        who: &Identity,
        memory: &mut Memory,
    ) -> Result<Vec<Wanted>, Trouble> {
        let listed = client.list::<String>("/machinegroups", "machinegroups").await;
        let listed = self.counts.note(listed).map_err(|why| trouble_of(project, "", why))?;
        let mut groups = self.askable(listed, project, "machine group");
        groups.sort_unstable();
        groups.dedup();
        memory.choose(&mut groups, Instant::now());
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for group in groups {
            let of_group = |why| trouble_of(project, &format!("machine group {group} of "), why);
            let path = format!("/machinegroups/{group}");
            let asked = self.counts.there(client.ask::<Group>(&path, &[]).await).map_err(of_group)?;
            let Some(found) = asked else { continue };
            if !found.has(who) {
                memory.foreign.insert(group, Instant::now());
                continue;
            }
            memory.foreign.remove(&group);
            let applied = client.ask::<Applied>(&format!("{path}/configs"), &[]).await;
            let Some(applied) = self.counts.there(applied).map_err(of_group)? else { continue };
            let topic = found.group_attribute.and_then(|attribute| attribute.group_topic);
            let topic = topic.filter(|topic| !topic.is_empty());
            for name in self.askable(applied.configs.unwrap_or_default(), project, "configuration") {
                // Of several groups the first gives the topic.
                if wanted.contains_key(&name) {
                    continue;
                }
                if wanted.len() == CONFIGS {
                    let path = format!("{path}/configs");
                    return Err(of_group(CallError::Endless { path }));
                }
                let Some((form, body)) = self.config(client, project, &name, memory).await? else { continue };
                let config = Wanted {
                    source: Source::MachineGroups,
                    project: project.to_owned(),
                    name: name.clone(),
                    form,
                    body,
                    group_topic: topic.clone(),
                    logstores: Vec::new(),
                };
                wanted.insert(name, config);
            }
        }
        memory.pipelines.retain(|name| wanted.contains_key(name));
        Ok(wanted.into_values().collect())
    }

    /// A configuration, in the language that it is written in. `None`: it has gone.
    async fn config(
        &self,
        client: &Client,
        project: &str,
        name: &str,
        memory: &mut Memory,
    ) -> Result<Option<(Form, Value)>, Trouble> {
        let mut forms = [Form::Classic, Form::Pipeline];
        if memory.pipelines.contains(name) {
            forms.reverse();
        }
        let (mut refusal, mut strange, mut gone) = (None, None, false);
        for form in forms {
            let path = match form {
                Form::Classic => format!("/configs/{name}"),
                Form::Pipeline => format!("/pipelineconfigs/{name}"),
            };
            match self.counts.note(client.ask::<Value>(&path, &[]).await) {
                Ok(body) if is_of(form, &body) => {
                    match form {
                        Form::Classic => memory.pipelines.remove(name),
                        Form::Pipeline => memory.pipelines.insert(name.to_owned()),
                    };
                    return Ok(Some((form, body)));
                }
                Ok(body) => strange = Some((form, body)),
                // Refused, as one of the other language is.
                Err(why) if is_of_this_config(&why) => {
                    gone |= why.is_absent();
                    refusal.get_or_insert(why);
                }
                Err(why) => return Err(trouble_of(project, &format!("configuration {name} of "), why)),
            }
        }
        // What is neither is refused by name where it is translated.
        match (strange, refusal) {
            (Some(strange), _) => Ok(Some(strange)),
            (None, Some(why)) if !gone => Err(trouble_of(project, &format!("configuration {name} of "), why)),
            _ => Ok(None),
        }
    }

    fn askable(&self, names: Vec<String>, project: &str, what: &str) -> Vec<String> {
        let (askable, odd): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_askable(name));
        if let Some(name) = odd.first()
            && self.odd_names.allow().is_some()
        {
            let name: String = name.chars().take(100).collect();
            tracing::warn!(%project, "a {what} has a name that Log Service cannot have and is left out: {name:?}");
        }
        askable
    }

    async fn client(&mut self, project: &str) -> Result<Arc<Client>, CallError> {
        if let Some(client) = self.clients.get(project) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.settings.service.client(project, self.settings.timeout).await?);
        self.clients.insert(project.to_owned(), client.clone());
        Ok(client)
    }
}

impl Memory {
    /// Takes those out that are known to be others', but for as many as makes each of them be asked for within [`FOREIGN`].
    fn choose(&mut self, groups: &mut Vec<String>, now: Instant) {
        self.foreign.retain(|name, _| groups.binary_search(name).is_ok());
        let since = self.looked.replace(now).map_or(FOREIGN, |looked| now.duration_since(looked));
        let share = since.as_secs_f64() / FOREIGN.as_secs_f64();
        let due = (self.foreign.len() as f64 * share.min(1.0)).ceil() as usize;
        let mut oldest: Vec<(Instant, &String)> = self.foreign.iter().map(|(name, at)| (*at, name)).collect();
        oldest.sort_unstable();
        let rest: HashSet<&String> = oldest.iter().skip(due).map(|(_, name)| *name).collect();
        groups.retain(|name| !rest.contains(name));
    }
}

impl Counts {
    fn note<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        match &outcome {
            Ok(_) => self.ok.increment(1),
            // That something is not there is an answer.
            Err(why) if is_of_this_config(why) => self.ok.increment(1),
            Err(_) => self.failed.increment(1),
        }
        outcome
    }

    /// `None` for what went away since it was named.
    fn there<T>(&self, outcome: Result<T, CallError>) -> Result<Option<T>, CallError> {
        match self.note(outcome) {
            Ok(found) => Ok(Some(found)),
            Err(why) if why.is_absent() && why.code() != "ProjectNotExist" => Ok(None),
            Err(why) => Err(why),
        }
    }
}

impl Group {
    fn has(&self, who: &Identity) -> bool {
        let ours = match self.machine_identify_type.as_str() {
            "userdefined" => &who.ids,
            "ip" => &who.addresses,
            _ => return false,
        };
        self.machine_list.iter().flatten().any(|member| ours.iter().any(|own| own == member.trim()))
    }
}

fn is_of(form: Form, body: &Value) -> bool {
    match form {
        Form::Classic => body["inputType"].is_string() && body["inputDetail"].is_object(),
        Form::Pipeline => body["inputs"].is_array(),
    }
}

/// A refusal that concerns the one thing that was asked for, and neither us nor the service.
fn is_of_this_config(why: &CallError) -> bool {
    why.code() != "ProjectNotExist"
        && (why.is_absent()
            || why.code() == "ParameterInvalid"
            || (why.status() == Some(400) && why.code().contains("Config")))
}

fn trouble_of(project: &str, what: &str, why: CallError) -> Trouble {
    Trouble { what: format!("{what}project {project}"), why }
}

impl Trouble {
    pub(super) fn wants_rest(&self) -> bool {
        self.why.wants_rest()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            // The number of a request would make the same trouble look like another one each time.
            CallError::Refused { status, code, message, .. } => {
                write!(f, "{}: {code}: {message} (HTTP {status})", self.what)?;
            }
            why => write!(f, "{}: {why}", self.what)?,
        }
        let help = match (self.why.status(), self.why.code()) {
            (_, "ProjectNotExist") => {
                "make the project, with `sluicegate deploy` or the console, or name another one"
            }
            _ if self.wants_rest() => "it is asked less often until it answers",
            (Some(401), _) => "the access key of collection.destination is wrong or disabled",
            (Some(403), _) => {
                "the owner of the access key has to allow log:ListMachineGroup, log:GetMachineGroup, log:GetAppliedConfigs, \
                 log:GetConfig and log:GetLogtailPipelineConfig, and log:ListProject where collection.destination names no project"
            }
            _ => return Ok(()),
        };
        write!(f, "; {help}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_others_come_up_one_by_one_and_all_of_them_in_time() {
        let names: Vec<String> = (0..10).map(|n| format!("other-{n}")).collect();
        let mut memory = Memory::default();
        let mut now = Instant::now();
        let mut round = |after: Duration| {
            now += after;
            let mut groups = names.clone();
            memory.choose(&mut groups, now);
            // All of them are asked for, and none is ours.
            memory.foreign.extend(groups.iter().map(|name| (name.clone(), now)));
            groups
        };
        assert_eq!(round(Duration::ZERO).len(), 10, "nothing is known");
        let mut asked = Vec::new();
        for _ in 0..4 {
            let now = round(FOREIGN / 4);
            assert!((2..=3).contains(&now.len()), "{now:?}");
            asked.extend(now);
        }
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 10);
        assert_eq!(round(FOREIGN * 3).len(), 10, "who looks seldom asks for all of them");
        let mut groups = vec!["new".to_owned()];
        memory.choose(&mut groups, now);
        assert_eq!((groups.len(), memory.foreign.len()), (1, 0));
    }
}
