//! Keys over time: the clock of the runtime stands still and is moved by the tests. Only files are used here, since a clock
//! that jumps would end every request.

use std::time::Duration;

use super::*;

async fn id(credentials: &Credentials) -> Result<String, String> {
    credentials.current().await.map(|key| key.id.clone()).map_err(|error| error.to_string())
}

/// Asks until the answer is this one, while time goes on.
async fn becomes(credentials: &Credentials, expected: Result<&str, &str>) {
    for _ in 0..10_000 {
        let found = id(credentials).await;
        if found.as_deref().map_err(String::as_str) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?} did not become {expected:?}", id(credentials).await);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, "access_key_id: one\nsecret: s\n").unwrap();
    let credentials = credentials(file(&path));
    let first = credentials.current().await.unwrap();
    becomes(&credentials, Ok("one")).await;
    assert!(Arc::ptr_eq(&first, &credentials.current().await.unwrap()), "the same key stays the same");
    std::fs::write(&path, "access_key_id: two\nsecret: s\n").unwrap();
    becomes(&credentials, Ok("two")).await;
    // Half written, gone: the key there is goes on.
    for text in [Some("access_key_id: thr"), None, Some("")] {
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        for _ in 0..50 {
            assert_eq!(id(&credentials).await, Ok("two".to_owned()));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    std::fs::write(&path, "access_key_id: three\nsecret: s\n").unwrap();
    becomes(&credentials, Ok("three")).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_is_never_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, key_text("one", 1_000)).unwrap();
    let credentials = credentials(file(&path));
    assert_eq!(id(&credentials).await, Ok("one".to_owned()));
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(id(&credentials).await, Ok("one".to_owned()), "its source fails, but it lives");
    tokio::time::sleep(Duration::from_secs(95)).await;
    let gone = format!("no access key: {}: it is not there", path.display());
    assert_eq!(id(&credentials).await, Err(gone.clone()));
    // What ended already is none. Its end is by the machine's clock, which does not stand still.
    std::fs::write(&path, key_text("two", -5)).unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let ended = id(&credentials).await.unwrap_err();
    assert!(ended.contains("it gives a key that ended at 20"), "{ended}");
    std::fs::write(&path, key_text("three", 1_000)).unwrap();
    becomes(&credentials, Ok("three")).await;
}

#[tokio::test(start_paused = true)]
async fn while_its_key_lives_a_source_is_kept_to() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    std::fs::write(&other, "access_key_id: other\nsecret: s\n").unwrap();
    let list = || credentials(CredentialsPlan::FirstOf(vec![file(&one), file(&other)]));
    let credentials = list();
    assert_eq!(id(&credentials).await, Ok("other".to_owned()));
    std::fs::write(&one, key_text("one", 1_000)).unwrap();
    let credentials = list();
    assert_eq!(id(&credentials).await, Ok("one".to_owned()));
    std::fs::remove_file(&one).unwrap();
    for _ in 0..90 {
        assert_eq!(id(&credentials).await, Ok("one".to_owned()));
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    becomes(&credentials, Ok("other")).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_whose_source_is_gone_gives_way_to_the_next_source() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    std::fs::write(&one, "access_key_id: one\nsecret: s\n").unwrap();
    let credentials = credentials(CredentialsPlan::FirstOf(vec![file(&one), file(&other)]));
    let first = credentials.current().await.unwrap();
    std::fs::remove_file(&one).unwrap();
    assert!(!credentials.renew_refused(&first).await, "nobody has another one");
    assert_eq!(id(&credentials).await, Ok("one".to_owned()), "refused is more than none");
    std::fs::write(&other, "access_key_id: other\nsecret: s\n").unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(credentials.renew_refused(&first).await);
    assert_eq!(id(&credentials).await, Ok("other".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_ahead_of_their_end() {
    for (life, earliest, latest) in [(3_600, 2_520, 2_700), (6 * 3_600, 20_520, 20_700), (900, 540, 600)] {
        let fetched = |life| source::Fetched {
            key: AccessKey { id: "i".to_owned(), secret: Secret::new("s".to_owned()), security_token: None },
            life: Some(Duration::from_secs(life)),
            reread: false,
            from: "here".to_owned(),
        };
        let renewal = Renewal::new("test", CredentialsPlan::FirstOf(Vec::new()), TransportPlan::default());
        let now = tokio::time::Instant::now();
        let (stale, dead) = renewal.hold_for_test(fetched(life));
        let (stale, dead) = ((stale - now).as_secs(), (dead - now).as_secs());
        assert!((earliest..=latest).contains(&stale), "{life}: {stale}");
        assert_eq!(dead, life - 10);
    }
}
