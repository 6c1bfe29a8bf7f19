//! Accepting stream connections, up to the point where an input's own protocol begins.
//!
//! ```text
//! accept -> permit, slot of the peer -> task: [PROXY header] -> [first byte: TLS or plain] -> [TLS] -> serve
//!                                             `----------- one deadline for all of it, ---------'
//!                                                  what is left of it goes to `serve`
//! ```
//!
//! One loop per listening address ([`Gate::listen`]), with patience when the process is out of descriptors; what all
//! addresses of an input share is its [`Gate`]: the bounds on connections in all and per peer, TLS, and the counts of
//! what goes wrong. Nothing a peer does holds the loop: all waiting for its bytes is in the connection's own task. What
//! a connection carries is its input's business.
//!
//! TLS handshakes are not limited in number: what one costs is one signature, made at one point without waiting, so the
//! workers make as many at once as there are of them; and a permit held while the peer is waited for would let a few
//! slow ones lock out all others.

mod faults;
mod halves;
mod peers;
mod prelude;
pub mod proxy;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use halves::{ReadSide, ShutRead, WriteSide};
pub(in crate::input) use socket::label;
pub use socket::{Outlive, Socket, SocketFile};
pub use stream::{Connection, Peer, Stream};

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::base::shutdown::{Passed, Stop};
use crate::base::tls::{ServerTls, TlsError};
use crate::config::leaf::Network;
use crate::config::plan::{ConnectionsPlan, ForwardPlan, TlsPlan};
use faults::Faults;
use peers::{Peers, Slot};
use socket::Accepted;

/// After a failed accept (mostly: too many open files) the loop rests, or it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One line so often about connections that a bound turns away, and about accepts that fail.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What an input asks of its connections.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// For TCP; Unix sockets stay plain.
    pub tls: Option<TlsPlan>,
    /// Peers that must send a PROXY header first.
    pub proxies: Vec<Network>,
    pub max_connections: usize,
    /// The open files that the connections of all inputs together may take; `None`: nobody counts.
    pub all: Option<Arc<Semaphore>>,
    pub max_connections_per_peer: Option<usize>,
    pub outlive: Outlive,
    /// For everything before the input's own messages.
    pub handshake_timeout: Duration,
    /// The input's protocol begins with a message of ours: a peer may wait for it in silence.
    pub speaks_first: bool,
}

impl From<&ConnectionsPlan> for GateSettings {
    fn from(plan: &ConnectionsPlan) -> Self {
        GateSettings {
            tls: plan.tls.clone(),
            proxies: plan.proxy_protocol.clone(),
            max_connections: plan.max_connections,
            all: None,
            max_connections_per_peer: plan.max_connections_per_peer,
            outlive: Outlive::default(),
            handshake_timeout: plan.handshake_timeout,
            speaks_first: false,
        }
    }
}

impl From<&ForwardPlan> for GateSettings {
    fn from(plan: &ForwardPlan) -> Self {
        GateSettings { speaks_first: plan.security.is_some(), ..GateSettings::from(&plan.connections) }
    }
}

/// What all addresses of one input share.
pub struct Gate {
    input: Arc<str>,
    settings: GateSettings,
    tls: Option<Arc<ServerTls>>,
    permits: Arc<Semaphore>,
    peers: Arc<Peers>,
    faults: Faults,
    accepted: Counter,
    full: Refusals,
    all_full: Refusals,
    peer_full: Refusals,
    open: Gauge,
    failing: LogLimit,
}

/// Connections turned away for one reason.
struct Refusals {
    count: Counter,
    limit: LogLimit,
}

impl Refusals {
    fn new(input: &str, reason: &str) -> Refusals {
        Refusals {
            count: counter(
                "sluicegate_connections_refused_total",
                "Connections closed at once because a bound was reached, by the bound.",
                &[("input", input), ("reason", reason)],
            ),
            limit: LogLimit::new(SAY_EVERY),
        }
    }

    fn count(&self) -> Option<u64> {
        self.count.increment(1);
        self.limit.allow()
    }
}

/// One connection in the gauge of open ones.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Open {
        gauge.increment(1.0);
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Gate {
    /// Reads the TLS files, so it blocks for a moment.
    pub fn new(input: &str, settings: GateSettings) -> Result<Gate, TlsError> {
        let tls = settings.tls.as_ref().map(ServerTls::load).transpose()?.map(Arc::new);
        let labels = [("input", input)];
        Ok(Gate {
            input: input.into(),
            tls,
            permits: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            peers: Arc::new(Peers::new(settings.max_connections_per_peer)),
            faults: Faults::new(input),
            accepted: counter("sluicegate_connections_total", "Connections accepted.", &labels),
            full: Refusals::new(input, "max_connections"),
            all_full: Refusals::new(input, "open_files"),
            peer_full: Refusals::new(input, "max_connections_per_peer"),
            open: gauge("sluicegate_connections_open", "Connections open now.", &labels),
            failing: LogLimit::new(SAY_EVERY),
            settings,
        })
    }

    /// The TLS side, for who watches its files.
    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        self.tls.as_ref()
    }

    /// Accepts on one address until the input drains. `serve` makes the future that owns a connection.
    pub async fn listen<F, S>(self: Arc<Self>, socket: Socket, stop: Stop, serve: S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.draining.cancelled() => return self.end(socket, &stop, &serve),
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => self.clone().admit(accepted, &stop, &serve),
                Err(error) => {
                    self.failed(&socket, &error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes those in whom the kernel has let in already: they may have said all they have to say, and gone. Where the
    /// socket outlives us they wait for the next one.
    fn end<F, S>(self: Arc<Self>, socket: Socket, stop: &Stop, serve: &S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    {
        if !self.settings.outlive.is_set() {
            socket
                .last_of_backlog()
                .into_iter()
                .for_each(|accepted| self.clone().admit(accepted, stop, serve));
        }
    }

    fn failed(&self, socket: &Socket, error: &io::Error) {
        if !is_peers_fault(error)
            && let Some(suppressed) = self.failing.allow()
        {
            tracing::warn!(input = %self.input, address = %socket, suppressed,
                "cannot accept a connection: {error}; raise the limit of open files if that is what is missing");
        }
    }

    /// Goes on with a connection that another process had. One that cannot be had is closed, as it would have been there.
    pub fn adopt<F, S>(self: Arc<Self>, passed: Passed, stop: &Stop, serve: &S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    {
        let Passed { peer, stream, unread, .. } = passed;
        match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => {
                self.admit(Accepted::Passed(stream, peer, BytesMut::from(&unread[..])), stop, serve)
            }
            Err(error) => {
                tracing::warn!(input = %self.input, %peer, "a connection that was passed on is lost: {error}")
            }
        }
    }

    /// Gives a connection its permits and a task.
    fn admit<F, S>(self: Arc<Self>, accepted: Accepted, stop: &Stop, serve: &S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            if let Some(suppressed) = self.full.count() {
                tracing::warn!(input = %self.input, peer = %accepted.label(), suppressed,
                    "connection closed: max_connections of inputs.{} is reached", self.input);
            }
            return;
        };
        let Ok(file) = self.settings.all.clone().map(Semaphore::try_acquire_owned).transpose() else {
            if let Some(suppressed) = self.all_full.count() {
                tracing::warn!(input = %self.input, peer = %accepted.label(), suppressed,
                    "connection closed: all inputs have as many connections as the limit of open files leaves them; raise \
                     it (ulimit -n), or lower max_connections of inputs.{}", self.input);
            }
            return;
        };
        let deadline = Instant::now() + self.settings.handshake_timeout;
        let slot = match accepted.address() {
            // A proxy stands for many peers: each is counted once its header has named it.
            Some(address) if !self.is_proxy(address) => match self.enter(address) {
                Some(slot) => slot,
                None => return,
            },
            _ => Slot::default(),
        };
        accepted.tune();
        self.accepted.increment(1);
        let open = Open::new(&self.open);
        let (serve, draining) = (serve.clone(), stop.draining.clone());
        stop.tasks.spawn(async move {
            // Boxed, so that what a handshake needs is given back when it is done.
            let prepared = tokio::select! {
                biased;
                prepared = Box::pin(self.prepare(accepted, slot, deadline)) => prepared,
                () = draining.cancelled() => None,
            };
            drop(self);
            if let Some(prepared) = prepared {
                serve(prepared.connection).await;
                drop(prepared.slot);
            }
            drop((open, permit, file));
        });
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
