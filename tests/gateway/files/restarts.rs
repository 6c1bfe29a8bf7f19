//! The program is told to stop, or killed, while an application writes.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::program::Program;
use super::volume::{Log, Volume, assert_each_once, count, delivered, numbers};
use crate::gateway::fake_service::FakeService;
use crate::gateway::harness::until;

/// A program with its own directory, which delivers to a service that takes everything.
struct House {
    volume: Volume,
    own: tempfile::TempDir,
    service: FakeService,
}

impl House {
    async fn new(settings: &str, batch_age: &str, extra: &str) -> House {
        let volume = Volume::new();
        let own = tempfile::tempdir().unwrap();
        let service = FakeService::start(|_| (200, "")).await;
        let text = format!(
            "operations: {{ listen: '127.0.0.1:0' }}\ninputs:\n  app: {{ type: file, paths: {}, {settings} }}\n{}\n{extra}\n",
            volume.text("*.log"),
            service.destination("").replace("50ms", batch_age)
        );
        fs::write(own.path().join("sluicegate.yaml"), text).unwrap();
        House { volume, own, service }
    }

    async fn start(&self) -> Program {
        Program::start(&self.own.path().join("sluicegate.yaml"), &self.data()).await
    }

    fn data(&self) -> PathBuf {
        self.own.path().join("data")
    }

    async fn wait(&self, lines: usize) {
        until("lines", async || count(&self.service, "app-log") >= lines).await;
    }

    fn lines(&self) -> Vec<String> {
        delivered(&self.service, "log").remove("app-log").unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn last_words_behind_sigterm_are_delivered() {
    let house = House::new("stop_delay: 2s", "50ms", "").await;
    let log = house.volume.log("app.log");
    log.put("before\n");
    let gateway = house.start().await;
    house.wait(1).await;
    gateway.terminate();
    log.put("behind\nunfinished");
    house.volume.log("new.log").put("of a new file\n");
    let (status, said) = gateway.ended().await;
    assert!(status.success(), "{said}");
    let mut lines = house.lines();
    lines.sort();
    assert_eq!(lines, ["before", "behind", "of a new file"]);
    // The line that was not finished is one when it is.
    log.put(" no more\n");
    let gateway = house.start().await;
    house.wait(4).await;
    gateway.stop().await;
    assert_eq!(house.lines().last().unwrap(), "unfinished no more");
    assert_eq!(house.lines().len(), 4);
}

/// An application that needs longer to stop than half of the deadline, and says something now and then: what it says within
/// `stop_delay` is delivered, though senders have something to deliver all the time.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_stops_slowly_is_heard_to_its_end() {
    let house = House::new("stop_delay: 4s", "1m", "limits: { stop_deadline: 7s }").await;
    let log = house.volume.log("app.log");
    log.put("");
    let writer = Writer::start(log, Duration::from_millis(150));
    let gateway = house.start().await;
    until("lines", async || writer.written() > 100).await;
    let told = Instant::now();
    gateway.terminate();
    let (status, said) = gateway.ended().await;
    assert!(status.success(), "{said}");
    // The application ends no sooner than it is waited for.
    let waited = told + Duration::from_secs(4);
    until("the end of the delay", async || Instant::now() > waited).await;
    let expected = writer.written_before(waited);
    writer.end();
    let mut lines = numbers(house.lines());
    lines.retain(|number| *number < expected);
    assert_each_once(lines, expected);
}

/// Writes numbered lines until it is told to stop, and rotates now and then.
struct Writer {
    enough: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    /// When so many lines were written.
    history: Arc<Mutex<Vec<(Instant, usize)>>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// `pause` is between two parts of a line.
    fn start(mut log: Log, pause: Duration) -> Writer {
        let (enough, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(log.written)));
        let history = Arc::new(Mutex::new(Vec::new()));
        let (told, tells, notes) = (enough.clone(), written.clone(), history.clone());
        let thread = std::thread::spawn(move || {
            let mut turn = 0;
            while !told.load(Ordering::SeqCst) {
                log.lines(20);
                // A line in two parts.
                log.put(format!("{} in ", log.written));
                std::thread::sleep(pause);
                log.put("two parts\n");
                log.written += 1;
                turn += 1;
                if turn % 50 == 0 {
                    log.rotate(1_000);
                }
                tells.store(log.written, Ordering::SeqCst);
                notes.lock().unwrap().push((Instant::now(), log.written));
            }
        });
        Writer { enough, written, history, thread }
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// How many lines were there before this moment.
    fn written_before(&self, moment: Instant) -> usize {
        let history = self.history.lock().unwrap();
        history.iter().rfind(|(at, _)| *at < moment).map_or(0, |(_, written)| *written)
    }

    /// Gives the number of lines.
    fn end(self) -> usize {
        self.enough.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.written.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_and_kills_bring_each_line_once() {
    let house = House::new("scan_interval: 1s", "50ms", "limits: { stop_deadline: 3s }").await;
    let log = house.volume.log("app.log");
    log.put("");
    let writer = Writer::start(log, Duration::from_millis(2));
    for turn in 0..8 {
        let gateway = house.start().await;
        // It is stopped somewhere between what is written, stored and delivered.
        let (from, delivered) = (writer.written(), count(&house.service, "app-log"));
        until("lines", async || {
            writer.written() > from + 50 * turn && count(&house.service, "app-log") > delivered
        })
        .await;
        match turn % 4 {
            3 => gateway.stop().await,
            _ => gateway.kill().await,
        }
    }
    let written = writer.end();
    let gateway = house.start().await;
    until("all lines", async || {
        let lines = house.lines();
        lines.len() >= written
    })
    .await;
    gateway.stop().await;
    assert_each_once(numbers(house.lines()), written);
}
