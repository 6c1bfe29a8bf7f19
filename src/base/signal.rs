//! What a batch carries. Fluent Bit says so in the option `fluent_signal`; all other senders send logs.

use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Signal {
    #[default]
    Logs,
    Metrics,
    Traces,
    Blobs,
    Profiles,
}

impl Signal {
    pub const ALL: [Signal; 5] =
        [Signal::Logs, Signal::Metrics, Signal::Traces, Signal::Blobs, Signal::Profiles];

    /// Its name in configuration, metrics and logstore names.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
            Signal::Blobs => "blobs",
            Signal::Profiles => "profiles",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
