//! Machine groups: made, listed, described, changed, deleted; their machines, and the configs that are applied to them.

use serde_json::{Value, json};

use super::admin::{json_of, page_of};
use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::request::{Target, short};
use crate::store::Store;
use crate::store::collection::{Machine, Object};

pub(super) async fn create(
    store: &Store,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let body: Object = json_of(incoming).await?;
    let name = name_in(&body, "groupName")?;
    store.put_machine_group((target.project()?, &name), body, false).await?;
    Ok(Answer::empty())
}

pub(super) async fn update(
    store: &Store,
    target: &Target,
    name: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    store.catalog().machine_group((target.project()?, name))?;
    let mut body: Object = json_of(incoming).await?;
    keep_name(&mut body, "groupName", name)?;
    store.put_machine_group((target.project()?, name), body, true).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    store.delete_machine_group((target.project()?, name)).await?;
    Ok(Answer::empty())
}

/// As it was sent, with its times.
pub(super) fn get(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let group = catalog.machine_group((target.project()?, name))?;
    let mut answer = Object::clone(&group.body);
    for (key, default) in
        [("groupType", json!("")), ("groupAttribute", json!({ "externalName": "", "groupTopic": "" }))]
    {
        answer.entry(key).or_insert(default);
    }
    answer.insert("createTime".into(), json!(group.created));
    answer.insert("lastModifyTime".into(), json!(group.modified));
    Ok(Answer::json(&Value::Object(answer)))
}

pub(super) fn list(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    let part = target.parameter("groupName").unwrap_or("");
    let catalog = store.catalog();
    let groups = catalog.project(target.project()?)?.machine_groups.keys();
    let all: Vec<&String> = groups.filter(|name| name.contains(part)).collect();
    let page = page_of(target, &all)?;
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "machinegroups": page })))
}

pub(super) fn machines(store: &Store, target: &Target, name: &str, now: i64) -> Result<Answer, Refusal> {
    let all = store.machines_of((target.project()?, name), now)?;
    let page: Vec<Value> = page_of(target, &all)?.iter().map(described).collect();
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "machines": page })))
}

/// `action=add|delete`, and a list of addresses or ids.
pub(super) async fn change_machines(
    store: &Store,
    target: &Target,
    name: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let add = match target.parameter("action") {
        Some("add") => true,
        Some("delete") => false,
        Some(other) => {
            let message = format!("action {} is neither add nor delete", short(other));
            return Err(Refusal::new("ParameterInvalid", message));
        }
        None => return Err(Refusal::missing_parameter("action")),
    };
    let machines: Vec<String> = json_of(incoming).await?;
    store.change_machines((target.project()?, name), machines, add).await?;
    Ok(Answer::empty())
}

/// Applies a config, or with `remove` takes it off.
pub(super) async fn apply(
    store: &Store,
    target: &Target,
    (group, config): (&str, &str),
    remove: bool,
) -> Result<Answer, Refusal> {
    store.apply_config((target.project()?, group), config, remove).await?;
    Ok(Answer::empty())
}

pub(super) fn configs(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let configs = &catalog.machine_group((target.project()?, name))?.configs;
    Ok(Answer::json(&json!({ "count": configs.len(), "configs": configs })))
}

fn described(machine: &Machine) -> Value {
    let identity = &machine.identity;
    json!({
        "ip": identity.ip,
        "machine-uniqueid": identity.instance_id,
        // Clients fail without it.
        "userdefined-id": identity.ids.join(","),
        "lastHeartbeatTime": machine.last_heartbeat,
        "host-id": identity.host_id,
    })
}

/// The name that a body gives to what is to be made.
pub(super) fn name_in(body: &Object, key: &str) -> Result<String, Refusal> {
    match body.get(key) {
        Some(Value::String(name)) => Ok(name.clone()),
        None | Some(Value::Null) => Err(Refusal::new("ParameterInvalid", format!("{key}: is missing"))),
        Some(_) => Err(Refusal::new("ParameterInvalid", format!("{key}: has to be text"))),
    }
}

/// Names are for ever: a body that changes one gives the name in the path, or none.
pub(super) fn keep_name(body: &mut Object, key: &str, name: &str) -> Result<(), Refusal> {
    let given = body.insert(key.to_owned(), name.into());
    if given.is_none_or(|given| given.is_null() || given == name) {
        return Ok(());
    }
    Err(Refusal::new(
        "ParameterInvalid",
        format!("{key}: is another than {}, the name in the path", short(name)),
    ))
}
