//! Manifests applied to a cluster's API server, one after the other (server-side apply): what is there becomes as they say,
//! and what others set besides stays theirs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::Value;

use crate::cluster::{Access, Client, FIELD_MANAGER, Kind};
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
        let failed = || {
            let kept = "what was applied stays, and the same command goes on from here";
            format!("manifest {} of {count}, {name}, failed; {kept}", index + 1)
        };
        if is_of_others(client, manifest).await.with_context(failed)? {
            tell(&format!("{name:<60} was there from others, and stays as it is"));
            continue;
        }
        let made = client.apply(manifest).await.with_context(failed)?;
        tell(&format!("{name:<60} {}", if made { "made" } else { "was there, and is as it should be" }));
    }
    Ok(())
}

/// Whether it is a definition of a kind that somebody else made, such as the vendor's installer: its own agents may need
/// what ours would take from it.
async fn is_of_others(client: &Client, manifest: &Value) -> Result<bool> {
    let (kind, namespace, name) = Kind::of_manifest(manifest)?;
    if kind.name != "CustomResourceDefinition" {
        return Ok(false);
    }
    let Some(found) = client.get::<Value>(&kind, namespace, name).await? else { return Ok(false) };
    let mut managers = found["metadata"]["managedFields"].as_array().into_iter().flatten();
    Ok(!managers.any(|manager| manager["manager"] == FIELD_MANAGER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::manifests::{Values, render};
    use super::super::names::Names;
    use super::*;
    use crate::cluster::testing::{ApiServer, status};

    /// What was told, and why it ended.
    async fn applied(server: &ApiServer, manifests: &str) -> (Vec<String>, Option<String>) {
        let mut told = Vec::new();
        let result = apply(&server.client(), manifests, &mut |line| told.push(line.to_owned())).await;
        (told, result.err().map(|error| format!("{error:#}")))
    }

    #[tokio::test]
    async fn manifests_are_applied_in_order_and_again_and_from_where_it_ended() {
        let server = ApiServer::start().await;
        let names = Names::of("c1", None).unwrap();
        let text = render(&Values {
            names: &names,
            namespace: "logging",
            image: "sluicegate:1",
            endpoint: "https://cn-hangzhou.log.aliyuncs.com",
            key: None,
        });
        let all: Vec<Value> = documents(&text).unwrap();
        for one in &all {
            server.define(&Kind::of_manifest(one).unwrap().0);
        }
        let daemon_set = "/apis/apps/v1/namespaces/logging/daemonsets/sluicegate";
        server.fail(&format!("PATCH {daemon_set}"), status(403, "Forbidden", "may not patch daemonsets"));
        let (told, why) = applied(&server, &text).await;
        let why = why.unwrap();
        let count = all.len();
        assert_eq!(told.len(), count - 1, "{told:?}");
        assert!(told.iter().all(|line| line.ends_with(" made")), "{told:?}");
        assert!(
            why.starts_with(&format!("manifest {count} of {count}, DaemonSet sluicegate, failed; ")),
            "{why}"
        );
        assert!(why.contains("may not patch daemonsets"), "{why}");

        server.heal();
        let (told, why) = applied(&server, &text).await;
        assert_eq!((told.iter().filter(|line| line.ends_with(" made")).count(), why), (1, None), "{told:?}");
        let (told, _) = applied(&server, &text).await;
        assert!(told.iter().all(|line| line.ends_with("is as it should be")), "{told:?}");

        // The vendor's own definition is not touched.
        let definition = all.iter().find(|one| one["kind"] == "CustomResourceDefinition").unwrap();
        let (kind, _, name) = Kind::of_manifest(definition).unwrap();
        server.put(&kind, None, name, json!({ "theirs": true }));
        let (told, _) = applied(&server, &text).await;
        assert_eq!(told.iter().filter(|line| line.ends_with("stays as it is")).count(), 1, "{told:?}");
        assert_eq!(server.object(&kind, None, name)["spec"], json!({ "theirs": true }));

        let (kind, namespace, name) = Kind::of_manifest(all.last().unwrap()).unwrap();
        assert_eq!((kind.name, namespace, name), ("DaemonSet", Some("logging"), "sluicegate"));
        let made = server.object(&kind, namespace, name);
        assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["image"], "sluicegate:1");
        let map = all.iter().find(|one| one["kind"] == "ConfigMap").unwrap();
        let (kind, namespace, name) = Kind::of_manifest(map).unwrap();
        let configuration = server.object(&kind, namespace, name)["data"]["sluicegate.yaml"].clone();
        let configuration = &documents(configuration.as_str().unwrap()).unwrap()[0];
        assert_eq!(configuration["agent"]["user_defined_ids"], json!(["k8s-group-c1"]));
        let patches: Vec<String> =
            server.requests().into_iter().filter(|line| line.starts_with("PATCH ")).collect();
        assert_eq!(patches.len(), 4 * count - 1);
        assert!(patches.iter().all(|line| line.contains("fieldManager=")), "{patches:?}");
    }

    #[tokio::test]
    async fn a_wrong_token_and_a_server_that_is_away_say_so() {
        let server = ApiServer::start().await;
        let manifest = "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: n, namespace: m }\n";
        server.fail("PATCH ", status(401, "Unauthorized", "no"));
        let (told, why) = applied(&server, manifest).await;
        assert!(told.is_empty() && why.as_ref().unwrap().contains("token"), "{why:?}");
        let (_, why) = applied(&server, "apiVersion: v1\nkind: Moon\nmetadata: { name: n }\n").await;
        assert!(why.unwrap().contains("is none that can be applied here"));
    }
}
