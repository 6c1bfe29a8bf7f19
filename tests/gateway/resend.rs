//! `sluicegate refused`, the program: dead letters of a gateway that runs, and of one that does not.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fake_service::FakeService;
use super::harness::{message, start, until};

/// Runs it in a thread, since the service it speaks to runs in this process.
async fn refused(dir: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    // Nothing listens on port 1: another gateway of this machine is none of ours.
    command.args(["refused", "--operations", "127.0.0.1:1", "--config"]).arg(dir.join("sluicegate.yaml"));
    command.arg("--data-dir").arg(dir.join("data")).args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn dead_letters_are_listed_shown_sent_again_and_dropped() {
    let well = Arc::new(AtomicBool::new(false));
    let service = FakeService::start({
        let well = well.clone();
        move |_| if well.load(Ordering::Relaxed) { (200, "") } else { (400, "PostBodyInvalid") }
    })
    .await;
    let gateway = start(&service.destination("")).await;
    for n in 0..3 {
        gateway.send(&message(&format!("t{n}"), 1_700_000_000, &[("n", &n.to_string())], None)).await;
        until("a dead letter", async || gateway.letters().len() == n + 1).await;
    }
    let dir = gateway.dir.clone();
    let listed = refused(dir.path(), &["list", "--json"]).await;
    let names: Vec<String> = text(&listed)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|letter| {
            assert_eq!((&letter["destination"], &letter["records"]), (&"cloud/app-log".into(), &1.into()));
            letter["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.len(), 3);
    let table = text(&refused(dir.path(), &["list"]).await);
    assert!(table.contains("PostBodyInvalid") && table.contains("3 dead letters, 3 records"), "{table}");
    let shown = text(&refused(dir.path(), &["show", &names[0]]).await);
    assert!(shown.contains("n=0") && shown.contains("0123456789ABCDEF01234567"), "{shown}");

    let kept = refused(dir.path(), &["resend", "--destination", "cloud"]).await;
    assert_eq!((kept.status.code(), gateway.letters().len()), (Some(1), 3), "{}", text(&kept));
    gateway.stop().await;

    well.store(true, Ordering::Relaxed);
    let first = service.puts();
    let sent = refused(dir.path(), &["resend", &names[0], &names[1]]).await;
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent));
    for put in service.accepted() {
        assert!(first.iter().any(|before| before.group == put.group), "the same bytes and pack id");
    }
    assert_eq!(service.accepted().len(), 2);
    let dropped = text(&refused(dir.path(), &["drop", "--all"]).await);
    assert_eq!(dropped.trim(), format!("dropped {}", names[2]));
    assert!(text(&refused(dir.path(), &["list"]).await).contains("no dead letters in"));
}

#[tokio::test]
async fn two_who_send_again_at_once_send_each_letter_once() {
    let well = Arc::new(AtomicBool::new(false));
    let service = FakeService::start({
        let well = well.clone();
        move |_| if well.load(Ordering::Relaxed) { (200, "") } else { (400, "PostBodyInvalid") }
    })
    .await;
    let gateway = start(&service.destination("shard_key: [__topic__]")).await;
    for n in 0..8 {
        gateway.send(&message(&format!("t{n}"), 1_700_000_000, &[("n", &n.to_string())], None)).await;
        until("a dead letter", async || gateway.letters().len() == n + 1).await;
    }
    let dir = gateway.dir.clone();
    gateway.stop().await;
    // What no destination is configured for keeps nobody else from being sent.
    let strange = dir.path().join("data/refused/000000000001-000001-no.loggroup");
    std::fs::write(&strange, "{\"destination\":\"no/web\",\"reason\":\"r\",\"records\":1}\n").unwrap();
    well.store(true, Ordering::Relaxed);
    let all = ["resend", "--all"];
    let (one, other) = tokio::join!(refused(dir.path(), &all), refused(dir.path(), &all));
    let said = text(&one) + &text(&other);
    assert_eq!(service.accepted().len(), 8, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("accepted ")).count(), 8, "{said}");
    assert!(strange.exists() && said.contains("no destinations.no"), "{said}");
}
