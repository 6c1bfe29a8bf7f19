//! What Log Service answers, as far as it matters here. Keys that have to be there tell its answers from those of
//! somebody else: an empty set must not come from a page that says `{}`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::collection::Form;
use crate::collection::identity::Identity;
use crate::output::calls::CallError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
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
pub(super) struct Applied {
    #[serde(deserialize_with = "null_is_none")]
    pub(super) configs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) project_name: String,
    #[serde(default)]
    pub(super) region: Option<String>,
}

fn null_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Group {
    pub(super) fn has(&self, who: &Identity) -> bool {
        let ours = match self.machine_identify_type.as_str() {
            "userdefined" => &who.ids,
            "ip" => &who.addresses,
            _ => return false,
        };
        self.machine_list.iter().flatten().any(|member| ours.iter().any(|own| own == member.trim()))
    }

    pub(super) fn topic(self) -> Option<String> {
        self.group_attribute?.group_topic.filter(|topic| !topic.is_empty())
    }
}

pub(super) fn is_of(form: Form, body: &Value) -> bool {
    match form {
        Form::Classic => body["inputType"].is_string() && body["inputDetail"].is_object(),
        Form::Pipeline => body["inputs"].is_array(),
    }
}

/// A group or configuration is no more; a project that is not there is another matter.
pub(super) fn is_gone(why: &CallError) -> bool {
    why.is_absent() && why.code().contains("NotExist") && why.code() != "ProjectNotExist"
}

/// A refusal that concerns the one thing that was asked for, and neither us nor the service.
pub(super) fn is_of_this_config(why: &CallError) -> bool {
    is_gone(why)
        || why.code() == "ParameterInvalid"
        || (why.status() == Some(400) && why.code().contains("Config"))
}

/// Our key may not look at it.
pub(super) fn is_forbidden(why: &CallError) -> bool {
    matches!(why, CallError::Refused { status: 401 | 403, .. }) && !why.wants_rest()
}
