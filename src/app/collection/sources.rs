//! The sources that are configured, as tasks.

use std::future::Future;
use std::pin::Pin;

use super::House;
use crate::collection::context::SourceContext;
use crate::collection::heartbeat;
use crate::collection::machine_groups::{self, Service};
use crate::config::plan::CollectionPlan;

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each runs until the gateway stops.
pub(super) fn all(house: &House, collection: &CollectionPlan, context: &SourceContext) -> Vec<Task> {
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
