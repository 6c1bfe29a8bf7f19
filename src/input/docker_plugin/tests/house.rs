//! A gateway with nothing but this plugin, and its records as they were stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::engine::Engine;
use crate::base::signal::Signal;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{DockerPluginPlan, JoinPlan, Plan, UnixPlan};
use crate::config::{self, Flags};
use crate::input::budget::Budget;
use crate::input::docker_plugin::DockerPlugin;
use crate::input::positions::Positions;
use crate::input::{Intake, Stop};
use crate::journal::{Journal, Options};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::join::{JoinSettings, Joiner, Marks};
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;
use crate::wire::log_entry::LogEntry;
use crate::wire::loggroup::{packed, walk};

const WAIT: Duration = Duration::from_secs(60);

pub(super) struct House {
    dir: tempfile::TempDir,
    plan: Plan,
    data: PathBuf,
    run: usize,
    rooms: Option<Rooms>,
}

struct Rooms {
    journal: Journal,
    pipeline: Arc<Pipeline>,
    positions: Arc<Positions>,
    plugin: Arc<DockerPlugin>,
    stop: Stop,
    serving: tokio::task::JoinHandle<()>,
    /// Its own, so that it can be ended with everything in it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Rooms {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Keys and values.
pub(super) struct Record(pub(super) Vec<(String, Vec<u8>)>);

impl Record {
    pub(super) fn value(&self, key: &str) -> &[u8] {
        self.0.iter().find(|(known, _)| known == key).map_or(b"", |(_, value)| value)
    }

    pub(super) fn number(&self) -> Option<usize> {
        std::str::from_utf8(self.value("log")).ok()?.parse().ok()
    }
}

impl House {
    pub(super) async fn new() -> House {
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data0");
        let mut house = House { dir, plan, data, run: 0, rooms: None };
        house.restart().await;
        house
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn rooms(&self) -> &Rooms {
        self.rooms.as_ref().unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(format!("plugin{}.sock", self.run))
    }

    pub(super) async fn restart(&mut self) {
        self.run += 1;
        let join = JoinPlan { partial: true, timeout: Duration::from_secs(5), max_line: 1 << 20 };
        let plan = DockerPluginPlan {
            socket: self.socket(),
            unix: UnixPlan { mode: 0o600, user: None, group: None },
            tag: DockerTag::parse("docker.{{.Name}}").unwrap(),
            read_logs_bytes: 1 << 20,
            join,
        };
        let journal = Journal::open(Options::new(self.data.join("journal"))).unwrap();
        let (destinations, _) = Destinations::new(&self.plan, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let settings = JoinSettings::new(&join, Marks::Fields).unwrap();
        let joiner = Joiner::new(journal.clone(), [("plugin".to_owned(), settings)].into());
        let tidy = Tidy::new(self.plan.time.out_of_range);
        let pipeline = Pipeline::new(
            Router::new(&self.plan),
            destinations,
            Some(joiner),
            identity,
            tidy,
            journal.clone(),
        );
        let pipeline = Arc::new(pipeline);
        let intake = Arc::new(Intake::new(pipeline.clone(), Budget::new(4 << 20)));
        let positions = Arc::new(Positions::open(journal.clone()));
        let state = self.data.join("docker-plugin");
        let plugin = DockerPlugin::open("plugin", plan, intake, positions.clone(), &state).unwrap();
        let plugin = Arc::new(plugin);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let guard = runtime.enter();
        let listener = UnixListener::bind(self.socket()).unwrap();
        let stop = Stop::default();
        let serving = runtime.spawn(plugin.clone().run(listener, stop.clone()));
        drop(guard);
        let runtime = Some(runtime);
        self.rooms = Some(Rooms { journal, pipeline, positions, plugin, stop, serving, runtime });
        self.until(|house| house.rooms().plugin.found.lock().unwrap().is_empty()).await;
    }

    /// Stops in order.
    pub(super) async fn shut_down(&mut self) {
        let mut rooms = self.rooms.take().unwrap();
        rooms.stop.draining.cancel();
        (&mut rooms.serving).await.unwrap();
        rooms.stop.tasks.close();
        rooms.stop.tasks.wait().await;
        rooms.journal.close().await;
    }

    /// What is on the disk at this moment is what the next one finds; what this one does from now on is lost.
    pub(super) async fn kill(&mut self) {
        self.kill_without_start().await;
        self.restart().await;
    }

    pub(super) async fn kill_without_start(&mut self) {
        let mut rooms = self.rooms.take().unwrap();
        let runtime = rooms.runtime.take().unwrap();
        // Every task ends where it is.
        tokio::task::block_in_place(|| runtime.shutdown_timeout(WAIT));
        let copy = self.dir.path().join(format!("data{}", self.run));
        // Perhaps without what the journal is about to write, perhaps with it.
        copy_dir(&self.data, &copy);
        rooms.journal.close().await;
        self.data = copy;
    }

    async fn until(&self, done: impl Fn(&House) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < WAIT, "it does not come to pass");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn wait_finished(&self) {
        self.until(|house| house.rooms().plugin.active.lock().unwrap().is_empty()).await;
    }

    /// Until nothing is known of any container.
    pub(super) async fn wait_forgotten(&self) {
        self.until(|house| house.states() == 0 && house.positions() == 0).await;
    }

    /// Until nothing is left in the FIFO.
    pub(super) async fn wait_taken(&self, engine: &Engine) {
        self.until(|_| engine.waiting() == 0).await;
    }

    /// Until only the beginning of an entry is left.
    pub(super) async fn wait_seen(&self, engine: &Engine) {
        self.until(|_| engine.waiting() < 8).await;
    }

    /// Until something more was stored, or there is nothing more.
    pub(super) async fn wait_for_more(&self, is_over: impl Fn() -> bool) {
        let before = self.commits();
        self.until(|house| house.commits() > before || is_over()).await;
    }

    fn commits(&self) -> u64 {
        self.rooms().journal.last_receipt().number()
    }

    pub(super) fn states(&self) -> usize {
        std::fs::read_dir(self.data.join("docker-plugin")).unwrap().count()
    }

    pub(super) fn state_text(&self) -> String {
        let entry = std::fs::read_dir(self.data.join("docker-plugin")).unwrap().next().unwrap().unwrap();
        std::fs::read_to_string(entry.path()).unwrap()
    }

    pub(super) fn positions(&self) -> usize {
        self.rooms().positions.keys(b"fifo ").len()
    }

    pub(super) async fn start(&self, engine: &Engine, options: &str) {
        assert_eq!(self.call("/LogDriver.StartLogging", engine.start(options)).await, r#"{"Err":""}"#);
    }

    pub(super) async fn stop(&self, engine: &Engine) {
        let body = format!(r#"{{"File":"{}"}}"#, engine.path.display());
        assert_eq!(self.call("/LogDriver.StopLogging", body).await, r#"{"Err":""}"#);
    }

    /// The body of the answer.
    pub(super) async fn call(&self, path: &str, body: String) -> String {
        call(self.socket(), path.to_owned(), body).await
    }

    /// The answer to these bytes.
    pub(super) async fn send(&self, request: &[u8]) -> String {
        let answer = send(self.socket(), request.to_vec()).await;
        String::from_utf8(answer).unwrap()
    }

    /// What `docker logs` prints.
    pub(super) async fn logs(&self, engine: &Engine, config: &str) -> String {
        self.open_logs(engine, config).await.text().await
    }

    pub(super) async fn open_logs(&self, engine: &Engine, config: &str) -> Logs {
        let body = format!(r#"{{"Info":{},"Config":{config}}}"#, engine.info("{}"));
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        stream.write_all(&post("/LogDriver.ReadLogs", &body)).await.unwrap();
        Logs { stream, answer: Vec::new() }
    }

    pub(super) async fn numbers(&self) -> Vec<usize> {
        self.records().await.iter().filter_map(Record::number).collect()
    }

    /// All that is stored for the default destination, in order.
    pub(super) async fn records(&self) -> Vec<Record> {
        let rooms = self.rooms();
        rooms.pipeline.store_overdue(Instant::now() + Duration::from_secs(60));
        rooms.journal.last_receipt().stored().await.unwrap();
        let queue = rooms.pipeline.destinations.default_of(self.plan.default_destination, Signal::Logs).queue;
        let mut records = Vec::new();
        for entry in rooms.journal.lease(queue, usize::MAX) {
            let payload = rooms.journal.read(&entry).unwrap();
            let logs = match packed::raw_len(&entry.mark) {
                Some(len) => lz4_flex::block::decompress(&payload, len).unwrap(),
                None => payload.to_vec(),
            };
            for log in walk(&logs).unwrap().logs() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                records
                    .push(Record(log.contents().map(|(key, value)| (text(key), value.to_vec())).collect()));
            }
        }
        records
    }
}

/// The answer to a ReadLogs, as it arrives.
pub(super) struct Logs {
    stream: UnixStream,
    answer: Vec<u8>,
}

impl Logs {
    pub(super) async fn read_until(&mut self, text: &[u8]) {
        while memchr::memmem::find(&self.answer, text).is_none() {
            assert!(self.stream.read_buf(&mut self.answer).await.unwrap() > 0);
        }
    }

    /// All lines, once the answer has ended.
    pub(super) async fn text(mut self) -> String {
        self.stream.read_to_end(&mut self.answer).await.unwrap();
        let at = memchr::memmem::find(&self.answer, b"\r\n\r\n").unwrap() + 4;
        let entries = unchunk(&self.answer[at..]);
        let mut rest = &entries[..];
        let mut text = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            text.extend_from_slice(LogEntry::read(message).unwrap().line);
            rest = behind;
        }
        String::from_utf8(text).unwrap()
    }
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn call(socket: PathBuf, path: String, body: String) -> String {
    let answer = String::from_utf8(send(socket, post(&path, &body)).await).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn send(socket: PathBuf, request: Vec<u8>) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    if memchr::memmem::find(&request, b"Connection: close").is_none() {
        // One answer of known length; the connection stays.
        while !answer.ends_with(b"}") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
        return answer;
    }
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = memchr::memmem::find(body, b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return out;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 2 + len + 2..];
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
