//! An API server with one Secret and the workloads that take it, which can be written.

use std::io::{self, BufRead, BufReader, Read as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http;
use crate::objects::{self, NAMESPACE};

/// The Secret that all of them take, and its key that is rotated.
pub(crate) const SECRET: &str = "credentials-000";
pub(crate) const KEY: &str = "api-key";

const PODS_OF_EACH: usize = 2;
/// When the first pods were made: after the last change of the Secret.
const MADE: &str = "2026-07-01T11:00:00Z";

/// What is in the namespace.
struct World {
    secret: Value,
    workloads: Vec<Workload>,
    /// Seconds since noon.
    now: usize,
}

/// A Deployment with what it made.
struct Workload {
    deployment: Value,
    sets: Vec<Value>,
    pods: Vec<Value>,
}

/// A request, as far as it matters.
struct Asked {
    method: String,
    path: String,
    query: String,
    body: Vec<u8>,
}

/// Reads the value of the Secret, says its address, and for each further line of its input how many requests it answered.
pub(crate) fn serve(workloads: usize) {
    let mut input = io::stdin().lines().map_while(Result::ok);
    let value = input.next().unwrap();
    let world = Arc::new(Mutex::new(World::new(&value, workloads)));
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    http::listen(move |stream| connection(stream, &world, &count));
    for _ in input {
        println!("{}", answered.load(Ordering::SeqCst));
    }
}

/// Answers the requests of one connection.
fn connection(stream: &TcpStream, world: &Mutex<World>, count: &AtomicUsize) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    while let Some(asked) = requested(&mut requests)? {
        count.fetch_add(1, Ordering::SeqCst);
        let (known, date) = {
            let mut world = world.lock().unwrap();
            (world.answer(&asked), world.time(("Wed, 01 Jul 2026 ", " GMT")))
        };
        let body = known.map(|known| known.to_string().into_bytes());
        http::answer(stream, body.as_deref(), &date)?;
    }
    Ok(())
}

/// The next request; `None` at the end.
fn requested(requests: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if requests.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if requests.read_line(&mut header)? == 0 || header.trim_end().is_empty() {
            break;
        }
        if let Some(text) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body)?;
    Ok(Some(Asked { method, path, query, body }))
}

impl World {
    fn new(value: &str, workloads: usize) -> Self {
        let mut secret = objects::secret(0);
        secret["data"][KEY] = json!(k8s_openapi::ByteString(value.as_bytes().to_vec()));
        let workloads = (0..workloads).map(Workload::new).collect();
        Self { secret, workloads, now: 0 }
    }

    /// The time between these.
    fn time(&self, (before, after): (&str, &str)) -> String {
        let (hours, minutes, seconds) = (12 + self.now / 3600, self.now / 60 % 60, self.now % 60);
        format!("{before}{hours:02}:{minutes:02}:{seconds:02}{after}")
    }

    fn answer(&mut self, asked: &Asked) -> Option<Value> {
        if asked.path == "/apis" {
            let group = |name: &str| {
                let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
                json!({ "name": name, "versions": [version], "preferredVersion": version })
            };
            let groups: Vec<Value> = ["apps", "batch"].map(group).into();
            return Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }));
        }
        let below = asked.path.split_once(&format!("/namespaces/{NAMESPACE}/"))?.1;
        if asked.method == "PATCH" {
            let patch: Value = serde_json::from_slice(&asked.body).unwrap();
            return self.patched(below, &patch);
        }
        assert_eq!(asked.method, "GET");
        match below.split_once('/') {
            Some(("secrets", SECRET)) => Some(self.secret.clone()),
            Some(("deployments", name)) => Some(self.workloads.get(number(name)?)?.deployment.clone()),
            Some(_) => None,
            None => Some(self.list(below, number(&asked.query))),
        }
    }

    /// The objects of a kind; `at`: those of one workload.
    fn list(&self, plural: &str, at: Option<usize>) -> Value {
        let own = |(number, _): &(usize, &Workload)| at.is_none_or(|at| at == *number);
        let workloads = self.workloads.iter().enumerate().filter(own).map(|(_, workload)| workload);
        let items: Vec<&Value> = match plural {
            "secrets" => vec![&self.secret],
            "deployments" => workloads.map(|one| &one.deployment).collect(),
            "replicasets" => workloads.flat_map(|one| &one.sets).collect(),
            "pods" => workloads.flat_map(|one| &one.pods).collect(),
            _ => Vec::new(),
        };
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "4711" }, "items": items })
    }

    /// Changes an object. A minute later, everything that this begins is done.
    fn patched(&mut self, below: &str, patch: &Value) -> Option<Value> {
        let now = self.time(("2026-07-01T", "Z"));
        let version = json!((5000 + self.now).to_string());
        self.now += 60;
        let (plural, name) = below.split_once('/')?;
        if plural == "secrets" {
            change(&mut self.secret, patch);
            let written = json!({
                "manager": "keyroll", "operation": "Update", "apiVersion": "v1", "time": now, "fieldsType": "FieldsV1",
                "fieldsV1": { "f:data": { "f:api-key": {} } },
            });
            self.secret["metadata"]["resourceVersion"] = version;
            self.secret["metadata"]["managedFields"].as_array_mut().unwrap().push(written);
            return Some(self.secret.clone());
        }
        let at = number(name)?;
        let workload = self.workloads.get_mut(at)?;
        change(&mut workload.deployment, patch);
        workload.deployment["metadata"]["resourceVersion"] = version;
        workload.roll_out(at, &now);
        Some(workload.deployment.clone())
    }
}

impl Workload {
    fn new(at: usize) -> Self {
        let spec = objects::pod_spec(at, 1);
        let mut deployment = objects::deployment(at, &spec, PODS_OF_EACH);
        deployment["status"]["availableReplicas"] = json!(PODS_OF_EACH);
        let set = objects::replica_set(at, &spec, PODS_OF_EACH);
        let pods = (0..PODS_OF_EACH).map(|number| made(objects::pod(at, number, &spec), MADE)).collect();
        Self { deployment, sets: vec![set], pods }
    }

    /// Replaces the pods by those of the present template.
    fn roll_out(&mut self, at: usize, now: &str) {
        let generation = self.deployment["metadata"]["generation"].as_u64().unwrap() + 1;
        self.deployment["metadata"]["generation"] = json!(generation);
        self.deployment["status"]["observedGeneration"] = json!(generation);
        let template = self.deployment["spec"]["template"].clone();
        for former in &mut self.sets {
            former["spec"]["replicas"] = json!(0);
            former["status"] = json!({ "replicas": 0, "observedGeneration": 4 });
        }
        let mut set = objects::replica_set(at, &template["spec"], PODS_OF_EACH);
        let (name, uid) = (format!("service-{at:03}-next"), objects::uid(8, at));
        set["metadata"]["name"] = json!(name);
        set["metadata"]["uid"] = json!(uid);
        set["metadata"]["creationTimestamp"] = json!(now);
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("4");
        set["spec"]["template"] = template.clone();
        self.sets.push(set);
        let pod = |number: usize| {
            let mut pod = made(objects::pod(at, number, &template["spec"]), now);
            pod["metadata"]["name"] = json!(format!("{name}-{number}"));
            pod["metadata"]["uid"] = json!(objects::uid(9, at * PODS_OF_EACH + number));
            pod["metadata"]["ownerReferences"][0]["name"] = json!(name);
            pod["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
            pod
        };
        self.pods = (0..PODS_OF_EACH).map(pod).collect();
    }
}

/// A pod that was made and started at this time.
fn made(mut pod: Value, time: &str) -> Value {
    pod["metadata"]["creationTimestamp"] = json!(time);
    for container in pod["status"]["containerStatuses"].as_array_mut().unwrap() {
        container["state"]["running"]["startedAt"] = json!(time);
    }
    pod
}

/// Changes an object as a JSON patch says. Nobody else changes it, so that each test holds.
fn change(object: &mut Value, patch: &Value) {
    for one in patch.as_array().unwrap().iter().filter(|one| one["op"] != "test") {
        let (parent, key) = one["path"].as_str().unwrap().rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).expect("the object around it");
        parent.insert(key, one["value"].clone());
    }
}

/// The number of the service that a text names.
fn number(text: &str) -> Option<usize> {
    text.split_once("service-")?.1.get(..3)?.parse().ok()
}
