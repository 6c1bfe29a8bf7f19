//! Routes: names become indices, and a route that no record can reach is a fault.

use super::{Destinations, find};
use crate::base::signal::Signal;
use crate::config::errors::Faults;
use crate::config::pattern::Pattern;
use crate::config::plan::RoutePlan;
use crate::config::raw::{RawRoute, logstore_name};
use crate::config::template::Template;

pub(super) fn routes(
    raw: Vec<RawRoute>,
    destinations: &Destinations,
    default: Option<usize>,
    faults: &Faults,
) -> Vec<RoutePlan> {
    let mut taken: Vec<(Signal, String)> = Vec::new();
    let mut routes = Vec::with_capacity(raw.len());
    for route in raw {
        let signals = route.signals.unwrap_or_else(|| vec![Signal::Logs]);
        if let Some(before) = takers(&signals, &taken) {
            faults.key(&route.path, format!("is never reached, since {before} takes all that it could"));
        }
        let everything = route.pattern.as_ref().is_some_and(Pattern::matches_everything);
        if everything && !route.conditional {
            taken.extend(signals.iter().map(|signal| (*signal, route.path.clone())));
        }
        let destination = match &route.destination {
            None => default,
            Some(name) => {
                let key = format!("{}.destination", route.path);
                find(name, destinations).map_err(|what| faults.key(&key, what)).ok()
            }
        };
        if let Some(name) = route.logstore.as_ref().and_then(Template::as_constant)
            && let Err(what) = logstore_name(name)
        {
            faults.key(&format!("{}.logstore", route.path), format!("`{name}` {what}"));
        }
        routes.push(RoutePlan {
            signals,
            pattern: route.pattern.unwrap_or_else(Pattern::everything),
            conditions: route.conditions,
            destination: destination.unwrap_or_default(),
            logstore: route.logstore,
            topic: route.topic,
            processors: route.processors,
        });
    }
    routes
}

/// The routes that leave nothing of these signals, if no signal is left; which they are is unknown when they are faulty.
fn takers(signals: &[Signal], taken: &[(Signal, String)]) -> Option<String> {
    let mut paths: Vec<&str> = Vec::new();
    for signal in signals {
        let (_, path) = taken.iter().find(|(taken, _)| taken == signal)?;
        if !paths.contains(&path.as_str()) {
            paths.push(path);
        }
    }
    (!paths.is_empty()).then(|| paths.join(" with "))
}
