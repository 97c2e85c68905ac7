use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use super::metadata::{changed_ms, without_values};
use super::refused::{Answer, Subject, immutable, refused};
use super::writer::writer;
use crate::DocumentError;
use crate::attempt::Attempt;

/// The shortest value that is searched for under other keys, bytes: a shorter one may be the same by chance.
const ELSEWHERE_BYTES_MIN: usize = 8;

/// A Secret as the API server answers it. Source:
/// <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/>.
#[derive(Deserialize)]
pub(super) struct SecretObject<'a> {
    #[serde(deserialize_with = "without_values")]
    metadata: ObjectMeta,
    /// Borrowed: no value is copied by the parser.
    #[serde(borrow)]
    data: Option<BTreeMap<String, &'a str>>,
    immutable: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl<'a> SecretObject<'a> {
    /// The Secret that is given out. One that is being deleted is none.
    pub(super) fn of(attempt: &Attempt<'_>, subject: &Subject, answer: &'a Answer) -> Result<Self, Failure> {
        if answer.status != 200 {
            return Err(refused(attempt, subject, answer));
        }
        // The parser's own message is dropped: it repeats a part of the text.
        let read: Option<Self> = serde_json::from_slice(&answer.body).ok();
        let is_plain = |text: &Option<String>| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            text.as_ref().is_some_and(|text| !text.is_empty() && text.bytes().all(allowed))
        };
        let read = read.filter(|it| is_plain(&it.metadata.uid) && is_plain(&it.metadata.resource_version));
        let object = read.ok_or_else(|| attempt.unclear("its answer is not that of a Secret".to_owned()))?;
        if object.metadata.deletion_timestamp.is_some() {
            let failure = attempt.fail(Class::Permanent, Code::TruthUnsuitable);
            let why = "the Secret is being deleted: it only waits for its finalizers";
            return Err(failure
                .because(why)
                .help(format!("see who keeps it: {}", subject.kubectl("describe"))));
        }
        Ok(object)
    }

    /// The id of this version: it changes with every write, and of a Secret that was made anew.
    pub(super) fn id(&self) -> String {
        let ObjectMeta { resource_version, uid, .. } = &self.metadata;
        // One without them is none, see [`Self::of`].
        let [version, uid] = [resource_version, uid].map(|text| text.as_deref().unwrap_or_default());
        format!("{version}@{uid}")
    }

    pub(super) fn changed_ms(&self, key: &str) -> Option<u64> {
        changed_ms(&self.metadata, key)
    }

    /// What stands under a key, with a line end behind it if there is one.
    pub(super) fn value(
        &self,
        attempt: &Attempt<'_>,
        subject: &Subject,
        key: &str,
    ) -> Result<SecretBytes, Failure> {
        let Some(text) = self.data.as_ref().and_then(|data| data.get(key)) else {
            let failure = attempt.fail(Class::Permanent, Code::TruthUnsuitable);
            return Err(failure.because(format!("the Secret has no key {key}")).help(format!(
                "correct the key behind # in `store`; capitals count: {} lists the keys",
                subject.kubectl("describe")
            )));
        };
        decoded(text).ok_or_else(|| attempt.unclear(format!("what stands under the key {key} is no base64")))
    }

    /// Refuses a Secret that cannot be changed, one in which somebody else would undo the change, and one that has the value
    /// under another key, too.
    pub(super) fn fit_to_write(
        &self,
        attempt: &Attempt<'_>,
        subject: &Subject,
        key: &str,
    ) -> Result<(), Failure> {
        if self.immutable == Some(true) {
            return Err(immutable(attempt, subject));
        }
        if let Some(writer) = writer(&self.metadata, self.kind.as_deref(), key) {
            let failure = attempt.fail(Class::Permanent, Code::TruthUnsuitable);
            let why = format!("{}: it would undo what keyroll writes", writer.why);
            return Err(failure.because(why).help(writer.help));
        }
        let value = self.value(attempt, subject, key)?;
        let value = value.expose().trim_ascii_end();
        let mut others = self.data.iter().flatten().filter(|(other, _)| other.as_str() != key);
        let twice = |text: &str| {
            let other = decoded(text);
            other.is_some_and(|other| other.expose().windows(value.len()).any(|window| window == value))
        };
        if value.len() >= ELSEWHERE_BYTES_MIN && others.any(|(_, text)| twice(text)) {
            return Err(attempt.document(&DocumentError::Twice));
        }
        Ok(())
    }
}

/// The uid in the id of a version.
pub(super) fn uid_of(id: &str) -> &str {
    id.rsplit_once('@').map_or("", |(_, uid)| uid)
}

fn decoded(text: &str) -> Option<SecretBytes> {
    STANDARD.decode(text).ok().map(SecretBytes::new)
}

#[cfg(test)]
mod tests {
    use keyroll_codes::Code;
    use serde_json::{Value, json};
    use zeroize::Zeroizing;

    use super::*;
    use crate::attempt::Nature;

    const PLACE: &str = "k8s:shop/agents#KEY (https://127.0.0.1:6443)";

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, body: Zeroizing::new(body.to_string().into_bytes()) }
    }

    fn secret() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "agents", "namespace": "shop", "uid": "0b6e-1", "resourceVersion": "48213" },
            "data": { "KEY": "c2stMDEyMzQ1Njc4OQo=", "OTHER": "eA==" },
            "type": "Opaque",
        })
    }

    fn subject() -> Subject {
        let [namespace, name, options] = ["shop", "agents", "-n shop"].map(str::to_owned);
        Subject { namespace, name, options }
    }

    const ATTEMPT: Attempt<'static> = Attempt { what: "read", place: PLACE, nature: Nature::Read };

    fn fit(secret: &Value) -> Result<(), (Class, Code)> {
        let answer = answer(200, secret);
        let object = SecretObject::of(&ATTEMPT, &subject(), &answer);
        let fit = object.and_then(|object| object.fit_to_write(&ATTEMPT, &subject(), "KEY"));
        fit.map_err(|failure| {
            assert!(failure.help.is_some());
            (failure.class, failure.code)
        })
    }

    #[test]
    fn a_secret_is_read_with_its_version() {
        let answer = answer(200, &secret());
        let object = SecretObject::of(&ATTEMPT, &subject(), &answer).ok().unwrap();
        assert_eq!((object.id().as_str(), uid_of(&object.id())), ("48213@0b6e-1", "0b6e-1"));
        let value = object.value(&ATTEMPT, &subject(), "KEY").ok().unwrap();
        assert!(value.expose() == b"sk-0123456789\n");
        assert_eq!(object.changed_ms("KEY"), None, "nothing says when");
        let failure = object.value(&ATTEMPT, &subject(), "key").err().unwrap();
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::TruthUnsuitable));
    }

    #[test]
    fn the_time_of_a_write_is_said_only_where_it_is_certain() {
        let at = |managed: Value| {
            let mut secret = secret();
            secret["metadata"]["managedFields"] = managed;
            let answer = answer(200, &secret);
            SecretObject::of(&ATTEMPT, &subject(), &answer).ok().unwrap().changed_ms("KEY")
        };
        let wrote = |manager: &str, fields: Value| {
            let time = "1970-01-01T00:00:07Z";
            json!({ "manager": manager, "operation": "Update", "time": time, "fieldsV1": fields })
        };
        let own = || wrote("keyroll", json!({ "f:data": { "f:KEY": {} } }));
        let made = |key: &str| json!({ "f:data": { ".": {}, key: {} }, "f:type": {} });
        assert_eq!(at(json!([own(), wrote("kubectl-create", made("f:OTHER"))])), Some(7_000));
        assert_eq!(at(json!([wrote("kubectl-create", made("f:KEY"))])), Some(7_000));
        let both = json!({ "f:data": { ".": {}, "f:KEY": {}, "f:OTHER": {} } });
        assert_eq!(
            at(json!([wrote("kubectl-create", both)])),
            None,
            "the other one may have been changed then"
        );
        let labels = json!({ "f:data": { "f:KEY": {} }, "f:metadata": { "f:labels": {} } });
        assert_eq!(at(json!([wrote("kubectl-edit", labels)])), None);
        assert_eq!(at(json!([own(), wrote("b", made("f:KEY"))])), None, "which of both wrote it first?");
    }

    #[test]
    fn a_secret_that_cannot_be_changed_is_refused() {
        assert_eq!(fit(&secret()), Ok(()));
        let unsuitable = Err((Class::Permanent, Code::TruthUnsuitable));
        let with = |pointer: &str, value: Value| {
            let mut secret = secret();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            secret.pointer_mut(parent).unwrap()[key] = value;
            fit(&secret)
        };
        assert_eq!(with("/immutable", json!(true)), unsuitable);
        assert_eq!(with("/metadata/deletionTimestamp", json!("2026-11-29T20:57:01Z")), unsuitable);
        assert_eq!(with("/metadata/labels", json!({ "argocd.argoproj.io/instance": "shop" })), unsuitable);
        assert_eq!(with("/type", json!("kubernetes.io/service-account-token")), unsuitable);
        let url = STANDARD.encode("https://a:sk-0123456789@b");
        assert_eq!(with("/data/OTHER", json!(url)), unsuitable, "its readers would keep the old value");
        assert_eq!(with("/data", json!({ "KEY": "c2hvcnQ=", "OTHER": "c2hvcnQ=" })), Ok(()), "by chance");
    }

    #[test]
    fn an_answer_that_is_no_secret_is_not_used() {
        let list = json!({ "kind": "SecretList", "metadata": { "resourceVersion": "1" }, "items": [] });
        let mut odd = secret();
        odd["metadata"]["uid"] = json!("a\",\"b");
        for body in [json!([]), json!("<html>"), list, odd] {
            let answer = answer(200, &body);
            let failure = SecretObject::of(&ATTEMPT, &subject(), &answer).err().unwrap();
            assert_eq!((failure.class, failure.code), (Class::Retryable, Code::TruthUnreachable));
        }
    }
}
