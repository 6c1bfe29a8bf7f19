//! A gateway stops in the middle of what its peers write and another begins where it was: what a Unix socket took is
//! there, once, and who writes learns at once that nobody reads.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::harness::{EMBEDDED, TestGateway, message, start, start_in, until};

/// Writes numbered messages as fast as they are taken, and looks for nobody's answer, as Docker's driver does without
/// `fluentd-request-ack`. What it could not write it writes again.
struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Messages whose write returned without an error.
    written: AtomicUsize,
    enough: AtomicBool,
    broken: Mutex<Vec<ErrorKind>>,
    refused: Mutex<Vec<ErrorKind>>,
}

impl Writer {
    fn start(path: &Path) -> Writer {
        let (shared, path) = (Arc::new(Shared::default()), path.to_owned());
        let inner = shared.clone();
        Writer { shared, thread: std::thread::spawn(move || inner.run(path)) }
    }

    fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }

    async fn wait_for(&self, count: usize) {
        until("writes", async || self.written() >= count).await;
    }

    /// Ends it, and gives the number of messages.
    async fn end(self) -> usize {
        self.shared.enough.store(true, Ordering::SeqCst);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
        self.shared.written.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn run(&self, path: PathBuf) {
        let padding = "x".repeat(4000);
        while !self.enough.load(Ordering::SeqCst) {
            let mut stream = match UnixStream::connect(&path) {
                Ok(stream) => stream,
                Err(error) => {
                    self.refused.lock().unwrap().push(error.kind());
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    continue;
                }
            };
            while !self.enough.load(Ordering::SeqCst) {
                let number = self.written.load(Ordering::SeqCst).to_string();
                let event = message("unix", 1_700_000_000, &[("n", &number), ("log", &padding)], None);
                if let Err(error) = stream.write_all(&event) {
                    self.broken.lock().unwrap().push(error.kind());
                    break;
                }
                self.written.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_loses_nothing_that_it_took() {
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("forward.sock");
    let config = format!("inputs: {{ forward: {{ listen: 'unix:{}' }} }}\n{EMBEDDED}", path.display());
    let mut gateway = start(&config).await;
    let writer = Writer::start(&path);
    let mut seen = 0;
    for _ in 0..3 {
        writer.wait_for(seen + 200).await;
        let dir = gateway.stop().await;
        seen = writer.written();
        assert!(!path.exists());
        gateway = start_in(dir, &config).await;
    }
    writer.wait_for(seen + 200).await;
    let shared = writer.shared.clone();
    let written = writer.end().await;
    // The last connection has closed, and what it held may still be on its way.
    until("the last message", async || numbers(&gateway).await.len() >= written).await;
    assert_eq!(numbers(&gateway).await, (0..written).collect::<Vec<_>>());
    gateway.stop().await;
    // The write during which the reader went, and the next; nobody waited for a time-out.
    let broken = shared.broken.lock().unwrap();
    assert!(!broken.is_empty() && broken.iter().all(|kind| *kind == ErrorKind::BrokenPipe), "{broken:?}");
    let refused = shared.refused.lock().unwrap();
    let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::NotFound);
    assert!(!refused.is_empty() && refused.iter().all(gone), "{refused:?}");
}

/// The numbers of all messages that are stored, in order.
async fn numbers(gateway: &TestGateway) -> Vec<usize> {
    gateway.wait_until_delivered().await;
    let found = gateway.query("default", "*").await;
    let number =
        |record: &serde_json::Map<String, serde_json::Value>| record["n"].as_str().unwrap().parse().unwrap();
    let mut numbers: Vec<usize> = found.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}
