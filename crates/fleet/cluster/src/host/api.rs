//! Requests that change objects, and those that read one.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_copy::Pointer;
use keyroll_kube::{Cluster, Effect, failure};
use keyroll_port::{Class, Failure, FailureKind};
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::read::page;
use crate::read::requests::{Trouble, date_of, exchange, path_of, status_of};

/// As whom keyroll writes, in `managedFields`.
const MANAGER: &str = "keyroll";

/// The objects of one namespace.
#[derive(Clone, Copy)]
pub(super) struct Api<'c> {
    pub(super) cluster: &'c Cluster,
    /// What no dry run could ask, one sentence each.
    pub(super) untried: &'c Mutex<BTreeSet<String>>,
}

/// What a patch did.
#[derive(Debug)]
pub(super) enum Patched<K> {
    /// The object is as asked. It is what the server answered.
    Done(Box<K>),
    /// Nothing was changed: the object is not the one that the patch was made from.
    Overtaken,
    /// Nothing was changed: there is no such object.
    Gone,
}

/// What the making of an object did.
#[derive(Debug)]
pub(super) enum Created<K> {
    /// It was made.
    Done(Box<K>),
    /// Nothing was made: there is one of this name.
    Exists,
}

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Listed<K> {
    pub(super) items: Vec<K>,
    /// When the last page was answered, by the server's clock; `None`: the answer does not say it.
    pub(super) date: Option<i64>,
}

/// One request.
struct Call<'a> {
    method: Method,
    path: String,
    form: &'static str,
    body: Zeroizing<Vec<u8>>,
    attempted: &'a str,
    effect: Effect,
}

impl<'a> Call<'a> {
    /// One that only reads.
    fn read(path: String, attempted: &'a str) -> Self {
        let body = Zeroizing::new(Vec::new());
        Self { method: Method::GET, path, form: JSON, body, attempted, effect: Effect::None }
    }
}

/// How many objects a page of a list has at most.
const PAGE: u32 = 500;
/// How many pages a list has at most.
const PAGES_MAX: usize = 100;

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

impl Api<'_> {
    /// The path of the objects of a kind: `path("", "v1", "secrets")`.
    pub(super) fn path(self, group: &str, version: &str, plural: &str) -> String {
        path_of(&self.cluster.namespace, group, version, plural)
    }

    /// The path of a Secret.
    pub(super) fn secret(self, name: &str) -> String {
        format!("{}/{name}", self.path("", "v1", "secrets"))
    }

    /// The path of what runs pods.
    pub(super) fn workload(self, kind: WorkloadKind, name: &str) -> String {
        let (group, plural) = match kind {
            WorkloadKind::Deployment => ("apps", "deployments"),
            WorkloadKind::StatefulSet => ("apps", "statefulsets"),
            WorkloadKind::DaemonSet => ("apps", "daemonsets"),
            WorkloadKind::CronJob => ("batch", "cronjobs"),
            WorkloadKind::Job => ("batch", "jobs"),
            WorkloadKind::Pod => ("", "pods"),
        };
        format!("{}/{name}", self.path(group, "v1", plural))
    }

    /// Reads one object; `None`: there is none. Without a version the server does not ask its own cache.
    pub(super) async fn get<K: DeserializeOwned>(
        self,
        path: &str,
        attempted: &str,
    ) -> Result<Option<K>, Failure> {
        Ok(self.get_dated(path, attempted).await?.0)
    }

    /// Reads one object, and when the answer was made by the server's clock, if the answer says it.
    pub(super) async fn get_dated<K: DeserializeOwned>(
        self,
        path: &str,
        attempted: &str,
    ) -> Result<(Option<K>, Option<i64>), Failure> {
        match self.ask_dated(Call::read(path.to_owned(), attempted)).await? {
            (Answer::Done(body), date) => Ok((Some(parsed(&body, attempted, Effect::None)?), date)),
            (Answer::Refused(404, _), date) => Ok((None, date)),
            (Answer::Refused(_, refused), _) => Err(refused),
            (Answer::Untried(_), _) => Err(odd(attempted)),
        }
    }

    /// Reads the objects at a path that a selector fits; an empty one fits all. `None`: the server does not have this kind.
    pub(super) async fn list<K: DeserializeOwned>(
        self,
        path: &str,
        selector: &str,
        attempted: &str,
    ) -> Result<Option<Listed<K>>, Failure> {
        let all = kube::core::Request::new(path);
        let (mut listed, mut token) = (Listed { items: Vec::new(), date: None }, None::<String>);
        for _ in 0..PAGES_MAX {
            let mut params = ListParams::default().limit(PAGE);
            if !selector.is_empty() {
                params = params.labels(selector);
            }
            if let Some(token) = &token {
                params = params.continue_token(token);
            }
            let request = all.list(&params);
            let request = request
                .map_err(|error| failure(attempted, kube::Error::BuildRequest(error), Effect::None))?;
            let (answer, date) = self.ask_dated(Call::read(request.uri().to_string(), attempted)).await?;
            let body = match answer {
                Answer::Done(body) => body,
                Answer::Refused(404, _) => return Ok(None),
                Answer::Refused(_, refused) => return Err(refused),
                Answer::Untried(_) => return Err(odd(attempted)),
            };
            let read = page::read::<K>(&body, &mut |object| listed.items.push(object));
            let read =
                read.map_err(|error| failure(attempted, kube::Error::SerdeError(error), Effect::None))?;
            listed.date = date;
            token = read.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(Some(listed));
            }
        }
        Err(Failure::new(Class::Retryable, Code::ClusterUnreachable, attempted)
            .because("the list does not end"))
    }

    /// Changes an object by a JSON patch, which names by its `test`s what it was made from.
    /// Source: <https://datatracker.ietf.org/doc/html/rfc6902#section-5>: nothing is changed where a test fails.
    pub(super) async fn patch<K: DeserializeOwned>(
        self,
        path: &str,
        patch: Zeroizing<Vec<u8>>,
        attempted: &str,
    ) -> Result<Patched<K>, Failure> {
        let path = format!("{path}?fieldManager={MANAGER}");
        let effect = Effect::Maybe;
        let call = Call { method: Method::PATCH, path, form: JSON_PATCH, body: patch, attempted, effect };
        match self.ask(call).await? {
            Answer::Done(body) => Ok(Patched::Done(Box::new(parsed(&body, attempted, effect)?))),
            Answer::Refused(409 | 422, _) => Ok(Patched::Overtaken),
            Answer::Refused(404, _) => Ok(Patched::Gone),
            Answer::Refused(_, refused) => Err(refused),
            Answer::Untried(_) => Err(odd(attempted)),
        }
    }

    /// Makes an object, among those of this path.
    pub(super) async fn create<K: DeserializeOwned>(
        self,
        path: &str,
        object: Zeroizing<Vec<u8>>,
        attempted: &str,
    ) -> Result<Created<K>, Failure> {
        let path = format!("{path}?fieldManager={MANAGER}");
        let effect = Effect::Maybe;
        let call = Call { method: Method::POST, path, form: JSON, body: object, attempted, effect };
        match self.ask(call).await? {
            Answer::Done(body) => Ok(Created::Done(Box::new(parsed(&body, attempted, effect)?))),
            Answer::Refused(409, _) => Ok(Created::Exists),
            Answer::Refused(_, refused) => Err(refused),
            Answer::Untried(_) => Err(odd(attempted)),
        }
    }

    /// Deletes an object and, in the background, what it owns. False: there was none.
    pub(super) async fn delete(self, path: &str, attempted: &str) -> Result<bool, Failure> {
        let body = br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}"#;
        let call = Call {
            method: Method::DELETE,
            path: path.to_owned(),
            form: JSON,
            body: Zeroizing::new(body.to_vec()),
            attempted,
            effect: Effect::Maybe,
        };
        match self.ask(call).await? {
            Answer::Done(_) => Ok(true),
            Answer::Refused(404, _) => Ok(false),
            Answer::Refused(_, refused) => Err(refused),
            Answer::Untried(_) => Err(odd(attempted)),
        }
    }

    /// Asks the server to refuse a patch that it would refuse; nothing is changed. Rights, quotas and admission rules speak.
    /// Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run>.
    pub(super) async fn try_patch(
        self,
        path: &str,
        patch: Zeroizing<Vec<u8>>,
        attempted: &str,
    ) -> Result<(), Failure> {
        let path = tried(path);
        let effect = Effect::Maybe;
        let call = Call { method: Method::PATCH, path, form: JSON_PATCH, body: patch, attempted, effect };
        let or = |status: u16| matches!(status, 409 | 422).then(|| overtaken(attempted));
        self.rehearse(call, &or).await
    }

    /// The same for the making of an object of a name that nobody has.
    pub(super) async fn try_create(
        self,
        path: &str,
        object: Zeroizing<Vec<u8>>,
        attempted: &str,
    ) -> Result<(), Failure> {
        let path = tried(path);
        let effect = Effect::Maybe;
        let call = Call { method: Method::POST, path, form: JSON, body: object, attempted, effect };
        self.rehearse(call, &|_| None).await
    }

    /// `or`: the failure of a status, if it is not the usual one.
    async fn rehearse(
        self,
        call: Call<'_>,
        or: &(dyn Fn(u16) -> Option<Failure> + Send + Sync),
    ) -> Result<(), Failure> {
        let attempted = call.attempted;
        let refused = match self.ask(call).await {
            Ok(Answer::Done(_)) => return Ok(()),
            Ok(Answer::Untried(why)) => {
                let line = untried(attempted, &why);
                self.untried.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
                return Ok(());
            }
            Ok(Answer::Refused(status, refused)) => or(status).unwrap_or(refused),
            Err(failure) => failure,
        };
        // Whatever happened to it, it changed nothing.
        Err(repeatable(refused))
    }

    async fn ask(self, call: Call<'_>) -> Result<Answer, Failure> {
        Ok(self.ask_dated(call).await?.0)
    }

    /// The answer, and when it was made by the server's clock, if it says so.
    async fn ask_dated(self, call: Call<'_>) -> Result<(Answer, Option<i64>), Failure> {
        let Call { method, path, form, mut body, attempted, effect } = call;
        let built =
            Request::builder().method(method).uri(path).header(ACCEPT, JSON).header(CONTENT_TYPE, form);
        let request = built.body(std::mem::take(&mut *body));
        let request =
            request.map_err(|error| failure(attempted, kube::Error::HttpError(error), Effect::None))?;
        let answered = exchange(&self.cluster.client, request).await;
        let (head, body) =
            answered.map_err(|trouble| unreached(failure(attempted, Trouble::error(trouble), effect)))?;
        let date = date_of(&head);
        if head.status.is_success() {
            return Ok((Answer::Done(body), date));
        }
        let status = status_of(&head, &body);
        if status.code == 400 && status.message.ends_with(NO_DRY_RUN) {
            return Ok((Answer::Untried(status.message), date));
        }
        // An answer to a wrong object names its fields; one to a test that failed names none.
        // Source: `applyJSPatch` of <https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/patch.go>.
        let has_causes = status.details.as_ref().is_some_and(|details| !details.causes.is_empty());
        let is_invalid = status.code == 422 && (has_causes || status.message.contains(DENIED));
        let refused = failure(attempted, kube::Error::Api(status.clone().boxed()), effect);
        if is_invalid {
            return Err(refused);
        }
        Ok((Answer::Refused(status.code, unreached(refused)), date))
    }
}

enum Answer {
    Done(Zeroizing<Vec<u8>>),
    Refused(u16, Failure),
    /// An admission webhook cannot be asked without an effect, so nothing was asked. What the server says of it.
    Untried(String),
}

/// The end of what the server says of a webhook that cannot be asked without an effect. Source: `NewDryRunUnsupportedErr` of
/// <https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/webhook/errors/statuserror.go>.
const NO_DRY_RUN: &str = "does not support dry run";

/// What is said of a request that was not tried. `why` names the webhook.
fn untried(attempted: &str, why: &str) -> String {
    format!("whether the cluster lets keyroll {attempted}: it was not tried, because the {why}")
}
/// What the server says of a webhook that denies, whatever status that has. Source: `ToStatusErr` of the same file.
const DENIED: &str = " denied the request";

/// The path of a request that changes nothing.
fn tried(path: &str) -> String {
    format!("{path}?dryRun=All&fieldManager={MANAGER}")
}

/// The failure of an answer that only a dry run gets.
fn odd(attempted: &str) -> Failure {
    Failure::new(Class::Permanent, Code::ClusterAccess, attempted).because("it answers as to a dry run")
}

/// A cluster that does not answer is a host that is away.
pub(super) fn unreached(failure: Failure) -> Failure {
    let away = failure.code == Code::ClusterUnreachable && failure.kind == FailureKind::Other;
    if away { failure.kind(FailureKind::Unreached) } else { failure }
}

/// The failure of what may be done again after an unknown outcome.
pub(super) fn repeatable(failure: Failure) -> Failure {
    let class = if failure.class == Class::Unknown { Class::Retryable } else { failure.class };
    Failure { class, ..failure }
}

fn parsed<K: DeserializeOwned>(body: &[u8], attempted: &str, effect: Effect) -> Result<K, Failure> {
    serde_json::from_slice(body).map_err(|error| failure(attempted, kube::Error::SerdeError(error), effect))
}

/// Somebody else changed an object meanwhile.
pub(super) fn overtaken(attempted: impl Into<String>) -> Failure {
    Failure::new(Class::Retryable, Code::FileChanged, attempted).because("somebody else changed it meanwhile")
}

/// The metadata of an object.
pub(super) const OWN: &str = "/metadata";
/// The metadata of the pods of a workload that is rolled out.
pub(super) const PODS: &str = "/spec/template/metadata";

/// A patch that gives an object this annotation, in the metadata at a place of the object: `/metadata`. It changes only the
/// version of the object that was read.
pub(super) fn annotation(object: &Value, metadata: &str, name: &str, text: &str) -> Zeroizing<Vec<u8>> {
    changed(object, vec![annotate(object, metadata, name, text)])
}

/// The part of a patch that gives an object an annotation.
pub(super) fn annotate(object: &Value, metadata: &str, name: &str, text: &str) -> Value {
    let annotations = format!("{metadata}/annotations");
    match object.pointer(&annotations).and_then(Value::as_object) {
        Some(_) => json!({ "op": "add", "path": Pointer::behind(&annotations, name), "value": text }),
        None => json!({ "op": "add", "path": annotations, "value": { name: text } }),
    }
}

/// The part of a patch that removes an annotation.
pub(super) fn unannotate(metadata: &str, name: &str) -> Value {
    json!({ "op": "remove", "path": Pointer::behind(&format!("{metadata}/annotations"), name) })
}

/// A patch of these parts. It changes only the version of the object that was read.
pub(super) fn changed(object: &Value, mut parts: Vec<Value>) -> Zeroizing<Vec<u8>> {
    let version = object.pointer("/metadata/resourceVersion");
    parts.insert(0, json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
    Zeroizing::new(Value::from(parts).to_string().into_bytes())
}

/// An annotation of an object, in the metadata at a place of the object.
pub(super) fn annotated<'v>(object: &'v Value, metadata: &str, name: &str) -> Option<&'v str> {
    object.pointer(&Pointer::behind(&format!("{metadata}/annotations"), name))?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(object: &Value, metadata: &str) -> Value {
        serde_json::from_slice(&annotation(object, metadata, "keyroll.dev/sync", "r1/7")).unwrap()
    }

    #[test]
    fn an_annotation_is_added_to_those_that_are_there_and_to_this_version_only() {
        let object = json!({ "metadata": { "resourceVersion": "42", "annotations": { "a": "b" } } });
        let wanted = json!([
            { "op": "test", "path": "/metadata/resourceVersion", "value": "42" },
            { "op": "add", "path": "/metadata/annotations/keyroll.dev~1sync", "value": "r1/7" },
        ]);
        assert_eq!(patch(&object, "/metadata"), wanted);
    }

    #[test]
    fn an_object_without_annotations_gets_the_first_one() {
        let object = json!({
            "metadata": { "resourceVersion": "42", "annotations": { "a": "b" } },
            "spec": { "template": { "metadata": { "labels": { "app": "agent" } } } },
        });
        let wanted = json!({
            "op": "add", "path": "/spec/template/metadata/annotations", "value": { "keyroll.dev/sync": "r1/7" },
        });
        assert_eq!(patch(&object, "/spec/template/metadata")[1], wanted);
    }

    #[test]
    fn a_webhook_that_no_dry_run_asks_is_named() {
        let why = format!("admission webhook \"policy.example\" {NO_DRY_RUN}");
        let line = untried("write secret/api key", &why);
        assert!(line.contains("policy.example") && line.contains("not tried"), "{line}");
    }

    #[test]
    fn an_annotation_is_read_by_its_whole_name() {
        let object = json!({ "metadata": { "annotations": { "keyroll.dev/sync": "r1/7" } } });
        assert_eq!(annotated(&object, "/metadata", "keyroll.dev/sync"), Some("r1/7"));
        assert_eq!(annotated(&object, "/metadata", "keyroll.dev"), None);
        assert_eq!(annotated(&object, "/spec/template/metadata", "keyroll.dev/sync"), None);
    }
}
