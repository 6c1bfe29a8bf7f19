use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{KeyPair, SanType};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::plan::{ClientAuth, TlsPlan, TlsVersion};
use super::testing::{Ca, Setup, V1_2, V1_3, connector, dns, swap_link};
use super::*;

type Client = TlsStream<DuplexStream>;

/// Both sides of one handshake. In TLS 1.3 a client is done before the server has judged its certificate.
async fn meet(
    server: &ServerTls,
    client: &TlsConnector,
) -> (io::Result<Accepted<DuplexStream>>, io::Result<Client>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = "localhost".try_into().unwrap();
    tokio::join!(
        async {
            let accepted = server.accept(far).await;
            if let Err(error) = &accepted {
                assert!(Fault::REASONS.contains(&Fault::of(error).unwrap().reason));
            }
            accepted
        },
        client.connect(name, near)
    )
}

/// The client's name, or why it was turned away.
async fn verdict(plan: &TlsPlan, client: &TlsConnector) -> Result<Option<String>, Fault> {
    let server = ServerTls::load(plan).unwrap();
    match meet(&server, client).await.0 {
        Ok(mut accepted) => {
            accepted.stream.write_all(b"hello").await.unwrap();
            Ok(accepted.client.map(|name| name.to_string()))
        }
        Err(error) => Err(Fault::of(&error).unwrap()),
    }
}

async fn refusal(plan: &TlsPlan, client: &TlsConnector) -> (&'static str, String) {
    let fault = verdict(plan, client).await.unwrap_err();
    (fault.reason, fault.text)
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_older_only_if_wanted() {
    let setup = Setup::new();
    for versions in [V1_2, V1_3] {
        assert_eq!(verdict(&setup.plan(), &setup.client_of(versions)).await, Ok(None));
    }
    let newer = TlsPlan { min_version: TlsVersion::V1_3, ..setup.plan() };
    assert_eq!(verdict(&newer, &setup.client_of(V1_3)).await, Ok(None));
    let (reason, text) = refusal(&newer, &setup.client_of(V1_2)).await;
    assert!(reason == "tls_version" && text.contains("version"), "{text}");
}

#[tokio::test]
async fn a_certificate_is_asked_for_and_judged() {
    let setup = Setup::new();
    let bare = connector(&setup.client());
    let known = connector(&setup.client_with("known", &setup.ca.issue("agent 7", Vec::new())));
    let stranger = Ca::new("another CA").issue("agent 7", Vec::new());
    let stranger = connector(&setup.client_with("stranger", &stranger));

    let required = setup.mutual(ClientAuth::Required, &[]);
    assert_eq!(verdict(&required, &known).await, Ok(Some("agent 7".to_owned())));
    let (reason, text) = refusal(&required, &bare).await;
    assert!(reason == "tls_certificate" && text.contains("no certificate"), "{text}");
    let (reason, text) = refusal(&required, &stranger).await;
    assert!(reason == "tls_certificate" && text.contains("none of the CAs"), "{text}");

    let optional = setup.mutual(ClientAuth::Optional, &["agent 7"]);
    assert_eq!(verdict(&optional, &known).await, Ok(Some("agent 7".to_owned())));
    assert_eq!(verdict(&optional, &bare).await, Ok(None));
    assert_eq!(refusal(&optional, &stranger).await.0, "tls_certificate");
}

#[tokio::test]
async fn a_list_of_names_lets_in_who_has_one_of_them() {
    let setup = Setup::new();
    let alternatives = vec![
        SanType::URI("spiffe://example.org/agent".try_into().unwrap()),
        dns("Web.Example.org"),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::Rfc822Name("ann@example.org".try_into().unwrap()),
    ];
    let client = connector(&setup.client_with("client", &setup.ca.issue("agent 7", alternatives)));
    for name in ["*.example.org", "agent 7", "192.0.2.7", "ann@Example.org", "spiffe://example.org/agent"] {
        let plan = setup.mutual(ClientAuth::Required, &["nobody", name]);
        assert_eq!(verdict(&plan, &client).await, Ok(Some("Web.Example.org".to_owned())), "{name}");
    }
    let plan = setup.mutual(ClientAuth::Required, &["*.example.com", "agent 8"]);
    let (reason, text) = refusal(&plan, &client).await;
    assert!(reason == "tls_certificate" && text.contains("Web.Example.org"), "{text}");

    // The refusal comes inside the handshake: the client is told.
    let server = ServerTls::load(&plan).unwrap();
    let (_, client) = meet(&server, &client).await;
    let told = match client {
        Ok(mut client) => client.read_u8().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(told.to_string().contains("alert"), "{told}");
}

#[tokio::test]
async fn new_files_serve_new_connections_and_old_connections_go_on() {
    let setup = Setup::new();
    let (first, second) = (setup.path("first"), setup.path("second"));
    for dir in [&first, &second] {
        std::fs::create_dir(dir).unwrap();
        let pair = setup.ca.issue("server", vec![dns("localhost")]);
        std::fs::write(dir.join("tls.crt"), pair.certificate).unwrap();
        std::fs::write(dir.join("tls.key"), pair.key).unwrap();
    }
    let data = setup.path("data");
    swap_link(&data, &first);
    let plan = TlsPlan { certificate: data.join("tls.crt"), key: data.join("tls.key"), ..setup.plan() };
    let server = ServerTls::load(&plan).unwrap();
    let client = connector(&setup.client());
    let shown = |client: &Client| client.get_ref().1.peer_certificates().unwrap()[0].clone();

    let (accepted, old) = meet(&server, &client).await;
    let (mut accepted, mut old) = (accepted.unwrap().stream, old.unwrap());
    assert!(matches!(server.reload_if_changed(), Reload::Same));
    swap_link(&data, &second);
    assert!(matches!(server.reload_if_changed(), Reload::Replaced));
    assert!(matches!(server.reload_if_changed(), Reload::Same));

    let (_, new) = meet(&server, &client).await;
    assert_ne!(shown(&old), shown(&new.unwrap()));
    old.write_all(b"still here").await.unwrap();
    let mut read = [0; 10];
    accepted.read_exact(&mut read).await.unwrap();
    accepted.write_all(&read).await.unwrap();
    old.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
}

#[tokio::test]
async fn a_pair_caught_half_written_changes_nothing() {
    let setup = Setup::new();
    let server = ServerTls::load(&setup.plan()).unwrap();
    let client = connector(&setup.client());
    let shown =
        |client: io::Result<Client>| client.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = shown(meet(&server, &client).await.1);

    let next = setup.ca.issue("server", vec![dns("localhost")]);
    setup.write("server.pem", &next.certificate);
    assert!(matches!(server.reload_if_changed(), Reload::Kept(TlsError::Mismatch { .. })));
    setup.write("server.key", &next.key[..next.key.len() / 2]);
    assert!(matches!(server.reload_if_changed(), Reload::Kept(TlsError::Pem { .. })));
    std::fs::remove_file(setup.path("server.key")).unwrap();
    assert!(matches!(server.reload_if_changed(), Reload::Kept(TlsError::Unreadable { .. })));
    assert_eq!(shown(meet(&server, &client).await.1), before);
    setup.write("server.key", &next.key);
    assert!(matches!(server.reload_if_changed(), Reload::Replaced));
    assert_ne!(shown(meet(&server, &client).await.1), before);
}

#[tokio::test]
async fn a_ticket_ends_with_the_files_it_was_given_under() {
    let setup = Setup::new();
    let plan = setup.mutual(ClientAuth::Required, &[]);
    let server = ServerTls::load(&plan).unwrap();
    let client = connector(&setup.client_with("client", &setup.ca.issue("agent", Vec::new())));
    let kind = async |server: &ServerTls| {
        let (accepted, connected) = meet(server, &client).await;
        let (mut stream, mut connected) = (accepted.unwrap().stream, connected.unwrap());
        // Tickets are read along with data.
        stream.write_all(b"x").await.unwrap();
        connected.read_u8().await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(stream.get_ref().1.peer_certificates().map(<[_]>::len), Some(1));
        kind
    };
    assert_eq!(kind(&server).await, Some(HandshakeKind::Full));
    assert_eq!(kind(&server).await, Some(HandshakeKind::Resumed));
    setup.write("ca.pem", &format!("{}{}", setup.ca.pem, Ca::new("one more").pem));
    assert!(matches!(server.reload_if_changed(), Reload::Replaced));
    assert_eq!(kind(&server).await, Some(HandshakeKind::Full));
}

#[test]
fn files_that_will_not_do_are_told_by_name() {
    let setup = Setup::new();
    let other = Ca::new("another CA").issue("x", Vec::new());
    setup.write_pair("other", &other);
    setup.write("empty", "");
    setup.write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    setup.write(
        "old-encrypted",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    setup.write("garbage-key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    setup.write("garbage-pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    setup.write("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    for (certificate, key, said) in [
        ("server.pem", "no-such", "cannot be read"),
        ("no-such", "server.key", "cannot be read"),
        ("server.pem", "other.key", "does not belong to the certificate"),
        ("empty", "server.key", "no certificate in it"),
        ("server.key", "server.key", "no certificate in it"),
        ("server.pem", "empty", "no private key in it"),
        ("server.pem", "server.pem", "no private key in it"),
        ("server.pem", "encrypted", "passphrase"),
        ("server.pem", "old-encrypted", "passphrase"),
        ("server.pem", "garbage-key", "private key cannot be used"),
        ("garbage-pem", "server.key", "certificate cannot be used"),
        ("cut", "server.key", "no valid PEM file"),
    ] {
        let plan = TlsPlan { certificate: setup.path(certificate), key: setup.path(key), ..setup.plan() };
        let error = ServerTls::load(&plan).err().unwrap().to_string();
        let named = error.contains(certificate) || error.contains(key);
        assert!(error.contains(said) && named, "{certificate} {key}: {error}");
    }
    let plan = TlsPlan { client_ca: Some(setup.path("empty")), ..setup.mutual(ClientAuth::Required, &[]) };
    assert!(ServerTls::load(&plan).err().unwrap().to_string().contains("no certificate in it"));
    let plan = TlsPlan { client_ca: None, ..plan };
    assert!(matches!(ServerTls::load(&plan), Err(TlsError::NoClientCa)));
}

#[test]
fn keys_do_not_show_in_errors() {
    let setup = Setup::new();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = setup.write("broken.key", &key.replace("-----END", "!!!!!END"));
    let error = ServerTls::load(&TlsPlan { key: broken, ..setup.plan() }).err().unwrap();
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{error} {error:?}").contains(secret));
}

#[tokio::test]
async fn an_expired_certificate_is_served() {
    let setup = Setup::new();
    let expired = setup.ca.issue_with("server", vec![dns("localhost")], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    });
    setup.write_pair("server", &expired);
    let careless = connector(&ClientTls { insecure: true, ..ClientTls::default() });
    assert_eq!(verdict(&setup.plan(), &careless).await, Ok(None));
    let (reason, text) = refusal(&setup.plan(), &connector(&setup.client())).await;
    assert!(reason == "tls_refused" && text.contains("Expired"), "{text}");
}

#[tokio::test]
async fn clients_trust_what_they_are_told_to() {
    let setup = Setup::new();
    let server = ServerTls::load(&setup.plan()).unwrap();
    let other = setup.write("other-ca.pem", &Ca::new("another CA").pem);
    let stranger = ClientTls { ca: Some(other.clone()), ..ClientTls::default() };
    let (accepted, client) = meet(&server, &connector(&stranger)).await;
    assert!(client.unwrap_err().to_string().contains("UnknownIssuer"));
    let fault = Fault::of(&accepted.unwrap_err()).unwrap();
    assert!(fault.reason == "tls_refused" && fault.text.contains("give it the CA"), "{fault:?}");
    let careless = ClientTls { insecure: true, ..stranger };
    assert!(meet(&server, &connector(&careless)).await.1.is_ok());

    let named = ClientTls { server_name: Some("log.example.org".to_owned()), ..setup.client() };
    assert_eq!(named.name("127.0.0.1").unwrap().to_str(), "log.example.org");
    assert_eq!(setup.client().name("::1").unwrap().to_str(), "::1");
    assert!(setup.client().name("not a name").is_err());
    let lost = ClientTls { ca: Some(setup.path("no-such")), ..ClientTls::default() };
    assert!(matches!(lost.config(), Err(TlsError::Unreadable { .. })));
}

#[tokio::test]
async fn the_watch_finds_new_files_by_itself() {
    let setup = Setup::new();
    let server = Arc::new(ServerTls::load(&setup.plan()).unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn(server.clone().watch_every(Duration::from_millis(5), stop.clone()));
    let client = connector(&setup.client());
    let shown =
        |client: io::Result<Client>| client.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = shown(meet(&server, &client).await.1);
    setup.write_pair("server", &setup.ca.issue("server", vec![dns("localhost")]));
    while shown(meet(&server, &client).await.1) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    watch.await.unwrap();
}

/// A certificate of its own that says it is a CA's, as `openssl req -x509` makes it.
fn ca_as_leaf(setup: &Setup, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let mine = setup.ca.issue_with(name, vec![dns("localhost")], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    setup.write_pair(name, &mine)
}

/// Neither side is told the name of a type, or a time in seconds.
#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_words() {
    let setup = Setup::new();
    let required = setup.mutual(ClientAuth::Required, &[]);
    let of = |identity| connector(&ClientTls { identity: Some(identity), ..setup.client() });
    let (reason, text) = refusal(&required, &of(ca_as_leaf(&setup, "ca-client"))).await;
    assert!(reason == "tls_certificate" && text.contains("client's certificate"), "{text}");
    assert!(text.contains("the certificate of a CA") && text.contains("CA:FALSE"), "{text}");
    let old = setup.ca.issue_with("old", Vec::new(), |params| {
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(2000, 2, 1);
    });
    let (_, text) = refusal(&required, &of(setup.write_pair("old", &old))).await;
    assert!(text.contains("it expired at 2000-02-01T00:00:00Z") && text.contains("renew"), "{text}");
    let early = setup.ca.issue_with("early", Vec::new(), |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    });
    let (_, text) = refusal(&required, &of(setup.write_pair("early", &early))).await;
    assert!(text.contains("not valid before 2090-01-01T00:00:00Z") && text.contains("clock"), "{text}");
}
