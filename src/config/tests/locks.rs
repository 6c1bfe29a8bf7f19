//! Who may speak to a forward input: TLS, keys, users, clients; where their secrets come from, and what is half-configured.

use super::forward::{forward, loaded, refused};
use super::*;

fn security(keys: &str) -> SecurityPlan {
    forward(&format!("security: {{ {keys} }}")).security.unwrap()
}

fn tls(keys: &str) -> TlsPlan {
    forward(&format!("tls: {{ certificate: /c, key: /k, {keys} }}")).connections.tls.unwrap()
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
    let relative = forward("tls: { certificate: c.pem, key: ./k.pem }").connections.tls.unwrap();
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
fn sections_can_come_from_the_environment_alone() {
    let key = ("SLUICEGATE__INPUTS__FORWARD__SECURITY__SHARED_KEY", "0123");
    let plan = from_text("", &[HOME, key]).unwrap();
    let InputKind::Forward(forward) = &plan.inputs[0].kind else { panic!("{:?}", plan.inputs) };
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
    let InputKind::Forward(forward) = &plan.inputs[0].kind else { panic!("{:?}", plan.inputs) };
    assert_eq!(forward.connections.tls.as_ref().unwrap().certificate, Path::new("/c.pem"));

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
    let InputKind::Forward(forward) = &plan.inputs[0].kind else { panic!("{:?}", plan.inputs) };
    assert_eq!(forward.security.as_ref().unwrap().clients[0].shared_key.as_ref().unwrap().expose(), "secret");
    std::fs::remove_file(&one).unwrap();
    let found = lines(loaded(&keys, &[])).join("\n");
    assert!(found.contains("security.clients[0].shared_key: the file ") && !found.contains('\n'), "{found}");
}
