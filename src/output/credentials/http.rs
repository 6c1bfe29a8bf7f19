//! HTTP to the services that give keys: short patience, bounded answers, no redirects.
//!
//! The metadata service and a credentials URI are near: no proxy, and a second to connect. STS is far: the destination's
//! proxy and authority hold for it too. Files are read by way of it too, one at a time: a mount that hangs keeps one thread,
//! and not one more with every try.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap};
use tokio::sync::{OnceCell, Semaphore};

use crate::base::limits::KIB;
use crate::config::plan::{ProxyPlan, TransportPlan};
use crate::output::client::{http_client, root_cause};

const ANSWER_BYTES: usize = 64 * KIB;
const NEAR_CONNECT: Duration = Duration::from_secs(1);
const FAR_CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);

pub(super) struct Http {
    transport: TransportPlan,
    near: OnceCell<reqwest::Client>,
    far: OnceCell<reqwest::Client>,
    /// Seconds the clock of STS is ahead of ours.
    skew: AtomicI64,
    reading: Arc<Semaphore>,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The server's clock, or ours where it does not say.
    pub(super) now: i64,
}

/// Why there is no answer.
pub(super) struct NoReply {
    pub(super) why: String,
    /// Nobody took the connection.
    pub(super) is_absent: bool,
}

impl Http {
    pub(super) fn new(transport: TransportPlan) -> Http {
        let reading = Arc::new(Semaphore::new(1));
        Http { transport, near: OnceCell::new(), far: OnceCell::new(), skew: AtomicI64::new(0), reading }
    }

    /// Runs what reads files, off the workers of the runtime. It goes on when nobody waits for it any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.reading.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let reading = move || {
            let read = read();
            drop(turn);
            read
        };
        tokio::task::spawn_blocking(reading).await.map_err(|error| error.to_string())
    }

    /// To what is on this machine or its network.
    pub(super) async fn near(
        &self,
        method: reqwest::Method,
        url: &str,
        header: Option<(&'static str, &str)>,
    ) -> Result<Reply, NoReply> {
        let plain = TransportPlan { proxy: ProxyPlan::None, ca_file: self.transport.ca_file.clone() };
        let client = self.near.get_or_try_init(|| async { build(&plain, NEAR_CONNECT) }).await?;
        let mut request = client.request(method, url);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        reply(request).await
    }

    /// A form to STS.
    pub(super) async fn far(&self, url: &str, form: String) -> Result<Reply, NoReply> {
        let client = self.far.get_or_try_init(|| async { build(&self.transport, FAR_CONNECT) }).await?;
        let request = client
            .post(url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/json")
            .body(form);
        let reply = reply(request).await?;
        self.skew.store(reply.now - here(), Ordering::Relaxed);
        Ok(reply)
    }

    /// The clock of STS, as far as it is known.
    pub(super) fn far_now(&self) -> i64 {
        here() + self.skew.load(Ordering::Relaxed)
    }
}

fn build(transport: &TransportPlan, connect: Duration) -> Result<reqwest::Client, NoReply> {
    let failed = |why: String| NoReply { why, is_absent: false };
    let builder = http_client(transport, WHOLE, connect).map_err(|error| failed(error.to_string()))?;
    builder.build().map_err(|error| failed(root_cause(&error)))
}

async fn reply(request: reqwest::RequestBuilder) -> Result<Reply, NoReply> {
    let failed = |error: reqwest::Error| NoReply { is_absent: error.is_connect(), why: root_cause(&error) };
    let mut answer = request.send().await.map_err(failed)?;
    let (status, now) = (answer.status().as_u16(), server_clock(answer.headers()).unwrap_or_else(here));
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if body.len() + part.len() > ANSWER_BYTES {
            let why = format!("its answer has more than {ANSWER_BYTES} bytes");
            return Err(NoReply { why, is_absent: false });
        }
        body.extend_from_slice(&part);
    }
    Ok(Reply { status, body, now })
}

/// What a Date header says, in seconds since 1970.
pub(super) fn server_clock(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())
}

fn here() -> i64 {
    jiff::Timestamp::now().as_second()
}
