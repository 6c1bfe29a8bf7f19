//! The tags of a file's LogGroups: where it is, whose it is, and what the configuration adds.

use std::path::Path;
use std::sync::Arc;

/// Bytes of a path in a tag, as Logtail cuts them.
const PATH_BYTES: usize = 511;

/// `__path__`, those of the Pod, and the constant ones behind them, which win where the names are the same.
pub(super) fn of(
    path: &Path,
    pod: Vec<(String, String)>,
    constant: &[(String, String)],
) -> Arc<[(String, String)]> {
    let text = path.to_string_lossy();
    let path = text[..text.floor_char_boundary(PATH_BYTES)].to_owned();
    let is_free = |(key, _): &(String, String)| constant.iter().all(|(other, _)| other != key);
    let pod = pod.into_iter().filter(is_free);
    [("__path__".to_owned(), path)].into_iter().chain(pod).chain(constant.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let tags = of(Path::new("/var/log/app.log"), Vec::new(), &[pair("k", "v")]);
        assert_eq!(*tags, [pair("__path__", "/var/log/app.log"), pair("k", "v")]);
        let long = format!("/{}", "é".repeat(600));
        assert_eq!(of(Path::new(&long), Vec::new(), &[])[0].1.len(), PATH_BYTES);
    }

    #[test]
    fn no_tag_comes_twice() {
        let tags =
            of(Path::new("/a"), vec![pair("_pod_name_", "web"), pair("app", "web")], &[pair("app", "shop")]);
        assert_eq!(*tags, [pair("__path__", "/a"), pair("_pod_name_", "web"), pair("app", "shop")]);
    }
}
