//! Any bytes of a file are cut into the same records however they are read, whatever the rule and the charset; each step gets
//! on, and nothing is left when nothing more comes.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::config::linear_regex::LinearRegex;
use sluicegate::config::plan::{Charset, MultilinePlan};
use sluicegate::input::file::cut::{Cutter, More, Next};
use sluicegate::record::Batch;

const CHARSETS: [Charset; 6] =
    [Charset::Utf8, Charset::Gbk, Charset::Gb18030, Charset::Utf16, Charset::Utf16Le, Charset::Utf16Be];
/// Start, continue, end.
const RULES: [[&str; 3]; 6] = [
    ["", "", ""],
    ["^S", "", ""],
    ["S|X$", "C", ""],
    ["S", "", ".*E"],
    ["", "C", "E"],
    ["", "", "(?x)E # last"],
];

static CUTTERS: LazyLock<Vec<Cutter>> = LazyLock::new(|| {
    let mut cutters = Vec::new();
    for charset in CHARSETS {
        for rule in RULES {
            for keep_unmatched in [false, true] {
                let [start, continues, end] =
                    rule.map(|text| LinearRegex::parse(text).ok().filter(|_| !text.is_empty()));
                let plan = MultilinePlan { start, continues, end, keep_unmatched, timeout: Duration::ZERO };
                let plan = (rule != RULES[0]).then_some(plan);
                cutters.push(Cutter::with(charset, plan.as_ref(), 16, Duration::ZERO));
            }
        }
    }
    cutters
});

/// The records' texts and whether they are cut, and the lines dropped.
type Cuts = (Vec<(Vec<u8>, bool)>, u64);

/// Reads a file that grows by `step` bytes each time; before that nothing follows for long where `is_quiet`.
fn read(mut cutter: Cutter, file: &[u8], step: usize, is_quiet: bool) -> Cuts {
    let (mut records, mut dropped, mut at, mut size) = (Vec::new(), 0, 0, 0);
    loop {
        let is_last = size == file.len();
        let mut batch = Batch { frame: Bytes::copy_from_slice(&file[..size]), ..Batch::default() };
        for more in [More::Yes, if is_last { More::Never } else { More::Quiet }] {
            while more != More::Quiet || is_quiet {
                let (next, skipped) = match cutter.next(&file[..size], at, more) {
                    Next::Record { text, next, cut } => {
                        assert!(at <= text.start && text.end <= next);
                        let text = cutter.text(&mut batch, text);
                        records.push((batch.bytes(text).to_vec(), cut));
                        (next, 0)
                    }
                    Next::Skip { next, dropped } => (next, dropped),
                    Next::Wait => break,
                };
                assert!(at < next && next <= size);
                (at, dropped) = (next, dropped + skipped);
            }
            assert!(size - at < cutter.longest_wait());
        }
        if is_last {
            assert_eq!(at, size);
            return (records, dropped);
        }
        size = (size + step).min(file.len());
    }
}

fuzz_target!(|input: &[u8]| {
    let [which, step, file @ ..] = input else { return };
    let cutter = &CUTTERS[usize::from(*which) % CUTTERS.len()];
    let whole = read(cutter.clone(), file, file.len().max(1), false);
    assert_eq!(read(cutter.clone(), file, usize::from(*step).max(1), false), whole);
    read(cutter.clone(), file, usize::from(*step).max(1), true);
});
