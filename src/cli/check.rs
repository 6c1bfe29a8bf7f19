//! `sluicegate check [FILE]`: everything that is wrong with a configuration, or with the environment alone, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{complain, say};
use crate::config::plan::{AgentPlan, CollectionPlan};
use crate::config::{self, Flags};

#[derive(Args)]
pub(super) struct Check {
    /// Configuration file (YAML). Left out: what the environment says, as a sidecar may be configured.
    file: Option<PathBuf>,
    /// Print the effective configuration, defaults and environment included, secrets hidden.
    #[arg(long)]
    print: bool,
}

impl Check {
    pub(super) fn execute(self) -> Result<ExitCode> {
        match config::load(self.file.as_deref(), super::variables(), &Flags { data_dir: None }) {
            Ok(plan) if self.print => {
                say(plan.effective().trim_end());
                Ok(ExitCode::SUCCESS)
            }
            Ok(plan) => {
                let what =
                    self.file.map_or_else(|| "environment".to_owned(), |file| file.display().to_string());
                say(&format!("{what}: good"));
                if let Some(collection) = &plan.collection {
                    say(&format!("what is collected comes from {}", sources(collection, &plan.agent)));
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                complain(&errors.to_string());
                Ok(ExitCode::from(2))
            }
        }
    }
}

/// Who says what is to be collected, beside the configuration itself.
fn sources(collection: &CollectionPlan, agent: &AgentPlan) -> String {
    let mut sources = Vec::new();
    if collection.machine_groups {
        let ids = agent.user_defined_ids.join(", ");
        sources.push(match (&collection.user_defined_id_file, ids.is_empty()) {
            (None, true) => "the machine groups that list this machine's address".to_owned(),
            (None, false) => format!("the machine groups of {ids}"),
            (Some(file), true) => format!("the machine groups of the ids in {}", file.display()),
            (Some(file), false) => {
                format!("the machine groups of {ids} and of the ids in {}", file.display())
            }
        });
    }
    if let Some(directory) = &collection.directory {
        sources.push(format!("the custom resources in {}", directory.display()));
    }
    if let Some(cluster) = &collection.kubernetes {
        sources.push(format!("the custom resources of {}", cluster.server));
    }
    sources.join(", and from ")
}
