//! Where the keys of a destination come from, and how they stay alive.
//!
//! ```text
//! fixed                    the configuration's own; nothing to renew
//! file                     a file or directory, read again every few seconds while it is used
//! ecs, sts, uri            temporary keys over HTTP, renewed ahead of their end
//! chain                    the first of several that gives a key; it is then kept to
//! ```
//!
//! [`Credentials::current`] is asked for each request. It answers at once while there is a key that lives; renewing goes on
//! behind it, once for all who ask. A dead key is never handed out, and a live one is not given up because its source fails.
//! Whom the service refuses makes the source be asked once more ([`Credentials::renew_refused`]).

mod answer;
mod ecs;
mod file;
mod http;
mod profile;
mod renewal;
mod source;
mod sts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::base::secret::Secret;
use crate::config::plan::{CredentialsPlan, KeyPlan, TransportPlan};
use renewal::Renewal;

/// An access key of Log Service, with the token of a temporary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub security_token: Option<Secret>,
}

impl From<&KeyPlan> for AccessKey {
    fn from(plan: &KeyPlan) -> AccessKey {
        AccessKey {
            id: plan.id.clone(),
            secret: plan.secret.clone(),
            security_token: plan.security_token.clone(),
        }
    }
}

/// No source gave a key. What was tried, in order, with the reason of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey {
    pub tried: Vec<(String, String)>,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no access key")?;
        for (index, (source, why)) in self.tried.iter().enumerate() {
            write!(f, "{} {source}: {why}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoKey {}

#[derive(Clone, Debug)]
pub enum Credentials {
    Static(Arc<AccessKey>),
    Renewed(Arc<Renewal>),
}

impl Credentials {
    /// `name` is the destination's, for log lines and metrics.
    pub fn of(name: &str, plan: &CredentialsPlan, transport: &TransportPlan) -> Credentials {
        match plan {
            CredentialsPlan::Fixed(key) => Credentials::Static(Arc::new(key.into())),
            _ => Credentials::Renewed(Arc::new(Renewal::new(name, plan.clone(), transport.clone()))),
        }
    }

    /// A key that lives. Waits for its source when there is none, and only then.
    pub async fn current(&self) -> Result<Arc<AccessKey>, NoKey> {
        match self {
            Credentials::Static(key) => Ok(key.clone()),
            Credentials::Renewed(renewal) => renewal.current().await,
        }
    }

    /// Tells that the service refused this key. True when there is another one now.
    pub async fn renew_refused(&self, refused: &AccessKey) -> bool {
        match self {
            Credentials::Static(_) => false,
            Credentials::Renewed(renewal) => renewal.renew_refused(refused).await,
        }
    }
}

/// The credentials of all destinations: those with the same sources share their keys, and so ask once.
#[derive(Debug, Default)]
pub struct Keyring(Mutex<Vec<(CredentialsPlan, TransportPlan, Credentials)>>);

impl Keyring {
    pub fn of(&self, name: &str, plan: &CredentialsPlan, transport: &TransportPlan) -> Credentials {
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let same = known.iter().find(|(other, by, _)| other == plan && by == transport);
        if let Some((.., credentials)) = same {
            return credentials.clone();
        }
        let credentials = Credentials::of(name, plan, transport);
        known.push((plan.clone(), transport.clone(), credentials.clone()));
        credentials
    }
}
