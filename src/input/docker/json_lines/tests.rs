use bytes::Bytes;

use super::*;

const DEFAULT: &[u8] = include_bytes!("../../../../tests/data/docker/json-file-default.log");
const ATTRS: &[u8] = include_bytes!("../../../../tests/data/docker/json-file-attrs.log");

#[derive(Clone, Debug, PartialEq)]
enum Read {
    Line(Vec<u8>, bool, Option<Stream>, Option<Timestamp>, Vec<u8>),
    Malformed(Vec<u8>),
    Nothing(usize),
}

/// All that a file has, and the bytes left waiting.
fn read(file: &[u8], ended: bool) -> (Vec<Read>, usize) {
    let mut batch = Batch { frame: Bytes::copy_from_slice(file), ..Batch::default() };
    let (mut times, mut found, mut at) = (Times::default(), Vec::new(), 0);
    while at < file.len() {
        let end = match next(&mut batch, file, &mut times, at, ended) {
            Next::Line(line, end) => {
                let (text, attrs) = (batch.bytes(line.text).to_vec(), batch.bytes(line.attrs).to_vec());
                found.push(Read::Line(text, line.ends, line.stream, line.time, attrs));
                end
            }
            Next::Malformed(text, end) => {
                found.push(Read::Malformed(batch.bytes(text).to_vec()));
                end
            }
            Next::Nothing(end) => {
                found.push(Read::Nothing(end - at));
                end
            }
            Next::Wait => break,
        };
        assert!(end > at);
        at = end;
    }
    (found, file.len() - at)
}

fn texts(file: &[u8], ended: bool) -> Vec<Vec<u8>> {
    let text = |read| match read {
        Read::Line(text, ..) => Some(text),
        _ => None,
    };
    read(file, ended).0.into_iter().filter_map(text).collect()
}

#[test]
fn an_engines_file_is_read_as_it_was_written() {
    let (found, left) = read(DEFAULT, false);
    assert_eq!((found.len(), left), (10, 0));
    let mut pieces = Vec::new();
    for (line, expected) in found.iter().zip(DEFAULT.split(|byte| *byte == b'\n')) {
        let expected: serde_json::Value = serde_json::from_slice(expected).unwrap();
        let text = expected["log"].as_str().unwrap();
        let Read::Line(found, ends, stream, time, attrs) = line else { panic!("{line:?}") };
        assert_eq!(found, text.strip_suffix('\n').unwrap_or(text).as_bytes());
        assert_eq!(*ends, text.ends_with('\n'));
        assert_eq!(*stream, Stream::of(expected["stream"].as_str().unwrap().as_bytes()));
        let expected: jiff::Timestamp = expected["time"].as_str().unwrap().parse().unwrap();
        let time = time.unwrap();
        assert_eq!((time.seconds, time.nanos as i32), (expected.as_second(), expected.subsec_nanosecond()));
        assert!(attrs.is_empty());
        pieces.push((found.len(), *ends));
    }
    assert_eq!(pieces[4..8], [(16_384, false), (3_616, true), (16_384, false), (0, true)]);
}

#[test]
fn attributes_are_an_object() {
    let (found, _) = read(ATTRS, false);
    let Read::Line(text, true, Some(Stream::Stdout), Some(_), attrs) = &found[0] else { panic!("{found:?}") };
    assert_eq!(text, b"hi");
    assert!(attrs.starts_with(br#"{"APP":"#) && attrs.ends_with(br#""team":"c\"ore"}"#));
}

#[test]
fn any_order_and_blanks_are_json_all_the_same() {
    let (found, left) =
        read(b"{ \"time\":\"1970-01-01T00:00:01Z\", \"stream\":\"stderr\", \"log\":\"x\\n\"}\n", false);
    let time = Some(Timestamp::new(1, 0));
    assert_eq!(found, [Read::Line(b"x".to_vec(), true, Some(Stream::Stderr), time, Vec::new())]);
    assert_eq!(left, 0);
    let (found, _) = read(b"{\"stream\":\"other\",\"time\":\"yesterday\"}\n", false);
    assert_eq!(found, [Read::Line(Vec::new(), false, None, None, Vec::new())]);
}

#[test]
fn holes_and_halves_cost_only_themselves() {
    let good = &DEFAULT[..=memchr(b'\n', DEFAULT).unwrap()];
    let half = &good[..20];
    for (damage, kept) in [
        (vec![0; 875], Vec::new()),
        (half.to_vec(), vec![half.to_vec()]),
        ([half, &[0; 99]].concat(), vec![half.to_vec()]),
        (b"not json at all\n".to_vec(), vec![b"not json at all".to_vec()]),
        (b"{\"a\":1}\n[]\n".to_vec(), vec![b"{\"a\":1}".to_vec(), b"[]".to_vec()]),
        (b"\r\n\n".to_vec(), Vec::new()),
        ([&good[..good.len() - 1], &[0; 50]].concat(), Vec::new()),
    ] {
        let file = [good, &damage, good, good].concat();
        let (found, left) = read(&file, false);
        let malformed: Vec<_> = found
            .iter()
            .filter_map(|read| match read {
                Read::Malformed(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        assert_eq!((malformed, left), (kept, 0), "{:?}", String::from_utf8_lossy(&damage));
        let sound = texts(&file, false).len();
        assert!(sound >= 3, "{sound}");
    }
}

#[test]
fn an_unwritten_end_is_waited_for_until_nobody_writes_it() {
    let good = &DEFAULT[..=memchr(b'\n', DEFAULT).unwrap()];
    for len in 1..good.len() {
        assert_eq!(read(&good[..len], false), (Vec::new(), len));
    }
    assert_eq!(texts(&good[..good.len() - 1], true), [b"hello"]);
    assert_eq!(read(&good[..10], true).0, [Read::Malformed(good[..10].to_vec())]);
    // What never ends is taken in parts.
    let endless = vec![b'x'; MAX_LINE + 10];
    assert_eq!(read(&endless, false).1, 10);
}

proptest::proptest! {
    #[test]
    fn any_text_comes_back(text: String, stderr: bool, whole: bool, attrs: Option<String>) {
        let log = if whole { format!("{text}\n") } else { text.trim_end_matches('\n').to_owned() };
        let stream = if stderr { "stderr" } else { "stdout" };
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let attrs = attrs.map(|attrs| format!("\"attrs\":{{\"k\":{}}},", quoted(&attrs))).unwrap_or_default();
        let line = format!(
            "{{\"log\":{},\"stream\":\"{stream}\",{attrs}\"time\":\"2026-11-22T23:03:07.5Z\"}}\n", quoted(&log)
        );
        let (found, left) = read(&[line.as_bytes(), line.as_bytes()].concat(), false);
        proptest::prop_assert_eq!((found.len(), left), (2, 0));
        let Read::Line(found, ends, ..) = &found[1] else { panic!("{found:?}") };
        proptest::prop_assert_eq!(*ends, whole);
        let expected = if whole { text.as_bytes() } else { log.as_bytes() };
        proptest::prop_assert_eq!(found.as_slice(), expected);
    }

    #[test]
    fn any_bytes_come_to_an_end(bytes: Vec<u8>, ended: bool) {
        read(&bytes, ended);
        read(&[b"{\"log\":\"", bytes.as_slice()].concat(), ended);
    }
}
