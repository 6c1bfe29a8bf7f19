//! Who is fed: the gateway, Fluent Bit where it is on PATH and has the input, rsyslogd where it is on PATH and it is syslog.
//!
//! rsyslogd has a disk-assisted queue and forwards over TCP to the sink, which counts its lines: it has no output for HTTP
//! in its packages' default set.

use std::{
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    feed::Target,
    kind::{Kind, TOKEN},
    text,
};
use crate::{
    process::Running,
    subject::{self, Subject},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Gateway,
    FluentBit,
    Rsyslog,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Gateway => "gateway",
            Who::FluentBit => "fluent-bit",
            Who::Rsyslog => "rsyslog",
        }
    }

    /// Whether it has such an input at all.
    pub fn has(self, kind: Kind) -> bool {
        match self {
            Who::Gateway => true,
            Who::FluentBit => !matches!(kind, Kind::GelfTcp | Kind::GelfUdp),
            Who::Rsyslog => matches!(kind, Kind::SyslogTcp | Kind::SyslogUdp | Kind::SyslogUnix),
        }
    }
}

/// Starts one with all it keeps in `dir`; gives it and where it is to be fed.
pub fn start(
    who: Who,
    program: &Path,
    kind: Kind,
    dir: &Path,
    sink_port: u16,
) -> Result<(Subject, Target), Box<dyn Error>> {
    let target = target(kind, dir)?;
    let subject = match who {
        Who::Gateway => gateway(program, kind, &target, dir, sink_port)?,
        Who::FluentBit => fluent_bit(program, kind, &target, dir, sink_port)?,
        Who::Rsyslog => rsyslog(program, kind, &target, dir, sink_port)?,
    };
    if let (Target::Address(address), true) = (&target, kind.is_lossy()) {
        until_udp(*address)?;
    }
    Ok((subject, target))
}

fn target(kind: Kind, dir: &Path) -> Result<Target, Box<dyn Error>> {
    Ok(match kind {
        Kind::JsonFile => {
            let root = dir.join("docker");
            fs::create_dir_all(root.join("containers"))?;
            Target::Path(root)
        }
        kind if kind.is_text_file() => {
            let logs = dir.join("logs");
            fs::create_dir_all(&logs)?;
            Target::Path(logs)
        }
        // The path of a socket is at most 107 bytes long, and a scratch directory may be deep.
        Kind::SyslogUnix => Target::Path(std::env::temp_dir().join(format!(
            "bench-{}-{}.sock",
            std::process::id(),
            free_port()?
        ))),
        Kind::SyslogUdp | Kind::GelfUdp => {
            Target::Address(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
        }
        _ => Target::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))),
    })
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody has bound a UDP port, which nothing else tells.
fn until_udp(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let wanted = format!(":{:04X}", address.port());
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let table = fs::read_to_string("/proc/net/udp")?;
        let mut bound = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        if bound.any(|local| local.ends_with(&wanted)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nobody listens on {address}/udp").into())
}

fn path_of(target: &Target) -> String {
    match target {
        Target::Address(address) => address.to_string(),
        Target::Path(path) => path.display().to_string(),
    }
}

fn port_of(target: &Target) -> u16 {
    match target {
        Target::Address(address) => address.port(),
        Target::Path(_) => 0,
    }
}

fn gateway(
    program: &Path,
    kind: Kind,
    target: &Target,
    dir: &Path,
    sink_port: u16,
) -> Result<Subject, Box<dyn Error>> {
    let at = path_of(target);
    let input = match kind {
        Kind::SyslogTcp => format!("  syslog:\n    listen: \"tcp:{at}\"\n"),
        Kind::SyslogUdp => format!("  syslog:\n    listen: \"udp:{at}\"\n"),
        Kind::SyslogUnix => format!("  syslog:\n    listen: \"unix:{at}\"\n"),
        Kind::GelfTcp => format!("  gelf:\n    listen: \"tcp:{at}\"\n"),
        Kind::GelfUdp => format!("  gelf:\n    listen: \"udp:{at}\"\n"),
        Kind::Splunk => format!("  splunk:\n    listen: \"{at}\"\n    tokens: [\"{TOKEN}\"]\n"),
        Kind::JsonFile => format!("  docker:\n    data_root: \"{at}\"\n"),
        kind => format!("  files:\n    type: file\n    paths: \"{at}/*.log\"\n{}", file_keys(kind)),
    };
    let operations = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let config = dir.join("gateway.yaml");
    let text = format!(
        r#"data_dir: "{}"
inputs:
{input}destinations:
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
  listen: {operations}
"#,
        dir.join("data").display()
    );
    fs::write(&config, text)?;
    let log = dir.join("gateway.log");
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(&config);
    let process = Running::start("gateway", &mut command, Some(fs::File::create(&log)?))?;
    let mut subject = Subject {
        process,
        forward: operations,
        operations,
        metrics_path: "/metrics",
        delivered_metric: "sluicegate_delivered_records_total",
        speaks_log_service: true,
        log,
    };
    subject.until_ready("/readyz")?;
    Ok(subject)
}

/// What the gateway is told of a format.
fn file_keys(kind: Kind) -> String {
    let columns = text::COLUMNS.replace(' ', ", ");
    let parse = match kind {
        Kind::FileMultiline => return format!("    multiline: {{ start: '{START}', timeout: 1s }}\n"),
        Kind::FileNginx => format!("nginx\n        log_format: '{}'", text::LOG_FORMAT),
        Kind::FileJson => "json".to_owned(),
        Kind::FileDelimiter => format!("delimiter\n        separator: \"|\"\n        keys: [{columns}]"),
        _ => return String::new(),
    };
    format!("    processors:\n      - parse: {parse}\n")
}

/// How a multi-line record begins.
const START: &str = r"\d{4}-\d{2}-\d{2} ";

/// The parser that Fluent Bit has for a format, if it needs one.
fn file_parser(kind: Kind) -> &'static str {
    match kind {
        Kind::FileMultiline => "  multiline.parser bench-multiline\n",
        Kind::FileNginx => "  parser bench-nginx\n",
        Kind::FileJson => "  parser bench-json\n",
        Kind::FileDelimiter => "  parser bench-delimiter\n",
        _ => "",
    }
}

const PARSERS: &str = r#"[PARSER]
  name bench-syslog
  format regex
  regex ^\<(?<pri>[0-9]{1,5})\>1 (?<time>[^ ]+) (?<host>[^ ]+) (?<ident>[^ ]+) (?<pid>[-0-9]+) (?<msgid>[^ ]+) (?<extradata>(\[(.*?)\]|-)) (?<log>.+)$
  time_key time
  time_format %Y-%m-%dT%H:%M:%S.%L%z
  time_keep on

[PARSER]
  name bench-docker
  format json
  time_key time
  time_format %Y-%m-%dT%H:%M:%S.%L
  time_keep on

[PARSER]
  name bench-json
  format json

[PARSER]
  name bench-nginx
  format regex
  regex ^(?<remote_addr>[^ ]*) - (?<remote_user>[^ ]*) \[(?<time_local>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<status>[^ ]*) (?<body_bytes_sent>[^ ]*) "(?<http_referer>[^\"]*)" "(?<log>[^\"]*)"$

[PARSER]
  name bench-delimiter
  format regex
  regex ^(?<time>[^|]*)\|(?<level>[^|]*)\|(?<thread>[^|]*)\|(?<class>[^|]*)\|(?<method>[^|]*)\|(?<path>[^|]*)\|(?<status>[^|]*)\|(?<took>[^|]*)\|(?<trace>[^|]*)\|(?<log>.*)$

[MULTILINE_PARSER]
  name bench-multiline
  type regex
  flush_timeout 1000
  rule "start_state" "/^\d{4}-\d{2}-\d{2} /" "cont"
  rule "cont" "/^\s+at/" "cont"
"#;

/// With the delivery of the forward rows; its parsers are those of its own parsers.conf.
fn fluent_bit(
    program: &Path,
    kind: Kind,
    target: &Target,
    dir: &Path,
    sink_port: u16,
) -> Result<Subject, Box<dyn Error>> {
    let (at, port) = (path_of(target), port_of(target));
    let input = match kind {
        Kind::SyslogTcp => {
            format!("name syslog\n  mode tcp\n  listen 127.0.0.1\n  port {port}\n  parser bench-syslog\n")
        }
        Kind::SyslogUdp => format!(
            "name syslog\n  mode udp\n  listen 127.0.0.1\n  port {port}\n  parser bench-syslog\n  \
             receive_buffer_size 8388608\n"
        ),
        Kind::SyslogUnix => format!("name syslog\n  mode unix_tcp\n  path {at}\n  parser bench-syslog\n"),
        Kind::Splunk => format!(
            "name splunk\n  listen 127.0.0.1\n  port {port}\n  splunk_token {TOKEN}\n  buffer_max_size 64M\n"
        ),
        Kind::GelfTcp | Kind::GelfUdp => return Err("it has no input for GELF".into()),
        _ => {
            // Built without SQLite it keeps no positions, which is less work.
            let help = Command::new(program).args(["-i", "tail", "-h"]).stdin(Stdio::null()).output()?;
            let help = String::from_utf8_lossy(&help.stdout).into_owned();
            let has_positions = help.lines().any(|line| line.split_whitespace().next() == Some("db"));
            let positions = match has_positions {
                true => format!("  db {}\n", dir.join("tail.db").display()),
                false => String::new(),
            };
            let (path, parser) = match kind {
                Kind::JsonFile => ("containers/*/*-json.log", "  parser bench-docker\n"),
                kind => ("*.log", file_parser(kind)),
            };
            format!(
                "name tail\n  path {at}/{path}\n{parser}  read_from_head on\n  refresh_interval 1\n  \
                 buffer_max_size 1M\n{positions}"
            )
        }
    };
    let operations = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let delivery = match subject::fluent_bit_output(program)? {
        "http" => "  name http\n  uri /\n  format msgpack\n  compress zstd\n".to_owned(),
        other => format!("  name {other}\n"),
    };
    let (config, parsers) = (dir.join("fluent-bit.conf"), dir.join("parsers.conf"));
    fs::write(&parsers, PARSERS)?;
    let text = format!(
        "[SERVICE]\n  flush 1\n  daemon off\n  log_level warn\n  http_server on\n  http_listen 127.0.0.1\n  http_port {}\n  \
         storage.path {}\n  storage.sync normal\n  parsers_file {}\n\n[INPUT]\n  {input}  storage.type filesystem\n\n\
         [OUTPUT]\n{delivery}  match *\n  host 127.0.0.1\n  port {sink_port}\n",
        operations.port(),
        dir.join("storage").display(),
        parsers.display()
    );
    fs::write(&config, text)?;
    let log = dir.join("fluent-bit.log");
    let mut command = Command::new(program);
    command.arg("-c").arg(&config);
    let process = Running::start("fluent-bit", &mut command, Some(fs::File::create(&log)?))?;
    let mut subject = Subject {
        process,
        forward: operations,
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

fn rsyslog(
    program: &Path,
    kind: Kind,
    target: &Target,
    dir: &Path,
    sink_port: u16,
) -> Result<Subject, Box<dyn Error>> {
    let (at, port) = (path_of(target), port_of(target));
    let input = match kind {
        Kind::SyslogTcp => {
            format!("module(load=\"imptcp\")\ninput(type=\"imptcp\" address=\"127.0.0.1\" port=\"{port}\")\n")
        }
        Kind::SyslogUdp => format!(
            "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" rcvbufSize=\"8m\")\n"
        ),
        Kind::SyslogUnix => {
            format!("module(load=\"imptcp\")\ninput(type=\"imptcp\" path=\"{at}\" unlink=\"on\")\n")
        }
        _ => return Err("it has no such input".into()),
    };
    let (config, queue) = (dir.join("rsyslog.conf"), dir.join("queue"));
    fs::create_dir_all(&queue)?;
    let text = format!(
        "global(workDirectory=\"{}\" maxMessageSize=\"64k\")\n{input}\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{sink_port}\" protocol=\"tcp\" \
         template=\"RSYSLOG_SyslogProtocol23Format\" queue.type=\"LinkedList\" queue.filename=\"bench\" \
         queue.size=\"100000\" queue.maxDiskSpace=\"4g\" queue.saveOnShutdown=\"on\" \
         action.resumeRetryCount=\"-1\")\n",
        queue.display()
    );
    fs::write(&config, text)?;
    let log = dir.join("rsyslog.log");
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(dir.join("rsyslog.pid"));
    let process = Running::start("rsyslog", &mut command, Some(fs::File::create(&log)?))?;
    Ok(Subject {
        process,
        forward: SocketAddr::from((Ipv4Addr::LOCALHOST, sink_port)),
        // The sink counts what it delivers.
        operations: SocketAddr::from((Ipv4Addr::LOCALHOST, sink_port)),
        metrics_path: "/stats",
        delivered_metric: "lines",
        speaks_log_service: false,
        log,
    })
}

/// Where a peer's program is; rsyslogd is often no ordinary user's program.
pub fn find(who: Who) -> Option<PathBuf> {
    match who {
        Who::Gateway => None,
        Who::FluentBit => subject::on_path("fluent-bit"),
        Who::Rsyslog => subject::on_path("rsyslogd")
            .or_else(|| Some(PathBuf::from("/usr/sbin/rsyslogd")).filter(|file| file.is_file())),
    }
}
