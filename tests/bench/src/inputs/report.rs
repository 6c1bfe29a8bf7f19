//! The printed table, and what each input is beside its peers.

use super::{Cost, kind::Kind};
use crate::yardstick::Yardstick;

pub fn print(rows: &[Cost], yardstick: &Yardstick) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\ncost of records on the inputs of Docker's log drivers and of files; CPU s is for 1,000,000 records delivered"
    );
    println!("{}", yardstick.line());
    println!(
        "{:<11} {:<14} {:>7} {:>12} {:>8} {:>7} {:>7} {:>7} {:>8} {:>10} {:>7} {:>7}",
        "subject",
        "input",
        "CPU s",
        "rec/CPU s",
        "MB/CPU s",
        "x yard",
        "lost %",
        "wall s",
        "peak MB",
        "wire B/rec",
        "feed s",
        "sink s"
    );
    for row in rows {
        let (sent, measured) = (row.records as f64, &row.measured);
        let lost = (row.records.saturating_sub(measured.delivered)) as f64 / sent * 100.0;
        println!(
            "{:<11} {:<14} {:>7.2} {:>12.0} {:>8.0} {:>7} {:>7.2} {:>7.2} {:>8.1} {:>10.0} {:>7.2} {:>7.2}",
            row.subject,
            row.kind.name(),
            1e6 / row.per_cpu_second(),
            row.per_cpu_second(),
            row.per_cpu_second() * measured.said.get("bytes") / sent / 1e6,
            format!(
                "{:.1}x",
                measured.cpu_seconds / yardstick.cpu_seconds() * sent / measured.delivered.max(1) as f64
            ),
            lost,
            measured.wall_seconds,
            measured.peak_megabytes,
            measured.said.get("bytes") / sent,
            measured.said.get("cpu_seconds"),
            row.sink_cpu_seconds,
        );
    }
    for row in rows {
        if let Some(verdict) = &row.verdict {
            println!("{} {}: {verdict}", row.subject, row.kind.name());
        }
    }
    for kind in Kind::ALL {
        let Some(ours) = median(rows, "gateway", kind) else { continue };
        for peer in ["fluent-bit", "rsyslog"] {
            if let Some(theirs) = median(rows, peer, kind) {
                println!(
                    "{}: {ours:.0} records per CPU second against {peer}'s {theirs:.0}: {:.2} times as many",
                    kind.name(),
                    ours / theirs
                );
            }
        }
    }
}

/// The middle one of all rounds.
fn median(rows: &[Cost], subject: &str, kind: Kind) -> Option<f64> {
    let same = rows.iter().filter(|row| row.subject == subject && row.kind == kind);
    let mut all: Vec<f64> = same.map(Cost::per_cpu_second).collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}
