//! `sluicegate check FILE`: everything that is wrong with a configuration, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{complain, say};
use crate::config::{self, Flags};

#[derive(Args)]
pub(super) struct Check {
    /// Configuration file (YAML).
    file: PathBuf,
    /// Print the effective configuration, defaults and environment included, secrets hidden.
    #[arg(long)]
    print: bool,
}

impl Check {
    pub(super) fn execute(self) -> Result<ExitCode> {
        match config::load(Some(&self.file), super::variables(), &Flags { data_dir: None }) {
            Ok(plan) if self.print => {
                say(plan.effective().trim_end());
                Ok(ExitCode::SUCCESS)
            }
            Ok(_) => {
                say(&format!("{}: good", self.file.display()));
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                complain(&errors.to_string());
                Ok(ExitCode::from(2))
            }
        }
    }
}
