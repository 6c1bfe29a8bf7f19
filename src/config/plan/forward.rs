//! The plan of a forward input: where it listens, who may speak, what is done to what is said, and its bounds.

use std::time::Duration;

use super::connections::{ConnectionsPlan, JoinPlan, Listen};
use crate::base::secret::Secret;
use crate::config::leaf::Network;

#[derive(Clone, Debug, PartialEq)]
pub struct ForwardPlan {
    /// At least one.
    pub listen: Vec<Listen>,
    pub connections: ConnectionsPlan,
    /// Answers the UDP heartbeats of Fluentd and Fluency on the TCP addresses.
    pub udp_heartbeat: bool,
    /// With it, peers have to know a shared key.
    pub security: Option<SecurityPlan>,
    pub tag: TagPlan,
    /// Field that gets the peer's address.
    pub source_address_key: Option<String>,
    /// Field that gets the peer's name by reverse look-up.
    pub source_hostname_key: Option<String>,
    /// Field that gets the name in the peer's certificate.
    pub client_name_key: Option<String>,
    /// Look peers' names up, for `source_hostname_key` and for log lines.
    pub resolve_hostname: bool,
    pub metadata: Metadata,
    /// Drop an event that is none (counted); else what can be kept of it is kept.
    pub skip_invalid_event: bool,
    /// Close a connection after its first message.
    pub deny_keepalive: bool,
    /// How long a connection that we end stays open for its peer to take the last acks.
    pub linger_timeout: Duration,
    /// A peer whose message waits so long for room in a full buffer is told to come again, where that helps it.
    pub full_timeout: Duration,
    /// Bytes of one message; a larger one costs its connection.
    pub max_message: usize,
    /// A message above this is kept as a dead letter instead of being decoded.
    pub chunk_size_limit: Option<usize>,
    /// A message above this is logged.
    pub chunk_size_warn_limit: Option<usize>,
    /// Bytes a compressed chunk may inflate to.
    pub max_inflated: usize,
    pub max_depth: usize,
    pub join: JoinPlan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityPlan {
    /// How the gateway calls itself to peers; this machine's name when unset.
    pub self_hostname: Option<String>,
    /// For peers that no client section names. Empty only where that is allowed by its own key.
    pub shared_key: Secret,
    /// Peers also need the name and password of one of these.
    pub users: Option<Vec<UserPlan>>,
    /// Peers by address; the first that holds a peer counts.
    pub clients: Vec<ClientPlan>,
    /// Take peers that no client section names.
    pub allow_anonymous_source: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPlan {
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    pub source: ClientSource,
    /// Instead of the common one.
    pub shared_key: Option<Secret>,
    /// Names of the users that may come from there; empty: all.
    pub users: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSource {
    Network(Network),
    /// A name, looked up when the keys are loaded.
    Host(String),
}

/// What becomes of tags. `${client}` in any of these is the name in the peer's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagPlan {
    /// Instead of the peer's tag.
    pub tag: Option<String>,
    /// Before the tag, with a dot between.
    pub add_tag_prefix: Option<String>,
    /// Before the tag as it is; wins over `tag`.
    pub tag_prefix: Option<String>,
}

/// What becomes of record metadata and of what a group of records shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// One field per leaf: `metadata.otlp.severity_number`, `group.resource.attributes.host`.
    Fields,
    /// The fields `metadata` and `group`, as JSON.
    Nested,
    Drop,
}
