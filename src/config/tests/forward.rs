//! The forward input's keys: defaults, what each gives, and every combination that is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::signal::Signal;

pub(super) fn loaded(keys: &str, env: &[(&str, &str)]) -> Result<Plan, ConfigErrors> {
    let env: Vec<_> = std::iter::once(HOME).chain(env.iter().copied()).collect();
    from_text(&format!("inputs: {{ forward: {{ {keys} }} }}"), &env)
}

pub(super) fn forward(keys: &str) -> ForwardPlan {
    let plan = loaded(keys, &[]).unwrap_or_else(|errors| panic!("{keys}\n{errors}"));
    let InputKind::Forward(forward) = plan.inputs[0].kind.clone() else { panic!("{:?}", plan.inputs) };
    let forward = *forward;
    let printed = plan.effective();
    if !printed.contains("***") {
        let again = from_text(&printed, &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
        assert_eq!(again.inputs, plan.inputs, "{printed}");
    }
    forward
}

/// Keys with the one fault they must give.
pub(super) fn refused(section: &str, cases: &[(&str, &str)]) {
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
    assert_eq!(plan.connections.unix, UnixPlan { mode: 0o660, user: None, group: None });
    assert_eq!((plan.connections.tls, plan.security, plan.tag), (None, None, TagPlan::default()));
    assert!(plan.udp_heartbeat && plan.skip_invalid_event && plan.connections.proxy_protocol.is_empty());
    assert!(!plan.resolve_hostname && !plan.deny_keepalive);
    assert_eq!(plan.metadata, Metadata::Nested);
    assert_eq!((plan.source_address_key, plan.source_hostname_key, plan.client_name_key), (None, None, None));
    assert_eq!(
        (plan.chunk_size_limit, plan.chunk_size_warn_limit, plan.connections.max_connections_per_peer),
        (None, None, None)
    );
    assert_eq!((plan.connections.idle_timeout, plan.linger_timeout), (None, Duration::from_secs(1)));
    assert_eq!(
        (plan.connections.handshake_timeout, plan.full_timeout),
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
    assert_eq!(plan.connections.unix, UnixPlan { mode: 0o777, user: None, group: Some("adm".to_owned()) });
    assert_eq!(plan.connections.idle_timeout, Some(Duration::from_secs(1)));
    assert!(loaded("idle_timeout: '${env:IDLE}'", &[("IDLE", "off")]).is_ok());
    assert_eq!(forward("listen: unix:/s").listen, [Listen::Unix(PathBuf::from("/s"))]);
    assert_eq!(forward("listen: '127.0.0.1:1, unix:/s'").listen.len(), 2);
    assert_eq!(forward(&format!("listen: unix:/{}", "s".repeat(106))).listen.len(), 1);
    let owner = |keys| (forward(keys).connections.unix.user, forward(keys).connections.unix.group);
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
    assert_eq!(forward("proxy_protocol: 10.1.2.3/8").connections.proxy_protocol[0].to_string(), "10.0.0.0/8");
    assert_eq!(forward("proxy_protocol: '10.0.0.1, ::1'").connections.proxy_protocol.len(), 2);
    assert!(forward("proxy_protocol: ''").connections.proxy_protocol.is_empty());
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
            (
                "listen: 'unix:/s', security: { shared_key: k, allow_anonymous_source: false, clients: [ { host: h } ] }",
                "listen: `unix:/s` lets nobody in",
            ),
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

proptest! {
    #[test]
    fn any_text_is_printed_so_that_it_is_read_again(tag in "(\\PC|\\$|\\{|\\}|\"|\n){1,30}", key in "\\PC{1,30}") {
        let typed = |text: &str| serde_json::Value::String(crate::config::placeholder::escape(text)).to_string();
        let keys = format!("tag: {}, source_address_key: {}", typed(&tag), typed(&key));
        // It loads what was printed and compares.
        let plan = forward(&keys);
        prop_assert_eq!(plan.tag.tag, Some(tag));
        prop_assert_eq!(plan.source_address_key, Some(key));
    }
}
