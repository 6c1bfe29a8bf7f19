//! Loading: file and environment in, a plan or every fault out.
//!
//! Precedence: an environment variable of ours over the file, over what Logtail's variables say, over the default. The data directory has its own order, see
//! [`super::data_dir`]. Nothing is created and nothing is bound here; the only files read are the configuration and what
//! `${file:...}` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::data_dir::{SYSTEM_DIR, Surroundings, choose, usable};
use super::errors::{ConfigErrors, Faults};
use super::logtail_env;
use super::plan::Plan;
use super::raw;
use super::reader::{Context, Table};
use super::resolve::resolve;
use super::source::{Tree, overlay, read_file};

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data-dir`; a relative one starts at the working directory, since a person typed it there.
    pub data_dir: Option<PathBuf>,
}

/// Loads the configuration. `file` is absent when none was named: then everything has its default, and the environment
/// still counts. `env` is the whole environment, for overrides, `${env:NAME}` and the home directory.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Plan, ConfigErrors> {
    let faults = Faults::new(file);
    let tree = match file {
        Some(path) => read_file(path, &faults),
        None => Some(Tree::new()),
    };
    let env = env.collect();
    let Some(tree) = tree else { return faults.finish(None) };
    layered(tree, env, faults, flags)
}

/// From the file's tree and the environment to a plan.
fn layered(
    mut tree: Tree,
    env: BTreeMap<String, String>,
    mut faults: Faults,
    flags: &Flags,
) -> Result<Plan, ConfigErrors> {
    overlay(&mut tree, &env, &mut faults);
    let ignored = logtail_env::lay(&mut tree, &env, &mut faults);
    let mut plan = plan(tree, Context::new(faults, env), flags)?;
    plan.agent.ignored = ignored;
    Ok(plan)
}

/// From a tree to a plan.
pub(super) fn plan(tree: Tree, context: Context, flags: &Flags) -> Result<Plan, ConfigErrors> {
    let mut raw = raw::read(Table::root(&context, tree));
    let data_dir = data_dir(raw.data_dir.take(), &context, flags);
    // With faults so far, the plan only serves to find the others.
    let mut plan = resolve(raw, data_dir.unwrap_or_default(), &context.faults);
    if let Some(plan) = &mut plan {
        plan.secret_files = context.files.take().into_iter().collect();
    }
    context.faults.finish(plan)
}

fn data_dir(file: Option<PathBuf>, context: &Context, flags: &Flags) -> Option<PathBuf> {
    let variable = |name: &str| context.env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let surroundings = Surroundings {
        flag: flags.data_dir.clone(),
        variable: variable("SLUICEGATE_DATA_DIR"),
        file,
        system_usable: usable(Path::new(SYSTEM_DIR)),
        xdg_state_home: variable("XDG_STATE_HOME"),
        home: variable("HOME"),
    };
    let Some(chosen) = choose(&surroundings) else {
        let what = format!("is missing, {SYSTEM_DIR} is not writable and there is no home; give --data-dir");
        context.faults.key("data_dir", what);
        return None;
    };
    match std::path::absolute(&chosen) {
        Ok(path) => Some(path),
        Err(error) => {
            context.faults.key("data_dir", format!("cannot be made absolute: {error}"));
            None
        }
    }
}

#[cfg(test)]
pub(super) fn from_text(text: &str, env: &[(&str, &str)]) -> Result<Plan, ConfigErrors> {
    let faults = Faults::new(None);
    let Some(tree) = super::source::parse(text, &faults) else { return faults.finish(None) };
    from_tree(tree, env, faults)
}

#[cfg(test)]
pub(super) fn from_tree(tree: Tree, env: &[(&str, &str)], faults: Faults) -> Result<Plan, ConfigErrors> {
    let env: BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    layered(tree, env, faults, &Flags::default())
}
