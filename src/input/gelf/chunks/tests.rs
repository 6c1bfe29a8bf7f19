use super::*;
use proptest::prelude::*;

const BOUNDS: Bounds =
    Bounds { messages: 8, bytes: 1_000, message_bytes: 400, timeout: Duration::from_secs(5) };

fn sender(host: u8) -> Option<SocketAddr> {
    Some(SocketAddr::from(([192, 0, 2, host], 9_000)))
}

fn chunk(id: u64, number: u8, count: u8, part: &[u8]) -> Vec<u8> {
    [&MAGIC, &id.to_be_bytes()[..], &[number, count], part].concat()
}

struct Table {
    chunks: Chunks,
    now: Instant,
    whole: Vec<u8>,
}

impl Table {
    fn new(bounds: Bounds) -> Table {
        Table { chunks: Chunks::new(bounds), now: Instant::now(), whole: Vec::new() }
    }

    fn add(&mut self, host: u8, datagram: &[u8]) -> Taken {
        let taken = self.chunks.add(sender(host), datagram, self.now, &mut self.whole);
        let (messages, bytes) = self.chunks.held();
        let bounds = self.chunks.bounds;
        assert!(messages <= bounds.messages && bytes <= bounds.bytes, "{messages} messages, {bytes} bytes");
        let memory: usize = self.chunks.waiting.values().map(|message| message.bytes.capacity()).sum();
        assert_eq!(memory, bytes);
        assert_eq!(self.chunks.shares.len(), self.chunks.by_weight.len());
        let shared: usize = self.chunks.shares.values().map(|share| share.messages.len()).sum();
        assert_eq!(shared, messages);
        taken
    }
}

#[test]
fn chunks_come_in_any_order_and_more_than_once() {
    let mut table = Table::new(BOUNDS);
    assert_eq!(table.add(1, &chunk(7, 2, 4, b"cc")), Taken::Waiting);
    assert_eq!(table.add(1, &chunk(7, 0, 4, b"a")), Taken::Waiting);
    assert_eq!(table.add(1, &chunk(7, 0, 4, b"other")), Taken::Again);
    // The same id of another sender is another message.
    assert_eq!(table.add(2, &chunk(7, 1, 4, b"xx")), Taken::Waiting);
    // Docker's last chunk has no text where the message's length is a multiple of a chunk's.
    assert_eq!(table.add(1, &chunk(7, 3, 4, b"")), Taken::Waiting);
    assert_eq!(table.add(1, &chunk(7, 1, 4, b"bbb")), Taken::Complete);
    assert_eq!(table.whole, b"abbbcc");
    assert_eq!(table.add(1, &chunk(7, 1, 4, b"bbb")), Taken::Again, "late, of a message that is done");
    assert_eq!(table.add(1, &chunk(8, 0, 1, b"alone")), Taken::Complete);
    assert_eq!(table.whole, b"alone");
    assert_eq!(table.chunks.held().0, 1);
}

#[test]
fn chunks_that_are_none_change_nothing() {
    let mut table = Table::new(BOUNDS);
    assert_eq!(table.add(1, &chunk(7, 0, 2, b"a")), Taken::Waiting);
    for datagram in [
        MAGIC.to_vec(),
        chunk(7, 0, 2, b"")[..11].to_vec(),
        chunk(7, 1, 3, b"another count"),
        chunk(7, 2, 2, b"behind the end"),
        chunk(8, 0, 0, b"no chunks"),
        chunk(8, 128, 129, b"too many"),
    ] {
        assert_eq!(table.add(1, &datagram), Taken::Invalid, "{datagram:?}");
    }
    assert_eq!(table.add(1, &chunk(7, 1, 2, b"b")), Taken::Complete);
    assert_eq!(table.whole, b"ab");
}

#[test]
fn a_message_that_is_too_long_is_given_up_once() {
    let mut table = Table::new(BOUNDS);
    assert_eq!(table.add(1, &chunk(7, 0, 3, &[b'a'; 300])), Taken::Waiting);
    assert_eq!(table.add(1, &chunk(7, 1, 3, &[b'a'; 101])), Taken::TooLong);
    assert_eq!(table.add(1, &chunk(7, 2, 3, &[b'a'; 101])), Taken::Again);
    assert_eq!(table.add(1, &chunk(8, 0, 1, &[b'a'; 401])), Taken::TooLong);
    assert_eq!((table.chunks.held(), table.chunks.expire(table.now)), ((0, 0), 0));
}

#[test]
fn what_waits_too_long_is_given_up() {
    let mut table = Table::new(BOUNDS);
    assert_eq!(table.add(1, &chunk(7, 0, 2, b"a")), Taken::Waiting);
    table.now += Duration::from_secs(3);
    assert_eq!(table.add(1, &chunk(8, 0, 2, b"a")), Taken::Waiting);
    assert_eq!(table.chunks.expire(table.now + Duration::from_secs(2)), 1);
    assert_eq!(table.add(1, &chunk(7, 1, 2, b"late")), Taken::Again);
    assert_eq!(table.add(1, &chunk(8, 1, 2, b"b")), Taken::Complete);
    assert_eq!(table.chunks.expire(table.now + Duration::from_secs(60)), 0);
    assert!(table.chunks.closed.is_empty() && table.chunks.shares.is_empty());
}

#[test]
fn a_flood_displaces_its_own_messages() {
    let mut table = Table::new(BOUNDS);
    for id in 0..1_000 {
        assert_eq!(table.add(1, &chunk(id, 0, 2, b"never complete")), Taken::Waiting);
        if id == 500 {
            assert_eq!(table.add(2, &chunk(1, 1, 2, b"b")), Taken::Waiting);
            assert_eq!(table.add(3, &chunk(1, 1, 2, b"d")), Taken::Waiting);
        }
    }
    assert_eq!(table.add(2, &chunk(1, 0, 2, b"a")), Taken::Complete);
    assert_eq!(table.add(3, &chunk(1, 0, 2, b"c")), Taken::Complete);
    assert_eq!(table.chunks.take_displaced(), 1_000 - 6);
}

#[test]
fn large_chunks_displace_as_small_ones_do() {
    let mut table = Table::new(BOUNDS);
    assert_eq!(table.add(2, &chunk(1, 1, 2, b"b")), Taken::Waiting);
    for id in 0..100 {
        assert_eq!(table.add(1, &chunk(id, 0, 2, &[b'a'; 400])), Taken::Waiting);
    }
    assert_eq!(table.chunks.held(), (3, 801));
    assert_eq!(table.add(2, &chunk(1, 0, 2, b"a")), Taken::Complete);
    let mut small = Table::new(Bounds { bytes: 100, ..BOUNDS });
    assert_eq!(small.add(1, &chunk(1, 0, 2, &[b'a'; 101])), Taken::Displaced);
    assert_eq!((small.chunks.held(), small.chunks.take_displaced()), ((0, 0), 1));
}

#[test]
fn who_alone_fills_the_table_loses_a_message_and_not_the_table() {
    let mut table = Table::new(Bounds { message_bytes: 2_000, ..BOUNDS });
    assert_eq!(table.add(1, &chunk(1, 0, 3, &[b'a'; 600])), Taken::Waiting);
    assert_eq!(table.add(1, &chunk(1, 1, 3, &[b'a'; 600])), Taken::Displaced);
    assert_eq!(table.add(1, &chunk(1, 2, 3, &[b'a'; 600])), Taken::Again);
    assert_eq!(table.chunks.take_displaced(), 1);
    assert_eq!(table.add(1, &chunk(2, 0, 1, b"next")), Taken::Complete);
}

proptest! {
    /// Whatever comes, the bounds hold, and a message that completes is the one that was cut.
    #[test]
    fn any_sequence_stays_in_bounds(
        steps in prop::collection::vec((1u8..4, 0u64..12, 0u8..6, 1u8..6, 0usize..200, 0u64..3), 1..300),
    ) {
        let mut table = Table::new(BOUNDS);
        for (host, id, number, count, len, wait) in steps {
            let part = vec![b'0' + number; len];
            if table.add(host, &chunk(id, number, count, &part)) == Taken::Complete {
                prop_assert!(table.whole.is_sorted());
            }
            table.now += Duration::from_secs(wait);
            table.chunks.expire(table.now);
        }
        table.chunks.expire(table.now + Duration::from_secs(60));
        prop_assert_eq!(table.chunks.held(), (0, 0));
        prop_assert!(table.chunks.shares.is_empty() && table.chunks.by_weight.is_empty());
        table.chunks.expire(table.now + Duration::from_secs(120));
        prop_assert!(table.chunks.closed.is_empty() && table.chunks.closed_order.is_empty());
    }
}
