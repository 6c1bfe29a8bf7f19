//! What the model does to the journal and to its disk.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Queue, stream and size of each append of one commit.
    Submit(Vec<(usize, u64, usize)>),
    /// A commit that appends one entry and settles the oldest live one of the queue.
    Join(usize, usize),
    Step(bool),
    /// Leases from a queue, then does something with the n-th leased entries.
    Lease(usize, usize),
    Settle(usize, usize),
    Unlease(usize),
    Seal(usize),
    SettleSeal(usize),
    /// The members of a seal one by one, the last few of them not at all.
    SettleParts(usize, usize),
    Evict(usize, u64),
    FailSync(u32),
    Full(Option<usize>),
    Short(bool),
    Crash(u64),
    Damage(u64),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let append = (0..4usize, 0..3u64, prop_oneof![0..40usize, 300..1500usize, 4000..6000usize]);
    prop_oneof![
        8 => prop::collection::vec(append, 1..4).prop_map(Op::Submit),
        3 => (0..4usize, 0..900usize).prop_map(|(queue, size)| Op::Join(queue, size)),
        8 => any::<bool>().prop_map(Op::Step),
        5 => (0..4usize, 0..6000usize).prop_map(|(queue, bytes)| Op::Lease(queue, bytes)),
        5 => (0..4usize, 0..8usize).prop_map(|(queue, nth)| Op::Settle(queue, nth)),
        1 => (0..4usize).prop_map(Op::Unlease),
        4 => (0..4usize).prop_map(Op::Seal),
        2 => (0..4usize).prop_map(Op::SettleSeal),
        1 => (0..4usize, 0..3usize).prop_map(|(queue, rest)| Op::SettleParts(queue, rest)),
        1 => (0..4usize, 1..4000u64).prop_map(|(queue, bytes)| Op::Evict(queue, bytes)),
        1 => (1..4u32).prop_map(Op::FailSync),
        1 => prop_oneof![Just(None), (0..30_000usize).prop_map(Some)].prop_map(Op::Full),
        1 => any::<bool>().prop_map(Op::Short),
        2 => any::<u64>().prop_map(Op::Crash),
        1 => any::<u64>().prop_map(Op::Damage),
    ]
}
