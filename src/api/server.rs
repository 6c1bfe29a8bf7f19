//! The accept loop under every HTTP port: HTTP/1.1 with a time-out for headers, a bound on connections, and a stop that
//! lets running requests finish.
//!
//! `axum::serve` has neither the time-out nor the bound, hence a loop of our own. Dropping the future of [`serve`]
//! closes all connections at once: that is the deadline of a stop.
//!
//! Clients keep connections for their next request. Where all are taken, the one that has rested the longest is ended in favour
//! of who comes: a fleet of agents, each with some, would keep others waiting until they give up.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::{Extension, Router};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::http;
use crate::base::log_limit::LogLimit;

/// Connections of one port; where all of them work, more wait in the kernel's queue.
const CONNECTIONS: usize = 1_024;
/// For one that was told to end.
const ENDING: Duration = Duration::from_millis(50);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Request line and headers, and the buffer a connection reads into.
const BUFFER_BYTES: usize = 128 * 1024;

/// Who a request came from; among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves the routes until `shutdown`, then ends keep-alive and returns when the running requests are answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    serve_some(listener, router, shutdown, CONNECTIONS).await
}

async fn serve_some(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    most: usize,
) -> io::Result<()> {
    let (permits, resting) = (Arc::new(Semaphore::new(most)), Arc::new(Resting::default()));
    let failing = LogLimit::new(Duration::from_secs(30));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits, &resting) => accepted,
        };
        // Finished tasks are let go of here, so the set holds no more than the connections there are.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, permit)) => {
                let (router, place) = (router.clone(), Place::new(&resting, &shutdown));
                connections.spawn(async move {
                    connection(stream, router, place).await;
                    drop(permit);
                });
            }
            Err(error) => {
                if let Some(suppressed) = failing.allow() {
                    tracing::warn!(%error, suppressed, "cannot accept an HTTP connection; trying again");
                }
                // Out of file descriptors, most likely: give others time to close some.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    resting: &Resting,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let (stream, _) = listener.accept().await?;
    loop {
        if permits.available_permits() == 0 {
            resting.end_one();
        }
        // Nobody may have been at rest just now.
        if let Ok(permit) = tokio::time::timeout(ENDING, permits.clone().acquire_owned()).await {
            return Ok((stream, permit.map_err(io::Error::other)?));
        }
    }
}

/// Connections without a request, by when that began: the first has rested the longest.
#[derive(Default)]
struct Resting {
    began: AtomicU64,
    ends: Mutex<BTreeMap<u64, CancellationToken>>,
}

impl Resting {
    fn ends(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_one(&self) {
        if let Some((_, end)) = self.ends().pop_first() {
            end.cancel();
        }
    }
}

/// One connection's place among those at rest.
struct Place {
    resting: Arc<Resting>,
    at: AtomicU64,
    end: CancellationToken,
}

impl Place {
    fn new(resting: &Arc<Resting>, shutdown: &CancellationToken) -> Arc<Place> {
        let place = Place { resting: resting.clone(), at: AtomicU64::new(0), end: shutdown.child_token() };
        place.rest();
        Arc::new(place)
    }

    fn rest(&self) {
        let at = self.resting.began.fetch_add(1, Ordering::Relaxed);
        self.at.store(at, Ordering::Relaxed);
        self.resting.ends().insert(at, self.end.clone());
    }

    fn work(&self) {
        self.resting.ends().remove(&self.at.load(Ordering::Relaxed));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.work();
    }
}

async fn connection(stream: TcpStream, router: Router, place: Arc<Place>) {
    // Answers are small and written at once: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let router = match stream.peer_addr() {
        Ok(peer) => router.layer(Extension(Peer(peer))),
        // It is gone already.
        Err(_) => router,
    };
    let of_requests = place.clone();
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let place = of_requests.clone();
        async move {
            place.work();
            let response = next.run(request).await;
            // An end that comes now lets it be written.
            place.rest();
            response
        }
    }));
    let settings = http::Settings { header_timeout: Some(HEADER_TIMEOUT), buffer_bytes: BUFFER_BYTES };
    let ended = http::serve(stream, TowerToHyperService::new(router), settings, &place.end).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_stop_lets_the_running_request_finish() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (started, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let handler = {
            let (started, release) = (started.clone(), release.clone());
            move || async move {
                started.add_permits(1);
                let _permit = release.acquire().await;
                "done"
            }
        };
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Router::new().route("/", get(handler)), shutdown.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        started.acquire().await.unwrap().forget();
        shutdown.cancel();
        release.add_permits(1);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn who_rests_the_longest_makes_room() {
        async fn ask(client: &mut TcpStream) {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"done") {
                assert!(client.read_buf(&mut answer).await.unwrap() > 0);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "done" }));
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve_some(listener, router, shutdown.clone(), 2));
        let mut clients = Vec::new();
        for _ in 0..2 {
            clients.push(TcpStream::connect(address).await.unwrap());
            ask(clients.last_mut().unwrap()).await;
        }
        // The first goes on, so the second rests longer when the third comes.
        ask(&mut clients[0]).await;
        let mut third = TcpStream::connect(address).await.unwrap();
        ask(&mut third).await;
        assert_eq!(clients[1].read(&mut [0]).await.unwrap(), 0);
        ask(&mut clients[0]).await;
        ask(&mut third).await;
        shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
