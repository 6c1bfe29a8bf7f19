//! Who this gateway is at the moment: what machine groups know it by, and what marks its records.
//!
//! Names, addresses and the file of ids change under a process that runs. They are looked at again and again, and who waits
//! for a change is woken by one.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::host;
use crate::base::log_limit::LogLimit;
use crate::config::plan::{AgentPlan, CollectionPlan};

/// A file of ids is some lines.
const FILE_BYTES: u64 = 64 << 10;
/// Machine groups know a gateway by some ids, and each is asked for.
const IDS: usize = 100;
/// Addresses of bridges and of name servers, which every node has; Logtail leaves out the same.
const INNER: [&str; 3] = ["docker0", "kube-ipvs0", "nodelocaldns"];

/// What may change is looked at; the rest is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User-defined ids, each once, the configured ones first.
    pub ids: Vec<String>,
    pub hostname: String,
    /// Of this machine, the one that records carry first; none where it has its loopback alone.
    pub addresses: Vec<String>,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Looker {
    ids: Vec<String>,
    id_file: Option<PathBuf>,
    hostname: Option<String>,
    source: Option<String>,
    complaint: Arc<LogLimit>,
}

impl Looker {
    pub fn new(agent: &AgentPlan, collection: &CollectionPlan) -> Looker {
        Looker {
            ids: agent.user_defined_ids.clone(),
            id_file: collection.user_defined_id_file.clone(),
            hostname: agent.hostname.clone(),
            source: agent.source.clone(),
            complaint: Arc::new(LogLimit::new(Duration::from_secs(600))),
        }
    }

    /// Blocking. `before` stands for what cannot be looked at now.
    pub fn look(&self, before: Option<&Identity>) -> Identity {
        let mut ids = self.ids.clone();
        match self.id_file.as_deref().map(ids_of) {
            None => {}
            Some(Ok(more)) => ids.extend(more),
            Some(Err(error)) => {
                if let Some(path) = self.id_file.as_ref().filter(|_| self.complaint.allow().is_some()) {
                    tracing::warn!("{}: the ids in it stay as they were: {error}", path.display());
                }
                ids.extend(before.into_iter().flat_map(|before| before.ids.clone()));
            }
        }
        let mut seen = std::collections::HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        ids.truncate(IDS);
        let mut addresses: Vec<String> = self.source.iter().cloned().collect();
        addresses.extend(addresses_of_this_machine().into_iter().map(|address| address.to_string()));
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        Identity { ids, hostname: self.hostname.clone().unwrap_or_else(host::name), addresses }
    }

    /// Looks every `interval`, until it is stopped.
    pub async fn watch(
        self,
        interval: Duration,
        identity: watch::Sender<Arc<Identity>>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let (looker, before) = (self.clone(), identity.borrow().clone());
            // A mounted file may be on a network file system.
            let looked = tokio::task::spawn_blocking(move || looker.look(Some(&before))).await;
            if let Ok(now) = looked {
                identity.send_if_modified(|known| {
                    let is_new = **known != now;
                    if is_new {
                        tracing::info!(hostname = %now.hostname, ids = %now.ids.join(","),
                            addresses = %now.addresses.join(","), "this machine has another identity now");
                        *known = Arc::new(now);
                    }
                    is_new
                });
            }
        }
    }
}

/// One id a line. A file that is not there has none.
fn ids_of(path: &Path) -> std::io::Result<Vec<String>> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(FILE_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// Version 4 first, without loopback and link-local ones.
fn addresses_of_this_machine() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for interface in interfaces {
        let flags = interface.flags;
        let is_outer = flags.contains(InterfaceFlags::IFF_UP)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
            && !INNER.contains(&interface.interface_name.as_str());
        let Some(address) = interface.address.filter(|_| is_outer) else { continue };
        if let Some(address) = address.as_sockaddr_in() {
            four.push(IpAddr::V4(address.ip()));
        } else if let Some(address) = address.as_sockaddr_in6()
            && !address.ip().is_unicast_link_local()
        {
            six.push(IpAddr::V6(address.ip()));
        }
    }
    four.extend(six);
    four
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looker(id_file: Option<PathBuf>) -> Looker {
        Looker {
            ids: vec!["one".to_owned()],
            id_file,
            hostname: None,
            source: Some("10.0.0.9".to_owned()),
            complaint: Arc::new(LogLimit::new(Duration::ZERO)),
        }
    }

    #[test]
    fn the_file_adds_ids_and_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("user_defined_id");
        let looker = looker(Some(file.clone()));
        assert_eq!(looker.look(None).ids, ["one"], "it may come later");
        std::fs::write(&file, "two\r\n\n one \nthree").unwrap();
        let now = looker.look(None);
        assert_eq!(now.ids, ["one", "two", "three"]);
        assert_eq!((now.hostname, now.addresses[0].as_str()), (host::name(), "10.0.0.9"));
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        let before = Identity { ids: vec!["two".to_owned()], hostname: String::new(), addresses: Vec::new() };
        assert_eq!(looker.look(Some(&before)).ids, ["one", "two"], "what cannot be read changes nothing");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(looker.look(Some(&before)).ids, ["one"]);
    }

    #[test]
    fn no_address_is_a_loopback() {
        assert!(addresses_of_this_machine().iter().all(|address| !address.is_loopback()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ids");
        let looker = looker(Some(file.clone()));
        let (sender, mut identity) = watch::channel(Arc::new(looker.look(None)));
        let stop = CancellationToken::new();
        let watching = tokio::spawn(looker.watch(Duration::from_secs(20), sender, stop.clone()));
        std::fs::write(&file, "two").unwrap();
        identity.changed().await.unwrap();
        assert_eq!(identity.borrow_and_update().ids, ["one", "two"]);
        stop.cancel();
        watching.await.unwrap();
    }
}
