//! Manifests applied to a cluster's API server, one after the other (server-side apply): what is there becomes as they say,
//! and what others set besides stays theirs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::Value;

use crate::cluster::{Access, Client};
use crate::config::collected::resource::documents;

/// Of one manifest.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct Apply {
    /// Apply the manifests to this cluster instead of printing them.
    #[arg(long, requires_all = ["api_server", "token_file", "ca_file"], conflicts_with_all = ["output", "manifests_only"])]
    apply: bool,
    /// The cluster's API server, https://host:port.
    #[arg(long, value_name = "URL", requires = "apply")]
    api_server: Option<String>,
    /// A file with the token of somebody who may make all of this, such as `kubectl create token` prints.
    #[arg(long, value_name = "FILE", requires = "apply")]
    token_file: Option<PathBuf>,
    /// The certificates of the API server's authority, in PEM.
    #[arg(long, value_name = "FILE", requires = "apply")]
    ca_file: Option<PathBuf>,
}

impl Apply {
    /// Nothing where manifests are only printed.
    pub(super) fn client(&self) -> Option<Client> {
        let (Some(server), Some(token_file), Some(ca_file)) =
            (&self.api_server, &self.token_file, &self.ca_file)
        else {
            return None;
        };
        let server = server.trim_end_matches('/').to_owned();
        let access = Access { server, token_file: token_file.clone(), ca_file: ca_file.clone() };
        self.apply.then(|| Client::new(access, TIMEOUT))
    }
}

/// Applies all of them in their order.
pub(super) async fn apply(client: &Client, manifests: &str, tell: &mut impl FnMut(&str)) -> Result<()> {
    let all = documents(manifests).map_err(|why| anyhow!("the manifests: {why}"))?;
    let count = all.len();
    for (index, manifest) in all.iter().enumerate() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", text(&manifest["kind"]), text(&manifest["metadata"]["name"]));
        let made = client.apply(manifest).await.with_context(|| {
            let kept = "what was applied stays, and the same command goes on from here";
            format!("manifest {} of {count}, {name}, failed; {kept}", index + 1)
        })?;
        tell(&format!("{name:<60} {}", if made { "made" } else { "was there, and is as it should be" }));
    }
    Ok(())
}
