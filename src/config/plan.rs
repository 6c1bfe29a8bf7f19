//! The plan: the configuration as the program uses it, typed, complete and checked against itself.
//!
//! Everything has a value, every name that was typed is an index into its list, and nothing here can be wrong in a way
//! that only shows at run time, save what a template renders. `Debug` shows no secret.

mod agent;
mod cloud;
mod collection;
mod connections;
mod file;
mod forward;
mod native;
mod sending;
mod steps;

pub use agent::*;
pub use cloud::*;
pub use collection::*;
pub use connections::*;
pub use file::*;
pub use forward::*;
pub use native::*;
pub use sending::*;
pub use steps::*;

use std::path::PathBuf;
use std::time::Duration;

use super::leaf::Address;
use super::linear_regex::LinearRegex;
use super::pattern::Pattern;
use super::template::Template;
use crate::base::signal::Signal;

/// The destination that stands for the embedded Log Service.
pub const LOCAL: &str = "local";
/// Characters of a logstore's name, by the documentation of CreateLogstore.
const LOGSTORE_NAME: usize = 63;

#[derive(Clone, Debug)]
pub struct Plan {
    /// Absolute.
    pub data_dir: PathBuf,
    /// By name; at least one, unless others say what is to be collected.
    pub inputs: Vec<InputPlan>,
    /// The first match wins; what none matches goes to the default destination.
    pub routes: Vec<RoutePlan>,
    /// By name; `local` is among them when the embedded Log Service is on. At least one where there are inputs.
    pub destinations: Vec<DestinationPlan>,
    /// Index into `destinations`, where there are some.
    pub default_destination: usize,
    /// `default` is always there.
    pub buffers: Vec<BufferPlan>,
    pub records: RecordsPlan,
    pub time: TimePlan,
    pub duplicates: DuplicatesPlan,
    pub journal: JournalPlan,
    pub limits: LimitsPlan,
    /// The embedded Log Service, when it is on.
    pub log_service: Option<LogServicePlan>,
    pub operations: OperationsPlan,
    /// What the gateway says of itself.
    pub agent: AgentPlan,
    /// What others say is to be collected; absent when nobody is asked.
    pub collection: Option<CollectionPlan>,
    /// Files the configuration took secrets from; a change of one is a reason to read the keys again.
    pub secret_files: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct InputPlan {
    pub name: String,
    pub kind: InputKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InputKind {
    Forward(Box<ForwardPlan>),
    Syslog(SyslogPlan),
    Gelf(GelfPlan),
    Splunk(SplunkPlan),
    DockerPlugin(DockerPluginPlan),
    Docker(DockerPlan),
    File(Box<FilePlan>),
}

#[derive(Clone, Debug)]
pub struct RoutePlan {
    pub pattern: Pattern,
    /// What the route takes; logs alone when nothing is said.
    pub signals: Vec<Signal>,
    /// Fields with what must hold for them; all must.
    pub conditions: Vec<(String, Condition)>,
    /// Index into [`Plan::destinations`].
    pub destination: usize,
    /// Instead of the destination's; what it renders still needs `names::clean_logstore_name`.
    pub logstore: Option<Template>,
    /// Instead of the destination's.
    pub topic: Option<Template>,
    /// In order.
    pub processors: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The field is there and has this value.
    Equals(String),
    /// The field is there and this matches somewhere in it.
    Regex(LinearRegex),
}

#[derive(Clone, Debug)]
pub struct DestinationPlan {
    pub name: String,
    pub target: Target,
    pub project: String,
    /// A legal name.
    pub logstore: String,
    /// Where other signals than logs go when no route says otherwise; legal names.
    pub signal_logstores: SignalLogstores,
    pub topic: Template,
    pub compression: Compression,
    /// Requests at once, at most.
    pub in_flight: usize,
    /// Bytes per second before compression, over all logstores of the destination.
    pub max_rate: Option<u64>,
    /// What chooses the shard of a LogGroup; empty when the service does.
    pub shard_key: Vec<ShardKeyPart>,
    pub batch_group: BatchGroup,
    /// What is made when it is missing; never for the embedded Log Service, which makes its own.
    pub auto_create: Option<AutoCreate>,
    pub request_timeout: Duration,
    /// A LogGroup is closed at this size before compression.
    pub batch_bytes: usize,
    pub batch_age: Duration,
    pub source: SourceAddress,
    /// Constant tags of every LogGroup, by key.
    pub tags: Vec<(String, String)>,
    pub hostname_tag: bool,
    pub receive_time_tag: bool,
    /// Index into [`Plan::buffers`].
    pub buffer: usize,
}

/// A logstore for each signal that is no log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalLogstores {
    pub metrics: String,
    pub traces: String,
    pub blobs: String,
    pub profiles: String,
}

#[derive(Clone, Debug)]
pub enum Target {
    /// The embedded Log Service: its address is known once it listens, its key once it has made one.
    Embedded,
    Cloud(Box<CloudPlan>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Lz4,
    Zstd,
    None,
}

/// What `__source__` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// The address of the peer that sent the records.
    Peer,
    /// This machine's name.
    Host,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferPlan {
    pub name: String,
    pub storage: Storage,
    /// Live bytes of one destination.
    pub max_bytes: u64,
    pub on_full: OnFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Disk,
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    Block,
    EvictOldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsPlan {
    pub nil: Nil,
}

/// What becomes of a field whose value is nil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nil {
    Empty,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePlan {
    pub out_of_range: OutOfRange,
}

/// What becomes of a time outside -7 days .. +15 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    Keep,
    Now,
}

/// How long messages are remembered by their chunk id, so that one that comes again is not stored again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicatesPlan {
    /// Zero: not at all.
    pub window: Duration,
    /// Memory; past it the oldest are forgotten early.
    pub max_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPlan {
    /// On disk, all destinations together.
    pub max_bytes: u64,
    pub segment_bytes: u64,
    /// Fresh entries that stay in memory.
    pub fresh_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsPlan {
    /// All that is read and not yet stored, over all inputs.
    pub byte_budget: usize,
    pub dead_letter_bytes: u64,
    /// After SIGTERM, delivery goes on for at most so long.
    pub stop_deadline: Duration,
}

impl LimitsPlan {
    /// What closing the journal and the HTTP ports is given where a stop has no deadline of its own.
    pub const CLOSING: Duration = Duration::from_millis(1500);

    /// The part of a stop of `total` that is kept for closing the journal and the HTTP ports; a short one is not all for that.
    pub fn closing(total: Duration) -> Duration {
        LimitsPlan::CLOSING.min(total / 4)
    }

    /// How long an input may read on at a stop: what it reads then is delivered in as much time as closing takes.
    pub fn longest_stop_delay(&self) -> Duration {
        self.stop_deadline - 2 * LimitsPlan::closing(self.stop_deadline)
    }

    /// The shortest deadline that leaves so much to an input's `stop_delay`.
    pub fn shortest_stop_deadline(stop_delay: Duration) -> Duration {
        stop_delay + (2 * LimitsPlan::CLOSING).min(stop_delay)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogServicePlan {
    pub listen: Address,
    pub project: String,
    /// Where the destination `local` writes.
    pub logstore: String,
    /// All its files; `None`: what the file system gives, but for its last tenth, 2 GiB at most.
    pub max_bytes: Option<u64>,
    pub on_full: StoreFull,
}

/// What the embedded Log Service does with logs it has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFull {
    Refuse,
    DropOldest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationsPlan {
    pub listen: Address,
}

impl InputKind {
    /// Where it listens; nothing for inputs that read files, and for the plugin, which has one socket of its own.
    pub fn listen(&self) -> &[Listen] {
        match self {
            InputKind::Forward(plan) => &plan.listen,
            InputKind::Syslog(plan) => &plan.listen,
            InputKind::Gelf(plan) => &plan.listen,
            InputKind::Splunk(plan) => &plan.listen,
            InputKind::DockerPlugin(_) | InputKind::Docker(_) | InputKind::File(_) => &[],
        }
    }

    /// What it asks of its connections, where it has some.
    pub fn connections(&self) -> Option<&ConnectionsPlan> {
        match self {
            InputKind::Forward(plan) => Some(&plan.connections),
            InputKind::Syslog(plan) => Some(&plan.connections),
            InputKind::Gelf(plan) => Some(&plan.connections),
            InputKind::Splunk(plan) => Some(&plan.connections),
            InputKind::DockerPlugin(_) | InputKind::Docker(_) | InputKind::File(_) => None,
        }
    }

    pub fn join(&self) -> &JoinPlan {
        match self {
            InputKind::Forward(plan) => &plan.join,
            InputKind::Syslog(plan) => &plan.join,
            InputKind::Gelf(plan) => &plan.join,
            InputKind::Splunk(plan) => &plan.join,
            InputKind::DockerPlugin(plan) => &plan.join,
            InputKind::Docker(plan) => &plan.join,
            InputKind::File(plan) => &plan.join,
        }
    }
}

impl Condition {
    /// Whether it holds for the value of its field, if the record has that field.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Condition::Equals(text), Some(value)) => text.as_bytes() == value,
            (Condition::Regex(regex), Some(value)) => regex.is_match(value),
            (_, None) => false,
        }
    }
}

impl SignalLogstores {
    /// The defaults: the logstore's name with the signal's behind it, cut to Log Service's 63 characters.
    pub fn beside(logstore: &str) -> SignalLogstores {
        let name = |signal: Signal| {
            let room = LOGSTORE_NAME - signal.name().len() - 1;
            format!("{}-{signal}", logstore.chars().take(room).collect::<String>())
        };
        SignalLogstores {
            metrics: name(Signal::Metrics),
            traces: name(Signal::Traces),
            blobs: name(Signal::Blobs),
            profiles: name(Signal::Profiles),
        }
    }
}

impl DestinationPlan {
    /// The default logstore of a signal.
    pub fn logstore_of(&self, signal: Signal) -> &str {
        match signal {
            Signal::Logs => &self.logstore,
            Signal::Metrics => &self.signal_logstores.metrics,
            Signal::Traces => &self.signal_logstores.traces,
            Signal::Blobs => &self.signal_logstores.blobs,
            Signal::Profiles => &self.signal_logstores.profiles,
        }
    }
}

impl Plan {
    /// The buffer of a destination.
    pub fn buffer_of(&self, destination: &DestinationPlan) -> Option<&BufferPlan> {
        self.buffers.get(destination.buffer)
    }

    /// The plan as a configuration that says everything, for `check --print`. Secrets are `***`.
    pub fn effective(&self) -> String {
        super::print::effective(self)
    }
}
