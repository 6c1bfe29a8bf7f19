//! Processors of Logtail's plugins, in either language: those that are one step of ours. The others are refused by name.
//!
//! ```text
//! classic    { "type": "processor_rename", "detail": { ... } }         pipeline    { "Type": "processor_rename", ... }
//! ```

use serde_json::json;

use super::draft::{Draft, map, text, texts};
use super::reading::{Item, Object, shown};

/// Aggregators that group as LogGroups are grouped here anyway.
const AGGREGATORS: [&str; 3] = ["aggregator_context", "aggregator_default", "aggregator_base"];

/// `processors`, and what a classic configuration has beside them.
pub(super) fn list(plugin: &mut Object<'_>, draft: &mut Draft) {
    for item in plugin.take("processors").list() {
        let mut processor = item.object();
        let kind = processor.take("type");
        let mut detail = processor.take("detail").object();
        match kind.some_text() {
            Some(name) => {
                if !step(name, &item, &mut detail, draft) {
                    kind.fault(unknown(name));
                }
                detail.finish();
            }
            None => kind.fault("is missing; it names the processor"),
        }
        processor.finish();
    }
    aggregators(&plugin.take("aggregators"), "type");
    let flushers = plugin.take("flushers");
    if !flushers.list().is_empty() {
        flushers.fault("sends elsewhere; records go to the logstore of outputDetail alone");
    }
    plugin.take("global");
    plugin.take("version");
}

pub(super) fn unknown(name: &str) -> String {
    format!("{} is no processor of this gateway; docs/collection.md has those that are", shown(name))
}

pub(super) fn aggregators(item: &Item<'_>, key: &'static str) {
    for item in item.list() {
        let kind = item.object().take(key);
        match kind.some_text() {
            Some(name) if AGGREGATORS.contains(&name) => {}
            Some(name) => kind.fault(format!(
                "{} is no aggregator of this gateway; records are grouped by their file",
                shown(name)
            )),
            None => kind.fault("is missing; it names the aggregator"),
        }
    }
}

/// Lays a processor; false when there is none of that name.
pub(super) fn step(name: &str, item: &Item<'_>, detail: &mut Object<'_>, draft: &mut Draft) -> bool {
    match name {
        "processor_add_fields" => {
            let fields = detail.take("Fields");
            detail.refuse(&[(
                "IgnoreIfExist",
                json!(false),
                "keeps a field that is there already, which is not done here; leave it false",
            )]);
            let fields = fields.members();
            if !fields.is_empty() {
                let fields = fields.into_iter().map(|(key, _, value)| (key, text(value)));
                draft.step([("add", map(fields))], item.path());
            }
        }
        "processor_rename" => {
            let (from, to) = (detail.take("SourceKeys"), detail.take("DestKeys"));
            detail.take("NoKeyError");
            let (old, new) = (from.texts(), to.texts());
            if old.len() == new.len() {
                for ((_, from), (theirs, to)) in old.into_iter().zip(new) {
                    draft.step([("rename", map([(from, text(to))]))], theirs.path());
                }
            } else {
                to.fault(format!("has {} names for the {} fields of SourceKeys", new.len(), old.len()));
            }
        }
        "processor_drop" => {
            let keys = detail.take("DropKeys");
            draft.step([("remove", texts(keys.texts().into_iter().map(|(_, key)| key)))], item.path());
        }
        _ => return false,
    }
    draft.is_alone = false;
    true
}
