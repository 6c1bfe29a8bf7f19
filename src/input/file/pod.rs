//! What the path of a container's log tells of its Pod, as kubelet lays the files out.
//!
//! ```text
//! /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log       the files; rotated: 0.log.20261122-150307, .gz behind it
//! /var/log/containers/<pod>_<namespace>_<container>-<id>.log             links to them; the id has 64 hexadecimal digits
//! ```
//!
//! The same holds below any prefix, as where a node's `/var/log` is mounted elsewhere. No name has an underscore in it:
//! namespaces and containers are DNS labels, Pods are DNS subdomains. The uid of a static Pod is a hash, without dashes. A link's
//! name is cut to 255 bytes, which can shorten the id; where nothing of it is left the path tells nothing.

use std::fs;
use std::path::{Component, Path};

use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{KubernetesPlan, NameFilter};

/// Bytes of a DNS label.
const LABEL: usize = 63;
/// Bytes of a DNS subdomain.
const SUBDOMAIN: usize = 253;
/// Digits of a container's id.
const CONTAINER_ID: usize = 64;
/// Symbolic links that are followed from a name to the file: kubelet and Docker lay one each.
const LINKS: usize = 8;
/// Bytes of a file's name.
const FILE_NAME: usize = 255;

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodPath {
    pub namespace: String,
    pub pod: String,
    /// Links do not tell it.
    pub uid: Option<String>,
    pub container: String,
    /// Only links tell it.
    pub container_id: Option<String>,
}

impl PodPath {
    /// `None`: the path is no such one.
    pub fn parse(path: &Path) -> Option<PodPath> {
        let mut names = path.components().rev().map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let (file, parent) = (names.next()??, names.next()??);
        if parent == "containers" {
            return link(file);
        }
        let pod = names.next()??;
        if names.next()?? != "pods" || !is_log_of_container(file) {
            return None;
        }
        let [namespace, pod, uid] = three(pod)?;
        let is_uid = (1..=LABEL).contains(&uid.len())
            && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_pod = is_label(namespace) && is_subdomain(pod) && is_uid && is_label(parent);
        is_pod.then(|| PodPath {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: Some(uid.to_owned()),
            container: parent.to_owned(),
            container_id: None,
        })
    }

    /// As [`PodPath::parse`], and what the path does not tell is looked up in what it links to, as kubelet's links below
    /// `containers` lead to the files below `pods`. A look at the disk for each link.
    pub fn find(path: &Path) -> Option<PodPath> {
        let mut found = PodPath::parse(path);
        let mut at = path.to_owned();
        for _ in 0..LINKS {
            if found.as_ref().is_some_and(|pod| pod.uid.is_some()) {
                break;
            }
            let Ok(target) = fs::read_link(&at) else { break };
            // An absolute target replaces the path before it.
            at = at.parent().unwrap_or(Path::new("/")).join(target);
            let Some(next) = PodPath::parse(&at) else { continue };
            match &mut found {
                None => found = Some(next),
                Some(pod)
                    if (&pod.namespace, &pod.pod, &pod.container)
                        == (&next.namespace, &next.pod, &next.container) =>
                {
                    pod.uid = next.uid;
                }
                Some(_) => {}
            }
        }
        found
    }

    /// Tags of its LogGroups, by the names that Logtail gives them.
    pub fn tags(&self) -> Vec<(String, String)> {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut tags = vec![tag("_namespace_", &self.namespace), tag("_pod_name_", &self.pod)];
        tags.extend(self.uid.as_deref().map(|uid| tag("_pod_uid_", uid)));
        tags.push(tag("_container_name_", &self.container));
        tags
    }
}

/// `<pod>_<namespace>_<container>-<id>.log`.
fn link(file: &str) -> Option<PodPath> {
    let [pod, namespace, rest] = three(file.strip_suffix(".log")?)?;
    let (container, id) = rest.rsplit_once('-')?;
    let is_cut = file.len() == FILE_NAME && (1..CONTAINER_ID).contains(&id.len());
    let is_id = (id.len() == CONTAINER_ID || is_cut) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_pod = is_label(namespace) && is_subdomain(pod) && is_label(container) && is_id;
    is_pod.then(|| PodPath {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: None,
        container: container.to_owned(),
        container_id: Some(id.to_owned()),
    })
}

/// `<restarts>.log`, and what rotation makes of it.
fn is_log_of_container(file: &str) -> bool {
    let Some((number, rest)) = file.split_once(".log") else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (rest.is_empty() || rest.starts_with('.'))
}

/// What stands between exactly two underscores.
fn three(name: &str) -> Option<[&str; 3]> {
    let mut parts = name.split('_');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn is_label(name: &str) -> bool {
    (1..=LABEL).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_subdomain(name: &str) -> bool {
    (1..=SUBDOMAIN).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

/// Which Pods' containers are read, by their names. Labels are the API server's business.
#[derive(Clone, Debug, Default)]
pub struct PodFilter {
    namespaces: Names,
    pods: Names,
    containers: Names,
}

impl PodFilter {
    pub fn new(plan: &KubernetesPlan) -> PodFilter {
        PodFilter {
            namespaces: Names::new(&plan.namespaces),
            pods: Names::new(&plan.pods),
            containers: Names::new(&plan.containers),
        }
    }

    pub fn takes(&self, path: &PodPath) -> bool {
        self.namespaces.takes(&path.namespace)
            && self.pods.takes(&path.pod)
            && self.containers.takes(&path.container)
    }
}

#[derive(Clone, Debug, Default)]
struct Names {
    include: Vec<LinearRegex>,
    exclude: Vec<LinearRegex>,
}

impl Names {
    fn new(plan: &NameFilter) -> Names {
        let whole = |patterns: &[LinearRegex]| patterns.iter().map(whole).collect();
        Names { include: whole(&plan.include), exclude: whole(&plan.exclude) }
    }

    fn takes(&self, name: &str) -> bool {
        let has = |list: &[LinearRegex]| list.iter().any(|pattern| pattern.is_match(name.as_bytes()));
        (self.include.is_empty() || has(&self.include)) && !has(&self.exclude)
    }
}

/// A pattern that matches whole names where the given one matches parts.
fn whole(pattern: &LinearRegex) -> LinearRegex {
    // The line feed ends a comment that the pattern may end in, where it is one that has such.
    LinearRegex::parse(&format!(r"\A(?:{pattern})\z"))
        .or_else(|_| LinearRegex::parse(&format!("\\A(?:{pattern}\n)\\z")))
        .unwrap_or_else(|_| pattern.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "8fd1b2a5-5a0a-4c52-9a4b-4c4d2f3c1e11";

    fn parse(path: &str) -> Option<PodPath> {
        PodPath::parse(Path::new(path))
    }

    fn pod(namespace: &str, pod: &str, uid: Option<&str>, container: &str, id: Option<&str>) -> PodPath {
        PodPath {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: uid.map(str::to_owned),
            container: container.to_owned(),
            container_id: id.map(str::to_owned),
        }
    }

    #[test]
    fn paths_of_kubelet_tell_the_pod() {
        let web = pod("shop-1", "web.v2-7d9f-x2", Some(UID), "nginx-1", None);
        for prefix in ["", "/logtail_host", "/a_b/pods/x"] {
            for file in ["0.log", "12.log", "0.log.20261122-150307", "0.log.20261122-150307.gz"] {
                let path = format!("{prefix}/var/log/pods/shop-1_web.v2-7d9f-x2_{UID}/nginx-1/{file}");
                assert_eq!(parse(&path), Some(web.clone()), "{path}");
            }
        }
        let hash = "0b2a14d6a2c5a1b1a9a3a4d3e5f60718";
        let statics = format!("/var/log/pods/kube-system_etcd-node1.example.com_{hash}/etcd/3.log");
        assert_eq!(
            parse(&statics),
            Some(pod("kube-system", "etcd-node1.example.com", Some(hash), "etcd", None))
        );
        let link = format!("/var/log/containers/web.v2-7d9f-x2_shop-1_side-car-{ID}.log");
        assert_eq!(parse(&link), Some(pod("shop-1", "web.v2-7d9f-x2", None, "side-car", Some(ID))));
    }

    #[test]
    fn other_paths_tell_nothing() {
        for path in [
            "",
            "/",
            "0.log",
            "/var/log/app.log",
            "/var/log/pods/shop_web/nginx/0.log",
            "/var/log/pods/shop_web_1_2/nginx/0.log",
            "/var/log/pods/shop_web_xyz/nginx/0.log",
            "/var/log/pods/_web_1/nginx/0.log",
            "/var/log/pods/shop_web_1/nginx/app.log",
            "/var/log/pods/shop_web_1/nginx/0.logs",
            "/var/log/pods/shop_web_1/ngi_nx/0.log",
            "/var/log/pods/shop_web_1/0.log",
            "/var/log/pods/shop_web_1/../nginx/0.log",
            "/var/log/pod/shop_web_1/nginx/0.log",
            "/var/log/pods/Shop_web_1/nginx/0.log",
            "/var/log/containers/web_shop_nginx-0123.log",
            "/var/log/containers/web_shop_nginx.log",
            "/var/log/containers/web_nginx-0123.log",
            "/var/log/containers/x/web_shop_nginx-0123.log",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
        assert_eq!(parse(&format!("/var/lib/docker/containers/{ID}/{ID}-json.log")), None);
        assert_eq!(parse(&format!("/var/log/containers/web_shop_nginx-{ID}0.log")), None);
    }

    #[test]
    fn a_link_s_name_may_be_cut() {
        let long = "p".repeat(150);
        let whole = format!("{long}_{}_side-car-{ID}", "n".repeat(60));
        let cut = parse(&format!("/var/log/containers/{}.log", &whole[..251])).unwrap();
        assert_eq!((cut.container.as_str(), cut.container_id.unwrap().len()), ("side-car", 30));
        assert_eq!(parse(&format!("/var/log/containers/{}.log", &whole[..250])), None);
    }

    #[test]
    fn links_tell_the_uid_and_other_files_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (file, link) =
            (format!("pods/shop_web_{UID}/nginx/0.log"), format!("containers/web_shop_nginx-{ID}.log"));
        for parent in ["containers", "docker", &format!("pods/shop_web_{UID}/nginx")] {
            fs::create_dir_all(path(parent)).unwrap();
        }
        let find = |name: &str| PodPath::find(&path(name));
        std::os::unix::fs::symlink(format!("../{file}"), path(&link)).unwrap();
        // Where the runtime is Docker, the file is a link, too.
        std::os::unix::fs::symlink(path("docker/json.log"), path(&file)).unwrap();
        assert_eq!(find(&link), Some(pod("shop", "web", Some(UID), "nginx", Some(ID))));
        assert_eq!(find(&file), Some(pod("shop", "web", Some(UID), "nginx", None)));
        assert_eq!(find("docker/json.log"), None);
        // One of one's own to a link.
        std::os::unix::fs::symlink(path(&link), path("docker/mine.log")).unwrap();
        assert_eq!(find("docker/mine.log"), Some(pod("shop", "web", Some(UID), "nginx", Some(ID))));
        std::os::unix::fs::symlink(path("docker/round.log"), path("docker/round.log")).unwrap();
        assert_eq!(find("docker/round.log"), None);
    }

    #[test]
    fn tags_have_logtail_s_names() {
        let tags = pod("shop", "web", Some("1"), "nginx", None).tags();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let expected = [
            ("_namespace_", "shop"),
            ("_pod_name_", "web"),
            ("_pod_uid_", "1"),
            ("_container_name_", "nginx"),
        ];
        assert_eq!(tags, expected);
        assert_eq!(pod("shop", "web", None, "nginx", Some(ID)).tags().len(), 3);
    }

    #[test]
    fn filters_match_whole_names() {
        let filter = |include: &[&str], exclude: &[&str]| NameFilter {
            include: include.iter().map(|text| LinearRegex::parse(text).unwrap()).collect(),
            exclude: exclude.iter().map(|text| LinearRegex::parse(text).unwrap()).collect(),
        };
        for (include, exclude, name, takes) in [
            (&[][..], &[][..], "shop", true),
            (&["shop"], &[], "shop", true),
            (&["shop"], &[], "shop-1", false),
            (&["shop|shop-1"], &[], "shop-1", true),
            (&["a", "shop.*"], &[], "shop-1", true),
            (&["(?x) sh op # the shop"], &[], "shop", true),
            (&["(?x) sh op # the shop"], &[], "shops", false),
            (&[], &["kube-.*"], "kube-system", false),
            (&[], &["kube"], "kube-system", true),
            (&["kube-.*"], &["kube-system"], "kube-system", false),
        ] {
            let plan = |filter: NameFilter| KubernetesPlan {
                namespaces: filter,
                pods: NameFilter::default(),
                containers: NameFilter::default(),
                labels: Vec::new(),
                api: None,
            };
            let pods = PodFilter::new(&plan(filter(include, exclude)));
            assert_eq!(pods.takes(&pod(name, "web", None, "nginx", None)), takes, "{include:?} {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_laid_out_is_found(
            namespace in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            name in "[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?",
            container in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            uid in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}",
            id in "[0-9a-f]{64}",
        ) {
            let path = format!("/var/log/pods/{namespace}_{name}_{uid}/{container}/0.log");
            proptest::prop_assert_eq!(parse(&path), Some(pod(&namespace, &name, Some(&uid), &container, None)));
            let path = format!("/var/log/containers/{name}_{namespace}_{container}-{id}.log");
            proptest::prop_assert_eq!(parse(&path), Some(pod(&namespace, &name, None, &container, Some(&id))));
        }
    }
}
