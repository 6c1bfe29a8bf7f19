//! Configurations that Log Service's machine groups hold for this gateway, asked for over the public API, of the cloud and of
//! the embedded service alike.
//!
//! ```text
//! each interval, and at once when we are somebody else:
//!   ListMachineGroups -> GetMachineGroup of ours (and of some others) -> GetAppliedConfigs -> GetConfig or
//!   GetLogtailPipelineConfig -> Found, with everything
//! ```
//!
//! A round costs one request for the list, two for each own group, one for each own configuration, and as many for the groups
//! of others that each of them is asked for once within [`memory::FOREIGN`]: somebody may have made them ours. Where no
//! project is named, all projects of the region are asked, which costs one request more, and one for each of them.
//!
//! Any failure but a group or a configuration that goes away between two requests ends the round without a word: what was
//! found last stays. A service that wants rest gets more and more of it. What is refused for one configuration, or for one
//! project of several, is told and holds up none of the others: what that had before goes on.

mod answers;
mod memory;
mod survey;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::context::{self, SourceContext};
use super::{Found, Source, Wanted};
use crate::base::backoff::Backoff;
use crate::config::plan::CloudPlan;
use crate::output::Client;
use crate::output::client::ClientError;
use crate::output::credentials::Credentials;
use survey::{Round, Survey};

/// After a failure nobody waits longer than this, as what was changed shall be known within a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A service that wants rest gets it.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// A configuration is text of people.
const ANSWER_BYTES: usize = 8 << 20;

/// Where the machine groups are, and how often they are looked at.
pub struct Settings {
    pub service: Service,
    /// The only project that is asked; empty: all of the service.
    pub project: String,
    /// Between two rounds, give or take a fifth.
    pub interval: Duration,
    /// Of one request.
    pub timeout: Duration,
    /// What an earlier run found last: it goes on where the service does not let us look now.
    pub kept: Vec<Wanted>,
}

/// A Log Service.
#[derive(Clone)]
pub enum Service {
    Cloud {
        plan: Box<CloudPlan>,
        credentials: Credentials,
    },
    /// `http://host:port`
    Embedded {
        endpoint: String,
        credentials: Credentials,
    },
}

impl Service {
    /// A client of one project, or of none. Looking up a name and reading certificates may take long.
    async fn client(&self, project: &str, timeout: Duration) -> Result<Client, ClientError> {
        let (service, name) = (self.clone(), project.to_owned());
        let make = move || match service {
            Service::Cloud { plan, credentials } => {
                Client::with_credentials(&plan, &name, credentials, timeout)
            }
            Service::Embedded { endpoint, credentials } => {
                Client::new(&endpoint, &name, credentials, timeout)
            }
        };
        let made = tokio::task::spawn_blocking(make).await;
        let made = made.unwrap_or_else(|ended| {
            let why = format!("the client was not made: {ended}");
            Err(ClientError::Endpoint { endpoint: project.to_owned(), why })
        });
        made.map(|client| client.with_longest_answer(ANSWER_BYTES))
    }

    /// The region, where it is known.
    fn region(&self) -> Option<&str> {
        match self {
            Service::Cloud { plan, .. } => plan.region.as_deref(),
            Service::Embedded { .. } => None,
        }
    }
}

/// Looks until the gateway stops, or until nobody wants to know.
pub async fn run(settings: Settings, context: SourceContext) {
    let SourceContext { found, mut identity, stop, .. } = context.clone();
    let interval = settings.interval;
    // Between three and six fifths of the interval, so that a thousand gateways that were started as one do not stay so.
    let mut pace = Backoff::new(interval.mul_f64(1.2), interval.mul_f64(1.2));
    let mut retry = Backoff::new(interval, LONGEST_WAIT.max(interval));
    let mut rest = Backoff::new(interval * 2, LONGEST_REST.max(interval));
    let mut survey = Survey::new(settings);
    loop {
        let who = identity.borrow_and_update().clone();
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = survey.round(&who) => round,
        };
        let wait = match round {
            Ok(Round { wanted, refused, warning }) => {
                retry.reset();
                rest.reset();
                context.warned(Source::MachineGroups, warning.as_deref());
                let all = Found { source: Source::MachineGroups, wanted, refused };
                let sent = tokio::select! {
                    () = stop.cancelled() => return,
                    sent = found.send(all) => sent,
                };
                if sent.is_err() {
                    return;
                }
                pace.next_wait()
            }
            Err(trouble) => {
                context.failed(Source::MachineGroups, &trouble.to_string());
                if trouble.wants_rest() { rest.next_wait() } else { retry.next_wait() }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = context::changed(&mut identity) => survey.forget(),
        }
    }
}
