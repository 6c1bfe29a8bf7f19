//! The printed tables, one for each kind of measurement.

use super::measure::{Cost, Idle, Latency, Shaken};
use crate::{run::Numbers, yardstick::Yardstick};

pub fn costs(rows: &[Cost], yardstick: &Yardstick) {
    if rows.is_empty() {
        return;
    }
    println!("\ncost of records (PackedForward with acks); CPU s is for 1,000,000 records");
    println!("{}", yardstick.line());
    println!(
        "{:<11} {:<13} {:>7} {:>8} {:>7} {:>10} {:>7} {:>8} {:>10} {:>10} {:>7} {:>7}",
        "subject",
        "input",
        "CPU s",
        "x plain",
        "x yard",
        "records/s",
        "wall s",
        "peak MB",
        "wire B/rec",
        "ack p50/99",
        "load s",
        "sink s"
    );
    for row in rows {
        let (records, measured) = (row.records as f64, &row.measured);
        println!(
            "{:<11} {:<13} {:>7.2} {:>8} {:>7} {:>10.0} {:>7.2} {:>8.1} {:>10.0} {:>10} {:>7.2} {:>7.2}",
            row.subject,
            row.input,
            million(row),
            plain(rows, row).map_or("-".to_owned(), |plain| format!("{:.2}x", million(row) / plain)),
            format!("{:.1}x", measured.cpu_seconds / yardstick.cpu_seconds()),
            records / measured.wall_seconds,
            measured.wall_seconds,
            measured.peak_megabytes,
            measured.said.get("bytes") / records,
            format!("{:.0}/{:.0} ms", millis(&measured.said, "ack", 50), millis(&measured.said, "ack", 99)),
            measured.said.get("cpu_seconds"),
            row.sink_cpu_seconds,
        );
    }
    for row in rows {
        if let Some(verdict) = &row.verdict {
            println!("{} {}: {verdict}", row.subject, row.input);
        }
    }
    let mut told = Vec::new();
    for ours in rows.iter().filter(|row| row.subject == "gateway") {
        let peer = rows.iter().find(|row| row.subject != "gateway" && row.input == ours.input);
        if let Some(peer) = peer.filter(|_| !told.contains(&ours.input)) {
            told.push(ours.input);
            let ours_seconds = median(rows, &ours.subject, ours.input);
            let peer_seconds = median(rows, &peer.subject, peer.input);
            if let (Some(ours_seconds), Some(peer_seconds)) = (ours_seconds, peer_seconds) {
                println!(
                    "{}: {ours_seconds:.2} CPU s against {}'s {peer_seconds:.2}, {:.2} of it",
                    ours.input,
                    peer.subject,
                    ours_seconds / peer_seconds
                );
            }
        }
    }
}

/// CPU seconds for a million records.
fn million(row: &Cost) -> f64 {
    row.measured.cpu_seconds * 1e6 / row.records as f64
}

/// What the same subject takes for the plain input.
fn plain(rows: &[Cost], row: &Cost) -> Option<f64> {
    median(rows, &row.subject, "plain")
}

/// The middle one of all rounds.
fn median(rows: &[Cost], subject: &str, input: &str) -> Option<f64> {
    let same = rows.iter().filter(|row| row.subject == subject && row.input == input);
    let mut all: Vec<f64> = same.map(million).collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

fn millis(said: &Numbers, name: &str, percent: u32) -> f64 {
    said.get(&format!("{name}_p{percent}_micros")) / 1e3
}

pub fn handshakes(rows: &[Shaken]) {
    if rows.is_empty() {
        return;
    }
    println!("\nconnections opened and closed, full handshakes, nothing resumed");
    println!(
        "{:<11} {:<29} {:>7} {:>8} {:>12} {:>10} {:>9} {:>9} {:>7}",
        "subject",
        "handshake",
        "count",
        "CPU us",
        "per CPU s",
        "per wall s",
        "open p50",
        "open p99",
        "load s"
    );
    for row in rows {
        let count = row.count as f64;
        println!(
            "{:<11} {:<29} {:>7} {:>8.0} {:>12.0} {:>10.0} {:>9} {:>9} {:>7.2}",
            row.subject,
            row.kind,
            row.count,
            row.cpu_seconds / count * 1e6,
            // The clock of a process ticks every 10 ms.
            count / row.cpu_seconds.max(0.01),
            count / row.said.get("seconds"),
            format!("{:.2} ms", millis(&row.said, "open", 50)),
            format!("{:.2} ms", millis(&row.said, "open", 99)),
            row.said.get("cpu_seconds"),
        );
    }
}

pub fn latencies(rows: &[Latency]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\nacks of messages of 10 records; closed: each connection sends when its last message is acknowledged"
    );
    println!(
        "{:<11} {:<8} {:>11} {:>8} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "subject",
        "secured",
        "connections",
        "load",
        "messages",
        "messages/s",
        "ack p50",
        "ack p90",
        "ack p99",
        "ack max",
        "CPU us/msg"
    );
    for row in rows {
        let said = &row.measured.said;
        let ack = |percent: u32| format!("{:.2} ms", millis(said, "ack", percent));
        println!(
            "{:<11} {:<8} {:>11} {:>8} {:>9} {:>10.0} {:>9} {:>9} {:>9} {:>9} {:>11.0}",
            row.subject,
            row.secured,
            row.connections,
            row.rate.map_or("closed".to_owned(), |rate| format!("{rate}/s")),
            row.messages,
            row.messages as f64 / said.get("seconds"),
            ack(50),
            ack(90),
            ack(99),
            ack(100),
            row.measured.cpu_seconds / row.messages as f64 * 1e6,
        );
    }
}

pub fn idles(rows: &[Idle]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\nidle connections: memory of the subject (MB are 10^6 bytes, kB/conn 10^3 bytes for each of them)"
    );
    println!(
        "{:<11} {:<8} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}",
        "subject",
        "secured",
        "idle",
        "before MB",
        "opened MB",
        "kB/conn",
        "spoken MB",
        "kB/conn",
        "peak MB",
        "still open"
    );
    for row in rows {
        let [before, opened, spoken] = row.megabytes;
        let each = |megabytes: f64| (megabytes - before) * 1e3 / row.connections as f64;
        println!(
            "{:<11} {:<8} {:>7} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>10}",
            row.subject,
            row.secured,
            row.connections,
            before,
            opened,
            each(opened),
            spoken,
            each(spoken),
            row.peak_megabytes,
            row.still_open,
        );
    }
    println!("active connections, each sending when its last message of 10 records is acknowledged");
    println!(
        "{:<11} {:<8} {:>7} {:<13} {:>10} {:>9} {:>9} {:>9} {:>11}",
        "subject", "secured", "active", "beside", "messages/s", "ack p50", "ack p99", "ack max", "CPU us/msg"
    );
    for row in rows {
        for (measured, beside) in
            [(&row.alone, "none".to_owned()), (&row.beside, format!("{} idle", row.connections))]
        {
            let ack = |percent: u32| format!("{:.1} ms", millis(&measured.said, "ack", percent));
            println!(
                "{:<11} {:<8} {:>7} {:<13} {:>10.0} {:>9} {:>9} {:>9} {:>11.0}",
                row.subject,
                row.secured,
                row.active,
                beside,
                row.messages as f64 / measured.said.get("seconds"),
                ack(50),
                ack(99),
                ack(100),
                measured.cpu_seconds / row.messages as f64 * 1e6,
            );
        }
    }
}
