//! `sluicegate demo-log`: an application that logs, for demonstrations and tests of sidecars. It takes the flags of the
//! generator in Logtail's sidecar demo, each as `--flag=value` or `--flag value`.
//!
//! ```text
//! sluicegate demo-log --log-type=nginx --stdout=false --stderr=true --path=/var/log/nginx/access.log
//!   --total-count=1000000000 --logs-per-sec=100
//! ```
//!
//! Every record carries its number, from 1 without gaps, so that whoever collects them can say what is missing or came
//! twice. Records are written whole: SIGTERM ends the program behind one, never inside. The pace is kept over the whole run:
//! what a busy machine held up is caught up with.

mod lines;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use lines::{Lines, LogType};

/// Records are written in blocks of about so many bytes where the pace asks for it.
const BLOCK: usize = 64 << 10;

#[derive(Args)]
pub(super) struct DemoLog {
    /// What the records look like.
    #[arg(long, value_enum, default_value = "nginx")]
    log_type: LogType,
    /// Write the records to standard output.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    stdout: bool,
    /// Write the records to standard error.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    stderr: bool,
    /// Append the records to this file; missing directories are made.
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// End after so many records; without it, only a signal ends it.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    total_count: u64,
    /// Records a second; 0 is as fast as they can be written.
    #[arg(long, value_name = "N", default_value_t = 100)]
    logs_per_sec: u64,
    /// The same seed makes the same records, but for their times.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl DemoLog {
    pub(super) fn execute(self) -> Result<ExitCode> {
        super::block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut targets = Targets::open(self.stdout, self.stderr, self.path.as_deref())?;
        let mut lines = Lines::new(self.log_type, self.seed.map_or_else(random_seed, Ok)?);
        let began = Instant::now();
        let (mut written, mut block) = (0, Vec::new());
        while written < self.total_count {
            let due = due(began.elapsed(), self.logs_per_sec).min(self.total_count);
            block.clear();
            while written < due && block.len() < BLOCK {
                written += 1;
                lines.write(written, jiff::Timestamp::now(), &mut block);
            }
            // The one thing this runtime does, so it may wait for the disk.
            if !targets.write(&block)? {
                break;
            }
            tokio::select! {
                biased;
                _ = terminated.recv() => break,
                _ = interrupted.recv() => break,
                () = sleep_until(began + age(written, self.logs_per_sec)) => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn random_seed() -> Result<u64> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).context("the system gives no random bytes; name a --seed")?;
    Ok(u64::from_le_bytes(seed))
}

/// How many records there should be after such a time. The first is there at once.
fn due(elapsed: Duration, per_second: u64) -> u64 {
    if per_second == 0 {
        return u64::MAX;
    }
    let count = elapsed.as_nanos().saturating_mul(u128::from(per_second)) / NANOS;
    u64::try_from(count).unwrap_or(u64::MAX).saturating_add(1)
}

/// When the record behind so many is due.
fn age(written: u64, per_second: u64) -> Duration {
    if per_second == 0 {
        return Duration::ZERO;
    }
    let nanos = (u128::from(written) * NANOS).div_ceil(u128::from(per_second));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

const NANOS: u128 = 1_000_000_000;

/// Where records go, all to each of them.
struct Targets {
    stdout: bool,
    stderr: bool,
    file: Option<(File, PathBuf)>,
}

impl Targets {
    fn open(stdout: bool, stderr: bool, path: Option<&Path>) -> Result<Targets> {
        if !stdout && !stderr && path.is_none() {
            bail!("nowhere to write to: give it --path FILE, --stdout or --stderr");
        }
        let open = |path: &Path| {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            File::options().append(true).create(true).open(path)
        };
        let file = path
            .map(|path| {
                open(path).map(|file| (file, path.to_owned())).with_context(|| path.display().to_string())
            })
            .transpose()?;
        Ok(Targets { stdout, stderr, file })
    }

    /// Writes whole records; false when nobody reads them any more.
    fn write(&mut self, records: &[u8]) -> Result<bool> {
        if let Some((file, path)) = &mut self.file {
            file.write_all(records).with_context(|| path.display().to_string())?;
        }
        if self.stderr && !reader_stays(io::stderr().write_all(records)).context("standard error")? {
            return Ok(false);
        }
        if self.stdout {
            let mut out = io::stdout();
            return reader_stays(out.write_all(records).and_then(|()| out.flush()))
                .context("standard output");
        }
        Ok(true)
    }
}

/// A reader that went away (`| head`) is no error.
fn reader_stays(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        demo: DemoLog,
    }

    fn parsed(flags: &[&str]) -> DemoLog {
        Command::try_parse_from([&["demo-log"], flags].concat())
            .map_err(|error| error.to_string())
            .unwrap()
            .demo
    }

    #[test]
    fn flags_are_those_of_the_demo() {
        let joined = [
            "--log-type=nginx",
            "--stdout=false",
            "--stderr=true",
            "--path=/l",
            "--total-count=9",
            "--logs-per-sec=7",
        ];
        let apart: Vec<&str> = joined.iter().flat_map(|flag| flag.split('=')).collect();
        for flags in [&joined[..], &apart] {
            let demo = parsed(flags);
            assert!(!demo.stdout && demo.stderr);
            assert_eq!(demo.path.as_deref(), Some(Path::new("/l")));
            assert_eq!((demo.total_count, demo.logs_per_sec), (9, 7));
        }
        assert!(parsed(&["--stdout", "--log-type", "java"]).stdout);
    }

    #[test]
    fn a_run_writes_all_records_whole_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/on/the/way.log");
        let file = path.to_str().unwrap();
        let flags =
            ["--log-type=simple", "--path", file, "--total-count=1000", "--logs-per-sec=0", "--seed=1"];
        for _ in 0..2 {
            super::super::block_on(parsed(&flags).run()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let numbers: Vec<&str> =
            text.lines().map(|line| line.split("seq=").nth(1).unwrap().split(' ').next().unwrap()).collect();
        let once: Vec<String> = (1..=1000).map(|number| number.to_string()).collect();
        assert_eq!(numbers, [once.clone(), once].concat());
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_demo_without_a_place_to_write_says_so() {
        let error = super::super::block_on(parsed(&[]).run()).unwrap_err();
        assert!(error.to_string().contains("--path FILE"));
    }

    proptest! {
        #[test]
        fn the_next_record_is_due_when_its_time_comes(written in 0u64..1_000_000_000, per_second in 1u64..10_000_000) {
            let at = age(written, per_second);
            prop_assert_eq!(due(at, per_second), written + 1);
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(due(before, per_second) <= written);
            }
        }
    }
}
