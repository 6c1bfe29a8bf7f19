//! A place in the cloud's Log Service: where it answers, how it is reached, and where its keys come from.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;
use crate::config::endpoint::Endpoint;
use crate::config::leaf::Address;

/// Where an ECS instance asks for its role.
pub const METADATA: &str = "http://100.100.100.200";
/// Where roles are assumed.
pub const STS: &str = "https://sts.aliyuncs.com";
/// The name of our sessions in the audit log.
pub const SESSION_NAME: &str = "sluicegate";
/// How long keys of a role are asked for.
pub const SESSION: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudPlan {
    pub endpoint: Endpoint,
    /// Connect here instead of resolving the endpoint's host.
    pub connect: Option<Address>,
    /// As typed, or as the endpoint's host names it; version 4 of the signature needs it.
    pub region: Option<String>,
    pub signature: SignatureChoice,
    pub transport: TransportPlan,
    pub credentials: CredentialsPlan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureChoice {
    /// Version 4 where the region is known.
    Auto,
    V1,
    V4,
}

/// How a destination and the services that give it keys are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportPlan {
    pub proxy: ProxyPlan,
    /// PEM: who may have signed the certificates, instead of whom this machine trusts.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyPlan {
    /// HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; never for an address or `connect`.
    #[default]
    Environment,
    None,
    /// `http://[user:password@]host:port`
    Url(Secret),
}

/// An access key as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    pub id: String,
    pub secret: Secret,
    pub security_token: Option<Secret>,
}

/// A source of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsPlan {
    Fixed(KeyPlan),
    /// A file of one of the known formats, or a directory with a file for each part; read again when it changes.
    File {
        path: PathBuf,
        /// Which, where the file has several.
        profile: Option<String>,
    },
    EcsRole(EcsRolePlan),
    Oidc(OidcPlan),
    AssumeRole(Box<AssumeRolePlan>),
    /// Answers as the metadata service does. The URL may be all that guards the key.
    Uri(Secret),
    /// A source of the chain that is not set up here, and why.
    Missing {
        source: &'static str,
        why: String,
    },
    /// The first that gives a key.
    FirstOf(Vec<CredentialsPlan>),
    /// As [`CredentialsPlan::FirstOf`], in the vendor's default order.
    Chain(Vec<CredentialsPlan>),
}

/// The role of the ECS instance, by its metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsRolePlan {
    /// Without it, the metadata service is asked.
    pub role: Option<String>,
    /// `http://100.100.100.200`
    pub address: String,
    /// Whether to ask without a session token where the service gives none.
    pub allow_v1: bool,
}

/// AssumeRoleWithOIDC: a token of Kubernetes for a role (RRSA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcPlan {
    pub role_arn: String,
    pub provider_arn: String,
    /// Read for each exchange.
    pub token_file: PathBuf,
    pub session: SessionPlan,
}

/// AssumeRole: another key for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRolePlan {
    pub role_arn: String,
    pub external_id: Option<String>,
    pub session: SessionPlan,
    /// Who asks.
    pub with: CredentialsPlan,
}

/// What every role is assumed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlan {
    /// Shown in the audit log.
    pub name: String,
    /// How long keys shall live.
    pub duration: Duration,
    /// `https://sts.aliyuncs.com`
    pub sts: String,
}

impl CredentialsPlan {
    /// The key, where it is configured as such.
    pub fn fixed(&self) -> Option<&KeyPlan> {
        match self {
            CredentialsPlan::Fixed(key) => Some(key),
            _ => None,
        }
    }
}

impl ProxyPlan {
    /// As typed, where there is nothing in it to hide.
    pub fn shown(&self) -> String {
        match self {
            ProxyPlan::Environment => "environment".to_owned(),
            ProxyPlan::None => "none".to_owned(),
            ProxyPlan::Url(url) if url.expose().contains('@') => url.to_string(),
            ProxyPlan::Url(url) => url.expose().to_owned(),
        }
    }
}
