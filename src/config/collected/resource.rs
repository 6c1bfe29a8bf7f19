//! Custom resources of Kubernetes that say what is collected, from YAML text or as the API server has them.
//!
//! ```text
//! AliyunLogConfig               log.alibabacloud.com/v1alpha1          of a namespace     a Logtail config
//! ClusterAliyunPipelineConfig   telemetry.alibabacloud.com/v1alpha1    of the cluster     a pipeline config
//! ```
//!
//! What surrounds the configuration (project, logstores, machine groups) is checked here, the configuration itself by
//! [`super::translate`]. A file may hold several documents, and a document a List of resources; each is judged by itself.

mod cluster;
mod namespaced;
mod yaml;

pub use yaml::documents;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Form;
use super::reading::{Item, Object, Report, shown};
use crate::config::names::{is_logstore_name, is_project_name};
use crate::config::plan::{AutoCreate, LogstoreMode};

/// Days that Log Service's API takes for a logstore that keeps all; the resource may say more.
const FOR_EVER: usize = 3_650;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    AliyunLogConfig,
    ClusterAliyunPipelineConfig,
}

/// A resource that says what is collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub kind: ResourceKind,
    /// Only of a kind that has one; `default` where the resource names none.
    pub namespace: Option<String>,
    pub name: String,
    /// Absent: that of the cluster.
    pub project: Option<String>,
    /// Empty: the group of the cluster's own agents.
    pub machine_groups: Vec<String>,
    /// What is made when it is missing, never changed.
    pub logstores: Vec<LogstoreSpec>,
    pub form: Form,
    /// As [`super::translate`] takes it.
    pub body: Value,
    /// Keys that have no effect here, each with the reason.
    pub notes: Vec<String>,
}

/// How a logstore is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogstoreSpec {
    pub name: String,
    /// Days; 3650 and more are for ever.
    pub ttl: usize,
    pub shards: usize,
    pub auto_split: bool,
    pub max_split_shards: usize,
    pub mode: LogstoreMode,
    pub append_meta: bool,
    /// Days of the hot tier.
    pub hot_ttl: Option<usize>,
    /// The body of CreateIndex; absent: an index over all text.
    pub index: Option<Value>,
}

/// A resource that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceError {
    /// As far as it can be told.
    pub kind: Option<ResourceKind>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Never empty; each with its key.
    pub reasons: Vec<String>,
}

impl ResourceKind {
    const ALL: [ResourceKind; 2] = [ResourceKind::AliyunLogConfig, ResourceKind::ClusterAliyunPipelineConfig];

    pub fn name(self) -> &'static str {
        match self {
            ResourceKind::AliyunLogConfig => "AliyunLogConfig",
            ResourceKind::ClusterAliyunPipelineConfig => "ClusterAliyunPipelineConfig",
        }
    }

    /// Group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            ResourceKind::AliyunLogConfig => "log.alibabacloud.com/v1alpha1",
            ResourceKind::ClusterAliyunPipelineConfig => "telemetry.alibabacloud.com/v1alpha1",
        }
    }
}

impl LogstoreSpec {
    fn named(name: &str) -> LogstoreSpec {
        LogstoreSpec {
            name: name.to_owned(),
            ttl: 90,
            shards: 2,
            auto_split: true,
            max_split_shards: 64,
            mode: LogstoreMode::Standard,
            append_meta: true,
            hot_ttl: None,
            index: None,
        }
    }

    /// As it is to be made; `general` says whether with an index.
    pub fn made(&self, general: &AutoCreate) -> AutoCreate {
        AutoCreate {
            shards: self.shards,
            ttl: self.ttl.min(FOR_EVER),
            mode: self.mode,
            index: general.index || self.index.is_some(),
            auto_split: self.auto_split,
            max_split_shards: self.max_split_shards,
            append_meta: self.append_meta,
            hot_ttl: self.hot_ttl,
            own_index: self.index.clone(),
        }
    }
}

/// All resources of a text, in order. The error is of the text as a whole: then it is no YAML.
pub fn read_yaml(text: &str) -> Result<Vec<Result<Resource, ResourceError>>, String> {
    let mut found = Vec::new();
    for document in yaml::documents(text)? {
        match document
            .get("kind")
            .and_then(Value::as_str)
            .zip(document.get("items").and_then(Value::as_array))
        {
            Some((kind, items)) if kind.ends_with("List") => found.extend(items.iter().map(read)),
            _ if document.is_null() => {}
            _ => found.push(read(&document)),
        }
    }
    Ok(found)
}

/// One resource.
pub fn read(value: &Value) -> Result<Resource, ResourceError> {
    let report = Report::default();
    let mut root = Object::root(&report, value);
    let kind = kind(&mut root);
    let mut metadata = root.take("metadata").object();
    let (name, namespace) = (metadata.take("name"), metadata.take("namespace"));
    let named = name.some_text().map(str::to_owned);
    if named.is_none() && (!name.is_present() || name.text().is_some()) {
        name.fault("is missing; it is the configuration's name");
    }
    let namespace = match kind {
        Some(ResourceKind::AliyunLogConfig) => Some(namespace.some_text().unwrap_or("default").to_owned()),
        _ => None,
    };
    root.take("status");
    let spec = root.take("spec");
    if !spec.is_present() {
        spec.fault("is missing; it says what is collected");
    }
    let mut spec = spec.object();
    let resource = kind.zip(named.clone()).map(|(kind, named)| {
        let mut resource = Resource {
            kind,
            namespace: namespace.clone(),
            name: named,
            project: None,
            machine_groups: Vec::new(),
            logstores: Vec::new(),
            form: Form::Classic,
            body: Value::Null,
            notes: Vec::new(),
        };
        match kind {
            ResourceKind::AliyunLogConfig => namespaced::read(&mut spec, &mut resource),
            ResourceKind::ClusterAliyunPipelineConfig => cluster::read(&mut spec, &name, &mut resource),
        }
        spec.finish();
        resource
    });
    root.finish();
    drop((name, metadata));
    let (mut reasons, notes) = report.into_parts();
    match resource {
        Some(resource) if reasons.is_empty() => Ok(Resource { notes, ..resource }),
        _ => {
            if reasons.is_empty() {
                reasons.push("the resource cannot be used".to_owned());
            }
            Err(ResourceError { kind, namespace, name: named, reasons })
        }
    }
}

fn kind(root: &mut Object<'_>) -> Option<ResourceKind> {
    let (kind, version) = (root.take("kind"), root.take("apiVersion"));
    let known = ResourceKind::ALL.into_iter().find(|known| kind.text() == Some(known.name()));
    let Some(known) = known else {
        let what = match kind.text() {
            Some(text) => format!("{} is none", shown(text)),
            None if kind.is_present() => return None,
            None => "is missing".to_owned(),
        };
        kind.fault(format!("{what} of {}", ResourceKind::ALL.map(ResourceKind::name).join(", ")));
        return None;
    };
    if version.text() != Some(known.api_version()) {
        version.fault(format!("must be {}", known.api_version()));
        return None;
    }
    Some(known)
}

/// A whole number in its bounds.
fn number(item: &Item<'_>, default: usize, least: i64, most: i64) -> usize {
    let Some(number) = item.integer() else { return default };
    if !(least..=most).contains(&number) {
        item.fault(format!("is {number}; it must lie between {least} and {most}"));
    }
    usize::try_from(number).unwrap_or(default)
}

fn project(item: &Item<'_>) -> Option<String> {
    let name = item.some_text()?;
    if !is_project_name(name) {
        item.fault(format!(
            "{} is no project name; Log Service takes 3 to 63 of a-z, 0-9 and -",
            shown(name)
        ));
    }
    Some(name.to_owned())
}

fn logstore(item: &Item<'_>) -> Option<LogstoreSpec> {
    let Some(name) = item.some_text() else {
        if !item.is_present() || item.text().is_some() {
            item.fault("is missing; it names the logstore");
        }
        return None;
    };
    if !is_logstore_name(name) {
        item.fault(format!(
            "{} is no logstore name; Log Service takes 3 to 63 of a-z, 0-9, - and _, a letter or digit at both ends",
            shown(name)
        ));
    }
    Some(LogstoreSpec::named(name))
}

fn mode(item: &Item<'_>) -> LogstoreMode {
    match item.some_text() {
        None | Some("standard") => LogstoreMode::Standard,
        Some("query") => LogstoreMode::Query,
        Some(other) => {
            item.fault(format!("{} is not one of standard, query", shown(other)));
            LogstoreMode::Standard
        }
    }
}

#[cfg(test)]
mod tests;
