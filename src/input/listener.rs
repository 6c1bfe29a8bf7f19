//! Accepting stream connections: one loop per listening address, a bound on connections, and patience when the process
//! is out of descriptors. What a connection carries is its input's business.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Gauge};
use crate::base::shutdown::Stop;

/// After a failed accept (mostly: too many open files) the loop rests, or it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct Listener {
    pub socket: TcpListener,
    pub address: SocketAddr,
    pub input: Arc<str>,
    pub permits: Arc<Semaphore>,
    pub accepted: Counter,
    pub refused: Counter,
    pub open: Gauge,
}

impl Listener {
    /// Accepts until the input drains. `serve` makes the future that owns a connection.
    pub async fn run<F: Future<Output = ()> + Send + 'static>(
        self,
        stop: Stop,
        serve: impl Fn(TcpStream, SocketAddr) -> F,
    ) {
        let full = LogLimit::new(Duration::from_secs(10));
        let failing = LogLimit::new(Duration::from_secs(10));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.draining.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !is_peers_fault(&error)
                        && let Some(suppressed) = failing.allow()
                    {
                        tracing::warn!(input = %self.input, address = %self.address, suppressed,
                            "cannot accept a connection: {error}; raise the limit of open files if that is what is missing");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = self.permits.clone().try_acquire_owned() else {
                self.refused.increment(1);
                if let Some(suppressed) = full.allow() {
                    tracing::warn!(input = %self.input, peer = %peer.ip(), suppressed,
                        "connection closed: max_connections of inputs.{} is reached", self.input);
                }
                continue;
            };
            // Acks are small and waited for.
            let _ = stream.set_nodelay(true);
            self.accepted.increment(1);
            let open = self.open.clone();
            open.increment(1.0);
            let connection = serve(stream, peer);
            stop.tasks.spawn(async move {
                connection.await;
                open.decrement(1.0);
                drop(permit);
            });
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
