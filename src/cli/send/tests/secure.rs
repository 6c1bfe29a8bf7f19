//! Shared keys, users and TLS: what is accepted, and what is said when it is not.

use super::*;

fn keys() -> KeyRing {
    KeyRing::load(&SecurityPlan {
        self_hostname: Some("gw".to_owned()),
        shared_key: Secret::new("secret".to_owned()),
        users: Some(vec![UserPlan { username: "ann".to_owned(), password: Secret::new("pa55".to_owned()) }]),
        clients: Vec::new(),
        allow_anonymous_source: true,
    })
    .unwrap()
}

/// One connection of a server with a shared key.
async fn secured<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
    keepalive: bool,
) -> bool {
    let peer = Peer { ip: Some(std::net::Ipv4Addr::LOCALHOST.into()), label: "127.0.0.1" };
    let deadline = Instant::now() + Duration::from_secs(30);
    let served = serve(stream, &keys(), peer, deadline, keepalive, &Failures::new("test")).await;
    served.is_ok_and(|(accepted, rest)| accepted.username.as_deref() == Some("ann") && rest.is_empty())
}

#[tokio::test]
async fn shared_keys_and_users_come_from_files() {
    let files = Files::new();
    let (key, wrong) = (files.write("key", "secret\n"), files.write("wrong", "secret \r\n"));
    let password = files.write("password", "pa55");
    let (listener, to) = listen().await;
    let with = |key: &Path| {
        run(&[
            "--tag",
            "t",
            "--to",
            &to,
            "--shared-key-file",
            text(key),
            "--user",
            "ann",
            "--password-file",
            text(&password),
            "--self-hostname",
            "me",
            "--mode",
            "message",
            "{}",
            "{}",
        ])
    };
    let sent = with(&key);
    let mut stream = accept(&listener).await;
    assert!(secured(&mut stream, true).await);
    take(&mut stream).await;
    take(&mut stream).await;
    assert_eq!(sent.await.unwrap(), Ok(()));
    // A server that closes after each message gets a connection for each.
    let sent = with(&key);
    for _ in 0..2 {
        let mut stream = accept(&listener).await;
        assert!(secured(&mut stream, false).await);
        take(&mut stream).await;
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the client closes by itself");
    }
    assert_eq!(sent.await.unwrap(), Ok(()));
    let sent = with(&wrong);
    assert!(!secured(&mut accept(&listener).await, true).await);
    assert_eq!(
        sent.await.unwrap(),
        Err(format!("{to} denies access: shared_key mismatch")),
        "and no second try"
    );
}

fn server_tls((ca, certificate, key): (&Path, &Path, &Path), client_auth: ClientAuth) -> Arc<ServerTls> {
    let plan = TlsPlan {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        min_version: TlsVersion::V1_2,
        client_ca: (client_auth != ClientAuth::None).then(|| ca.to_owned()),
        client_auth,
        client_names: Vec::new(),
        allow_plain: false,
    };
    Arc::new(ServerTls::load(&plan).unwrap())
}

#[tokio::test]
async fn tls_is_checked_and_its_errors_say_what_to_do() {
    let files = Files::new();
    let (ca, certificate, key) = files.certificates("gw.test");
    let server = server_tls((&ca, &certificate, &key), ClientAuth::None);
    let (listener, to) = listen().await;
    let with =
        |arguments: &[&str]| run(&[&["--tag", "t", "--to", &to, "--retries", "0", "{}"], arguments].concat());
    let right = ["--tls", "--ca", text(&ca), "--server-name", "gw.test"];
    for arguments in [&right[..], &["--tls", "--insecure"]] {
        for no_ack in [false, true] {
            let flag: &[&str] = if no_ack { &["--no-ack"] } else { &[] };
            let sent = with(&[arguments, flag].concat());
            let mut stream = server.accept(accept(&listener).await).await.unwrap().stream;
            if no_ack {
                message(&mut stream).await;
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "an end in order");
                stream.shutdown().await.unwrap();
            } else {
                take(&mut stream).await;
            }
            drop(stream);
            assert_eq!(sent.await.unwrap(), Ok(()));
        }
    }
    let unknown = format!(
        "the certificate of {to} is signed by nobody this machine trusts; name its CA by --ca FILE, or take any \
         certificate by --insecure"
    );
    for (arguments, expected) in [
        (&["--tls", "--server-name", "gw.test"][..], unknown.as_str()),
        (
            &["--tls", "--ca", text(&ca)],
            &format!("the certificate of {to} is for another name; give that name by"),
        ),
    ] {
        let sent = with(arguments);
        assert!(server.accept(accept(&listener).await).await.is_err());
        let error = sent.await.unwrap().unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let sent = with(&[]);
    assert!(server.accept(accept(&listener).await).await.is_err());
    assert_eq!(sent.await.unwrap(), Err(format!("{to}: the server speaks TLS; add --tls")));
}

/// OpenSSL closes without an alert when it is spoken to in plain.
#[tokio::test]
async fn a_tls_server_that_only_closes_is_asked() {
    let files = Files::new();
    let (ca, certificate, key) = files.certificates("gw.test");
    let server = server_tls((&ca, &certificate, &key), ClientAuth::Required);
    let (listener, to) = listen().await;
    let sent = run(&["--tag", "t", "--to", &to, "--retries", "0", "{}"]);
    let mut stream = accept(&listener).await;
    message(&mut stream).await;
    drop(stream);
    let _ = server.accept(accept(&listener).await).await;
    assert_eq!(sent.await.unwrap(), Err(format!("{to}: the server speaks TLS; add --tls")));
}

#[tokio::test]
async fn a_plain_server_behind_tls_and_one_that_wants_a_certificate() {
    let files = Files::new();
    let (ca, certificate, key) = files.certificates("127.0.0.1");
    let (listener, to) = listen().await;
    let with = |arguments: &[&str]| {
        run(&[&["--tag", "t", "--to", &to, "--retries", "0", "--tls", "--ca", text(&ca), "{}"], arguments]
            .concat())
    };
    let sent = with(&[]);
    let mut stream = accept(&listener).await;
    stream.write_all(&Helo::encode(&[0; 16], &[0; 16], true)).await.unwrap();
    assert_eq!(sent.await.unwrap(), Err(format!("{to} speaks no TLS; leave --tls out")));
    let sent = with(&[]);
    let mut stream = accept(&listener).await;
    stream.read_buf(&mut Vec::new()).await.unwrap();
    stream.shutdown().await.unwrap();
    let error = sent.await.unwrap().unwrap_err();
    assert!(
        error.starts_with(&format!("{to} ended the TLS handshake; leave --tls out if it speaks no TLS")),
        "{error}"
    );
    drop(stream);
    let server = server_tls((&ca, &certificate, &key), ClientAuth::Required);
    let sent = with(&[]);
    let refused = server.accept(accept(&listener).await).await.map(|_| ());
    assert!(refused.is_err());
    let error = sent.await.unwrap().unwrap_err();
    assert!(
        error.starts_with(&format!("{to} wants a certificate of its clients; give one by --cert and --key")),
        "{error}"
    );
    let stranger = Files::new();
    let (_, stranger, strangers_key) = stranger.certificates("127.0.0.1");
    let sent = with(&["--cert", text(&stranger), "--key", text(&strangers_key)]);
    assert!(server.accept(accept(&listener).await).await.is_err());
    let error = sent.await.unwrap().unwrap_err();
    assert!(error.starts_with(&format!("{to} does not accept the certificate of --cert (")), "{error}");
    let sent = with(&["--cert", text(&certificate), "--key", text(&key)]);
    let mut stream = server.accept(accept(&listener).await).await.unwrap().stream;
    take(&mut stream).await;
    assert_eq!(sent.await.unwrap(), Ok(()));
}

/// What `openssl req -x509` makes: a certificate that signs itself and says it is a CA's.
#[tokio::test]
async fn a_server_that_shows_the_certificate_of_a_ca_is_told_from_others() {
    let files = Files::new();
    let (ca, key) = files.ca_for("gw.test");
    let server = server_tls((&ca, &ca, &key), ClientAuth::None);
    let (listener, to) = listen().await;
    let arguments = ["--tag", "t", "--to", &to, "--retries", "0", "--tls", "--ca", text(&ca), "{}"];
    let sent = run(&[&arguments[..], &["--server-name", "gw.test"]].concat());
    assert!(server.accept(accept(&listener).await).await.is_err());
    let error = sent.await.unwrap().unwrap_err();
    assert!(error.starts_with(&format!("the certificate of {to} is not accepted: ")), "{error}");
    assert!(error.contains("the certificate of a CA") && error.contains("CA:FALSE"), "{error}");
}
