//! The names of peers, by reverse look-up, without ever making anybody wait.
//!
//! [`Resolver::name`] answers at once from what is known and, where nothing is or it is old, starts a look-up in the
//! background: the records of a peer's first moments go without its name. An old name is given until the new one is
//! there. Bounded in every way: addresses known ([`KNOWN`]), look-ups at once ([`AT_ONCE`]) and waiting ([`WAITING`]);
//! beyond them a peer has no name and is asked for again later.
//!
//! A name is what the owner of the address wrote into its zone: it is cleaned of what no host name has, and proves
//! nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Addresses remembered, in two halves: a full one replaces the older.
const KNOWN: usize = 10_000;
const NAME_KEEPS: Duration = Duration::from_secs(5 * 60);
const NO_NAME_KEEPS: Duration = Duration::from_secs(60);
/// A look-up holds a thread for seconds when the name server is away.
const AT_ONCE: usize = 4;
const WAITING: usize = 256;
/// Characters of a host name, by RFC 1035.
const NAME_BYTES: usize = 253;

type LookUp = dyn Fn(IpAddr) -> Option<String> + Send + Sync;

#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    look_up: Box<LookUp>,
    cache: Mutex<Cache>,
    permits: Semaphore,
}

#[derive(Default)]
struct Cache {
    recent: HashMap<IpAddr, Known>,
    older: HashMap<IpAddr, Known>,
    /// Look-ups under way or waiting.
    under_way: usize,
}

#[derive(Clone)]
struct Known {
    name: Option<Arc<str>>,
    until: Instant,
    /// A look-up for it is under way or waits.
    asked: bool,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver::new(|address| dns_lookup::lookup_addr(&address).ok())
    }
}

impl Resolver {
    /// With another way to look names up than the system's; it may block.
    fn new(look_up: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static) -> Resolver {
        let inner =
            Inner { look_up: Box::new(look_up), cache: Mutex::default(), permits: Semaphore::new(AT_ONCE) };
        Resolver { inner: Arc::new(inner) }
    }

    /// The name of a peer as far as it is known. Never waits. Asks only within a tokio runtime.
    pub fn name(&self, address: IpAddr) -> Option<Arc<str>> {
        let address = address.to_canonical();
        let mut cache = self.inner.cache();
        let now = Instant::now();
        let known = cache.get(address).cloned();
        let name = known.as_ref().and_then(|known| known.name.clone());
        if known.is_some_and(|known| known.asked || known.until > now) || cache.under_way >= WAITING {
            return name;
        }
        let Ok(runtime) = Handle::try_current() else { return name };
        cache.under_way += 1;
        cache.put(address, Known { name: name.clone(), until: now, asked: true });
        drop(cache);
        runtime.spawn(self.clone().ask(address));
        name
    }

    async fn ask(self, address: IpAddr) {
        // The semaphore is never closed.
        let permit = self.inner.permits.acquire().await;
        let inner = self.inner.clone();
        // A panic inside counts as no name.
        let found = tokio::task::spawn_blocking(move || (inner.look_up)(address)).await.ok().flatten();
        drop(permit);
        // The resolver gives the address itself where it has no name.
        let name = found.and_then(clean).filter(|name| name.parse::<IpAddr>().is_err()).map(Arc::from);
        let keeps = if name.is_some() { NAME_KEEPS } else { NO_NAME_KEEPS };
        let mut cache = self.inner.cache();
        cache.under_way -= 1;
        cache.put(address, Known { name, until: Instant::now() + keeps, asked: false });
    }
}

impl Inner {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn get(&self, address: IpAddr) -> Option<&Known> {
        self.recent.get(&address).or_else(|| self.older.get(&address))
    }

    fn put(&mut self, address: IpAddr, known: Known) {
        if self.recent.len() >= KNOWN / 2 && !self.recent.contains_key(&address) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(address, known);
    }
}

/// A host name without its final dot; `None` for what is none.
fn clean(name: String) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(&name);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let sound = !name.is_empty() && name.len() <= NAME_BYTES && name.bytes().all(fits);
    sound.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn peer(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn a_name_is_there_soon_and_asked_for_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let resolver = Resolver::new(move |address| {
            counter.fetch_add(1, Ordering::SeqCst);
            (address == peer(1)).then(|| "web.example.org.".to_owned())
        });
        assert_eq!(resolver.name(peer(1)), None);
        assert_eq!(resolver.name(peer(2)), None);
        until(|| resolver.name(peer(1)).is_some()).await;
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(resolver.name(mapped).as_deref(), Some("web.example.org"));
        until(|| resolver.inner.cache().under_way == 0).await;
        assert_eq!(resolver.name(peer(2)), None);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "having no name is remembered too");
    }

    #[tokio::test]
    async fn an_old_name_stands_until_the_new_one_is_there() {
        let names = Mutex::new(vec!["new", "old"]);
        let resolver = Resolver::new(move |_| names.lock().unwrap().pop().map(str::to_owned));
        resolver.name(peer(1));
        until(|| resolver.name(peer(1)).is_some()).await;
        if let Some(known) = resolver.inner.cache().recent.get_mut(&peer(1)) {
            known.until = Instant::now();
        }
        assert_eq!(resolver.name(peer(1)).as_deref(), Some("old"));
        until(|| resolver.name(peer(1)).as_deref() == Some("new")).await;
    }

    #[tokio::test]
    async fn a_name_server_that_hangs_holds_up_nobody_and_is_not_flooded() {
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(0);
        let (gate, running) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let most = running.clone();
        let resolver = Resolver::new(move |_| {
            running.fetch_add(1, Ordering::SeqCst);
            // Ends when the test lets the other side go.
            let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
            None
        });
        for number in 0..2_000 {
            assert_eq!(resolver.name(peer(number)), None);
        }
        assert_eq!(resolver.inner.cache().under_way, WAITING);
        until(|| most.load(Ordering::SeqCst) >= AT_ONCE).await;
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        drop(open);
        until(|| resolver.inner.cache().under_way == 0).await;
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut cache = Cache::default();
        for number in 0..3 * KNOWN as u32 {
            cache.put(peer(number), Known { name: None, until: Instant::now(), asked: false });
        }
        assert!(cache.recent.len() + cache.older.len() <= KNOWN);
        assert!(cache.get(peer(3 * KNOWN as u32 - 1)).is_some());
    }

    #[test]
    fn what_no_host_is_called_is_no_name() {
        assert_eq!(clean("a-b_c.example.".to_owned()).as_deref(), Some("a-b_c.example"));
        for name in ["", ".", "a b", "a\nb", "\u{e9}.example", &"a".repeat(254)] {
            assert!(clean(name.to_owned()).is_none(), "{name:?}");
        }
    }
}
