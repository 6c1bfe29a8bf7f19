//! `sluicegate undeploy`: deletes a cluster's machine groups, so that nothing is collected there any more. Project and logs
//! stay, unless told otherwise.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::place::Place;
use super::{Cluster, confirm, steps};
use crate::cli::{block_on, complain};

#[derive(Args)]
pub(in crate::cli) struct Undeploy {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    place: Place,
    /// Delete the whole project with all its logs as well, which nothing brings back.
    #[arg(long)]
    delete_logs: bool,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Undeploy {
    pub(in crate::cli) fn execute(self) -> Result<ExitCode> {
        block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let names = self.cluster.names()?;
        let reached = self.place.reach(&names.project).await?;
        let doomed = steps::doomed(&reached.client, &names, self.delete_logs).await?;
        for group in &doomed.groups {
            complain(&format!("machine group {group}"));
        }
        if let Some(logstores) = &doomed.logs {
            complain(&format!("project {}, and in it:", names.project));
            logstores.iter().for_each(|logstore| complain(&format!("  logstore {logstore} with its logs")));
        }
        if doomed.groups.is_empty() && doomed.logs.is_none() {
            complain(&format!(
                "nothing of cluster {} is left in project {}",
                names.cluster_id, names.project
            ));
        } else if self.dry_run {
            complain("would be deleted");
        } else if !self.yes && !confirm(&format!("Delete this at {}?", reached.endpoint))? {
            complain("nothing was deleted");
            return Ok(ExitCode::FAILURE);
        } else {
            steps::delete(&reached.client, &names, &doomed, &mut |line| complain(line)).await?;
        }
        if doomed.logs.is_none() {
            complain(&format!("project {} and its logs stay; --delete-logs deletes them", names.project));
        }
        // Deleting the definitions of the kinds would delete all resources of these kinds, whoever made them.
        complain(
            "the gateways themselves, in the namespace they were made in: kubectl -n kube-system delete daemonset/sluicegate \
             configmap/sluicegate serviceaccount/sluicegate, and: kubectl delete clusterrole/sluicegate \
             clusterrolebinding/sluicegate",
        );
        Ok(ExitCode::SUCCESS)
    }
}
