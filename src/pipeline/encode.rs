//! Encoding a tidied record into the bytes of one Log: measured first, then written in one go. Together with the
//! compression this is the only copy of a payload between the socket and the disk.

use crate::record::{Batch, Record};
use crate::wire::loggroup::encode;

pub use crate::wire::loggroup::encode::SPARE;

/// What has to be known of a record before it is written.
pub struct Measured<'a> {
    contents: usize,
    seconds: u32,
    /// The container the record names, empty without one.
    pub container: &'a [u8],
}

impl Measured<'_> {
    /// Bytes the record will take.
    pub fn bytes(&self) -> usize {
        encode::log_len(self.seconds, self.contents)
    }
}

pub fn measure<'a>(batch: &'a Batch, record: &Record, seconds: u32) -> Measured<'a> {
    let mut measured = Measured { contents: 0, seconds, container: b"" };
    for field in batch.fields_of(record) {
        measured.contents += encode::pair_len(field.key.len(), field.value.len());
        if field.key.len() == 12 && batch.bytes(field.key) == b"container_id" {
            measured.container = batch.bytes(field.value);
        }
    }
    measured
}

/// Appends the record as a Log.
pub fn write(out: &mut Vec<u8>, batch: &Batch, record: &Record, measured: &Measured<'_>, nanos: u32) {
    let pairs =
        batch.fields_of(record).iter().map(|field| (batch.bytes(field.key), batch.bytes(field.value)));
    encode::put_log(out, measured.seconds, nanos, measured.contents, pairs);
}
