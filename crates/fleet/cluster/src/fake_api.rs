//! A fake API server that keeps objects: what is written is there afterwards, and what is refused is not.
//!
//! It answers as the real one does, in what the code here depends on. Sources:
//! - the statuses and their meaning:
//!   <https://github.com/kubernetes/community/blob/main/contributors/devel/sig-architecture/api-conventions.md#http-status-codes>;
//! - a JSON patch whose test fails, or whose place is not there: 422 without causes, by `applyJSPatch` of
//!   <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go> and
//!   `NewGenericServerResponse` of
//!   <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go>;
//! - an object that is not valid: 422 with a cause for each field, by `NewInvalid` of the same file; what of a Secret is
//!   immutable: `ValidateSecretUpdate` of
//!   <https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go>;
//! - a webhook that denies: `ToStatusErr` of
//!   <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go>;
//! - lists, their pages and selectors, dry runs, and a write that changes nothing and so makes no new version:
//!   <https://kubernetes.io/docs/reference/using-api/api-concepts/>;
//! - `managedFields`: see `fields`; deletion in the background and with finalizers:
//!   <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>.
//!
//! Left out: server-side apply, watches, rights, quotas, and the compaction of old writers into `ancient-changes`.

mod asked;
mod fields;
mod patch;
mod select;
mod store;
mod tests;
mod time;

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response};
use keyroll_kube::Cluster;
use kube::client::Body;
use serde_json::json;

use self::asked::Asked;
pub(crate) use self::store::Store;
use self::store::{Answer, refusal};
pub(crate) use self::time::{EPOCH, Time};
use crate::recorded::NAMESPACE;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks before the request arrives.
    LostRequest,
    /// The effect is there, and the connection breaks before the answer arrives.
    LostAnswer,
    /// The server fails after the effect: 500.
    Broken,
    /// The server answers with this status, and does nothing.
    Refused(u16),
    /// An admission webhook denies it with this status, also as a dry run.
    Denied(u16),
    /// So many milliseconds pass before the request arrives.
    Slow(u64),
}

/// A fault that is to come.
struct Planned {
    method: Method,
    /// How the path of the request ends.
    end: String,
    fault: Fault,
    /// It stays, for every such request.
    stays: bool,
}

/// What somebody else does right before a request arrives.
type Before = Box<dyn FnMut(&Asked, &mut Store) + Send>;

struct State {
    store: Store,
    planned: Vec<Planned>,
    before: Option<Before>,
    /// The requests that arrived: `PATCH /api/v1/namespaces/shop/secrets/api`.
    asked: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    /// One with a namespace that has only what each one has, at this time.
    pub(crate) fn new(time: Time) -> Self {
        let store = Store::new(time);
        Self(Arc::new(Mutex::new(State { store, planned: Vec::new(), before: None, asked: Vec::new() })))
    }

    /// Looks at what it keeps, or changes it as somebody else.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        act(&mut self.0.lock().unwrap().store)
    }

    /// The next request with this method to a path that ends so meets a fault.
    pub(crate) fn fails(&self, method: Method, end: &str, fault: Fault) {
        self.plan(method, end, fault, false);
    }

    /// Each such request does.
    pub(crate) fn always_fails(&self, method: Method, end: &str, fault: Fault) {
        self.plan(method, end, fault, true);
    }

    /// No request meets a fault any more. Whether all those that were planned for one request came.
    pub(crate) fn heals(&self) -> bool {
        let planned = std::mem::take(&mut self.0.lock().unwrap().planned);
        planned.iter().all(|one| one.stays)
    }

    fn plan(&self, method: Method, end: &str, fault: Fault, stays: bool) {
        let planned = Planned { method, end: end.to_owned(), fault, stays };
        self.0.lock().unwrap().planned.push(planned);
    }

    /// Before each request somebody else does this.
    pub(crate) fn before(&self, act: impl FnMut(&Asked, &mut Store) + Send + 'static) {
        self.0.lock().unwrap().before = Some(Box::new(act));
    }

    /// How many requests with this method came to a path that ends so.
    pub(crate) fn count(&self, method: &Method, end: &str) -> usize {
        let state = self.0.lock().unwrap();
        let is_it = |asked: &&String| asked.starts_with(method.as_str()) && asked.ends_with(end);
        state.asked.iter().filter(is_it).count()
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

    /// The answer and its date; an error: none comes.
    fn answer(&self, asked: &Asked) -> Result<(Answer, String), io::Error> {
        let mut state = self.0.lock().unwrap();
        let State { store, planned, before, asked: all } = &mut *state;
        let is_it = |one: &Planned| one.method == asked.method && asked.path.ends_with(&one.end);
        let at = planned.iter().position(is_it);
        let fault = at.map(|at| if planned[at].stays { planned[at].fault } else { planned.remove(at).fault });
        if fault == Some(Fault::LostRequest) {
            return Err(lost());
        }
        if let Some(Fault::Slow(ms)) = fault {
            store.time.pass(ms);
        }
        if let Some(before) = before {
            before(asked, store);
        }
        all.push(format!("{} {}", asked.method, asked.path));
        let answer = match fault {
            Some(Fault::Refused(code)) => refusal(code, reason(code), "it is refused", None),
            Some(Fault::Denied(code)) => denied(code, &asked.path),
            _ => store.answer(asked),
        };
        match fault {
            Some(Fault::LostAnswer) => Err(lost()),
            Some(Fault::Broken) => {
                Ok((refusal(500, "InternalError", "etcdserver: request timed out", None), store.time.date()))
            }
            _ => Ok((answer, store.time.date())),
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset")
}

/// The reason of a status. Source: `StatusReason` of
/// <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go>.
fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "",
    }
}

fn denied(code: u16, path: &str) -> Answer {
    let name = path.rsplit('/').next().unwrap_or_default();
    let message =
        format!("\"{name}\" is forbidden: admission webhook \"rules.example\" denied the request: no");
    refusal(code, reason(code), &message, Some(json!({ "name": name })))
}

impl tower_service::Service<Request<Body>> for FakeApi {
    type Response = Response<Body>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            let asked = Asked::of(&head, body);
            let ((status, answer), date) = server.answer(&asked)?;
            let response = Response::builder().status(status).header("date", date);
            Ok(response.body(Body::from(answer.to_string().into_bytes()))?)
        })
    }
}
