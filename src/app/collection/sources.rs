//! The sources that are configured, as tasks.

use std::future::Future;
use std::pin::Pin;

use crate::collection::context::SourceContext;
use crate::config::plan::CollectionPlan;

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each runs until the gateway stops.
pub(super) fn all(_collection: &CollectionPlan, _context: &SourceContext) -> Vec<Task> {
    Vec::new()
}
