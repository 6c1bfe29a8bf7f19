//! What a process used, from `/proc`, and children that never outlive the benchmark.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit},
    time::{ClockId, clock_gettime},
};

pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub fn own_cpu_seconds() -> f64 {
    clock(ClockId::ProcessCPUTime)
}

pub fn thread_cpu_seconds() -> f64 {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> f64 {
    let time = clock_gettime(id);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Raises this process's limit of open files, and that of its children to come, as far as it goes; gives the new one.
pub fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// User and system time of a process with all its threads, in steps of a clock tick (10 ms).
pub fn cpu_seconds(pid: u32) -> std::io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th value behind it.
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A value of `/proc/PID/status` in megabytes (10^6): `VmRSS` now, `VmHWM` at its highest.
pub fn memory_megabytes(pid: u32, name: &str) -> std::io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse::<f64>().ok()
    });
    Ok(kib.unwrap_or(f64::NAN) * 1024.0 / 1e6)
}

/// A child with its output as lines. Dropping it ends it.
pub struct Running {
    pub name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    /// Starts a command; its stderr goes to `log`, or where ours goes.
    pub fn start(
        name: &str,
        command: &mut Command,
        log: Option<fs::File>,
    ) -> Result<Running, Box<dyn Error>> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(log) = log {
            command.stderr(log);
        }
        let mut child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        let (sender, lines) = sync_channel(1024);
        if let Some(stdout) = child.stdout.take() {
            // Reads on when nobody listens, so that the child never waits for us.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = sender.try_send(line);
                }
            });
        }
        let stdin = child.stdin.take();
        Ok(Running { name: name.to_owned(), child, stdin, lines })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn say(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let stdin = self.stdin.as_mut().ok_or("stdin is closed")?;
        Ok(writeln!(stdin, "{line}").map_err(|error| format!("{} is gone: {error}", self.name))?)
    }

    /// The next line of its stdout.
    pub fn line(&mut self, patience: Duration) -> Result<String, Box<dyn Error>> {
        self.lines.recv_timeout(patience).map_err(|why| match why {
            RecvTimeoutError::Timeout => {
                format!("{} said nothing for {} s", self.name, patience.as_secs()).into()
            }
            RecvTimeoutError::Disconnected => {
                // Its stdout closes a little before its end can be seen.
                thread::sleep(Duration::from_millis(100));
                let status =
                    self.ended().map_or("its output is closed".to_owned(), |status| status.to_string());
                format!("{} ended: {status}", self.name).into()
            }
        })
    }

    /// A line of its stdout if there is one.
    pub fn try_line(&mut self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end (stdin closes, SIGTERM) and waits; kills it when it does not.
    pub fn stop(&mut self, patience: Duration) {
        self.stdin = None;
        if self.ended().is_none() {
            if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let until = Instant::now() + patience;
            while self.ended().is_none() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
