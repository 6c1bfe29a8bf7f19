//! The forward input's keys: defaults, what each gives, and every combination that is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::signal::Signal;

fn loaded(keys: &str, env: &[(&str, &str)]) -> Result<Plan, ConfigErrors> {
    let env: Vec<_> = std::iter::once(HOME).chain(env.iter().copied()).collect();
    from_text(&format!("inputs: {{ forward: {{ {keys} }} }}"), &env)
}

fn forward(keys: &str) -> ForwardPlan {
    let plan = loaded(keys, &[]).unwrap_or_else(|errors| panic!("{keys}\n{errors}"));
    let InputKind::Forward(forward) = plan.inputs[0].kind.clone();
    let printed = plan.effective();
    if !printed.contains("***") {
        let again = from_text(&printed, &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
        assert_eq!(again.inputs, plan.inputs, "{printed}");
    }
    forward
}

fn security(keys: &str) -> SecurityPlan {
    forward(&format!("security: {{ {keys} }}")).security.unwrap()
}

fn tls(keys: &str) -> TlsPlan {
    forward(&format!("tls: {{ certificate: /c, key: /k, {keys} }}")).tls.unwrap()
}

/// Keys with the one fault they must give.
fn refused(section: &str, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (keys, expected) in cases {
        let text = if section.is_empty() { (*keys).to_owned() } else { format!("{section}: {{ {keys} }}") };
        let path = if section.is_empty() { String::new() } else { format!("{section}.") };
        let expected = format!("configuration: inputs.forward.{path}{expected}");
        let found = lines(loaded(&text, &[])).join("\n");
        if !found.starts_with(&expected) || found.contains('\n') {
            wrong.push(format!("{text}\n  {expected}\n  is not\n  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn without_keys_it_is_open_to_this_machine_alone_and_keeps_everything() {
    let plan = forward("");
    assert_eq!(plan.unix, UnixPlan { mode: 0o660, user: None, group: None });
    assert_eq!((plan.tls, plan.security, plan.tag), (None, None, TagPlan::default()));
    assert!(plan.udp_heartbeat && plan.skip_invalid_event && plan.proxy_protocol.is_empty());
    assert!(!plan.resolve_hostname && !plan.deny_keepalive);
    assert_eq!(plan.metadata, Metadata::Nested);
    assert_eq!((plan.source_address_key, plan.source_hostname_key, plan.client_name_key), (None, None, None));
    assert_eq!(
        (plan.chunk_size_limit, plan.chunk_size_warn_limit, plan.max_connections_per_peer),
        (None, None, None)
    );
    assert_eq!((plan.idle_timeout, plan.linger_timeout), (None, Duration::from_secs(1)));
    assert_eq!(
        (plan.handshake_timeout, plan.full_timeout),
        (Duration::from_secs(10), Duration::from_secs(60))
    );
    let plan = from_text("", &[HOME]).unwrap();
    assert_eq!(plan.duplicates, DuplicatesPlan { window: Duration::from_secs(600), max_bytes: 16 << 20 });
    assert_eq!(plan.destinations[0].logstore_of(Signal::Traces), "default-traces");
    assert!(plan.secret_files.is_empty());
}

#[test]
fn sockets_of_both_kinds() {
    let plan = forward(
        "listen: [ \"[::1]:1\", 'unix:/run/a b,\"c\".sock' ], unix_mode: \"777\", unix_owner: ':adm', idle_timeout: 1s",
    );
    let Listen::Unix(path) = &plan.listen[1] else { panic!() };
    assert_eq!(path, Path::new("/run/a b,\"c\".sock"));
    assert_eq!(plan.unix, UnixPlan { mode: 0o777, user: None, group: Some("adm".to_owned()) });
    assert_eq!(plan.idle_timeout, Some(Duration::from_secs(1)));
    assert!(loaded("idle_timeout: '${env:IDLE}'", &[("IDLE", "off")]).is_ok());
    assert_eq!(forward("listen: unix:/s").listen, [Listen::Unix(PathBuf::from("/s"))]);
    assert_eq!(forward("listen: '127.0.0.1:1, unix:/s'").listen.len(), 2);
    assert_eq!(forward(&format!("listen: unix:/{}", "s".repeat(106))).listen.len(), 1);
    let owner = |keys| (forward(keys).unix.user, forward(keys).unix.group);
    assert_eq!(owner("unix_owner: fluent"), (Some("fluent".to_owned()), None));
    assert_eq!(owner("unix_owner: \"0:0\""), (Some("0".to_owned()), Some("0".to_owned())));
    refused(
        "",
        &[
            ("listen: unix:s.sock", "listen: `unix:s.sock` is no path of a socket; write unix:/run/"),
            ("listen: 'unix:/'", "listen: `unix:/` is no path of a socket"),
            ("listen: [ a:1, b ]", "listen[1]: `b` has no port"),
            (
                "listen: []",
                "listen: is an empty list; write at least one address, as host:port or unix:/path",
            ),
            ("listen: [ unix:/s, unix:/s ]", "listen: `unix:/s` is taken by inputs.forward.listen"),
            ("listen: [ unix:/a/./s, 'unix:/a//s' ]", "listen: `unix:/a//s` is taken by"),
            ("unix_mode: \"0788\"", "unix_mode: `0788` is no mode of a file; write \"0660\""),
            ("unix_mode: \"1777\"", "unix_mode: `1777` is no mode"),
            ("unix_mode: \"+7\"", "unix_mode: `+7` is no mode"),
            ("unix_mode: 0660", "unix_mode: is a number to YAML where text belongs; put it in quotes"),
            ("unix_owner: 'a:'", "unix_owner: `a:` is no owner; write user, user:group or :group"),
            ("unix_owner: ':'", "unix_owner: `:` is no owner"),
            ("unix_owner: 'a:b:c'", "unix_owner: `a:b:c` is no owner"),
            (
                "proxy_protocol: [ 10.0.0.0/33 ]",
                "proxy_protocol[0]: `10.0.0.0/33` is no network; write 10.0.0.0/8",
            ),
        ],
    );
    let long = format!("listen: unix:/{}", "s".repeat(107));
    let found = lines(loaded(&long, &[])).join("\n");
    assert!(found.ends_with("has a path of 108 bytes; the address of a Unix socket holds 107"), "{found}");
    let two = "inputs: { forward: { listen: unix:/s }, two: { type: forward, listen: unix:/s } }";
    assert_eq!(
        lines(from_text(two, &[HOME])),
        [
            "configuration: inputs.two.listen: `unix:/s` is taken by inputs.forward.listen; give each its own path"
        ]
    );
}

#[test]
fn proxies_are_networks_or_single_addresses() {
    assert_eq!(forward("proxy_protocol: 10.1.2.3/8").proxy_protocol[0].to_string(), "10.0.0.0/8");
    assert_eq!(forward("proxy_protocol: '10.0.0.1, ::1'").proxy_protocol.len(), 2);
    assert!(forward("proxy_protocol: ''").proxy_protocol.is_empty());
}

#[test]
fn tls_asks_for_certificates_when_it_knows_who_signs_them() {
    let plain = tls("");
    assert_eq!(
        (plain.min_version, plain.client_auth, plain.allow_plain),
        (TlsVersion::V1_2, ClientAuth::None, false)
    );
    assert_eq!(tls("client_ca: /ca").client_auth, ClientAuth::Required);
    assert_eq!(tls("client_ca: /ca, client_auth: none").client_auth, ClientAuth::None);
    let all = tls("client_ca: /ca, client_auth: optional, client_names: [ 'a b', '*.c' ], allow_plain: true");
    assert_eq!((all.client_auth, all.client_names.len(), all.allow_plain), (ClientAuth::Optional, 2, true));
    assert_eq!(tls("min_version: '1.3'").min_version, TlsVersion::V1_3);
    let relative = forward("tls: { certificate: c.pem, key: ./k.pem }").tls.unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!((relative.certificate, relative.key), (here.join("c.pem"), here.join("k.pem")));
}

#[test]
fn tls_that_is_half_configured_is_refused() {
    refused(
        "tls",
        &[
            ("certificate: /c", "key: is missing; write the path of a PEM file"),
            ("key: /k", "certificate: is missing; write the path of a PEM file"),
            ("certificate: '', key: /k", "certificate: `` is no path of a file"),
            (
                "certificate: /c, key: /k, min_version: 1.3",
                "min_version: is a number to YAML; put it in quotes, as one of 1.2, 1.3",
            ),
            ("certificate: /c, key: /k, min_version: '1.1'", "min_version: `1.1` is not one of 1.2, 1.3"),
            (
                "certificate: /c, key: /k, client_auth: required",
                "client_auth: needs client_ca: the authority that signs",
            ),
            (
                "certificate: /c, key: /k, client_auth: optional, client_names: a",
                "client_auth: needs client_ca",
            ),
            ("certificate: /c, key: /k, client_ca: 1", "client_ca: is a number to YAML"),
            (
                "certificate: /c, key: /k, client_names: a",
                "client_names: needs clients' certificates; set client_ca",
            ),
            (
                "certificate: /c, key: /k, client_ca: /a, client_auth: none, client_names: a",
                "client_names: needs clients'",
            ),
            ("certificate: /c, key: /k, client_ca: /a, client_names: []", "client_names: is an empty list"),
            (
                "certificate: /c, key: /k, client_ca: /a, client_names: [ 'a.*' ]",
                "client_names[0]: `a.*` is no name of",
            ),
            (
                "certificate: /c, key: /k, client_ca: /a, allow_plain: true",
                "allow_plain: lets peers in without a certificate",
            ),
            (
                "certificate: /c, key: /k, ca: /a",
                "ca: is not a key; there are certificate, key, min_version, client_ca",
            ),
        ],
    );
    let found = lines(loaded("tls: {}", &[]));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn keys_users_and_clients() {
    let simple = security("shared_key: s");
    assert_eq!(
        (simple.shared_key.expose(), &simple.users, simple.allow_anonymous_source),
        ("s", &None, true)
    );
    let empty = security("shared_key: '', allow_empty_shared_key: true");
    assert_eq!(empty.shared_key.expose(), "");
    let full = security(
        "self_hostname: me, shared_key: s, user_auth: true, users: [ { username: a, password: p }, { username: b, password: q } ], \
         allow_anonymous_source: false, clients: [ { network: 10.0.0.0/8, users: [ a ] }, { host: h, shared_key: t }, \
         { host: 10.0.0.9 } ]",
    );
    let users = full.users.unwrap();
    assert_eq!((users[1].username.as_str(), users[1].password.expose()), ("b", "q"));
    let [net, host, address] = full.clients.as_slice() else { panic!() };
    assert_eq!((net.shared_key.as_ref(), net.users.as_slice()), (None, ["a".to_owned()].as_slice()));
    assert_eq!(host.source, ClientSource::Host("h".to_owned()));
    assert_eq!(host.shared_key.as_ref().unwrap().expose(), "t");
    let ClientSource::Network(address) = address.source else { panic!() };
    assert!(address.contains("10.0.0.9".parse().unwrap()) && !address.contains("10.0.0.8".parse().unwrap()));
    // Nobody needs the common key.
    let own = security("allow_anonymous_source: false, clients: [ { host: h, shared_key: t } ]");
    assert_eq!(own.shared_key.expose(), "");
    // As printed, with an empty key of a client and no common one.
    security(
        "allow_empty_shared_key: true, allow_anonymous_source: false, clients: [ { host: h, shared_key: '' } ]",
    );
    // Users that are there and empty are none.
    assert_eq!(security("shared_key: s, user_auth: false, users: []").users, None);
}

#[test]
fn security_that_is_half_configured_is_refused() {
    let long = "x".repeat(256);
    let long_key = format!("shared_key: {long}");
    let long_name = format!("shared_key: s, self_hostname: {long}");
    let long_name_fault = format!("self_hostname: `{long}` is longer than 255 bytes");
    let long_user = format!("shared_key: s, user_auth: true, users: [ {{ username: {long}, password: p }} ]");
    let long_user_fault = format!("users[0].username: `{long}` is longer than 255 bytes");
    let long_password =
        format!("shared_key: s, user_auth: true, users: [ {{ username: a, password: {long} }} ]");
    let user = "user_auth: true, users: [ { username: alice, password: p } ]";
    let unknown = format!("shared_key: s, {user}, clients: [ {{ host: h, users: [ alcie ] }} ]");
    refused(
        "security",
        &[
            (
                "self_hostname: a",
                "shared_key: is missing; write one, or give every client its own and set allow_anonymous",
            ),
            ("allow_empty_shared_key: true", "shared_key: is missing; write shared_key: \"\", or"),
            ("clients: [ { host: h, shared_key: s } ]", "shared_key: is missing"),
            ("allow_anonymous_source: false, clients: [ { host: h } ]", "shared_key: is missing"),
            ("shared_key: ''", "shared_key: is empty; write a key, or set allow_empty_shared_key: true"),
            ("shared_key: 12", "shared_key: is a number to YAML"),
            ("shared_key: '***'", "shared_key: is *** as `check --print` hides it"),
            (
                "shared_key: s, clients: [ { host: h, shared_key: '' } ]",
                "clients[0].shared_key: is empty; write a key",
            ),
            ("shared_key: s, user_auth: true", "user_auth: is true and there are no users; write users"),
            ("shared_key: s, user_auth: true, users: []", "user_auth: is true and there are no users"),
            (
                "shared_key: s, users: [ { username: a, password: p } ]",
                "users: are asked for nothing as it is; set user_auth: true",
            ),
            (
                "shared_key: s, user_auth: false, users: [ { username: a, password: p } ]",
                "users: are asked for nothing",
            ),
            (
                "shared_key: s, user_auth: maybe, users: [ { username: a, password: p } ]",
                "user_auth: `maybe` is not one of",
            ),
            (
                "shared_key: s, user_auth: true, users: [ { username: a } ]",
                "users[0].password: is missing; write the user's password",
            ),
            (
                "shared_key: s, user_auth: true, users: [ { password: a } ]",
                "users[0].username: is missing; write the user's name",
            ),
            (
                "shared_key: s, user_auth: true, users: [ { username: a, password: '' } ]",
                "users[0].password: is empty",
            ),
            (
                "shared_key: s, user_auth: true, users: [ { username: a, password: p }, { username: a, password: q } ]",
                "users[1].username: `a` is there twice",
            ),
            ("shared_key: s, user_auth: true, users: { a: b }", "users: is a map and must be a list"),
            (
                "shared_key: s, allow_anonymous_source: false",
                "allow_anonymous_source: is false and there are no clients",
            ),
            (
                "shared_key: s, clients: [ {} ]",
                "clients[0].network: is missing; write network: 10.0.0.0/8, or host",
            ),
            (
                "shared_key: s, clients: [ { host: h, network: 10.0.0.0/8 } ]",
                "clients[0].host: host and network are there; write one",
            ),
            (
                "shared_key: s, clients: [ { host: 'a b' } ]",
                "clients[0].host: `a b` is no host; write a name or an address",
            ),
            ("shared_key: s, clients: [ { network: h } ]", "clients[0].network: `h` is no network"),
            (
                "shared_key: s, clients: [ { host: h, users: [ a ] } ]",
                "clients[0].users[0]: `a` is no user, since there are none",
            ),
            (&unknown, "clients[0].users[0]: `alcie` is none of the users; there are alice"),
            ("shared_key: s, clients: [ { host: h, key: k } ]", "clients[0].key: is not a key; there are"),
            (&long_key, "shared_key: is longer than 255 bytes"),
            (&long_name, &long_name_fault),
            (&long_user, &long_user_fault),
            (&long_password, "users[0].password: is longer than 255 bytes"),
        ],
    );
}

#[test]
fn tags_have_one_placeholder() {
    let mtls = "tls: { certificate: /c, key: /k, client_ca: /ca }";
    let plan = forward(&format!("{mtls}, tag: '$${{x}}.${{client}}', tag_prefix: 'a$', client_name_key: c"));
    assert_eq!(plan.tag.tag.as_deref(), Some("${x}.${client}"));
    assert_eq!(plan.tag.tag_prefix.as_deref(), Some("a$"));
    let long = format!("tag: {}", "x".repeat(1_025));
    let needs = "needs clients' certificates; set tls.client_ca, and tls.client_auth to required or optional";
    refused(
        "",
        &[
            ("tag: ''", "tag: `` is empty; leave the key out or write a tag"),
            ("add_tag_prefix: ''", "add_tag_prefix: `` is empty"),
            ("tag_prefix: ''", "tag_prefix: `` is empty"),
            (
                "tag: '${tag}'",
                "tag: has ${tag}, which this key does not take; here are ${client}, ${env:NAME} and ${file:/path}",
            ),
            ("tag: '$${client}'", "tag: has the text ${client} where no placeholder was written"),
            ("tag: '${client}'", &format!("tag: has ${{client}}, which {needs}")),
            ("add_tag_prefix: '${client}'", &format!("add_tag_prefix: has ${{client}}, which {needs}")),
            (
                "tls: { certificate: /c, key: /k }, tag_prefix: '${client}'",
                "tag_prefix: has ${client}, which needs",
            ),
            ("client_name_key: c", &format!("client_name_key: {needs}")),
            ("tls: { certificate: /c }, client_name_key: c", "tls.key: is missing"),
        ],
    );
    let found = lines(loaded(&long, &[])).join("\n");
    assert!(found.ends_with("is longer than 1024 bytes"), "{found}");
    let hidden = loaded(&format!("{mtls}, tag: '${{env:D}}${{client}}'"), &[("D", "a$")]);
    assert!(
        lines(hidden)[0]
            .contains("has the text ${client} where no placeholder was written, or a $ before it")
    );
}

#[test]
fn looking_names_up_follows_the_field_that_needs_it() {
    assert!(forward("source_hostname_key: h").resolve_hostname);
    assert!(forward("resolve_hostname: true").resolve_hostname);
    let long = format!("source_address_key: {}", "k".repeat(129));
    refused(
        "",
        &[
            (
                "source_hostname_key: h, resolve_hostname: false",
                "resolve_hostname: is false, and source_hostname_key needs it; leave out one of the two",
            ),
            (
                "source_hostname_key: h, source_address_key: h",
                "source_hostname_key: is the field of source_address_key too; give each its own",
            ),
            (
                "source_address_key: ''",
                "source_address_key: `` is no name for a field; Log Service takes 1 to 128 bytes",
            ),
            ("metadata: both", "metadata: `both` is not one of nested, fields, drop"),
            ("idle_timeout: 999ms", "idle_timeout: is 999ms; it must lie between 1s and 168h"),
            (
                "idle_timeout: never",
                "idle_timeout: `never` is not a duration; write 60s (units: ms, s, m, h), or off",
            ),
            ("chunk_size_limit: 1023", "chunk_size_limit: is 1023B; it must lie between 1KiB and 512MiB"),
            (
                "chunk_size_limit: 65MiB",
                "chunk_size_limit: is more than max_message (64MiB), above which nothing is read",
            ),
            (
                "max_message: 1MiB, chunk_size_warn_limit: 2MiB",
                "chunk_size_warn_limit: is more than max_message (1MiB)",
            ),
            (
                "max_connections_per_peer: 0",
                "max_connections_per_peer: is 0; it must lie between 1 and 1000000",
            ),
        ],
    );
    let found = lines(loaded(&long, &[])).join("\n");
    assert!(found.ends_with("is no name for a field; Log Service takes 1 to 128 bytes"), "{found}");
}

#[test]
fn sections_can_come_from_the_environment_alone() {
    let key = ("SLUICEGATE__INPUTS__FORWARD__SECURITY__SHARED_KEY", "0123");
    let plan = from_text("", &[HOME, key]).unwrap();
    let InputKind::Forward(forward) = &plan.inputs[0].kind;
    assert_eq!(forward.security.as_ref().unwrap().shared_key.expose(), "0123");
    assert!(!plan.effective().contains("0123") && !format!("{plan:?}").contains("0123"));

    let certificate = ("SLUICEGATE__INPUTS__FORWARD__TLS__CERTIFICATE", "/c.pem");
    assert_eq!(
        lines(from_text("", &[HOME, certificate])),
        [
            "SLUICEGATE__INPUTS__FORWARD__TLS__CERTIFICATE: inputs.forward.tls.key: is missing; write the path of a PEM file"
        ]
    );
    let plan =
        from_text("", &[HOME, certificate, ("SLUICEGATE__INPUTS__FORWARD__TLS__KEY", "/k.pem")]).unwrap();
    let InputKind::Forward(forward) = &plan.inputs[0].kind;
    assert_eq!(forward.tls.as_ref().unwrap().certificate, Path::new("/c.pem"));

    for (name, value, expected) in [
        ("SHARED_KEY", "", "is empty; write a key, or set allow_empty_shared_key: true"),
        ("USERS", "alice", "is one value and must be a list"),
        (
            "USERS__0__USERNAME",
            "alice",
            "inputs.forward.security.users is a list; what is inside a list is set in the file",
        ),
    ] {
        let name = format!("SLUICEGATE__INPUTS__FORWARD__SECURITY__{name}");
        let text = "security: { shared_key: s, user_auth: true, users: [ { username: a, password: p } ] }";
        let found = lines(loaded(text, &[(&name, value)]));
        assert!(
            found.contains(&format!("{name}: {expected}")),
            "{expected}\nis not in\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn files_of_secrets_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["a", "b"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, "secret\n").unwrap();
        path
    });
    let keys = format!(
        "security: {{ shared_key: '${{file:{two}}}', clients: [ {{ host: h, shared_key: '${{file:{one}}}' }}, \
         {{ host: i, shared_key: '${{file:{two}}}' }} ] }}",
        one = one.display(),
        two = two.display()
    );
    let plan = loaded(&keys, &[]).unwrap();
    assert_eq!(plan.secret_files, [one.clone(), two]);
    let InputKind::Forward(forward) = &plan.inputs[0].kind;
    assert_eq!(forward.security.as_ref().unwrap().clients[0].shared_key.as_ref().unwrap().expose(), "secret");
    std::fs::remove_file(&one).unwrap();
    let found = lines(loaded(&keys, &[])).join("\n");
    assert!(found.contains("security.clients[0].shared_key: the file ") && !found.contains('\n'), "{found}");
}

#[test]
fn routes_take_signals() {
    let signals = |text: &str| {
        let text = format!("routes: [ {{ match: a, {text} }} ]");
        let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(from_text(&plan.effective(), &[]).unwrap().effective(), plan.effective());
        plan.routes[0].signals.clone()
    };
    assert_eq!(signals("topic: x"), [Signal::Logs]);
    assert_eq!(signals("signal: metrics"), [Signal::Metrics]);
    assert_eq!(signals("signal: [ traces, logs, traces ]"), [Signal::Logs, Signal::Traces]);
    assert_eq!(signals("signal: any"), Signal::ALL);
    assert_eq!(signals("signal: [ any, logs ]"), Signal::ALL);

    let fault = |routes: &str| {
        from_text(&format!("routes: [ {routes} ]"), &[HOME]).err().map(|errors| errors.to_string())
    };
    assert_eq!(fault("{}, { match: a, signal: metrics }, { match: b, signal: [ logs, traces ] }"), None);
    assert_eq!(fault("{ signal: metrics }, {}, { signal: traces }"), None);
    assert_eq!(fault("{ match: a, signal: any }, {}"), None);
    for (routes, expected) in [
        ("{}, { match: a }", "routes[1]: is never reached, since routes[0] takes all that it could"),
        (
            "{ signal: any }, { match: a, signal: traces }",
            "routes[1]: is never reached, since routes[0] takes all that it could",
        ),
        (
            "{}, { signal: traces }, { match: a, signal: [ logs, traces ] }",
            "routes[2]: is never reached, since routes[0] with routes[1] takes all that it could",
        ),
        (
            "{}, { match: a, signal: log }",
            "routes[1].signal: `log` is not one of logs, metrics, traces, blobs, profiles, any",
        ),
        ("{ signal: [] }", "routes[0].signal: is an empty list; write at least one signal"),
    ] {
        assert_eq!(fault(routes), Some(format!("configuration: {expected}")));
    }
}

#[test]
fn signals_have_logstores_of_their_own() {
    let text = "destinations: { local: { metrics_logstore: m-1, profiles_logstore: shared } }\nlog_service: { logstore: web }";
    let plan = from_text(text, &[HOME]).unwrap();
    let stores = Signal::ALL.map(|signal| plan.destinations[0].logstore_of(signal).to_owned());
    assert_eq!(stores, ["web", "m-1", "web-traces", "web-blobs", "shared"]);
    let found = lines(from_text("destinations: { local: { blobs_logstore: Blobs } }", &[HOME]));
    assert!(
        found[0].starts_with("configuration: destinations.local.blobs_logstore: `Blobs` is no logstore name")
    );
}

#[test]
fn duplicates_have_bounds() {
    let duplicates =
        |keys: &str| from_text(&format!("duplicates: {{ {keys} }}"), &[HOME]).map(|plan| plan.duplicates);
    assert_eq!(duplicates("window: 0s").unwrap().window, Duration::ZERO);
    assert_eq!(duplicates("window: 24h, max_bytes: 64KiB").unwrap().max_bytes, 64 << 10);
    for (keys, expected) in [
        ("window: 25h", "duplicates.window: is 25h; it must lie between 0ms and 24h"),
        ("max_bytes: 1KiB", "duplicates.max_bytes: is 1KiB; it must lie between 64KiB and 1GiB"),
    ] {
        assert_eq!(duplicates(keys).unwrap_err().to_string(), format!("configuration: {expected}"));
    }
}
