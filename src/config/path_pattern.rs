//! Patterns of paths: which files an input reads.
//!
//! ```text
//! *        anything within one name                 /var/log/*.log
//! ?  [a-z] one character of a name
//! **       any directories, none included           /var/log/**/access.log
//! {x,y}    x or y
//! ```

use std::fmt;

/// One absolute pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
}

impl PathPattern {
    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<PathPattern, String> {
        if !text.starts_with('/') {
            return Err("is not an absolute path; write /var/log/app/*.log".to_owned());
        }
        Ok(PathPattern { text: text.to_owned() })
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
