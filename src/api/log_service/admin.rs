//! Projects and logstores: made, listed, described, deleted. A change answers 200 with an empty body.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::body::{Incoming, JSON_BYTES};
use super::request::{Target, short};
use crate::store::{Logstore, Project, Settings, Store};

#[derive(Deserialize)]
struct ProjectBody {
    #[serde(rename = "projectName", default)]
    name: String,
    #[serde(default)]
    description: Option<String>,
}

pub(super) async fn create_project(store: &Store, incoming: &mut Incoming) -> Result<Answer, Refusal> {
    let body: ProjectBody = json_of(incoming).await?;
    store.create_project(&body.name, &body.description.unwrap_or_default()).await?;
    Ok(Answer::empty())
}

pub(super) async fn update_project(
    store: &Store,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let body: ProjectBody = json_of(incoming).await?;
    store.update_project(target.project()?, &body.description.unwrap_or_default()).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete_project(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    store.delete_project(target.project()?).await?;
    Ok(Answer::empty())
}

pub(super) fn get_project(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    Ok(Answer::json(&described(store.catalog().project(target.project()?)?)))
}

pub(super) fn list_projects(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    let part = target.parameter("projectName").unwrap_or("");
    let catalog = store.catalog();
    let all: Vec<&Project> = catalog.projects().filter(|project| project.name.contains(part)).collect();
    let page: Vec<Value> = page_of(target, &all)?.iter().map(|project| described(project)).collect();
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "projects": page })))
}

pub(super) async fn create_logstore(
    store: &Store,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    struct Create {
        #[serde(rename = "logstoreName")]
        name: String,
        #[serde(flatten)]
        settings: Settings,
    }
    let body: Create = json_of(incoming).await?;
    store.create_logstore(target.project()?, &body.name, body.settings).await?;
    Ok(Answer::empty())
}

pub(super) async fn update_logstore(
    store: &Store,
    target: &Target,
    name: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    store.catalog().logstore(target.project()?, name)?;
    let settings: Settings = json_of(incoming).await?;
    store.update_logstore(target.project()?, name, settings).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete_logstore(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    store.delete_logstore(target.project()?, name).await?;
    Ok(Answer::empty())
}

pub(super) fn get_logstore(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let Logstore { name, settings, created, modified, .. } = catalog.logstore(target.project()?, name)?;
    let mut answer = serde_json::to_value(settings).unwrap_or_default();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("logstoreName".into(), json!(name));
        fields.insert("createTime".into(), json!(created));
        fields.insert("lastModifyTime".into(), json!(modified));
    }
    Ok(Answer::json(&answer))
}

pub(super) fn list_logstores(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    let part = target.parameter("logstoreName").unwrap_or("");
    let metrics = target.parameter("telemetryType").map(|kind| kind.eq_ignore_ascii_case("metrics"));
    let mode = target.parameter("mode");
    let catalog = store.catalog();
    let fits = |logstore: &&Logstore| {
        logstore.name.contains(part)
            && metrics.is_none_or(|metrics| (logstore.settings.telemetry_type == "Metrics") == metrics)
            && mode.is_none_or(|mode| logstore.settings.mode == mode)
    };
    let project = catalog.project(target.project()?)?;
    let all: Vec<&Logstore> = project.logstores.values().filter(fits).collect();
    let page: Vec<&str> = page_of(target, &all)?.iter().map(|logstore| logstore.name.as_str()).collect();
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "logstores": page })))
}

fn described(project: &Project) -> Value {
    json!({
        "projectName": project.name,
        "description": project.description,
        "status": "Normal",
        "owner": "",
        "region": super::REGION,
        "createTime": calendar(project.created),
        "lastModifyTime": calendar(project.modified),
        "resourceGroupId": "",
        "dataRedundancyType": "LRS",
        "recycleBinEnabled": false,
    })
}

/// `2024-01-01 00:00:00`, UTC.
fn calendar(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `offset` and `size` (at most 500) of a list.
pub(super) fn page_of<'a, T>(target: &Target, all: &'a [T]) -> Result<&'a [T], Refusal> {
    let number = |name: &str, default: usize| match target.parameter(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Refusal::new("ParameterInvalid", format!("{name} {} is no number", short(text)))),
    };
    let (offset, size) = (number("offset", 0)?, number("size", 100)?);
    if size > 500 {
        return Err(Refusal::new("ParameterInvalid", "size must be within range [0, 500]"));
    }
    let from = offset.min(all.len());
    Ok(&all[from..from.saturating_add(size).min(all.len())])
}

pub(super) async fn json_of<T: serde::de::DeserializeOwned>(incoming: &mut Incoming) -> Result<T, Refusal> {
    let body = incoming.read(JSON_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Refusal::new("PostBodyInvalid", format!("the body is not the JSON of this call: {error}"))
    })
}
