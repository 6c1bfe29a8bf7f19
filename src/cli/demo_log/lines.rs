//! The records of the demonstration. Each kind shows something else that a collector has to cope with:
//!
//! ```text
//! nginx    203.0.113.7 - alice [23/Nov/2026:10:24:54 +0000] "GET /cart/42?seq=17 HTTP/1.1" 0.031 412 200 5120 "-" "curl/8.5.0"
//!          as $remote_addr - $remote_user [$time_local] "$request" $request_time $request_length $status
//!          $body_bytes_sent "$http_referer" "$http_user_agent"
//! json     {"time":"2026-11-23T10:24:54.031Z","level":"info","seq":17,"message":"order paid","order":{"id":42,"total":19.90}}
//! java     2026-11-23 10:24:54.031 ERROR [http-nio-8080-exec-3] c.e.shop.OrderService - seq=17 order 42 failed
//!          <TAB>at com.example...                      every fourth record goes on with a stack trace
//! simple   2026-11-23T10:24:54.031Z INFO seq=17 order 42 paid
//! random   seq=17 and 16 to 200 printable characters, quotes and backslashes among them
//! ```
//!
//! All times are UTC. `seq` is the record's number.

use std::io::Write;

use clap::ValueEnum;
use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogType {
    /// An access log with request_time and request_length.
    Nginx,
    /// An object a line, one of its members nested.
    Json,
    /// Lines of a Java service, some with a stack trace over several lines.
    Java,
    /// Time, level and a message.
    Simple,
    /// Printable characters.
    Random,
}

const METHODS: [&str; 4] = ["GET", "GET", "POST", "PUT"];
const PLACES: [&str; 4] = ["cart", "item", "order", "search"];
const USERS: [&str; 4] = ["-", "-", "alice", "bob"];
const STATUSES: [u16; 8] = [200, 200, 200, 200, 201, 304, 404, 502];
const REFERERS: [&str; 2] = ["-", "https://shop.example.com/"];
const AGENTS: [&str; 3] =
    ["Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "curl/8.5.0", "okhttp/4.12.0"];
const LEVELS: [(&str, &str); 4] = [("INFO", "info"), ("INFO", "info"), ("WARN", "warn"), ("ERROR", "error")];
const DEEDS: [&str; 4] = ["paid", "packed", "shipped", "refused"];
const TRACE: &str = "\
java.lang.IllegalStateException: payment was refused
\tat com.example.shop.PaymentClient.charge(PaymentClient.java:118)
\tat com.example.shop.OrderService.pay(OrderService.java:64)
\tat java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
\t... 12 more
";

/// Makes one record after the other.
pub(super) struct Lines {
    log_type: LogType,
    chance: Chance,
    clock: Clock,
}

impl Lines {
    pub(super) fn new(log_type: LogType, seed: u64) -> Lines {
        Lines { log_type, chance: Chance(seed), clock: Clock::default() }
    }

    /// Appends the record of this number, with its line feeds.
    pub(super) fn write(&mut self, number: u64, now: Timestamp, to: &mut Vec<u8>) {
        self.clock.set(now, self.log_type);
        // Writing into memory cannot fail.
        let _ = match self.log_type {
            LogType::Nginx => self.nginx(number, to),
            LogType::Json => self.json(number, to),
            LogType::Java => self.java(number, to),
            LogType::Simple => self.simple(number, to),
            LogType::Random => self.random(number, to),
        };
    }

    fn nginx(&mut self, number: u64, to: &mut Vec<u8>) -> std::io::Result<()> {
        let Lines { chance, clock, .. } = self;
        writeln!(
            to,
            "203.0.113.{} - {} [{}] \"{} /{}/{}?seq={number} HTTP/1.1\" {}.{:03} {} {} {} \"{}\" \"{}\"",
            chance.below(256),
            chance.one(&USERS),
            clock.second,
            chance.one(&METHODS),
            chance.one(&PLACES),
            chance.below(1000),
            chance.below(2),
            chance.below(1000),
            200 + chance.below(1800),
            chance.one(&STATUSES),
            chance.below(64 << 10),
            chance.one(&REFERERS),
            chance.one(&AGENTS),
        )
    }

    fn json(&mut self, number: u64, to: &mut Vec<u8>) -> std::io::Result<()> {
        let Lines { chance, clock, .. } = self;
        writeln!(
            to,
            r#"{{"time":"{}.{:03}Z","level":"{}","seq":{number},"message":"order {}","order":{{"id":{},"total":{}.{:02}}}}}"#,
            clock.second,
            clock.milli,
            chance.one(&LEVELS).1,
            chance.one(&DEEDS),
            chance.below(1000),
            chance.below(500),
            chance.below(100),
        )
    }

    fn java(&mut self, number: u64, to: &mut Vec<u8>) -> std::io::Result<()> {
        let Lines { chance, clock, .. } = self;
        let fails = number.is_multiple_of(4);
        writeln!(
            to,
            "{}.{:03} {} [http-nio-8080-exec-{}] c.e.shop.OrderService - seq={number} order {} {}",
            clock.second,
            clock.milli,
            if fails { "ERROR" } else { "INFO " },
            1 + chance.below(10),
            chance.below(1000),
            if fails { "failed" } else { chance.one(&DEEDS) },
        )?;
        if fails { to.write_all(TRACE.as_bytes()) } else { Ok(()) }
    }

    fn simple(&mut self, number: u64, to: &mut Vec<u8>) -> std::io::Result<()> {
        let Lines { chance, clock, .. } = self;
        writeln!(
            to,
            "{}.{:03}Z {} seq={number} order {} {}",
            clock.second,
            clock.milli,
            chance.one(&LEVELS).0,
            chance.below(1000),
            chance.one(&DEEDS),
        )
    }

    fn random(&mut self, number: u64, to: &mut Vec<u8>) -> std::io::Result<()> {
        write!(to, "seq={number} ")?;
        for _ in 0..16 + self.chance.below(185) {
            // The printable ones of ASCII, blank included.
            to.push(b' ' + u8::try_from(self.chance.below(95)).unwrap_or_default());
        }
        to.push(b'\n');
        Ok(())
    }
}

/// The time as the lines write it; its text is made once a second.
#[derive(Default)]
struct Clock {
    at: Option<i64>,
    /// Down to the second.
    second: String,
    milli: i32,
}

impl Clock {
    fn set(&mut self, now: Timestamp, log_type: LogType) {
        self.milli = now.subsec_millisecond();
        if self.at == Some(now.as_second()) {
            return;
        }
        self.at = Some(now.as_second());
        self.second = match log_type {
            LogType::Nginx => now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            LogType::Java => now.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            LogType::Json | LogType::Simple => now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            LogType::Random => String::new(),
        };
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `limit` is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<T: Copy, const N: usize>(&mut self, of: &[T; N]) -> T {
        of[usize::try_from(self.next() % N as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 10:24:54.031 UTC.
    const NOW: i64 = 1_795_429_494_031;

    fn text(log_type: LogType, seed: u64, count: u64) -> String {
        let (mut lines, mut text) = (Lines::new(log_type, seed), Vec::new());
        for number in 1..=count {
            lines.write(number, Timestamp::from_millisecond(NOW).unwrap(), &mut text);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_seed_decides_everything_but_times() {
        for log_type in LogType::value_variants() {
            let one = text(*log_type, 7, 50);
            assert_eq!(one, text(*log_type, 7, 50));
            assert_ne!(one, text(*log_type, 8, 50));
        }
    }

    #[test]
    fn nginx_lines_have_the_variables_of_their_format() {
        let format = regex::Regex::new(
            r#"^[\d.]+ - (-|\w+) \[23/Nov/2026:10:24:54 \+0000\] "[A-Z]+ /\S+\?seq=(\d+) HTTP/1.1" \d+\.\d{3} \d+ \d{3} \d+ "[^"]+" "[^"]+"$"#,
        )
        .unwrap();
        for (line, number) in text(LogType::Nginx, 1, 200).lines().zip(1..) {
            let found = format.captures(line).expect(line);
            assert_eq!(found[2], i32::to_string(&number));
        }
    }

    #[test]
    fn json_lines_are_json() {
        for (line, number) in text(LogType::Json, 1, 200).lines().zip(1..) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["seq"], number);
            assert_eq!(value["time"], "2026-11-23T10:24:54.031Z");
            assert!(value["order"]["total"].is_number());
        }
    }

    #[test]
    fn only_first_lines_of_a_java_record_begin_with_a_time() {
        let text = text(LogType::Java, 1, 8);
        let first: Vec<&str> =
            text.lines().filter(|line| line.starts_with("2026-11-23 10:24:54.031 ")).collect();
        assert_eq!(first.len(), 8);
        assert_eq!(text.lines().count(), 8 + 2 * TRACE.lines().count());
        assert_eq!(text.matches("Caused by").count(), 2);
    }

    #[test]
    fn random_lines_stay_lines() {
        let text = text(LogType::Random, 1, 100);
        assert_eq!(text.lines().count(), 100);
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    }
}
