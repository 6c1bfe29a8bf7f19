//! Any bytes are read as a JSON object out of a frame as out of an arena, with sound spans, and another reader takes and
//! refuses the same texts.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use sluicegate::record::json::{JsonError, ReadLimits, Value, read_object};
use sluicegate::record::{Batch, Span};

const LIMITS: ReadLimits = ReadLimits { depth: 32, members: 256 };

type Members = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn read(batch: &mut Batch, text: Span) -> (Members, Result<usize, JsonError>) {
    let mut members = Vec::new();
    let taken = read_object(batch, text, &LIMITS, &mut |batch, key, value| {
        if let Value::Nested(span) = value {
            let nested = batch.bytes(span);
            assert!(!nested.iter().any(|byte| *byte < 0x20));
            // Compact: what is compact already is not copied when it is read again.
            let (len, made) = (span.len(), batch.arena.len());
            let again = sluicegate::record::json::read_value(batch, span, &LIMITS);
            assert_eq!(again, Ok((Value::Nested(span), len)));
            assert_eq!(batch.arena.len(), made);
        }
        let text = value.text(batch).map(|span| batch.bytes(span).to_vec());
        members.push((batch.bytes(key).to_vec(), text));
    });
    (members, taken)
}

fuzz_target!(|input: &[u8]| {
    let mut batch = Batch { frame: Bytes::copy_from_slice(input), ..Batch::default() };
    let (members, taken) = read(&mut batch, Span::frame(0, input.len()));
    assert!(batch.arena.len() <= 6 * input.len());
    let mut batch = Batch::default();
    let text = batch.keep(input);
    assert_eq!(read(&mut batch, text), (members, taken));

    // Control bytes in strings, bytes that are no UTF-8 and halves of surrogates are taken here and nowhere else.
    let strict = std::str::from_utf8(input).is_ok()
        && !input.iter().any(|byte| *byte < 0x20)
        && !input.windows(3).any(|three| three[..2] == *b"\\u" && three[2] | 0x20 == b'd');
    let mut other = serde_json::Deserializer::from_slice(input).into_iter::<IgnoredAny>();
    let object = input.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{');
    match (taken, other.next()) {
        (Ok(taken), Some(Ok(_))) => assert_eq!(taken, other.byte_offset()),
        (Ok(_), _) => assert!(!strict),
        (Err(JsonError::Cut | JsonError::Syntax { .. }), Some(Ok(_))) => assert!(!object),
        _ => {}
    }
});
