//! A gateway without sockets, and containers whose driver writes into an engine's directory.

use super::super::*;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{JoinPlan, Plan};
use crate::input::follow::house;
use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Deref;

pub(super) use crate::input::follow::house::Record;

pub(super) const BUDGET: usize = 4 << 20;

pub(super) struct House {
    pub(super) gateway: house::House,
    pub(super) engine: tempfile::TempDir,
    pub(super) docker: DockerPlan,
}

impl Deref for House {
    type Target = house::House;

    fn deref(&self) -> &house::House {
        &self.gateway
    }
}

impl House {
    pub(super) fn new() -> House {
        House::with(|_, _| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Plan, &mut DockerPlan)) -> House {
        let mut plan = house::House::plan();
        let engine = tempfile::tempdir().unwrap();
        let mut docker = DockerPlan {
            data_root: engine.path().to_owned(),
            start: Start::Beginning,
            scan_interval: Duration::from_millis(200),
            tag: DockerTag::parse("docker.{{.Name}}").unwrap(),
            labels: vec!["team".to_owned()],
            env: Vec::new(),
            join: JoinPlan { partial: true, timeout: Duration::from_secs(60), max_line: 1 << 20 },
        };
        change(&mut plan, &mut docker);
        House { gateway: house::House::new(plan, BUDGET), engine, docker }
    }

    pub(super) fn start(&self) {
        let input =
            DockerFiles::new("docker", self.docker.clone(), self.intake.clone(), self.positions.clone());
        self.stop.tasks.spawn(Arc::new(input).run(self.stop.clone()));
    }

    /// Ends in order and begins again.
    pub(super) async fn restart(self) -> House {
        House { gateway: self.gateway.restart().await, ..self }
    }

    /// Goes on with what is on the disk at this moment; what runs is left behind.
    pub(super) async fn kill(self) -> House {
        House { gateway: self.gateway.kill().await, ..self }
    }

    /// Takes all records that are stored, with their times.
    pub(super) fn take(&self) -> Vec<(i64, Record)> {
        self.take_stored().into_iter().map(|stored| (stored.nanoseconds, stored.record)).collect()
    }

    /// Waits for so many records, and takes them.
    pub(super) async fn wait(&self, count: usize) -> Vec<Record> {
        self.wait_for(count, || self.take().into_iter().map(|(_, record)| record).collect()).await
    }

    pub(super) fn container(&self, number: u8, driver: &str) -> Container {
        let id = format!("{number:064x}");
        let dir = self.engine.path().join("containers").join(&id);
        let logs = if driver == "local" { dir.join("local-logs") } else { dir.clone() };
        fs::create_dir_all(&logs).unwrap();
        let config = format!(
            r#"{{"Name":"/c{number}","Config":{{"Image":"img:1","Labels":{{"team":"core"}},"Env":[]}}}}"#
        );
        fs::write(dir.join("config.v2.json"), config).unwrap();
        fs::write(dir.join("hostconfig.json"), format!(r#"{{"LogConfig":{{"Type":"{driver}"}}}}"#)).unwrap();
        let name = if driver == "local" { "container.log".to_owned() } else { format!("{id}-json.log") };
        Container { base: logs.join(name), dir, id, written: 0 }
    }

    pub(super) fn key(&self, container: &Container) -> Bytes {
        Bytes::from(format!("docker docker {}", container.id))
    }
}

/// A container whose driver writes to its files.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) dir: PathBuf,
    pub(super) base: PathBuf,
    pub(super) written: u32,
}

impl Container {
    pub(super) fn fixture(&self, number: usize, end: &str) -> PathBuf {
        let mut name = self.base.clone().into_os_string();
        if number > 0 {
            name.push(format!(".{number}{end}"));
        }
        name.into()
    }

    pub(super) fn put(&self, text: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.base).unwrap();
        file.write_all(text).unwrap();
    }

    pub(super) fn piece(&self, text: &str, stream: &str, second: u32) {
        let text = serde_json::to_string(text).unwrap();
        let time = format!("2026-11-22T23:03:{second:02}Z");
        self.put(format!("{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").as_bytes());
    }

    /// Numbered lines; every seventh is made of two pieces.
    pub(super) fn lines(&mut self, count: u32) {
        for _ in 0..count {
            self.written += 1;
            let n = self.written;
            let (stream, second) = (if n.is_multiple_of(3) { "stderr" } else { "stdout" }, n % 60);
            if n.is_multiple_of(7) {
                self.piece(&format!("{n}"), stream, second);
                self.piece(" of many\n", stream, second);
            } else {
                self.piece(&format!("{n} of many\n"), stream, second);
            }
        }
    }

    pub(super) fn rotate(&self, keep: usize) {
        let _ = fs::remove_file(self.fixture(keep - 1, ""));
        for number in (1..keep - 1).rev() {
            let _ = fs::rename(self.fixture(number, ""), self.fixture(number + 1, ""));
        }
        fs::rename(&self.base, self.fixture(1, "")).unwrap();
        fs::write(&self.base, "").unwrap();
    }
}
