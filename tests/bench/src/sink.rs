//! The null sink: a process of its own that answers every POST with 200, at once, swallows forward messages, and counts
//! lines of syslog.
//!
//! During the run it reads bodies and keeps them as they came; it decompresses nothing on the clock. Afterwards
//! `GET /count` unpacks the LogGroups and counts their records by the number each text ends in. `GET /stats` tells
//! requests and bytes so far at any time.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use crate::{http, loggroup, process, records};

/// A body may claim to inflate to at most this much: Log Service's limit.
const RAW_BYTES: usize = 10 * 1024 * 1024;

struct Body {
    bytes: Vec<u8>,
    compression: String,
    raw_bytes: usize,
}

struct Sink {
    keep: bool,
    started: Instant,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Microseconds from the start to the last answer.
    last: AtomicU64,
    bodies: Mutex<Vec<Body>>,
    /// Of peers that deliver syslog.
    lines: AtomicU64,
}

/// The subcommand: prints its port, serves until stdin ends.
pub fn main(keep: bool) -> std::io::Result<()> {
    println!("port {}", start(keep)?);
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line)? > 0 {}
    Ok(())
}

/// Serves on threads of its own; gives the port.
pub fn start(keep: bool) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let sink = Arc::new(Sink {
        keep,
        started: Instant::now(),
        requests: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        last: AtomicU64::new(0),
        bodies: Mutex::new(Vec::new()),
        lines: AtomicU64::new(0),
    });
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let sink = Arc::clone(&sink);
            // A connection that breaks is the client's to notice.
            thread::spawn(move || sink.serve(&socket));
        }
    });
    Ok(port)
}

impl Sink {
    fn serve(&self, socket: &TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut first = [0];
        // HTTP begins with a letter, MessagePack with an array, syslog with its priority.
        if socket.peek(&mut first)? == 1 && !first[0].is_ascii_uppercase() {
            return self.swallow(socket);
        }
        let mut reader = http::Reader::new(socket);
        let mut answer = Answer { out: socket, clock: 0, date: String::new() };
        let mut discarded = Vec::new();
        while let Some(head) = reader.head()? {
            let mut words = head.start_line().split_whitespace();
            match (words.next(), words.next()) {
                (Some("GET"), Some("/stats")) => return answer.write(0, &self.stats()),
                (Some("GET"), Some("/count")) => return answer.write(0, &self.count()),
                (Some("POST"), Some(_)) if head.content_length().is_some() => {}
                _ => return answer.refuse(),
            }
            let len = head.content_length().unwrap_or_default();
            let number = self.requests.fetch_add(1, Relaxed);
            if self.keep {
                let mut bytes = Vec::with_capacity(len.min(RAW_BYTES));
                reader.body(len, &mut bytes)?;
                let compression = head.header("x-log-compresstype").unwrap_or_default().to_owned();
                let raw_bytes =
                    head.header("x-log-bodyrawsize").and_then(|n| n.parse().ok()).unwrap_or_default();
                self.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(Body {
                    bytes,
                    compression,
                    raw_bytes,
                });
            } else {
                discarded.clear();
                reader.body(len, &mut discarded)?;
            }
            self.received(len);
            answer.write(number, "")?;
        }
        Ok(())
    }

    /// Reads to the end; answers nothing.
    fn swallow(&self, mut socket: &TcpStream) -> std::io::Result<()> {
        let mut room = vec![0; 256 * 1024];
        self.requests.fetch_add(1, Relaxed);
        loop {
            match socket.read(&mut room)? {
                0 => return Ok(()),
                count => {
                    let lines = room[..count].iter().filter(|byte| **byte == b'\n').count();
                    self.lines.fetch_add(lines as u64, Relaxed);
                    self.received(count);
                }
            }
        }
    }

    fn received(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Relaxed);
        self.last.fetch_max(self.started.elapsed().as_micros() as u64, Relaxed);
    }

    fn stats(&self) -> String {
        let idle = (self.started.elapsed().as_micros() as u64).saturating_sub(self.last.load(Relaxed));
        let (requests, bytes) = (self.requests.load(Relaxed), self.bytes.load(Relaxed));
        let cpu = process::own_cpu_seconds();
        let lines = self.lines.load(Relaxed);
        format!("requests {requests}\nbytes {bytes}\nidle_micros {idle}\ncpu_seconds {cpu}\nlines {lines}\n")
    }

    /// Counts the records of all kept bodies.
    fn count(&self) -> String {
        let (mut records, mut twice, mut strange, mut broken, mut raw) = (0u64, 0u64, 0u64, 0u64, 0u64);
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new(); // 64 numbers to a word
        for body in self.bodies.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let group = match body.compression.as_str() {
                "lz4" if body.raw_bytes <= RAW_BYTES => {
                    lz4_flex::block::decompress(&body.bytes, body.raw_bytes).unwrap_or_default()
                }
                "" => body.bytes.clone(),
                _ => Vec::new(),
            };
            raw += group.len() as u64;
            let whole = loggroup::walk(&group, |text| {
                records += 1;
                let Some(number) = text.and_then(records::number_of) else {
                    strange += 1;
                    return;
                };
                let (word, bit) = (seen.entry(number / 64).or_default(), 1 << (number % 64));
                twice += u64::from(*word & bit != 0);
                *word |= bit;
            });
            broken += u64::from(!whole || group.len() != body.raw_bytes);
        }
        let unique: u32 = seen.values().map(|word| word.count_ones()).sum();
        format!(
            "records {records}\nunique {unique}\ntwice {twice}\nstrange {strange}\nbroken {broken}\nraw_bytes {raw}\n"
        )
    }
}

/// Writes answers as Log Service does: request id and date always there.
struct Answer<W> {
    out: W,
    clock: u64,
    date: String,
}

impl<W: Write> Answer<W> {
    fn write(&mut self, number: u64, body: &str) -> std::io::Result<()> {
        let now = process::unix_seconds();
        if now != self.clock {
            (self.clock, self.date) = (now, http_date(now));
        }
        let text = format!(
            "HTTP/1.1 200 OK\r\nServer: null\r\nDate: {}\r\nx-log-requestid: {number:024X}\r\nx-log-time: {now}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.date,
            body.len()
        );
        self.out.write_all(text.as_bytes())
    }

    fn refuse(&mut self) -> std::io::Result<()> {
        self.out.write_all(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}

/// `Thu, 01 Jan 1970 00:00:00 GMT` (RFC 9110 5.6.7).
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for len in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < len {
            break;
        }
        day -= len;
        month += 1;
    }
    format!(
        "{}, {:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        day + 1,
        MONTHS[month],
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_208_000), "Thu, 29 Feb 2024 12:00:00 GMT");
        assert_eq!(http_date(1_735_689_599), "Tue, 31 Dec 2024 23:59:59 GMT");
    }
}
