//! How a destination is sent to: what may be typed, and what it means.

use super::*;
use crate::config::plan::{AutoCreate, BatchGroup, LogstoreMode, ShardKeyPart};

const CLOUD: &str = "endpoint: http://h, project: ppp, logstore: lll, access_key_id: i, access_key_secret: s";

fn destination(extra: &str) -> DestinationPlan {
    let text = format!("destinations: {{ cloud: {{ {CLOUD}, {extra} }} }}");
    let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    let printed = plan.effective();
    let again =
        from_text(&printed.replace("***", "t"), &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed);
    plan.destinations.into_iter().find(|destination| destination.name == "cloud").unwrap()
}

#[test]
fn defaults() {
    let plan = destination("");
    assert_eq!((plan.in_flight, plan.max_rate, plan.auto_create), (4, None, None));
    assert_eq!((plan.shard_key, plan.batch_group), (Vec::new(), BatchGroup::Auto));
}

#[test]
fn what_is_typed_is_used() {
    let plan = destination("max_rate: 3MiB, shard_key: [__source__, '__tag__:app'], batch_group: off");
    assert_eq!((plan.max_rate, plan.batch_group), (Some(3 << 20), BatchGroup::Off));
    assert_eq!(plan.shard_key, [ShardKeyPart::Source, ShardKeyPart::Tag("app".into())]);
    assert_eq!(destination("shard_key: __topic__").shard_key, [ShardKeyPart::Topic]);
    let made = |typed: &str| destination(&format!("auto_create: {typed}")).auto_create;
    assert_eq!((made("true"), made("false")), (Some(AutoCreate::default()), None));
    let all =
        AutoCreate { shards: 4, ttl: 3650, mode: LogstoreMode::Query, index: false, ..AutoCreate::default() };
    assert_eq!(made("{ shards: 4, ttl: 3650, mode: query, index: false }"), Some(all));
    assert_eq!(made("{ ttl: 1 }"), Some(AutoCreate { ttl: 1, ..AutoCreate::default() }));
}

#[test]
fn what_cannot_be_is_said() {
    for (extra, expected) in [
        ("max_rate: 10", "max_rate: is 10"),
        ("shard_key: [level]", "shard_key[0]: `level` is no part of a shard key; there are __source__"),
        ("batch_group: maybe", "batch_group: `maybe` is not one of auto, on, off"),
        ("batch_group: on, shard_key: __topic__", "batch_group: is on beside shard_key"),
        ("auto_create: 3", "auto_create: is a number to YAML"),
        ("auto_create: { ttl: 4000 }", "auto_create.ttl: is 4000; it must lie between 1 and 3650"),
        ("auto_create: { tll: 4 }", "auto_create.tll: is not a key; did you mean ttl?"),
    ] {
        let text = format!("destinations: {{ cloud: {{ {CLOUD}, {extra} }} }}");
        let found = lines(from_text(&text, &[HOME])).join("\n");
        let expected = format!("destinations.cloud.{expected}");
        assert!(found.contains(&expected) && !found.contains('\n'), "{expected}\nis not\n{found}");
    }
    let text = "log_service: { enabled: true }\ndestinations: { local: { auto_create: true } }";
    let found = lines(from_text(text, &[HOME])).join("\n");
    assert!(found.contains("destinations.local.auto_create: `local` is the embedded Log Service"), "{found}");
}
