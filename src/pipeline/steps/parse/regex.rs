//! Groups of a regular expression as fields: the processor `parse: regex`.
//!
//! The expression matches the whole text or it does not match; how it reads it, see [`regex_groups`]. A group that took no
//! part in the match gives an empty value. The time is linear in the text, for every expression.

use std::sync::Arc;

use regex::bytes::{CaptureLocations, Regex};

use super::splice::{Names, Splice};
use crate::config::linear_regex::LinearRegex;
use crate::config::regex_groups;
use crate::record::{Batch, Span};

/// Expressions whose locations a lane keeps; only routes that were read anew many times get there.
const REMEMBERED: usize = 64;

pub(super) struct Parser {
    /// Absent when it cannot be built, which the configuration checks: then nothing matches.
    regex: Option<Arc<Regex>>,
    /// The group of each name.
    groups: Vec<usize>,
    names: Names,
}

/// Where groups were found last, for each expression: room that is used again.
#[derive(Default)]
pub(super) struct Locations(Vec<(Arc<Regex>, CaptureLocations)>);

impl Parser {
    pub(super) fn new(prefix: &str, regex: &LinearRegex, keys: &[String]) -> Parser {
        let named = regex_groups::named(regex, keys);
        Parser {
            regex: regex_groups::whole(regex).ok().map(Arc::new),
            groups: named.iter().map(|(group, _)| *group).collect(),
            names: Names::new(prefix, named.iter().map(|(_, name)| name.as_str())),
        }
    }

    pub(super) fn parse(
        &self,
        batch: &mut Batch,
        text: Span,
        splice: &mut Splice<'_>,
        locations: &mut Locations,
    ) -> bool {
        let Some(regex) = &self.regex else { return false };
        let found = locations.of(regex);
        if regex.captures_read(found, batch.bytes(text)).is_none() {
            return false;
        }
        let laid = self.names.lay(batch);
        self.groups.iter().enumerate().all(|(at, &group)| {
            let value = found.get(group).map_or(Span::EMPTY, |(from, to)| text.slice(from, to - from));
            splice.put(batch, self.names.of(laid, at), value)
        })
    }
}

impl Locations {
    fn of(&mut self, regex: &Arc<Regex>) -> &mut CaptureLocations {
        let known = self.0.iter().position(|(known, _)| Arc::ptr_eq(known, regex));
        let at = known.unwrap_or_else(|| {
            if self.0.len() == REMEMBERED {
                self.0.clear();
            }
            self.0.push((regex.clone(), regex.capture_locations()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}
