//! How a part of the gateway learns that it should end, how others wait for it, and what goes on without it.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// First `draining`: no new connections and no new bytes; who is in `tasks` finishes what it has. Then a deadline.
#[derive(Clone, Default)]
pub struct Stop {
    pub draining: CancellationToken,
    pub tasks: TaskTracker,
    /// Another process that goes on with connections whose peers would not notice their end.
    pub successor: Successor,
}

/// Where connections are passed on to, once there is somebody.
#[derive(Clone, Default)]
pub struct Successor(Arc<OnceLock<mpsc::Sender<Passed>>>);

/// A plain TCP connection between two messages, or with the beginning of one.
#[derive(Debug)]
pub struct Passed {
    /// The input's name in the configuration.
    pub input: String,
    pub peer: SocketAddr,
    pub stream: TcpStream,
    /// What was read and belongs to a message that is not complete.
    pub unread: Vec<u8>,
}

impl Successor {
    pub fn set(&self, connections: mpsc::Sender<Passed>) {
        // There is one at most.
        let _ = self.0.set(connections);
    }

    pub fn is_there(&self) -> bool {
        self.0.get().is_some()
    }

    /// False when nobody takes it any more.
    pub async fn pass(&self, passed: Passed) -> bool {
        match self.0.get() {
            Some(connections) => connections.send(passed).await.is_ok(),
            None => false,
        }
    }
}
