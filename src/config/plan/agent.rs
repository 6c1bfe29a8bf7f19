//! The plan of what this gateway says of itself, as Logtail does: whose it is, and what marks everything it sends.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentPlan {
    /// Main accounts that own it, by their ids.
    pub user_ids: Vec<String>,
    /// Machine groups know it by these; the tag `__user_defined_id__`.
    pub user_defined_ids: Vec<String>,
    /// Instead of this machine's name, also in `__hostname__`.
    pub hostname: Option<String>,
    /// `__source__` of everything, instead of what a destination's `source` says.
    pub source: Option<String>,
    /// Constant tags by key, `__user_defined_id__` too. Each destination's tags have them already.
    pub tags: Vec<(String, String)>,
    /// Variables that were set for Logtail and have no effect here, by name, each with the reason.
    pub ignored: Vec<(String, String)>,
}
