//! Sources behind HTTP: what they are asked, and everything they may answer instead of a key.

use std::time::Duration;

use super::*;
use crate::config::plan::AssumeRolePlan;

fn ecs(server: &Server, role: Option<&str>, allow_v1: bool) -> Credentials {
    credentials(CredentialsPlan::EcsRole(EcsRolePlan {
        role: role.map(str::to_owned),
        address: server.url(),
        allow_v1,
    }))
}

const ROLES: &str = "/latest/meta-data/ram/security-credentials/";

#[tokio::test]
async fn the_role_of_the_instance() {
    let server = Server::start(|_, seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("PUT", "/latest/api/token") => {
            assert_eq!(seen.header("x-aliyun-ecs-metadata-token-ttl-seconds"), "21600");
            Said::new(200, "session\n")
        }
        _ if seen.header("x-aliyun-ecs-metadata-token") != "session" => Said::new(403, ""),
        ("GET", ROLES) => Said::new(200, "node-role\n"),
        ("GET", target) if target == format!("{ROLES}node-role") => key("STS.node", 3_600),
        _ => Said::new(404, ""),
    })
    .await;
    let found = ecs(&server, None, false).current().await.unwrap();
    assert_eq!((found.id.as_str(), found.security_token.as_ref().unwrap().expose()), ("STS.node", "t"));
    assert_eq!(server.seen().len(), 3);
    assert_eq!(ecs(&server, Some("node-role"), false).current().await.unwrap().id, "STS.node");
    assert_eq!(server.seen().len(), 5);
    let other = why(&ecs(&server, Some("other"), true)).await;
    assert_eq!(other, "no access key: ecs_ram_role: this instance has no RAM role, or not this one");
}

#[tokio::test]
async fn the_older_way_is_taken_where_it_is_allowed() {
    let server = Server::start(|_, seen| match seen.method.as_str() {
        "PUT" => Said::new(405, ""),
        _ => key("STS.old", 3_600),
    })
    .await;
    assert_eq!(ecs(&server, Some("r"), true).current().await.unwrap().id, "STS.old");
    let refused = why(&ecs(&server, Some("r"), false)).await;
    assert!(refused.ends_with("answers HTTP 405 to the request for a session token"), "{refused}");
    assert_eq!(server.seen().len(), 3);
    // Nobody there: one try, and no key.
    let nobody = CredentialsPlan::EcsRole(EcsRolePlan {
        role: None,
        address: "http://127.0.0.1:1".to_owned(),
        allow_v1: true,
    });
    let absent = why(&credentials(nobody)).await;
    assert!(
        absent.contains("http://127.0.0.1:1 cannot be reached (")
            && absent.ends_with("so this is no ECS instance")
    );
}

#[tokio::test]
async fn answers_that_are_no_keys() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/forbidden" => Said::new(200, r#"{"Code":"Forbidden","Message":"no role"}"#),
        "/html" => Said::new(200, "<html>hunter2</html>"),
        "/half" => Said::new(200, r#"{"AccessKeyId":"i","AccessKeySecret":""}"#),
        "/odd" => Said::new(200, r#"{"AccessKeyId":"i","AccessKeySecret":["hunter2"]}"#),
        "/ended" => key("i", -60),
        "/huge" => Said::new(200, "x".repeat(70_000)),
        "/redirect" => Said::new(302, "").with("location", "/good"),
        "/good" => key("STS.uri", 600),
        // The server's clock counts: this key ended an hour ago by ours.
        "/late" => key("STS.late", -3_600).with("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
        _ => Said::new(500, "hunter2"),
    })
    .await;
    let of = |path: &str| credentials(CredentialsPlan::Uri(Secret::new(format!("{}{path}", server.url()))));
    for (path, expected) in [
        ("/forbidden", "Forbidden: no role"),
        ("/html", "its answer is no JSON"),
        ("/half", "the answer has no AccessKeySecret"),
        ("/odd", "the answer has no AccessKeySecret"),
        ("/ended", "it gives a key that ended at 20"),
        ("/huge", "its answer has more than 65536 bytes"),
        ("/redirect", "it answers HTTP 302"),
        ("/broken", "it answers HTTP 500"),
    ] {
        let found = why(&of(path)).await;
        assert!(found.starts_with(&format!("no access key: uri: {expected}")), "{path}: {found}");
    }
    assert_eq!(of("/good").current().await.unwrap().id, "STS.uri");
    assert_eq!(of("/late").current().await.unwrap().id, "STS.late");
}

fn session(server: &Server) -> SessionPlan {
    SessionPlan { name: "me".to_owned(), duration: Duration::from_secs(900), sts: server.url() }
}

#[tokio::test]
async fn a_token_of_kubernetes_for_a_role() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    let server = Server::start(|_, seen| {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/"));
        assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
        for (name, value) in [
            ("Action", "AssumeRoleWithOIDC"),
            ("Version", "2015-04-01"),
            ("Format", "JSON"),
            ("RoleArn", "acs:ram::1:role/r"),
            ("OIDCProviderArn", "acs:ram::1:oidc-provider/p"),
            ("RoleSessionName", "me"),
            ("DurationSeconds", "900"),
            ("Signature", ""),
        ] {
            assert_eq!(seen.form(name), value, "{name}");
        }
        match seen.form("OIDCToken").as_str() {
            "a.b+c" => {
                Said::new(200, format!(r#"{{"Credentials":{},"RequestId":"R"}}"#, key_text("STS.oidc", 900)))
            }
            _ => Said::new(
                400,
                r#"{"Code":"AuthenticationFail.OIDCToken.Expired","Message":"too\nold","RequestId":"R"}"#,
            ),
        }
    })
    .await;
    let credentials = credentials(CredentialsPlan::Oidc(OidcPlan {
        role_arn: "acs:ram::1:role/r".to_owned(),
        provider_arn: "acs:ram::1:oidc-provider/p".to_owned(),
        token_file: token_file.clone(),
        session: session(&server),
    }));
    assert!(why(&credentials).await.contains("token cannot be read: No such file"));
    let patient = async || loop {
        // A source that failed is left alone for a moment.
        let found = credentials.current().await;
        match &found {
            Err(error) if error.to_string().contains("cannot be read") => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => break found,
        }
    };
    std::fs::write(&token_file, "old").unwrap();
    let refused = patient().await.unwrap_err().to_string();
    assert!(
        refused.ends_with("answers HTTP 400: AuthenticationFail.OIDCToken.Expired: too old"),
        "{refused}"
    );
    std::fs::write(&token_file, "a.b+c\n").unwrap();
    let Credentials::Renewed(renewal) = &credentials else { panic!() };
    assert!(
        renewal
            .renew_refused(&AccessKey {
                id: String::new(),
                secret: Secret::new(String::new()),
                security_token: None
            })
            .await
    );
    assert_eq!(credentials.current().await.unwrap().id, "STS.oidc");
}

#[tokio::test]
async fn a_role_by_another_key_and_the_clock_of_sts() {
    let then = 1_700_000_000;
    let server = Server::start(move |before, seen| {
        let now = "Tue, 14 Nov 2023 22:13:20 GMT";
        assert_eq!(
            (
                seen.form("Action"),
                seen.form("AccessKeyId"),
                seen.form("SecurityToken"),
                seen.form("ExternalId")
            ),
            ("AssumeRole".into(), "id".into(), "token".into(), "x".into())
        );
        assert_eq!((seen.form("Signature").len(), seen.form("SignatureNonce").len()), (28, 32));
        match before {
            0 => Said::new(400, r#"{"Code":"InvalidTimeStamp.Expired","Message":"m"}"#).with("date", now),
            _ => {
                let sent: jiff::Timestamp = seen.form("Timestamp").parse().unwrap();
                assert!((sent.as_second() - then).abs() < 60, "{sent}");
                let credentials = r#"{"AccessKeyId":"STS.role","AccessKeySecret":"s","SecurityToken":"t",
                    "Expiration":"2023-11-14T23:13:20Z"}"#;
                Said::new(200, format!(r#"{{"Credentials":{credentials}}}"#)).with("date", now)
            }
        }
    })
    .await;
    let with = CredentialsPlan::Fixed(KeyPlan {
        id: "id".to_owned(),
        secret: Secret::new("s".to_owned()),
        security_token: Some(Secret::new("token".to_owned())),
    });
    let plan = AssumeRolePlan {
        role_arn: "arn".to_owned(),
        external_id: Some("x".to_owned()),
        session: session(&server),
        with,
    };
    let role = credentials(CredentialsPlan::AssumeRole(Box::new(plan.clone())));
    assert_eq!(role.current().await.unwrap().id, "STS.role");
    assert_eq!(server.seen().len(), 2);
    let with = CredentialsPlan::Chain(vec![CredentialsPlan::Missing { source: "oidc", why: "w".to_owned() }]);
    let role = credentials(CredentialsPlan::AssumeRole(Box::new(AssumeRolePlan { with, ..plan })));
    assert_eq!(why(&role).await, "no access key: oidc: w");
}

#[tokio::test]
async fn many_who_ask_ask_once() {
    let server =
        Server::start(|_, _| Said { delay: Duration::from_millis(100), ..key("STS.1", 3_600) }).await;
    let keyring = Keyring::default();
    let plan = CredentialsPlan::Uri(Secret::new(server.url()));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..50 {
        let credentials = keyring.of(&format!("destination {number}"), &plan, &TransportPlan::default());
        asking.spawn(async move { credentials.current().await.unwrap().id.clone() });
    }
    assert!(asking.join_all().await.iter().all(|id| id == "STS.1"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_refused_key_is_replaced_once() {
    let server = Server::start(|before, _| key(&format!("STS.{before}"), 3_600)).await;
    let credentials = credentials(CredentialsPlan::Uri(Secret::new(server.url())));
    let first = credentials.current().await.unwrap();
    assert!(credentials.renew_refused(&first).await);
    // Who comes late with the first one gets what there is.
    assert!(credentials.renew_refused(&first).await);
    let second = credentials.current().await.unwrap();
    assert_eq!((second.id.as_str(), server.seen().len()), ("STS.1", 2));
    assert!(!credentials.renew_refused(&second).await, "not again so soon");
    assert_eq!(server.seen().len(), 2);
    let fixed = Credentials::Static(second.clone());
    assert!(!fixed.renew_refused(&second).await);
}

#[tokio::test]
async fn who_fails_is_left_alone_for_a_moment() {
    let server =
        Server::start(|before, _| if before == 0 { Said::new(500, "") } else { key("STS.1", 3_600) }).await;
    let credentials = credentials(CredentialsPlan::Uri(Secret::new(server.url())));
    for _ in 0..5 {
        assert_eq!(why(&credentials).await, "no access key: uri: it answers HTTP 500");
    }
    assert_eq!(server.seen().len(), 1);
    while credentials.current().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.seen().len(), 2);
}
