//! `sluicegate check [FILE]`: everything that is wrong with a configuration, or with the environment alone, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{complain, say};
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
            Ok(_) => {
                let what =
                    self.file.map_or_else(|| "environment".to_owned(), |file| file.display().to_string());
                say(&format!("{what}: good"));
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                complain(&errors.to_string());
                Ok(ExitCode::from(2))
            }
        }
    }
}
