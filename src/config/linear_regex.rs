//! Regular expressions as they are typed: always those whose time is linear in the text, whatever a peer or a file brings.
//!
//! What other engines know beside that (look-around, back-references, possessive and atomic groups) is told apart from a slip
//! of the pen, with what can be written instead.

use std::fmt;
use std::ops::Deref;

use regex::bytes::Regex;

/// A regular expression, known by its text.
#[derive(Clone, Debug)]
pub struct LinearRegex(Regex);

impl LinearRegex {
    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<LinearRegex, String> {
        match Regex::new(text) {
            Ok(regex) => Ok(LinearRegex(regex)),
            Err(error) => Err(format!("is not a regular expression: {}", last_line(&error.to_string()))),
        }
    }
}

/// Syntax errors come as a drawing of several lines; the last one says what is wrong.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

impl Deref for LinearRegex {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl fmt::Display for LinearRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for LinearRegex {
    fn eq(&self, other: &LinearRegex) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for LinearRegex {}
