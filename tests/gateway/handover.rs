//! One gateway takes another's place on the same data directory.

use std::sync::Arc;

use sluicegate::app::{Gateway, Inherited, take_over};
use sluicegate::config::plan::Plan;
use sluicegate::config::{self, Flags};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::harness::{EMBEDDED, PATIENCE, TestGateway, start_in};

fn plan(dir: &std::path::Path, name: &str, change: impl Fn(String) -> String) -> Plan {
    let text = std::fs::read_to_string(dir.join("sluicegate.yaml")).unwrap();
    let file = dir.join(name);
    std::fs::write(&file, change(text)).unwrap();
    let flags = Flags { data_dir: Some(dir.join("data")) };
    config::load(Some(&file), std::iter::empty(), &flags).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn ask(old: &TestGateway) -> Inherited {
    timeout(PATIENCE, take_over(&old.data())).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_cannot_listen_changes_nothing_and_the_next_one_succeeds() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let socket = dir.path().join("s");
    let inputs = format!("inputs: {{ forward: {{ listen: 'unix:{}' }} }}", socket.display());
    let old = start_in(dir.clone(), &format!("{EMBEDDED}\n{inputs}")).await;
    let old = Arc::new(old);

    let handed = tokio::spawn({
        let old = old.clone();
        async move { old.gateway.handed_over().await }
    });
    let one = format!("'unix:{}'", socket.display());
    let broken = plan(dir.path(), "broken.yaml", |text| {
        text.replace(&one, &format!("[{one}, 'unix:{}/no/s']", dir.path().display()))
    });
    let refused = Gateway::start_with(broken, None, ask(&old).await).await.err().unwrap();
    assert!(format!("{refused:#}").contains("directory is not there"), "{refused:#}");
    UnixStream::connect(&socket).await.expect("the old one listens, and its file is there");
    assert!(!handed.is_finished());

    let good = plan(dir.path(), "good.yaml", |text| text);
    let inherited = ask(&old).await;
    let starting = tokio::spawn(Gateway::start_with(good, None, inherited));
    let successor = timeout(PATIENCE, handed).await.unwrap().unwrap();
    let Ok(old) = Arc::try_unwrap(old).map_err(drop) else { panic!("somebody holds it") };
    let data = old.data();
    old.gateway.make_way(successor).await;
    let gateway = timeout(PATIENCE, starting).await.unwrap().unwrap().unwrap();
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream.write_all(b"\x93\xa1t\xce\x6a\x00\x00\x00\x81\xa1a\xa1b").await.unwrap();
    drop(stream);
    // The next one finds the way as well.
    assert!(data.join("handover.sock").exists());
    let new = TestGateway { gateway, dir };
    let found = async {
        while new.query("default", "*").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap();
    new.stop().await;
    assert!(!socket.exists(), "it is the last one's to remove");
}
