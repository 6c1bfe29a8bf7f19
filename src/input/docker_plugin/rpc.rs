//! The engine's calls: HTTP/1.1 over the plugin's Unix socket, a POST each, JSON in and JSON out.
//!
//! ```text
//! /Plugin.Activate                                          {"Implements":["LogDriver"]}
//! /LogDriver.Capabilities                                   {"Cap":{"ReadLogs":true}}
//! /LogDriver.StartLogging  {"File":path,"Info":{...}}       {"Err":""}
//! /LogDriver.StopLogging   {"File":path}                    {"Err":""}
//! /LogDriver.ReadLogs      {"Info":{...},"Config":{...}}    entries, framed as in the FIFO, until the end
//! ```
//!
//! The engine sends an empty `Host`, no content type, and keeps its connections; it tries again when it cannot connect. An
//! error is status 200 with a text in `Err`, which the engine shows as it is. StopLogging is answered when all of the FIFO
//! is stored, since the engine then removes it. Idle connections are not closed before the
//! gateway stops: the engine might write its next call into one that is just closing.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::DockerPlugin;
use super::container::{Info, check_id};
use super::copies::query::{Config, Query};
use crate::base::limits::{KIB, MIB};
use crate::base::log_limit::LogLimit;
use crate::input::Stop;

/// A call holds the container's whole environment, which the kernel bounds at 2 MiB, and its labels.
const BODY_BYTES: usize = 8 * MIB;
const BUFFER_BYTES: usize = 64 * KIB;
/// Of one engine; each `docker logs -f` holds one.
const CONNECTIONS: usize = 1024;
/// Parts of an answer that wait for a slow reader.
const PARTS: usize = 4;
const JSON: HeaderValue = HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
const ENTRIES: HeaderValue = HeaderValue::from_static("application/x-json-stream");

type Answer = Response<Either<Full<Bytes>, Parts>>;

/// Answers calls until the stop, then ends what is idle and returns when the running calls are answered.
pub(super) async fn serve(plugin: &Arc<DockerPlugin>, listener: UnixListener, stop: &Stop) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let failing = LogLimit::new(Duration::from_secs(30));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let permit = permits.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            () = stop.draining.cancelled() => break,
            accepted = accept => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (plugin, stop) = (plugin.clone(), stop.clone());
                connections.spawn(async move {
                    connection(plugin, stream, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                if let Some(suppressed) = failing.allow() {
                    tracing::warn!(%error, suppressed, "cannot accept a connection of the Docker engine; trying again");
                }
                // Out of file descriptors, most likely: give others time to close some.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(plugin: Arc<DockerPlugin>, stream: UnixStream, stop: Stop) {
    let draining = stop.draining.clone();
    let service = service_fn(move |request| {
        let (plugin, stop) = (plugin.clone(), stop.clone());
        answer(plugin, request, stop)
    });
    let connection =
        http1::Builder::new().max_buf_size(BUFFER_BYTES).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the Docker engine ended badly");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Start {
    file: PathBuf,
    info: Info,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct End {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Read {
    info: Info,
    #[serde(default)]
    config: Config,
}

/// An error ends the connection without an answer, and the engine asks again.
async fn answer(plugin: Arc<DockerPlugin>, request: Request<Incoming>, stop: Stop) -> io::Result<Answer> {
    let path = request.uri().path().to_owned();
    let body = match Limited::new(request.into_body(), BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return Ok(failure(StatusCode::BAD_REQUEST, &format!("the call cannot be read: {error}")));
        }
    };
    Ok(match path.as_str() {
        "/Plugin.Activate" => plain(&json!({ "Implements": ["LogDriver"] })),
        "/LogDriver.Capabilities" => plain(&json!({ "Cap": { "ReadLogs": plugin.copies.is_some() } })),
        "/LogDriver.StartLogging" => match parse::<Start>(&body) {
            // On its own: who hangs up in between shall not leave half a start behind.
            Ok(Start { file, info }) => match tokio::spawn(plugin.start(file, info, stop)).await {
                Ok(started) => outcome(started.map_err(|error| error.to_string())),
                Err(error) => outcome(Err(error.to_string())),
            },
            Err(refusal) => *refusal,
        },
        "/LogDriver.StopLogging" => match parse::<End>(&body) {
            // The next process reads what is left: answered now, the engine would remove it.
            Ok(End { file }) if !plugin.stop(&file).await && stop.draining.is_cancelled() => {
                return Err(io::Error::other("the gateway stops"));
            }
            Ok(_) => outcome(Ok(())),
            Err(refusal) => *refusal,
        },
        "/LogDriver.ReadLogs" => match parse::<Read>(&body) {
            Ok(Read { info, config }) => read_logs(&plugin, &info, &config, stop.draining),
            Err(refusal) => *refusal,
        },
        _ => failure(StatusCode::NOT_FOUND, &format!("this plugin has no {path}")),
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Answer>> {
    serde_json::from_slice(body).map_err(|error| {
        Box::new(failure(StatusCode::BAD_REQUEST, &format!("the call is not what the engine sends: {error}")))
    })
}

fn outcome(result: Result<(), String>) -> Answer {
    plain(&json!({ "Err": result.err().unwrap_or_default() }))
}

fn plain(value: &Value) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(value.to_string())));
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

fn failure(status: StatusCode, text: &str) -> Answer {
    let mut answer = outcome(Err(text.to_owned()));
    *answer.status_mut() = status;
    answer
}

/// `docker logs`: what is there, and with `-f` what comes until the container ends.
fn read_logs(plugin: &DockerPlugin, info: &Info, config: &Config, draining: CancellationToken) -> Answer {
    let Some(copies) = &plugin.copies else {
        return failure(StatusCode::NOT_FOUND, "docker logs is turned off: read_logs_bytes is 0");
    };
    let id = &info.container_id;
    let query = match check_id(id) {
        Ok(()) => Query::new(copies.dir_of(id), config),
        Err(refused) => Err(refused.to_string()),
    };
    let query = match query {
        Ok(query) => query,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error),
    };
    let watch = config.follow.then(|| copies.watch(id)).flatten();
    let (sender, parts) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        tokio::select! {
            () = draining.cancelled() => {}
            () = send(query, watch, sender) => {}
        }
    });
    let mut answer = Response::new(Either::Right(Parts(parts)));
    answer.headers_mut().insert(CONTENT_TYPE, ENTRIES);
    answer
}

/// Reads part by part, until there is no more, nobody listens, or the last writer has gone.
async fn send(
    mut query: Query,
    mut watch: Option<tokio::sync::watch::Receiver<super::copies::State>>,
    sender: mpsc::Sender<Bytes>,
) {
    loop {
        // Looked at before reading: what is written after it is met by the next turn.
        let is_written = watch.as_mut().is_some_and(|watch| watch.borrow_and_update().writers > 0);
        let read = tokio::task::spawn_blocking(move || (query.read(), query)).await;
        let Ok((part, back)) = read else { return };
        query = back;
        let part = match part {
            Ok(part) => part,
            Err(error) => {
                tracing::warn!(%error, "the copy that docker logs reads cannot be read");
                return;
            }
        };
        let is_empty = part.bytes.is_empty();
        if !is_empty && sender.send(part.bytes.into()).await.is_err() {
            return;
        }
        if part.is_last || (is_empty && !is_written) {
            return;
        }
        if let (true, Some(watch)) = (is_empty, &mut watch) {
            tokio::select! {
                changed = watch.changed() => if changed.is_err() {
                    // The last writer has gone; what it wrote last is read once more.
                    continue;
                },
                () = sender.closed() => return,
            }
        }
    }
}

/// The parts of an answer as a body.
struct Parts(mpsc::Receiver<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
