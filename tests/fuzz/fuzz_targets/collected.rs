//! Configurations of others: whatever they say is honoured or refused with a reason, and nothing of this machine is filled in.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sluicegate::config::collected::{Form, Surroundings, resource, translate};
use sluicegate::config::{Flags, Plan, load};

fn main_plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let flags = Flags { data_dir: Some("/var/lib/sluicegate".into()) };
        load(None, std::iter::empty(), &flags).expect("the defaults are a configuration")
    })
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        for read in resource::read_yaml(text).unwrap_or_default() {
            assert!(read.is_ok() || read.is_err_and(|error| !error.reasons.is_empty()));
        }
    }
    let Ok(body) = serde_json::from_slice(data) else { return };
    let main = main_plan();
    let around = Surroundings {
        id: "project.config",
        project: "project",
        group_topic: None,
        destination: &main.destinations[0],
        main,
    };
    for form in [Form::Classic, Form::Pipeline] {
        match translate(form, &body, &around) {
            Ok(collected) => assert!(collected.plan.secret_files.is_empty()),
            Err(reasons) => assert!(!reasons.is_empty()),
        }
    }
});
