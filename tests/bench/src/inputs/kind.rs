//! What is sent: the same Docker records in the words of each input, built before the clock starts.
//!
//! ```text
//! syslog     <30>1 2026-11-22T22:53:00.123456Z vm shop-orders-1/0123456789ab 7025 shop-orders-1/0123456789ab - text LF
//! gelf       {"version":"1.1","host":"vm","short_message":"text","timestamp":1795388230.361,"level":6,"_container_id":...} NUL
//! splunk     POST with {"event":{"line":"text","source":"stdout","tag":"..."},"time":"1795388230.361000","host":"vm"}...
//! json-file  {"log":"text\n","stream":"stdout","time":"2026-11-22T22:53:00.123456789Z"} LF
//! ```
//!
//! Docker's gelf driver sends gzip over UDP and plain text over TCP; the syslog format is `rfc5424micro`, as conf/docker.yaml
//! has it; a splunk request carries as many events as the driver gathers.

use std::io::{self, Write};

use super::text;
use crate::records::{Line, Stream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SyslogTcp,
    SyslogUdp,
    SyslogUnix,
    GelfTcp,
    GelfUdp,
    Splunk,
    JsonFile,
    FileLines,
    FileMultiline,
    FileNginx,
    FileJson,
    FileDelimiter,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::SyslogTcp,
        Kind::SyslogUdp,
        Kind::SyslogUnix,
        Kind::GelfTcp,
        Kind::GelfUdp,
        Kind::Splunk,
        Kind::JsonFile,
        Kind::FileLines,
        Kind::FileMultiline,
        Kind::FileNginx,
        Kind::FileJson,
        Kind::FileDelimiter,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::SyslogTcp => "syslog-tcp",
            Kind::SyslogUdp => "syslog-udp",
            Kind::SyslogUnix => "syslog-unix",
            Kind::GelfTcp => "gelf-tcp",
            Kind::GelfUdp => "gelf-udp",
            Kind::Splunk => "splunk",
            Kind::JsonFile => "json-file",
            Kind::FileLines => "file-lines",
            Kind::FileMultiline => "file-multiline",
            Kind::FileNginx => "file-nginx",
            Kind::FileJson => "file-json",
            Kind::FileDelimiter => "file-delimiter",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Datagrams can be lost, and are sent at a rate.
    pub fn is_lossy(self) -> bool {
        matches!(self, Kind::SyslogUdp | Kind::GelfUdp)
    }

    /// Files of an application, which a file input reads.
    pub fn is_text_file(self) -> bool {
        self.name().starts_with("file-")
    }

    /// Ends of parts are kept: each is a datagram or a request.
    fn events(self, batch: u64) -> u64 {
        match self {
            Kind::SyslogUdp | Kind::GelfUdp => 1,
            Kind::Splunk => batch,
            // What is written at once.
            _ => 200,
        }
    }
}

/// What one connection, socket or file carries: parts that are written one after the other.
pub struct Parts {
    pub bytes: Vec<u8>,
    /// Where each part ends.
    pub ends: Vec<usize>,
}

impl Parts {
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Everything of one stream; `batch` events to a splunk request.
pub fn build(kind: Kind, stream: &mut Stream, batch: u64) -> io::Result<Parts> {
    let mut parts = Parts { bytes: Vec::new(), ends: Vec::new() };
    let (mut line, mut part) = (Line::default(), Vec::new());
    let mut events = 0;
    while stream.advance(&mut line) {
        event(kind, stream, &line, &mut part)?;
        events += 1;
        if events % kind.events(batch) == 0 || stream.remaining() == 0 {
            finish(kind, &part, &mut parts.bytes)?;
            parts.ends.push(parts.bytes.len());
            part.clear();
        }
    }
    Ok(parts)
}

fn event(kind: Kind, stream: &Stream, line: &Line, out: &mut Vec<u8>) -> io::Result<()> {
    let (id, short) = (&stream.container_id, &stream.tag);
    let name = stream.container_name.trim_start_matches('/');
    // The texts hold nothing that JSON escapes.
    let words = String::from_utf8_lossy(&line.text);
    let (source, micros) = (line.source(), line.nanoseconds / 1_000);
    let is_error = source == "stderr";
    match kind {
        Kind::SyslogTcp | Kind::SyslogUdp | Kind::SyslogUnix => {
            let priority = if is_error { 27 } else { 30 };
            let time = rfc3339(line.seconds);
            let tag = format!("{name}/{short}");
            write!(out, "<{priority}>1 {time}.{micros:06}Z vm {tag} 7025 {tag} - {words}")?;
            if kind != Kind::SyslogUdp {
                out.push(b'\n');
            }
        }
        Kind::GelfTcp | Kind::GelfUdp => {
            let (level, millis) = (if is_error { 3 } else { 6 }, micros / 1_000);
            write!(
                out,
                "{{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"{words}\",\"timestamp\":{}.{millis:03},\
                 \"level\":{level},\"_command\":\"/srv/shop --port 8080\",\"_container_id\":\"{id}\",\
                 \"_container_name\":\"{name}\",\"_created\":\"2026-11-22T22:57:10.139126065Z\",\
                 \"_image_id\":\"sha256:{id}\",\"_image_name\":\"shop:1.4\",\"_tag\":\"{short}\"}}",
                line.seconds
            )?;
            if kind == Kind::GelfTcp {
                out.push(0);
            }
        }
        Kind::Splunk => write!(
            out,
            "{{\"event\":{{\"line\":\"{words}\",\"source\":\"{source}\",\"tag\":\"{name}/{short}\"}},\
             \"time\":\"{}.{micros:06}\",\"host\":\"vm\"}}",
            line.seconds
        )?,
        Kind::JsonFile => writeln!(
            out,
            "{{\"log\":\"{words}\\n\",\"stream\":\"{source}\",\"time\":\"{}.{:09}Z\"}}",
            rfc3339(line.seconds),
            line.nanoseconds
        )?,
        _ => text::write(kind, line, &rfc3339(line.seconds), out)?,
    }
    Ok(())
}

/// Makes a part of its events.
fn finish(kind: Kind, events: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match kind {
        Kind::GelfUdp => {
            // Level 1 is the driver's default.
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(1));
            encoder.write_all(events)?;
            encoder.finish()?;
        }
        Kind::Splunk => {
            write!(
                out,
                "POST /services/collector/event/1.0 HTTP/1.1\r\nHost: vm\r\nUser-Agent: Go-http-client/1.1\r\n\
                 Authorization: Splunk {TOKEN}\r\nContent-Length: {}\r\n\r\n",
                events.len()
            )?;
            out.extend_from_slice(events);
        }
        _ => out.extend_from_slice(events),
    }
    Ok(())
}

pub const TOKEN: &str = "00000000-0000-0000-0000-000000000001";

/// `2026-11-22T22:53:00`, by the days of the proleptic Gregorian calendar counted from March.
fn rfc3339(seconds: u32) -> String {
    let (days, second) = (u64::from(seconds / 86_400), seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_wants_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59");
        assert_eq!(rfc3339(1_795_388_230), "2026-11-22T22:57:10");
    }

    #[test]
    fn every_record_is_in_its_part() {
        for kind in Kind::ALL {
            let mut all = 0;
            for mut stream in Stream::all(1_003, 3, 1, 1_795_388_230) {
                let count = stream.remaining();
                let parts = build(kind, &mut stream, 100).unwrap();
                assert_eq!(parts.iter().map(<[u8]>::len).sum::<usize>(), parts.bytes.len());
                assert_eq!(parts.ends.len() as u64, count.div_ceil(kind.events(100)), "{kind:?}");
                all += count;
            }
            assert_eq!(all, 1_003);
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
    }
}
