//! An API server of recorded answers.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::{Request, Response};
use keyroll_kube::Cluster;
use kube::client::Body;
use serde_json::{Value, json};

/// The namespace of its answers.
pub(crate) const NAMESPACE: &str = "shop";
/// When it answers.
pub(crate) const DATE: &str = "Wed, 01 Jul 2026 12:00:00 GMT";

/// What each API server has.
const KINDS: [&str; 10] = [
    "api/v1/secrets",
    "api/v1/configmaps",
    "api/v1/pods",
    "api/v1/serviceaccounts",
    "apis/apps/v1/replicasets",
    "apis/apps/v1/deployments",
    "apis/apps/v1/statefulsets",
    "apis/apps/v1/daemonsets",
    "apis/batch/v1/jobs",
    "apis/batch/v1/cronjobs",
];

/// The path of a kind in [`NAMESPACE`]: `api/v1/pods`.
pub(crate) fn path(kind: &str) -> String {
    let (group, plural) = kind.rsplit_once('/').unwrap();
    format!("/{group}/namespaces/{NAMESPACE}/{plural}")
}

/// An answer: its status and its text.
type Answer = (u16, String);

#[derive(Default)]
struct State {
    /// The answers of each request, in their order; the last one stays.
    answers: BTreeMap<String, VecDeque<Answer>>,
    asked: Vec<String>,
}

/// The server. A request is named by its path, with `?continue=TOKEN` for a later page of a list and ` metadata` where no
/// more is asked for. It is a Service of tower: each request that reads is answered, and any other one is a bug.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<State>>);

impl Recorded {
    /// One with an empty list of each kind, without kinds that are installed besides.
    pub(crate) fn new() -> Self {
        let recorded = Self::default();
        recorded.answers("/apis", &[(200, json!({ "groups": [] }))]);
        for kind in KINDS {
            recorded.lists(kind, &[]);
        }
        // What each namespace has from the beginning.
        recorded.lists("api/v1/serviceaccounts", &[json!({ "metadata": { "name": "default" } })]);
        recorded
    }

    /// These answers of a request, one after the other.
    pub(crate) fn answers(&self, request: &str, answers: &[(u16, Value)]) {
        let answers = answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
        self.0.lock().unwrap().answers.insert(request.to_owned(), answers);
    }

    /// This text as the answer of a request.
    pub(crate) fn says(&self, request: &str, text: &str) {
        self.0.lock().unwrap().answers.insert(request.to_owned(), [(200, text.to_owned())].into());
    }

    /// A list of a kind in one page. Secrets and ConfigMaps are listed with their metadata, too.
    pub(crate) fn lists(&self, kind: &str, items: &[Value]) {
        let body = list(items, None);
        self.answers(&path(kind), &[(200, body.clone())]);
        if ["api/v1/secrets", "api/v1/configmaps"].contains(&kind) {
            self.answers(&format!("{} metadata", path(kind)), &[(200, body)]);
        }
    }

    /// A kind that the login may not list.
    pub(crate) fn refuses(&self, kind: &str) {
        let plural = kind.rsplit('/').next().unwrap();
        self.answers(&path(kind), &[(403, status(403, &format!("{plural} is forbidden")))]);
    }

    /// What was asked, in its order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    /// How often a request was made.
    pub(crate) fn count(&self, request: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == request).count()
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

    fn answer(&self, request: &Request<Body>) -> Answer {
        // A review is posted, and changes nothing.
        let reviews =
            request.uri().path().rsplit('/').next().is_some_and(|kind| kind.starts_with("selfsubject"));
        assert!(reviews || request.method() == "GET", "it only reads");
        let query = request.uri().query().unwrap_or_default();
        let token = query.split('&').find(|part| part.starts_with("continue="));
        let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok());
        let metadata = accept.is_some_and(|accept| accept.contains("PartialObjectMetadata"));
        let mut name = request.uri().path().to_owned();
        if let Some(token) = token {
            name = format!("{name}?{token}");
        }
        if metadata {
            name.push_str(" metadata");
        }
        let mut state = self.0.lock().unwrap();
        state.asked.push(name.clone());
        let absent = || (404, status(404, "there is no such object").to_string());
        let Some(answers) = state.answers.get_mut(&name) else { return absent() };
        match answers.len() {
            0 | 1 => answers.front().cloned().unwrap_or_else(absent),
            _ => answers.pop_front().unwrap_or_else(absent),
        }
    }
}

/// A page of a list, with the token of the next one.
pub(crate) fn list(items: &[Value], token: Option<&str>) -> Value {
    json!({ "kind": "List", "metadata": { "continue": token.unwrap_or_default() }, "items": items })
}

/// An answer that refuses.
pub(crate) fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "Recorded" })
}

impl tower_service::Service<Request<Body>> for Recorded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (status, text) = self.answer(&request);
        let answer = Response::builder().status(status).header("date", DATE);
        ready(Ok(answer.body(Body::from(text.into_bytes())).unwrap()))
    }
}
