//! A key of a Secret of Kubernetes as the source of truth.

mod metadata;
mod object;
mod refused;
mod writer;

use std::mem;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use keyroll_codes::Code;
use keyroll_copy::{Format, Pointer, Slot};
use keyroll_http::{base64_text, joined};
use keyroll_kube::Cluster;
use keyroll_port::{Class, Failure, MadeBy, Truth, TruthVersion};
use keyroll_secret::SecretBytes;
use kube::client::Body;
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::object::SecretObject;
use self::refused::{Answer, Subject, is_invalid, not_answered, refused};
use crate::attempt::{Attempt, Nature};
use crate::cell::{Cell, CellTruth, Held, Written};
use crate::document::Document;

/// How long a request may take, milliseconds.
const ANSWER_MS_MAX: u64 = 30_000;

/// The largest answer, bytes. A Secret has at most about 1.5 MiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The label of the one version that a Secret has.
const CURRENT: &str = "current";

/// As whom keyroll writes, in the Secret's `managedFields`.
const MANAGER: &str = "keyroll";

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";

/// One value of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSecret {
    /// The name of the Secret, in the namespace of the cluster that it is opened with.
    pub name: String,
    /// The key in its `data`.
    pub key: String,
    /// The name of keyroll's field for this value.
    pub field: String,
    /// As the configuration names it, for people: `k8s:prod/agents#OPENAI_API_KEY`.
    pub reference: String,
    /// The context of the kubeconfig, where the configuration names one.
    pub context: Option<String>,
}

/// Opens a Secret of Kubernetes as the source of truth: it gives out what was written last. No request is sent yet.
///
/// Its name holds the reference, the address of the API server, and the context if one is named.
///
/// # Errors
/// Its name, its key or its namespace is none.
pub fn kubernetes(secret: KubernetesSecret, cluster: &Cluster) -> Result<impl Truth + use<>, Failure> {
    let KubernetesSecret { name, key, field, reference, context } = secret;
    let named = |text: &str| !text.is_empty() && text.bytes().all(is_plain) && !text.starts_with('.');
    if !named(&name) || !named(&cluster.namespace) || key.is_empty() || !key.bytes().all(is_plain) {
        let attempted = format!("use {reference} as a store");
        let failure = Failure::new(Class::Permanent, Code::TruthUnsuitable, attempted);
        return Err(failure
            .because("it does not name a namespace, a Secret and a key")
            .help("name them in `store`: k8s:NAMESPACE/NAME#KEY"));
    }
    let context = context.map(|context| format!(", context {context}")).unwrap_or_default();
    let place = format!("{reference} ({}{context})", cluster.server);
    let subject = Subject { namespace: cluster.namespace.clone(), name, options: cluster.options.clone() };
    let cell = SecretCell { client: cluster.client.clone(), subject, key, place };
    Ok(CellTruth { cell, field })
}

/// The characters of names and keys there. None of them has a meaning in an address, in JSON or in a JSON pointer.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// A key of a Secret. A write names the content that it was made from.
struct SecretCell {
    client: Client,
    subject: Subject,
    key: String,
    place: String,
}

/// One request.
struct Call {
    method: Method,
    path: String,
    body: Zeroizing<Vec<u8>>,
}

impl SecretCell {
    fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: &self.place, nature }
    }

    /// Sends one request, and reads the whole answer. The client of Kubernetes logs the text of an answer that it cannot
    /// parse, so it is not given one to parse.
    async fn ask(&self, attempt: &Attempt<'_>, call: Call) -> Result<Answer, Failure> {
        let Call { method, path, mut body } = call;
        let form = if method == Method::PATCH { JSON_PATCH } else { JSON };
        let built = Request::builder().method(method).uri(path).header(ACCEPT, JSON);
        let built = built.header(CONTENT_TYPE, form).body(Body::from(mem::take(&mut *body)));
        let request = built.map_err(|_| {
            attempt.fail(Class::Permanent, Code::TruthUnsuitable).because("its name is not that of a Secret")
        })?;
        let exchange = async {
            let answer = self.client.send(request).await?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = Zeroizing::new(Vec::<u8>::from(body.map_err(Error::Service)?.to_bytes()));
            Ok::<_, Error>(Answer { status, body })
        };
        match timeout(Duration::from_millis(ANSWER_MS_MAX), exchange).await {
            Ok(answered) => answered.map_err(|error| not_answered(attempt, error)),
            Err(_) => Err(attempt.unclear(format!("no answer came within {} s", ANSWER_MS_MAX / 1000))),
        }
    }

    /// The Secret as the API server has it now: without a `resourceVersion` its own cache is not asked.
    /// Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>.
    async fn get(&self, attempt: &Attempt<'_>) -> Result<Answer, Failure> {
        let call = Call { method: Method::GET, path: self.subject.path(), body: Zeroizing::new(Vec::new()) };
        self.ask(attempt, call).await
    }

    /// Whether the login may write, which the API server says without a write.
    /// Source: <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>.
    async fn may_patch(&self, attempt: &Attempt<'_>) -> Result<(), Failure> {
        let Subject { namespace, name, .. } = &self.subject;
        let attributes =
            json!({ "namespace": namespace, "verb": "patch", "resource": "secrets", "name": name });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned();
        let body = Zeroizing::new(review.to_string().into_bytes());
        let answer = self.ask(attempt, Call { method: Method::POST, path, body }).await?;
        match answer.status {
            200..=299 => {}
            403 => {
                let failure = refused(attempt, &self.subject, &answer);
                return Err(failure.help(
                    "keyroll asks whether it may write: let its login create selfsubjectaccessreviews, as the ClusterRole \
                     system:basic-user does",
                ));
            }
            _ => return Err(refused(attempt, &self.subject, &answer)),
        }
        let read: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match read.and_then(|review| review.pointer("/status/allowed").and_then(Value::as_bool)) {
            Some(true) => Ok(()),
            Some(false) => {
                let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
                Err(failure.because("keyroll's login may not patch this Secret").help(self.subject.role()))
            }
            None => Err(attempt.unclear("its answer does not say whether keyroll may write".to_owned())),
        }
    }
}

#[async_trait]
impl Cell for SecretCell {
    fn place(&self) -> &str {
        &self.place
    }

    async fn read(&self) -> Result<Held, Failure> {
        let attempt = self.attempt("read", Nature::Read);
        let answer = self.get(&attempt).await?;
        let object = SecretObject::of(&attempt, &self.subject, &answer)?;
        let value = object.value(&attempt, &self.subject, &self.key)?;
        // A line end behind the value stays: some readers of the mounted file need it, and it is no part of a key.
        let document = Document::of_file(value, Format::Whole, Slot::Whole);
        Ok(Held { id: object.id(), unix_ms: object.changed_ms(&self.key), document })
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        let attempt = self.attempt("read the version of", Nature::Read);
        let answer = self.get(&attempt).await?;
        let object = SecretObject::of(&attempt, &self.subject, &answer)?;
        let (id, unix_ms) = (object.id(), object.changed_ms(&self.key));
        Ok(vec![TruthVersion { id, labels: vec![CURRENT.to_owned()], unix_ms }])
    }

    /// Looks who else writes the Secret, and asks for the right of keyroll's login.
    async fn writable(&self, _: &Held) -> Result<(), Failure> {
        let attempt = self.attempt("see whether a value can be written into", Nature::Read);
        let answer = self.get(&attempt).await?;
        let object = SecretObject::of(&attempt, &self.subject, &answer)?;
        object.fit_to_write(&attempt, &self.subject, &self.key)?;
        self.may_patch(&attempt).await
    }

    /// Source: <https://datatracker.ietf.org/doc/html/rfc6902#section-4.6>: nothing is changed where a test fails.
    async fn write(&self, _: &MadeBy, over: &Held, next: &Document) -> Result<Written, Failure> {
        let attempt = self.attempt("write a value into", Nature::ChangeWithValue);
        let path = format!("{}?fieldManager={MANAGER}", self.subject.path());
        let body = patch(&over.id, &self.key, (over.document.text(), next.text()));
        let answer = self.ask(&attempt, Call { method: Method::PATCH, path, body }).await?;
        match answer.status {
            200..=299 => Ok(Written::Accepted),
            409 => Ok(Written::Overtaken),
            422 if !is_invalid(&answer) => Ok(Written::Overtaken),
            _ => Err(refused(&attempt, &self.subject, &answer)),
        }
    }
}

/// The request to replace a value, in the Secret of this version, if it is still the former one. Other keys and labels may
/// have changed since. `stringData` is not used: other writers would not be seen to own the same key.
fn patch(id: &str, key: &str, (before, after): (&SecretBytes, &SecretBytes)) -> Zeroizing<Vec<u8>> {
    let (uid, key) = (object::uid_of(id), Pointer::escaped(key));
    let (before, after) = (base64_text(before), base64_text(after));
    joined(&[
        b"[{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":\"",
        uid.as_bytes(),
        b"\"},{\"op\":\"test\",\"path\":\"/data/",
        key.as_bytes(),
        b"\",\"value\":\"",
        before.as_bytes(),
        b"\"},{\"op\":\"replace\",\"path\":\"/data/",
        key.as_bytes(),
        b"\",\"value\":\"",
        after.as_bytes(),
        b"\"}]",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_tests_the_secret_and_the_value_that_it_replaces() {
        let [before, after] = ["old\n", "ne~/w"].map(|text| SecretBytes::from(text.to_owned()));
        let body = patch("48213@0b6e-1", "a.KEY", (&before, &after));
        let patch: Value = serde_json::from_slice(&body).unwrap();
        let wanted = json!([
            { "op": "test", "path": "/metadata/uid", "value": "0b6e-1" },
            { "op": "test", "path": "/data/a.KEY", "value": "b2xkCg==" },
            { "op": "replace", "path": "/data/a.KEY", "value": "bmV+L3c=" },
        ]);
        assert_eq!(patch, wanted);
        assert_eq!(Pointer::escaped("a~/b"), "a~0~1b");
    }
}
