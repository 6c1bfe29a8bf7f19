//! Open files: how many the process may have, and how many of them connections may take.
//!
//! A process at its limit cannot open a segment of the journal, a certificate, or a connection to Log Service: peers that
//! only connect would stop delivery. So the soft limit, often 1,024, is raised to the hard one, and all inputs together get
//! what the rest of the gateway leaves, whatever their `max_connections`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the journal, the embedded Log Service, senders, and the 512 connections that each of two HTTP ports may have.
const RESERVED: usize = 1_280;
/// Enough for as many containers as a machine has, as a rule.
const FILES: usize = 1_024;
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

/// How many of `limit` open files all connections of inputs together may take, where inputs that read files and FIFOs have
/// `held` of them open. A small limit is halved.
pub(super) fn for_connections(limit: usize, held: usize) -> usize {
    (limit - (RESERVED + held).min(limit / 2)).max(1)
}

/// How many of `limit` open files an input that reads the files or FIFOs of containers holds, as far as it can choose.
pub(super) fn for_files(limit: usize) -> usize {
    (limit / 16).clamp(16, FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(for_connections(20_000, 0), 18_720);
        assert_eq!(for_connections(20_000, 2 * for_files(20_000)), 16_672);
        assert_eq!(for_connections(1_024, for_files(1_024)), 512);
        assert_eq!(for_connections(0, for_files(0)), 1);
        assert_eq!((for_files(1_024), for_files(4_096)), (64, 256));
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.map_or(limit, |current| current as usize), limit);
        assert!(now.maximum.is_none_or(|maximum| maximum.min(MOST) <= limit as u64));
    }
}
