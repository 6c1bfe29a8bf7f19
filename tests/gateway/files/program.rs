//! The program itself, as a process that gets signals.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::gateway::harness::PATIENCE;

/// `sluicegate` with these arguments and no variables but these.
pub fn command<'a>(arguments: &[&str], env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).env_clear().envs(env).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// A gateway in a process of its own; it is killed when this is dropped.
pub struct Program {
    child: Child,
    errors: Option<JoinHandle<String>>,
}

impl Program {
    /// Runs with this configuration and data directory, and waits until it says where it listens.
    pub async fn start(configuration: &Path, data: &Path) -> Program {
        let paths = [configuration.to_str().unwrap(), data.to_str().unwrap()];
        Program::spawn(command(&["run", "--config", paths[0], "--data-dir", paths[1]], [])).await
    }

    pub async fn spawn(mut command: Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, hears) = mpsc::sync_channel(1);
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim_start().starts_with("operations") {
                    let _ = said.send(());
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let listens = tokio::task::spawn_blocking(move || hears.recv_timeout(PATIENCE)).await.unwrap();
        if listens.is_err() {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not run: {}", errors.join().unwrap());
        }
        Program { child, errors: Some(errors) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait().await;
    }

    pub fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end; gives what it said on standard error.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.wait().await;
        (status, self.errors.take().unwrap().join().unwrap())
    }

    /// SIGTERM, and its end, which is in order.
    pub async fn stop(self) {
        self.terminate();
        let (status, said) = self.ended().await;
        assert!(status.success(), "{status}: {said}");
    }

    async fn wait(&mut self) -> ExitStatus {
        let wait = async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("its end")
    }

    /// What it has open below a directory.
    pub fn open_files(&self, below: &Path) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
        open.filter_map(target).filter(|path| path.starts_with(below)).count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps an argument of a shell from being understood.
pub fn quoted(argument: impl AsRef<OsStr>) -> String {
    format!("'{}'", argument.as_ref().to_str().unwrap().replace('\'', r"'\''"))
}
