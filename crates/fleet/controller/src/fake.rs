//! An API server that keeps objects in memory, and as much of the real one as Leases, watches and statuses need.
//!
//! Sources: <https://kubernetes.io/docs/reference/using-api/api-concepts/> for versions, watches and 410; a write to `status`
//! changes nothing else: `statusStrategy` of
//! <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresource/status_strategy.go>.
//! Left out: pages, selectors, rights, bookmarks.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, pending, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::{self, BoxStream, StreamExt as _};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use hyper::{Method, Request, Response};
use keyroll_kube::Cluster;
use kube::client::Body;
use serde_json::{Value, json};

/// The namespace of all objects.
pub(crate) const NAMESPACE: &str = "shop";

/// The longest time that a request or an answer of a slow connection takes, ms.
const SLOW_MS_MAX: u64 = 500;

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What a connection to the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// No request arrives.
    Cut,
    /// Requests arrive, and their answers do not.
    Deaf,
    /// Nothing ever comes back.
    Silent,
}

/// A watch: the folder of its objects, and where its lines go.
type Watch = (String, UnboundedSender<String>);

#[derive(Default)]
struct State {
    /// By path: `/apis/coordination.k8s.io/v1/namespaces/shop/leases/keyroll`.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// All that happened: the version, the folder, the line of a watch.
    events: Vec<(u64, String, String)>,
    /// What happened up to this version is forgotten.
    compacted: u64,
    watches: Vec<Watch>,
    /// The requests, `PUT /apis/...`, with their bodies.
    asked: Vec<(String, Value)>,
    /// The requests that are refused: the method, the end of the path, the status.
    refused: Vec<(Method, String, u16)>,
}

/// An answer.
enum Answer {
    Whole(u16, Value),
    Watch(UnboundedReceiver<String>),
}

/// The server, by one connection.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    link: Arc<Mutex<Link>>,
    /// A slow connection draws how slow.
    slow: Arc<Mutex<Option<Random>>>,
}

impl Fake {
    /// One without objects.
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            link: Arc::new(Mutex::new(Link::Open)),
            slow: Arc::new(Mutex::new(None)),
        }
    }

    /// Another connection to it, a slow one.
    pub(crate) fn slow(&self, seed: u64) -> Self {
        Self {
            state: Arc::clone(&self.state),
            link: Arc::new(Mutex::new(Link::Open)),
            slow: Arc::new(Mutex::new(Some(Random(seed)))),
        }
    }

    /// The cluster that it serves.
    pub(crate) fn cluster(&self) -> Cluster {
        Cluster {
            client: kube::Client::new(self.clone(), NAMESPACE),
            namespace: NAMESPACE.to_owned(),
            server: "https://cluster.example".to_owned(),
            options: format!("-n {NAMESPACE}"),
        }
    }

    pub(crate) fn link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
    }

    /// Requests with this method to a path that ends so are refused.
    pub(crate) fn refuse(&self, method: Method, end: &str, code: u16) {
        self.state.lock().unwrap().refused.push((method, end.to_owned(), code));
    }

    /// No request is refused any more.
    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().refused.clear();
    }

    /// Writes an object, as somebody else.
    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.state.lock().unwrap().write(path, object)
    }

    /// Deletes an object, as somebody else.
    pub(crate) fn delete(&self, path: &str) {
        let mut state = self.state.lock().unwrap();
        let mut object = state.objects.remove(path).unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.say(path, "DELETED", &object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// All objects of a folder.
    pub(crate) fn all(&self, folder: &str) -> Vec<Value> {
        self.state.lock().unwrap().all(folder)
    }

    /// Every watch ends.
    pub(crate) fn end_watches(&self) {
        self.state.lock().unwrap().watches.clear();
    }

    /// No watch can go on from an earlier version.
    pub(crate) fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        state.compacted = state.version;
    }

    /// The bodies of the requests with this method to a path that ends so.
    pub(crate) fn asked(&self, method: &Method, end: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let is_it = |request: &str| request.starts_with(method.as_str()) && request.ends_with(end);
        state.asked.iter().filter(|(request, _)| is_it(request)).map(|(_, body)| body.clone()).collect()
    }

    /// A slow connection takes its time.
    async fn pause(&self) {
        let ms = self.slow.lock().unwrap().as_mut().map(|random| random.below(SLOW_MS_MAX));
        if let Some(ms) = ms {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    fn now(&self) -> Link {
        *self.link.lock().unwrap()
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset")
}

fn refusal(code: u16) -> Answer {
    Answer::Whole(code, status(code))
}

/// Source: `StatusReason` of
/// <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go>.
fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        503 => "ServiceUnavailable",
        _ => "",
    };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "it is refused",
        "reason": reason })
}

/// The folder of an object's path.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

impl State {
    fn all(&self, folder: &str) -> Vec<Value> {
        let beginning = format!("{folder}/");
        let is_in = |path: &str| path.strip_prefix(&beginning).is_some_and(|name| !name.contains('/'));
        self.objects.iter().filter(|(path, _)| is_in(path)).map(|(_, object)| object.clone()).collect()
    }

    /// Tells the watches.
    fn say(&mut self, path: &str, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.watches
            .retain(|(watched, lines)| watched != folder(path) || lines.unbounded_send(line.clone()).is_ok());
        self.events.push((self.version, folder(path).to_owned(), line));
    }

    fn write(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let before = self.objects.get(path);
        let uid = before
            .map_or_else(|| json!(format!("uid-{}", self.version)), |one| one["metadata"]["uid"].clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        object["metadata"]["uid"] = uid;
        object["metadata"]["name"] = path.rsplit_once('/').unwrap().1.into();
        object["metadata"]["namespace"] = NAMESPACE.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        self.say(path, kind, &object);
        object
    }

    fn watch(&mut self, folder: &str, since: u64) -> Answer {
        let (lines, answer) = unbounded();
        if since < self.compacted {
            let line = format!("{}\n", json!({ "type": "ERROR", "object": status(410) }));
            lines.unbounded_send(line).unwrap();
            return Answer::Watch(answer);
        }
        for (version, of, line) in &self.events {
            if *version > since && of == folder {
                lines.unbounded_send(line.clone()).unwrap();
            }
        }
        self.watches.push((folder.to_owned(), lines));
        Answer::Watch(answer)
    }

    fn replace(&mut self, path: &str, body: Value) -> Answer {
        let (path, only_status) = match path.strip_suffix("/status") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let Some(before) = self.objects.get(path).cloned() else { return refusal(404) };
        let differs = |field: &str| {
            let wanted = &body["metadata"][field];
            !wanted.is_null() && *wanted != before["metadata"][field]
        };
        if differs("resourceVersion") || differs("uid") {
            return refusal(409);
        }
        let now = match only_status {
            true => {
                let mut now = before;
                now["status"] = body["status"].clone();
                now
            }
            false => body,
        };
        Answer::Whole(200, self.write(path, now))
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Answer {
        self.asked.push((format!("{method} {path}"), body.clone()));
        let refused = self.refused.iter().find(|(which, end, _)| which == method && path.ends_with(end));
        if let Some((_, _, code)) = refused {
            return refusal(*code);
        }
        let of = |name: &str| query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
        let is_folder = path.split('/').rev().nth(1) == Some(NAMESPACE);
        if *method == Method::POST {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if self.objects.contains_key(&path) {
                return refusal(409);
            }
            Answer::Whole(201, self.write(&path, body))
        } else if *method == Method::PUT {
            self.replace(path, body)
        } else if !is_folder {
            self.objects.get(path).map_or_else(|| refusal(404), |one| Answer::Whole(200, one.clone()))
        } else if of("watch").is_some() {
            self.watch(path, of("resourceVersion").unwrap().parse().unwrap())
        } else {
            let metadata = json!({ "resourceVersion": self.version.to_string() });
            Answer::Whole(200, json!({ "kind": "List", "metadata": metadata, "items": self.all(path) }))
        }
    }
}

/// The lines of an answer.
type Lines = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

fn response(answer: Answer) -> Response<Lines> {
    let frame = |text: String| Ok(Frame::data(Bytes::from(text)));
    let (code, lines) = match answer {
        Answer::Whole(code, body) => (code, stream::once(ready(frame(body.to_string()))).boxed()),
        Answer::Watch(lines) => (200, lines.map(frame).boxed()),
    };
    Response::builder().status(code).body(StreamBody::new(lines)).unwrap()
}

impl tower_service::Service<Request<Body>> for Fake {
    type Response = Response<Lines>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
            server.pause().await;
            match server.now() {
                Link::Open | Link::Deaf => {}
                Link::Cut => return Err(lost().into()),
                Link::Silent => pending().await,
            }
            let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
            let answer = server.state.lock().unwrap().answer(&head.method, path, query, body);
            server.pause().await;
            match server.now() {
                Link::Open => Ok(response(answer)),
                Link::Cut | Link::Deaf => Err(lost().into()),
                Link::Silent => pending().await,
            }
        })
    }
}
