use super::*;
use proptest::prelude::*;

fn scanner() -> Scanner {
    Scanner::new(Limits::default())
}

/// The messages of a stream that arrives in pieces of the given lengths, and how many bytes are left over.
fn frames(
    stream: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (Vec<Vec<u8>>, Result<usize, ScanError>) {
    let (mut scanner, mut found, mut start, mut end) = (scanner(), Vec::new(), 0, 0);
    for piece in pieces {
        end = (end + piece).min(stream.len());
        loop {
            match scanner.scan(&stream[start..end]) {
                Ok(Some(length)) => {
                    found.push(stream[start..start + length].to_vec());
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(end - start))
}

#[test]
fn messages_that_arrive_together_are_taken_apart() {
    let stream = b"\x93\xa1t\x01\x81\xa1a\x01\xc0\x92\xa1t\x90\x93\xa1t\xce\0";
    let (found, rest) = frames(stream, [stream.len()]);
    assert_eq!(found, [&b"\x93\xa1t\x01\x81\xa1a\x01"[..], b"\xc0", b"\x92\xa1t\x90"]);
    assert_eq!(rest, Ok(5));
}

#[test]
fn a_walked_byte_is_never_looked_at_again() {
    let mut stream = b"\x92\xa1t\x92\xa3one\xdb\0\0\x01\0".to_vec();
    let mut scanner = scanner();
    assert_eq!(scanner.scan(&stream), Ok(None));
    assert_eq!(scanner.progress(), stream.len() + 256);
    // What was walked may be anything now; only the place in the stream counts.
    stream.fill(0xc1);
    stream.extend([b'x'; 255]);
    assert_eq!(scanner.scan(&stream), Ok(None));
    assert!(!scanner.is_idle());
    stream.push(b'x');
    assert_eq!(scanner.scan(&stream), Ok(Some(stream.len())));
    assert!(scanner.is_idle());
}

#[test]
fn bounds_are_checked_at_the_header() {
    let limit = Limits::default().message;
    let claims = |bytes: &[u8]| scanner().scan(bytes).unwrap_err();
    assert_eq!(claims(b"\xc1"), ScanError::Reserved { at: 0 });
    assert!(matches!(claims(b"\xdd\xff\xff\xff\xff"), ScanError::Elements { claimed: 0xffff_ffff, .. }));
    assert!(matches!(claims(b"\xdf\xff\xff\xff\xff"), ScanError::Elements { claimed: 0x1_ffff_fffe, .. }));
    assert_eq!(
        claims(b"\x92\xa1t\xdb\xff\xff\xff\xff"),
        ScanError::Message { claimed: 8 + 0xffff_ffff, limit }
    );
    assert!(matches!(claims(b"\x92\xa1t\xc9\xff\xff\xff\xff"), ScanError::Message { .. }));
    let mut tight = Scanner::new(Limits { message: 16, ..Limits::default() });
    assert!(matches!(tight.scan(b"\xdc\x00\x0e"), Err(ScanError::Message { claimed: 17, limit: 16 })));
    let mut tight = Scanner::new(Limits { message: 8, ..Limits::default() });
    assert_eq!(tight.scan(b"\x92\xa3abc\xa2xy"), Ok(Some(8)));
    assert!(matches!(tight.scan(b"\x92\xa3abc\xa3xyz"), Err(ScanError::Message { claimed: 9, limit: 8 })));
}

#[test]
fn nesting_is_bounded() {
    let deep = |levels: usize| {
        let mut bytes = vec![0x91; levels];
        bytes.push(0);
        bytes
    };
    assert_eq!(scanner().scan(&deep(64)), Ok(Some(65)));
    assert_eq!(scanner().scan(&deep(65)), Err(ScanError::Depth { limit: 64 }));
    assert_eq!(scanner().scan(&deep(100_000)), Err(ScanError::Depth { limit: 64 }));
}

#[test]
fn the_end_of_the_body_is_remembered() {
    for (message, end) in [
        (&b"\x93\xa1t\x92\x92\x01\x80\x92\x02\x80\x81\xa4size\x02"[..], 10),
        (b"\x93\xa1t\x90\x81\xa4size\x00", 4),
        (b"\x94\xa1t\x01\x81\xa1a\x91\x01\x80", 9),
        (b"\x92\xa1t\xc4\x01\x90", 0),
    ] {
        let mut scanner = scanner();
        assert_eq!(scanner.scan(message), Ok(Some(message.len())));
        assert_eq!(scanner.body_end(), end);
    }
}

#[test]
fn foreign_peers_are_named() {
    assert_eq!(foreign(b"\x93\xa1t"), None);
    assert_eq!(foreign(b"\xc0"), None);
    assert_eq!(foreign(b""), None);
    assert_eq!(foreign(b"\x16"), Some(Foreign::Tls));
    assert_eq!(foreign(b"\x16\x03\x01\x02\x00"), Some(Foreign::Tls));
    assert_eq!(foreign(b"G"), Some(Foreign::Http));
    assert_eq!(foreign(b"POST / HTTP/1.1"), Some(Foreign::Http));
    assert_eq!(foreign(b"PROXY TCP4"), Some(Foreign::Proxy));
    assert_eq!(foreign(b"\r\n\r\n\0\r\nQUIT\n"), Some(Foreign::Proxy));
    assert_eq!(foreign(b"[\"tag\",1,{}]"), Some(Foreign::Json));
    assert_eq!(foreign(b"<14>Nov 22"), Some(Foreign::Syslog));
    assert_eq!(foreign(b"\x81\xa1a\x01"), Some(Foreign::Other(0x81)));
    assert!(Foreign::Other(0x81).to_string().contains("81"));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        stream in proptest::collection::vec(
            prop_oneof![3 => any::<u8>(), 4 => 0x80u8..0xc0, 2 => 0xc4u8..0xe0, 2 => 0u8..4], 0..300),
        pieces in proptest::collection::vec(1usize..40, 1..300),
    ) {
        let whole = frames(&stream, [stream.len()]);
        let rest = pieces.iter().sum::<usize>().min(stream.len());
        let split = frames(&stream, pieces.iter().copied().chain([stream.len() - rest]));
        prop_assert_eq!(&whole, &split);
        prop_assert_eq!(&whole, &frames(&stream, vec![1; stream.len()]));
    }
}
