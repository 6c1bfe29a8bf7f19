//! The lines of container runtimes, as containerd and CRI-O write them for the kubelet.
//!
//! ```text
//! 2026-11-22T23:03:07.723254855Z SP stdout SP P SP text ... LF     a piece: the next line of the same output goes on
//! 2026-11-22T23:03:07.723254855Z SP stdout SP F SP text ... LF     whole, or the last piece
//!                                                 ^ further tags may follow behind a colon: `F:a:b`
//! ```
//!
//! The text is as the container wrote it, its carriage return (of a terminal) included. A runtime that was killed leaves half
//! a line with a sound one behind it, and a host that lost power leaves NULs; what is no line of this kind is given as it
//! stands, up to where one begins.

use std::ops::Range;

use memchr::{memchr, memmem};

use crate::base::limits;
use crate::input::follow::rfc3339::Times;
use crate::input::follow::stream::Stream;
use crate::record::Timestamp;

/// Runtimes cut at 16 KiB unless they are told not to. A longer line without a line feed is a line of so many bytes, and
/// the rest of it is malformed.
pub const MAX_LINE: usize = limits::MIB;

/// No time is longer: `2026-11-22T23:03:07.723254855+08:00`.
const LONGEST_TIME: usize = 35;
const SHORTEST_TIME: usize = 20;

/// One line, or one piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriLine {
    /// `None` when it is no time.
    pub time: Option<Timestamp>,
    /// `None` when it names another one than the runtimes do. One of both is there.
    pub stream: Option<Stream>,
    /// Without its line feed.
    pub text: Range<usize>,
    /// No piece follows it.
    pub is_full: bool,
}

/// What comes next in a file. Ends are places in the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Line(CriLine, usize),
    /// No line of this kind, and where it ends.
    Malformed(Range<usize>, usize),
    /// NULs, or an empty line.
    Nothing(usize),
    /// The line's end is not there yet.
    Wait,
}

/// Reads what comes next in the frame from `from` on, which is not its end. `ended`: nothing will be written behind it.
pub fn next(frame: &[u8], from: usize, ended: bool, times: &mut Times) -> Next {
    let unread = frame.get(from..).unwrap_or_default();
    if unread.first() == Some(&0) {
        return Next::Nothing(from + super::charset::Reading::Utf8.nulls(unread));
    }
    let window = &unread[..unread.len().min(MAX_LINE)];
    let (len, end) = match memchr(b'\n', window) {
        Some(len) => (len, from + len + 1),
        None if window.len() == MAX_LINE || (ended && !window.is_empty()) => {
            (window.len(), from + window.len())
        }
        None => return Next::Wait,
    };
    let line = &window[..len];
    if let Some(read) = read(line, from, times) {
        // Half a time, and a whole one behind it.
        let torn = if read.time.is_none() { sound_line(line, times) } else { None };
        return match torn.filter(|at| !line[..*at].contains(&b' ')) {
            Some(at) => Next::Malformed(from..from + at, from + at),
            None => Next::Line(read, end),
        };
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Next::Nothing(end);
    }
    let sound = [memchr(0, line), sound_line(line, times)].into_iter().flatten().min();
    match sound {
        Some(sound) => Next::Malformed(from..from + sound, from + sound),
        None => Next::Malformed(from..from + len, end),
    }
}

/// A line without its line feed, which begins at `at`.
fn read(line: &[u8], at: usize, times: &mut Times) -> Option<CriLine> {
    let time_len = memchr(b' ', &line[..line.len().min(LONGEST_TIME + 1)])?;
    let (time, rest) = (&line[..time_len], &line[time_len + 1..]);
    let stream_len = memchr(b' ', &rest[..rest.len().min(16)])?;
    let (stream, rest) = (&rest[..stream_len], &rest[stream_len + 1..]);
    let is_full = match rest.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let tags = match rest.get(1) {
        None | Some(b' ') => 1,
        Some(b':') => memchr(b' ', rest).unwrap_or(rest.len()),
        Some(_) => return None,
    };
    let (time, stream) = (times.read(time), Stream::of(stream));
    if time.is_none() && stream.is_none() {
        return None;
    }
    let text = (line.len() - rest.len() + tags + 1).min(line.len());
    Some(CriLine { time, stream, text: at + text..at + line.len(), is_full })
}

/// Where a sound line begins behind half a one.
fn sound_line(line: &[u8], times: &mut Times) -> Option<usize> {
    memmem::find_iter(line, b" std").find_map(|at| {
        let shortest = at.checked_sub(SHORTEST_TIME)?;
        let earliest = at.saturating_sub(LONGEST_TIME);
        // At its beginning there is none, or it would have been read.
        (earliest.max(1)..=shortest)
            .find(|from| times.read(&line[*from..at]).is_some() && read(&line[*from..], 0, times).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-22T23:03:07.723254855Z";

    /// As text, for one look: `L` time stream full text, `M` text, `N`; and whether some is left.
    fn all(file: &[u8], ended: bool) -> (Vec<String>, usize) {
        let (mut times, mut at, mut seen) = (Times::default(), 0, Vec::new());
        let text = |range: Range<usize>| String::from_utf8_lossy(&file[range]).into_owned();
        while at < file.len() {
            let end = match next(file, at, ended, &mut times) {
                Next::Line(line, end) => {
                    let time = if line.time.is_some() { 't' } else { '-' };
                    let stream = line.stream.map_or('-', |s| if s == Stream::Stdout { 'o' } else { 'e' });
                    let full = if line.is_full { 'F' } else { 'P' };
                    seen.push(format!("L{time}{stream}{full} {}", text(line.text)));
                    end
                }
                Next::Malformed(range, end) => {
                    seen.push(format!("M {}", text(range)));
                    end
                }
                Next::Nothing(end) => end,
                Next::Wait => break,
            };
            assert!(end > at && end <= file.len());
            at = end;
        }
        (seen, file.len() - at)
    }

    #[test]
    fn lines_and_pieces() {
        let file = format!(
            "{TIME} stdout F whole\n{TIME} stderr P piece\n{TIME} stdout F:a:b  text \r\n{TIME} stdout F \n\
             {TIME} stdout F\n2026-11-23T07:03:07+08:00 stdout P:x\n"
        );
        let lines = ["LtoF whole", "LteP piece", "LtoF  text \r", "LtoF ", "LtoF ", "LtoP "];
        assert_eq!(all(file.as_bytes(), false), (lines.map(String::from).to_vec(), 0));
    }

    #[test]
    fn what_a_runtime_would_not_write() {
        for (line, expected) in [
            ("yesterday stdout F text".to_owned(), "L-oF text"),
            (format!("{TIME} stdin F text"), "Lt-F text"),
            ("yesterday stdin F text".to_owned(), "M yesterday stdin F text"),
            (format!("{TIME} stdout X text"), ""),
            (format!("{TIME} stdout Full text"), ""),
            (format!("{TIME} stdout"), ""),
            ("text".to_owned(), "M text"),
        ] {
            let expected = if expected.is_empty() { format!("M {line}") } else { expected.to_owned() };
            assert_eq!(all(format!("{line}\n").as_bytes(), false), (vec![expected.clone()], 0), "{line}");
            assert_eq!(all(line.as_bytes(), true), (vec![expected], 0), "{line}");
            assert_eq!(all(line.as_bytes(), false), (vec![], line.len()), "{line}");
        }
        assert_eq!(all(b"\n \r\n\0\0\0\n\0", false), (vec![], 0));
    }

    #[test]
    fn sound_lines_behind_damage_are_read() {
        for torn in ["2026-11-22T23:03:07.7232", "2026", "x stdout", "\u{fffd}", "text stderr F"] {
            let file = format!("{torn}{TIME} stderr F text\n");
            assert_eq!(
                all(file.as_bytes(), false).0,
                [format!("M {torn}"), "LteF text".to_owned()],
                "{torn}"
            );
            let file = format!("{torn}\0\0\0\0{TIME} stderr F text\n");
            assert_eq!(
                all(file.as_bytes(), false).0,
                [format!("M {torn}"), "LteF text".to_owned()],
                "{torn}"
            );
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_waited_for_without_end() {
        let mut file = format!("{TIME} stdout P ").into_bytes();
        file.resize(MAX_LINE - 1, b'x');
        assert_eq!(all(&file, false).1, file.len());
        file.extend_from_slice(b"xyz\n");
        let (seen, left) = all(&file, false);
        assert_eq!((seen.len(), left, seen[1].as_str()), (2, 0, "M yz"));
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    &b"2026-11-22T23:03:07.5Z"[..], b" ", b"stdout", b" stderr F ", b"\n", b"\0\0", b"P:", b"\xff",
                ]),
                0..30,
            ),
        ) {
            let mut file = parts.concat();
            prop_assert_eq!(all(&file, true).1, 0);
            file.extend_from_slice(b"\n2026-11-22T23:03:07Z stdout F sound\n");
            prop_assert_eq!(all(&file, false).0.pop(), Some("LtoF sound".to_owned()));
        }
    }
}
