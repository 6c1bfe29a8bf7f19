//! A machine group as its author wrote it: checked, and what is asked about it on every heartbeat taken out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, Object};
use crate::store::Refused;

/// Addresses or ids of one group.
const MEMBERS: usize = 10_000;
/// One of them.
pub(super) const MEMBER_BYTES: usize = 256;
const TOPIC_BYTES: usize = 1024;

/// By what a machine belongs to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifiedBy {
    Address,
    /// An id that the machine says itself.
    UserDefined,
}

/// Unknown keys are kept.
#[derive(Clone, Debug)]
pub struct MachineGroup {
    /// As it was sent, without the times.
    pub body: Arc<Object>,
    pub identified_by: IdentifiedBy,
    pub members: Arc<BTreeSet<String>>,
    /// Of records of its configs with the topic of the group.
    pub topic: String,
    /// Seconds since 1970.
    pub created: i64,
    pub modified: i64,
    /// Another one after every change.
    pub version: i64,
    /// Names of the configs that are applied to it.
    pub configs: BTreeSet<String>,
}

impl MachineGroup {
    /// Reads a body; times, version and configs are for the catalog to fill in.
    pub(in crate::store) fn parse(mut body: Object) -> Result<MachineGroup, Refused> {
        body.remove("createTime");
        body.remove("lastModifyTime");
        let fields = Fields::new("", &body);
        fields.one_of("groupType", &["", "Armory"])?;
        let identified_by = match fields.one_of("machineIdentifyType", &["ip", "userdefined"])? {
            Some("ip") => IdentifiedBy::Address,
            Some(_) => IdentifiedBy::UserDefined,
            None => return Err(fields.wrong("machineIdentifyType", "is missing")),
        };
        let mut topic = String::new();
        if let Some(attribute) = fields.object("groupAttribute")? {
            let attribute = Fields::new("groupAttribute", attribute);
            attribute.text("externalName")?;
            topic = attribute.text("groupTopic")?.unwrap_or("").to_owned();
            if topic.len() > TOPIC_BYTES {
                return Err(attribute.wrong("groupTopic", format_args!("is longer than {TOPIC_BYTES} bytes")));
            }
        }
        let listed = fields.texts("machineList")?.ok_or_else(|| fields.wrong("machineList", "is missing"))?;
        let members = Arc::new(members(&listed)?);
        Ok(MachineGroup {
            body: Arc::new(body),
            identified_by,
            members,
            topic,
            created: 0,
            modified: 0,
            version: 0,
            configs: BTreeSet::new(),
        })
    }

    /// The body with these members more, or fewer.
    pub(in crate::store) fn with_members(&self, changed: &[String], add: bool) -> Object {
        let changed: BTreeSet<&str> = changed.iter().map(String::as_str).collect();
        let mut body = Object::clone(&self.body);
        if let Some(Value::Array(list)) = body.get_mut("machineList") {
            list.retain(|member| member.as_str().is_none_or(|member| !changed.contains(member)));
            if add {
                list.extend(changed.into_iter().map(Value::from));
            }
        }
        body
    }
}

fn members(listed: &[&str]) -> Result<BTreeSet<String>, Refused> {
    let wrong = |reason: String| Err(Refused::Parameter(format!("machineList: {reason}")));
    if listed.len() > MEMBERS {
        return wrong(format!("has {} entries, at most {MEMBERS} are taken", listed.len()));
    }
    if let Some(entry) = listed.iter().find(|entry| entry.is_empty() || entry.len() > MEMBER_BYTES) {
        return wrong(format!("an entry of {} bytes; it has to be of 1 to {MEMBER_BYTES}", entry.len()));
    }
    Ok(listed.iter().map(|entry| (*entry).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<MachineGroup, String> {
        MachineGroup::parse(body.as_object().unwrap().clone()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn a_group_is_what_the_vendors_clients_send() {
        let body = json!({ "groupName": "mg-1", "groupType": "", "machineIdentifyType": "userdefined",
            "groupAttribute": { "externalName": "", "groupTopic": "web" }, "machineList": ["a", "b", "a"],
            "createTime": 7, "mine": { "kept": true } });
        let group = parse(body).unwrap();
        assert_eq!((group.identified_by, group.topic.as_str()), (IdentifiedBy::UserDefined, "web"));
        assert_eq!(group.members.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((group.body.get("createTime"), &group.body["mine"]), (None, &json!({ "kept": true })));
        let more = group.with_members(&["c".into(), "a".into()], true);
        assert_eq!(more["machineList"], json!(["b", "a", "c"]));
        assert_eq!(group.with_members(&["a".into()], false)["machineList"], json!(["b"]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (body, reason) in [
            (json!({}), "machineIdentifyType: is missing"),
            (
                json!({ "machineIdentifyType": "mac" }),
                "machineIdentifyType: \"mac\" is none of ip, userdefined",
            ),
            (json!({ "machineIdentifyType": "ip" }), "machineList: is missing"),
            (
                json!({ "machineIdentifyType": "ip", "machineList": [7] }),
                "machineList: has to be a list of texts",
            ),
            (
                json!({ "machineIdentifyType": "ip", "machineList": [""] }),
                "machineList: an entry of 0 bytes; it has to be of 1 to 256",
            ),
            (
                json!({ "machineIdentifyType": "ip", "machineList": [], "groupAttribute": { "groupTopic": 1 } }),
                "groupAttribute.groupTopic: has to be text",
            ),
        ] {
            assert_eq!(parse(body).unwrap_err(), reason);
        }
    }
}
