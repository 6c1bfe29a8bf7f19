//! MessagePack as a stream of hostile bytes: where an object ends ([`scanner`]) and what stands in it ([`walk`]).
//!
//! Neither builds a tree, neither recurses, and neither reserves memory for what a header merely claims. Both accept
//! every legal header form, minimal or not, since peers really send `array32` of 2 and `str32` of 5 bytes.
//!
//! ```text
//! 00-7f int          a0-bf str          c4-c6 bin     ca-cb float    d4-d8 ext of 1, 2, 4, 8, 16 bytes
//! 80-8f map          c0 nil             c7-c9 ext     cc-cf uint     d9-db str     e0-ff int
//! 90-9f array        c1 never used      c2-c3 bool    d0-d3 int      dc-dd array   de-df map
//! ```

pub mod scanner;
pub mod walk;

pub use scanner::{Foreign, Limits, ScanError, Scanner, foreign};
pub use walk::{Token, WalkError, Walker};

/// What the first byte of a token alone says about its length: `1..=33` is the whole token, header and content; one of
/// the codes below needs the bytes behind it.
static WIDTH: [u8; 256] = widths();

const SHORT: u8 = 0x40;
const RESERVED: u8 = 0x40;
const LEN8: u8 = 0x41;
const LEN16: u8 = 0x42;
const LEN32: u8 = 0x43;
const EXT8: u8 = 0x44;
const EXT16: u8 = 0x45;
const EXT32: u8 = 0x46;
const FIX_ARRAY: u8 = 0x47;
const FIX_MAP: u8 = 0x48;
const ARRAY16: u8 = 0x49;
const ARRAY32: u8 = 0x4a;
const MAP16: u8 = 0x4b;
const MAP32: u8 = 0x4c;

const fn widths() -> [u8; 256] {
    let mut table = [1; 256];
    let mut marker = 0x80;
    while marker < 0xe0 {
        table[marker] = match marker {
            0x80..=0x8f => FIX_MAP,
            0x90..=0x9f => FIX_ARRAY,
            0xa0..=0xbf => 1 + (marker as u8 & 0x1f),
            0xc1 => RESERVED,
            0xc4 | 0xd9 => LEN8,
            0xc5 | 0xda => LEN16,
            0xc6 | 0xdb => LEN32,
            0xc7 => EXT8,
            0xc8 => EXT16,
            0xc9 => EXT32,
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            0xd4 => 3,
            0xd5 => 4,
            0xd6 => 6,
            0xd7 => 10,
            0xd8 => 18,
            0xdc => ARRAY16,
            0xdd => ARRAY32,
            0xde => MAP16,
            0xdf => MAP32,
            _ => 1,
        };
        marker += 1;
    }
    table
}

/// A header whose length depends on more than its first byte.
enum Long {
    /// str, bin or ext: `header` bytes, then `content` bytes.
    Bytes { header: usize, content: usize },
    /// array or map: `header` bytes, then so many elements (two for each pair of a map).
    Elements { header: usize, count: usize },
    /// The header itself is cut.
    Cut,
    /// `c1`.
    Reserved,
}

#[inline]
fn long(code: u8, marker: u8, behind: &[u8]) -> Long {
    let number = |width: usize| -> Option<usize> {
        match (width, behind) {
            (1, [a, ..]) => Some(usize::from(*a)),
            (2, [a, b, ..]) => Some(usize::from(u16::from_be_bytes([*a, *b]))),
            (4, [a, b, c, d, ..]) => Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
            _ => None,
        }
    };
    let bytes = |width: usize, kind: usize| match number(width) {
        Some(content) => Long::Bytes { header: 1 + width + kind, content },
        None => Long::Cut,
    };
    let elements = |width: usize, each: usize| match number(width) {
        Some(count) => Long::Elements { header: 1 + width, count: count.saturating_mul(each) },
        None => Long::Cut,
    };
    match code {
        LEN8 => bytes(1, 0),
        LEN16 => bytes(2, 0),
        LEN32 => bytes(4, 0),
        EXT8 => bytes(1, 1),
        EXT16 => bytes(2, 1),
        EXT32 => bytes(4, 1),
        FIX_ARRAY => Long::Elements { header: 1, count: usize::from(marker & 0x0f) },
        FIX_MAP => Long::Elements { header: 1, count: usize::from(marker & 0x0f) * 2 },
        ARRAY16 => elements(2, 1),
        ARRAY32 => elements(4, 1),
        MAP16 => elements(2, 2),
        MAP32 => elements(4, 2),
        _ => Long::Reserved,
    }
}
