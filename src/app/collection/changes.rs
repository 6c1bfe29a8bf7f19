//! What happened to configurations, as records in a logstore of their project: whoever wrote one sees there what became of
//! it, on every gateway that has it.
//!
//! ```text
//! logstore config-operation-log   config   source   state (running, stale, refused, removed)   reason
//! ```
//!
//! A change is a record, and a project has a small buffer that gives the oldest up.

use std::collections::HashMap;
use std::sync::Arc;

use super::running::Marks;
use super::{CHANGES, House, plan_to};
use crate::collection::report::ConfigReport;
use crate::config::names::is_project_name;
use crate::config::plan::{
    BufferPlan, CollectionPlan, DestinationPlan, OnFull, Plan, SourceAddress, Storage, Target,
};
use crate::config::template::Template;
use crate::pipeline::Pipeline;
use crate::pipeline::lane::Lane;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Timestamp};

const LOGSTORE: &str = "config-operation-log";
const BUFFER_BYTES: u64 = 1 << 20;
/// Projects that are told; each has a pipeline.
const PROJECTS: usize = 100;
/// Bytes of a reason: a list of many faults says enough at its beginning.
const REASON_BYTES: usize = 4096;

pub(super) struct Changes {
    house: House,
    collection: Arc<CollectionPlan>,
    projects: HashMap<String, Told>,
}

/// A project's way to its logstore, and who we were when it was made.
struct Told {
    pipeline: Arc<Pipeline>,
    lane: Lane,
    marks: Marks,
}

impl Changes {
    pub(super) fn new(house: House, collection: Arc<CollectionPlan>) -> Changes {
        Changes { house, collection, projects: HashMap::new() }
    }

    /// Stores a record. `state` is the report's, or what came behind it.
    pub(super) fn tell(&mut self, report: &ConfigReport, state: &str, marks: &Marks) {
        let embedded = matches!(self.collection.destination.target, Target::Embedded);
        // Without the right to make it, the logstore would never be there.
        if !embedded && self.collection.made_for_resources.is_none() {
            return;
        }
        let Some((project, config)) = report.id.split_once('.') else { return };
        if !is_project_name(project)
            || (self.projects.len() >= PROJECTS && !self.projects.contains_key(project))
        {
            return;
        }
        let (house, collection) = (&self.house, &self.collection);
        self.projects.retain(|known, told| known != project || told.marks == *marks);
        let Told { pipeline, lane, .. } = self.projects.entry(project.to_owned()).or_insert_with(|| {
            let plan = plan_of(&house.plan, collection, project);
            let origin = Origin::new(CHANGES.trim_start_matches(':'), marks.hostname.as_str());
            let pipeline = house.pipeline(&plan, marks.clone(), &[]).0;
            Told { pipeline, lane: Lane::new(origin), marks: marks.clone() }
        });
        let mut reason = report.reasons.join("; ");
        if state == "running" {
            reason = report.notes.join("; ");
        }
        let mut end = REASON_BYTES.min(reason.len());
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        let mut batch = Batch::default();
        batch.tag = batch.keep(LOGSTORE.as_bytes());
        batch.begin(Timestamp::now());
        let fields =
            [("config", config), ("source", report.source.name()), ("state", state), ("reason", &reason)];
        for (key, value) in fields {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
            batch.push(key, value);
        }
        pipeline.store(lane, &mut batch, None);
    }
}

/// Where the records of a project go.
pub(super) fn destination(collection: &CollectionPlan, project: &str, logstore: &str) -> DestinationPlan {
    DestinationPlan {
        name: format!("{project}{CHANGES}"),
        project: project.to_owned(),
        logstore: logstore.to_owned(),
        topic: Template::constant(""),
        source: SourceAddress::Host,
        auto_create: collection.made_for_resources.clone(),
        buffer: 0,
        ..collection.destination.clone()
    }
}

fn plan_of(main: &Plan, collection: &CollectionPlan, project: &str) -> Plan {
    let buffer = BufferPlan {
        name: "changes".to_owned(),
        storage: Storage::Disk,
        max_bytes: BUFFER_BYTES,
        on_full: OnFull::EvictOldest,
    };
    Plan { buffers: vec![buffer], ..plan_to(main, destination(collection, project, LOGSTORE)) }
}
