//! The configuration as a whole: its defaults, its files, its faults, its variables.

use std::path::Path;

use super::load::from_text;
use super::plan::*;
use super::{ConfigErrors, Flags, load};

const HOME: (&str, &str) = ("HOME", "/home/u");
const KEYS: [(&str, &str); 4] = [
    HOME,
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
    ("ALIBABA_CLOUD_SECURITY_TOKEN", "token-1"),
    ("SECRET", "hunter2"),
];

fn lines(result: Result<Plan, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().to_string().lines().map(str::to_owned).collect()
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
}

#[test]
fn nothing_configured_is_the_embedded_default() {
    let env = [("HOME", "/home/u"), ("SLUICEGATE_SERVICE_HOST", "10.0.0.1"), ("SLUICEGATE_DATA_DIR", "/d")];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let plan = load(None, env, &Flags::default()).unwrap();
    assert_eq!(plan.data_dir, Path::new("/d"));
    let [InputPlan { name, kind: InputKind::Forward(forward) }] = plan.inputs.as_slice() else { panic!() };
    assert_eq!((name.as_str(), forward.listen[0].to_string().as_str()), ("forward", "127.0.0.1:24224"));
    assert_eq!((forward.max_message, forward.window, forward.max_line), (64 << 20, 8 << 20, 1 << 20));
    let [local] = plan.destinations.as_slice() else { panic!() };
    assert!(matches!(local.target, Target::Embedded));
    assert_eq!(
        (local.name.as_str(), local.project.as_str(), local.logstore.as_str()),
        (LOCAL, "sluicegate", "default")
    );
    assert_eq!(plan.default_destination, 0);
    assert_eq!(plan.buffer_of(local).unwrap().max_bytes, 1 << 30);
    assert_eq!(plan.log_service.as_ref().unwrap().listen.to_string(), "127.0.0.1:24280");
    assert_eq!(plan.operations.listen.to_string(), "127.0.0.1:24290");
}

#[test]
fn the_shipped_files_load() {
    let default = from_text("", &[HOME]).unwrap();
    let full = from_text(&shipped("sluicegate.yaml"), &[HOME]).unwrap();
    assert_eq!(full.effective(), default.effective(), "sluicegate.yaml says what is so without it");
    let docker = from_text(&shipped("docker.yaml"), &[HOME]).unwrap();
    assert!(docker.routes[0].pattern.matches(b"docker.web"));
}
