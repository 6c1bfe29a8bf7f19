//! A Log Service that answers what a test tells it to, and remembers what it was sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sluicegate::wire::compress::{Kind, decompress};
use sluicegate::wire::loggroup::{list, walk};
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
    /// How many LogGroups its request held: more than one in a package list.
    pub of_request: usize,
    /// The hash key it was routed by, if it was.
    pub key: String,
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
    /// Requests under way by hash key, and the most there were of one.
    under_way: Mutex<(HashMap<String, usize>, usize)>,
    script: Mutex<VecDeque<(u16, &'static str)>>,
    judge: Box<Judge>,
}

impl FakeService {
    /// Answers by `judge`: status and error code.
    pub async fn start(judge: impl Fn(&Put) -> (u16, &'static str) + Send + Sync + 'static) -> FakeService {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            puts: Mutex::default(),
            under_way: Mutex::default(),
            script: Mutex::default(),
            judge: Box::new(judge),
        });
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

    pub fn most_at_once_of_a_key(&self) -> usize {
        self.shared.under_way.lock().unwrap().1
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

impl Shared {
    fn begin(&self, key: &str) {
        let mut under_way = self.under_way.lock().unwrap();
        let now = under_way.0.entry(key.to_owned()).or_default();
        *now += 1;
        let now = *now;
        under_way.1 = under_way.1.max(now);
    }

    fn end(&self, key: &str) {
        self.under_way.lock().unwrap().0.entry(key.to_owned()).and_modify(|now| *now -= 1);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = Kind::from_header(header("x-log-compresstype")).unwrap_or(Kind::None);
    let raw_size: usize = header("x-log-bodyrawsize").parse().unwrap();
    let inflate = |kind, data: &[u8], size| {
        let mut group = Vec::new();
        decompress(kind, data, size, 16 << 20, &mut group).unwrap();
        group
    };
    let groups: Vec<Vec<u8>> = if header("x-log-mode") == "batch_group" {
        assert_eq!(raw_size, body.len());
        let packages = list::packages(&body).map(|package| package.unwrap());
        packages.map(|package| inflate(package.kind, package.data, package.raw_size)).collect()
    } else {
        vec![inflate(kind, &body, raw_size)]
    };
    let logstore = uri.path().split('/').nth(2).unwrap_or_default().to_owned();
    let key = uri.query().and_then(|query| query.strip_prefix("key=")).unwrap_or_default().to_owned();
    let of_request = groups.len();
    let put_of = |group: Vec<u8>| {
        let walked = walk(&group).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let tags = walked.tags().map(|(key, value)| (text(key), text(value))).collect();
        let (records, logstore, key) = (walked.log_count(), logstore.clone(), key.clone());
        Put { logstore, group, status: 0, records, of_request, key, tags }
    };
    let mut puts: Vec<Put> = groups.into_iter().map(put_of).collect();
    if !key.is_empty() {
        shared.begin(&key);
        // Long enough for another one to come, if one does.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        shared.end(&key);
    }
    let scripted = shared.script.lock().unwrap().pop_front();
    // All or nothing: what is wrong with one is the answer to all.
    let judge = || puts.iter().map(|put| (shared.judge)(put)).max_by_key(|answer| answer.0).unwrap();
    let (status, code) = scripted.unwrap_or_else(judge);
    puts.iter_mut().for_each(|put| put.status = status);
    shared.puts.lock().unwrap().extend(puts);
    let text = if status == 200 {
        String::new()
    } else {
        format!(r#"{{"errorCode":"{code}","errorMessage":"told to"}}"#)
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("x-log-requestid", "0123456789ABCDEF01234567")], text).into_response()
}
