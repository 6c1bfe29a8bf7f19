//! Where the records of a configuration go, and under which topic.

use super::Surroundings;
use super::draft::{Draft, Topic, number, text, texts};
use super::reading::{Item, shown};
use super::whole::checked;
use crate::config::endpoint::Endpoint;
use crate::config::names::{is_logstore_name, is_project_name};
use crate::config::plan::{CloudPlan, Target};
use crate::config::regex_groups;

/// What a topic of this begins with is a text of its own.
const CUSTOMIZED: &str = "customized://";

/// The keys that name a place in Log Service.
pub(super) struct Place<'a> {
    pub(super) project: Item<'a>,
    pub(super) logstore: Item<'a>,
    pub(super) region: Item<'a>,
    pub(super) endpoint: Item<'a>,
}

pub(super) fn place(draft: &mut Draft, place: &Place<'_>, around: &Surroundings<'_>) {
    let Place { project, logstore, region, endpoint } = place;
    if let Some(name) = project.some_text() {
        if is_project_name(name) {
            name.clone_into(&mut draft.project);
        } else {
            project.fault(format!(
                "{} is no project name; Log Service takes 3 to 63 of a-z, 0-9 and -",
                shown(name)
            ));
        }
    }
    match logstore.some_text() {
        Some(name) if is_logstore_name(name) => name.clone_into(&mut draft.logstore),
        Some(name) => logstore.fault(format!(
            "{} is no logstore name; Log Service takes 3 to 63 of a-z, 0-9, - and _, a letter or digit at both ends",
            shown(name)
        )),
        None if logstore.is_present() && logstore.text().is_none() => {}
        None => logstore.fault("is missing; write the logstore that the records go to"),
    }
    // The embedded Log Service is one place, whatever its clients call it.
    if let Target::Cloud(cloud) = &around.destination.target {
        reached(cloud, region, endpoint);
    }
}

/// Whether the gateway's own endpoint reaches the place, as far as names tell.
fn reached(cloud: &CloudPlan, region: &Item<'_>, endpoint: &Item<'_>) {
    let ours = cloud.region.as_deref().or_else(|| cloud.endpoint.region());
    let differs = |item: &Item<'_>, theirs: &str| {
        match ours {
        Some(ours) if ours != theirs => item.fault(format!(
            "names the region {}, and this gateway delivers to {ours}; a gateway with an endpoint there can honour it",
            shown(theirs)
        )),
        _ => {}
    }
    };
    if let Some(theirs) = region.some_text() {
        differs(region, theirs);
    }
    let Some(typed) = endpoint.some_text() else { return };
    let with_scheme = if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
    match Endpoint::parse(&with_scheme) {
        Ok(theirs) => match theirs.region() {
            Some(theirs) => differs(endpoint, theirs),
            None if theirs.address().host == cloud.endpoint.address().host => {}
            None => endpoint.note(format!(
                "has no effect here: records go to {}, this gateway's own endpoint",
                cloud.endpoint
            )),
        },
        Err(what) => endpoint.fault(format!("{} {what}", shown(typed))),
    }
}

/// lz4, zstd or none; empty is the gateway's own.
pub(super) fn compression(draft: &mut Draft, item: &Item<'_>) {
    if let Some(name) = item.some_text() {
        draft.destination("compression", text(name), item.path());
    }
}

/// Bytes a second; zero and less is no bound.
pub(super) fn max_rate(draft: &mut Draft, item: &Item<'_>) {
    if let Some(rate) = item.integer().filter(|rate| *rate > 0) {
        draft.destination("max_rate", number(rate), item.path());
    }
}

pub(super) fn shard_key(draft: &mut Draft, item: &Item<'_>) {
    let parts = item.texts();
    if !parts.is_empty() {
        draft.destination("shard_key", texts(parts.iter().map(|(_, text)| *text)), item.path());
    }
}

/// Which signal: only logs are files' lines.
pub(super) fn telemetry(item: &Item<'_>) {
    if let Some(kind) = item.some_text().filter(|kind| !matches!(*kind, "logs" | "None" | "none")) {
        item.fault(format!("{} is no log; lines of files become logs alone", shown(kind)));
    }
}

/// `topicFormat`, and what `TopicType` filepath and custom say.
pub(super) fn topic(draft: &mut Draft, item: &Item<'_>, around: &Surroundings<'_>) {
    draft.topic = match item.some_text() {
        // Only logs of Apsara have a default.
        None | Some("none" | "default") => Topic::Text(String::new()),
        Some("group_topic") => Topic::Text(around.group_topic.unwrap_or_default().to_owned()),
        Some(typed) => match typed.strip_prefix(CUSTOMIZED) {
            Some(text) => Topic::Text(text.to_owned()),
            None => return path_topic(draft, item),
        },
    };
}

/// A text of its own, with or without what it begins with in the old language.
pub(super) fn custom_topic(draft: &mut Draft, item: &Item<'_>) {
    match item.some_text() {
        Some(typed) => {
            let typed = typed.strip_prefix(CUSTOMIZED).unwrap_or(typed);
            draft.topic = Topic::Text(typed.to_owned());
        }
        None => item.fault("is missing; write customized://TEXT"),
    }
}

/// An expression whose groups are the topic.
pub(super) fn path_topic(draft: &mut Draft, item: &Item<'_>) {
    let Some(typed) = item.some_text() else {
        return item.fault("is missing; write an expression over the path, such as /var/log/(.*)/app\\.log");
    };
    let Some(regex) = checked(item, typed) else { return };
    if regex.captures_len() < 2 {
        item.fault(format!("{} has no group; put what becomes the topic in parentheses", shown(typed)));
    } else if let Err(what) = regex_groups::whole(&regex) {
        item.fault(format!("{} {what}", shown(typed)));
    } else {
        draft.topic = Topic::Path(regex);
    }
}
