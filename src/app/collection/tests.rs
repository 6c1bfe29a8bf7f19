//! A manager whose identity and sources are what the test says, and which sends to a server that remembers it.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::app::data::Data;
use crate::collection::identity::Identity;
use crate::collection::{Form, Found, Wanted};
use crate::config::{self, Flags};
use crate::output::testing::{Said, Server};
use crate::wire::loggroup::walk;

fn house(dir: &Path, server: &Server) -> House {
    let text = format!(
        "inputs: {{}}\ncollection: {{ destination: {{ endpoint: '{}', access_key_id: i, access_key_secret: s, \
         batch_age: 20ms, compression: none, auto_create: false }}, directory: {} }}",
        server.url(),
        dir.display()
    );
    let file = dir.join("sluicegate.yaml");
    std::fs::write(&file, text).unwrap();
    let flags = Flags { data_dir: Some(dir.join("data")) };
    let plan = Arc::new(config::load(Some(&file), std::iter::empty(), &flags).unwrap());
    let data = Data::open(&plan, Duration::ZERO).unwrap();
    let status = Arc::new(Status::new(plan.clone(), None));
    let (journal, letters) = (data.journal, data.letters);
    let shipping = Shipping::new(journal.clone(), letters, None, status.clone(), plan.time.out_of_range);
    House {
        budget: Budget::new(plan.limits.byte_budget),
        plan,
        instance: data.identity.instance,
        journal,
        duplicates: data.duplicates,
        positions: data.positions,
        shipping: Arc::new(shipping),
        status,
        inputs: Stop::default(),
        ticks: Stop::default(),
    }
}

fn who(hostname: &str, address: &str) -> Arc<Identity> {
    let (hostname, addresses) = (hostname.to_owned(), vec![address.to_owned()]);
    Arc::new(Identity { ids: vec!["web".to_owned()], hostname, addresses })
}

/// Line by line, the files with this name.
fn wanted(dir: &Path, name: &str, pattern: &str) -> Wanted {
    let body = json!({
        "configName": name,
        "inputType": "file",
        "inputDetail": {
            "logType": "common_reg_log", "logPath": dir, "filePattern": pattern, "regex": "(.*)", "key": ["content"],
            "maxDepth": 0, "tailExisted": true,
        },
        "outputDetail": { "logstoreName": "app-log" },
    });
    let (name, project) = (name.to_owned(), "demo".to_owned());
    Wanted {
        source: Source::Directory,
        project,
        name,
        form: Form::Classic,
        body,
        group_topic: None,
        logstores: Vec::new(),
    }
}

/// Of each record that came: host name, `__source__`, text.
fn records(server: &Server) -> Vec<[String; 3]> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut records = Vec::new();
    for seen in server.seen() {
        let group = walk(&seen.body).unwrap();
        let host = group.tags().find(|(key, _)| *key == b"__hostname__").map(|(_, value)| text(value));
        for log in group.logs() {
            let content = log.contents().find(|(key, _)| *key == b"content").map(|(_, value)| text(value));
            records.push([host.clone().unwrap_or_default(), text(group.source), content.unwrap_or_default()]);
        }
    }
    records
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_behind_another_name_and_address_carry_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Said::new(200, "").with("x-log-requestid", "R")).await;
    let house = house(dir.path(), &server);
    let collection = Arc::new(house.plan.collection.clone().unwrap());
    let enabled = BTreeSet::from([Source::Directory]);
    let board = Arc::new(Board::new(&enabled));
    let (known, identity) = watch::channel(who("old", "10.0.0.1"));
    let (found, finds) = mpsc::channel(FOUND);
    let mut manager =
        Manager::new(house.clone(), collection, board.clone(), identity, Arc::<LongestDelay>::default());
    manager.begin(&enabled, Vec::new()).await;
    let managing = tokio::spawn(manager.run(finds));

    let mut log = std::fs::File::create(dir.path().join("one.log")).unwrap();
    let mut write = |lines: std::ops::Range<usize>| lines.for_each(|n| writeln!(log, "line {n}").unwrap());
    let app = wanted(dir.path(), "app", "one.log");
    let mut deep = wanted(dir.path(), "deep", "two.log");
    deep.body["plugin"] = (0..100).fold(json!(0), |inner, _| json!([inner]));
    let twice = wanted(dir.path(), "twice", "one.log");
    let say = |wanted: Vec<Wanted>| Found { source: Source::Directory, wanted, refused: Vec::new() };
    found.send(say(vec![app.clone(), deep])).await.unwrap();
    write(0..10);
    until("the first lines", || records(&server).len() == 10).await;
    let problems = board.problems();
    assert!(problems[0].starts_with("demo.deep is refused: has more than 64 lists"), "{problems:?}");

    known.send_replace(who("new", "10.0.0.2"));
    write(10..15);
    let is_new = |record: &[String; 3]| record[0] == "new" && record[1] == "10.0.0.2";
    let mut end = 15;
    while !records(&server).iter().any(is_new) {
        write(end..end + 1);
        end += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("all lines", || records(&server).len() == end).await;
    let all = records(&server);
    assert!(all.iter().all(|one| is_new(one) || (one[0] == "old" && one[1] == "10.0.0.1")), "{all:?}");
    let mut lines: Vec<&str> = all.iter().map(|one| one[2].as_str()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), end, "each line comes once");

    found.send(say(vec![app, twice])).await.unwrap();
    until("the problem to be told", || {
        board.problems().iter().any(|one| one.starts_with("demo.twice reads the same files as demo.app"))
    })
    .await;
    found.send(say(Vec::new())).await.unwrap();
    until("it to end", || board.problems().is_empty()).await;
    // What nobody collects any more has no sender, and nothing but a number is left of it.
    until("the senders to end", || house.shipping.served() == 0).await;

    house.inputs.draining.cancel();
    managing.await.unwrap();
    house.inputs.tasks.close();
    house.inputs.tasks.wait().await;
    house.ticks.draining.cancel();
    house.shipping.stop(tokio::time::Instant::now() + Duration::from_secs(10)).await;
    house.journal.close().await;
}

#[test]
fn queues_say_where_their_records_belong() {
    assert_eq!(
        place_of("my-project.web.nginx/access"),
        Some(("my-project.web.nginx", "my-project", "access"))
    );
    assert_eq!(place_of("my-project:changes/config-operation-log").unwrap().1, "my-project");
    for other in ["local/default", "pending", "P.x/access", "my-project.web", "my-project.web/A"] {
        assert_eq!(place_of(other), None, "{other}");
    }
}
