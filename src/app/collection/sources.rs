//! The sources that are configured, as tasks.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::cluster::{Access, Client};
use crate::collection::context::SourceContext;
use crate::collection::custom_resources::{cluster, directory};
use crate::config::plan::CollectionPlan;

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Of one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A look at a directory is cheap, and who edits a file waits for what becomes of it.
const LOOK: Duration = Duration::from_secs(2);

/// Each runs until the gateway stops.
pub(super) fn all(collection: &CollectionPlan, context: &SourceContext) -> Vec<Task> {
    let project = &collection.destination.project;
    let project = (!project.is_empty()).then(|| project.clone());
    let mut tasks: Vec<Task> = Vec::new();
    if let Some(path) = collection.directory.clone() {
        let settings = directory::Settings { path, project: project.clone(), interval: LOOK };
        tasks.push(Box::pin(directory::run(settings, context.clone())));
    }
    if let Some(plan) = &collection.kubernetes {
        let settings = cluster::Settings {
            client: Client::new(Access::from(plan), TIMEOUT),
            namespace: plan.namespace.clone(),
            project,
            manners: cluster::Manners::default(),
        };
        tasks.push(Box::pin(cluster::run(settings, context.clone())));
    }
    tasks
}
