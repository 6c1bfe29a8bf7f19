//! The sender: a process of its own. It builds every byte and opens every socket first, says `ready`, and waits for a line on
//! stdin; then each connection, socket or file gets what it carries. It prints what it did as `name value` lines.
//!
//! Nobody slows a sender of datagrams down, so those go at a rate, a few each millisecond. A splunk connection sends its next
//! request when the last one was answered, as Docker does.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::kind::{self, Kind, Parts};
use crate::{args::Args, http, process, records::Stream};

const NUMBERS: [&str; 5] = ["records", "connections", "seed", "batch", "rate"];
/// For a server to begin to listen, and for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Feed {
    pub kind: Kind,
    pub to: Target,
    pub records: u64,
    pub connections: u64,
    pub seed: u64,
    /// Events in a splunk request.
    pub batch: u64,
    /// Datagrams in a second, of all sockets together.
    pub rate: u64,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Address(SocketAddr),
    /// A socket, or the engine's data directory.
    Path(PathBuf),
}

impl Feed {
    pub fn flags(&self) -> Vec<String> {
        let to = match &self.to {
            Target::Address(address) => address.to_string(),
            Target::Path(path) => path.display().to_string(),
        };
        let numbers = [self.records, self.connections, self.seed, self.batch, self.rate];
        let mut flags = vec!["--kind".to_owned(), self.kind.name().to_owned(), "--to".to_owned(), to];
        for (name, number) in NUMBERS.iter().zip(numbers) {
            flags.extend([format!("--{name}"), number.to_string()]);
        }
        flags
    }

    pub fn read(words: impl Iterator<Item = String>) -> Result<Feed, Box<dyn Error>> {
        let args = Args::read(words, &[&NUMBERS[..], &["kind", "to"]].concat(), &[])?;
        let to = args.text("to").ok_or("--to ADDR or --to PATH is wanted")?;
        Ok(Feed {
            kind: args.text("kind").and_then(Kind::parse).ok_or("--kind is wanted")?,
            to: to.parse().map_or_else(|_| Target::Path(to.into()), Target::Address),
            records: args.count("records", 1_000_000)?,
            connections: args.count("connections", 4)?,
            seed: args.count("seed", 1)?,
            batch: args.count("batch", 1_000)?,
            rate: args.count("rate", 40_000)?,
        })
    }
}

/// The subcommand `feed`: ready, go, result, end.
pub fn main(feed: &Feed) -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    let lanes = open(feed)?;
    println!("bytes {}", lanes.iter().map(|lane| lane.parts.bytes.len()).sum::<usize>());
    println!("ready");
    if lines.next().is_none() {
        return Ok(());
    }
    let cpu = process::own_cpu_seconds();
    let start = Instant::now();
    let lanes = send(feed, lanes)?;
    println!("seconds {}", start.elapsed().as_secs_f64());
    println!("cpu_seconds {}", process::own_cpu_seconds() - cpu);
    println!("done");
    // Connections stay open until all of it is delivered.
    while lines.next().is_some() {}
    drop(lanes);
    Ok(())
}

enum Way {
    Tcp(TcpStream),
    Unix(UnixStream),
    Udp(UdpSocket),
    File(File),
}

/// One way and all that goes there.
pub struct Lane {
    way: Way,
    parts: Parts,
}

pub fn open(feed: &Feed) -> Result<Vec<Lane>, Box<dyn Error>> {
    let streams = Stream::all(feed.records, feed.connections, feed.seed, process::unix_seconds());
    thread::scope(|scope| {
        let builders: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                scope.spawn(move || -> io::Result<Lane> {
                    let parts = kind::build(feed.kind, &mut stream, feed.batch)?;
                    Ok(Lane { way: dial(feed, &stream)?, parts })
                })
            })
            .collect();
        let lanes =
            builders.into_iter().map(|builder| Ok(builder.join().map_err(|_| "a builder panicked")??));
        lanes.collect()
    })
}

fn dial(feed: &Feed, stream: &Stream) -> io::Result<Way> {
    match &feed.to {
        Target::Address(address) if feed.kind.is_lossy() => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(address)?;
            Ok(Way::Udp(socket))
        }
        Target::Address(address) => {
            let socket = patiently(|| TcpStream::connect(address))?;
            socket.set_nodelay(true)?;
            Ok(Way::Tcp(socket))
        }
        Target::Path(root) if feed.kind == Kind::JsonFile => Ok(Way::File(container(root, stream)?)),
        Target::Path(dir) if feed.kind.is_text_file() => {
            let path = dir.join(format!("{}.log", stream.tag));
            Ok(Way::File(OpenOptions::new().create(true).append(true).open(path)?))
        }
        Target::Path(path) => Ok(Way::Unix(patiently(|| UnixStream::connect(path))?)),
    }
}

/// A peer without a port for questions is known to be there when it takes connections.
fn patiently<T>(mut connect: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match connect() {
            Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

/// The directory of a container as the engine makes it; gives its log file.
fn container(root: &Path, stream: &Stream) -> io::Result<File> {
    let (id, name) = (&stream.container_id, &stream.container_name);
    let dir = root.join("containers").join(id);
    fs::create_dir_all(&dir)?;
    let log = dir.join(format!("{id}-json.log"));
    fs::write(
        dir.join("config.v2.json"),
        format!(
            "{{\"StreamConfig\":{{}},\"State\":{{\"Running\":true,\"Pid\":1}},\"ID\":\"{id}\",\
             \"Created\":\"2026-11-22T22:57:10.139126065Z\",\"Config\":{{\"Hostname\":\"vm\",\"Env\":[\"PATH=/bin\"],\
             \"Image\":\"shop:1.4\",\"Labels\":{{}}}},\"Image\":\"sha256:{id}\",\"LogPath\":\"{}\",\"Name\":\"{name}\",\
             \"Driver\":\"overlay2\"}}",
            log.display()
        ),
    )?;
    fs::write(dir.join("hostconfig.json"), "{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{}}}")?;
    OpenOptions::new().create(true).append(true).open(log)
}

/// Sends everything; gives the lanes back, still open.
pub fn send(feed: &Feed, lanes: Vec<Lane>) -> Result<Vec<Lane>, Box<dyn Error>> {
    let each = (feed.rate / feed.connections.max(1)).max(1);
    let results: Vec<io::Result<()>> = thread::scope(|scope| {
        let senders: Vec<_> = lanes.iter().map(|lane| scope.spawn(move || lane.send(each))).collect();
        let join = |sender: thread::ScopedJoinHandle<'_, io::Result<()>>| {
            sender.join().unwrap_or_else(|_| Err(io::Error::other("a sender panicked")))
        };
        senders.into_iter().map(join).collect()
    });
    results.into_iter().collect::<io::Result<()>>()?;
    Ok(lanes)
}

impl Lane {
    fn send(&self, rate: u64) -> io::Result<()> {
        match &self.way {
            Way::Tcp(socket) if self.parts.bytes.starts_with(b"POST ") => self.ask(socket),
            Way::Tcp(socket) => self.write(socket),
            Way::Unix(socket) => self.write(socket),
            Way::File(file) => self.write(file),
            Way::Udp(socket) => self.pace(socket, rate),
        }
    }

    fn write(&self, mut to: impl Write) -> io::Result<()> {
        self.parts.iter().try_for_each(|part| to.write_all(part))
    }

    fn ask(&self, mut socket: &TcpStream) -> io::Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut answers = http::Reader::new(socket);
        let mut body = Vec::new();
        for part in self.parts.iter() {
            socket.write_all(part)?;
            let head = answers.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            body.clear();
            answers.body(head.content_length().unwrap_or_default(), &mut body)?;
            if head.start_line().split(' ').nth(1) != Some("200") {
                let text = String::from_utf8_lossy(&body);
                return Err(io::Error::other(format!("{}: {text}", head.start_line())));
            }
        }
        Ok(())
    }

    fn pace(&self, socket: &UdpSocket, rate: u64) -> io::Result<()> {
        let start = Instant::now();
        for (number, part) in (0u64..).zip(self.parts.iter()) {
            let due = Duration::from_micros(number * 1_000_000 / rate);
            let early = due.saturating_sub(start.elapsed());
            if early > Duration::from_millis(1) {
                thread::sleep(early);
            }
            // Refused is what the kernel says of a port that was not open yet.
            match socket.send(part) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
