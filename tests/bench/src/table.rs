//! The printed result.

use crate::{run::Row, yardstick::Yardstick};

const MEGA: f64 = 1e6;

/// What the project wants, in yardsticks.
fn target(mode: &str) -> f64 {
    if mode == "packed" { 4.0 } else { 6.5 }
}

pub fn print(rows: &[Row], yardstick: &Yardstick) {
    println!("\n{}", yardstick.line());
    println!(
        "{:<11} {:<8} {:<4} {:>10} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}",
        "subject",
        "mode",
        "acks",
        "records/s",
        "CPU s",
        "x yard",
        "target",
        "wall s",
        "idle MB",
        "peak MB",
        "target",
        "ack p50",
        "ack p90",
        "ack p99",
        "requests",
        "sent MB",
        "load s",
        "sink s"
    );
    for row in rows {
        let acks = row.ack_millis.map_or(["-".to_owned(), "-".to_owned(), "-".to_owned()], |millis| {
            millis.map(|millis| format!("{millis:.2} ms"))
        });
        let ours = row.subject == "gateway";
        println!(
            "{:<11} {:<8} {:<4} {:>10.0} {:>7.2} {:>8} {:>7} {:>7.2} {:>7.1} {:>7.1} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8.1} {:>7.2} {:>7.2}",
            row.subject,
            row.mode,
            if row.acks { "on" } else { "off" },
            row.delivered as f64 / row.wall_seconds,
            row.cpu_seconds,
            format!("{:.1}x", row.cpu_seconds / yardstick.cpu_seconds()),
            if ours { format!("{:.1}x", target(row.mode)) } else { "-".to_owned() },
            row.wall_seconds,
            row.idle_megabytes,
            row.peak_megabytes,
            if ours { "< 100" } else { "-" },
            acks[0],
            acks[1],
            acks[2],
            row.requests,
            row.sent_bytes as f64 / MEGA,
            row.load_cpu_seconds,
            row.sink_cpu_seconds,
        );
    }
    println!("idle target < 20 MB; MB are 10^6 bytes; load s and sink s are CPU seconds of those processes");
    for row in rows {
        let acks = if row.acks { "with acks" } else { "no acks" };
        if row.delivered < row.records {
            println!(
                "{} {} {acks}: only {} of {} delivered",
                row.subject, row.mode, row.delivered, row.records
            );
        }
        if let Some(verified) = &row.verified {
            println!("{} {} {acks}: {verified}", row.subject, row.mode);
        }
    }
    ratios(rows);
}

/// The gateway's CPU seconds over Fluent Bit's, row by row.
fn ratios(rows: &[Row]) {
    for ours in rows.iter().filter(|row| row.subject == "gateway") {
        let same = |row: &&Row| row.subject != "gateway" && (row.mode, row.acks) == (ours.mode, ours.acks);
        if let Some(peer) = rows.iter().find(same) {
            println!(
                "{} acks {}: CPU {:.2} of {}'s, peak memory {:.2}",
                ours.mode,
                if ours.acks { "on" } else { "off" },
                ours.cpu_seconds / peer.cpu_seconds,
                peer.subject,
                ours.peak_megabytes / peer.peak_megabytes
            );
        }
    }
}
