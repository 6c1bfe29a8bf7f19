//! What is measured: the gateway, or Fluent Bit where it is on PATH, as a process with a configuration of ours.

use std::{
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    forward::certificates::{Pair, SERVER},
    http,
    process::Running,
};

const START: Duration = Duration::from_secs(30);

/// What the subject's forward input asks of clients, and how many it takes. The default is a plain one.
#[derive(Clone, Default)]
pub struct Door {
    pub tls: Option<Pair>,
    /// Clients show a certificate that this authority signed.
    pub client_authority: Option<PathBuf>,
    pub shared_key: Option<String>,
    pub connections: Option<u64>,
}

pub struct Subject {
    pub process: Running,
    pub forward: SocketAddr,
    pub operations: SocketAddr,
    pub metrics_path: &'static str,
    pub delivered_metric: &'static str,
    /// Its LogGroups can be counted by the sink.
    pub speaks_log_service: bool,
    pub log: PathBuf,
}

impl Subject {
    /// Records the subject itself calls delivered: answered 200 by the sink.
    pub fn delivered(&self) -> Result<u64, Box<dyn Error>> {
        let (status, text) = http::get(self.operations, self.metrics_path, Duration::from_secs(10))?;
        match http::metric(&text, self.delivered_metric) {
            Some(count) => Ok(count as u64),
            // A metric may appear with its first value.
            None if status == 200 => Ok(0),
            None => Err(format!("{} answers {status}", self.metrics_path).into()),
        }
    }

    /// An error with what the subject has to say about it: that it ended, and the end of its log.
    pub fn explain(&mut self, error: Box<dyn Error>) -> Box<dyn Error> {
        // Its connections break a little before its end can be seen.
        let until = Instant::now() + Duration::from_secs(1);
        let mut ended = self.process.ended();
        while ended.is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
            ended = self.process.ended();
        }
        let end = ended.map_or(String::new(), |status| format!("; {} ended: {status}", self.process.name));
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("{error}{end}\n{}", lines[lines.len().saturating_sub(10)..].join("\n")).into()
    }

    pub fn until_ready(&mut self, path: &str) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + START;
        loop {
            let answer = http::get(self.operations, path, Duration::from_secs(1));
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if self.process.ended().is_some() || Instant::now() > until {
                return Err(self.explain(format!("not ready: {path} gives {answer:?}").into()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts the gateway with everything it keeps in `dir`, delivering to the sink on `sink_port`.
pub fn gateway(program: &Path, dir: &Path, sink_port: u16, door: &Door) -> Result<Subject, Box<dyn Error>> {
    let config = dir.join("gateway.yaml");
    let mut asked = String::new();
    if let Some(connections) = door.connections {
        asked += &format!("    max_connections: {connections}\n");
    }
    if let Some(Pair { certificate, key }) = &door.tls {
        let (certificate, key) = (certificate.display(), key.display());
        asked += &format!("    tls:\n      certificate: \"{certificate}\"\n      key: \"{key}\"\n");
        if let Some(authority) = &door.client_authority {
            asked += &format!("      client_ca: \"{}\"\n", authority.display());
        }
    }
    if let Some(key) = &door.shared_key {
        asked += &format!("    security:\n      self_hostname: {SERVER}\n      shared_key: {key}\n");
    }
    fs::write(
        &config,
        format!(
            r#"data_dir: "{}"
inputs:
  forward:
    listen: 127.0.0.1:0
{asked}destinations:
  sink:
    endpoint: "http://127.0.0.1:{sink_port}"
    connect: "127.0.0.1:{sink_port}"
    project: bench-project
    logstore: bench-logs
    access_key_id: bench-key
    access_key_secret: bench-secret
    buffer: default
buffers:
  default:
    storage: disk
log_service:
  enabled: false
operations:
  listen: 127.0.0.1:0
"#,
            dir.join("data").display()
        ),
    )?;
    let log = dir.join("gateway.log");
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(&config);
    let mut process = Running::start("gateway", &mut command, Some(fs::File::create(&log)?))?;
    let (mut forward, mut operations) = (None, None);
    while forward.is_none() || operations.is_none() {
        let line = process
            .line(START)
            .map_err(|error| format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
        // "  forward      127.0.0.1:24224"
        let address = line.split_whitespace().find_map(|word| word.parse::<SocketAddr>().ok());
        match line.split_whitespace().next() {
            Some("forward") => forward = address,
            Some("operations") => operations = address,
            _ => {}
        }
    }
    let (Some(forward), Some(operations)) = (forward, operations) else {
        return Err("the gateway did not say where it listens".into());
    };
    let mut subject = Subject {
        process,
        forward,
        operations,
        metrics_path: "/metrics",
        delivered_metric: "sluicegate_delivered_records_total",
        speaks_log_service: true,
        log,
    };
    subject.until_ready("/readyz")?;
    Ok(subject)
}

/// How a Fluent Bit delivers: by out_http with zstd, or where it was built without that plug-in by out_forward, uncompressed
/// and without acks, which is less work than anything we do.
pub fn fluent_bit_output(program: &Path) -> Result<&'static str, Box<dyn Error>> {
    let help = Command::new(program).arg("--help").stdin(Stdio::null()).output()?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let outputs = help.split_once("Outputs").map_or("", |(_, outputs)| outputs);
    let has = |name: &str| outputs.lines().any(|line| line.split_whitespace().next() == Some(name));
    ["http", "forward"].into_iter().find(|name| has(name)).ok_or_else(|| {
        format!("{} has neither out_http nor out_forward; --no-peers leaves it out", program.display()).into()
    })
}

/// Starts Fluent Bit in the set-up of our reference figures: in_forward, file system storage, and the output above.
pub fn fluent_bit(
    program: &Path,
    dir: &Path,
    sink_port: u16,
    door: &Door,
) -> Result<Subject, Box<dyn Error>> {
    let (forward, operations) = (free_address()?, free_address()?);
    let delivery = match fluent_bit_output(program)? {
        "http" => "  name http\n  uri /\n  format msgpack\n  compress zstd\n",
        other => &format!("  name {other}\n"),
    };
    let config = dir.join("fluent-bit.conf");
    let mut asked = String::new();
    if let Some(Pair { certificate, key }) = &door.tls {
        let (certificate, key) = (certificate.display(), key.display());
        asked += &format!("  tls on\n  tls.verify off\n  tls.crt_file {certificate}\n  tls.key_file {key}\n");
        if let Some(authority) = &door.client_authority {
            asked += &format!("  tls.verify_client_cert on\n  tls.ca_file {}\n", authority.display());
        }
    }
    if let Some(key) = &door.shared_key {
        asked += &format!("  self_hostname {SERVER}\n  shared_key {key}\n");
    }
    fs::write(
        &config,
        format!(
            "[SERVICE]\n  flush 1\n  daemon off\n  log_level warn\n  http_server on\n  http_listen 127.0.0.1\n  \
             http_port {}\n  storage.path {}\n  storage.sync normal\n\n[INPUT]\n  name forward\n  listen 127.0.0.1\n  \
             port {}\n  storage.type filesystem\n{asked}\n[OUTPUT]\n{delivery}  match *\n  host 127.0.0.1\n  \
             port {sink_port}\n",
            operations.port(),
            dir.join("storage").display(),
            forward.port()
        ),
    )?;
    let log = dir.join("fluent-bit.log");
    let mut command = Command::new(program);
    command.arg("-c").arg(&config);
    let process = Running::start("fluent-bit", &mut command, Some(fs::File::create(&log)?))?;
    let mut subject = Subject {
        process,
        forward,
        operations,
        metrics_path: "/api/v1/metrics/prometheus",
        delivered_metric: "fluentbit_output_proc_records_total",
        speaks_log_service: false,
        log,
    };
    // Its metrics come some time after its port.
    subject.until_ready(subject.metrics_path)?;
    Ok(subject)
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Builds the gateway with the project's release profile and gives the program cargo says it made.
pub fn build_gateway() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = project().join("Cargo.toml");
    eprintln!("building the gateway ({})", manifest.display());
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--bin", "sluicegate", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the gateway does not build; name a built one with --gateway".into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next().map(PathBuf::from))
        .find(|file| file.file_name().is_some_and(|name| name == "sluicegate"))
        .ok_or_else(|| "cargo named no program `sluicegate`; name a built one with --gateway".into())
}

/// The gateway's own directory, two above this crate's.
pub fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
