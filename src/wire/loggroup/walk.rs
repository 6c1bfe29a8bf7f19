//! Reading a LogGroup in place: every key and value is a slice of the received bytes, nothing is allocated.
//!
//! [`walk`] checks the whole LogGroup once, down to the last key; the iterators of a [`Group`] then go over checked
//! bytes and cannot fail. Unknown fields are skipped, a scalar that comes twice counts as it came last, keys may
//! repeat, values need not be UTF-8. Refused: lengths that leave their message, numbers of more than 64 bits, a known
//! field of another wire type, a log without Time, a content or tag without key or value (they are `required`), and
//! protobuf's abandoned groups.

use crate::wire::protobuf::{FieldError, Fields};

pub(super) const LOGS: u32 = 1;
pub(super) const TOPIC: u32 = 3;
pub(super) const SOURCE: u32 = 4;
const MACHINE_UUID: u32 = 5;
pub(super) const TAGS: u32 = 6;

const TIME: u32 = 1;
const CONTENTS: u32 = 2;
const TIME_NS: u32 = 4;

/// Why bytes are no LogGroup.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WalkError {
    #[error("a LogGroup {0}")]
    Field(#[from] FieldError),
    #[error("a {message} has no {field}")]
    Missing { message: &'static str, field: &'static str },
}

/// A checked LogGroup.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    bytes: &'a [u8],
    logs: usize,
    /// Empty when absent, as are the next two.
    pub topic: &'a [u8],
    pub source: &'a [u8],
    pub machine_uuid: &'a [u8],
}

/// One log of a [`Group`].
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    bytes: &'a [u8],
    /// Seconds since 1970.
    pub time: u32,
    /// The nanosecond part, where the sender wrote one.
    pub time_ns: Option<u32>,
}

/// Checks a LogGroup and gives access to it.
pub fn walk(bytes: &[u8]) -> Result<Group<'_>, WalkError> {
    let mut group = Group { bytes, logs: 0, topic: b"", source: b"", machine_uuid: b"" };
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            LOGS => {
                let log = log_of(field.bytes()?)?;
                let mut inner = Fields::new(log.bytes);
                while let Some(content) = inner.next()? {
                    if content.number == CONTENTS {
                        pair_of(content.bytes()?, "Content")?;
                    }
                }
                group.logs += 1;
            }
            TOPIC => group.topic = field.bytes()?,
            SOURCE => group.source = field.bytes()?,
            MACHINE_UUID => group.machine_uuid = field.bytes()?,
            TAGS => {
                pair_of(field.bytes()?, "LogTag")?;
            }
            _ => {}
        }
    }
    Ok(group)
}

/// Gives access to a LogGroup that was checked before, as it was stored: goes over its fields without looking into the
/// logs. Of bytes that were not checked the iterators would end early.
pub fn skim(bytes: &[u8]) -> Result<Group<'_>, WalkError> {
    let mut group = Group { bytes, logs: 0, topic: b"", source: b"", machine_uuid: b"" };
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            LOGS => group.logs += 1,
            TOPIC => group.topic = field.bytes()?,
            SOURCE => group.source = field.bytes()?,
            MACHINE_UUID => group.machine_uuid = field.bytes()?,
            _ => {}
        }
    }
    Ok(group)
}

impl<'a> Group<'a> {
    pub fn log_count(&self) -> usize {
        self.logs
    }

    /// The LogGroup as it was encoded.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Writes the LogGroup with only those logs that are wanted, everything else as it was; how many they are.
    pub fn retain(&self, out: &mut Vec<u8>, mut is_wanted: impl FnMut(&Log<'a>) -> bool) -> u64 {
        let mut kept = 0;
        for field in Fields::new(self.bytes).checked() {
            if field.number == LOGS {
                let log = field.bytes().ok().and_then(|bytes| log_of(bytes).ok());
                if !log.is_some_and(|log| is_wanted(&log)) {
                    continue;
                }
                kept += 1;
            }
            out.extend_from_slice(field.whole);
        }
        kept
    }

    /// The logs in their order.
    pub fn logs(&self) -> impl Iterator<Item = Log<'a>> + use<'a> {
        Fields::new(self.bytes)
            .checked()
            .filter(|field| field.number == LOGS)
            .filter_map(|field| log_of(field.bytes().ok()?).ok())
    }

    /// Keys and values of the tags in their order.
    pub fn tags(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        pairs(self.bytes, TAGS)
    }

    /// The value of a tag; the last one where it repeats.
    pub fn tag(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.tags().filter(|tag| tag.0 == key).last().map(|tag| tag.1)
    }
}

impl<'a> Log<'a> {
    /// Keys and values in their order, repeated keys included.
    pub fn contents(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        pairs(self.bytes, CONTENTS)
    }

    /// The log as it was encoded.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the log as it was encoded.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Nanoseconds since 1970. A nanosecond part of a second or more counts as its last nanosecond.
    pub fn nanoseconds(&self) -> i64 {
        i64::from(self.time) * 1_000_000_000 + i64::from(self.time_ns.unwrap_or(0).min(999_999_999))
    }
}

fn pairs(bytes: &[u8], number: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
    Fields::new(bytes)
        .checked()
        .filter(move |field| field.number == number)
        .filter_map(|field| pair_of(field.bytes().ok()?, "").ok())
}

/// Time and nanoseconds of a log; its contents are looked at by the caller.
pub(super) fn log_of(bytes: &[u8]) -> Result<Log<'_>, WalkError> {
    let (mut time, mut time_ns) = (None, None);
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            // A uint32 is read from the low bits of what is sent, as protobuf says.
            TIME => time = Some(field.number_of(0)? as u32),
            TIME_NS => time_ns = Some(field.number_of(5)? as u32),
            CONTENTS => {
                field.bytes()?;
            }
            _ => {}
        }
    }
    let time = time.ok_or(WalkError::Missing { message: "Log", field: "Time" })?;
    Ok(Log { bytes, time, time_ns })
}

fn pair_of<'a>(bytes: &'a [u8], message: &'static str) -> Result<(&'a [u8], &'a [u8]), WalkError> {
    if let Some(pair) = usual_pair(bytes) {
        return Ok(pair);
    }
    let (mut key, mut value) = (None, None);
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = Some(field.bytes()?),
            2 => value = Some(field.bytes()?),
            _ => {}
        }
    }
    let key = key.ok_or(WalkError::Missing { message, field: "Key" })?;
    Ok((key, value.ok_or(WalkError::Missing { message, field: "Value" })?))
}

/// A pair as nearly everybody writes it: a key, then a value, and nothing else.
#[inline]
fn usual_pair(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([0x0a, length @ 0..0x80], rest) = bytes.split_first_chunk()? else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, value) = match rest {
        [0x12, low @ 0..0x80, value @ ..] => (usize::from(*low), value),
        [0x12, low, high @ 0..0x80, value @ ..] => {
            (usize::from(*low & 0x7f) | usize::from(*high) << 7, value)
        }
        _ => return None,
    };
    (value.len() == length).then_some((key, value))
}
