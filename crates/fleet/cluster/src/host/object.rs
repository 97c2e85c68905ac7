//! A Secret as an effect reads and writes it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use keyroll_codes::Code;
use keyroll_copy::{CopyError, Pointer};
use keyroll_host::{copy_edited, copy_holds};
use keyroll_http::{base64_text, joined};
use keyroll_port::{Class, Failure};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::setup::{KeySetup, VERSION_DIGITS};
use crate::marks::VERSION_OF;
use crate::model::{Namespace, SecretSeen};
use crate::objects::secret;
use crate::owner::written_by;

/// A Secret, with what names it as it was read.
pub(super) struct Object {
    pub(super) uid: String,
    /// Each write changes it.
    pub(super) version: String,
    /// It only waits for its finalizers.
    pub(super) is_ending: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) seen: SecretSeen,
}

impl Object {
    /// Its values are moved.
    pub(super) fn of(object: Secret) -> Self {
        let meta = &object.metadata;
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            is_ending: meta.deletion_timestamp.is_some(),
            labels: meta.labels.clone().unwrap_or_default(),
            seen: secret(object),
        }
    }

    /// Whether its key holds a version.
    pub(super) fn holds(&self, key: &KeySetup, fields: &Fields) -> bool {
        self.seen.data.get(&key.key).is_some_and(|value| copy_holds(&key.copy, value.expose(), fields))
    }

    /// What its key holds, which has to be this version.
    ///
    /// # Errors
    /// K0302, permanent.
    pub(super) fn expected(
        &self,
        key: &KeySetup,
        fields: &Fields,
        attempted: &str,
    ) -> Result<&SecretBytes, Failure> {
        let why = match self.seen.data.get(&key.key) {
            Some(value) if copy_holds(&key.copy, value.expose(), fields) => return Ok(value),
            Some(_) => "it holds something else",
            None => "the Secret has no such key",
        };
        let failure = Failure::new(Class::Permanent, Code::CopyDiffers, attempted).because(why);
        Err(failure.help("see who wrote it; put the expected value there, or correct `reads` and plan again"))
    }

    /// What its key holds and what it will hold, once the one version is replaced by the other; `None`: it holds the other one
    /// already. What is around the value, such as a line end, stays.
    ///
    /// # Errors
    /// It holds neither version (K0302), or cannot carry the other one. Both are permanent.
    pub(super) fn edited(
        &self,
        key: &KeySetup,
        (from, to): (&Fields, &Fields),
        attempted: &str,
    ) -> Result<Option<(&SecretBytes, SecretBytes)>, Failure> {
        if self.holds(key, to) {
            return Ok(None);
        }
        let now = self.expected(key, from, attempted)?;
        let next =
            copy_edited(&key.copy, now.expose(), from, to).map_err(|error| unfit(&error, attempted))?;
        Ok(Some((now, next)))
    }

    /// Refuses a Secret that cannot be changed, and one whose writer would undo the change.
    ///
    /// # Errors
    /// K0316, permanent.
    pub(super) fn fit_to_write(&self, key: &KeySetup, attempted: &str) -> Result<(), Failure> {
        if self.seen.immutable {
            let failure = unwritable(attempted, "it is immutable: its content can never be changed");
            return Err(
                failure.help("let each version have a Secret of its own: `versioned = true` at the consumer")
            );
        }
        let Some(writer) = written_by(&Namespace::default(), &self.seen, Some(&key.key)) else {
            return Ok(());
        };
        Err(unwritable(attempted, &writer).help(
            "rotate it where it is written; if External Secrets writes it from the secret's store, write `synced = true` at the \
             consumer",
        ))
    }
}

/// A value that does not fit where it is to be.
pub(super) fn unfit(error: &CopyError, attempted: &str) -> Failure {
    Failure::new(Class::Permanent, error.code(), attempted).because(error.to_string()).help(error.help())
}

/// A Secret that is not written.
pub(super) fn unwritable(attempted: &str, why: &str) -> Failure {
    Failure::new(Class::Permanent, Code::FileNotReplaceable, attempted).because(why)
}

/// The request to replace the value of a key, in this very state of the Secret.
pub(super) fn patch(
    object: &Object,
    key: &str,
    (before, after): (&SecretBytes, &SecretBytes),
) -> Zeroizing<Vec<u8>> {
    let (uid, version) = (quoted(&object.uid), quoted(&object.version));
    let path = quoted(&Pointer::behind("/data", key));
    let (before, after) = (base64_text(before), base64_text(after));
    joined(&[
        b"[{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":",
        uid.as_bytes(),
        b"},{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":",
        version.as_bytes(),
        b"},{\"op\":\"test\",\"path\":",
        path.as_bytes(),
        b",\"value\":\"",
        before.as_bytes(),
        b"\"},{\"op\":\"replace\",\"path\":",
        path.as_bytes(),
        b",\"value\":\"",
        after.as_bytes(),
        b"\"}]",
    ])
}

/// The request to add a key with this value, in this very state of the Secret.
pub(super) fn added(object: &Object, key: &str, value: &SecretBytes) -> Zeroizing<Vec<u8>> {
    let (uid, version) = (quoted(&object.uid), quoted(&object.version));
    // Without any key there may be no `data` either.
    let (path, before, after) = match object.seen.data.is_empty() {
        true => ("/data".to_owned(), format!("{{{}:\"", quoted(key)), "\"}"),
        false => (Pointer::behind("/data", key), "\"".to_owned(), "\""),
    };
    let (path, value) = (quoted(&path), base64_text(value));
    joined(&[
        b"[{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":",
        uid.as_bytes(),
        b"},{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":",
        version.as_bytes(),
        b"},{\"op\":\"add\",\"path\":",
        path.as_bytes(),
        b",\"value\":",
        before.as_bytes(),
        value.as_bytes(),
        after.as_bytes(),
        b"}]",
    ])
}

/// The values of a Secret by their keys.
pub(super) type Data = BTreeMap<String, SecretBytes>;

/// The name of the Secret of a version: that of the configuration and a keyed fingerprint of the content. Equal contents have
/// one name.
pub(super) fn version_name(key: &FingerprintKey, base: &str, data: &Data) -> String {
    let parts = data.iter().flat_map(|(name, value)| [name.as_bytes(), value.expose()]);
    let parts: Vec<&[u8]> = std::iter::once(base.as_bytes()).chain(parts).collect();
    let print = key.fingerprint(&framed(&parts)).to_string();
    let digits: String = print.chars().take(VERSION_DIGITS).collect();
    format!("{base}-{digits}")
}

/// These parts, each behind its own length, so that no two lists of parts are alike. The buffer has the full size: one that
/// grows leaves copies of values in memory.
pub(super) fn framed(parts: &[&[u8]]) -> SecretBytes {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(8)).sum());
    for part in parts {
        all.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        all.extend_from_slice(part);
    }
    SecretBytes::new(all)
}

/// The Secret of one version, as the API takes it: nobody can change its content.
pub(super) fn version_body(name: &str, key: &KeySetup, former: &Object, data: &Data) -> Zeroizing<Vec<u8>> {
    let kind = match former.seen.kind.as_str() {
        "" => "Opaque",
        kind => kind,
    };
    let labels: BTreeMap<&String, &String> =
        former.labels.iter().filter(|(label, _)| !marks_owner(label)).collect();
    let head = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": labels, "annotations": { VERSION_OF: key.secret } },
        "type": kind,
        "immutable": true,
    });
    let mut head = head.to_string();
    // The values follow within the same object.
    head.pop();
    let values: Vec<(String, Zeroizing<String>)> =
        data.iter().map(|(key, value)| (quoted(key), base64_text(value))).collect();
    let mut parts: Vec<&[u8]> = vec![head.as_bytes()];
    let mut before: &[u8] = b",\"data\":{";
    for (key, value) in &values {
        parts.push(before);
        parts.push(key.as_bytes());
        parts.push(b":\"");
        parts.push(value.as_bytes());
        parts.push(b"\"");
        before = b",";
    }
    let end: &[u8] = if values.is_empty() { b"}" } else { b"}}" };
    parts.push(end);
    joined(&parts)
}

/// Whether a label says that a program of the cluster keeps the object: it would take a copy for one of its own, and delete it.
fn marks_owner(label: &str) -> bool {
    let domains = [
        "argocd.argoproj.io",
        "fluxcd.io",
        "external-secrets.io",
        "secrets-store.csi.k8s.io",
        "cert-manager.io",
        "bitnami.com",
        "helm.sh",
    ];
    let Some((domain, name)) = label.split_once('/') else { return false };
    // The instance is what Argo CD knows its objects by, unless its settings say otherwise.
    let common = domain == "app.kubernetes.io" && matches!(name, "managed-by" | "instance");
    common
        || domains
            .iter()
            .any(|of| domain.strip_suffix(*of).is_some_and(|sub| sub.is_empty() || sub.ends_with('.')))
}

/// A text of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::host::sample;

    fn key(name: &str) -> KeySetup {
        KeySetup { key: name.to_owned(), ..sample::key() }
    }

    fn fields(value: &str) -> Fields {
        Fields::single(SecretBytes::from(value.to_owned()))
    }

    fn data(entries: &[(&str, &str)]) -> Data {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), SecretBytes::from((*value).to_owned()));
        entries.iter().map(entry).collect()
    }

    fn object(entries: &[(&str, &str)]) -> Object {
        let metadata = json!({ "name": "api", "uid": "0b6e-1", "resourceVersion": "48213" });
        let mut object = Object::of(serde_json::from_value(json!({ "metadata": metadata })).unwrap());
        object.seen.data = data(entries);
        object
    }

    #[test]
    fn a_write_tests_the_secret_its_state_and_the_value_that_it_replaces() {
        let object = object(&[("a~.KEY", "old")]);
        let [before, after] = ["old\n", "ne~/w"].map(|text| SecretBytes::from(text.to_owned()));
        let patch: Value = serde_json::from_slice(&patch(&object, "a~.KEY", (&before, &after))).unwrap();
        let wanted = json!([
            { "op": "test", "path": "/metadata/uid", "value": "0b6e-1" },
            { "op": "test", "path": "/metadata/resourceVersion", "value": "48213" },
            { "op": "test", "path": "/data/a~0.KEY", "value": "b2xkCg==" },
            { "op": "replace", "path": "/data/a~0.KEY", "value": "bmV+L3c=" },
        ]);
        assert_eq!(patch, wanted);
    }

    #[test]
    fn a_key_is_added_to_the_secret_in_this_very_state() {
        let value = SecretBytes::from("new".to_owned());
        let with = |entries: &[(&str, &str)]| -> Value {
            serde_json::from_slice(&added(&object(entries), "a~.KEY", &value)).unwrap()
        };
        let wanted = |add: Value| {
            json!([
                { "op": "test", "path": "/metadata/uid", "value": "0b6e-1" },
                { "op": "test", "path": "/metadata/resourceVersion", "value": "48213" },
                add,
            ])
        };
        let beside = json!({ "op": "add", "path": "/data/a~0.KEY", "value": "bmV3" });
        assert_eq!(with(&[("other", "x")]), wanted(beside));
        let alone = json!({ "op": "add", "path": "/data", "value": { "a~.KEY": "bmV3" } });
        assert_eq!(with(&[]), wanted(alone));
    }

    #[test]
    fn a_line_end_behind_the_value_stays() {
        let [old, new] = [(); 2].map(|()| alphanumeric(24));
        let held = format!("{old}\n");
        let object = object(&[("k", held.as_str())]);
        let (now, next) =
            object.edited(&key("k"), (&fields(&old), &fields(&new)), "write it").ok().flatten().unwrap();
        assert!(now.expose() == held.as_bytes());
        assert!(next.expose() == format!("{new}\n").as_bytes());
        let again = object.edited(&key("k"), (&fields(&new), &fields(&old)), "write it");
        assert!(again.is_ok_and(|edit| edit.is_none()), "it holds it already");
    }

    #[test]
    fn a_value_of_somebody_else_is_not_replaced() {
        let [old, new, other] = [(); 3].map(|()| alphanumeric(24));
        let object = object(&[("k", other.as_str())]);
        for name in ["k", "absent"] {
            let failure =
                object.edited(&key(name), (&fields(&old), &fields(&new)), "write it").err().unwrap();
            assert_eq!((failure.class, failure.code), (Class::Permanent, Code::CopyDiffers));
        }
    }

    #[test]
    fn a_secret_that_somebody_else_writes_or_nobody_can_is_refused() {
        let mut object = object(&[("k", "x")]);
        assert!(object.fit_to_write(&key("k"), "write it").is_ok());
        object.seen.owner = Some(keyroll_kube::Owner::Helm("shop".to_owned()));
        let why = |object: &Object| {
            let failure = object.fit_to_write(&key("k"), "write it").err().unwrap();
            assert_eq!((failure.class, failure.code), (Class::Permanent, Code::FileNotReplaceable));
            failure.source.unwrap().to_string()
        };
        assert!(why(&object).starts_with("Helm writes it, of release shop"), "{}", why(&object));
        object.seen.immutable = true;
        assert!(why(&object).contains("immutable"), "{}", why(&object));
    }

    #[test]
    fn the_name_of_a_version_is_that_of_its_content() {
        let print = FingerprintKey::new(&[7; 32]);
        let name = |entries: &[(&str, &str)]| version_name(&print, "api", &data(entries));
        let one = name(&[("a", "1"), ("b", "2")]);
        assert_eq!(one, name(&[("b", "2"), ("a", "1")]));
        for other in [[("a", "1"), ("b", "3")], [("a", "1"), ("c", "2")], [("a", "1b"), ("b", "2")]] {
            assert_ne!(one, name(&other));
        }
        assert_ne!(
            one,
            version_name(&FingerprintKey::new(&[8; 32]), "api", &data(&[("a", "1"), ("b", "2")]))
        );
        let versioned = Some((keyroll_config::WorkloadKind::Deployment, "agent".to_owned()));
        assert!(KeySetup { versioned, ..key("a") }.is_of(&one), "{one}");
        assert!(!key("a").is_of(&one));
    }

    #[test]
    fn a_version_is_an_immutable_copy_that_no_other_program_takes_for_its_own() {
        let mut former = object(&[]);
        former.seen.kind = "example.com/login".to_owned();
        let labels = [
            ("team", "a"),
            ("example.com/tier", "b"),
            ("app.kubernetes.io/name", "c"),
            ("app.kubernetes.io/instance", "d"),
            ("app.kubernetes.io/managed-by", "Helm"),
            ("argocd.argoproj.io/instance", "e"),
            ("kustomize.toolkit.fluxcd.io/name", "f"),
            ("reconcile.external-secrets.io/managed", "true"),
        ];
        former.labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
        let body = |data: &Data| -> Value {
            serde_json::from_slice(&version_body("api-0123456789", &key("k"), &former, data)).unwrap()
        };
        let wanted = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "api-0123456789",
                "labels": { "team": "a", "example.com/tier": "b", "app.kubernetes.io/name": "c" },
                "annotations": { "keyroll.dev/version-of": "api" },
            },
            "type": "example.com/login",
            "immutable": true,
            "data": { "k": "MQ==", "other": "Mgo=" },
        });
        assert_eq!(body(&data(&[("k", "1"), ("other", "2\n")])), wanted);
        assert_eq!(body(&data(&[])).get("data"), None);
    }
}
