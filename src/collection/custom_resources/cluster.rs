//! Custom resources of the API server: both kinds, followed for as long as the gateway runs.
//!
//! ```text
//! follow AliyunLogConfig ------------.
//!                                     |--> all that are known --> Found, a moment after the last change
//! follow ClusterAliyunPipelineConfig -'          `--> statuses <-- outcomes
//! ```
//!
//! Nothing is told until both kinds are known. A kind that the cluster does not have has no resources; nor has one that may not
//! be listed, after [`Manners::forbidden`]: a right may be late, and may be meant to be missing. What was known of a kind stays
//! when the server is away. That a kind itself went is believed when it is said twice, a minute apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::super::context::SourceContext;
use super::super::report::Outcomes;
use super::super::{Found, Outcome, Source};
use super::choice::{Broken, Chosen, Met, choose};
use super::statuses::{Key, Statuses};
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Gauge, counter, gauge};
use crate::cluster::{self, ApiError, Change, Client, Kind};
use crate::config::collected::resource;

pub(super) const KINDS: [Kind; 2] = [Kind::LOG_CONFIG, Kind::PIPELINE_CONFIG];
/// Resources that are known of a kind, of all gateways.
const KNOWN: usize = 10_000;
/// Changes on their way from a watch.
const CHANGES: usize = 64;

static MANY: LogLimit = LogLimit::new(Duration::from_secs(600));

/// Whose resources are asked for.
pub struct Settings {
    pub client: Client,
    /// Of those that have one. Absent: all.
    pub namespace: Option<String>,
    /// Of resources that name none.
    pub project: Option<String>,
    pub manners: Manners,
}

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub cluster: cluster::Manners,
    /// Changes that come together are told together.
    pub gather: Duration,
    /// The set is told again so often, changed or not.
    pub repeat: Duration,
    /// A kind that may not be listed has no resources after this.
    pub forbidden: Duration,
    /// Others are given so long to write a status first.
    pub patience: Duration,
    /// The longest pause after a status could not be written.
    pub longest: Duration,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            cluster: cluster::Manners::default(),
            gather: Duration::from_millis(200),
            repeat: Duration::from_secs(60),
            forbidden: Duration::from_secs(60),
            patience: Duration::from_secs(2),
            longest: Duration::from_secs(300),
        }
    }
}

/// What is known of a kind.
#[derive(Default)]
struct Known {
    objects: HashMap<(Option<String>, String), Value>,
    /// Its resources were listed once, or are known to be none.
    is_known: bool,
    /// The last thing said was that there is no such kind.
    is_absent: bool,
    forbidden_since: Option<Instant>,
    error: Option<String>,
}

struct Follower {
    client: Arc<Client>,
    project: Option<String>,
    manners: Manners,
    kinds: [Known; 2],
    statuses: Statuses,
    /// What was told, and where each is.
    places: HashMap<String, (Key, Vec<String>)>,
    refused: Vec<(String, Vec<String>)>,
    status_error: Option<String>,
    size: Gauge,
}

/// Follows until `stop`, or until nobody wants to know.
pub async fn run(settings: Settings, mut context: SourceContext) {
    let Settings { client, namespace, project, manners } = settings;
    let client = Arc::new(client);
    let (told, mut changes) = mpsc::channel(CHANGES);
    let mut followers = JoinSet::new();
    for (at, kind) in KINDS.into_iter().enumerate() {
        let (client, told, namespace) = (client.clone(), told.clone(), namespace.clone());
        followers.spawn(async move {
            let (own, mut own_changes) = mpsc::channel(1);
            let following = cluster::follow(&client, &kind, namespace.as_deref(), manners.cluster, &own);
            let passing = async {
                while let Some(change) = own_changes.recv().await {
                    if told.send((at, change)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = following => {}
                () = passing => {}
            }
        });
    }
    let mut follower = Follower {
        statuses: Statuses::new(client.clone(), KINDS, manners.patience, manners.longest),
        client,
        project,
        manners,
        kinds: Default::default(),
        places: HashMap::new(),
        refused: Vec::new(),
        status_error: None,
        size: gauge(
            "sluicegate_custom_resources",
            "Custom resources of the API server that are this gateway's.",
            &[],
        ),
    };
    let failures = counter(
        "sluicegate_custom_resource_failures_total",
        "Requests for custom resources that the API server did not answer or refused.",
        &[],
    );
    // When the set is told next.
    let mut due: Option<Instant> = None;
    loop {
        let (write, now) = (follower.statuses.due(), Instant::now());
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.found.closed() => return,
            Some((at, change)) = changes.recv() => {
                if matches!(change, Change::Failed(_)) {
                    failures.increment(1);
                }
                if follower.take(at, change) && follower.is_known() {
                    due = Some(due.unwrap_or(now + manners.repeat).min(now + manners.gather));
                }
                follower.tell(&context);
            }
            Ok(()) = context.identity.changed() => {
                if follower.is_known() {
                    due = Some(now);
                }
            }
            Ok(()) = context.outcomes.changed() => follower.plan(&context.outcomes.borrow_and_update()),
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                let set = follower.found(&context.identity.borrow_and_update().ids.clone());
                if follower.has_answered() && context.found.send(set).await.is_err() {
                    return;
                }
                due = Some(Instant::now() + manners.repeat);
                follower.plan(&context.outcomes.borrow_and_update());
            }
            () = sleep_until(write.unwrap_or(now)), if write.is_some() => {
                let Follower { statuses, kinds, .. } = &mut follower;
                statuses.write(|key| kinds.get(key.kind)?.objects.get(&(key.namespace.clone(), key.name.clone())));
            }
            result = follower.statuses.ended(), if follower.statuses.is_writing() => {
                follower.wrote(result);
                follower.tell(&context);
            }
        }
    }
}

impl Follower {
    /// Whether something is another now.
    fn take(&mut self, at: usize, change: Change) -> bool {
        let (server, forbidden) = (self.client.server().to_owned(), self.manners.forbidden);
        let Some(known) = self.kinds.get_mut(at) else { return false };
        let was = (known.is_known, known.error.is_some());
        match change {
            Change::All(objects) => {
                let objects: HashMap<_, _> =
                    objects.into_iter().filter_map(|object| Some((name(&object)?, object))).collect();
                let is_news = known.objects != objects;
                *known = Known { objects, is_known: true, ..Known::default() };
                return is_news || was != (true, false);
            }
            Change::Well => {
                known.error = None;
                known.is_absent = false;
            }
            Change::Put(object) => {
                let Some(name) = name(&object) else { return false };
                if known.objects.len() >= KNOWN && !known.objects.contains_key(&name) {
                    if let Some(suppressed) = MANY.allow() {
                        tracing::warn!(%server, most = KNOWN, suppressed, "there are more custom resources than are followed");
                    }
                    return false;
                }
                // Nobody needs to hear of what is in the status.
                let spec = object["spec"].clone();
                return known.objects.insert(name, object).is_none_or(|before| before["spec"] != spec);
            }
            Change::Gone(object) => {
                return name(&object).is_some_and(|name| known.objects.remove(&name).is_some());
            }
            Change::Failed(ApiError::Absent { .. }) => {
                if !known.is_known || known.is_absent {
                    let is_news = !known.objects.is_empty();
                    *known = Known { is_known: true, is_absent: true, ..Known::default() };
                    return is_news || was != (true, false);
                }
                known.is_absent = true;
            }
            Change::Failed(error) => {
                if matches!(error, ApiError::Forbidden { .. }) && !known.is_known {
                    let since = *known.forbidden_since.get_or_insert_with(Instant::now);
                    known.is_known = since.elapsed() >= forbidden;
                }
                known.error = Some(error.to_string());
            }
        }
        was != (known.is_known, known.error.is_some())
    }

    fn is_known(&self) -> bool {
        self.kinds.iter().all(|known| known.is_known)
    }

    /// Whether what is known is what the server says now; a kind that may not be listed is none of this gateway's.
    fn has_answered(&self) -> bool {
        self.kinds.iter().all(|known| known.error.is_none() || known.forbidden_since.is_some())
    }

    fn found(&mut self, ids: &[String]) -> Found {
        let mut keys = BTreeMap::new();
        let met = self.kinds.iter().enumerate().flat_map(|(kind, known)| {
            known.objects.iter().map(move |((namespace, name), object)| {
                let key = Key { kind, namespace: namespace.clone(), name: name.clone() };
                let place = match namespace {
                    Some(namespace) => format!("{namespace}/{name}"),
                    None => name.clone(),
                };
                (format!("{} {place}", KINDS[kind.min(1)].name), (key, object))
            })
        });
        keys.extend(met);
        let met = keys.iter().map(|(place, (_, object))| Met {
            place: place.clone(),
            resource: resource::read(object).map_err(|error| Broken::of(object, error)),
        });
        let Chosen { found, places } = choose(Source::Kubernetes, met, ids, self.project.as_deref());
        let key = |(id, (place, notes)): (String, (String, Vec<String>))| {
            Some((id, (keys.get(&place)?.0.clone(), notes)))
        };
        self.places = places.into_iter().filter_map(key).collect();
        self.refused.clone_from(&found.refused);
        self.size.set(self.places.len() as f64);
        found
    }

    /// What became of each is to be written.
    fn plan(&mut self, outcomes: &Outcomes) {
        let refused: HashMap<&String, &Vec<String>> =
            self.refused.iter().map(|(id, reasons)| (id, reasons)).collect();
        let mut known = BTreeMap::new();
        for (id, (key, notes)) in &self.places {
            let outcome = match refused.get(id) {
                Some(reasons) => Some(Outcome::Refused { reasons: (*reasons).clone() }),
                None => outcomes.get(&(Source::Kubernetes, id.clone())).cloned(),
            };
            let object = self
                .kinds
                .get(key.kind)
                .and_then(|known| known.objects.get(&(key.namespace.clone(), key.name.clone())));
            let (Some(mut outcome), Some(object)) = (outcome, object) else { continue };
            if let Outcome::Applied { notes: applied } = &mut outcome {
                applied.extend(notes.iter().cloned());
            }
            known.insert(key.clone(), (object, outcome));
        }
        self.statuses.plan(&known);
    }

    fn wrote(&mut self, result: Result<(), ApiError>) {
        match result {
            Ok(()) => self.status_error = None,
            Err(error) => {
                self.status_error = Some(format!("collected, but their status is not written: {error}"));
            }
        }
    }

    /// How it goes, for people.
    fn tell(&self, context: &SourceContext) {
        let of = |is_forbidden: bool| {
            let meant = self.kinds.iter().filter(|known| known.forbidden_since.is_some() == is_forbidden);
            meant.filter_map(|known| known.error.clone()).collect::<Vec<_>>().join("; ")
        };
        let error = of(false);
        if !error.is_empty() {
            context.failed(Source::Kubernetes, &error);
        }
        let forbidden = Some(of(true)).filter(|text| !text.is_empty());
        let warnings: Vec<String> = forbidden.into_iter().chain(self.status_error.clone()).collect();
        let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        context.warned(Source::Kubernetes, warning.as_deref());
    }
}

/// Namespace and name.
fn name(object: &Value) -> Option<(Option<String>, String)> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str()?.to_owned();
    Some((metadata["namespace"].as_str().map(str::to_owned), name))
}
