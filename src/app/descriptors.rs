//! Open files: how many the process may have, and how many of them connections may take.
//!
//! A process at its limit cannot open a segment of the journal, a certificate, or a connection to Log Service: peers that
//! only connect would stop delivery. So the soft limit, often 1,024, is raised to the hard one, and where that is
//! less than all inputs' `max_connections`, they share what the rest of the gateway leaves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the journal, the embedded Log Service, senders, and the 512 connections that each of two HTTP ports may have.
const RESERVED: usize = 1_280;
/// More than any gateway needs; "unlimited" is a number after all.
const MOST: u64 = 4_000_000;

/// Raises the limit as far as this user may, and gives what it is then.
pub(super) fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST);
    let before = current.unwrap_or(MOST);
    let raised =
        wanted > before && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    usize::try_from(if raised { wanted } else { before }).unwrap_or(usize::MAX)
}

/// What each input may take of `limit` open files, when it wants so many connections. A small limit is halved.
pub(super) fn share(limit: usize, wanted: &[usize]) -> Vec<usize> {
    let room = limit - RESERVED.min(limit / 2);
    let total: usize = wanted.iter().sum();
    let part = |wanted: &usize| {
        if total <= room { *wanted } else { (wanted.saturating_mul(room) / total).max(1) }
    };
    wanted.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(share(20_000, &[10_000, 500]), [10_000, 500], "there is enough");
        assert_eq!(share(4_096, &[10_000]), [2_816]);
        assert_eq!(share(4_096, &[3_000, 1_000]), [2_112, 704]);
        assert_eq!(share(100, &[10_000]), [50]);
        assert_eq!(share(1_024, &[1_000_000, 1]), [511, 1]);
        assert!(share(0, &[1]).iter().all(|connections| *connections == 1));
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.map_or(limit, |current| current as usize), limit);
        assert!(now.maximum.is_none_or(|maximum| maximum.min(MOST) <= limit as u64));
    }
}
