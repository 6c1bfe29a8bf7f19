//! What decoding counts: records kept, and events that cannot be kept, by reason.
//!
//! An invalid event costs itself alone, or is kept as far as it can be read where the input is set so. The rest of its message is stored and the message is acknowledged, because
//! the sender could only send the same bytes again. Nothing is dropped without standing here.

/// Why an event was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Invalid {
    /// The message's tag is neither str nor bin.
    Tag,
    /// An entry that is no array of a time and a record.
    Entry,
    /// A time of a wrong type or length, NaN or infinite.
    Time,
    /// A record that is no map, or missing.
    Record,
    /// A chunk that ends inside an entry.
    Cut,
    /// A byte that MessagePack never uses, or too deep a nest, inside a chunk; after such a byte the chunk's rest is lost.
    Damaged,
    /// A record with more fields, or a nested value with more bytes, than the gateway takes.
    Large,
    /// A payload of another signal than logs that is too large to be kept as a record.
    Payload,
    /// A context, metric, sample or span of a metrics or traces payload that is not built as one.
    Signal,
    /// A sample or span whose labels or attributes would multiply its message too often.
    Multiplied,
}

impl Invalid {
    pub const ALL: [Invalid; 10] = [
        Invalid::Tag,
        Invalid::Entry,
        Invalid::Time,
        Invalid::Record,
        Invalid::Cut,
        Invalid::Damaged,
        Invalid::Large,
        Invalid::Payload,
        Invalid::Signal,
        Invalid::Multiplied,
    ];

    /// The reason's name in metrics and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Invalid::Tag => "tag",
            Invalid::Entry => "entry",
            Invalid::Time => "time",
            Invalid::Record => "record",
            Invalid::Cut => "cut",
            Invalid::Damaged => "damaged",
            Invalid::Large => "large",
            Invalid::Payload => "payload",
            Invalid::Signal => "signal",
            Invalid::Multiplied => "multiplied",
        }
    }
}

/// Counts of one or several messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records put into the batch.
    pub records: u64,
    /// Integer times taken as milliseconds, microseconds or nanoseconds for their size; worth one log line a connection.
    pub guessed_units: u64,
    /// Records kept without the attributes their group or resource shares, because those would multiply the message too
    /// often; of metrics, resource attributes left out of a context's labels for their size or number.
    pub unshared: u64,
    /// Invalid events kept all the same, because the input is set so; each is one of `records`.
    pub kept: u64,
    invalid: [u64; Invalid::ALL.len()],
}

impl Tally {
    pub fn drop(&mut self, reason: Invalid) {
        self.invalid[reason as usize] += 1;
    }

    /// Dropped events of one reason.
    pub fn dropped(&self, reason: Invalid) -> u64 {
        self.invalid[reason as usize]
    }

    /// Dropped events of all reasons.
    pub fn dropped_in_all(&self) -> u64 {
        self.invalid.iter().sum()
    }
}
