//! Where the keys of a destination come from. Today they are fixed; sources that renew themselves join here.

use std::sync::Arc;

use crate::base::secret::Secret;

/// An access key of Log Service, with the token of a temporary one.
#[derive(Clone, Debug)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub security_token: Option<Secret>,
}

#[derive(Clone, Debug)]
pub enum Credentials {
    Static(Arc<AccessKey>),
}

impl Credentials {
    pub fn current(&self) -> Arc<AccessKey> {
        match self {
            Credentials::Static(key) => key.clone(),
        }
    }
}
