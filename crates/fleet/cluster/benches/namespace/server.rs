//! An API server of generated answers, as far as a look at a namespace asks it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::Scene;
use crate::http;
use crate::objects::{self, NAMESPACE};

/// How many objects a page has; the client asks for as many.
const PAGE: usize = 500;

/// What each API server has besides.
const EMPTY: [&str; 8] = [
    "/apis/apps/v1/namespaces/shop/statefulsets",
    "/apis/apps/v1/namespaces/shop/daemonsets",
    "/apis/batch/v1/namespaces/shop/jobs",
    "/apis/batch/v1/namespaces/shop/cronjobs",
    "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts",
    "/apis/external-secrets.io/v1/namespaces/shop/externalsecrets",
    "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasspodstatuses",
    "/api/v1/namespaces/shop/configmaps",
];

/// The answers: a request is named by its path, with the token of a later page and ` metadata` where no more is asked for.
#[derive(Default)]
struct Answers {
    all: Vec<Vec<u8>>,
    at: BTreeMap<String, usize>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// Says its address, and for each line of its input how many requests it answered with how many bytes, until it ends.
pub(crate) fn serve(scene: &Scene) {
    let answers: &'static Answers = Box::leak(Box::new(Answers::of(scene)));
    http::listen(move |stream| connection(stream, answers));
    for _ in io::stdin().lines().map_while(Result::ok) {
        println!("{} {}", answers.requests.load(Ordering::SeqCst), answers.bytes.load(Ordering::SeqCst));
    }
}

/// Answers the requests of one connection.
fn connection(stream: &TcpStream, answers: &Answers) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    while let Some(name) = requested(&mut requests)? {
        let known = match name.strip_prefix('/').and_then(|number| number.parse::<usize>().ok()) {
            // One of all, for the peer.
            Some(number) => answers.all.get(number),
            None => {
                let known = answers.at.get(&name).and_then(|number| answers.all.get(*number));
                answers.requests.fetch_add(1, Ordering::SeqCst);
                answers.bytes.fetch_add(known.map_or(0, Vec::len), Ordering::SeqCst);
                known
            }
        };
        http::answer(stream, known.map(Vec::as_slice), "Wed, 01 Jul 2026 12:00:00 GMT")?;
    }
    Ok(())
}

/// The name of the next request; `None` at the end.
fn requested(requests: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if requests.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let token = query.split('&').find(|part| part.starts_with("continue="));
    let mut metadata = "";
    loop {
        let mut header = String::new();
        if requests.read_line(&mut header)? == 0 || header.trim_end().is_empty() {
            break;
        }
        if header.contains("PartialObjectMetadata") {
            metadata = " metadata";
        }
    }
    Ok(Some(format!("{path}{}{metadata}", token.map(|token| format!("?{token}")).unwrap_or_default())))
}

impl Answers {
    fn of(scene: &Scene) -> Self {
        let mut answers = Self::default();
        let groups = [
            ("apps", "v1"),
            ("batch", "v1"),
            ("argoproj.io", "v1alpha1"),
            ("external-secrets.io", "v1"),
            ("secrets-store.csi.x-k8s.io", "v1"),
        ];
        let group = |(name, version): &(&str, &str)| {
            let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
            json!({ "name": name, "versions": [version], "preferredVersion": version })
        };
        let groups: Vec<Value> = groups.iter().map(group).collect();
        answers.add(
            "/apis".to_owned(),
            &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }),
        );
        for path in EMPTY {
            answers.list(path, "", &mut std::iter::empty::<Value>());
        }
        let core = |plural: &str| format!("/api/v1/namespaces/{NAMESPACE}/{plural}");
        let apps = |plural: &str| format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}");
        let Scene { workloads, pods_of_each, secrets, .. } = *scene;
        let account =
            json!({ "metadata": { "name": "default", "namespace": NAMESPACE, "uid": objects::uid(0, 0) } });
        answers.list(&core("serviceaccounts"), "", &mut std::iter::once(account));
        let all: Vec<Value> = (0..secrets).map(objects::secret).collect();
        let metadata = all.iter().map(|one| json!({ "metadata": one.get("metadata") }));
        answers.list(&core("secrets"), " metadata", &mut metadata.collect::<Vec<_>>().into_iter());
        answers.list(&core("secrets"), "", &mut all.into_iter());
        // The same template for a workload and its pods: a text in it may be a credential.
        let specs: Vec<Value> = (0..workloads).map(|at| objects::pod_spec(at, secrets)).collect();
        let mut pods = specs
            .iter()
            .enumerate()
            .flat_map(|(at, spec)| (0..pods_of_each).map(move |pod| objects::pod(at, pod, spec)));
        answers.list(&core("pods"), "", &mut pods);
        let of_all = |make: fn(usize, &Value, usize) -> Value| {
            specs.iter().enumerate().map(move |(at, spec)| make(at, spec, pods_of_each))
        };
        answers.list(&apps("deployments"), "", &mut of_all(objects::deployment));
        answers.list(&apps("replicasets"), "", &mut of_all(objects::replica_set));
        answers
    }

    /// A list of a kind in pages.
    fn list(&mut self, path: &str, metadata: &str, items: &mut dyn Iterator<Item = Value>) {
        let mut items = items.peekable();
        let mut token = None;
        for page in 1.. {
            let own: Vec<Value> = items.by_ref().take(PAGE).collect();
            let next = items.peek().map(|_| format!("page{page}"));
            let body = json!({
                "kind": "List", "apiVersion": "v1", "items": own,
                "metadata": { "resourceVersion": "4711", "continue": next.as_deref().unwrap_or_default() },
            });
            let later = token.map(|token| format!("?continue={token}")).unwrap_or_default();
            self.add(format!("{path}{later}{metadata}"), &body);
            token = next;
            if token.is_none() {
                return;
            }
        }
    }

    fn add(&mut self, name: String, body: &Value) {
        self.at.insert(name, self.all.len());
        self.all.push(body.to_string().into_bytes());
    }
}
