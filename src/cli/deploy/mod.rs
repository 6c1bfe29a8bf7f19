//! `sluicegate deploy`: one command for a Kubernetes cluster. Makes its project, machine groups and the logstore of the changes
//! of its configurations, and then prints or applies the manifests of its gateways.
//!
//! ```text
//! --cluster-id X   ->   project k8s-log-X      machine groups k8s-group-X, -statefulset, -singleton
//!                       logstore config-operation-log with its index      DaemonSet whose gateways are k8s-group-X
//! ```
//!
//! The names are those of the vendor's installer, so a cluster that has them already goes on with them. Each step looks first:
//! what is there stays as it is, and a run that failed is simply run again. Progress goes to standard error, manifests to
//! standard output.

mod apply;
mod manifests;
mod names;
mod place;
mod steps;
#[cfg(test)]
mod tests;
mod undeploy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{block_on, complain, say};
use names::Names;
use place::Place;
pub(super) use undeploy::Undeploy;

/// What is built with this program.
const IMAGE: &str = concat!("sluicegate:", env!("CARGO_PKG_VERSION"));

#[derive(Args)]
pub(super) struct Deploy {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    place: Place,
    /// The endpoint that the gateways of the cluster use, where it is another one, such as
    /// https://cn-hangzhou-intranet.log.aliyuncs.com
    #[arg(long, value_name = "URL")]
    agent_endpoint: Option<String>,
    /// The namespace of the gateways.
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    namespace: String,
    /// The image of the gateways; nodes have to reach its registry.
    #[arg(long, value_name = "NAME", default_value = IMAGE)]
    image: String,
    /// Put the access key that this command uses into the manifests. Left out: the Secret sluicegate-credentials has to be
    /// there.
    #[arg(long)]
    include_key: bool,
    /// Where the manifests go; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    apply: apply::Apply,
    /// Print the manifests and make nothing.
    #[arg(long, conflicts_with = "dry_run")]
    manifests_only: bool,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Which cluster, and what its names are.
#[derive(Args)]
struct Cluster {
    /// The cluster's id: a-z, 0-9 and -.
    #[arg(long, value_name = "ID")]
    cluster_id: String,
    /// Its project, where it is not k8s-log-ID. Several clusters may share one.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

impl Cluster {
    fn names(&self) -> Result<Names> {
        Names::of(&self.cluster_id, self.project.as_deref())
    }
}

impl Deploy {
    pub(super) fn execute(self) -> Result<ExitCode> {
        block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let names = self.cluster.names()?;
        manifests::check_namespace(&self.namespace)?;
        let reached = self.place.reach(&names.project).await?;
        if !self.manifests_only {
            steps::deploy(&reached.client, &names, self.dry_run, &mut |line| complain(line)).await?;
        }
        let endpoint = self.agent_endpoint.clone().unwrap_or_else(|| reached.endpoint.clone());
        if is_loopback(&endpoint) {
            complain(&format!(
                "note: {endpoint} is this machine alone, which no Pod reaches; name what they reach with --agent-endpoint"
            ));
        }
        let key = match self.include_key {
            true => Some(reached.lasting_key().await?),
            false => None,
        };
        let text = manifests::render(&manifests::Values {
            names: &names,
            namespace: &self.namespace,
            image: &self.image,
            endpoint: &endpoint,
            key: key.as_deref(),
        });
        match self.apply.client() {
            Some(cluster) if self.dry_run => {
                complain(&format!("would apply the manifests at {}", cluster.server()));
            }
            Some(cluster) => apply::apply(&cluster, &text, &mut |line| complain(line)).await?,
            None => self.hand_over(&text)?,
        }
        if key.is_none() {
            complain(&format!(
                "the Pods take the access key from a Secret: kubectl -n {} create secret generic sluicegate-credentials \
                 --from-file=access-key-id --from-file=access-key-secret",
                self.namespace
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn hand_over(&self, text: &str) -> Result<()> {
        let is_standard = self.output.as_os_str() == "-";
        if self.dry_run {
            let place =
                if is_standard { "standard output".into() } else { self.output.display().to_string() };
            complain(&format!("would write the manifests, {} lines, to {place}", text.lines().count()));
        } else if is_standard {
            text.lines().all(say);
        } else {
            write(&self.output, text, self.include_key)?;
            let file = self.output.display();
            complain(&format!("wrote the manifests; apply them: kubectl apply --server-side -f {file}"));
        }
        Ok(())
    }
}

/// A file with a key in it is for its owner alone.
fn write(path: &std::path::Path, text: &str, has_key: bool) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(if has_key { 0o600 } else { 0o644 });
    let written = options.open(path).and_then(|mut file| {
        // One that was there keeps its mode otherwise.
        if has_key && file.metadata()?.is_file() {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        file.write_all(text.as_bytes())
    });
    written.with_context(|| format!("--output {}", path.display()))
}

fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Asks on the terminal; nothing but a yes is one.
fn confirm(question: &str) -> Result<bool> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked; --yes answers");
    }
    complain(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
