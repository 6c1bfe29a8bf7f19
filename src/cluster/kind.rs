//! Which resources there are, and where the API server has them.
//!
//! ```text
//! /api/v1                /namespaces/NAMESPACE /pods            /NAME          the core group
//! /apis/GROUP/VERSION   [/namespaces/NAMESPACE]/PLURAL         [/NAME[/status]]
//! ```

use std::fmt::Write as _;

use serde_json::Value;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Empty: the core group.
    pub group: &'static str,
    pub version: &'static str,
    /// As in `kind` of an object.
    pub name: &'static str,
    /// As in paths and in RBAC.
    pub plural: &'static str,
    pub is_namespaced: bool,
}

/// A manifest that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "a manifest of apiVersion {api_version:?} and kind {kind:?}, named {name:?}, is none that can be applied here"
)]
pub struct Unknown {
    api_version: String,
    kind: String,
    name: String,
}

impl Kind {
    pub const POD: Kind = Kind::core("Pod", "pods", true);
    pub const LOG_CONFIG: Kind =
        Kind::new("log.alibabacloud.com", "v1alpha1", "AliyunLogConfig", "aliyunlogconfigs", true);
    pub const PIPELINE_CONFIG: Kind = Kind::new(
        "telemetry.alibabacloud.com",
        "v1alpha1",
        "ClusterAliyunPipelineConfig",
        "clusteraliyunpipelineconfigs",
        false,
    );
    /// What can be applied and deleted by manifest.
    const KNOWN: [Kind; 13] = [
        Kind::core("Namespace", "namespaces", false),
        Kind::core("ServiceAccount", "serviceaccounts", true),
        Kind::core("Secret", "secrets", true),
        Kind::core("ConfigMap", "configmaps", true),
        Kind::core("Service", "services", true),
        Kind::new("apps", "v1", "DaemonSet", "daemonsets", true),
        Kind::new("apps", "v1", "Deployment", "deployments", true),
        Kind::new("apps", "v1", "StatefulSet", "statefulsets", true),
        Kind::new("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
        Kind::new("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
        Kind::new(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        ),
        Kind::LOG_CONFIG,
        Kind::PIPELINE_CONFIG,
    ];

    const fn core(name: &'static str, plural: &'static str, is_namespaced: bool) -> Kind {
        Kind::new("", "v1", name, plural, is_namespaced)
    }

    const fn new(
        group: &'static str,
        version: &'static str,
        name: &'static str,
        plural: &'static str,
        is_namespaced: bool,
    ) -> Kind {
        Kind { group, version, name, plural, is_namespaced }
    }

    /// `v1`, or `GROUP/VERSION`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Kind, namespace and name of a manifest. One that needs a namespace and has none is in `default`.
    pub fn of_manifest(manifest: &Value) -> Result<(Kind, Option<&str>, &str), Unknown> {
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &manifest["metadata"];
        let is_it = |kind: &&Kind| {
            manifest["kind"] == kind.name && manifest["apiVersion"].as_str() == Some(&kind.api_version())
        };
        let known = Kind::KNOWN.iter().find(is_it);
        let name = metadata["name"].as_str().filter(|name| !name.is_empty());
        let (Some(kind), Some(name)) = (known, name) else {
            return Err(Unknown {
                api_version: text(&manifest["apiVersion"]),
                kind: text(&manifest["kind"]),
                name: text(&metadata["name"]),
            });
        };
        let namespace = kind.is_namespaced.then(|| metadata["namespace"].as_str().unwrap_or("default"));
        Ok((*kind, namespace, name))
    }

    /// The path of all of them, in one namespace or in all.
    pub(super) fn collection(&self, namespace: Option<&str>) -> String {
        let mut path = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace.filter(|_| self.is_namespaced) {
            path.push_str("/namespaces/");
            escape(&mut path, namespace);
        }
        path.push('/');
        path.push_str(self.plural);
        path
    }

    pub(super) fn object(&self, namespace: Option<&str>, name: &str) -> String {
        let mut path = self.collection(namespace);
        path.push('/');
        escape(&mut path, name);
        path
    }
}

/// Appends a text of which nothing has a meaning in a path or a query.
pub(super) fn escape(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            // A string takes whatever is written.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_those_of_the_reference() {
        assert_eq!(Kind::POD.object(Some("shop"), "web"), "/api/v1/namespaces/shop/pods/web");
        assert_eq!(Kind::POD.collection(None), "/api/v1/pods");
        let path = "/apis/log.alibabacloud.com/v1alpha1/namespaces/kube-system/aliyunlogconfigs/a%2F..%2Fb";
        assert_eq!(Kind::LOG_CONFIG.object(Some("kube-system"), "a/../b"), path);
        // What is of the whole cluster has no namespace, whoever names one.
        let path = "/apis/telemetry.alibabacloud.com/v1alpha1/clusteraliyunpipelineconfigs";
        assert_eq!(Kind::PIPELINE_CONFIG.collection(Some("shop")), path);
    }

    #[test]
    fn manifests_say_what_they_are() {
        let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "sluicegate", "namespace": "ignored" } });
        let (kind, namespace, name) = Kind::of_manifest(&role).unwrap();
        assert_eq!((kind.plural, namespace, name), ("clusterroles", None, "sluicegate"));
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
        assert_eq!(Kind::of_manifest(&map).unwrap().1, Some("default"));
        for bad in [
            json!({ "apiVersion": "v2", "kind": "ConfigMap", "metadata": { "name": "a" } }),
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "" } }),
            json!([]),
        ] {
            let error = Kind::of_manifest(&bad).unwrap_err().to_string();
            assert!(error.contains("is none that can be applied"), "{error}");
        }
    }
}
