//! One configuration at work: an input and a pipeline of its own, on the journal, budget and positions of all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::{House, plan_to};
use crate::app::descriptors;
use crate::app::stopping::longest_delay;
use crate::base::shutdown::Stop;
use crate::config::plan::{DestinationPlan, FilePlan, InputKind, Plan};
use crate::input::Intake;
use crate::input::file::Files;
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::{Destination, Destinations};
use crate::pipeline::route::Router;
use crate::pipeline::steps::Steps;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;

/// There may be a thousand of them, so each gets this part of what a configured input may hold open.
const OPEN_SHARE: usize = 8;
const OPEN_LEAST: usize = 16;

/// What marks records of a configuration beside what it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) hostname: String,
    /// `__source__`, as Logtail has it: an address of this machine.
    pub(super) source: Option<String>,
}

pub(super) struct Running {
    stop: Stop,
    files: Arc<Files>,
    /// Starts its senders; ends when nobody has its pipeline any more.
    starter: JoinHandle<()>,
    pub(super) stop_delay: Duration,
    /// Where its records go.
    pub(super) logstore: String,
    /// Of the files that it reads, unless what is in them is chosen by more than their names.
    pub(super) patterns: Vec<String>,
    /// What it was made of; one that comes out the same need not be started again.
    pub(super) made_of: String,
}

/// A plan as the manager starts it.
pub(super) struct Ready {
    file: Box<FilePlan>,
    plan: Plan,
    marks: Marks,
    pub(super) made_of: String,
}

impl Ready {
    /// Takes a plan of one input that reads files, one destination, and nothing else. Anything else is no fault of who
    /// wrote the configuration, but what cannot be started is refused.
    pub(super) fn new(id: &str, plan: Plan, marks: Marks) -> Result<Ready, String> {
        let ([input], [destination]) = (plan.inputs.as_slice(), plan.destinations.as_slice()) else {
            return Err("asks for more than one input or destination".to_owned());
        };
        let InputKind::File(file) = &input.kind else {
            return Err("asks for something else than files".to_owned());
        };
        // The queue's name has to say where its records belong.
        let own_project = id.split_once('.').is_some_and(|(project, _)| project == destination.project);
        if !own_project {
            let own = id.split_once('.').map_or(id, |(project, _)| project);
            return Err(format!(
                "sends to another project, {}, than the one it is of; leave that out to send to {own}, or make the \
                 configuration in project {} instead",
                destination.project, destination.project
            ));
        }
        if input.name != id || destination.name != id || plan.buffer_of(destination).is_none() {
            return Err("cannot be given its own input and destination".to_owned());
        }
        let made_of = format!("{:?} {:?} {:?} {marks:?}", plan.inputs, plan.routes, plan.destinations);
        Ok(Ready { file: file.clone(), marks, made_of, plan })
    }

    #[cfg(test)]
    pub(super) fn destination(&self) -> &DestinationPlan {
        &self.plan.destinations[0]
    }
}

impl House {
    /// Starts a configuration. An earlier version of it has ended. `queues` are those of it that an earlier run left.
    pub(super) fn start(&self, id: &str, ready: Ready, queues: &[String]) -> Running {
        let Ready { file, plan, marks, made_of } = ready;
        let (pipeline, starter) = self.pipeline(&plan, marks, queues);
        let intake = Intake::new(pipeline, self.budget.clone()).with_duplicates(self.duplicates.clone());
        let patterns = match &file.kubernetes {
            Some(_) => Vec::new(),
            None => file.paths.iter().map(|pattern| pattern.text().to_owned()).collect(),
        };
        let open = (descriptors::for_files(descriptors::raise()) / OPEN_SHARE).max(OPEN_LEAST);
        let steps = Steps::new(&file.processors, self.plan.records.nil);
        let files = Arc::new(Files::new(id, *file, steps, Arc::new(intake), self.positions.clone(), open));
        let stop = Stop {
            draining: self.inputs.draining.child_token(),
            tasks: TaskTracker::new(),
            successor: self.inputs.successor.clone(),
        };
        stop.tasks.spawn(files.clone().run(stop.clone()));
        self.status.add_files(id, files.clone());
        let ending = stop.clone();
        // So that the gateway's stop waits for it.
        self.inputs.tasks.spawn(async move {
            ending.draining.cancelled().await;
            ending.tasks.close();
            ending.tasks.wait().await;
        });
        let logstore = plan.destinations.first().map(|destination| destination.logstore.clone());
        Running {
            stop,
            files,
            starter,
            stop_delay: longest_delay(&plan.inputs),
            logstore: logstore.unwrap_or_default(),
            patterns,
            made_of,
        }
    }

    /// A pipeline to the destinations of a plan, whose senders start when they are needed.
    pub(super) fn pipeline(
        &self,
        plan: &Plan,
        marks: Marks,
        queues: &[String],
    ) -> (Arc<Pipeline>, JoinHandle<()>) {
        let (destinations, announced) = Destinations::new(plan, self.journal.clone());
        destinations.reopen(queues);
        let starter = self.ticks.tasks.spawn(self.clone().start_senders(announced));
        let identity =
            Identity { instance: self.instance.clone(), host: marks.hostname, source: marks.source };
        let tidy = Tidy::new(self.plan.time.out_of_range);
        let router = Router::new(plan);
        let pipeline = Pipeline::new(router, destinations, None, identity, tidy, self.journal.clone());
        (Arc::new(pipeline), starter)
    }

    /// Ends with the pipeline, or with the gateway.
    async fn start_senders(self, mut announced: mpsc::Receiver<Arc<Destination>>) {
        loop {
            tokio::select! {
                biased;
                announced = announced.recv() => match announced {
                    Some(destination) => self.shipping.start(destination),
                    None => return,
                },
                () = self.ticks.draining.cancelled() => return,
            }
        }
    }

    /// Delivers what an earlier run stored for something that is not collected any more.
    pub(super) fn deliver(&self, destination: DestinationPlan, queue: String) {
        let (name, plan) = (destination.name.clone(), plan_to(&self.plan, destination));
        let (destinations, mut announced) = Destinations::new(&plan, self.journal.clone());
        destinations.reopen(&[queue]);
        while let Ok(destination) = announced.try_recv() {
            self.shipping.start(destination);
        }
        self.shipping.retire(&name, None);
    }
}

impl Running {
    /// Lets its files go. Resolves when all of it has ended and what it read is stored.
    pub(super) fn end(self, id: String, house: &House) -> impl Future<Output = String> + Send + use<> {
        let Running { stop, files, starter, .. } = self;
        stop.draining.cancel();
        stop.tasks.close();
        let (journal, status) = (house.journal.clone(), house.status.clone());
        async move {
            stop.tasks.wait().await;
            status.remove_files(&id);
            files.retire();
            drop(files);
            // Each sender that it needs has been started, so that retiring them misses none.
            let _ = starter.await;
            // A journal that closes stores it no more; nobody goes on after that.
            let _ = journal.last_receipt().stored().await;
            id
        }
    }
}
