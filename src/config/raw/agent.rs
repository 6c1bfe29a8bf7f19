//! What the gateway says of itself, as typed.

use super::{field_key, not_empty};
use crate::config::reader::Table;

#[derive(Default)]
pub(in crate::config) struct RawAgent {
    pub(in crate::config) user_ids: Option<Vec<String>>,
    pub(in crate::config) user_defined_ids: Option<Vec<String>>,
    pub(in crate::config) hostname: Option<String>,
    pub(in crate::config) source: Option<String>,
    pub(in crate::config) tags: Vec<(String, String)>,
}

pub(super) fn agent(table: &mut Table<'_>) -> RawAgent {
    RawAgent {
        user_ids: table.take("user_ids").any_number("one account's id", account),
        user_defined_ids: table.take("user_defined_ids").any_number("one id", not_empty),
        hostname: table.take("hostname").parsed("text", not_empty),
        source: table.take("source").parsed("text", not_empty),
        tags: table
            .take("tags")
            .entries()
            .into_iter()
            .filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.text()?)))
            .collect(),
    }
}

fn account(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("is no id of a main account, which has digits alone, as 1234567890123456".to_owned())
    }
}
