use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::config::linear_regex::LinearRegex;

mod reference;

fn plan(start: &str, continues: &str, end: &str, keep_unmatched: bool) -> MultilinePlan {
    let pattern = |text: &str| (!text.is_empty()).then(|| LinearRegex::parse(text).unwrap());
    let (start, continues, end) = (pattern(start), pattern(continues), pattern(end));
    MultilinePlan { start, continues, end, keep_unmatched, timeout: Duration::from_secs(3) }
}

fn cutter(charset: Charset, multiline: Option<&MultilinePlan>, max_line: usize) -> Cutter {
    Cutter::with(charset, multiline, max_line, Duration::from_secs(60))
}

/// What a file becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cuts {
    /// Texts as UTF-8, and whether the next one goes on.
    records: Vec<(String, bool)>,
    dropped: u64,
}

/// Reads `file` as it grows to each of `sizes` and then to its whole, after which what is left is `last`.
fn read(cutter: &mut Cutter, file: &[u8], sizes: &[(usize, More)], last: More) -> (Cuts, usize) {
    let (mut cuts, mut at) = (Cuts::default(), 0);
    let whole = [(file.len(), More::Yes), (file.len(), last)];
    for (size, more) in sizes.iter().chain(&whole) {
        // Each time the frame begins at another place.
        let base = at.min(size % 7);
        let frame = &file[base..(*size).clamp(at, file.len())];
        let mut batch = Batch { frame: Bytes::copy_from_slice(frame), ..Batch::default() };
        loop {
            match cutter.next(frame, at - base, *more) {
                Next::Record { text, next, cut } => {
                    assert!(
                        at - base < next
                            && next <= frame.len()
                            && at - base <= text.start
                            && text.end <= next
                    );
                    let text = cutter.text(&mut batch, text);
                    cuts.records.push((String::from_utf8_lossy(batch.bytes(text)).into_owned(), cut));
                    at = base + next;
                }
                Next::Skip { next, dropped } => {
                    assert!(at - base < next && next <= frame.len());
                    cuts.dropped += dropped;
                    at = base + next;
                }
                Next::Wait => break,
            }
        }
        assert!(frame.len() - (at - base) < cutter.longest_wait());
    }
    (cuts, file.len() - at)
}

/// Texts of a file to which nothing is added; `+` behind a text says that the next one goes on.
fn texts(cutter: &mut Cutter, file: &[u8]) -> (Vec<String>, u64) {
    let (cuts, left) = read(cutter, file, &[], More::Never);
    assert_eq!(left, 0);
    let mark = |(text, cut): (String, bool)| if cut { text + "+" } else { text };
    (cuts.records.into_iter().map(mark).collect(), cuts.dropped)
}

#[test]
fn lines_become_records() {
    let mut cutter = cutter(Charset::Utf8, None, 16);
    for (file, expected) in [
        ("", &[][..]),
        ("a\nb\n", &["a", "b"]),
        ("a\r\n\n\r\nb", &["a", "", "", "b"]),
        ("a\rb\n", &["a\rb"]),
        ("\u{feff}a\n\u{feff}b\n", &["a", "\u{feff}b"]),
        ("\0\0\0a\n\0\n\0\0b\0\0c\n\0", &["a", "", "b\0\0c"]),
        ("0123456789abcdef\n", &["0123456789abcdef"]),
        ("0123456789abcdef\r\n", &["0123456789abcdef"]),
        ("0123456789abcdefg\nh\n", &["0123456789abcdef+", "g", "h"]),
        ("0123456789abcdef\0\nh\n", &["0123456789abcdef+", "\0", "h"]),
        ("0123456789abcdeéf\n", &["0123456789abcde+", "éf"]),
        ("0123456789abcdef0123456789abcdef\n", &["0123456789abcdef+", "0123456789abcdef"]),
        ("0123456789abcdef0123456789abcdefg", &["0123456789abcdef+", "0123456789abcdef+", "g"]),
    ] {
        cutter.reset();
        assert_eq!(texts(&mut cutter, file.as_bytes()).0, expected, "{file:?}");
    }
    assert_eq!(
        (cutter.patience(), cutter.longest_wait(), cutter.alignment()),
        (Duration::from_secs(60), 18, 1)
    );
}

#[test]
fn what_nothing_follows_is_complete() {
    let mut lines = cutter(Charset::Utf8, None, 16);
    let quiet = |cutter: &mut Cutter, file: &str, sizes: &[usize]| {
        cutter.reset();
        let sizes: Vec<_> = sizes.iter().map(|size| (*size, More::Quiet)).collect();
        let (cuts, left) = read(cutter, file.as_bytes(), &sizes, More::Yes);
        (cuts.records.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), left)
    };
    assert_eq!(quiet(&mut lines, "abc", &[]), (vec![], 3));
    assert_eq!(quiet(&mut lines, "abc", &[3]), (vec!["abc".into()], 0));
    assert_eq!(quiet(&mut lines, "abc\nd\n", &[3]), (vec!["abc".into(), "d".into()], 0));
    assert_eq!(quiet(&mut lines, "abc\r\n\n", &[4]), (vec!["abc".into(), "".into()], 0));
    assert_eq!(quiet(&mut lines, "abcd\n\n", &[3]), (vec!["abc".into(), "d".into(), "".into()], 0));
    assert_eq!(quiet(&mut lines, "ab\0c\n", &[2]), (vec!["ab".into(), "\0c".into()], 0));

    let mut starts = cutter(Charset::Utf8, Some(&plan("S", "", "", false)), 16);
    assert_eq!(starts.patience(), Duration::from_secs(3));
    assert_eq!(quiet(&mut starts, "S\na\n", &[]), (vec![], 4));
    assert_eq!(quiet(&mut starts, "S\na\n", &[4]), (vec!["S\na".into()], 0));
    // Behind a record that is complete there is none.
    assert_eq!(quiet(&mut starts, "S\na\nb\nS\n", &[4]), (vec!["S\na".into()], 2));
    // A line whose first half was a record's end goes on with that.
    assert_eq!(quiet(&mut starts, "S\nab\nc\nS\n", &[3]), (vec!["S\na".into(), "b\nc".into()], 2));
    assert_eq!(quiet(&mut starts, "S\na\nS\n", &[3]), (vec!["S\na".into()], 2));
    let mut ends = cutter(Charset::Utf8, Some(&plan("", "", "E", false)), 16);
    assert_eq!(quiet(&mut ends, "a\nE\nb\nE\n", &[1]), (vec!["a".into(), "E".into(), "b\nE".into()], 0));
    assert_eq!(quiet(&mut ends, "ab\nE\n", &[1]), (vec!["a".into(), "b\nE".into()], 0));
}

#[test]
fn patterns_say_which_lines_are_one_record() {
    let file = "-\nS1\nC\nC\nS2\nE\n-\nS3\nx\nE\nC\nE\nSE\n";
    for (start, continues, end, kept, expected, dropped) in [
        ("S", "", "", true, vec!["-", "S1\nC\nC", "S2\nE\n-", "S3\nx\nE\nC\nE", "SE"], 0),
        ("S", "", "", false, vec!["S1\nC\nC", "S2\nE\n-", "S3\nx\nE\nC\nE", "SE"], 1),
        ("S", "C", "", true, vec!["-", "S1\nC\nC", "S2", "E", "-", "S3", "x", "E", "C", "E", "SE"], 0),
        ("S", "C", "", false, vec!["S1\nC\nC", "S2", "S3", "SE"], 7),
        ("S", "", ".*E", true, vec!["-", "S1\nC\nC\nS2\nE", "-", "S3\nx\nE", "C", "E", "SE"], 0),
        ("S", "C", ".*E", false, vec!["S1\nC\nC\nS2\nE", "S3\nx\nE", "SE"], 4),
        ("", "C", "E", true, vec!["-", "S1", "C", "C", "S2", "E", "-", "S3", "x", "E", "C\nE", "SE"], 0),
        ("", "C", "E", false, vec!["E", "E", "C\nE"], 9),
        ("", "", ".*E", true, vec!["-\nS1\nC\nC\nS2\nE", "-\nS3\nx\nE", "C\nE", "SE"], 0),
        (".*", "", "", false, file.lines().collect(), 0),
        ("^(.*)$", "", "", false, file.lines().collect(), 0),
    ] {
        let plan = plan(start, continues, end, kept);
        let cut = texts(&mut cutter(Charset::Utf8, Some(&plan), 64), file.as_bytes());
        assert_eq!(cut, (expected.iter().map(ToString::to_string).collect(), dropped), "{plan:?}");
    }
}

#[test]
fn patterns_match_from_the_first_byte_on() {
    let count = |pattern: &str, file: &str| {
        let plan = plan(pattern, "", "", true);
        texts(&mut cutter(Charset::Utf8, Some(&plan), 64), file.as_bytes()).0.len()
    };
    assert_eq!(count("b", "b\nab\nb\n"), 2);
    assert_eq!(count("a|b", "b\nxb\na\n"), 2);
    assert_eq!(count("(?x) b # the last one", "b\nab\nb\n"), 2);
    assert_eq!(count("b$", "b\r\nb b\r\nb\r\n"), 2);
    assert_eq!(count(r"^\d{4}-", "2026-1\n at\n2027-1\n"), 2);
}

#[test]
fn long_records_are_cut_between_lines() {
    let mut starts = cutter(Charset::Utf8, Some(&plan("S", "", "", false)), 16);
    for (file, expected) in [
        ("S12345\n123456789\nS\n", &["S12345\n123456789", "S"][..]),
        ("S12345\n1234567890\nx\nS\n", &["S12345+", "1234567890\nx", "S"]),
        ("S12345\nx\n12345678901234567\ny\nS\n", &["S12345\nx+", "1234567890123456+", "7\ny", "S"]),
        ("S123456789012345\n1234567890123456\nS\n", &["S123456789012345+", "1234567890123456", "S"]),
        ("x12345678901234567\nS\n", &["S"]),
        ("S\n\0\0\nx\nS\n", &["S", "S"]),
    ] {
        starts.reset();
        assert_eq!(texts(&mut starts, file.as_bytes()).0, expected, "{file:?}");
    }
    // Of what went before of a record no line is taken back.
    let mut ends = cutter(Charset::Utf8, Some(&plan("", "C", "E", false)), 16);
    let file = b"C123456789\nC123456789\n-\nC\n-\nC\nE\n";
    assert_eq!(texts(&mut ends, file), (vec!["C123456789+".into(), "C123456789".into(), "C\nE".into()], 3));
}

#[test]
fn other_charsets_are_converted() {
    let mut lines = cutter(Charset::Gbk, None, 16);
    assert_eq!(texts(&mut lines, b"\xc4\xe3\xba\xc3\r\nabc\n").0, ["你好", "abc"]);
    lines.reset();
    assert_eq!(
        texts(&mut lines, b"a\xc4\xe3\xc4\xe3\xc4\xe3\xc4\xe3\xc4\xe3\xc4\xe3\xc4\xe3\xc4\xe3\n").0,
        ["a你你你你你你你+", "你"]
    );
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let mut lines = cutter(Charset::Utf16, None, 16);
    assert_eq!(
        texts(&mut lines, &units("\u{feff}ab\r\n\u{a0a}\n1234567💩\n")).0,
        ["ab", "\u{a0a}", "1234567+", "💩"]
    );
    // Another content has another byte order.
    lines.reset();
    assert_eq!(texts(&mut lines, b"a\0\n\0").0, ["a"]);
    lines.learn_byte_order(b"\xfe\xff\0a");
    lines.at_beginning(false);
    assert_eq!(texts(&mut lines, &units("b\n")).0, ["b"]);
    assert_eq!(lines.alignment(), 2);
}

#[test]
fn a_mark_is_none_where_a_file_goes_on() {
    let mut lines = cutter(Charset::Utf8, None, 16);
    lines.at_beginning(false);
    assert_eq!(texts(&mut lines, "\u{feff}a".as_bytes()).0, ["\u{feff}a"]);
    lines.at_beginning(true);
    assert_eq!(texts(&mut lines, "\u{feff}a".as_bytes()).0, ["a"]);
    lines.reset();
    assert_eq!(lines.next(b"\xef\xbb", 0, More::Yes), Next::Wait);
    assert_eq!(lines.next(b"\xef\xbb", 0, More::Quiet), Next::Record { text: 0..2, next: 2, cut: false });
}

fn file() -> impl Strategy<Value = String> {
    let parts =
        ["S", "C", "E", "X", "Y", "-", "\n", "\n", "\n", "\r", "\0", "é", "你", "-123456789", "\nC", "\nS"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..60).prop_map(|parts| parts.concat())
}

/// X starts and ends, Y continues and ends.
fn rule() -> impl Strategy<Value = Option<MultilinePlan>> {
    let rules =
        [("S", "", ""), ("S", "C", ""), ("S", "", "E"), ("", "C", "E"), ("", "", "E"), ("S", "C", "E")];
    let rule =
        (prop::sample::select(rules.to_vec()), any::<bool>()).prop_map(|((start, continues, end), keep)| {
            let or =
                |pattern: &str, all: &str| if pattern.is_empty() { String::new() } else { all.to_owned() };
            plan(&or(start, "[SX]"), &or(continues, "^[CY]"), &or(end, "[EXY]"), keep)
        });
    prop::option::weighted(0.9, rule)
}

fn reads(most: More) -> impl Strategy<Value = Vec<(usize, More)>> {
    let more = prop::sample::select(vec![More::Yes, most]);
    prop::collection::vec((0usize..300, more), 0..20).prop_map(|mut reads| {
        reads.sort_by_key(|(size, _)| *size);
        reads
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn however_it_is_read_it_is_cut_as_the_reference_does(file in file(), rule in rule(), reads in reads(More::Yes)) {
        let file = file.as_bytes();
        let mut cutter = cutter(Charset::Utf8, rule.as_ref(), 16);
        let (cuts, left) = read(&mut cutter, file, &reads, More::Never);
        prop_assert_eq!(left, 0);
        prop_assert_eq!(&cuts, &reference::cuts(file, rule.as_ref(), 16));
        cutter.reset();
        prop_assert_eq!(read(&mut cutter, file, &[], More::Never).0, cuts);
    }

    #[test]
    fn no_text_is_lost_whenever_it_is_quiet(file in file(), rule in rule(), reads in reads(More::Quiet)) {
        let rule = rule.map(|rule| MultilinePlan { keep_unmatched: true, ..rule });
        let (cuts, left) = read(&mut cutter(Charset::Utf8, rule.as_ref(), 16), file.as_bytes(), &reads, More::Quiet);
        prop_assert_eq!(left, 0);
        let text = |text: &str| text.replace(['\n', '\r', '\0', '\u{fffd}'], "");
        // A character may be cut where it was quiet.
        if !file.contains(['é', '你']) {
            let all: String = cuts.records.iter().map(|(text, _)| text.as_str()).collect();
            prop_assert_eq!(text(&all), text(&file));
        }
    }

    #[test]
    fn every_charset_is_cut_alike(file in file(), rule in rule(), reads in reads(More::Yes)) {
        let expected = read(&mut cutter(Charset::Utf8, rule.as_ref(), 2_000), file.as_bytes(), &[], More::Never);
        let little: Vec<u8> = file.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = format!("\u{feff}{file}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        let chinese = encoding_rs::GB18030.encode(&file).0.into_owned();
        for (charset, bytes) in [
            (Charset::Utf16Le, &little),
            (Charset::Utf16, &little),
            (Charset::Utf16, &big),
            (Charset::Utf16Be, &big),
            (Charset::Gb18030, &chinese),
            (Charset::Gbk, &[b"\x84\x31\x95\x33", &chinese[..]].concat()),
        ] {
            let mut cutter = cutter(charset, rule.as_ref(), 2_000);
            prop_assert_eq!(&read(&mut cutter, bytes, &reads, More::Never), &expected, "{:?}", charset);
        }
    }
}
