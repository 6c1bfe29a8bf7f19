//! From what was typed to what is used: fills in the defaults, turns names into indices, and checks the whole against
//! itself. Every fault is collected; the plan counts only when there was none.

mod agent;
mod collection;
mod connections;
mod docker;
mod file;
mod forward;
mod inputs;
mod network;
mod routes;
mod sockets;

use std::path::PathBuf;
use std::time::Duration;

use inputs::inputs;
use routes::routes;

use super::errors::Faults;
use super::leaf::Address;
use super::plan::*;
use super::raw::{Raw, RawBuffer, RawDestination, RawLogService};
use super::reader::no_such;
use super::template::Template;
use crate::base::limits;

/// Live bytes of one destination on disk: a quarter of the journal, so that one stuck destination leaves room.
const BUFFER_DISK_BYTES: u64 = 1 << 30;
/// Live bytes of one destination in memory, which the whole process shares.
const BUFFER_MEMORY_BYTES: u64 = 64 << 20;
/// Requests at once to one destination.
const IN_FLIGHT: usize = 4;
/// Log Service answers in well under a second; a request without an answer is repeated after this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Kubernetes kills after 30 s, Docker after 10: what is not delivered by then is in the journal.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const LOG_SERVICE_PORT: u16 = 24280;
const OPERATIONS_PORT: u16 = 24290;
const LOOPBACK: &str = "127.0.0.1";
const DEFAULT_BUFFER: &str = "default";

/// Completes and checks. What depends on a key that is already faulty is not reported a second time.
pub(super) fn resolve(raw: Raw, data_dir: PathBuf, faults: &Faults) -> Option<Plan> {
    let journal = JournalPlan {
        max_bytes: raw.journal.max_bytes.unwrap_or(limits::JOURNAL_BYTES),
        segment_bytes: raw.journal.segment_bytes.unwrap_or(limits::SEGMENT_BYTES),
        fresh_bytes: in_memory(raw.journal.fresh_bytes, limits::FRESH_BYTES),
    };
    if journal.segment_bytes > journal.max_bytes / 2 {
        // What a variable says wins over the file, and so it is what has to change.
        let max_bytes = raw.journal.segment_bytes.is_none() || faults.variable("journal.max_bytes").is_some();
        let key = if max_bytes { "journal.max_bytes" } else { "journal.segment_bytes" };
        faults.key(key, "leaves no room for two segments; max_bytes must be at least twice segment_bytes");
    }
    let buffers = buffers(raw.buffers, &journal, faults);
    let collects_elsewhere = raw.collection.as_ref().is_some_and(|collection| collection.has_destination);
    let log_service = log_service(raw.log_service, &raw.destinations, collects_elsewhere, faults);
    let agent = agent::agent(raw.agent);
    let is_collecting = raw.collection.is_some();
    let collection =
        raw.collection.map(|raw| collection::collection(raw, &agent, log_service.as_ref(), &buffers, faults));
    let mut destinations = destinations(raw.destinations, log_service.as_ref(), &buffers, faults);
    agent::tag(&mut destinations, &agent);
    let inputs = inputs(raw.inputs, !is_collecting, faults);
    let default_destination =
        default_destination(raw.default_destination, &destinations, !inputs.is_empty(), faults);
    let routes = routes(raw.routes, &destinations, default_destination, faults);
    let plan = Plan {
        data_dir,
        inputs,
        routes,
        destinations: destinations.into_iter().map(|(_, plan)| plan).collect::<Option<Vec<_>>>()?,
        default_destination: default_destination?,
        buffers,
        records: RecordsPlan { nil: raw.nil.unwrap_or(Nil::Empty) },
        time: TimePlan { out_of_range: raw.out_of_range.unwrap_or(OutOfRange::Keep) },
        duplicates: DuplicatesPlan {
            window: raw.duplicates.window.unwrap_or(limits::DUPLICATES_WINDOW),
            max_bytes: in_memory(raw.duplicates.max_bytes, limits::DUPLICATES_BYTES),
        },
        journal,
        limits: LimitsPlan {
            byte_budget: in_memory(raw.limits.byte_budget, limits::BYTE_BUDGET),
            dead_letter_bytes: raw.limits.dead_letter_bytes.unwrap_or(limits::DEAD_LETTER_BYTES),
            stop_deadline: raw.limits.stop_deadline.unwrap_or(STOP_DEADLINE),
        },
        log_service,
        operations: OperationsPlan {
            listen: raw.operations_listen.unwrap_or_else(|| Address::new(LOOPBACK, OPERATIONS_PORT)),
        },
        agent,
        collection: collection.flatten(),
        // The loader knows.
        secret_files: Vec::new(),
    };
    sockets::check(&plan, faults);
    file::stop_delays(&plan.inputs, &plan.limits, faults);
    Some(plan)
}

/// A number of bytes in memory; what was typed has passed its bound.
fn in_memory(typed: Option<u64>, default: usize) -> usize {
    typed.map_or(default, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn buffers(mut raw: Vec<RawBuffer>, journal: &JournalPlan, faults: &Faults) -> Vec<BufferPlan> {
    if !raw.iter().any(|buffer| buffer.name == DEFAULT_BUFFER) {
        raw.insert(
            0,
            RawBuffer {
                name: DEFAULT_BUFFER.to_owned(),
                path: String::new(),
                storage: None,
                max_bytes: None,
                on_full: None,
            },
        );
    }
    let buffer = |raw: RawBuffer| {
        let storage = raw.storage.unwrap_or(Storage::Disk);
        let on_disk = storage == Storage::Disk;
        if on_disk && raw.max_bytes.is_some_and(|bytes| bytes > journal.max_bytes) {
            faults.key(
                &format!("{}.max_bytes", raw.path),
                "is more than journal.max_bytes, which holds all buffers on disk",
            );
        }
        let default = if on_disk { BUFFER_DISK_BYTES.min(journal.max_bytes) } else { BUFFER_MEMORY_BYTES };
        BufferPlan {
            name: raw.name,
            storage,
            max_bytes: raw.max_bytes.unwrap_or(default),
            on_full: raw.on_full.unwrap_or(OnFull::Block),
        }
    };
    raw.into_iter().map(buffer).collect()
}

fn log_service(
    raw: RawLogService,
    destinations: &[RawDestination],
    collects_elsewhere: bool,
    faults: &Faults,
) -> Option<LogServicePlan> {
    let elsewhere = destinations.iter().any(|destination| destination.name != LOCAL);
    let on = raw.enabled.unwrap_or(!elsewhere && !collects_elsewhere);
    if !on && !elsewhere && !collects_elsewhere {
        faults.key(
            "log_service.enabled",
            "is false and no destination is configured, so records have nowhere to go",
        );
    }
    if let Some(local) = destinations.iter().find(|destination| destination.name == LOCAL && !on && elsewhere)
    {
        faults.key(&local.path, "is the embedded Log Service, which is off; set log_service.enabled: true");
    }
    on.then(|| LogServicePlan {
        listen: raw.listen.unwrap_or_else(|| Address::new(LOOPBACK, LOG_SERVICE_PORT)),
        project: raw.project.unwrap_or_else(|| "sluicegate".to_owned()),
        logstore: raw.logstore.unwrap_or_else(|| "default".to_owned()),
        max_bytes: raw.max_bytes,
        on_full: raw.on_full.unwrap_or(StoreFull::Refuse),
    })
}

/// Each destination by name; without a plan when it is faulty, so that what names it is not blamed.
type Destinations = Vec<(String, Option<DestinationPlan>)>;

fn destinations(
    mut raw: Vec<RawDestination>,
    log_service: Option<&LogServicePlan>,
    buffers: &[BufferPlan],
    faults: &Faults,
) -> Destinations {
    if log_service.is_some() && !raw.iter().any(|destination| destination.name == LOCAL) {
        raw.push(RawDestination {
            name: LOCAL.to_owned(),
            path: format!("destinations.{LOCAL}"),
            ..Default::default()
        });
        raw.sort_by(|one, two| one.name.cmp(&two.name));
    }
    let destination = |raw: RawDestination| {
        let typed = raw.buffer.as_deref().unwrap_or(DEFAULT_BUFFER);
        let buffer = buffers.iter().position(|buffer| buffer.name == typed);
        if buffer.is_none() {
            let names: Vec<&str> = buffers.iter().map(|buffer| buffer.name.as_str()).collect();
            faults.key(&format!("{}.buffer", raw.path), no_such("buffer", typed, &names));
        }
        if raw.batch_group == Some(BatchGroup::On) && !raw.shard_key.is_empty() {
            let key = format!("{}.batch_group", raw.path);
            faults.key(
                &key,
                "is on beside shard_key: LogGroups that travel together have no shard of their own",
            );
        }
        let place = match (raw.cloud, log_service) {
            (Some(cloud), _) => Some((Target::Cloud(Box::new(cloud.place)), cloud.project, cloud.logstore)),
            (None, Some(local)) if raw.name == LOCAL => {
                Some((Target::Embedded, local.project.clone(), local.logstore.clone()))
            }
            _ => None,
        };
        let signal_logstores = place.as_ref().map(|(.., logstore)| {
            let beside = SignalLogstores::beside(logstore);
            SignalLogstores {
                metrics: raw.metrics_logstore.unwrap_or(beside.metrics),
                traces: raw.traces_logstore.unwrap_or(beside.traces),
                blobs: raw.blobs_logstore.unwrap_or(beside.blobs),
                profiles: raw.profiles_logstore.unwrap_or(beside.profiles),
            }
        });
        let place = place.zip(signal_logstores);
        let plan = place.map(|((target, project, logstore), signal_logstores)| DestinationPlan {
            name: raw.name.clone(),
            target,
            project,
            signal_logstores,
            logstore,
            topic: raw.topic.unwrap_or_else(Template::tag),
            compression: raw.compression.unwrap_or(Compression::Lz4),
            in_flight: raw.in_flight.unwrap_or(IN_FLIGHT),
            max_rate: raw.max_rate,
            shard_key: raw.shard_key,
            batch_group: raw.batch_group.unwrap_or_default(),
            auto_create: raw.auto_create,
            request_timeout: raw.request_timeout.unwrap_or(REQUEST_TIMEOUT),
            batch_bytes: in_memory(raw.batch_bytes, limits::GROUP_BYTES),
            batch_age: raw.batch_age.unwrap_or(limits::GROUP_AGE),
            source: raw.source.unwrap_or(SourceAddress::Peer),
            tags: raw.tags,
            hostname_tag: raw.hostname_tag.unwrap_or(true),
            receive_time_tag: raw.receive_time_tag.unwrap_or(false),
            buffer: buffer.unwrap_or_default(),
        });
        (raw.name, plan)
    };
    raw.into_iter().map(destination).collect()
}

fn default_destination(
    typed: Option<String>,
    destinations: &Destinations,
    has_inputs: bool,
    faults: &Faults,
) -> Option<usize> {
    let key = "default_destination";
    match typed {
        Some(name) => find(&name, destinations).map_err(|what| faults.key(key, what)).ok(),
        None if destinations.len() == 1 || (destinations.is_empty() && !has_inputs) => Some(0),
        None => {
            if destinations.is_empty() {
                let what = "is missing: the inputs have nowhere to send to, since collection.destination is for what is \
                            collected alone";
                faults.key("destinations", what);
            }
            if destinations.len() > 1 {
                let names = names(destinations).join(", ");
                faults.key(key, format!("is missing; name where unmatched records go, one of {names}"));
            }
            None
        }
    }
}

fn find(name: &str, destinations: &Destinations) -> Result<usize, String> {
    let missing = || {
        if name == LOCAL {
            "the embedded Log Service is off; set log_service.enabled: true".to_owned()
        } else {
            no_such("destination", name, &names(destinations))
        }
    };
    destinations.iter().position(|(known, _)| known == name).ok_or_else(missing)
}

fn names(destinations: &Destinations) -> Vec<&str> {
    destinations.iter().map(|(name, _)| name.as_str()).collect()
}
