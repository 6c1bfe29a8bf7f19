//! Answers UDP heartbeats, by which Fluentd's out_forward (`heartbeat_type udp`) and Fluency find out whether we live.
//!
//! A datagram of at most one byte (Fluentd sends `00`, Fluency nothing) is answered with one byte `00` from the address
//! and port it was sent to, since Fluentd takes no answer from elsewhere: on a socket of every interface the kernel is
//! asked for that address and told it again. Larger datagrams are none of ours: ignored and counted. An answer is never
//! larger than a smallest datagram with its headers, so nobody gains by asking in another's name. One at a time, and an
//! answer the kernel has no room for is not sent: heartbeats come again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};

/// After a failed receive the loop rests, or it might spin.
const PAUSE: Duration = Duration::from_millis(100);
const ANSWER: &[u8] = &[0];

/// The UDP side of one TCP address of an input.
pub struct Heartbeat {
    socket: UdpSocket,
    input: Arc<str>,
    answered: Counter,
    ignored: Counter,
    failing: LogLimit,
}

impl Heartbeat {
    pub fn new(input: &str, socket: UdpSocket) -> Heartbeat {
        let count = |outcome| {
            counter(
                "sluicegate_heartbeats_total",
                "Datagrams at the heartbeat ports, by what became of them.",
                &[("input", input), ("outcome", outcome)],
            )
        };
        Heartbeat {
            socket,
            input: input.into(),
            answered: count("answered"),
            ignored: count("ignored"),
            failing: LogLimit::new(Duration::from_secs(10)),
        }
    }

    /// Answers until the input drains.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let answered = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                answered = self.answer() => answered,
            };
            if let Err(error) = answered {
                if let Some(suppressed) = self.failing.allow() {
                    tracing::warn!(input = %self.input, suppressed, "UDP heartbeats cannot be received: {error}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn answer(&self) -> io::Result<()> {
        // One byte more than a heartbeat has: what fills it is none.
        let mut datagram = [0; 2];
        let (len, peer) = match self.socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            // An earlier answer met a closed port.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(error),
        };
        if len > 1 {
            self.ignored.increment(1);
            return Ok(());
        }
        if self.socket.try_send_to(ANSWER, peer).is_ok() {
            self.answered.increment(1);
        }
        Ok(())
    }
}
