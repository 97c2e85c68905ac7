//! A fake API server with one Secret, behind the client of Kubernetes, and adapters for it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{Method, Request, Response};
use keyroll_kube::Cluster;
use keyroll_port::Truth;
use keyroll_secret::Credential;
use keyroll_testkit::tag;
use keyroll_truth::{KubernetesSecret, kubernetes};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_service::Service;

use crate::sample::{KEY, credential, shown, value};

/// The only Secret of the fake.
const PATH: &str = "/api/v1/namespaces/shop/secrets/agents";

/// What the next request with a method gets.
pub(crate) enum Next {
    /// This answer, without an effect.
    Answer(u16, Value),
    /// No answer, although it is carried out.
    Lost,
    /// What it must, after somebody else has written this value.
    After(String),
}

/// An API server with the Secret `agents` in the namespace `shop`.
#[derive(Clone)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

struct State {
    /// `None`: it was deleted.
    secret: Option<Value>,
    /// The resource version that was given last.
    version: u64,
    may_patch: bool,
    next: VecDeque<(Method, Next)>,
    /// A line for each request: its method and its path.
    log: Vec<String>,
}

impl FakeApi {
    /// The Secret has this value, and another key beside it.
    pub(crate) fn new(old: &Credential, beside: &str) -> Self {
        let secret = json!({
            "kind": "Secret", "apiVersion": "v1", "type": "Opaque",
            "metadata": { "name": "agents", "namespace": "shop", "uid": "0b6e-41", "resourceVersion": "1" },
            "data": { KEY: STANDARD.encode(value(old)), "OTHER": STANDARD.encode(beside) },
        });
        let next = VecDeque::new();
        let state = State { secret: Some(secret), version: 1, may_patch: true, next, log: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes the Secret as somebody else does.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        edit(state.secret.as_mut().expect("a Secret"));
        state.stamp(None);
    }

    pub(crate) fn put(&self, key: &str, text: &str) {
        self.edit(|secret| secret["data"][key] = json!(STANDARD.encode(text)));
    }

    pub(crate) fn delete(&self) {
        self.state().secret = None;
    }

    pub(crate) fn forbid_patches(&self) {
        self.state().may_patch = false;
    }

    pub(crate) fn next(&self, method: Method, next: Next) {
        self.state().next.push_back((method, next));
    }

    /// What the Secret has besides its version.
    pub(crate) fn content(&self) -> Value {
        let mut secret = self.state().secret.clone().expect("a Secret");
        let metadata = secret["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| key != "resourceVersion" && key != "managedFields");
        secret
    }

    /// What stands under a key.
    pub(crate) fn text(&self, key: &str) -> String {
        let text = self.content()["data"][key].as_str().unwrap().to_owned();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    }

    /// How many requests had this method.
    pub(crate) fn count(&self, method: &Method) -> usize {
        let begins = format!("{method} ");
        self.state().log.iter().filter(|line| line.starts_with(&begins)).count()
    }

    /// The adapter, in a runtime.
    pub(crate) fn open(&self) -> Box<dyn Truth> {
        let cluster = Cluster {
            client: Client::new(self.clone(), "shop"),
            namespace: "shop".to_owned(),
            server: "https://127.0.0.1:6443".to_owned(),
            options: "--context prod -n shop".to_owned(),
        };
        let secret = KubernetesSecret {
            name: "agents".to_owned(),
            key: KEY.to_owned(),
            field: "value".to_owned(),
            reference: format!("k8s:shop/agents#{KEY}"),
            context: Some("prod".to_owned()),
        };
        let truth = kubernetes(secret, &cluster).unwrap_or_else(|failure| panic!("{}", shown(&failure)));
        Box::new(truth)
    }
}

/// The answer without an object, as an API server forms it.
pub(crate) fn status(code: u16, reason: &str, message: &str, details: &Value) -> Next {
    let (code, body) = failure(code, reason, message, details);
    Next::Answer(code, body)
}

fn failure(code: u16, reason: &str, message: &str, details: &Value) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    });
    (code, body)
}

impl State {
    /// A new version, by this writer of the value.
    fn stamp(&mut self, writer: Option<&str>) {
        self.version += 1;
        let Some(secret) = &mut self.secret else { return };
        secret["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let fields = json!({ "f:data": { (format!("f:{KEY}")): {} } });
        let time = "2026-11-29T20:57:01Z";
        if let Some(manager) = writer {
            secret["metadata"]["managedFields"] = json!([{
                "manager": manager, "operation": "Update", "apiVersion": "v1", "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }]);
        }
    }

    fn carry_out(&mut self, request: &Request<()>, body: &[u8]) -> (u16, Value) {
        let (method, path) = (request.method(), request.uri().path());
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" && method == Method::POST {
            let mut review: Value = serde_json::from_slice(body).unwrap();
            let asked =
                json!({ "namespace": "shop", "verb": "patch", "resource": "secrets", "name": "agents" });
            assert_eq!(review["spec"]["resourceAttributes"], asked);
            review["status"] = json!({ "allowed": self.may_patch });
            return (201, review);
        }
        assert_eq!(path, PATH);
        let Some(secret) = &self.secret else {
            let details = json!({ "name": "agents", "kind": "secrets" });
            return failure(404, "NotFound", "secrets \"agents\" not found", &details);
        };
        if method == Method::GET {
            return (200, secret.clone());
        }
        assert_eq!((method, request.uri().query()), (&Method::PATCH, Some("fieldManager=keyroll")));
        assert_eq!(request.headers()["content-type"], "application/json-patch+json");
        let Some(patched) = patched(secret, body) else {
            let message = "the server rejected our request due to an error in our request";
            return failure(422, "Invalid", message, &json!({}));
        };
        self.secret = Some(patched);
        self.stamp(Some("keyroll"));
        (200, self.secret.clone().unwrap())
    }
}

/// The object after a JSON patch of tests and replacements; `None` where a test fails.
fn patched(object: &Value, patch: &[u8]) -> Option<Value> {
    let mut object = object.clone();
    let patch: Vec<Value> = serde_json::from_slice(patch).unwrap();
    for step in patch {
        let there = object.pointer_mut(step["path"].as_str().unwrap())?;
        match step["op"].as_str().unwrap() {
            "test" if *there == step["value"] => {}
            "test" => return None,
            "replace" => *there = step["value"].clone(),
            other => panic!("{other}"),
        }
    }
    Some(object)
}

impl Service<Request<Body>> for FakeApi {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(io::Error::other)?;
            let request = Request::from_parts(parts, ());
            let mut state = api.state();
            let method = request.method().clone();
            state.log.push(format!("{method} {}", request.uri()));
            let is_next = state.next.front().is_some_and(|(wanted, _)| *wanted == method);
            let next = if is_next { state.next.pop_front() } else { None };
            let (code, answer) = match next {
                None => state.carry_out(&request, &body),
                Some((_, Next::Answer(code, answer))) => (code, answer),
                Some((_, Next::Lost)) => {
                    state.carry_out(&request, &body);
                    return Err(io::Error::from(io::ErrorKind::ConnectionReset));
                }
                Some((_, Next::After(text))) => {
                    let secret = state.secret.as_mut().expect("a Secret");
                    secret["data"][KEY] = json!(STANDARD.encode(text));
                    state.stamp(None);
                    state.carry_out(&request, &body)
                }
            };
            Ok(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap())
        })
    }
}

/// A fake with a value, and the value.
pub(crate) fn scene() -> (FakeApi, Credential) {
    let old = credential();
    (FakeApi::new(&old, &tag()), old)
}
