//! Files to the encoded point: blocks of a file are cut into records, parsed and written as Logs, in one thread, without
//! journal and output. The marks are figures that an agent of Log Service published for one core.
//!
//! ```text
//! block of a file -> Cutter -> Batch -> Steps -> Tidy -> Logs, in a buffer that is used again
//! ```
//!
//! Rows and the LZ4 yardstick take turns, so that the machine's moods are in all of them.

use std::{error::Error, time::Duration};

use sluicegate::{
    config::{
        linear_regex::LinearRegex,
        log_format,
        plan::{
            Charset, DelimiterPlan, ExtraColumns, LogServer, MultilinePlan, Nil, OnFailure, OutOfRange,
            ParseFormat, ParsePlan, Step,
        },
    },
    input::file::cut::{Cutter, More, Next},
    pipeline::{
        encode,
        steps::{Scratch, Steps},
        tidy::Tidy,
    },
    record::{Batch, Timestamp},
};

use crate::{
    args::Args,
    inputs::{
        kind::{self, Kind},
        text,
    },
    process,
    records::Stream,
    yardstick::Yardstick,
};

/// What a reader takes of a file at once.
const BLOCK: usize = 384 * 1024;
/// What a reader makes a batch of at most.
const BATCH_RECORDS: usize = 4_000;
const MAX_LINE: usize = 512 * 1024;
const MEGA: f64 = 1e6;

const REGEX: &str = r#"(\S+) - (\S+) \[([^\]]*)\] "(\S+) (\S+) ([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)""#;
const REGEX_KEYS: [&str; 10] = [
    "remote_addr",
    "remote_user",
    "time_local",
    "request_method",
    "request_uri",
    "protocol",
    "status",
    "body_bytes_sent",
    "http_referer",
    "log",
];

/// What is measured: its name, the bytes it reads, and the mark to pass, in MB for a second of one core.
const ROWS: [(&str, Kind, Option<f64>); 6] = [
    ("lines", Kind::FileLines, Some(546.0)),
    ("multiline", Kind::FileMultiline, Some(238.0)),
    ("regex", Kind::FileNginx, Some(68.0)),
    ("nginx", Kind::FileNginx, None),
    ("json", Kind::FileJson, None),
    ("delimiter", Kind::FileDelimiter, None),
];

/// How the lines of a row become records, and what was measured.
struct Row {
    name: &'static str,
    mark: Option<f64>,
    bytes: Vec<u8>,
    records: u64,
    cutter: Cutter,
    steps: Steps,
    /// CPU seconds of every pass.
    passes: Vec<f64>,
}

/// The subcommand.
pub fn main(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let args = Args::read(words, &["only", "records", "rounds", "seed"], &[])?;
    let (records, seed) = (args.count("records", 100_000)?, args.count("seed", 1)?);
    let wanted: Option<Vec<&str>> = args.text("only").map(|list| list.split(',').collect());
    let mut rows = Vec::new();
    for (name, kind, mark) in ROWS {
        if wanted.as_ref().is_none_or(|wanted| wanted.contains(&name)) {
            rows.push(Row::new(name, kind, mark, records, seed)?);
        }
    }
    if rows.is_empty() {
        return Err(format!("--only takes {}", ROWS.map(|(name, ..)| name).join(",")).into());
    }
    let mut yardstick = Yardstick::new(records, 1, seed);
    for _ in 0..args.count("rounds", 5)? {
        for row in &mut rows {
            row.measure()?;
        }
        yardstick.measure();
    }
    println!("{}", yardstick.line());
    println!("{:<10} {:>9} {:>7} {:>9} {:>13}", "format", "MB/CPU s", "mark", "times LZ4", "ns per record");
    let lz4 = yardstick.raw_bytes as f64 / MEGA / yardstick.cpu_seconds();
    for row in &mut rows {
        let seconds = row.median();
        let speed = row.bytes.len() as f64 / MEGA / seconds;
        println!(
            "{:<10} {:>9.0} {:>7} {:>9.2} {:>13.0}",
            row.name,
            speed,
            row.mark.map_or("-".to_owned(), |mark| format!("{mark:.0}")),
            speed / lz4,
            seconds * 1e9 / row.records as f64
        );
    }
    Ok(())
}

impl Row {
    fn new(
        name: &'static str,
        kind: Kind,
        mark: Option<f64>,
        records: u64,
        seed: u64,
    ) -> Result<Row, Box<dyn Error>> {
        let mut stream = Stream::all(records, 1, seed, process::unix_seconds()).remove(0);
        let bytes = kind::build(kind, &mut stream, 1)?.bytes;
        Ok(Row {
            name,
            mark,
            bytes,
            records,
            cutter: Cutter::with(Charset::Utf8, multiline(name)?.as_ref(), MAX_LINE, Duration::from_secs(60)),
            steps: Steps::new(&steps(name)?, Nil::Empty),
            passes: Vec::new(),
        })
    }

    /// One pass over all blocks.
    fn measure(&mut self) -> Result<(), Box<dyn Error>> {
        let tidy = Tidy::new(OutOfRange::Keep);
        let (mut batch, mut logs, mut scratch) = (Batch::default(), Vec::new(), Scratch::default());
        let (mut cutter, mut found, mut failed) = (self.cutter.clone(), 0, 0);
        let (mut waiting, mut rest): (Vec<u8>, &[u8]) = (Vec::new(), &self.bytes);
        let begin = process::thread_cpu_seconds();
        while !rest.is_empty() {
            let (block, behind) = rest.split_at(BLOCK.min(rest.len()));
            rest = behind;
            waiting.extend_from_slice(block);
            batch.frame = std::mem::take(&mut waiting).into();
            let more = if rest.is_empty() { More::Never } else { More::Yes };
            let mut done = 0;
            while done < batch.frame.len() {
                let (next, is_last) = cut(&mut batch, &mut cutter, done, more);
                done = next;
                found += batch.records.len() as u64;
                failed += write(&mut batch, &self.steps, &mut scratch, &tidy, &mut logs);
                batch.clear_records();
                if is_last {
                    break;
                }
            }
            // Nobody else has it, so its memory is used again.
            waiting = std::mem::take(&mut batch.frame).into();
            waiting.drain(..done);
        }
        self.passes.push(process::thread_cpu_seconds() - begin);
        match (found, failed) {
            (found, 0) if found == self.records => Ok(()),
            _ => Err(format!(
                "{}: {found} records came out of {}, {failed} were not parsed",
                self.name, self.records
            )
            .into()),
        }
    }

    fn median(&mut self) -> f64 {
        self.passes.sort_unstable_by(f64::total_cmp);
        self.passes[self.passes.len() / 2]
    }
}

/// Makes a batch of the records that begin at `from`; says where the next one begins, and whether more is waited for.
fn cut(batch: &mut Batch, cutter: &mut Cutter, mut from: usize, more: More) -> (usize, bool) {
    let (frame, received) = (batch.frame.clone(), Timestamp::now());
    batch.tag = batch.keep(b"file.bench");
    let key = batch.keep(b"log");
    while from < frame.len() && batch.records.len() < BATCH_RECORDS {
        match cutter.next(&frame, from, more) {
            Next::Wait => return (from, true),
            Next::Skip { next, .. } => from = next,
            Next::Record { text, next, .. } => {
                let text = cutter.text(batch, text);
                batch.begin(received);
                batch.push(key, text);
                from = next;
            }
        }
    }
    (from, false)
}

/// What the pipeline does with a batch of one stream; says how many records were not parsed.
fn write(batch: &mut Batch, steps: &Steps, scratch: &mut Scratch, tidy: &Tidy, logs: &mut Vec<u8>) -> usize {
    logs.clear();
    let (now, mut dropped) = (Timestamp::now(), 0);
    for at in 0..batch.records.len() {
        let (made, fields) = (batch.arena.len(), batch.fields.len());
        if steps.apply(batch, at, scratch) {
            let (seconds, nanos) = tidy.time(batch, at, now);
            tidy.fields(batch, at);
            let record = &batch.records[at];
            let measured = encode::measure(batch, record, seconds);
            encode::write(logs, batch, record, &measured, nanos);
        } else {
            dropped += 1;
        }
        batch.arena.truncate(made);
        batch.fields.truncate(fields);
    }
    dropped
}

fn multiline(name: &str) -> Result<Option<MultilinePlan>, String> {
    if name != "multiline" {
        return Ok(None);
    }
    Ok(Some(MultilinePlan {
        start: Some(LinearRegex::parse(r"\d{4}-\d{2}-\d{2} ")?),
        continues: None,
        end: None,
        keep_unmatched: true,
        timeout: Duration::from_secs(1),
    }))
}

fn steps(name: &str) -> Result<Vec<Step>, String> {
    let format = match name {
        "regex" => ParseFormat::Regex {
            regex: LinearRegex::parse(REGEX)?,
            keys: REGEX_KEYS.map(str::to_owned).to_vec(),
        },
        "nginx" => ParseFormat::LogFormat(log_format::parse(LogServer::Nginx, text::LOG_FORMAT)?),
        "json" => ParseFormat::Json { depth: 1 },
        "delimiter" => ParseFormat::Delimiter(DelimiterPlan {
            separator: "|".to_owned(),
            quote: None,
            keys: text::COLUMNS.split(' ').map(str::to_owned).collect(),
            strict: true,
            extra: ExtraColumns::Extend,
        }),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Step::Parse(ParsePlan {
        format,
        key: "log".to_owned(),
        keep: false,
        prefix: String::new(),
        on_failure: OnFailure::Discard,
    })])
}
