//! A connection gives the same messages, and the same error, however it is cut into reads; and every message is taken
//! apart into parts that lie in it, with structured data that comes to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::oneway::CutError;
use sluicegate::input::syslog::clock::Clock;
use sluicegate::input::syslog::framing::Framer;
use sluicegate::input::syslog::header::parse;
use sluicegate::input::syslog::structured::{Params, append_unescaped};
use sluicegate::record::Timestamp;

const MAX_MESSAGE: usize = 512;

type Messages = (Vec<(Vec<u8>, bool)>, Option<CutError>);

fn messages(stream: &[u8], mut reads: impl Iterator<Item = usize>) -> Messages {
    let (mut framer, mut found) = (Framer::new(MAX_MESSAGE), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        let ended = end == stream.len();
        let mut messages = Vec::new();
        let outcome = framer.cut(&stream[start..end], ended, &mut messages);
        for message in messages {
            let text = &stream[start..end][message.range];
            assert!(text.len() <= MAX_MESSAGE);
            found.push((text.to_vec(), message.cut));
        }
        match outcome {
            Ok(done) => start += done,
            Err(error) => return (found, Some(error)),
        }
        if ended {
            assert_eq!(start, end);
            return (found, None);
        }
        end = (end + reads.next().unwrap_or(usize::MAX / 2)).min(stream.len());
        // A NUL that nothing has come behind is the one place where the end of a read says something.
        while end < stream.len() && stream[end - 1] == 0 {
            end += 1;
        }
    }
}

fn take_apart(text: &[u8]) {
    let parsed = parse(text);
    for part in [
        parsed.timestamp,
        parsed.hostname,
        parsed.appname,
        parsed.procid,
        parsed.msgid,
        parsed.sequence,
        parsed.structured,
        parsed.message,
    ] {
        assert!(part.is_empty() || part.to <= text.len());
    }
    assert!(parsed.message.to == text.len() || parsed.message.is_empty());
    if let Some(stamp) = &parsed.stamp {
        Clock::default().moment(stamp, Timestamp::new(1_800_000_000, 0));
    }
    if !parsed.structured.is_empty() {
        let mut place = parsed.structured.from;
        for param in Params::new(&text[..parsed.structured.to], place) {
            assert!(param.id.end <= param.name.start && param.name.end <= param.value.start);
            assert!(place <= param.value.end && param.value.end < parsed.structured.to);
            place = param.value.end;
            append_unescaped(&mut Vec::new(), &text[param.value]);
        }
    }
}

// The first bytes are the lengths of the reads, used in turn; the rest is the stream.
fuzz_target!(|input: &[u8]| {
    let Some((reads, stream)) = input.split_at_checked(4) else { return };
    let once = messages(stream, std::iter::once(stream.len()));
    assert_eq!(messages(stream, reads.iter().cycle().map(|read| usize::from(*read) + 1)), once);
    assert_eq!(messages(stream, std::iter::repeat(1)), once);
    once.0.iter().for_each(|(text, _)| take_apart(text));
    take_apart(stream);
});
