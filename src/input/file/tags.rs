//! The tags of a file's LogGroups: where it is, and what the configuration adds.

use std::path::Path;
use std::sync::Arc;

/// Bytes of a path in a tag, as Logtail cuts them.
const PATH_BYTES: usize = 511;

/// `__path__`, and the constant ones behind it.
pub(super) fn of(path: &Path, constant: &[(String, String)]) -> Arc<[(String, String)]> {
    let text = path.to_string_lossy();
    let path = text[..text.floor_char_boundary(PATH_BYTES)].to_owned();
    [("__path__".to_owned(), path)].into_iter().chain(constant.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let tags = of(Path::new("/var/log/app.log"), &[("k".to_owned(), "v".to_owned())]);
        assert_eq!(tags[0], ("__path__".to_owned(), "/var/log/app.log".to_owned()));
        assert_eq!(tags[1], ("k".to_owned(), "v".to_owned()));
        let long = format!("/{}", "é".repeat(600));
        assert_eq!(of(Path::new(&long), &[])[0].1.len(), PATH_BYTES);
    }
}
