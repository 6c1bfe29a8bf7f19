//! A Splunk input (HTTP Event Collector) as typed.
//!
//! An empty list of tokens lets everyone in, and has to be written as a list: an empty text is what a variable holds that
//! somebody forgot.

use super::connections::{
    RawConnections, RawJoin, connections, container_tags, join, source_address_key, tag,
};
use super::forward::FRAME_BYTES;
use super::listen::{Sockets, listen};
use crate::base::limits::{KIB, MIB};
use crate::base::secret::Secret;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::Listen;
use crate::config::reader::{Leaf, Table};

/// A token is a GUID of 36 characters.
const TOKEN_BYTES: usize = 255;

pub(in crate::config) struct RawSplunk {
    pub(in crate::config) listen: Option<Vec<Listen>>,
    pub(in crate::config) connections: RawConnections,
    pub(in crate::config) tokens: Option<Vec<Secret>>,
    pub(in crate::config) acknowledgement: Option<bool>,
    pub(in crate::config) max_body: Option<u64>,
    pub(in crate::config) max_event: Option<u64>,
    pub(in crate::config) tag: Option<String>,
    pub(in crate::config) container_tags: Option<Vec<DockerTag>>,
    pub(in crate::config) source_address_key: Option<String>,
    pub(in crate::config) join: RawJoin,
}

pub(super) fn splunk(table: &mut Table<'_>) -> RawSplunk {
    RawSplunk {
        listen: listen(table.take("listen"), Sockets::Streams),
        connections: connections(table),
        tokens: tokens(table.take("tokens")),
        acknowledgement: table.take("acknowledgement").boolean(),
        max_body: table.take("max_body").size(KIB as u64..=FRAME_BYTES),
        max_event: table.take("max_event").size(KIB as u64..=64 * MIB as u64),
        tag: table.take("tag").parsed("text", tag),
        container_tags: container_tags(table.take("container_tags")),
        source_address_key: source_address_key(table),
        join: join(table),
    }
}

fn tokens(leaf: Leaf<'_>) -> Option<Vec<Secret>> {
    leaf.secrets(|token| {
        if token.is_empty() {
            Err("is empty; write a token, or leave the key out to let everyone in".to_owned())
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err("has characters that no token has; it is a word of visible ASCII characters".to_owned())
        } else if token.len() > TOKEN_BYTES {
            Err(format!("is longer than {TOKEN_BYTES} bytes"))
        } else {
            Ok(())
        }
    })
}
