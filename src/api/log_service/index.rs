//! Index configurations: made, changed, shown, deleted. What is in one is the business of [`crate::store::Index`].

use super::answer::{Answer, Refusal};
use super::body::{Incoming, JSON_BYTES};
use super::request::Target;
use crate::store::{Refused, Store};

/// A first configuration, or with `replace` another one.
pub(super) async fn put(
    store: &Store,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
    replace: bool,
) -> Result<Answer, Refusal> {
    let project = target.project()?;
    store.catalog().logstore(project, logstore)?;
    let config = incoming.read(JSON_BYTES).await?;
    store.put_index(project, logstore, &config, replace).await?;
    Ok(Answer::empty())
}

/// As it was sent, with the defaults filled in.
pub(super) fn get(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let logstore = catalog.logstore(target.project()?, logstore)?;
    let index = logstore.index.as_ref().ok_or(Refused::NoIndex)?;
    Ok(Answer::json(&index.described(logstore.settings.ttl)))
}

pub(super) async fn delete(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    store.delete_index(target.project()?, logstore).await?;
    Ok(Answer::empty())
}
