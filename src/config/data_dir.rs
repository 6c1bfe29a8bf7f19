//! Where the data directory is, when several places say so or none does.
//!
//! ```text
//! --data-dir                     what the person at the terminal types
//! SLUICEGATE_DATA_DIR            what the unit or container sets
//! data_dir in the configuration  (as every key, also SLUICEGATE__DATA_DIR)
//! /var/lib/sluicegate            when it is writable or can be made
//! $XDG_STATE_HOME/sluicegate     when that is absolute, as its specification asks
//! $HOME/.local/state/sluicegate
//! ```
//!
//! Never the working directory: a gateway started elsewhere would not find its journal, and with it its unsent logs.

use std::path::{Path, PathBuf};

/// The place of a service installed for the whole machine.
pub const SYSTEM_DIR: &str = "/var/lib/sluicegate";

/// What the choice depends on.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub flag: Option<PathBuf>,
    pub variable: Option<PathBuf>,
    pub file: Option<PathBuf>,
    /// Whether [`SYSTEM_DIR`] is writable or can be made.
    pub system_usable: bool,
    pub xdg_state_home: Option<PathBuf>,
    pub home: Option<PathBuf>,
}

/// The data directory, or nothing when there is not even a home.
pub fn choose(surroundings: &Surroundings) -> Option<PathBuf> {
    let typed = [&surroundings.flag, &surroundings.variable, &surroundings.file];
    if let Some(typed) = typed.into_iter().flatten().next() {
        return Some(typed.clone());
    }
    if surroundings.system_usable {
        return Some(PathBuf::from(SYSTEM_DIR));
    }
    let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
    let state = absolute(&surroundings.xdg_state_home)
        .or_else(|| absolute(&surroundings.home).map(|home| home.join(".local/state")));
    state.map(|state| state.join("sluicegate"))
}

/// Whether a directory can be written to, or made in its parent, by this process.
pub fn usable(dir: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let writable = |path: &Path| {
        path.is_dir() && accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    };
    if dir.exists() { writable(dir) } else { dir.parent().is_some_and(writable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<PathBuf> {
        Some(PathBuf::from(text))
    }

    #[test]
    fn each_place_gives_way_to_the_one_above() {
        let mut all = Surroundings {
            flag: path("/flag"),
            variable: path("/variable"),
            file: path("/file"),
            system_usable: true,
            xdg_state_home: path("/xdg"),
            home: path("/home/u"),
        };
        assert_eq!(choose(&all), path("/flag"));
        all.flag = None;
        assert_eq!(choose(&all), path("/variable"));
        all.variable = None;
        assert_eq!(choose(&all), path("/file"));
        all.file = None;
        assert_eq!(choose(&all), path(SYSTEM_DIR));
        all.system_usable = false;
        assert_eq!(choose(&all), path("/xdg/sluicegate"));
        all.xdg_state_home = path("relative");
        assert_eq!(choose(&all), path("/home/u/.local/state/sluicegate"));
        all.home = path("");
        assert_eq!(choose(&all), None);
    }

    #[test]
    fn a_directory_is_usable_when_it_or_its_parent_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(usable(dir.path()));
        assert!(usable(&dir.path().join("new")));
        assert!(!usable(&dir.path().join("new/er")));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(!usable(&file));
    }
}
