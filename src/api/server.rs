//! The accept loop under every HTTP port: HTTP/1.1 with a time-out for headers, a bound on connections, and a stop that
//! lets running requests finish.
//!
//! `axum::serve` has neither the time-out nor the bound, hence a loop of our own. Dropping the future of [`serve`]
//! closes all connections at once: that is the deadline of a stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::http;
use crate::base::log_limit::LogLimit;

/// Connections of one port; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Request line and headers, and the buffer a connection reads into.
const BUFFER_BYTES: usize = 128 * 1024;

/// Who a request came from; among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves the routes until `shutdown`, then ends keep-alive and returns when the running requests are answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let failing = LogLimit::new(Duration::from_secs(30));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        // Finished tasks are let go of here, so the set holds no more than the connections there are.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, permit)) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, router, shutdown).await;
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
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    // Answers are small and written at once: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let router = match stream.peer_addr() {
        Ok(peer) => router.layer(Extension(Peer(peer))),
        // It is gone already.
        Err(_) => router,
    };
    let settings = http::Settings { header_timeout: Some(HEADER_TIMEOUT), buffer_bytes: BUFFER_BYTES };
    let ended = http::serve(stream, TowerToHyperService::new(router), settings, &shutdown).await;
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
}
