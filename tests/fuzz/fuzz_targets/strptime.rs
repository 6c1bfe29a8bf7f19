//! Whatever the format and the text: what is found lies in the text, is found again in that part of it alone, and a
//! failure that saw only a part fails for every text that begins with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::config::plan::zone;
use sluicegate::record::Timestamp;
use sluicegate::record::strptime::Format;

fuzz_target!(|input: (String, Vec<u8>, i64, bool)| {
    let (format, text, near, is_utc) = input;
    let Ok(format) = Format::parse(&format) else { return };
    let Some(zone) = zone(if is_utc { "UTC" } else { "GMT+08:00" }) else { return };
    let near = Timestamp::new(near, 0);
    match format.find(&text, &zone, near) {
        Ok(found) => {
            assert!(found.fraction.start <= found.fraction.end && found.fraction.end <= found.len);
            assert!(found.len <= text.len() && found.time.nanos < 1_000_000_000);
            assert!(text[found.fraction.clone()].iter().all(u8::is_ascii_digit));
            if found.is_closed {
                let alone = format.find(&text[..found.len], &zone, near).expect("the same time");
                assert_eq!((alone.time, alone.len), (found.time, found.len));
                if found.fraction.end != found.len {
                    let mut longer = text[..found.len].to_vec();
                    longer.push(b'7');
                    assert_eq!(format.find(&longer, &zone, near).map(|longer| longer.time), Ok(found.time));
                }
            }
        }
        Err(len) if len < text.len() => {
            let mut other = text[..len].to_vec();
            other.extend_from_slice(b"00:00");
            assert!(format.find(&other, &zone, near).is_err());
        }
        Err(_) => {}
    }
});
