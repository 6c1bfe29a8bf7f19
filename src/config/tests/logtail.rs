//! A sidecar by Logtail's variables alone: what they say, what wins over them, and which one is blamed.

use super::*;

const USER: (&str, &str) = ("ALIYUN_LOGTAIL_USER_ID", "1234567890123456");
const GROUP: (&str, &str) = ("ALIYUN_LOGTAIL_USER_DEFINED_ID", "k8s-group-a, k8s-group-b");
const CONFIG: (&str, &str) =
    ("ALIYUN_LOGTAIL_CONFIG", "/nowhere/etc/ilogtail/conf/cn-hangzhou/ilogtail_config.json");
const KEY: (&str, &str) = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id");
const SECRET: (&str, &str) = ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hunter2");
pub(super) const SIDECAR: [(&str, &str); 6] = [HOME, USER, GROUP, CONFIG, KEY, SECRET];
const FILES: &str = "inputs: { file: { paths: /a } }\ndestinations: { c: { project: ppp, logstore: lll } }";

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = SIDECAR.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more).copied().collect()
}

fn plan(text: &str, more: &[(&str, &str)]) -> Plan {
    let env: Vec<_> = with(more).into_iter().filter(|(_, value)| *value != "-").collect();
    let plan = from_text(text, &env).unwrap_or_else(|errors| panic!("{errors}"));
    let printed = plan.effective();
    assert!(!printed.contains("hunter2"), "{printed}");
    let again = from_text(&printed.replace("***", "hunter2"), &[])
        .unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed, "what is printed needs no variables");
    plan
}

/// A `-` takes a variable away.
fn faults(text: &str, more: &[(&str, &str)]) -> String {
    let env: Vec<_> = with(more).into_iter().filter(|(_, value)| *value != "-").collect();
    lines(from_text(text, &env)).join("\n")
}

fn cloud(plan: &Plan, name: &str) -> (String, String, String, String) {
    let destination = plan.destinations.iter().find(|destination| destination.name == name).unwrap();
    let Target::Cloud(cloud) = &destination.target else { panic!() };
    let (project, logstore) = (destination.project.clone(), destination.logstore.clone());
    let id = cloud.credentials.fixed().map_or("chain", |key| key.id.as_str()).to_owned();
    (cloud.endpoint.to_string(), project, logstore, id)
}

#[test]
fn it_says_who_and_where() {
    let more = [
        ("ALIYUN_LOG_ENV_TAGS", "_pod_name_|_pod_ip_"),
        ("_pod_name_", "web-${x"),
        ("ALIYUN_LOGTAIL_WORKING_IP", "10.0.0.9"),
        ("working_hostname", "web"),
        ("send_request_concurrency", "20"),
        ("cpu_usage_limit", "0.4"),
    ];
    let plan = plan(FILES, &more);
    let agent = &plan.agent;
    assert_eq!(
        (&agent.user_ids[..], agent.user_defined_ids.len()),
        (&["1234567890123456".to_owned()][..], 2)
    );
    assert_eq!((agent.hostname.as_deref(), agent.source.as_deref()), (Some("web"), Some("10.0.0.9")));
    let tags =
        [("__user_defined_id__", "k8s-group-a,k8s-group-b"), ("_pod_ip_", ""), ("_pod_name_", "web-${x")];
    let tags: Vec<_> = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!((&agent.tags, &plan.destinations[0].tags), (&tags, &tags));
    assert_eq!(plan.destinations[0].in_flight, 20);
    assert_eq!(agent.ignored.len(), 1);
    assert_eq!(agent.ignored[0].0, "cpu_usage_limit");
    let names: Vec<&str> = plan.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["file"], "no forward input");
    let expected = ("https://cn-hangzhou-intranet.log.aliyuncs.com", "ppp", "lll", "id");
    let (endpoint, project, logstore, id) = cloud(&plan, "c");
    assert_eq!((endpoint.as_str(), project.as_str(), logstore.as_str(), id.as_str()), expected);
}

#[test]
fn the_region_comes_from_the_path_or_the_file() {
    let endpoint = |path: &str| cloud(&plan(FILES, &[(CONFIG.0, path)]), "c").0;
    for (directory, host) in [
        ("cn-shanghai-finance-1", "cn-shanghai-finance-1-intranet.log.aliyuncs.com"),
        ("us-west-1-internet", "us-west-1.log.aliyuncs.com"),
        ("eu-central-1-acceleration", "log-global.aliyuncs.com"),
    ] {
        let path = format!("/nowhere/{directory}/ilogtail_config.json");
        assert_eq!(endpoint(&path), format!("https://{host}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ilogtail_config.json");
    let path_text = path.to_str().unwrap();
    let file = r#"{"data_server_list":[{"cluster":"x","endpoint":"h.example"}],"working_ip":"10.1.1.1","mem_usage_limit":9}"#;
    std::fs::write(&path, file).unwrap();
    let of_file = plan(FILES, &[(CONFIG.0, path_text)]);
    assert_eq!(cloud(&of_file, "c").0, "https://h.example");
    assert_eq!(of_file.agent.source.as_deref(), Some("10.1.1.1"));
    assert_eq!(of_file.agent.ignored[0].0, "mem_usage_limit in the file of ALIYUN_LOGTAIL_CONFIG");
    std::fs::write(&path, "{ no").unwrap();
    let found = faults(FILES, &[(CONFIG.0, path_text)]);
    assert!(
        found.contains(&format!("ALIYUN_LOGTAIL_CONFIG: names {path_text}, which is no JSON:")),
        "{found}"
    );
    std::fs::write(&path, "[]").unwrap();
    assert!(faults(FILES, &[(CONFIG.0, path_text)]).contains("which is no object of JSON"));
    let found = faults(FILES, &[(CONFIG.0, "/etc/Hangzhou/x.json")]);
    assert!(
        found.contains("ALIYUN_LOGTAIL_CONFIG: names /etc/Hangzhou/x.json, which is not there and whose"),
        "{found}"
    );
}

#[test]
fn the_configuration_wins() {
    let text = "inputs: { file: { paths: /a } }\ndestinations: { c: { endpoint: 'http://h', project: ppp, logstore: lll, \
                access_key_id: own, access_key_secret: s, in_flight: 2 } }\nagent: { hostname: mine, tags: { a: b } }";
    let more = [
        ("send_request_concurrency", "9"),
        ("working_hostname", "x"),
        ("ALIYUN_LOG_ENV_TAGS", "a"),
        ("a", "c"),
    ];
    let plan = plan(text, &more);
    assert_eq!(cloud(&plan, "c"), ("http://h".into(), "ppp".into(), "lll".into(), "own".into()));
    assert_eq!((plan.agent.hostname.as_deref(), plan.destinations[0].in_flight), (Some("mine"), 2));
    assert!(plan.agent.tags.contains(&("a".to_owned(), "b".to_owned())));
    let env = with(&[("aliyun_logs_a", "/b"), ("SLUICEGATE__AGENT__SOURCE", "s")]);
    let plan = from_text(FILES, &env).unwrap();
    assert_eq!(
        (plan.inputs.len(), plan.agent.source.as_deref()),
        (1, Some("s")),
        "files of the configuration win"
    );
}

#[test]
fn variables_of_the_container_say_what_to_collect() {
    let more = [
        ("aliyun_logs_web", "/var/log/web/*.log"),
        ("aliyun_logs_web_project", "proj-a"),
        ("aliyun_logs_web_tags", "team=x,bare"),
        ("aliyun_logs_web_ttl", "30"),
        ("loong_logs_app", "/app/**/a.log"),
        ("aliyun_logs_app", "/old"),
        ("aliyun_logs_app_logstore", "app-store"),
        ("aliyun_logs_app_jsonfile", "true"),
        ("ALICLOUD_LOG_DEFAULT_PROJECT", "proj-b"),
    ];
    let plan = plan("", &more);
    let [app, web] = plan.inputs.as_slice() else { panic!() };
    assert_eq!((app.name.as_str(), web.name.as_str()), ("env-app", "env-web"));
    let (InputKind::File(app), InputKind::File(web)) = (&app.kind, &web.kind) else { panic!() };
    assert_eq!(
        (app.paths[0].text(), app.key.as_str(), app.processors.len()),
        ("/app/**/a.log", "content", 1)
    );
    assert_eq!(
        web.tags,
        [("bare", "bare"), ("team", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let [to_app, to_web] = plan.routes.as_slice() else { panic!() };
    assert!(to_app.pattern.matches(b"file.env-app") && to_web.pattern.matches(b"file.env-web"));
    let place = |route: &RoutePlan| {
        let logstore = route.logstore.as_ref().unwrap().as_constant().unwrap().to_owned();
        (plan.destinations[route.destination].project.clone(), logstore)
    };
    assert_eq!(place(to_app), ("proj-b".to_owned(), "app-store".to_owned()));
    assert_eq!(place(to_web), ("proj-a".to_owned(), "web".to_owned()));
    assert_eq!(plan.agent.ignored[0].0, "aliyun_logs_web_ttl");
}

#[test]
fn the_embedded_service_is_a_setting_and_no_fallback() {
    let none = [(KEY.0, "-"), (SECRET.0, "-"), ("aliyun_logs_web", "/a")];
    let on = "log_service: { enabled: true }";
    let embedded = plan(on, &none);
    let [local] = embedded.destinations.as_slice() else { panic!() };
    assert!(matches!(local.target, Target::Embedded));
    assert_eq!(embedded.routes[0].logstore.as_ref().unwrap().as_constant(), Some("web"));
}

#[test]
fn without_keys_they_are_looked_for() {
    let none = [(KEY.0, "-"), (SECRET.0, "-"), ("aliyun_logs_web", "/a"), ("aliyun_logs_web_project", "ppp")];
    let of = |text: &str, more: &[(&str, &str)]| {
        let plan = plan(text, more);
        let [destination] = plan.destinations.as_slice() else { panic!() };
        let Target::Cloud(cloud) = &destination.target else { panic!() };
        CloudPlan::clone(cloud)
    };
    let found = of("", &none);
    assert!(matches!(found.credentials, CredentialsPlan::Chain(_)));
    assert_eq!(found.region.as_deref(), Some("cn-hangzhou"));
    let typed = of(&FILES.replace("project", "credentials: ecs_ram_role, project"), &[]);
    assert!(matches!(typed.credentials, CredentialsPlan::EcsRole(_)), "the configuration wins");
    let path = (CONFIG.0, "/nowhere/eu-central-1-acceleration/ilogtail_config.json");
    let global = of(FILES, &[path]);
    assert_eq!(
        (global.endpoint.host.as_str(), global.region.as_deref()),
        ("log-global.aliyuncs.com", Some("eu-central-1"))
    );
    let own = of(&FILES.replace("project", "region: us-west-1, project"), &[]);
    assert_eq!(own.endpoint.host, "us-west-1.log.aliyuncs.com");
}

#[test]
fn machine_groups_are_asked_with_what_the_variables_say() {
    let collection = |text: &str, more: &[(&str, &str)]| {
        let plan = plan(text, more);
        let collection = plan.collection.clone().unwrap();
        let Target::Cloud(cloud) = collection.destination.target.clone() else { panic!() };
        (plan, collection, cloud)
    };
    // Nothing else is said.
    let (alone, asked, cloud) = collection("", &[("ALIYUN_LOGTAIL_SYS_CONF_DIR", "/etc/ilogtail/")]);
    assert!(alone.inputs.is_empty() && alone.destinations.is_empty() && alone.log_service.is_none());
    assert_eq!(cloud.endpoint.to_string(), "https://cn-hangzhou-intranet.log.aliyuncs.com");
    assert_eq!(cloud.credentials.fixed().unwrap().id, "id");
    assert!(asked.machine_groups && asked.destination.project.is_empty());
    assert_eq!(asked.user_defined_id_file.as_deref(), Some(Path::new("/etc/ilogtail/user_defined_id")));
    assert!(asked.destination.tags.iter().any(|(key, _)| key == "__user_defined_id__"));
    let (_, asked, _) = collection("", &[("ALICLOUD_LOG_DEFAULT_PROJECT", "proj-a")]);
    assert_eq!(asked.destination.project, "proj-a");
    // The place and the keys of the one destination, and not its logstore.
    let own = "inputs: { file: { paths: /a } }\ndestinations: { c: { endpoint: 'http://h', project: ppp, logstore: lll, \
               access_key_id: own, access_key_secret: hunter2, in_flight: 2 } }";
    let (_, asked, cloud) = collection(own, &[]);
    assert_eq!(
        (cloud.endpoint.to_string().as_str(), cloud.credentials.fixed().unwrap().id.as_str()),
        ("http://h", "own")
    );
    assert_eq!((asked.destination.project.as_str(), asked.destination.logstore.as_str()), ("", ""));
    let off = format!("{FILES}\ncollection: {{ machine_groups: false, directory: /crd }}");
    assert!(!collection(&off, &[]).1.machine_groups);
    // The embedded service stays the place when it is said to be.
    let plan = plan("log_service: { enabled: true }", &[(KEY.0, "-"), (SECRET.0, "-")]);
    assert!(matches!(plan.collection.unwrap().destination.target, Target::Embedded));
    // What leads to a key is as good as one.
    let role = [(KEY.0, "-"), (SECRET.0, "-"), ("ALIBABA_CLOUD_ECS_METADATA", "role")];
    assert!(matches!(collection("", &role).2.credentials, CredentialsPlan::Chain(_)));
}

#[test]
fn each_is_blamed_by_name() {
    for (text, more, expected) in [
        (
            FILES,
            &[(USER.0, "-")][..],
            "ALIYUN_LOGTAIL_USER_ID: is not set, and ALIYUN_LOGTAIL_USER_DEFINED_ID and ALIYUN_LOGTAIL_CONFIG are; a sidecar",
        ),
        (
            FILES,
            &[(USER.0, "-"), (GROUP.0, "-")],
            "ALIYUN_LOGTAIL_USER_DEFINED_ID: is not set, and ALIYUN_LOGTAIL_CONFIG",
        ),
        (
            FILES,
            &[(USER.0, "me")],
            "ALIYUN_LOGTAIL_USER_ID: agent.user_ids[0]: `me` is no id of a main account",
        ),
        (
            FILES,
            &[(GROUP.0, "a,,b")],
            "ALIYUN_LOGTAIL_USER_DEFINED_ID: agent.user_defined_ids[1]: `` is empty",
        ),
        (FILES, &[(CONFIG.0, "")], "ALIYUN_LOGTAIL_CONFIG: is empty; write /etc/ilogtail/conf/cn-hangzhou/"),
        (
            FILES,
            &[(SECRET.0, "-")],
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET: is not set, and ALIBABA_CLOUD_ACCESS_KEY_ID is",
        ),
        (
            FILES,
            &[("send_request_concurrency", "many")],
            "send_request_concurrency: `many` is no number of requests",
        ),
        (FILES, &[("ALIYUN_LOG_ENV_TAGS", "a||b")], "ALIYUN_LOG_ENV_TAGS: has an empty name"),
        (
            FILES,
            &[("ALIYUN_LOG_FILE_TAGS", "/nowhere/t")],
            "ALIYUN_LOG_FILE_TAGS: names /nowhere/t, which is not there",
        ),
        (
            "",
            &[(KEY.0, "-"), (SECRET.0, "-")],
            "ALIYUN_LOGTAIL_USER_DEFINED_ID: names machine groups, and without a key nobody tells what they collect",
        ),
        (
            "",
            &[("aliyun_logs_web", "stdout")],
            "aliyun_logs_web: is `stdout`, and a sidecar sees files alone",
        ),
        (
            "",
            &[("aliyun_logs_web", "/a")],
            "aliyun_logs_web: names no project for the key web; set aliyun_logs_web_project or",
        ),
        (
            "",
            &[("aliyun_logs_web_project", "ppp")],
            "aliyun_logs_web_project: says more of aliyun_logs_web, which",
        ),
        (
            "",
            &[("aliyun_logs_web_colour", "red")],
            "aliyun_logs_web_colour: ends in _colour, which is none of _project",
        ),
        (
            "",
            &[("aliyun_logs_web", "/a"), ("aliyun_logs_web_project", "P")],
            "aliyun_logs_web_project: `P` is no project name",
        ),
        (
            "",
            &[("aliyun_logs_w", "/a"), ("aliyun_logs_w_project", "ppp")],
            "aliyun_logs_w: gives the logstore `w`, and Log Service takes 3 to 63",
        ),
        (
            "",
            &[("aliyun_logs_web", "a.log"), ("aliyun_logs_web_project", "ppp")],
            "aliyun_logs_web: `a.log` is not an absolute path",
        ),
    ] {
        let found = faults(text, more);
        assert!(
            found.lines().any(|line| line.starts_with(expected)),
            "{more:?}\n{expected}\nis not in\n{found}"
        );
    }
}

#[test]
fn without_identity_only_marks_count() {
    let env =
        [HOME, ("ALIYUN_LOG_ENV_TAGS", "HOME"), ("aliyun_logs_web", "/a"), KEY, ("cpu_usage_limit", "1")];
    let plan = from_text("", &env).unwrap();
    assert_eq!(plan.agent.tags, [("HOME".to_owned(), "/home/u".to_owned())]);
    assert_eq!((plan.inputs[0].name.as_str(), plan.agent.ignored.len()), ("forward", 0));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tags");
    std::fs::write(&path, r#"{"a":"${b","c":1}"#).unwrap();
    let file = ("ALIYUN_LOG_FILE_TAGS", path.to_str().unwrap());
    let found = lines(from_text("", &[HOME, file])).join("\n");
    assert!(found.starts_with("ALIYUN_LOG_FILE_TAGS: names ") && found.contains("`c` is no text"), "{found}");
    std::fs::write(&path, r#"{"a":"${b"}"#).unwrap();
    let plan = from_text("", &[HOME, file]).unwrap();
    assert_eq!(plan.destinations[0].tags, [("a".to_owned(), "${b".to_owned())]);
}
