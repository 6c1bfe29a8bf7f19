//! How a part of the gateway learns that it should end, and how others wait for it.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// First `draining`: no new connections and no new bytes; who is in `tasks` finishes what it has. Then a deadline.
#[derive(Clone, Default)]
pub struct Stop {
    pub draining: CancellationToken,
    pub tasks: TaskTracker,
}
