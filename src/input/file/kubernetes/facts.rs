//! What the API server tells of a Pod, as far as it is used.
//!
//! ```text
//! { "metadata": { "namespace", "name", "uid", "labels": {...}, "annotations": { "kubernetes.io/config.hash": ... } },
//!   "spec": { "nodeName", "containers": [ { "name", "image" } ], "initContainers": ..., "ephemeralContainers": ... } }
//! ```
//!
//! Source: the Kubernetes API reference, Pod v1 core. The Pod of a static one is a mirror that kubelet makes: it has a uid of
//! its own, and the hash that its files are called by is an annotation.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::input::file::pod::PodPath;

/// Labels that become tags where all are asked for: each LogGroup has them.
const LABELS: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    node: String,
    labels: BTreeMap<String, String>,
    /// By container.
    images: Vec<(String, String)>,
}

impl Facts {
    /// Whether it has all of these.
    pub(super) fn has(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Node and image by the names that Logtail gives them, each label by its own; it holds no name of the others, since
    /// a label begins with a letter or a digit. `labels`: those that are asked for, or all.
    pub(super) fn tags(&self, container: &str, labels: &[String]) -> Vec<(String, String)> {
        let mut tags = Vec::new();
        if !self.node.is_empty() {
            tags.push(("_node_name_".to_owned(), self.node.clone()));
        }
        let image = self.images.iter().find(|(name, _)| name == container);
        tags.extend(image.map(|(_, image)| ("_image_name_".to_owned(), image.clone())));
        let is_asked = |key: &String| labels.is_empty() || labels.contains(key);
        let asked = self.labels.iter().filter(|(key, _)| is_asked(key)).take(LABELS.max(labels.len()));
        tags.extend(asked.map(|(key, value)| (key.clone(), value.clone())));
        tags
    }
}

/// A Pod as the API server writes it.
#[derive(Deserialize)]
pub(super) struct PodObject {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.hash")]
    hash: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    image: Option<String>,
}

impl PodObject {
    pub(super) fn name(&self) -> (&str, &str) {
        (&self.metadata.namespace, &self.metadata.name)
    }

    /// What its files may be called by.
    pub(super) fn uids(&self) -> impl Iterator<Item = &str> {
        let hash = self.metadata.annotations.as_ref().and_then(|annotations| annotations.hash.as_deref());
        [Some(self.metadata.uid.as_str()), hash].into_iter().flatten()
    }

    /// Whether it is the one that a path means, and not another of the same name, before it or after.
    pub(super) fn is(&self, path: &PodPath) -> bool {
        self.name() == (&path.namespace, &path.pod)
            && path.uid.as_deref().is_none_or(|uid| self.uids().any(|own| own == uid))
    }

    pub(super) fn into_facts(self) -> Facts {
        let Spec { node_name, containers, init_containers, ephemeral_containers } = self.spec;
        let containers = [containers, init_containers, ephemeral_containers].into_iter().flatten().flatten();
        Facts {
            node: node_name.unwrap_or_default(),
            labels: self.metadata.labels.unwrap_or_default(),
            images: containers.filter_map(|container| Some((container.name, container.image?))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_pod_is_found_by_its_hash() {
        let text = r#"{ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "etcd-n1", "namespace": "kube-system", "uid": "u1", "labels": null,
                "annotations": { "kubernetes.io/config.hash": "abc", "kubernetes.io/config.mirror": "abc" } },
            "spec": { "containers": [ { "name": "etcd", "image": "etcd:3" } ], "initContainers": [ { "name": "init" } ],
                "nodeName": "n1" }, "status": { "phase": "Running" } }"#;
        let pod: PodObject = serde_json::from_str(text).unwrap();
        let path = |uid: Option<&str>| PodPath {
            namespace: "kube-system".to_owned(),
            pod: "etcd-n1".to_owned(),
            uid: uid.map(str::to_owned),
            container: "etcd".to_owned(),
            container_id: None,
        };
        assert!(pod.is(&path(Some("abc"))) && pod.is(&path(Some("u1"))) && pod.is(&path(None)));
        assert!(!pod.is(&path(Some("u2"))) && !pod.is(&PodPath { pod: "etcd".to_owned(), ..path(None) }));
        let facts = pod.into_facts();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(facts.tags("etcd", &[]), [pair("_node_name_", "n1"), pair("_image_name_", "etcd:3")]);
        assert_eq!(facts.tags("init", &[]), [pair("_node_name_", "n1")]);
    }

    #[test]
    fn labels_are_asked_for_or_all_and_never_without_end() {
        let labels = (0..100).map(|number| (format!("l{number:02}"), "v".to_owned())).collect();
        let facts = Facts { labels, ..Facts::default() };
        assert_eq!(facts.tags("c", &[]).len(), LABELS);
        let asked = ["l99".to_owned(), "other".to_owned()];
        assert_eq!(facts.tags("c", &asked), [("l99".to_owned(), "v".to_owned())]);
        let wants = |key: &str, value: &str| facts.has(&[(key.to_owned(), value.to_owned())]);
        assert!(facts.has(&[]) && wants("l00", "v") && !wants("l00", "w") && !wants("other", "v"));
    }
}
