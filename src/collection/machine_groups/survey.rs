//! One look at everything that machine groups hold for us. Both languages of configurations share one name space, and each
//! has a call of its own, which refuses the other's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Settings;
use super::answers::{Applied, Group, Project, is_forbidden, is_gone, is_of, is_of_this_config};
use super::memory::Memory;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::collection::identity::Identity;
use crate::collection::{Form, Source, Wanted};
use crate::output::Client;
use crate::output::calls::{CallError, is_askable};

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

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) wanted: Vec<Wanted>,
    /// Configurations that cannot be read, by id, with the reason.
    pub(super) refused: Vec<(String, Vec<String>)>,
    /// A project does not let us look any more; what it had goes on.
    pub(super) warning: Option<String>,
}

/// What asking for a configuration gives.
enum Config {
    There(Form, Value),
    Gone,
    Refused(String),
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

impl Survey {
    pub(super) fn new(settings: Settings) -> Survey {
        let count = |outcome| {
            counter(
                "sluicegate_collection_requests_total",
                "Requests to Log Service about machine groups and their configurations.",
                &[("outcome", outcome)],
            )
        };
        let mut projects: HashMap<String, Memory> = HashMap::new();
        for wanted in &settings.kept {
            projects.entry(wanted.project.clone()).or_default().last.push(wanted.clone());
        }
        Survey {
            settings,
            clients: HashMap::new(),
            projects,
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
    pub(super) async fn round(&mut self, who: &Identity) -> Result<Round, Trouble> {
        let named = self.settings.project.clone();
        if !named.is_empty() {
            return self.project(&named, who).await;
        }
        let mut projects = self.list_projects().await?;
        // One that we collect from and that is not listed any more has gone, or our right to see it: it says so itself.
        let ours = self.projects.iter().filter(|(_, memory)| !memory.last.is_empty());
        projects.extend(ours.map(|(project, _)| project.clone()));
        projects.sort_unstable();
        projects.dedup();
        self.clients.retain(|name, _| name.is_empty() || projects.binary_search(name).is_ok());
        self.projects.retain(|name, _| projects.binary_search(name).is_ok());
        let mut all = Round::default();
        for project in projects {
            match self.project(&project, who).await {
                Ok(Round { wanted, refused, .. }) => {
                    all.wanted.extend(wanted);
                    all.refused.extend(refused);
                }
                Err(trouble) if trouble.why.code() == "ProjectNotExist" => {
                    self.projects.remove(&project);
                }
                Err(trouble) if is_forbidden(&trouble.why) => self.go_on(&project, trouble, &mut all),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(all)
    }

    /// A key may list all projects and be let into some: one that never let it in has nothing that could be kept.
    fn go_on(&self, project: &str, trouble: Trouble, all: &mut Round) {
        let last = self.projects.get(project).map(|memory| memory.last.clone()).unwrap_or_default();
        if !last.is_empty() {
            all.warning.get_or_insert_with(|| format!("{trouble}; what it said last stands"));
        } else if self.closed_projects.allow().is_some() {
            tracing::warn!("machine groups of a project are left out: {trouble}");
        }
        all.wanted.extend(last);
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

    async fn project(&mut self, project: &str, who: &Identity) -> Result<Round, Trouble> {
        let client = self.client(project).await.map_err(|why| trouble_of(project, "", why))?;
        let mut memory = self.projects.remove(project).unwrap_or_default();
        let looked = self.look(&client, project, who, &mut memory).await;
        if let Ok(round) = &looked {
            let is_refused = |one: &&Wanted| round.refused.iter().any(|(id, _)| *id == one.id());
            let stays: Vec<Wanted> = memory.last.iter().filter(is_refused).cloned().collect();
            memory.last = round.wanted.iter().cloned().chain(stays).collect();
        }
        self.projects.insert(project.to_owned(), memory);
        looked
    }

    async fn look(
        &self,
        client: &Client,
        project: &str,
        who: &Identity,
        memory: &mut Memory,
    ) -> Result<Round, Trouble> {
        let listed = client.list::<String>("/machinegroups", "machinegroups").await;
        let listed = self.counts.note(listed).map_err(|why| trouble_of(project, "", why))?;
        let mut groups = self.askable(listed, project, "machine group");
        groups.sort_unstable();
        groups.dedup();
        memory.choose(&mut groups, Instant::now());
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
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
            let topic = found.topic();
            for name in self.askable(applied.configs, project, "configuration") {
                // Of several groups the first gives the topic.
                if wanted.contains_key(&name) || refused.contains_key(&name) {
                    continue;
                }
                if wanted.len() + refused.len() >= CONFIGS {
                    let path = format!("{path}/configs");
                    return Err(of_group(CallError::Endless { path }));
                }
                let (form, body) = match self.config(client, project, &name, memory).await? {
                    Config::There(form, body) => (form, body),
                    Config::Gone => continue,
                    Config::Refused(reason) => {
                        refused.insert(name, vec![reason]);
                        continue;
                    }
                };
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
        let id = |(name, reasons)| (format!("{project}.{name}"), reasons);
        Ok(Round {
            wanted: wanted.into_values().collect(),
            refused: refused.into_iter().map(id).collect(),
            warning: None,
        })
    }

    /// A configuration, in the language that it is written in.
    async fn config(
        &self,
        client: &Client,
        project: &str,
        name: &str,
        memory: &mut Memory,
    ) -> Result<Config, Trouble> {
        let mut forms = [Form::Classic, Form::Pipeline];
        if memory.pipelines.contains(name) {
            forms.reverse();
        }
        let (mut refusal, mut strange, mut forbidden, mut gone) = (None, None, None, 0);
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
                    return Ok(Config::There(form, body));
                }
                Ok(body) => strange = Some((form, body)),
                // Refused, as one of the other language is.
                Err(why) if is_of_this_config(&why) => {
                    gone += usize::from(is_gone(&why));
                    refusal.get_or_insert(why);
                }
                // Who may not read it cannot say that it has gone, and all others are none the worse.
                Err(why) if is_forbidden(&why) => {
                    let reason = trouble_of(project, &format!("configuration {name} of "), why).to_string();
                    forbidden.get_or_insert(reason);
                }
                Err(why) => return Err(trouble_of(project, &format!("configuration {name} of "), why)),
            }
        }
        Ok(match (strange, forbidden, refusal) {
            // What is neither is refused by name where it is translated.
            (Some((form, body)), ..) => Config::There(form, body),
            (None, Some(reason), _) => Config::Refused(reason),
            (None, None, Some(why)) if gone == 0 => {
                Config::Refused(trouble_of(project, &format!("configuration {name} of "), why).to_string())
            }
            _ => Config::Gone,
        })
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
            Err(why) if is_gone(&why) => Ok(None),
            Err(why) => Err(why),
        }
    }
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
