//! Which version of each configuration is wanted, and what it is here: a plan that can be started, or reasons why not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::running::{Marks, Ready};
use crate::collection::kept::Sets;
use crate::collection::report::{ConfigReport, State};
use crate::collection::{Source, Wanted};
use crate::config::collected::{Surroundings, translate};
use crate::config::names::is_project_name;
use crate::config::plan::{AutoCreate, CollectionPlan, DestinationPlan, Plan, Target};

/// Configurations of all sources together.
pub(super) const CONFIGS: usize = 1_000;
const NAME_BYTES: usize = 128;
/// Of a body, in memory and on the disk: there may be a thousand of them.
const BODY_BYTES: usize = 256 << 10;
/// Lists and objects in each other. What is kept stands in some more, and is not read back when there are more than 128.
const BODY_DEPTH: usize = 64;
/// As Logtail calls it.
const USER_DEFINED_ID: &str = "__user_defined_id__";

/// What of our identity enters a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) marks: Marks,
    pub(super) ids: Vec<String>,
}

/// What is good, with its notes, or why it is not.
pub(super) type Verdict = Result<(Ready, Vec<String>), Vec<String>>;

/// What is wanted, by id, and what cannot be even looked at.
pub(super) fn merge(sets: &Sets) -> (BTreeMap<String, Wanted>, Vec<ConfigReport>) {
    let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut refused: BTreeMap<(Source, String), ConfigReport> = BTreeMap::new();
    for (source, set) in sets {
        for wanted in set {
            let id = wanted.id();
            let reason = match all.get(&id) {
                Some(first) if first.source == *source => continue,
                Some(first) => {
                    Some(format!("{} say already what {id} is, and they win", first.source.words()))
                }
                None if all.len() >= CONFIGS => Some(format!("is beyond the {CONFIGS} that are collected")),
                None => name_fault(wanted),
            };
            match reason {
                None => {
                    all.insert(id, wanted.clone());
                }
                // However many there are, their reports are bounded, too.
                Some(_) if refused.len() >= CONFIGS => {}
                Some(reason) => {
                    let report = ConfigReport {
                        source: *source,
                        id: id.clone(),
                        state: State::Refused,
                        reasons: vec![reason],
                        notes: Vec::new(),
                    };
                    refused.insert((*source, id), report);
                }
            }
        }
    }
    (all, refused.into_values().collect())
}

/// Why a body is not even kept.
pub(super) fn body_fault(body: &Value) -> Option<String> {
    let mut left = BODY_BYTES;
    match weigh(body, BODY_DEPTH, &mut left) {
        Some(()) => None,
        None if left == 0 => Some(format!("is larger than {} KiB", BODY_BYTES >> 10)),
        None => Some(format!("has more than {BODY_DEPTH} lists and objects in each other")),
    }
}

/// `None`: it is deeper, or larger and nothing is left.
fn weigh(value: &Value, depth: usize, left: &mut usize) -> Option<()> {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(fields) => fields.keys().map(String::len).sum(),
        _ => 0,
    };
    *left = left.saturating_sub(own + 8);
    if *left == 0 {
        return None;
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| weigh(item, depth.checked_sub(1)?, left)),
        Value::Object(fields) => {
            fields.values().try_for_each(|item| weigh(item, depth.checked_sub(1)?, left))
        }
        _ => Some(()),
    }
}

/// Names become those of queues, metrics and positions.
fn name_fault(wanted: &Wanted) -> Option<String> {
    if !is_project_name(&wanted.project) {
        return Some(format!("project: `{}` is no project name", wanted.project.escape_debug()));
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = &wanted.name;
    let is_name = (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_legal);
    (!is_name).then(|| {
        format!(
            "configName: `{}` is no name; it has 1 to {NAME_BYTES} letters, digits, - and _",
            name.escape_debug()
        )
    })
}

/// A configuration as it would run here, in front of who we are.
pub(super) fn judge(
    main: &Plan,
    collection: &CollectionPlan,
    id: &str,
    wanted: &Wanted,
    facts: &Facts,
) -> Verdict {
    let mut destination = DestinationPlan {
        name: id.to_owned(),
        project: wanted.project.clone(),
        ..collection.destination.clone()
    };
    if wanted.source != Source::MachineGroups {
        destination.auto_create = collection.made_for_resources.clone();
    }
    tag(&mut destination.tags, main, &facts.ids);
    let around = Surroundings {
        id,
        project: &wanted.project,
        group_topic: wanted.group_topic.as_deref(),
        destination: &destination,
        main,
    };
    let mut collected = translate(wanted.form, &wanted.body, &around)?;
    for made in &mut collected.plan.destinations {
        said_by_resource(made, wanted);
    }
    let ready = Ready::new(id, collected.plan, facts.marks.clone()).map_err(|reason| vec![reason])?;
    Ok((ready, collected.notes))
}

/// A resource says how its logstore is made; the embedded service makes one in any case.
fn said_by_resource(destination: &mut DestinationPlan, wanted: &Wanted) {
    let said = wanted.logstores.iter().find(|said| said.name == destination.logstore);
    let is_embedded = matches!(destination.target, Target::Embedded);
    if let Some(said) = said
        && (is_embedded || destination.auto_create.is_some())
    {
        // The embedded service searches all fields of a logstore without an index.
        let general = destination.auto_create.take();
        let general = general.unwrap_or(AutoCreate { index: false, ..AutoCreate::default() });
        destination.auto_create = Some(said.made(&general));
    }
}

/// The ids that a file added are among those of the tag, unless the configuration says what the tag is.
fn tag(tags: &mut Vec<(String, String)>, main: &Plan, ids: &[String]) {
    let ours = main.agent.user_defined_ids.join(",");
    match tags.iter_mut().find(|(key, _)| key == USER_DEFINED_ID) {
        Some((_, value)) if *value == ours => *value = ids.join(","),
        Some(_) => {}
        None if ids.is_empty() => {}
        None => {
            tags.push((USER_DEFINED_ID.to_owned(), ids.join(",")));
            tags.sort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Form;
    use crate::config::collected::resource::read_yaml;
    use crate::config::{self, Flags};
    use serde_json::json;

    fn wanted(source: Source, project: &str, name: &str) -> Wanted {
        let (project, name) = (project.to_owned(), name.to_owned());
        let (form, body, group_topic, logstores) = (Form::Classic, json!({}), None, Vec::new());
        Wanted { source, project, name, form, body, group_topic, logstores }
    }

    #[test]
    fn the_first_source_wins_and_names_are_looked_at() {
        let groups = Source::MachineGroups;
        let sets = Sets::from([
            (
                groups,
                vec![wanted(groups, "ppp", "a.b_C"), wanted(groups, "ppp", "a/b"), wanted(groups, "P", "x")],
            ),
            (
                Source::Directory,
                vec![wanted(Source::Directory, "ppp", "a.b_C"), wanted(Source::Directory, "ppp", "d")],
            ),
        ]);
        let (all, refused) = merge(&sets);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["ppp.a.b_C", "ppp.d"]);
        assert_eq!(all["ppp.a.b_C"].source, groups);
        let refused: Vec<_> =
            refused.iter().map(|report| (report.id.as_str(), report.reasons[0].as_str())).collect();
        assert_eq!(refused.len(), 3);
        assert!(
            refused
                .iter()
                .any(|(id, why)| *id == "ppp.a.b_C" && why.starts_with("the machine groups say already"))
        );
        assert!(refused.iter().any(|(id, why)| *id == "ppp.a/b" && why.starts_with("configName: ")));
        assert!(refused.iter().any(|(id, why)| *id == "P.x" && why.starts_with("project: ")));
    }

    #[test]
    fn a_body_is_what_people_write() {
        let deep = |levels: usize| (0..levels).fold(json!("x"), |inner, _| json!([inner]));
        assert_eq!(body_fault(&json!({ "inputDetail": { "plugin": deep(50) }, "n": 1.5 })), None);
        assert_eq!(body_fault(&deep(BODY_DEPTH)), None);
        assert!(body_fault(&deep(BODY_DEPTH + 1)).unwrap().starts_with("has more than 64 lists"));
        assert_eq!(body_fault(&json!({ "k": "x".repeat(255 << 10) })), None);
        assert_eq!(body_fault(&json!({ "k": "x".repeat(256 << 10) })).unwrap(), "is larger than 256 KiB");
        assert_eq!(body_fault(&json!(vec![0; 40_000])).unwrap(), "is larger than 256 KiB");
    }

    #[test]
    fn a_logstore_is_made_as_its_resource_says() {
        let text = r#"
apiVersion: log.alibabacloud.com/v1alpha1
kind: AliyunLogConfig
metadata: { name: web }
spec:
  logstore: app-log
  shardCount: 4
  lifeCycle: 7
  logtailConfig:
    configName: web
    inputDetail: { logType: json_log, logPath: /var/log, filePattern: a.log }
"#;
        let resource = read_yaml(text).unwrap().remove(0).unwrap();
        let resource = |source: Source| {
            let (project, name) = ("ppp".to_owned(), "web".to_owned());
            let (form, body, logstores) = (resource.form, resource.body.clone(), resource.logstores.clone());
            Wanted { source, project, name, form, body, group_topic: None, logstores }
        };
        let made = |destination: &str, wanted: &Wanted| {
            let text =
                format!("log_service: {{ enabled: true }}\ncollection: {{ directory: /x, {destination} }}");
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let home = [("HOME".to_owned(), "/nonexistent".to_owned())];
            let main = config::load(Some(file.path()), home.into_iter(), &Flags { data_dir: None });
            let main = main.unwrap_or_else(|errors| panic!("{errors}"));
            let marks = Marks { hostname: "h".to_owned(), source: None };
            let facts = Facts { marks, ids: Vec::new() };
            let collection = main.collection.clone().unwrap();
            let (ready, _) = judge(&main, &collection, "ppp.web", wanted, &facts).ok().unwrap();
            ready.destination().auto_create.as_ref().map(|made| (made.shards, made.ttl))
        };
        let cloud = |more: &str| {
            format!(
                "destination: {{ region: cn-hangzhou, project: ppp, access_key_id: i, access_key_secret: s{more} }}"
            )
        };
        let directory = resource(Source::Directory);
        assert_eq!(made(&cloud(""), &directory), Some((4, 7)));
        assert_eq!(made(&cloud(", auto_create: false"), &directory), None);
        assert_eq!(made("", &directory), Some((4, 7)), "the embedded service makes as it is told, too");
        let applied = Wanted { logstores: Vec::new(), ..resource(Source::MachineGroups) };
        assert_eq!((made(&cloud(""), &applied), made("", &applied)), (None, None));
        let before: Wanted =
            serde_json::from_value(json!({ "source": "directory", "project": "ppp", "name": "n",
            "form": "classic", "body": {}, "group_topic": null }))
            .unwrap();
        assert!(before.logstores.is_empty(), "a set that was kept before");
        assert_eq!(serde_json::from_value::<Wanted>(json!(directory)).unwrap(), directory);
    }

    #[test]
    fn a_thousand_are_enough() {
        let groups = Source::MachineGroups;
        let many = (0..CONFIGS + 3).map(|at| wanted(groups, "ppp", &format!("c{at}"))).collect();
        let (all, refused) = merge(&Sets::from([(groups, many)]));
        assert_eq!((all.len(), refused.len()), (CONFIGS, 3));
    }
}
