//! What the gateways of this process say: their metrics and the warnings in their log. Both belong to the process, as in
//! the program; tests tell theirs apart by the name of an input.

use std::io;
use std::sync::{Mutex, OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::Level;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Begins to watch; the handle is what a gateway takes.
pub fn watch() -> PrometheusHandle {
    let begin = || {
        let log = tracing_subscriber::fmt().with_max_level(Level::WARN).with_ansi(false).with_writer(|| Log);
        let _ = log.try_init();
        PrometheusBuilder::new().set_buckets(&[0.01, 0.1, 1.0]).unwrap().install_recorder().unwrap()
    };
    METRICS.get_or_init(begin).clone()
}

/// The lines of the log so far that have all these words.
pub fn logged(words: &[&str]) -> Vec<String> {
    let log = LOG.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    text.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
}

/// The sum of a metric's series that have these labels, in the text that Prometheus reads.
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let value = |line: &str| {
        let (series, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let has = |(key, value): &(&str, &str)| series.contains(&format!("{key}=\"{value}\""));
        let named = series.is_empty() || series.starts_with('{');
        (named && labels.iter().all(has)).then(|| value.parse::<f64>().unwrap() as u64)
    };
    text.lines().filter_map(value).sum()
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
