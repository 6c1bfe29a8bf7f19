//! The section `collection`: whom it asks, and what else there has to be.

use super::*;

fn plan(text: &str) -> Plan {
    let plan = from_text(text, &KEYS).unwrap_or_else(|errors| panic!("{errors}"));
    let printed = plan.effective();
    let again = from_text(&printed.replace("***", "s"), &[HOME]);
    let again = again.unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed);
    plan
}

const CLOUD: &str = "destination: { region: cn-hangzhou, access_key_id: i, access_key_secret: s";

#[test]
fn alone_it_needs_no_inputs_and_no_destinations() {
    let alone = plan(&format!("agent: {{ user_defined_ids: web }}\ncollection: {{ {CLOUD} }} }}"));
    assert!(alone.inputs.is_empty() && alone.destinations.is_empty() && alone.log_service.is_none());
    let collection = alone.collection.unwrap();
    assert!(collection.machine_groups && collection.directory.is_none() && collection.kubernetes.is_none());
    assert_eq!(collection.interval.as_secs(), 20);
    assert_eq!(collection.destination.tags, [("__user_defined_id__".to_owned(), "web".to_owned())]);
    assert_eq!(collection.destination.auto_create, None);
    assert_eq!(collection.made_for_resources, Some(AutoCreate::default()));
    assert!(from_text("", &[HOME]).unwrap().collection.is_none());
}

#[test]
fn without_a_place_it_is_the_embedded_service() {
    let here = plan("collection: { machine_groups: true, interval: 5s }");
    assert!(here.log_service.is_some() && here.inputs.is_empty());
    assert_eq!(here.destinations.len(), 1);
    let collection = here.collection.unwrap();
    assert!(matches!(collection.destination.target, Target::Embedded));
    assert!(collection.destination.project.is_empty() && collection.made_for_resources.is_none());
}

#[test]
fn resources_may_be_made_or_not() {
    let of = |more: &str| {
        plan(&format!("collection: {{ directory: /crd, {CLOUD}, {more} }} }}")).collection.unwrap()
    };
    let made = of("auto_create: { ttl: 7 }");
    assert_eq!(made.destination.auto_create.as_ref().unwrap().ttl, 7);
    assert_eq!(made.made_for_resources, made.destination.auto_create);
    let not = of("auto_create: false, project: ppp");
    assert_eq!((not.destination.auto_create, not.made_for_resources), (None, None));
    assert_eq!(not.destination.project, "ppp");
}

#[test]
fn the_api_server_is_the_pods_own() {
    let env = [HOME, ("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "443")];
    let text = "collection: { kubernetes: {}, config_server: 'http://c:1', user_defined_id_file: /ids }";
    let collection = from_text(text, &env).unwrap().collection.unwrap();
    let cluster = collection.kubernetes.unwrap();
    assert_eq!((cluster.server.as_str(), cluster.namespace), ("https://10.0.0.1", None));
    assert!(cluster.token_file.ends_with("serviceaccount/token"));
    assert_eq!(collection.config_server.as_deref(), Some("http://c:1"));
    assert!(collection.machine_groups, "the file may name ids");
}

#[test]
fn each_fault_is_told() {
    for (text, expected) in [
        ("collection: {}", "collection: asks nobody: set agent.user_defined_ids"),
        (
            "collection: { machine_groups: maybe }",
            "collection.machine_groups: `maybe` is not one of auto, true, false",
        ),
        ("collection: { machine_groups: true, interval: 1s }", "collection.interval: "),
        (
            "collection: { directory: a }",
            "collection.directory: `a` is not an absolute path; write /etc/sluicegate/",
        ),
        ("collection: { directory: /a, config_server: '' }", "collection.config_server: "),
        (
            "collection: { directory: /a, kubernetes: { server: 'http://h' } }",
            "collection.kubernetes.server: ",
        ),
        (
            "collection: { directory: /a, destination: { logstore: lll } }",
            "collection.destination.logstore: is what each",
        ),
        ("collection: { directory: /a, destination: {} }", "collection.destination.endpoint: is missing"),
        (
            "log_service: { enabled: false }\ndestinations: { c: { region: cn-hangzhou, project: ppp, logstore: lll, \
             access_key_id: i, access_key_secret: s } }\ncollection: { directory: /a }",
            "collection.destination: is missing; write the endpoint",
        ),
        (
            "inputs: { forward: {} }\ncollection: { directory: /a, destination: { region: cn-hangzhou, access_key_id: i, \
             access_key_secret: s } }",
            "destinations: is missing: the inputs have nowhere to send to",
        ),
        ("collection: { direktory: /a }", "collection.direktory: is not a key; did you mean directory?"),
    ] {
        let found = lines(from_text(text, &[HOME])).join("\n");
        assert!(
            found.lines().any(|line| line.starts_with(&format!("configuration: {expected}"))),
            "{expected}\nis not in\n{found}"
        );
    }
}
