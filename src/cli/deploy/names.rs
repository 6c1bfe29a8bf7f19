//! What is made for a cluster in Log Service, by name; the names are those of the vendor's installer.

use anyhow::{Result, bail};

use crate::config::names::is_project_name;

/// What became of a cluster's configurations.
pub(super) const CHANGES: &str = "config-operation-log";
/// A machine group for each way in which agents run in a cluster.
const KINDS: [&str; 3] = ["", "-statefulset", "-singleton"];

const MOST_ID: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) cluster_id: String,
    pub(super) project: String,
    /// The first is that of the DaemonSet. Each takes agents whose user-defined id is its name.
    pub(super) groups: Vec<String>,
}

impl Names {
    pub(super) fn of(cluster_id: &str, project: Option<&str>) -> Result<Names> {
        let id = cluster_id.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let ends = [id.first(), id.last()];
        if !id.iter().all(plain) || !ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric)) {
            bail!(
                "--cluster-id {cluster_id:?}: write a-z, 0-9 and -, as in c1b2c3; it becomes a part of names"
            );
        }
        // Machine groups take 128 characters, user-defined ids and labels less.
        if id.len() > MOST_ID {
            bail!(
                "--cluster-id {cluster_id:?}: is longer than {MOST_ID} characters; it becomes a part of names"
            );
        }
        let project = project.map_or_else(|| format!("k8s-log-{cluster_id}"), str::to_owned);
        if !is_project_name(&project) {
            bail!(
                "{project:?} is no name of a project, which takes 3 to 63 of a-z, 0-9 and -; choose one with --project"
            );
        }
        let groups = KINDS.map(|kind| format!("k8s-group-{cluster_id}{kind}")).to_vec();
        Ok(Names { cluster_id: cluster_id.to_owned(), project, groups })
    }

    pub(super) fn daemon_set_group(&self) -> &str {
        self.groups.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_the_names_of_the_vendors_installer() {
        let names = Names::of("c1", None).unwrap();
        assert_eq!(names.project, "k8s-log-c1");
        assert_eq!(names.groups, ["k8s-group-c1", "k8s-group-c1-statefulset", "k8s-group-c1-singleton"]);
        assert_eq!(names.daemon_set_group(), "k8s-group-c1");
        assert_eq!(Names::of("c1", Some("shared")).unwrap().project, "shared");
        for (id, project) in [("", None), ("C1", None), ("-c", None), ("a/b", None), ("c1", Some("No"))] {
            assert!(Names::of(id, project).is_err(), "{id} {project:?}");
        }
        let error = Names::of(&"c".repeat(64), Some("shared")).unwrap_err().to_string();
        assert!(error.contains("longer than 63"), "{error}");
        let error = Names::of(&"c".repeat(60), None).unwrap_err().to_string();
        assert!(error.contains("choose one with --project"), "{error}");
    }
}
