//! One question to one source, or to several in turn.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::http::Http;
use super::{AccessKey, NoKey, ecs, file, sts};
use crate::config::plan::CredentialsPlan;

/// A key, fresh from its source.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) key: AccessKey,
    /// How long it has to live; a key without an end lives until it is refused.
    pub(super) life: Option<Duration>,
    /// Whether its source can change at any time, and is cheap to look at.
    pub(super) reread: bool,
    /// Where from, for people.
    pub(super) from: String,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Fetched, NoKey>> + Send + 'a>>;

/// Asks a plan's sources. `only` is the one that gave the key which still lives. Says which one answered.
pub(super) async fn fetch(
    plan: &CredentialsPlan,
    http: &Http,
    only: Option<usize>,
) -> Result<(usize, Fetched), NoKey> {
    let sources = match plan {
        CredentialsPlan::FirstOf(sources) | CredentialsPlan::Chain(sources) => sources.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut tried = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        if only.is_some_and(|only| only != index) {
            continue;
        }
        match ask(source, http).await {
            Ok(fetched) => return Ok((index, fetched)),
            Err(mut why) => tried.append(&mut why.tried),
        }
    }
    Err(NoKey { tried })
}

/// Asks one source, which may need another one's key.
pub(super) fn ask<'a>(plan: &'a CredentialsPlan, http: &'a Http) -> Answer<'a> {
    Box::pin(async move {
        let from = name(plan);
        let answer = match plan {
            CredentialsPlan::Fixed(key) => {
                Ok(Fetched { key: key.into(), life: None, reread: false, from: from.clone() })
            }
            CredentialsPlan::File { path, profile } => file::fetch(path, profile.as_deref(), http).await,
            CredentialsPlan::EcsRole(plan) => ecs::role(plan, http).await,
            CredentialsPlan::Uri(uri) => ecs::uri(uri.expose(), http).await,
            CredentialsPlan::Oidc(plan) => sts::oidc(plan, http).await,
            CredentialsPlan::AssumeRole(plan) => {
                let (_, with) = fetch(&plan.with, http, None).await?;
                sts::assume_role(plan, &with.key, http).await
            }
            CredentialsPlan::Missing { why, .. } => Err(why.clone()),
            CredentialsPlan::FirstOf(_) | CredentialsPlan::Chain(_) => {
                return fetch(plan, http, None).await.map(|(_, fetched)| fetched);
            }
        };
        answer.map_err(|why| NoKey { tried: vec![(from, why)] })
    })
}

/// What a source is called in a message.
pub(super) fn name(plan: &CredentialsPlan) -> String {
    match plan {
        CredentialsPlan::Fixed(_) => "access_key_id".to_owned(),
        CredentialsPlan::File { path, .. } => path.display().to_string(),
        CredentialsPlan::EcsRole(_) => "ecs_ram_role".to_owned(),
        CredentialsPlan::Oidc(_) => "oidc".to_owned(),
        CredentialsPlan::AssumeRole(plan) => format!("assume_role {}", plan.role_arn),
        CredentialsPlan::Uri(_) => "uri".to_owned(),
        CredentialsPlan::Missing { source, .. } => (*source).to_owned(),
        CredentialsPlan::FirstOf(_) => "a list".to_owned(),
        CredentialsPlan::Chain(_) => "chain".to_owned(),
    }
}
