//! The peers of a datagram socket: each has its own batcher, since its records are a series of their own and carry its
//! address. Anybody can send in any name, so there is a bound: who has been silent longest makes way.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::peer::{Peer, Taken};

/// Peers that are remembered.
const PEERS: usize = 1024;

#[derive(Default)]
pub(super) struct Peers {
    places: Vec<Place>,
    /// Unix peers have no address and are one.
    by_address: HashMap<Option<IpAddr>, usize>,
}

struct Place {
    peer: Peer,
    address: Option<IpAddr>,
    /// The round it was in last.
    round: u64,
}

impl Peers {
    /// The place of who sent a datagram, and whether it is met for the first time in this round. What a peer that makes way
    /// has in hand is stored into `taken`.
    pub(super) fn find(
        &mut self,
        sender: Option<SocketAddr>,
        round: u64,
        taken: &mut Taken,
        make: impl FnOnce() -> Peer,
    ) -> (usize, bool) {
        let address = sender.map(|sender| sender.ip().to_canonical());
        if let Some(&at) = self.by_address.get(&address) {
            let place = &mut self.places[at];
            place.peer.sender.address = sender;
            return (at, std::mem::replace(&mut place.round, round) != round);
        }
        let place = Place { peer: make(), address, round };
        let at = if self.places.len() < PEERS {
            self.places.push(place);
            self.places.len() - 1
        } else {
            let oldest = self.places.iter().enumerate().min_by_key(|(_, place)| place.round);
            let at = oldest.map_or(0, |(at, _)| at);
            let mut gone = std::mem::replace(&mut self.places[at], place);
            gone.peer.store(taken);
            self.by_address.remove(&gone.address);
            at
        };
        self.by_address.insert(address, at);
        (at, true)
    }

    pub(super) fn at(&mut self, at: usize) -> &mut Peer {
        &mut self.places[at].peer
    }

    /// Gives large buffers back while nothing comes.
    pub(super) fn rest(&mut self) {
        self.places.iter_mut().for_each(|place| place.peer.batcher.rest());
    }
}
