//! The clients: a process of its own, so that its cost is not the gateway's; thousands of connections on few threads.
//!
//! It builds every byte and opens every connection first, says `ready`, and waits for a line on stdin. Then each
//! connection sends its messages, reads their acks, and checks that they are the right ones in the right order. It prints
//! what it did as `name value` lines and keeps its connections open, idle, until stdin ends.
//!
//! With a rate all connections together send so many messages a second, evenly spread; without one each sends as fast as
//! its window allows. An ack's latency runs from the last byte of its message written to the ack read. With a rate, a message
//! that had to wait for room in its window counts from the moment it was due: a server that stalls cannot hide it.
//!
//! `shake` instead opens and closes connections, a few at a time: what it measures is the handshake. It stops after a while,
//! since there are servers that greet one peer after the other and take their time.

use std::{
    collections::VecDeque,
    error::Error,
    io::{self, BufRead},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Runtime,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    chunk::{self, Shape},
    dial::{Dialer, Duplex, Way},
};
use crate::{
    load::percentile,
    msgpack::{self, ACK_BYTES, Messages},
    process,
    records::Stream,
};

/// Connections that are being opened at the same time.
const OPENING: u64 = 64;
/// For all connections to be open, and for an ack.
const PATIENCE: Duration = Duration::from_secs(60);
/// No connection is opened just for its handshake after so long.
const SHAKE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Clients {
    pub to: SocketAddr,
    pub way: Way,
    pub shape: Shape,
    pub records: u64,
    pub connections: u64,
    pub seed: u64,
    /// Messages sent and not yet acknowledged, per connection.
    pub window: usize,
    /// Messages in a second, of all connections together.
    pub rate: Option<u64>,
    /// Tells the chunk ids of several processes of one run apart.
    pub series: u64,
}

/// One connection and all it will send.
struct Client {
    stream: Box<dyn Duplex>,
    messages: Messages,
    number: u64,
}

/// The subcommand `clients`: ready, go, result, end.
pub fn main(clients: &Clients) -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    let runtime = Runtime::new()?;
    let messages = messages(clients)?;
    println!("bytes {}", messages.iter().map(|one| one.bytes.len()).sum::<usize>());
    let open = runtime.block_on(open(clients, messages))?;
    println!("ready");
    if lines.next().is_none() {
        return Ok(());
    }
    let cpu = process::own_cpu_seconds();
    let start = Instant::now();
    let (latencies, mut open) = runtime.block_on(send(clients, open))?;
    println!("seconds {}", start.elapsed().as_secs_f64());
    println!("cpu_seconds {}", process::own_cpu_seconds() - cpu);
    println!("messages {}", latencies.len());
    report("ack", latencies);
    println!("done");
    // The connections stay open, idle; every line asks how many the server has not closed.
    while lines.next().is_some() {
        println!("open {}", runtime.block_on(still_open(&mut open)));
    }
    Ok(())
}

/// All of it in this process; latencies in microseconds.
#[cfg(test)]
pub fn run(clients: &Clients) -> Result<Vec<u32>, Box<dyn Error>> {
    let messages = messages(clients)?;
    Runtime::new()?.block_on(async { Ok(send(clients, open(clients, messages).await?).await?.0) })
}

/// The subcommand `shake`: up to `count` connections that are opened, closed, and seen closed by the server, `at_once` at a
/// time.
pub fn shake(to: SocketAddr, way: &Way, count: u64, at_once: u64) -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    let runtime = Runtime::new()?;
    let dialer = Arc::new(Dialer::new(to, way)?);
    println!("ready");
    if lines.next().is_none() {
        return Ok(());
    }
    let cpu = process::own_cpu_seconds();
    let start = Instant::now();
    let latencies = runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let (dialer, next) = (Arc::clone(&dialer), Arc::clone(&next));
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let index = next.fetch_add(1, Relaxed);
                    if index >= count || start.elapsed() > SHAKE {
                        return Ok::<_, io::Error>(latencies);
                    }
                    let begun = Instant::now();
                    let mut stream = dialer.dial(index).await?;
                    latencies.push(micros(begun.elapsed()));
                    stream.shutdown().await?;
                    // The server's end tells that it has done its part. A peer may end with a reset.
                    let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await?;
                }
            });
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            all.extend(done.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(all)
    })?;
    println!("seconds {}", start.elapsed().as_secs_f64());
    println!("cpu_seconds {}", process::own_cpu_seconds() - cpu);
    println!("messages {}", latencies.len());
    report("open", latencies);
    println!("done");
    while lines.next().is_some() {}
    Ok(())
}

fn report(name: &str, mut latencies: Vec<u32>) {
    latencies.sort_unstable();
    for percent in [50, 90, 99, 100] {
        if let Some(micros) = percentile(&latencies, percent) {
            println!("{name}_p{percent}_micros {micros}");
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// All bytes of all connections, built on all cores.
fn messages(clients: &Clients) -> io::Result<Vec<Messages>> {
    let mut streams: Vec<(u64, Stream)> = (clients.series << 20..)
        .zip(Stream::all(clients.records, clients.connections, clients.seed, process::unix_seconds()))
        .collect();
    let share = streams.len().div_ceil(thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        let build = |(number, stream): &mut (u64, Stream)| chunk::build(stream, *number, clients.shape);
        let builders: Vec<_> = streams
            .chunks_mut(share)
            .map(|part| scope.spawn(move || part.iter_mut().map(build).collect::<io::Result<Vec<_>>>()))
            .collect();
        let mut all = Vec::new();
        for builder in builders {
            all.extend(builder.join().map_err(|_| io::Error::other("a builder panicked"))??);
        }
        Ok(all)
    })
}

async fn open(clients: &Clients, messages: Vec<Messages>) -> Result<Vec<Client>, Box<dyn Error>> {
    let dialer = Arc::new(Dialer::new(clients.to, &clients.way)?);
    let waiting = Arc::new(Mutex::new(messages.into_iter().zip(0..).collect::<Vec<_>>()));
    let left = || waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
    let mut tasks = JoinSet::new();
    for _ in 0..OPENING.min(clients.connections) {
        let (dialer, waiting, series) = (Arc::clone(&dialer), Arc::clone(&waiting), clients.series);
        tasks.spawn(async move {
            let mut open = Vec::new();
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((messages, index)) = next else { return Ok::<_, String>(open) };
                let stream = dialer.dial(index).await;
                let stream = stream.map_err(|error| format!("connection {index} does not open: {error}"))?;
                open.push(Client { stream, messages, number: series << 20 | index });
            }
        });
    }
    let mut open = Vec::new();
    let all = async {
        while let Some(opened) = tasks.join_next().await {
            open.extend(opened??);
        }
        Ok::<_, Box<dyn Error>>(())
    };
    match timeout(PATIENCE, all).await {
        Err(_) => {
            let total = clients.connections;
            return Err(
                format!("after {PATIENCE:?} {} of {total} connections are not even tried", left()).into()
            );
        }
        Ok(done) => done?,
    }
    open.sort_unstable_by_key(|client| client.number);
    Ok(open)
}

/// Sends everything and returns when the last ack is read: latencies, and the connections, still open.
async fn send(clients: &Clients, open: Vec<Client>) -> Result<(Vec<u32>, Vec<Client>), Box<dyn Error>> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (place, client) in open.into_iter().enumerate() {
        let pace = clients.rate.map(|rate| {
            let gap = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX);
            let turn = gap * u32::try_from(clients.connections).unwrap_or(u32::MAX);
            (start + gap * place as u32, turn)
        });
        let window = clients.window;
        tasks.spawn(async move { client.converse(window, pace).await });
    }
    let (mut latencies, mut open) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (some, client) = done??;
        latencies.extend(some);
        open.push(client);
    }
    Ok((latencies, open))
}

/// Counts the connections on which there is nothing to read, not even an end.
async fn still_open(clients: &mut [Client]) -> usize {
    let mut count = 0;
    for client in clients {
        count += usize::from(timeout(Duration::ZERO, client.stream.read(&mut [0])).await.is_err());
    }
    count
}

impl Client {
    /// `pace` is when the first message is due, and how long after that each next one.
    async fn converse(
        mut self,
        window: usize,
        pace: Option<(Instant, Duration)>,
    ) -> Result<(Vec<u32>, Client), String> {
        let number = self.number;
        let (room, sent) = (Semaphore::new(window), Mutex::new(VecDeque::new()));
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let messages = &self.messages;
        let write = async {
            let mut from = 0;
            for (&end, place) in messages.ends.iter().zip(0..) {
                let due = pace.map(|(first, turn)| first + turn * place);
                if let Some(due) = due {
                    sleep_until(due.into()).await;
                }
                let (permit, waited) = match room.try_acquire() {
                    Ok(permit) => (permit, false),
                    Err(_) => (room.acquire().await.map_err(io::Error::other)?, true),
                };
                permit.forget();
                writer.write_all(&messages.bytes[from..end]).await?;
                writer.flush().await?;
                // No await between the last byte and this note: the reader cannot be faster.
                let since = due.filter(|_| waited).unwrap_or_else(Instant::now);
                sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(since);
                from = end;
            }
            Ok::<_, io::Error>(())
        };
        let read = async {
            let mut latencies = Vec::with_capacity(messages.ends.len());
            let (mut buffer, mut filled) = ([0; 16 * ACK_BYTES], 0);
            while latencies.len() < messages.ends.len() {
                let count = match timeout(PATIENCE, reader.read(&mut buffer[filled..])).await {
                    Err(_) => return Err(io::Error::other(format!("no ack for {PATIENCE:?}"))),
                    Ok(read) => read?,
                };
                let total = messages.ends.len();
                if count == 0 {
                    return Err(io::Error::other(format!(
                        "closed after {} of {total} acks",
                        latencies.len()
                    )));
                }
                filled += count;
                let whole = filled / ACK_BYTES;
                for ack in buffer[..whole * ACK_BYTES].chunks_exact(ACK_BYTES) {
                    let place = latencies.len() as u64;
                    if ack != msgpack::ack(&msgpack::chunk_id(number, place)) {
                        return Err(io::Error::other(format!("not the ack of message {place}: {ack:02x?}")));
                    }
                    let since = sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let since = since.ok_or_else(|| io::Error::other("an ack for what was not sent"))?;
                    latencies.push(micros(since.elapsed()));
                }
                room.add_permits(whole);
                buffer.copy_within(whole * ACK_BYTES..filled, 0);
                filled -= whole * ACK_BYTES;
            }
            Ok(latencies)
        };
        let done = tokio::try_join!(write, read);
        let ((), latencies) = done.map_err(|error| format!("connection {}: {error}", number & 0xf_ffff))?;
        // What was sent is not needed any more.
        self.messages = Messages::default();
        Ok((latencies, self))
    }
}
