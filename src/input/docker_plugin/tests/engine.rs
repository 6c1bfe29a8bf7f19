//! The engine's side of a FIFO.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode};

use crate::wire::log_entry::LogEntry;

pub(super) struct Engine {
    pub(super) path: PathBuf,
    /// Open for both, as the engine has it.
    fifo: Option<File>,
}

pub(super) fn frame(line: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    LogEntry { source: b"stdout", time_nano: 1_700_000_000_000_000_000, line, ..LogEntry::default() }
        .append(&mut message);
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

pub(super) fn numbered(numbers: Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| frame(number.to_string().as_bytes())).collect()
}

impl Engine {
    pub(super) async fn new(dir: &Path) -> Engine {
        Engine::named(dir, "fifo").await
    }

    pub(super) async fn named(dir: &Path, name: &str) -> Engine {
        let path = dir.join(name);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
        let fifo = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Engine { path, fifo: Some(fifo) }
    }

    /// Waits while the FIFO is full.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        tokio::task::block_in_place(|| self.fifo.as_mut().unwrap().write_all(bytes).unwrap());
    }

    /// Entries one by one.
    pub(super) fn write_in_background(&self, bytes: Vec<u8>) -> JoinHandle<()> {
        let mut fifo = self.fifo.as_ref().unwrap().try_clone().unwrap();
        std::thread::spawn(move || {
            let mut rest = &bytes[..];
            while let Some(length) = rest.first_chunk() {
                let (entry, behind) = rest.split_at(4 + u32::from_be_bytes(*length) as usize);
                fifo.write_all(entry).unwrap();
                rest = behind;
            }
        })
    }

    pub(super) fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(self.fifo.as_ref().unwrap()).unwrap()
    }

    pub(super) fn die(&mut self) {
        self.fifo = None;
    }

    /// The body of its StartLogging.
    pub(super) fn start(&self, options: &str) -> String {
        format!(r#"{{"File":"{}","Info":{}}}"#, self.path.display(), self.info(options))
    }

    pub(super) fn info(&self, options: &str) -> String {
        let id = "5525e4dd".repeat(8);
        format!(
            r#"{{"Config":{options},"ContainerID":"{id}","ContainerName":"/web","ContainerImageName":"busybox:local",
                "ContainerEnv":["APP=prod","SECRET=s"],"ContainerLabels":{{"team":"core"}},"DaemonName":"docker"}}"#
        )
    }
}
