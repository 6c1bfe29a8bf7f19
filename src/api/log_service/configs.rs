//! Collection configs: made, listed, described, changed, deleted. One room for both languages, whose calls differ in their
//! path and in what [`crate::store::collection::CollectionConfig`] makes of the body.

use serde_json::{Value, json};

use super::admin::{json_of, page_of};
use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::machine_groups::{keep_name, name_in};
use super::request::Target;
use super::{ENDPOINT, REGION};
use crate::store::Store;
use crate::store::collection::{Language, Object};

const NAME: &str = "configName";

pub(super) async fn create(
    store: &Store,
    target: &Target,
    language: Language,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let body: Object = json_of(incoming).await?;
    let name = name_in(&body, NAME)?;
    store.put_config((target.project()?, &name), language, body, false).await?;
    Ok(Answer::empty())
}

pub(super) async fn update(
    store: &Store,
    target: &Target,
    (language, name): (Language, &str),
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    store.catalog().config((target.project()?, name))?.needs(language, name)?;
    let mut body: Object = json_of(incoming).await?;
    keep_name(&mut body, NAME, name)?;
    store.put_config((target.project()?, name), language, body, true).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete(
    store: &Store,
    target: &Target,
    (language, name): (Language, &str),
) -> Result<Answer, Refusal> {
    store.delete_config((target.project()?, name), language).await?;
    Ok(Answer::empty())
}

/// With defaults, times and where records go.
pub(super) fn get(
    store: &Store,
    target: &Target,
    (language, name): (Language, &str),
) -> Result<Answer, Refusal> {
    let mut answer = {
        let catalog = store.catalog();
        let config = catalog.config((target.project()?, name))?;
        config.needs(language, name)?;
        config.described()
    };
    if let Some(Value::Object(output)) = answer.get_mut("outputDetail") {
        for (key, value) in [("endpoint", ENDPOINT), ("region", REGION)] {
            output.entry(key).or_insert_with(|| value.into());
        }
    }
    Ok(Answer::json(&Value::Object(answer)))
}

/// The names of one language's configs.
pub(super) fn list(store: &Store, target: &Target, language: Language) -> Result<Answer, Refusal> {
    let part = target.parameter(NAME).unwrap_or("");
    let logstore = target.parameter("logstoreName");
    let catalog = store.catalog();
    let configs = &catalog.project(target.project()?)?.configs;
    let fits = configs.iter().filter(|(name, config)| {
        config.language == language
            && name.contains(part)
            && logstore.is_none_or(|wanted| config.logstore() == Some(wanted))
    });
    let all: Vec<&String> = fits.map(|(name, _)| name).collect();
    let page = page_of(target, &all)?;
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "configs": page })))
}

/// The machine groups to which a config of either language is applied.
pub(super) fn groups(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    catalog.config((target.project()?, name))?;
    let groups = catalog.project(target.project()?)?.machine_groups.iter();
    let applied: Vec<&String> =
        groups.filter(|(_, group)| group.configs.contains(name)).map(|(group, _)| group).collect();
    Ok(Answer::json(&json!({ "count": applied.len(), "machinegroups": applied })))
}
