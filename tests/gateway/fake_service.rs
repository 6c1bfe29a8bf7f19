//! A Log Service that answers what a test tells it to, and remembers what it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sluicegate::wire::compress::{Kind, decompress};
use sluicegate::wire::loggroup::walk;
use tokio::net::TcpListener;

/// One PutLogs as it came.
#[derive(Clone, Debug)]
pub struct Put {
    /// Where it was to be kept.
    pub logstore: String,
    /// The LogGroup, inflated.
    pub group: Vec<u8>,
    pub status: u16,
    /// Its records.
    pub records: usize,
    pub tags: BTreeMap<String, String>,
}

impl Put {
    /// The values of one field, in order.
    pub fn values(&self, key: &str) -> Vec<String> {
        let group = walk(&self.group).unwrap();
        let of_log = |log: sluicegate::wire::loggroup::Log<'_>| {
            log.contents()
                .filter(|(name, _)| *name == key.as_bytes())
                .map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
                .next()
        };
        group.logs().filter_map(of_log).collect()
    }

    pub fn pack_id(&self) -> String {
        self.tag("__pack_id__").unwrap()
    }

    /// The value of one tag.
    pub fn tag(&self, key: &str) -> Option<String> {
        self.tags.get(key).cloned()
    }
}

type Judge = dyn Fn(&Put) -> (u16, &'static str) + Send + Sync;

pub struct FakeService {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    puts: Mutex<Vec<Put>>,
    script: Mutex<VecDeque<(u16, &'static str)>>,
    judge: Box<Judge>,
}

impl FakeService {
    /// Answers by `judge`: status and error code.
    pub async fn start(judge: impl Fn(&Put) -> (u16, &'static str) + Send + Sync + 'static) -> FakeService {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { puts: Mutex::default(), script: Mutex::default(), judge: Box::new(judge) });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move {
            sluicegate::api::server::serve(listener, router, tokio_util::sync::CancellationToken::new()).await
        });
        FakeService { address, shared }
    }

    /// The next requests are answered so, before the judge is asked again.
    pub fn script(&self, answers: &[(u16, &'static str)]) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    pub fn puts(&self) -> Vec<Put> {
        self.shared.puts.lock().unwrap().clone()
    }

    /// Looks at all requests without a copy of them.
    pub fn look<T>(&self, look: impl FnOnce(&[Put]) -> T) -> T {
        look(&self.shared.puts.lock().unwrap())
    }

    /// What was answered 200.
    pub fn accepted(&self) -> Vec<Put> {
        self.puts().into_iter().filter(|put| put.status == 200).collect()
    }

    /// Waits until a condition over all requests holds.
    pub async fn wait(&self, condition: impl Fn(&[Put]) -> bool) {
        let wait = async {
            while !condition(&self.shared.puts.lock().unwrap()) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::harness::PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("got {:?}", self.puts()));
    }

    /// Configuration of a destination `cloud` that leads here.
    pub fn destination(&self, extra: &str) -> String {
        format!(
            "destinations: {{ cloud: {{ endpoint: 'http://{}', project: demo-project, logstore: app-log, \
             access_key_id: testAk, access_key_secret: testSk, batch_age: 50ms, {extra} }} }}",
            self.address
        )
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = Kind::from_header(header("x-log-compresstype")).unwrap_or(Kind::None);
    let raw_size: usize = header("x-log-bodyrawsize").parse().unwrap();
    let mut group = Vec::new();
    decompress(kind, &body, raw_size, 16 << 20, &mut group).unwrap();
    let logstore = uri.path().split('/').nth(2).unwrap_or_default().to_owned();
    let (records, tags) = {
        let walked = walk(&group).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (walked.log_count(), walked.tags().map(|(key, value)| (text(key), text(value))).collect())
    };
    let mut put = Put { logstore, group, status: 0, records, tags };
    let scripted = shared.script.lock().unwrap().pop_front();
    let (status, code) = scripted.unwrap_or_else(|| (shared.judge)(&put));
    put.status = status;
    shared.puts.lock().unwrap().push(put);
    let text = if status == 200 {
        String::new()
    } else {
        format!(r#"{{"errorCode":"{code}","errorMessage":"told to"}}"#)
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("x-log-requestid", "0123456789ABCDEF01234567")], text).into_response()
}
