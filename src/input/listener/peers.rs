//! How many connections each peer has. An address is in the map only while it has one, so the bound on connections
//! bounds the map.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct Peers {
    limit: Option<usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a peer, where somebody counts. Dropping it makes room for another.
#[derive(Default)]
pub(super) struct Slot(Option<(Arc<Peers>, IpAddr)>);

/// The peer has as many connections as it may.
#[derive(Debug)]
pub(super) struct Full;

impl Peers {
    pub(super) fn new(limit: Option<usize>) -> Peers {
        Peers { limit, counts: Mutex::default() }
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        let Some(limit) = self.limit else { return Ok(Slot::default()) };
        let address = address.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return Err(Full);
        }
        *count += 1;
        Ok(Slot(Some((self.clone(), address))))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((peers, address)) = &self.0 else { return };
        let mut counts = peers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_its_share_and_leaves_no_trace() {
        let peers = Arc::new(Peers::new(Some(2)));
        let enter = |address: &str| peers.enter(address.parse().unwrap());
        let (one, _two) = (enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_err());
        assert!(enter("192.0.2.2").is_ok());
        assert_eq!(peers.counts.lock().unwrap().len(), 1, "who left is forgotten");
        drop(one);
        assert!(enter("192.0.2.1").is_ok());
        let open = Arc::new(Peers::new(None));
        let _slot = open.enter("192.0.2.1".parse().unwrap()).unwrap();
        assert!(open.counts.lock().unwrap().is_empty(), "nobody counts");
    }
}
