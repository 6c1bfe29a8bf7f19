//! The topic that a file's path tells, as Logtail takes it.
//!
//! ```text
//! /var/log/(.*)/app\.log            /var/log/web/app.log      topic web
//! /var/log/(.*)/(.*)\.log           /var/log/web/app.log      topic web_app    __topic_1__=web  __topic_2__=app
//! /var/log/(?<service>.*)/app\.log  /var/log/web/app.log      topic web        service=web
//! ```
//!
//! The expression has to match the whole path, of which a rotated file's `.1` is left out. A path that it does not match tells
//! nothing.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use regex::bytes::Regex;

use crate::base::limits::TAG_BYTES;
use crate::config::linear_regex::LinearRegex;
use crate::config::regex_groups;

pub(super) struct PathTopic {
    regex: Regex,
}

/// What a path tells; nothing where it does not match.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) topic: String,
    pub(super) tags: Vec<(String, String)>,
}

impl PathTopic {
    /// Nothing when the expression cannot be built, which the configuration checks.
    pub(super) fn new(regex: &LinearRegex) -> Option<PathTopic> {
        regex_groups::whole(regex).ok().map(|regex| PathTopic { regex })
    }

    pub(super) fn of(&self, path: &Path) -> Told {
        let bytes = without_generation(path.as_os_str().as_bytes());
        let Some(found) = self.regex.captures(bytes) else { return Told::default() };
        let names = self.regex.capture_names().enumerate().skip(1);
        let is_alone = self.regex.captures_len() == 2;
        let mut told = Told::default();
        for (at, name) in names {
            let text = found.get(at).map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned());
            let text = text.unwrap_or_default();
            if at > 1 {
                told.topic.push('_');
            }
            told.topic.push_str(&text);
            match name {
                Some(name) => told.tags.push((name.to_owned(), text)),
                None if is_alone => {}
                None => told.tags.push((format!("__topic_{at}__"), text)),
            }
        }
        told.topic.truncate(told.topic.floor_char_boundary(TAG_BYTES));
        told
    }
}

/// Without `.1`, which rotation adds.
fn without_generation(path: &[u8]) -> &[u8] {
    match path {
        [rest @ .., b'.', digit] if digit.is_ascii_digit() => rest,
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_path_are_its_topic() {
        let of = |regex: &str, path: &str| {
            let Told { topic, tags } =
                PathTopic::new(&LinearRegex::parse(regex).unwrap()).unwrap().of(Path::new(path));
            let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            (topic, tags.join(" "))
        };
        let told = |topic: &str, tags: &str| (topic.to_owned(), tags.to_owned());
        let path = "/var/log/web/app.log";
        assert_eq!(of(r"/var/log/(.*)/app\.log", path), told("web", ""));
        assert_eq!(of(r"/var/log/(.*)/app\.log", "/var/log/web/app.log.1"), told("web", ""));
        assert_eq!(of(r"/var/log/(.*)/(.*)\.log", path), told("web_app", "__topic_1__=web __topic_2__=app"));
        assert_eq!(of(r"/var/log/(?<service>.*)/app\.log", path), told("web", "service=web"));
        assert_eq!(of("/var/log/(.*)/app", path), told("", ""));
        let long = format!("/{}", "é".repeat(1_000));
        assert!(of("/(.*)", &long).0.len() <= TAG_BYTES);
    }
}
