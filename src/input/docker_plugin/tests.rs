//! The plugin with real FIFOs: a thread plays the engine, and a gateway that is killed is one whose files are copied.

mod engine;
mod house;

use engine::{Engine, frame, numbered};
use house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_container_is_read_to_its_end() {
    let house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, r#"{"tag":"{{.Name}}","env":"APP","labels":"team"}"#).await;
    engine.write(include_bytes!("../../../tests/data/docker/plugin-fifo.bin"));
    house.stop(&engine).await;
    house.wait_finished().await;
    let records = house.records().await;
    let logs: Vec<&[u8]> = records.iter().map(|record| record.value("log")).collect();
    assert_eq!(logs.len(), 6);
    assert_eq!(&logs[..4], [b"hello".as_slice(), b"oops", b"", b"caf\xc3\xa9 bin\0\x01\xef\xbf\xbd end"]);
    assert_eq!(logs[4].len(), 20_000);
    // The unfinished line is emitted by the joiner's timer; without it the piece would wait in the journal.
    assert_eq!(logs[5], b"no newline");
    let keys: Vec<&str> = records[0].0.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["log", "source", "container_id", "container_name", "image_name", "APP", "team"]);
    assert_eq!(records[1].value("source"), b"stderr");
    assert_eq!(records[0].value("container_name"), b"web");
    assert_eq!(house.states(), 0);
    assert_eq!(house.positions(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_lost_and_nothing_comes_twice() {
    const LINES: usize = 100_000;
    let mut house = House::new().await;
    let engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    let writing = engine.write_in_background(numbered(0..LINES));
    for _ in 0..6 {
        house.wait_for_more(|| writing.is_finished() && engine.waiting() == 0).await;
        house.kill().await;
    }
    writing.join().unwrap();
    house.stop(&engine).await;
    house.wait_finished().await;
    assert_eq!(house.numbers().await, (0..LINES).collect::<Vec<_>>());
}

/// The one moment at which an entry is in the journal and in the FIFO.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_storing_and_taking_nothing_comes_twice() {
    let mut house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    let first = numbered(0..100);
    engine.write(&first);
    house.wait_taken(&engine).await;
    house.kill_without_start().await;
    // As if the process had been killed before it took them.
    engine.write(&first);
    engine.write(&numbered(100..150));
    house.restart().await;
    engine.write(&numbered(150..200));
    house.stop(&engine).await;
    house.wait_finished().await;
    assert_eq!(house.numbers().await, (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_costs_its_own_bytes() {
    let house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    engine.write(b"\xff\xff\xff\xffgarbage");
    engine.write(&numbered(0..10));
    let cut = frame(&[b'x'; 5000]);
    engine.write(&cut[..3000]);
    engine.write(&numbered(10..400));
    engine.write(&frame(&vec![b'y'; 999_000]));
    engine.write(&numbered(400..410));
    engine.write(&cut[..100]);
    house.stop(&engine).await;
    house.wait_finished().await;
    let records = house.records().await;
    let numbers: Vec<usize> = records.iter().filter_map(house::Record::number).collect();
    assert_eq!(numbers, (0..410).collect::<Vec<_>>());
    assert!(records.iter().any(|record| record.value("log").len() == 999_000));
    assert_eq!(records.len(), 411);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_the_rest_in_the_fifo() {
    let mut house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    engine.write(&numbered(0..10));
    house.wait_taken(&engine).await;
    house.shut_down().await;
    engine.write(&numbered(10..20));
    house.restart().await;
    house.wait_taken(&engine).await;
    assert_eq!(house.states(), 1);
    // The engine dies: its end closes without a word, and its FIFO is nobody's.
    engine.die();
    house.wait_finished().await;
    assert_eq!(house.numbers().await, (0..20).collect::<Vec<_>>());
    assert!(!engine.path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_that_is_gone_is_forgotten() {
    let mut house = House::new().await;
    let engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    house.shut_down().await;
    assert_eq!(house.states(), 1);
    std::fs::remove_file(&engine.path).unwrap();
    house.restart().await;
    house.wait_forgotten().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_is_answered() {
    let house = House::new().await;
    let engine = Engine::new(house.dir()).await;
    let call = |path: &'static str, body: String| house.call(path, body);
    assert_eq!(call("/Plugin.Activate", String::new()).await, r#"{"Implements":["LogDriver"]}"#);
    assert_eq!(call("/LogDriver.Capabilities", String::new()).await, r#"{"Cap":{"ReadLogs":true}}"#);
    for (options, what) in [
        (r#"{"logstor":"x"}"#, "unknown log option"),
        (r#"{"logstore":"No"}"#, "logstore"),
        (r#"{"tag":"{{.Nmae}}"}"#, "none of .ID"),
    ] {
        let answer = call("/LogDriver.StartLogging", engine.start(options)).await;
        assert!(answer.starts_with("{\"Err\":\"") && answer.contains(what), "{answer}");
    }
    assert_eq!(house.states(), 0);
    let start = engine.start("{}");
    for _ in 0..2 {
        assert_eq!(call("/LogDriver.StartLogging", start.clone()).await, r#"{"Err":""}"#);
    }
    let missing = start.replace("fifo", "none");
    assert!(call("/LogDriver.StartLogging", missing).await.contains("cannot open the FIFO"));
    let foreign = start.replace(&engine.path.display().to_string(), "/etc/hostname");
    assert!(call("/LogDriver.StartLogging", foreign).await.contains("is no FIFO"));
    assert!(call("/LogDriver.StopLogging", "{".to_owned()).await.contains("not what the engine sends"));
    assert!(call("/VolumeDriver.Create", String::new()).await.contains("this plugin has no"));
    assert_eq!(house.states(), 1);
    let state = house.state_text();
    assert!(!state.contains("SECRET") && state.contains("docker.web"), "{state}");
}

/// The bytes of a real engine, whose `Host` is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_calls_are_answered() {
    let house = House::new().await;
    let mut rest = &include_bytes!("../../../tests/data/docker/plugin-legacy-http.bin")[..];
    let mut answers = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (request, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        answers.push(house.send(request).await);
        rest = behind;
    }
    assert!(answers[0].contains("LogDriver") && answers[1].contains("ReadLogs"));
    assert!(answers[2].contains(r#"unknown log option \"anything\""#), "{}", answers[2]);
    assert!(answers[3].ends_with(r#"{"Err":""}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_logs_reads_what_was_written() {
    let house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    engine.write(&numbered(0..30));
    house.wait_taken(&engine).await;
    assert_eq!(house.logs(&engine, r#"{"Tail":3}"#).await, "27\n28\n29\n");
    let mut following = house.open_logs(&engine, r#"{"Tail":1,"Follow":true}"#).await;
    following.read_until(b"29\n").await;
    for line in ["30", "31"] {
        engine.write(&frame(line.as_bytes()));
        following.read_until(format!("{line}\n").as_bytes()).await;
    }
    engine.write(&frame(b"32"));
    house.stop(&engine).await;
    assert_eq!(following.text().await, "29\n30\n31\n32\n");
    house.wait_finished().await;
    // As the engine does it for a container that has stopped: with a FIFO in which nothing comes.
    let again = Engine::named(house.dir(), "fifo-again").await;
    house.start(&again, "{}").await;
    assert!(house.logs(&again, r#"{"Tail":2}"#).await.ends_with("31\n32\n"));
    house.stop(&again).await;
    house.wait_finished().await;
}

/// Many containers at once, with lines of both kinds and an entry in two writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_do_not_mix() {
    let house = House::new().await;
    let mut engines = Vec::new();
    for name in ["fifo-a", "fifo-b", "fifo-c", "fifo-d"] {
        let engine = Engine::named(house.dir(), name).await;
        house.start(&engine, "{}").await;
        engines.push(engine);
    }
    let writers: Vec<_> =
        engines.iter().map(|engine| engine.write_in_background(numbered(0..5000))).collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for engine in &mut engines {
        let bytes = frame(b"5000");
        engine.write(&bytes[..7]);
        house.wait_seen(engine).await;
        engine.write(&bytes[7..]);
        house.stop(engine).await;
    }
    house.wait_finished().await;
    let numbers = house.numbers().await;
    assert_eq!(numbers.len(), 4 * 5001);
}

/// The engine removes the FIFO once its StopLogging is answered: what is in it then must be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_right_after_a_container_ended_nothing_is_lost() {
    const LINES: usize = 30_000;
    let mut house = House::new().await;
    let mut engine = Engine::new(house.dir()).await;
    house.start(&engine, "{}").await;
    engine.write(&numbered(0..LINES));
    house.stop(&engine).await;
    engine.die();
    std::fs::remove_file(&engine.path).unwrap();
    house.kill().await;
    house.wait_forgotten().await;
    assert_eq!(house.numbers().await, (0..LINES).collect::<Vec<_>>());
}
