//! Package lists: several LogGroups in one PutLogs, each compressed by itself (`x-log-mode: batch_group`).
//!
//! ```text
//! SlsLogPackageList   0a len SlsLogPackage ...
//! SlsLogPackage       0a len data   10 uncompress_size   18 compress_type (0 none, 1 deflate, 2 lz4, 3 zstd)
//! ```
//!
//! Without a type, data is lz4; without a size it counts as none. Refused, as in every message: lengths that leave it,
//! numbers beyond 64 bits, fields of another wire type; and a package without data or of an unknown compression.

use crate::wire::compress::Kind;
use crate::wire::protobuf::{FieldError, Fields, VARINT};

use super::encode::varint_len;

const PACKAGES: u32 = 1;
const DATA: u32 = 1;
const SIZE: u32 = 2;
const TYPE: u32 = 3;

/// One LogGroup of a list, compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    pub data: &'a [u8],
    /// Bytes of the LogGroup.
    pub raw_size: usize,
    pub kind: Kind,
}

/// Why bytes are no package list.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ListError {
    #[error("a package list {0}")]
    Field(#[from] FieldError),
    #[error("a package of the list has no data")]
    NoData,
    #[error("a package of the list has the unknown compression {0}")]
    Compression(u64),
}

/// Appends a package to a list.
pub fn put(list: &mut Vec<u8>, package: &Package<'_>) {
    let number: u8 = match package.kind {
        Kind::None => 0,
        Kind::Deflate => 1,
        Kind::Lz4 => 2,
        Kind::Zstd => 3,
    };
    let (len, size) = (package.data.len() as u64, package.raw_size as u64);
    let body = 1 + varint_len(len) + package.data.len() + 1 + varint_len(size) + 2;
    list.reserve(body + 6);
    list.push(0x0a);
    put_varint(list, body as u64);
    list.push(0x0a);
    put_varint(list, len);
    list.extend_from_slice(package.data);
    list.push(0x10);
    put_varint(list, size);
    list.extend_from_slice(&[0x18, number]);
}

/// The packages of a list, in order. Reads as it goes; after an error there is nothing more.
pub fn packages(list: &[u8]) -> impl Iterator<Item = Result<Package<'_>, ListError>> {
    let mut fields = Some(Fields::new(list));
    std::iter::from_fn(move || {
        loop {
            let found = match fields.as_mut()?.next() {
                Ok(None) => return None,
                Ok(Some(field)) if field.number != PACKAGES => continue,
                Ok(Some(field)) => field.bytes().map_err(ListError::from).and_then(package),
                Err(error) => Err(error.into()),
            };
            if found.is_err() {
                fields = None;
            }
            return Some(found);
        }
    })
}

fn package(bytes: &[u8]) -> Result<Package<'_>, ListError> {
    let (mut data, mut raw_size, mut kind) = (None, 0, Kind::Lz4);
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            DATA => data = Some(field.bytes()?),
            SIZE => raw_size = usize::try_from(field.number_of(VARINT)?).unwrap_or(usize::MAX),
            TYPE => {
                kind = match field.number_of(VARINT)? {
                    0 => Kind::None,
                    1 => Kind::Deflate,
                    2 => Kind::Lz4,
                    3 => Kind::Zstd,
                    other => return Err(ListError::Compression(other)),
                }
            }
            _ => {}
        }
    }
    Ok(Package { data: data.ok_or(ListError::NoData)?, raw_size, kind })
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct PackageMessage {
        #[prost(bytes = "vec", required, tag = "1")]
        data: Vec<u8>,
        #[prost(int32, optional, tag = "2")]
        uncompress_size: Option<i32>,
        #[prost(int32, optional, tag = "3")]
        compress_type: Option<i32>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ListMessage {
        #[prost(message, repeated, tag = "1")]
        packages: Vec<PackageMessage>,
    }

    #[test]
    fn an_independent_reader_sees_what_was_written() {
        let long = vec![7; 300];
        let mut list = Vec::new();
        put(&mut list, &Package { data: &long, raw_size: 70_000, kind: Kind::Lz4 });
        put(&mut list, &Package { data: b"", raw_size: 0, kind: Kind::None });
        put(&mut list, &Package { data: b"z", raw_size: 1, kind: Kind::Zstd });
        let read = ListMessage::decode(&list[..]).unwrap();
        let told: Vec<_> = read
            .packages
            .iter()
            .map(|package| (package.data.len(), package.uncompress_size, package.compress_type))
            .collect();
        assert_eq!(told, [(300, Some(70_000), Some(2)), (0, Some(0), Some(0)), (1, Some(1), Some(3))]);
        let ours: Vec<_> = packages(&list).map(|package| package.unwrap().raw_size).collect();
        assert_eq!(ours, [70_000, 0, 1]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let message = ListMessage {
            packages: vec![PackageMessage {
                data: b"x".to_vec(),
                uncompress_size: None,
                compress_type: None,
            }],
        };
        let list = message.encode_to_vec();
        let read: Vec<_> = packages(&list).collect();
        assert_eq!(read, [Ok(Package { data: b"x", raw_size: 0, kind: Kind::Lz4 })]);
    }

    #[test]
    fn damage_is_an_error_and_the_end() {
        let of = |bytes: &[u8]| packages(bytes).map(|found| found.map(|_| ())).collect::<Vec<_>>();
        assert_eq!(of(b"\x0a\x03\x0a\x05x"), [Err(ListError::Field(FieldError::Truncated(1)))]);
        assert_eq!(of(b"\x0a\x00\x0a\x00"), [Err(ListError::NoData)]);
        assert_eq!(of(b"\x0a\x04\x0a\x00\x18\x09"), [Err(ListError::Compression(9))]);
        assert!(of(b"\x10\x01").is_empty(), "an unknown field");
        assert!(matches!(of(b"\x0d\0\0\0\0")[..], [Err(ListError::Field(_))]), "another wire type");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(packages(&bytes).count() <= bytes.len());
        }
    }
}
