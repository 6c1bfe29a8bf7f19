//! The manifests of a cluster's gateways, made from the files in docker/kubernetes, which are there to be applied by hand and
//! so are the only source: a document is taken as it is, but for names, image and configuration.
//!
//! The configuration is the one that the Helm chart makes of its one value. Its template has three places to fill in, which
//! are known here by their text, and lines that stand only under conditions, all of which hold; a test sees that nothing of
//! the template is left.

use anyhow::{Result, bail};
use serde_json::Value;

use super::names::Names;
use crate::output::credentials::AccessKey;

/// In this order: what later ones need comes first.
const SOURCES: &[&str] = &[
    include_str!("../../../docker/kubernetes/crds.yaml"),
    include_str!("../../../docker/kubernetes/daemonset.yaml"),
];
const CONFIGURATION: &str = include_str!("../../../docker/kubernetes/helm/sluicegate/templates/_cluster.tpl");
/// Where the template of the configuration begins.
const BEGIN: &str = "{{- define \"sluicegate.cluster\" -}}\n";
/// How the lines begin by which it comes and goes.
const CONDITION: &str = "{{-";
/// Namespaces that every cluster has.
const OWN_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub(super) struct Values<'a> {
    pub(super) names: &'a Names,
    pub(super) namespace: &'a str,
    pub(super) image: &'a str,
    pub(super) endpoint: &'a str,
    /// For a Secret; without it, one is expected.
    pub(super) key: Option<&'a AccessKey>,
}

pub(super) fn check_namespace(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty()
        || name.len() > 63
        || !name.bytes().all(plain)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        bail!("--namespace {name:?}: Kubernetes takes up to 63 of a-z, 0-9 and -");
    }
    Ok(())
}

/// YAML documents.
pub(super) fn render(values: &Values<'_>) -> String {
    let configuration = configuration(values);
    let documents = SOURCES.iter().flat_map(|source| source.split("\n---\n"));
    let documents = documents.filter_map(|document| rendered(document, &configuration, values));
    documents.collect::<Vec<_>>().join("---\n")
}

/// Nothing for a document that this cluster does not need.
fn rendered(document: &str, configuration: &str, values: &Values<'_>) -> Option<String> {
    let Values { namespace, image, key, .. } = values;
    let lines = document.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let kind = text.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default();
    let is_named = |name: &str| text.contains(&format!("\n  name: {name}\n"));
    let text = match (kind, key) {
        ("Namespace", _) if OWN_NAMESPACES.contains(namespace) => return None,
        ("Namespace", _) => text.replace("\n  name: sluicegate\n", &format!("\n  name: {namespace}\n")),
        ("Secret", None) => return None,
        ("Secret", Some(key)) => format!(
            "{}  access-key-id: {}\n  access-key-secret: {}\n",
            head(&text, "stringData:\n"),
            quoted(&key.id),
            quoted(key.secret.expose())
        ),
        ("ConfigMap", _) if is_named("sluicegate") => {
            format!("{}  sluicegate.yaml: |\n{}", head(&text, "data:\n"), indented(configuration, "    "))
        }
        // Another configuration is another Pod.
        ("DaemonSet", _) => text
            .replace(
                "\n    metadata:\n",
                &format!(
                    "\n    metadata:\n      annotations: {{ checksum/configuration: {} }}\n",
                    digest(configuration)
                ),
            )
            .replace(
                "\n          image: sluicegate:0.1.0\n",
                &format!("\n          image: {}\n", quoted(image)),
            ),
        _ => text,
    };
    Some(text.replace("namespace: sluicegate\n", &format!("namespace: {namespace}\n")))
}

fn configuration(values: &Values<'_>) -> String {
    let begun = CONFIGURATION.split_once(BEGIN).map_or(CONFIGURATION, |(_, rest)| rest);
    let lines = begun.lines().filter(|line| !line.starts_with(CONDITION));
    let template: String = lines.flat_map(|line| [line, "\n"]).collect();
    [
        ("{{ include \"sluicegate.group\" . | quote }}", values.names.daemon_set_group()),
        ("{{ include \"sluicegate.project\" . | quote }}", &values.names.project),
        ("{{ .Values.endpoint | quote }}", values.endpoint),
    ]
    .iter()
    .fold(template, |text, (place, value)| text.replace(place, &quoted(value)))
}

/// Up to this line, it included.
fn head<'a>(text: &'a str, line: &str) -> &'a str {
    text.find(&format!("\n{line}")).and_then(|at| text.get(..at + 1 + line.len())).unwrap_or(text)
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// JSON text is YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn digest(text: &str) -> String {
    crate::wire::sign::content_sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn made(namespace: &str, key: Option<&AccessKey>) -> String {
        let names = Names::of("c1", None).unwrap();
        render(&Values {
            names: &names,
            namespace,
            image: "registry.example.com/sluicegate:1",
            endpoint: "https://cn-hangzhou-intranet.log.aliyuncs.com",
            key,
        })
    }

    /// Kind and name of each document.
    fn documents(text: &str) -> Vec<String> {
        let of = |document: &str, key: &str| {
            document.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let split = text.split("---\n");
        split.map(|one| format!("{} {}", of(one, "kind: "), of(one, "  name: "))).collect()
    }

    #[test]
    fn all_that_a_cluster_needs_is_named_after_it() {
        let text = made("kube-system", None);
        let all = documents(&text);
        // The cluster's API would take each of them.
        let parsed = crate::config::collected::resource::documents(&text).unwrap();
        assert_eq!(parsed.len(), all.len());
        for one in &parsed {
            crate::cluster::Kind::of_manifest(one).unwrap();
        }
        assert_eq!(all.iter().filter(|one| one.starts_with("CustomResourceDefinition")).count(), 2);
        for one in ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet"] {
            assert!(all.contains(&format!("{one} sluicegate")), "{one}: {all:?}");
        }
        assert!(!text.contains("kind: Namespace") && !text.contains("kind: Secret"), "{all:?}");
        for line in [
            "      user_defined_ids: [\"k8s-group-c1\"]",
            "        endpoint: \"https://cn-hangzhou-intranet.log.aliyuncs.com\"",
            "        project: \"k8s-log-c1\"",
            "        access_key_id: ${file:/etc/sluicegate-credentials/access-key-id}",
            "      kubernetes: {}",
            "          image: \"registry.example.com/sluicegate:1\"",
            "  namespace: kube-system",
            "    namespace: kube-system",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
        }
        assert!(text.contains("      annotations: { checksum/configuration: "), "{text}");
        // Nothing of the example is left.
        for left in ["{{", "namespace: sluicegate", "my-project", "change-me", "\n#"] {
            assert!(!text.contains(left), "{left}\n{text}");
        }
    }

    #[test]
    fn a_namespace_and_a_key_are_made_where_they_are_wanted() {
        let secret = Secret::new("s: \"x\"".to_owned());
        let key = AccessKey { id: "id".to_owned(), secret, security_token: None };
        let text = made("logging", Some(&key));
        let all = documents(&text);
        assert!(all.contains(&"Namespace logging".to_owned()), "{all:?}");
        assert!(all.contains(&"Secret sluicegate-credentials".to_owned()));
        assert!(
            text.contains("\nstringData:\n  access-key-id: \"id\"\n  access-key-secret: \"s: \\\"x\\\"\"\n")
        );
        assert!(check_namespace("a-b1").is_ok());
        for name in ["", "A", "a b", "-a", "a\nb"] {
            assert!(check_namespace(name).is_err(), "{name:?}");
        }
    }
}
