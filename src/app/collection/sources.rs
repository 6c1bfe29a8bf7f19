//! The sources that are configured, as tasks.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::House;
use crate::cluster::{Access, Client};
use crate::collection::Wanted;
use crate::collection::context::SourceContext;
use crate::collection::custom_resources::{cluster, directory};
use crate::collection::heartbeat;
use crate::collection::machine_groups::{self, Service};
use crate::config::plan::{CollectionPlan, Plan, Target};

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Of one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A look at a directory is cheap, and who edits a file waits for what becomes of it.
const LOOK: Duration = Duration::from_secs(2);

/// Each runs until the gateway stops. `kept` is what the machine groups said last.
pub(super) fn all(
    house: &House,
    collection: &CollectionPlan,
    context: &SourceContext,
    kept: Vec<Wanted>,
) -> Vec<Task> {
    let mut tasks = of_log_service(house, collection, context, kept);
    let project = project_of_resources(&house.plan, collection);
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

/// The project of resources that name none.
fn project_of_resources(main: &Plan, collection: &CollectionPlan) -> Option<String> {
    let own = match (&collection.destination.target, &main.log_service) {
        (Target::Embedded, Some(embedded)) => &embedded.project,
        _ => &collection.destination.project,
    };
    Some(own.clone()).filter(|own| !own.is_empty())
}

/// Machine groups, and heartbeats to whoever shows them.
fn of_log_service(
    house: &House,
    collection: &CollectionPlan,
    context: &SourceContext,
    kept: Vec<Wanted>,
) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let destination = &collection.destination;
    let service = house.shipping.service(destination);
    let server = match (&collection.config_server, &service) {
        (Some(server), _) => Some(server.clone()),
        // Its own port takes them.
        (None, Some(Service::Embedded { endpoint, .. })) => Some(endpoint.clone()),
        (None, _) => None,
    };
    if let (true, Some(service)) = (collection.machine_groups, service) {
        let settings = machine_groups::Settings {
            service,
            project: destination.project.clone(),
            interval: collection.interval,
            timeout: destination.request_timeout,
            kept,
        };
        tasks.push(Box::pin(machine_groups::run(settings, context.clone())));
    }
    if let Some(server) = server {
        let interval = heartbeat::INTERVAL;
        let settings = heartbeat::Settings { server, instance: house.instance.clone(), interval };
        tasks.push(Box::pin(heartbeat::run(settings, context.clone())));
    }
    tasks
}
