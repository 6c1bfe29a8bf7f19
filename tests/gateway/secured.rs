//! Who may speak: TLS, client certificates, shared keys and users, with `sluicegate send` as the client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use sluicegate::base::tls::ClientTls;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::harness::{EMBEDDED, TestGateway, message, read_to_close, start};
use super::peers::deliver;
use super::watch::logged;

/// A directory with a CA (`ca.pem`), a certificate of it for `localhost` (`server`) and two for clients.
struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Certificates {
        let made = Certificates { dir: tempfile::tempdir().unwrap() };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        made.write("ca.pem", &params.self_signed(&key).unwrap().pem());
        let ca = Issuer::new(params, key);
        for (name, alternative) in [
            ("server", "localhost"),
            ("web-1", "web-1.clients.example.com"),
            ("stranger", "stranger.example.org"),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.subject_alt_names = vec![SanType::DnsName(alternative.try_into().unwrap())];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().unwrap();
            made.write(&format!("{name}.pem"), &params.signed_by(&key, &ca).unwrap().pem());
            made.write(&format!("{name}.key"), &key.serialize_pem());
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The section `tls` of an input.
    fn tls(&self, extra: &str) -> String {
        format!(
            "tls: {{ certificate: '{}', key: '{}', {extra} }}",
            self.text("server.pem"),
            self.text("server.key")
        )
    }

    /// Arguments of `send` that speak TLS, with a certificate where one is named.
    fn arguments(&self, client: Option<&str>) -> Vec<String> {
        let mut arguments: Vec<String> = ["--tls", "--ca", &self.text("ca.pem")].map(str::to_owned).into();
        if let Some(client) = client {
            let (certificate, key) =
                (self.text(&format!("{client}.pem")), self.text(&format!("{client}.key")));
            arguments.extend(["--cert".to_owned(), certificate, "--key".to_owned(), key]);
        }
        arguments
    }
}

async fn start_with(input: &str, settings: &str) -> TestGateway {
    let input = format!("{input}: {{ type: forward, listen: '127.0.0.1:0', {settings} }}");
    start(&format!("inputs: {{ {input} }}\n{EMBEDDED}")).await
}

/// Runs `sluicegate send` to its end. It connects to `localhost`, which the certificate names.
async fn send(gateway: &TestGateway, input: &str, arguments: &[String], record: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    let to = format!("localhost:{}", gateway.address(input).port());
    command.args(["send", "--tag", "app", "--retries", "0", "--to", &to]).args(arguments).arg(record);
    for name in ["SLUICEGATE_SHARED_KEY", "SLUICEGATE_PASSWORD"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn tls_shared_key_and_user_together() {
    let files = Certificates::new();
    let security = "security: { self_hostname: gw, shared_key: 'a key', user_auth: true, \
                    users: [ { username: alice, password: 'pa55' } ] }";
    let gateway =
        start_with("guarded", &format!("{}, {security}, handshake_timeout: 5s", files.tls(""))).await;
    let (key, wrong) = (files.write("key", "a key\n"), files.write("wrong", "another key\n"));
    let password = files.write("password", "pa55\n");
    let with = |key: &str, user: &str, password: &str| {
        let rest = ["--shared-key-file", key, "--user", user, "--password-file", password].map(str::to_owned);
        [files.arguments(None), rest.into()].concat()
    };
    for (mode, compress) in [("packed", "gzip"), ("packed", "zstd"), ("forward", "none"), ("message", "none")]
    {
        let how = ["--mode", mode, "--compress", compress].map(str::to_owned);
        let arguments = [with(&key, "alice", &password), how.into()].concat();
        let sent = send(&gateway, "guarded", &arguments, r#"{"log":"in"}"#).await;
        assert!(sent.status.success(), "{mode} {compress}: {}", said(&sent));
    }
    let refusals = [
        (with(&wrong, "alice", &password), "shared_key mismatch"),
        (with(&key, "alice", &wrong), "username/password mismatch"),
        (with(&key, "mallory", &password), "username/password mismatch"),
        (files.arguments(None), "shared key"),
    ];
    for (arguments, why) in refusals {
        let sent = send(&gateway, "guarded", &arguments, r#"{"log":"out"}"#).await;
        assert!(!sent.status.success(), "{why}");
        assert!(said(&sent).contains(why), "not {why}: {}", said(&sent));
    }
    // Without TLS, not even the handshake begins.
    let plain = send(&gateway, "guarded", &["--shared-key-file".to_owned(), key], r#"{"log":"out"}"#).await;
    assert!(!plain.status.success());
    assert!(!logged(&["guarded", "TLS"]).is_empty());
    assert!(logged(&["a key"]).is_empty() && logged(&["pa55"]).is_empty());
    gateway.wait_until_delivered().await;
    let found = gateway.wait_for("default", "*", 4).await;
    assert!(found.iter().all(|record| record["log"] == "in"));
    gateway.stop().await;
}

/// A connection that has to prove something is never taken for JSON, and gets nothing stored before it has.
#[tokio::test]
async fn nothing_is_taken_before_the_handshake() {
    let gateway = start_with("keyed", "security: { self_hostname: gw, shared_key: 'a key' }").await;
    let json: &[u8] = br#"["app",1700000000,{"log":"json"},{"chunk":"j"}]"#;
    for bytes in [json, &message("app", 1_700_000_000, &[("log", "early")], Some("m"))] {
        let mut stream = gateway.connect_to("keyed").await;
        stream.write_all(bytes).await.unwrap();
        let answer = read_to_close(&mut stream).await;
        // HELO, perhaps a PONG that says no, and no ack.
        assert!(answer.starts_with(b"\x92\xa4HELO"), "{answer:?}");
        assert!(!answer.windows(3).any(|three| three == b"ack"), "{answer:?}");
    }
    gateway.wait_until_delivered().await;
    assert_eq!(gateway.query("default", "*").await.len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn the_name_in_a_client_s_certificate_becomes_field_and_tag() {
    let files = Certificates::new();
    let tls =
        files.tls(&format!("client_ca: '{}', client_names: '*.clients.example.com'", files.text("ca.pem")));
    let settings = format!("{tls}, client_name_key: client, tag_prefix: '${{client}}.'");
    let gateway = start_with("mutual", &settings).await;
    let forged = r#"{"log":"named","client":"somebody else"}"#;
    let sent = send(&gateway, "mutual", &files.arguments(Some("web-1")), forged).await;
    assert!(sent.status.success(), "{}", said(&sent));
    let found = gateway.wait_for("default", "named", 1).await;
    let name = found[0]["client"].as_str().unwrap();
    assert!(["web-1", "web-1.clients.example.com"].contains(&name), "{name}");
    assert_eq!(found[0]["__topic__"], format!("{name}.app"));
    // A certificate of the same CA with another name, and none at all.
    for client in [Some("stranger"), None] {
        let sent = send(&gateway, "mutual", &files.arguments(client), r#"{"log":"out"}"#).await;
        assert!(!sent.status.success(), "{client:?}");
    }
    gateway.wait_until_delivered().await;
    assert_eq!(gateway.query("default", "*").await.len(), 1);
    gateway.stop().await;
}

/// A client without a certificate is let in where one is optional: it has no name.
#[tokio::test]
async fn clients_without_a_certificate_have_no_name() {
    let files = Certificates::new();
    let tls = files.tls(&format!("client_ca: '{}', client_auth: optional", files.text("ca.pem")));
    let settings = format!("{tls}, client_name_key: client, add_tag_prefix: 'from.${{client}}'");
    let gateway = start_with("optional", &settings).await;
    let sent = send(&gateway, "optional", &files.arguments(None), r#"{"log":"nameless"}"#).await;
    assert!(sent.status.success(), "{}", said(&sent));
    let found = gateway.wait_for("default", "nameless", 1).await;
    assert_eq!(found[0]["__topic__"], "from.unknown.app");
    assert!(!found[0].contains_key("client"));
    gateway.stop().await;
}

async fn speak_tls(
    gateway: &TestGateway,
    input: &str,
    ca: &Path,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let client = ClientTls { ca: Some(ca.to_owned()), ..ClientTls::default() };
    let connector = TlsConnector::from(client.config().unwrap());
    let stream = gateway.connect_to(input).await;
    connector.connect(client.name("localhost").unwrap(), stream).await.unwrap()
}

/// The first byte tells, on a port for both.
#[tokio::test]
async fn one_port_for_tls_and_plain() {
    let files = Certificates::new();
    let gateway = start_with("either", &files.tls("allow_plain: true")).await;
    let mut secret = speak_tls(&gateway, "either", &files.path("ca.pem")).await;
    let mut plain = gateway.connect_to("either").await;
    for chunk in ["a", "b"] {
        let event = message("app", 1_700_000_000, &[("log", "x")], Some(chunk));
        deliver(&mut secret, &event, chunk).await;
        deliver(&mut plain, &event, chunk).await;
    }
    gateway.wait_for("default", "*", 4).await;
    // The end is an orderly one: a cut would look like an attack to the client.
    secret.shutdown().await.unwrap();
    assert_eq!(tokio::io::AsyncReadExt::read(&mut secret, &mut [0]).await.unwrap(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn the_wrong_kind_of_client_is_closed_counted_and_told() {
    let files = Certificates::new();
    let gateway = start_with("tls-only", &files.tls("")).await;
    let mut plain = gateway.connect_to("tls-only").await;
    plain.write_all(&message("app", 1_700_000_000, &[("log", "x")], Some("m"))).await.unwrap();
    assert!(!read_to_close(&mut plain).await.windows(3).any(|three| three == b"ack"));
    let closed = [("input", "tls-only"), ("reason", "plain")];
    gateway.wait_for_metric("sluicegate_input_closed_total", &closed, 1).await;
    assert!(!logged(&["tls-only", "TLS"]).is_empty());
    gateway.stop().await;

    let gateway = start_with("plain-only", "").await;
    let sent = send(&gateway, "plain-only", &files.arguments(None), r#"{"log":"x"}"#).await;
    assert!(!sent.status.success());
    let closed = [("input", "plain-only"), ("reason", "tls")];
    gateway.wait_for_metric("sluicegate_input_closed_total", &closed, 1).await;
    gateway.stop().await;
}
