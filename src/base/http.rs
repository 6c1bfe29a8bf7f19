//! One HTTP/1.1 connection, from its first request to its end: what every HTTP port has in common.
//!
//! The time-out for headers is hyper's, which also ends connections that rest between two requests; who must not do
//! that gives none and paces the bytes itself. A stop ends keep-alive and lets the running request finish.

use std::error::Error;
use std::time::Duration;

use hyper::Request;
use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For a request's line and headers, counted from the end of the request before it.
    pub header_timeout: Option<Duration>,
    /// Request line and headers, and the buffer a connection reads into.
    pub buffer_bytes: usize,
}

/// Serves a connection until its peer ends it, or until the first pause between requests after `shutdown`.
pub async fn serve<I, S, B>(
    io: I,
    service: S,
    settings: Settings,
    shutdown: &CancellationToken,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.buffer_bytes)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
