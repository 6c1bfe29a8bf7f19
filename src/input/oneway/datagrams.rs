//! One datagram socket: its datagrams in rounds, one commit per peer and round.
//!
//! ```text
//! receive many -> round (at most about 256 KiB) -> Decoder::datagram -> Batcher of the peer -> Intake -> receipts
//!       ^                                                                                        |
//!       `---- stops while the window, the budget or a buffer is full: the kernel keeps, then drops and counts
//! ```
//!
//! A round is stored at once while the journal has and had nothing of this socket in hand, so a line on its own waits for
//! nobody. Otherwise the next round grows: the more comes, the fewer calls and commits a datagram costs. The kernel gathers,
//! too: while more is to be expected, an empty socket is left alone for a moment.
//!
//! UDP has nobody to slow down: what the kernel could not keep is counted and said. A Unix socket's writers wait. At a stop
//! the socket is read until it is empty, and closed before the rest is stored, so that peers hear of it soon. One that
//! somebody else holds, too, is read until it is empty as well, since nobody may read it for a while; what comes from then
//! on waits in it for the next one. Each datagram is given to one reader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

use super::held::Held;
use super::peer::{Arrived, Taken};
use super::peers::Peers;
use super::socket::{DatagramSocket, News, Receiver, Round};
use super::{Decoder, Oneway, Protocol, Sender};
use crate::base::limits;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::base::shutdown::Stop;
use crate::input::budget::Grant;
use crate::input::listener::label;
use crate::journal::NotStored;

const TICK: Duration = Duration::from_secs(1);
/// Longer than any protocol waits for something.
const FAR: Duration = Duration::from_secs(24 * 3600);
/// How long an empty UDP socket is left alone while more is to be expected. Not even the smallest receive buffer a kernel
/// gives is full so soon.
const GATHER: Duration = Duration::from_millis(1);
/// From so many on that came in such a moment, the runtime need not watch for the next.
const MANY: u64 = 4;
/// After a failed receive the loop rests, or it might spin.
const PAUSE: Duration = Duration::from_millis(100);
/// One line so often about what the kernel drops, and about failed receives.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// What is taken at a stop from a socket that never becomes empty.
const LAST_READ: usize = 16 * limits::MIB;

pub(super) struct Datagrams<P: Protocol> {
    oneway: Arc<Oneway<P>>,
    receiver: Receiver,
    decoder: P::Decoder,
    peers: Peers,
    round: Round,
    /// Counts rounds.
    number: u64,
    /// Places of the peers in the round in hand.
    met: Vec<usize>,
    held: Held,
    /// Permits for what is in the round.
    grant: Grant,
    ticks: Interval,
    ticked: Instant,
    /// Something came since the last tick.
    busy: bool,
    /// When the socket was empty, after how many datagrams.
    emptied: Option<(tokio::time::Instant, u64)>,
    counts: Counts,
}

struct Counts {
    datagrams: Counter,
    truncated: Counter,
    dropped: Counter,
    /// Dropped and not said.
    unsaid: u64,
    dropping: LogLimit,
    failing: LogLimit,
}

enum Woken {
    Readable,
    Tick,
    Stored,
    Stop,
}

impl<P: Protocol> Datagrams<P> {
    pub(super) fn new(oneway: Arc<Oneway<P>>, socket: DatagramSocket) -> Self {
        let asked = oneway.datagrams.receive_buffer;
        if let Some(got) = socket.tune(asked) {
            tracing::warn!(input = %oneway.name, address = %socket, asked, got,
                "the kernel gave a smaller receive buffer than receive_buffer asks for, and drops datagrams sooner; \
                 raise net.core.rmem_max, or give this program CAP_NET_ADMIN");
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Datagrams {
            receiver: Receiver::new(socket),
            decoder: oneway.protocol.decoder(),
            peers: Peers::default(),
            round: Round::default(),
            number: 0,
            met: Vec::new(),
            held: Held::new(oneway.connections.window),
            grant: oneway.intake.budget.empty_grant(),
            ticks,
            ticked: Instant::now(),
            busy: false,
            emptied: None,
            counts: Counts::new(&oneway.name),
            oneway,
        }
    }

    /// Receives until the input drains.
    pub(super) async fn run(mut self, stop: &Stop) -> Result<(), NotStored> {
        loop {
            if self.ticked.elapsed() > TICK {
                self.tick().await?;
            }
            self.held.release_stored();
            self.held.make_room().await?;
            // Last before the wait, which nothing would end for a round that only waited for the journal.
            let full = self.round.is_full();
            if full || self.held.is_idle() {
                self.store(stop).await?;
            }
            if full {
                // A socket with always more to read would keep its worker for itself.
                tokio::task::yield_now().await;
            }
            match self.wait(stop).await? {
                Woken::Readable => self.gather(false).await?,
                Woken::Tick => self.tick().await?,
                Woken::Stored => {}
                Woken::Stop => break,
            }
        }
        self.drain(stop).await?;
        // What still waits for its other parts is given up, and counted.
        self.decoder.tick(Instant::now() + FAR);
        drop(self.receiver);
        self.held.finish().await
    }

    async fn wait(&mut self, stop: &Stop) -> Result<Woken, NotStored> {
        let gathering = self.emptied.filter(|_| !self.held.is_idle());
        let socket = &mut self.receiver.socket;
        let readable = async {
            // The writers of a Unix socket would wait meanwhile.
            if let (DatagramSocket::Udp(udp), Some((emptied, came))) = (&mut *socket, gathering) {
                if came >= MANY {
                    udp.unwatch();
                }
                tokio::time::sleep_until(emptied + GATHER).await;
                if came >= MANY {
                    return Ok(());
                }
            }
            socket.readable().await
        };
        let failed = tokio::select! {
            biased;
            () = stop.draining.cancelled() => return Ok(Woken::Stop),
            stored = self.held.progress() => return stored.map(|()| Woken::Stored),
            readable = readable => match readable {
                Ok(()) => return Ok(Woken::Readable),
                Err(error) => error,
            },
            _ = self.ticks.tick() => return Ok(Woken::Tick),
        };
        self.counts.failed(&self.oneway.name, &self.receiver.socket, &failed);
        tokio::time::sleep(PAUSE).await;
        Ok(Woken::Tick)
    }

    /// Receives into the round what is there. `unasked`: whether or not the runtime knows of it.
    async fn gather(&mut self, unasked: bool) -> Result<(), NotStored> {
        let budget = &self.oneway.intake.budget;
        let wanted = self.round.frame.len() + limits::READ_BYTES;
        let missing = wanted.saturating_sub(self.grant.bytes());
        self.held.beside(budget.extend(&mut self.grant, missing)).await?;
        let before = self.round.frame.len();
        let mut news = News::default();
        let received = loop {
            let (receiver, round) = (&mut self.receiver, &mut self.round);
            let received = match unasked {
                true => receiver.receive_unasked(round, &mut news),
                false => receiver.receive(round, &mut news),
            };
            if !matches!(received, Ok(true)) || self.round.is_full() {
                break received;
            }
        };
        // A call may bring more than was asked for.
        let len = self.round.frame.len();
        let missing = len.saturating_sub(self.grant.bytes());
        self.held.beside(budget.extend(&mut self.grant, missing)).await?;
        self.grant.shrink(len);
        self.oneway.metrics.received_bytes.increment((len - before) as u64);
        self.busy |= news.datagrams > 0;
        self.emptied = matches!(received, Ok(false)).then(|| (tokio::time::Instant::now(), news.datagrams));
        self.counts.note(&self.oneway.name, &self.receiver.socket, &news);
        if let Err(error) = received {
            self.counts.failed(&self.oneway.name, &self.receiver.socket, &error);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Decodes the round and hands it over.
    async fn store(&mut self, stop: &Stop) -> Result<(), NotStored> {
        if self.round.datagrams.is_empty() {
            return Ok(());
        }
        self.number += 1;
        let Datagrams { oneway, decoder, peers, held, grant, met, .. } = self;
        let intake = &oneway.intake;
        let frame = self.round.frame.split().freeze();
        let mut taken = Taken::default();
        for datagram in self.round.datagrams.drain(..) {
            let sender = datagram.sender;
            let (at, is_first) = peers.find(sender, self.number, &mut taken, || {
                oneway.peer(Sender { label: label(sender), address: sender })
            });
            let peer = peers.at(at);
            if is_first {
                met.push(at);
                let ready = peer.batcher.ready();
                held.beside(unless_stopped(stop, ready)).await?;
                peer.batcher.open(frame.clone());
            }
            let arrived = Arrived::Datagram { from: datagram.from, to: datagram.to };
            peer.take(decoder, &arrived, datagram.received, &mut taken);
            if peer.is_new() {
                let ready = peer.first_room(intake, frame.len());
                held.beside(unless_stopped(stop, ready)).await?;
            }
            if taken.owes() {
                taken.settle(intake, held, intake.budget.empty_grant(), 0).await?;
                held.make_room().await?;
            }
        }
        for at in met.drain(..) {
            peers.at(at).store(&mut taken);
        }
        oneway.metrics.records.increment(taken.records);
        let cost = frame.len();
        taken.settle(intake, held, grant.split(cost), cost).await?;
        // What came to nothing holds no permits.
        grant.shrink(0);
        grant.leave_overdraft();
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), NotStored> {
        self.ticked = Instant::now();
        self.decoder.tick(self.ticked);
        // The runtime tells of changes only; what it missed, for whatever reason, waits no longer than this.
        self.gather(true).await?;
        // What waits for the journal may have come before the last tick.
        if !std::mem::take(&mut self.busy) && self.round.datagrams.is_empty() {
            self.receiver.rest();
            self.peers.rest();
            self.round = Round::default();
        }
        Ok(())
    }

    /// Takes what came before the gateway was told to stop.
    async fn drain(&mut self, stop: &Stop) -> Result<(), NotStored> {
        if !self.receiver.socket.shut_read() {
            self.held.make_room().await?;
            return self.store(stop).await;
        }
        let mut total = 0;
        loop {
            self.held.make_room().await?;
            let before = self.round.datagrams.len();
            self.gather(true).await?;
            let came = self.round.datagrams.len() - before;
            total += self.round.frame.len() + came;
            self.store(stop).await?;
            if came == 0 || total >= LAST_READ {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn unless_stopped(stop: &Stop, ready: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = ready => {}
        () = stop.draining.cancelled() => {}
    }
}

impl Counts {
    fn new(input: &str) -> Counts {
        let labels = [("input", input)];
        Counts {
            datagrams: counter("sluicegate_datagrams_total", "Datagrams received.", &labels),
            truncated: counter(
                "sluicegate_datagrams_truncated_total",
                "Datagrams received without their end, since they were larger than the gateway takes.",
                &labels,
            ),
            dropped: counter(
                "sluicegate_datagrams_dropped_total",
                "Datagrams dropped, by who dropped them.",
                &[("input", input), ("reason", "kernel")],
            ),
            unsaid: 0,
            dropping: LogLimit::new(SAY_EVERY),
            failing: LogLimit::new(SAY_EVERY),
        }
    }

    fn note(&mut self, input: &str, socket: &DatagramSocket, news: &News) {
        self.datagrams.increment(news.datagrams);
        self.truncated.increment(news.truncated);
        if news.dropped == 0 {
            return;
        }
        self.dropped.increment(news.dropped);
        self.unsaid += news.dropped;
        if self.dropping.allow().is_some() {
            let dropped = std::mem::take(&mut self.unsaid);
            tracing::warn!(input, address = %socket, dropped,
                "the kernel dropped datagrams: they came faster than they could be stored, and nobody can slow their \
                 senders down; raise receive_buffer, look for a full buffer or a slow disk, or send over TCP");
        }
    }

    fn failed(&self, input: &str, socket: &DatagramSocket, error: &std::io::Error) {
        if let Some(suppressed) = self.failing.allow() {
            tracing::warn!(input, address = %socket, suppressed, "datagrams cannot be received: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::super::Udp;
    use super::super::tests::house::House;
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_busy_journal_outlives_ticks_without_news() {
        let house = House::new();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let socket = DatagramSocket::Udp(Udp::new(socket).unwrap());
        let mut datagrams = Datagrams::new(house.oneway(), socket);
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sender.send_to(b"line", address).await.unwrap();
        while datagrams.round.datagrams.is_empty() {
            datagrams.gather(true).await.unwrap();
        }
        for _ in 0..3 {
            datagrams.tick().await.unwrap();
        }
        datagrams.store(&Stop::default()).await.unwrap();
        datagrams.held.finish().await.unwrap();
        assert_eq!(house.texts().await, ["line"]);
    }
}
