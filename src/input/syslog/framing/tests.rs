//! Streams cut at every place, and the three framings between each other.

use super::*;
use proptest::prelude::*;

const MAX: usize = 64;

type Cut = (Vec<u8>, bool);

/// The messages of a stream that is read in pieces of these lengths, used in turn, as an input reads it: what is
/// done with goes, and more comes behind what was left.
fn cut(stream: &[u8], pieces: &[usize]) -> (Vec<Cut>, Option<CutError>) {
    cut_at(stream, pieces, false)
}

/// `not_behind_nul`: no piece but the last ends in a NUL.
fn cut_at(stream: &[u8], pieces: &[usize], not_behind_nul: bool) -> (Vec<Cut>, Option<CutError>) {
    let (mut framer, mut found) = (Framer::new(MAX), Vec::new());
    let (mut start, mut end) = (0, 0);
    let mut pieces = pieces.iter().cycle();
    loop {
        let ended = end == stream.len();
        let mut messages = Vec::new();
        let outcome = framer.cut(&stream[start..end], ended, &mut messages);
        for Message { range, cut } in messages {
            found.push((stream[start..end][range].to_vec(), cut));
        }
        match outcome {
            Ok(done) => start += done,
            Err(error) => return (found, Some(error)),
        }
        if ended {
            assert_eq!(start, end, "everything is done with at the end");
            return (found, None);
        }
        end = (end + pieces.next().unwrap()).min(stream.len());
        while not_behind_nul && end < stream.len() && stream[end - 1] == 0 {
            end += 1;
        }
    }
}

fn whole(stream: &[u8]) -> Vec<String> {
    let (found, error) = cut(stream, &[usize::MAX / 2]);
    assert_eq!(error, None);
    found
        .into_iter()
        .map(|(text, cut)| format!("{}{}", text.escape_ascii(), if cut { "..." } else { "" }))
        .collect()
}

#[test]
fn the_three_framings_are_told_apart() {
    assert_eq!(
        whole(b"<30>a\n<30>b\r\n\n\r\nno priority\nrest"),
        ["<30>a", "<30>b\\r", "no priority", "rest"]
    );
    assert_eq!(
        whole(b"6 <30>a\n8 <30>a\nb\n6 <30>c\n<30>line\n6 <30>d\n3 abc"),
        ["<30>a", "<30>a\\nb", "<30>c", "<30>line", "<30>d", "abc"],
        "also between each other"
    );
    assert_eq!(whole(b"<30>a\0<30>b\nb2\0<30>c\0"), ["<30>a", "<30>b\\nb2", "<30>c"]);
    assert_eq!(
        whole(b"<30>bin\0\x01\xff end\n<30>b\0<30>\n"),
        ["<30>bin\\x00\\x01\\xff end", "<30>b\\x00<30>"]
    );
}

#[test]
fn digits_are_a_length_only_where_one_is_meant() {
    assert_eq!(
        whole(b"2026 was good\n2026-11-22 12 <1>\n12345678901 <1>\n"),
        ["2026 was good", "2026-11-22 12 <1>", "12345678901 <1>"]
    );
    let (found, error) = cut(b"5 <1>a\n12345678901 <1>a", &[3]);
    assert_eq!((found.len(), error), (1, Some(CutError::Length)));
    assert_eq!(cut(b"999999999 <1>a", &[3]).1, Some(CutError::TooLong(999_999_999)));
}

#[test]
fn a_nul_that_came_last_ends_a_message_until_lines_are_seen() {
    assert_eq!(cut(b"<30>a\0<30>b\0", &[6]).0, [(b"<30>a".to_vec(), false), (b"<30>b".to_vec(), false)]);
    assert_eq!(
        cut(b"<30>x\n<30>a\0b\n", &[6]).0,
        [(b"<30>x".to_vec(), false), (b"<30>a\0b".to_vec(), false)]
    );
    // Taken for NUL framing by mistake, a connection comes back to lines.
    assert_eq!(whole(b"<30>a\0<3>b\n<30>c\n<30>d\0\n"), ["<30>a", "<3>b", "<30>c", "<30>d\\x00"]);
}

#[test]
fn too_long_messages_are_cut_and_the_next_is_found() {
    let long = "x".repeat(MAX);
    let fits = format!("{long}\nnext\n");
    assert_eq!(whole(fits.as_bytes()), [&*long, "next"]);
    let line = format!("{long}yz\nnext\n{long}");
    assert_eq!(whole(line.as_bytes()), [&*format!("{long}..."), "next", &*long]);
    let counted = format!("67 <1>{long}3 <1>");
    assert_eq!(whole(counted.as_bytes()), [format!("<1>{}...", &long[3..]), "<1>".to_owned()]);
    let missing = "80 <1>half";
    assert_eq!(whole(missing.as_bytes()), ["<1>half..."]);
}

#[test]
fn other_protocols_are_recognised_by_their_first_bytes() {
    for (bytes, what) in [
        (&b"\x16\x03\x01\x02\x00"[..], "a TLS handshake"),
        (b"\x93\xa3tag\x90\x80", "a message of the forward protocol"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP request"),
    ] {
        for piece in [1, 64] {
            assert_eq!(cut(bytes, &[piece]), (vec![], Some(CutError::Foreign(what))));
        }
    }
    assert_eq!(whole(b"\x93quoted\x94\nGET / HTTP/1.1\n"), ["\\x93quoted\\x94", "GET / HTTP/1.1"]);
    assert_eq!(whole(b"GET some rest\n"), ["GET some rest"]);
    assert_eq!(whole(b"\x16"), ["\\x16"]);
}

#[test]
fn a_slow_line_is_searched_once() {
    let (mut framer, mut messages) = (Framer::new(1 << 20), Vec::new());
    let line = vec![b'x'; 1000];
    assert_eq!(framer.cut(&line[..500], false, &mut messages), Ok(0));
    assert_eq!(framer.searched, 500);
    assert_eq!(framer.cut(&line, false, &mut messages), Ok(0));
    assert_eq!(framer.searched, 1000);
}

proptest! {
    /// How the bytes arrive makes no difference, save behind a NUL, where it must.
    #[test]
    fn any_pieces_give_the_same_messages(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "<30>", "a", "\n", "\0", "\r\n", "5 ", "12 <1>", "99 <", "7", " ", "\u{16}", "<1", ">",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ]),
            0..40,
        ),
        pieces in proptest::collection::vec(1usize..9, 1..8),
    ) {
        let stream = parts.concat().into_bytes();
        let once = cut(&stream, &[usize::MAX / 2]);
        prop_assert_eq!(cut_at(&stream, &pieces, true), once);
    }
}
