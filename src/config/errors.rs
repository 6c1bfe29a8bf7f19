//! What is wrong with a configuration: every fault at once, each with its place and what would be right.
//!
//! A fault belongs to the key in the file, or to the variable that set this key. Values of secrets never appear here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a fault lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole: unreadable, not YAML.
    File,
    /// A key, as `inputs.forward.listen` or `routes[2].match`.
    Key(String),
    /// An environment variable.
    Variable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// What is wrong and what would be right.
    pub what: String,
}

/// All faults of one configuration; never empty. `Display` prints one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    faults: Vec<Fault>,
}

impl ConfigErrors {
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().map_or_else(|| "configuration".into(), Path::to_string_lossy);
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &fault.place {
                Place::File => write!(f, "{file}: {}", fault.what)?,
                Place::Key(key) => write!(f, "{file}: {key}: {}", fault.what)?,
                Place::Variable(name) => write!(f, "{name}: {}", fault.what)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects faults while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    file: Option<PathBuf>,
    /// Key paths that came from the environment, with their variable.
    variables: BTreeMap<String, String>,
    list: RefCell<Vec<Fault>>,
}

impl Faults {
    pub(super) fn new(file: Option<&Path>) -> Faults {
        Faults { file: file.map(Path::to_owned), ..Faults::default() }
    }

    /// From now on, faults of this key belong to this variable.
    pub(super) fn came_from(&mut self, key: &str, variable: &str) {
        self.variables.insert(key.to_owned(), variable.to_owned());
    }

    /// The variable that set this key, if one did.
    pub(super) fn variable(&self, key: &str) -> Option<&str> {
        self.variables.get(key).map(String::as_str)
    }

    /// A fault of a key. It belongs to the variable that set the key, or that made the map in which the key is missing.
    pub(super) fn key(&self, key: &str, what: impl Into<String>) {
        let what = what.into();
        if let Some(variable) = self.variable(key) {
            return self.push(Place::Variable(variable.to_owned()), what);
        }
        let mut above = key;
        while let Some(end) = above.rfind(['.', '[']) {
            above = &above[..end];
            if let Some(variable) = self.variable(above) {
                return self.push(Place::Variable(variable.to_owned()), format!("{key}: {what}"));
            }
        }
        self.push(Place::Key(key.to_owned()), what);
    }

    pub(super) fn at_variable(&self, variable: &str, what: impl Into<String>) {
        self.push(Place::Variable(variable.to_owned()), what.into());
    }

    pub(super) fn whole_file(&self, what: impl Into<String>) {
        self.push(Place::File, what.into());
    }

    fn push(&self, place: Place, what: String) {
        let fault = Fault { place, what };
        let mut list = self.list.borrow_mut();
        if !list.contains(&fault) {
            list.push(fault);
        }
    }

    /// The value, unless there was a fault.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        let mut faults = self.list.into_inner();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => {
                if faults.is_empty() {
                    faults.push(Fault { place: Place::File, what: "cannot be used".to_owned() });
                }
                Err(ConfigErrors { file: self.file, faults })
            }
        }
    }
}
