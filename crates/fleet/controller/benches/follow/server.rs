//! An API server with pods and SecretRotations that change, as far as they are listed, watched and shown.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::objects::{self, NAMESPACE};

/// How many pods and objects there are.
pub(crate) const PODS: usize = 5_000;
pub(crate) const OBJECTS: usize = 200;
/// How many objects have changed at the end.
pub(crate) const CHANGED: usize = TICKS;
/// A request to this begins the changes, and is answered when they are done.
pub(crate) const CHANGES: &str = "/changes";

pub(crate) const PODS_OF_EACH: usize = 10;
const SECRETS: usize = 200;
/// In each tick so many pods and one object change: 100 and 10 each second, for 10 s.
pub(crate) const TICKS: usize = 100;
pub(crate) const TICK: Duration = Duration::from_millis(100);
pub(crate) const PODS_OF_TICK: usize = 10;

const PODS_PATH: &str = "/api/v1/namespaces/shop/pods";
const OBJECTS_PATH: &str = "/apis/keyroll.dev/v1alpha1/namespaces/shop/secretrotations";
const DATE: &str = "Wed, 01 Jul 2026 12:00:00 GMT";
/// The version of all before the first change.
const FIRST: usize = 10_000;

/// What is in the namespace, and who asked for it.
struct Api {
    world: Mutex<World>,
    changed: Condvar,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// What is in the namespace.
struct World {
    /// The version of each pod.
    pods: Vec<usize>,
    objects: Vec<Value>,
    /// Each change makes the next version.
    log: Vec<Change>,
}

/// What changed.
enum Change {
    Pod(usize),
    Object(Value),
}

/// A request, as far as it matters.
struct Asked {
    path: String,
    query: String,
    /// No more than the metadata is asked for.
    is_metadata: bool,
    body: Vec<u8>,
}

/// Says its address, and for each line of its input how many requests it answered with how many bytes, until it ends.
pub(crate) fn serve() {
    let api: &'static Api = Box::leak(Box::new(Api::new()));
    http::listen(move |stream| connection(stream, api));
    for _ in io::stdin().lines().map_while(Result::ok) {
        println!("{} {}", api.requests.load(Ordering::SeqCst), api.bytes.load(Ordering::SeqCst));
    }
}

/// Answers the requests of one connection.
fn connection(stream: &TcpStream, api: &Api) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    while let Some(asked) = requested(&mut requests)? {
        if asked.path == CHANGES {
            api.change();
            http::answer(stream, Some(b"{}"), DATE)?;
            continue;
        }
        api.requests.fetch_add(1, Ordering::SeqCst);
        if asked.query.contains("watch=true") {
            api.watch(stream, &asked)?;
            continue;
        }
        let known = api.world.lock().unwrap().answer(&asked);
        api.changed.notify_all();
        let body = known.map(|known| known.to_string().into_bytes());
        api.bytes.fetch_add(body.as_ref().map_or(0, Vec::len), Ordering::SeqCst);
        http::answer(stream, body.as_deref(), DATE)?;
    }
    Ok(())
}

/// The next request; `None` at the end.
fn requested(requests: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if requests.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let (mut length, mut is_metadata) = (0, false);
    loop {
        let mut header = String::new();
        if requests.read_line(&mut header)? == 0 || header.trim_end().is_empty() {
            break;
        }
        is_metadata |= header.contains("PartialObjectMetadata");
        if let Some(text) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body)?;
    Ok(Some(Asked { path, query, is_metadata, body }))
}

impl Asked {
    /// A number of the query.
    fn number<N: FromStr>(&self, key: &str) -> Option<N> {
        let mut parts = self.query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| *name == key)?.1.parse().ok()
    }
}

impl Api {
    fn new() -> Self {
        let objects = (0..OBJECTS).map(object).collect();
        let world = World { pods: vec![FIRST; PODS], objects, log: Vec::new() };
        Self {
            world: Mutex::new(world),
            changed: Condvar::new(),
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Sends every change since a version, for as long as the watch is to last.
    fn watch(&self, mut stream: &TcpStream, asked: &Asked) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(asked.number("timeoutSeconds").unwrap());
        let mut seen = asked.number::<usize>("resourceVersion").unwrap() - FIRST;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {DATE}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let world = self.world.lock().unwrap();
            let waits = self.changed.wait_timeout_while(world, left, |world| world.log.len() <= seen);
            let (world, waited) = waits.unwrap();
            let lines: String = (seen..world.log.len())
                .filter_map(|at| line(asked, &world.log[at], FIRST + at + 1))
                .collect();
            seen = world.log.len();
            drop(world);
            if !lines.is_empty() {
                self.bytes.fetch_add(lines.len(), Ordering::SeqCst);
                stream.write_all(format!("{:x}\r\n{lines}\r\n", lines.len()).as_bytes())?;
            }
            if waited.timed_out() {
                return stream.write_all(b"0\r\n\r\n");
            }
        }
    }

    /// Changes pods and objects.
    fn change(&self) {
        let mut next = Instant::now();
        for tick in 0..TICKS {
            let mut world = self.world.lock().unwrap();
            for number in 0..PODS_OF_TICK {
                // Of all workloads, one after the other.
                let at = (tick * PODS_OF_TICK + number) * 7 % PODS;
                world.log.push(Change::Pod(at));
                let version = world.version();
                world.pods[at] = version;
            }
            world.put(tick, |object| {
                object["spec"]["rotate_every"] = json!("60d");
                object["metadata"]["generation"] = json!(2);
            });
            drop(world);
            self.changed.notify_all();
            next += TICK;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

impl World {
    fn version(&self) -> usize {
        FIRST + self.log.len()
    }

    fn answer(&mut self, asked: &Asked) -> Option<Value> {
        match asked.path.as_str() {
            PODS_PATH => Some(self.page(asked, PODS, &|at| pod(at, self.pods[at], asked.is_metadata))),
            OBJECTS_PATH => Some(self.page(asked, OBJECTS, &|at| self.objects[at].clone())),
            path => {
                let name = path.strip_prefix(OBJECTS_PATH)?.strip_prefix('/')?.strip_suffix("/status")?;
                self.show(name, &asked.body)
            }
        }
    }

    /// The objects of a kind, as many as were asked for.
    fn page(&self, asked: &Asked, count: usize, item: &dyn Fn(usize) -> Value) -> Value {
        let from: usize = asked.number("continue").unwrap_or(0);
        let to = asked.number("limit").map_or(count, |limit: usize| count.min(from + limit));
        let items: Vec<Value> = (from..to).map(item).collect();
        let next = if to < count { to.to_string() } else { String::new() };
        json!({
            "kind": "List", "apiVersion": "v1", "items": items,
            "metadata": { "resourceVersion": self.version().to_string(), "continue": next },
        })
    }

    /// Writes the status of an object. One that changed meanwhile is as absent: no object changes twice.
    fn show(&mut self, name: &str, body: &[u8]) -> Option<Value> {
        let at: usize = name.strip_prefix("secret-")?.parse().ok()?;
        let mut written: Value = serde_json::from_slice(body).unwrap();
        let version = &self.objects.get(at)?["metadata"]["resourceVersion"];
        if written["metadata"]["resourceVersion"] != *version {
            return None;
        }
        let status = written["status"].take();
        self.put(at, |object| object["status"] = status);
        self.objects.get(at).cloned()
    }

    /// Changes an object.
    fn put(&mut self, at: usize, change: impl FnOnce(&mut Value)) {
        let version = self.version() + 1;
        let object = &mut self.objects[at];
        change(object);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        self.log.push(Change::Object(object.clone()));
    }
}

/// What a watch says of the change that made this version; nothing, if it watches another kind.
fn line(asked: &Asked, change: &Change, version: usize) -> Option<String> {
    let event = match change {
        Change::Pod(at) if asked.path == PODS_PATH => {
            json!({ "type": "MODIFIED", "object": pod(*at, version, asked.is_metadata) })
        }
        Change::Object(object) if asked.path == OBJECTS_PATH => {
            json!({ "type": "MODIFIED", "object": object })
        }
        Change::Pod(_) | Change::Object(_) => return None,
    };
    Some(format!("{event}\n"))
}

/// The specification of a service's pods, with three containers.
pub(crate) fn spec(service: usize) -> Value {
    let mut spec = objects::pod_spec(service, SECRETS);
    add_third(&mut spec["containers"]);
    spec
}

/// A pod with three containers.
fn pod(at: usize, version: usize, is_metadata: bool) -> Value {
    let service = at / PODS_OF_EACH;
    let mut pod = objects::pod(service, at % PODS_OF_EACH, &spec(service));
    pod["metadata"]["resourceVersion"] = json!(version.to_string());
    if is_metadata {
        let metadata = pod["metadata"].take();
        return json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        });
    }
    add_third(&mut pod["status"]["containerStatuses"]);
    pod["kind"] = json!("Pod");
    pod["apiVersion"] = json!("v1");
    pod
}

/// A third container like the second one.
fn add_third(containers: &mut Value) {
    let mut third = containers[1].clone();
    third["name"] = json!("logs");
    containers.as_array_mut().unwrap().push(third);
}

/// A SecretRotation with three consumers, which `kubectl apply` made.
pub(crate) fn object(at: usize) -> Value {
    let name = format!("secret-{at:04}");
    let consumer = |word: &str| {
        json!({
            "name": word,
            "runs": { "deployment": format!("{word}-{at:04}") },
            "reads": { "secret": format!("credentials-{at:04}"), "key": "api-key" },
        })
    };
    let consumers = ["api", "worker", "reports"].map(consumer);
    let spec = json!({
        "issuer": "openrouter", "admin": "file:./openrouter.key", "rotate_every": "90d", "consumers": consumers,
    });
    let (version, kind, made) = ("keyroll.dev/v1alpha1", "SecretRotation", "2026-06-01T08:00:00Z");
    let applied = json!({
        "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
    });
    let applies = "kubectl.kubernetes.io/last-applied-configuration";
    let annotation = format!("f:{applies}");
    let written = json!({
        "f:metadata": { "f:annotations": { ".": {}, annotation: {} }, "f:labels": { ".": {} } },
        "f:spec": { ".": {}, "f:admin": {}, "f:consumers": {}, "f:issuer": {}, "f:rotate_every": {} },
    });
    json!({
        "apiVersion": version, "kind": kind, "spec": spec,
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": objects::uid(10, at), "generation": 1,
            "resourceVersion": FIRST.to_string(), "creationTimestamp": made,
            "labels": { "app.kubernetes.io/part-of": NAMESPACE, "app.kubernetes.io/managed-by": "people" },
            "annotations": { applies: applied.to_string() },
            "managedFields": [{
                "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": version, "time": made,
                "fieldsType": "FieldsV1", "fieldsV1": written,
            }],
        },
    })
}
