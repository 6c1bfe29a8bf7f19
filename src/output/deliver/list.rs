//! Several small LogGroups in one request (`x-log-mode: batch_group`), each with its own pack id.
//!
//! A list is accepted or refused as a whole; a refused one is sent again as single LogGroups, which are judged alone. A
//! service that says it knows no lists, or that has refused three in a row of which it then took every LogGroup, gets
//! none until the next start.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use super::attempt::{Fault, Post};
use super::{Delivery, Load, Outcome};
use crate::output::concurrency::Strain;
use crate::wire::errors::Verdict;
use crate::wire::loggroup::list::{self, Package};

/// Lists that are refused one behind the other before there are no more.
const REFUSED: u32 = 3;
/// What a service that does not know lists says.
const UNKNOWN: &[&str] =
    &["NotSupported", "NotImplemented", "ParameterInvalid", "InvalidParameter", "MissingParameter"];

/// Whether a destination takes lists.
#[derive(Debug)]
pub struct Lists {
    /// Lists refused in a row.
    refused: AtomicU32,
}

impl Lists {
    pub fn new(wanted: bool) -> Lists {
        Lists { refused: AtomicU32::new(if wanted { 0 } else { REFUSED }) }
    }

    fn are_taken(&self) -> bool {
        self.refused.load(Ordering::Relaxed) < REFUSED
    }

    /// True when this was the last list.
    fn refuse(&self, for_good: bool) -> bool {
        let before = self.refused.fetch_add(if for_good { REFUSED } else { 1 }, Ordering::Relaxed);
        before < REFUSED && (for_good || before + 1 >= REFUSED)
    }

    fn accept(&self) {
        // One that was under way beside a refusal for good proves nothing.
        let _ = self
            .refused
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |refused| (refused < REFUSED).then_some(0));
    }
}

impl Delivery {
    /// Whether LogGroups may be sent as lists now.
    pub fn takes_lists(&self) -> bool {
        self.lists.are_taken()
    }

    /// Sends LogGroups, with their numbers of records, in one request; where that is refused, one by one. Says of each,
    /// by its place, when it is accepted or a dead letter.
    pub async fn deliver_list(&self, loads: Vec<(Load, usize)>, mut done: impl FnMut(usize)) {
        let fault = match self.send_list(&loads).await {
            Ok(()) => {
                self.lists.accept();
                for (at, (load, records)) in loads.iter().enumerate() {
                    self.count(*records, load.raw_len());
                    done(at);
                }
                return;
            }
            Err(fault) => fault,
        };
        let unknown = UNKNOWN.contains(&fault.code.as_str());
        if unknown {
            self.refuse_lists(true);
        }
        let mut all_taken = true;
        for (at, (load, records)) in loads.into_iter().enumerate() {
            all_taken &= self.deliver(load, records, None).await;
            done(at);
        }
        // Otherwise it was refused for what is in it, which may have been mended: times are.
        if all_taken && !unknown && !fault.is_about_times() {
            self.refuse_lists(false);
        }
    }

    async fn send_list(&self, loads: &[(Load, usize)]) -> Result<(), Fault> {
        let (mut body, mut raw_len) = (Vec::new(), 0);
        for (load, _) in loads {
            let data = load
                .compressed(self.compression)
                .map_err(|error| Fault::new(Verdict::Refuse, Strain::Unsent, error.to_string()))?;
            list::put(&mut body, &Package { data: &data, raw_size: load.raw_len(), kind: self.compression });
            raw_len += load.raw_len();
        }
        let post =
            Post { declared: body.len(), body: Bytes::from(body), raw_len, bucket: None, is_list: true };
        match self.send(&post).await {
            Outcome::Accepted => Ok(()),
            Outcome::Halve(fault) | Outcome::Refused(fault) => Err(fault),
        }
    }

    fn refuse_lists(&self, for_good: bool) {
        if self.lists.refuse(for_good) {
            tracing::info!(destination = %self.label, "LogGroups are sent one by one from now on: the service takes no lists of them");
        }
    }
}

/// What a list is refused for although a single LogGroup would be tried again: the answer may be about the list.
pub(super) fn is_refusal(fault: &Fault) -> bool {
    match fault.verdict {
        Verdict::Refuse | Verdict::Split | Verdict::RetryFew => true,
        Verdict::RetryNow => fault.is_about_times(),
        Verdict::Configuration => fault.strain == Strain::Other && UNKNOWN.contains(&fault.code.as_str()),
        Verdict::RetrySoon | Verdict::Throttle | Verdict::Credentials => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_refusals_in_a_row_end_the_lists() {
        let lists = Lists::new(true);
        assert!(!lists.refuse(false) && !lists.refuse(false));
        lists.accept();
        assert!(!lists.refuse(false) && !lists.refuse(false) && lists.are_taken());
        assert!(lists.refuse(false));
        assert!(!lists.are_taken());
        lists.accept();
        assert!(!lists.are_taken() && !lists.refuse(false), "for good, and said once");
        let lists = Lists::new(true);
        assert!(lists.refuse(true) && !lists.are_taken());
        assert!(!Lists::new(false).are_taken());
    }
}
