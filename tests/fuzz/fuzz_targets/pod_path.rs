//! What a path tells of a Pod stands in it, and laid out again it is the same Pod.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sluicegate::input::file::pod::PodPath;

fuzz_target!(|text: &str| {
    let Some(pod) = PodPath::parse(Path::new(text)) else { return };
    let PodPath { namespace, pod: name, uid, container, container_id } = &pod;
    let path = match (uid, container_id) {
        (Some(uid), None) => format!("/var/log/pods/{namespace}_{name}_{uid}/{container}/0.log"),
        (None, Some(id)) => format!("/var/log/containers/{name}_{namespace}_{container}-{id}.log"),
        _ => panic!("a path tells either a uid or a container's id"),
    };
    assert_eq!(PodPath::parse(Path::new(&path)), Some(pod));
});
