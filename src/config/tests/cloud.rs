//! Destinations in the cloud: where they are, how they are reached, and where their keys come from.

use super::*;

fn cloud(keys: &str, env: &[(&str, &str)]) -> CloudPlan {
    let plan = plan_of(keys, env);
    let Target::Cloud(cloud) = &plan.destinations[0].target else { panic!() };
    CloudPlan::clone(cloud)
}

fn plan_of(keys: &str, env: &[(&str, &str)]) -> Plan {
    let text = format!("destinations: {{ c: {{ project: ppp, logstore: lll, {keys} }} }}");
    let plan = from_text(&text, &with_home(env)).unwrap_or_else(|errors| panic!("{errors}"));
    let printed = plan.effective();
    assert!(!printed.contains("hunter2"), "{printed}");
    let secrets = printed.replace("proxy: \"***\"", "proxy: \"http://user:hunter2@p.example:3128\"");
    let again = from_text(&secrets.replace("***", "hunter2"), &[HOME])
        .unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed);
    plan
}

fn with_home<'a>(env: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    env.iter().copied().chain([HOME]).collect()
}

fn fault(keys: &str, env: &[(&str, &str)]) -> String {
    let text = format!("destinations: {{ c: {{ project: ppp, logstore: lll, {keys} }} }}");
    lines(from_text(&text, &with_home(env))).join("\n")
}

const KEY: &str = "access_key_id: i, access_key_secret: hunter2";

#[test]
fn places() {
    let place = |keys: &str| {
        let cloud = cloud(&format!("{keys}, {KEY}"), &[]);
        (cloud.endpoint.to_string(), cloud.region)
    };
    for (keys, endpoint, region) in [
        ("region: cn-hangzhou", "https://cn-hangzhou.log.aliyuncs.com", Some("cn-hangzhou")),
        (
            "region: cn-hangzhou, network: internal",
            "https://cn-hangzhou-intranet.log.aliyuncs.com",
            Some("cn-hangzhou"),
        ),
        ("region: eu-west-1, network: acceleration", "https://log-global.aliyuncs.com", Some("eu-west-1")),
        (
            "endpoint: cn-beijing-vpc.log.aliyuncs.com",
            "https://cn-beijing-vpc.log.aliyuncs.com",
            Some("cn-beijing"),
        ),
        ("endpoint: 'http://log-global.aliyuncs.com'", "http://log-global.aliyuncs.com", None),
        ("endpoint: 'http://[::1]:9', region: local", "http://[::1]:9", Some("local")),
    ] {
        assert_eq!(place(keys), (endpoint.to_owned(), region.map(str::to_owned)), "{keys}");
    }
}

#[test]
fn ways_there() {
    let keys = |more: &str| format!("endpoint: 'http://h.example', {KEY}, {more}");
    let plan = cloud(&keys("proxy: 'http://user:hunter2@p.example:3128', tls: { ca_file: /ca.pem }"), &[]);
    assert!(!format!("{plan:?}").contains("hunter2"));
    assert!(matches!(&plan.transport.proxy, ProxyPlan::Url(url) if url.expose().contains("user:hunter2@")));
    assert_eq!(plan.transport.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    let printed = plan_of(&keys("proxy: 'http://p.example:3128'"), &[]).effective();
    assert!(printed.contains("proxy: \"http://p.example:3128\""), "{printed}");
    assert_eq!(cloud(&keys("proxy: none"), &[]).transport.proxy, ProxyPlan::None);
    assert_eq!(cloud(&keys("signature: v1"), &[]).signature, SignatureChoice::V1);
    for (more, expected) in [
        (
            "proxy: 'socks5://user:hunter2@p:1'",
            "destinations.c.proxy: is no proxy; write http://host:port, http://user",
        ),
        ("proxy: 'http://hunter2@p:1'", "destinations.c.proxy: is no proxy"),
        ("proxy: 'http://p:1', connect: '127.0.0.1:1'", "destinations.c.proxy: and `connect` both say where"),
        ("signature: v4", "destinations.c.signature: v4 signs for a region, and this endpoint names none"),
        ("signature: v3", "destinations.c.signature: `v3` is not one of auto, v1, v4"),
        ("network: internal", "destinations.c.network: says how a region is reached, and the endpoint"),
        (
            "region: Hangzhou",
            "destinations.c.region: `Hangzhou` is no region; write its id, such as cn-hangzhou",
        ),
        ("tls: { ca_file: ca.pem }", "destinations.c.tls.ca_file: `ca.pem` is not an absolute path"),
        ("tls: { ca_fil: /ca.pem }", "destinations.c.tls.ca_fil: is not a key; did you mean ca_file?"),
    ] {
        let found = fault(&keys(more), &[]);
        assert!(found.starts_with(&format!("configuration: {expected}")), "{more}\n{found}");
        assert!(!found.contains("hunter2") && !found.contains('\n'), "{found}");
    }
    let found = fault(&format!("endpoint: 'http://127.0.0.1:1', connect: '127.0.0.1:2', {KEY}"), &[]);
    assert!(
        found.contains("c.connect: stands for looking up a name, and the endpoint is an address"),
        "{found}"
    );
    assert!(
        fault(KEY, &[])
            .contains("c.endpoint: is missing; write https://cn-hangzhou.log.aliyuncs.com, or region")
    );
}

#[test]
fn sources_of_keys() {
    let keys = |credentials: &str, env: &[(&str, &str)]| {
        cloud(&format!("region: cn-hangzhou, credentials: {credentials}"), env).credentials
    };
    let env = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "i"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hunter2")];
    assert_eq!(keys("environment", &env).fixed().unwrap().id, "i");
    let CredentialsPlan::File { path, profile } = keys("{ file: /run/keys, profile: p }", &[]) else {
        panic!()
    };
    assert_eq!((path.as_path(), profile.as_deref()), (Path::new("/run/keys"), Some("p")));
    let CredentialsPlan::EcsRole(role) = keys("ecs_ram_role", &[("ALIBABA_CLOUD_ECS_METADATA", "node")])
    else {
        panic!()
    };
    assert_eq!((role.role.as_deref(), role.address.as_str(), role.allow_v1), (Some("node"), METADATA, true));
    let text = "{ ecs_ram_role: { role: r, address: 'http://127.0.0.1:1/', allow_v1: false } }";
    let CredentialsPlan::EcsRole(role) = keys(text, &[]) else { panic!() };
    assert_eq!(
        (role.role.as_deref(), role.address.as_str(), role.allow_v1),
        (Some("r"), "http://127.0.0.1:1", false)
    );
    assert!(
        matches!(keys("{ ecs_ram_role: r }", &[]), CredentialsPlan::EcsRole(plan) if plan.role.is_some())
    );
    let rrsa = [
        ("ALIBABA_CLOUD_ROLE_ARN", "arn"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "provider"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/token"),
        ("ALIBABA_CLOUD_STS_REGION", "cn-beijing"),
        ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true"),
    ];
    for text in ["oidc", "{ oidc: { session_name: sluicegate } }"] {
        let CredentialsPlan::Oidc(oidc) = keys(text, &rrsa) else { panic!() };
        assert_eq!((oidc.role_arn.as_str(), oidc.provider_arn.as_str()), ("arn", "provider"));
        assert_eq!(
            (oidc.session.sts.as_str(), oidc.session.name.as_str()),
            ("https://sts-vpc.cn-beijing.aliyuncs.com", SESSION_NAME)
        );
    }
    let text = "{ assume_role: { role_arn: a, external_id: x, duration: 15m, credentials: { access_key_id: i, access_key_secret: hunter2 } } }";
    let CredentialsPlan::AssumeRole(role) = keys(text, &[]) else { panic!() };
    assert_eq!((role.session.duration.as_secs(), role.with.fixed().unwrap().id.as_str()), (900, "i"));
    let CredentialsPlan::FirstOf(list) =
        keys("[{ file: /a }, { uri: 'http://127.0.0.1:1/k' }, ecs_ram_role]", &[])
    else {
        panic!()
    };
    assert_eq!(list.len(), 3);
    assert!(!format!("{list:?}").contains("127.0.0.1"), "who knows the URL has the key");
}

#[test]
fn the_chain_is_the_vendors_and_says_what_is_missing() {
    let chain = |env: &[(&str, &str)]| match cloud("region: cn-hangzhou, credentials: chain", env).credentials
    {
        CredentialsPlan::Chain(sources) => sources,
        other => panic!("{other:?}"),
    };
    let [environment, oidc, command_line, shared, ecs, uri] = <[_; 6]>::try_from(chain(&[])).unwrap();
    assert!(
        matches!(environment, CredentialsPlan::Missing { why, .. } if why.contains("ALIBABA_CLOUD_ACCESS_KEY_ID"))
    );
    assert!(
        matches!(oidc, CredentialsPlan::Missing { why, .. } if why == "ALIBABA_CLOUD_ROLE_ARN is not set")
    );
    assert!(
        matches!(command_line, CredentialsPlan::File { path, .. } if path == Path::new("/home/u/.aliyun/config.json"))
    );
    assert!(
        matches!(shared, CredentialsPlan::File { path, .. } if path == Path::new("/home/u/.alibabacloud/credentials"))
    );
    assert!(matches!(ecs, CredentialsPlan::EcsRole(_)));
    assert!(matches!(uri, CredentialsPlan::Missing { .. }));
    let set = [
        ("ALICLOUD_LOG_ACCESS_KEY_ID", "i"),
        ("ALICLOUD_LOG_ACCESS_KEY_SECRET", "hunter2"),
        ("ALICLOUD_LOG_STS_TOKEN", "hunter2"),
        ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true"),
        ("ALIBABA_CLOUD_CREDENTIALS_FILE", "/c"),
        ("ALIBABA_CLOUD_PROFILE", "p"),
        ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "TRUE"),
        ("ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1:1/k"),
    ];
    let [environment, _, command_line, shared, ecs, uri] = <[_; 6]>::try_from(chain(&set)).unwrap();
    assert!(environment.fixed().unwrap().security_token.is_some());
    assert!(matches!(command_line, CredentialsPlan::Missing { .. }));
    assert!(matches!(shared, CredentialsPlan::File { path, profile: Some(_) } if path == Path::new("/c")));
    assert!(matches!(ecs, CredentialsPlan::Missing { .. }) && matches!(uri, CredentialsPlan::Uri(_)));
}

#[test]
fn faults_of_sources() {
    for (credentials, expected) in [
        (
            "vault",
            "credentials: `vault` is no source of keys; write chain, environment, ecs_ram_role or oidc, or one of",
        ),
        (
            "environment",
            "credentials: `environment` cannot be used: ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACC",
        ),
        ("oidc", "credentials: `oidc` cannot be used: ALIBABA_CLOUD_ROLE_ARN is not set"),
        ("[]", "credentials: is an empty list; write sources of keys"),
        (
            "{}",
            "credentials: names no source of keys; write one of file, ecs_ram_role, oidc, assume_role, uri",
        ),
        (
            "{ file: /a, uri: 'http://h' }",
            "credentials: names both file and uri; write a list to try one after",
        ),
        ("{ fil: /a }", "credentials: names no source of keys"),
        ("{ file: a }", "credentials.file: `a` is not an absolute path"),
        ("{ uri: h }", "credentials.uri: is no URL; write http://host:port/path"),
        (
            "{ oidc: { role_arn: a } }",
            "credentials.oidc.provider_arn: is missing; write it, or set ALIBABA_CLOUD_OIDC",
        ),
        (
            "{ assume_role: { role_arn: a } }",
            "credentials.assume_role.credentials: is missing; say with which keys",
        ),
        (
            "{ assume_role: { role_arn: a, duration: 1m, credentials: chain } }",
            "credentials.assume_role.duration: is 1m; it must lie between 15m and 12h",
        ),
        ("[[[[[chain]]]]]", "credentials[0][0][0][0]: is a source inside too many others"),
        ("chain, access_key_id: i", "access_key_id: is a second place for keys beside `credentials`"),
        ("1", "credentials: is one value and must be a map of keys"),
    ] {
        let found = fault(&format!("region: cn-hangzhou, credentials: {credentials}"), &[]);
        let expected = format!("configuration: destinations.c.{expected}");
        assert!(found.lines().any(|line| line.starts_with(&expected)), "{credentials}\n{found}");
    }
    let found = fault("region: cn-hangzhou", &[]);
    assert!(found.contains("access_key_id: is missing; write access_key_id: ${env:ALIBABA_CLOUD_ACCESS_KEY_ID}, or credentials: chain"), "{found}");
    assert!(
        lines(from_text("destinations: { local: { credentials: chain } }", &[HOME]))[0]
            .contains("`local` is the")
    );
}
