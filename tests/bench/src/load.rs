//! The load generator: a process of its own, so that its cost is not the gateway's.
//!
//! It builds every byte and opens every connection first, says `ready`, and waits for a line on stdin. Then each
//! connection writes as fast as it is read. It prints what it did as `name value` lines and keeps its connections open
//! until stdin ends, as Docker does.
//!
//! With acks each connection has a window of unacknowledged chunks and a second thread that reads the acks, checks that
//! they are the right ones in the right order, and takes the time from the last byte of the message written to the ack
//! read. Messages that are written together count from the end of that write.

use std::{
    collections::VecDeque,
    error::Error,
    io::{BufRead, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Instant,
};

use crate::{
    msgpack::{self, ACK_BYTES, Messages, Mode},
    process,
    records::Stream,
};

#[derive(Clone)]
pub struct Load {
    pub to: SocketAddr,
    pub mode: Mode,
    pub acks: bool,
    pub records: u64,
    pub connections: u64,
    pub seed: u64,
    /// Records in one PackedForward message.
    pub entries: u64,
    /// Chunks sent and not yet acknowledged, per connection.
    pub window: usize,
    /// Messages in one write.
    pub burst: usize,
}

pub struct Outcome {
    pub seconds: f64,
    pub bytes: u64,
    pub messages: u64,
    /// Ack latencies in microseconds, ascending; empty without acks.
    pub latencies: Vec<u32>,
}

/// The subcommand: ready, go, result, end.
pub fn main(load: &Load) -> Result<(), Box<dyn Error>> {
    let stdin = std::io::stdin();
    let mut lines = stdin.lock().lines();
    let prepared = prepare(load, process::unix_seconds())?;
    println!("ready");
    if lines.next().is_none() {
        return Ok(());
    }
    let cpu = process::own_cpu_seconds();
    let (outcome, _open) = send(load, prepared)?;
    println!("cpu_seconds {}", process::own_cpu_seconds() - cpu);
    println!("seconds {}", outcome.seconds);
    println!("bytes {}", outcome.bytes);
    println!("messages {}", outcome.messages);
    for percent in [50, 90, 99] {
        if let Some(micros) = percentile(&outcome.latencies, percent) {
            println!("ack_p{percent}_micros {micros}");
        }
    }
    println!("done");
    while lines.next().is_some() {}
    Ok(())
}

pub fn percentile(ascending: &[u32], percent: usize) -> Option<u32> {
    ascending.get((ascending.len() * percent / 100).min(ascending.len().checked_sub(1)?)).copied()
}

/// One connection and all it will write.
pub struct Prepared {
    socket: TcpStream,
    messages: Messages,
}

pub fn prepare(load: &Load, base_seconds: u64) -> Result<Vec<Prepared>, Box<dyn Error>> {
    let streams = Stream::all(load.records, load.connections, load.seed, base_seconds);
    let built: Vec<Messages> = thread::scope(|scope| {
        let builders: Vec<_> = (0..)
            .zip(streams)
            .map(|(index, mut stream)| {
                scope.spawn(move || msgpack::build(&mut stream, index, load.mode, load.acks, load.entries))
            })
            .collect();
        builders.into_iter().filter_map(|builder| builder.join().ok()).collect()
    });
    built
        .into_iter()
        .map(|messages| {
            let socket = TcpStream::connect(load.to)?;
            socket.set_nodelay(true)?;
            Ok(Prepared { socket, messages })
        })
        .collect()
}

/// Sends everything; with acks returns when the last one was read. The sockets come back open.
pub fn send(load: &Load, prepared: Vec<Prepared>) -> Result<(Outcome, Vec<TcpStream>), Box<dyn Error>> {
    let bytes = prepared.iter().map(|one| one.messages.bytes.len() as u64).sum();
    let messages = prepared.iter().map(|one| one.messages.ends.len() as u64).sum();
    let start = Instant::now();
    let results: Vec<Result<Vec<u32>, String>> = thread::scope(|scope| {
        let senders: Vec<_> = (0..)
            .zip(&prepared)
            .map(|(index, one)| {
                scope.spawn(move || {
                    let sent = if load.acks { with_acks(load, index, one) } else { without_acks(load, one) };
                    sent.map_err(|error| format!("connection {index}: {error}"))
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap_or_else(|_| Err("panicked".into()))).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let mut latencies = Vec::new();
    for result in results {
        latencies.extend(result?);
    }
    latencies.sort_unstable();
    let sockets = prepared.into_iter().map(|one| one.socket).collect();
    Ok((Outcome { seconds, bytes, messages, latencies }, sockets))
}

fn without_acks(load: &Load, one: &Prepared) -> std::io::Result<Vec<u32>> {
    let mut from = 0;
    for ends in one.messages.ends.chunks(load.burst) {
        let end = ends[ends.len() - 1];
        (&one.socket).write_all(&one.messages.bytes[from..end])?;
        from = end;
    }
    Ok(Vec::new())
}

/// What the writer and the reader of one connection share.
#[derive(Default)]
struct Window {
    /// Sent, or about to be, and not acknowledged.
    open: usize,
    /// Writes in order: when the last byte was written, and how many chunks of it are not acknowledged.
    written: VecDeque<(Instant, usize)>,
    closed: bool,
}

fn with_acks(load: &Load, connection: u64, one: &Prepared) -> std::io::Result<Vec<u32>> {
    let (window, changed) = (Mutex::new(Window::default()), Condvar::new());
    let lock = || window.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = |guard| changed.wait(guard).unwrap_or_else(PoisonError::into_inner);

    // `None` when the reader gave up: its error is the one to tell.
    let write = || -> std::io::Result<Option<()>> {
        let mut from = 0;
        for ends in one.messages.ends.chunks(load.burst.min(load.window)) {
            let mut state = lock();
            while state.open + ends.len() > load.window && !state.closed {
                state = wait(state);
            }
            if state.closed {
                return Ok(None);
            }
            state.open += ends.len();
            drop(state);
            let end = ends[ends.len() - 1];
            (&one.socket).write_all(&one.messages.bytes[from..end])?;
            from = end;
            lock().written.push_back((Instant::now(), ends.len()));
            changed.notify_all();
        }
        Ok(Some(()))
    };
    let read = || -> std::io::Result<Vec<u32>> {
        let total = one.messages.ends.len();
        let mut latencies = Vec::with_capacity(total);
        let mut buffer = vec![0; 64 * 1024];
        let mut filled = 0;
        while latencies.len() < total {
            let count = (&one.socket).read(&mut buffer[filled..])?;
            let now = Instant::now();
            if count == 0 {
                return Err(std::io::Error::other(format!(
                    "closed after {} of {total} acks",
                    latencies.len()
                )));
            }
            filled += count;
            let whole = filled / ACK_BYTES;
            for (index, ack) in (latencies.len()..).zip(buffer[..whole * ACK_BYTES].chunks_exact(ACK_BYTES)) {
                if ack != msgpack::ack(&msgpack::chunk_id(connection, index as u64)) {
                    return Err(std::io::Error::other(format!("not the ack of message {index}: {ack:02x?}")));
                }
            }
            buffer.copy_within(whole * ACK_BYTES..filled, 0);
            filled -= whole * ACK_BYTES;

            let mut state = lock();
            let mut left = whole;
            while left > 0 {
                if state.closed {
                    return Ok(latencies);
                }
                let Some((written, chunks)) = state.written.front_mut() else {
                    // The ack was faster than the writer's note of the time.
                    state = wait(state);
                    continue;
                };
                let micros = now.saturating_duration_since(*written).as_micros();
                let done = left.min(*chunks);
                latencies.extend(std::iter::repeat_n(u32::try_from(micros).unwrap_or(u32::MAX), done));
                *chunks -= done;
                if *chunks == 0 {
                    state.written.pop_front();
                }
                state.open -= done;
                left -= done;
            }
            drop(state);
            changed.notify_all();
        }
        Ok(latencies)
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let latencies = read();
            lock().closed = true;
            changed.notify_all();
            latencies
        });
        let written = write();
        if written.is_err() {
            // Wakes the reader; what it has is not wanted any more.
            let _ = one.socket.shutdown(std::net::Shutdown::Both);
            lock().closed = true;
            changed.notify_all();
        }
        let read = reader.join().unwrap_or_else(|_| Err(std::io::Error::other("reader of acks panicked")));
        match written {
            Err(error) => Err(error),
            Ok(_) => read,
        }
    })
}
