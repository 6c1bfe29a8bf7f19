//! A gateway with one HTTP Event Collector and nobody who delivers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::base::secret::Secret;
use crate::base::signal::Signal;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{ConnectionsPlan, JoinPlan, Plan, SplunkPlan, UnixPlan};
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::input::listener::{Gate, GateSettings, Socket};
use crate::input::splunk::Splunk;
use crate::journal::{Journal, Options};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;

pub(super) const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const CHANNEL: &str = "46eaa731-df0f-422d-8cc8-01fa79fa970a";

pub(super) fn plan() -> SplunkPlan {
    let unix = UnixPlan { mode: 0o660, user: None, group: None };
    SplunkPlan {
        listen: Vec::new(),
        connections: ConnectionsPlan {
            unix,
            tls: None,
            proxy_protocol: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            stall_timeout: Duration::from_secs(60),
            max_connections: 100,
            max_connections_per_peer: None,
            window: 1 << 20,
        },
        tokens: vec![Secret::new(TOKEN.to_owned())],
        acknowledgement: true,
        max_body: 1 << 20,
        max_event: 1 << 16,
        tag: None,
        container_tags: ["{{.Name}}/{{.ImageName}}", "{{.ID}}"]
            .map(|form| DockerTag::parse(form).unwrap())
            .to_vec(),
        source_address_key: None,
        join: JoinPlan { partial: true, timeout: Duration::from_secs(5), max_line: 1 << 20 },
    }
}

fn gateway_plan() -> Plan {
    let env = [("HOME".to_owned(), "/home/u".to_owned())];
    config::load(None, env.into_iter(), &Flags::default()).unwrap()
}

/// The intake of a gateway whose data is in `dir`.
pub(super) fn intake(dir: &Path, change: impl FnOnce(&mut Plan)) -> (Journal, Arc<Intake>) {
    let mut plan = gateway_plan();
    change(&mut plan);
    let journal = Journal::open(Options::new(dir)).unwrap();
    let (destinations, _) = Destinations::new(&plan, journal.clone());
    let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
    let (router, tidy) = (Router::new(&plan), Tidy::new(plan.time.out_of_range));
    let pipeline = Pipeline::new(router, destinations, None, identity, tidy, journal.clone());
    (journal, Arc::new(Intake::new(Arc::new(pipeline), Budget::new(8 << 20))))
}

/// Records that would survive if the gateway were killed now.
fn stored_in(dir: &Path) -> u64 {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let (journal, intake) = intake(copy.path(), |_| ());
    let default = gateway_plan().default_destination;
    let queue = intake.pipeline.destinations.default_of(default, Signal::Logs).queue;
    journal.lease(queue, usize::MAX).iter().map(|entry| u64::from(entry.records)).sum()
}

pub(super) struct House {
    dir: tempfile::TempDir,
    address: SocketAddr,
    pub(super) intake: Arc<Intake>,
    pub(super) stop: crate::input::Stop,
}

impl House {
    pub(super) async fn new(plan: SplunkPlan) -> House {
        House::with(plan, |_| ()).await
    }

    pub(super) async fn with(plan: SplunkPlan, change: impl FnOnce(&mut Plan)) -> House {
        let dir = tempfile::tempdir().unwrap();
        let (_, intake) = intake(dir.path(), change);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = GateSettings::from(&plan.connections);
        let gate = Arc::new(Gate::new("splunk", settings).unwrap());
        let splunk =
            Splunk { full_timeout: Duration::from_millis(50), ..Splunk::new("splunk", plan, intake.clone()) };
        let stop = crate::input::Stop::default();
        tokio::spawn(Arc::new(splunk).listen(gate, Socket::Tcp(listener), stop.clone()));
        House { dir, address, intake, stop }
    }

    pub(super) fn stored(&self) -> u64 {
        stored_in(self.dir.path())
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, request: &[u8]) -> (u16, String) {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }
}

/// A request with the right token and what else is given, each line with its end.
pub(super) fn post(target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {TOKEN}\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Status and body of the next answer.
    pub(super) async fn answer(&mut self) -> (u16, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Waits until the other side closes.
    pub(super) async fn closed(&mut self) {
        // A reset is a close as well.
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }
}
