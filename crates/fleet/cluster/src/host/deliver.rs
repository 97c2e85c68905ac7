//! One version into one key of a Secret, and what the key holds.

use std::sync::PoisonError;

use k8s_openapi::api::core::v1::Secret;
use keyroll_codes::Code;
use keyroll_host::{copy_carries, copy_holds, copy_text};
use keyroll_port::{Asked, Class, Failure, Values};
use keyroll_rotation::{FileId, Holds, Reconciled, Which};
use keyroll_secret::{Fields, SecretBytes};

use super::ClusterHost;
use super::api::{Patched, overtaken};
use super::foreign::written_again;
use super::object::{Object, added, patch, unfit, unwritable};
use super::seen::Seen;
use super::setup::KeySetup;
use crate::model::{From, Namespace, Taking, Workload};

impl ClusterHost {
    /// Replaces the other version in a key by this one. Nothing else of the Secret changes. A key that somebody removed is
    /// added.
    pub(super) async fn deliver_key(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let key = self.key_setup(file)?;
        let attempted = format!("write {}", key.shown());
        if let Some(why) = key.is_only_read() {
            return Err(unwritable(&attempted, why));
        }
        if let Some(of) = &key.versioned {
            return self.deliver_version(key, of, which, values, asked).await;
        }
        let versions = (version(values, which.other())?, version(values, which)?);
        let object = self.key_now(file, key, &attempted).await?;
        let api = self.api().await?;
        let patch = if object.seen.data.contains_key(&key.key) {
            let edited = object.edited(key, versions, &attempted);
            let edited = edited.map_err(|failure| match failure.code == Code::CopyDiffers {
                true => failure.help(written_again(key, &api.cluster.options)),
                false => failure,
            });
            let Some((before, after)) = edited? else { return Ok(()) };
            patch(&object, &key.key, (before, &after))
        } else {
            let text = copy_text(&key.copy, versions.1).map_err(|error| unfit(&error, &attempted))?;
            added(&object, &key.key, &text)
        };
        object.fit_to_write(key, &attempted)?;
        self.may_begin(asked, || attempted.clone())?;
        match api.patch::<Secret>(&api.secret(&key.secret), patch, &attempted).await? {
            Patched::Done(now) => match Object::of(*now).holds(key, versions.1) {
                true => Ok(()),
                // A rule of the cluster can change what is written.
                false => Err(Failure::new(Class::Unknown, Code::FileChanged, attempted)
                    .because("the API server says that it holds something else now")),
            },
            Patched::Gone => Err(gone(&attempted, &key.secret)),
            Patched::Overtaken => match self.key_now(file, key, &attempted).await?.holds(key, versions.1) {
                true => Ok(()),
                false => Err(overtaken(attempted)),
            },
        }
    }

    /// The outcome of a delivery, by what the key holds.
    pub(super) async fn delivered_key(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
    ) -> Result<Reconciled, Failure> {
        let key = self.key_setup(file)?;
        let values = key.versions(values);
        let (from, to) = (version(values, which.other())?, version(values, which)?);
        let now = self.present(file, key, &format!("read {}", key.shown())).await?;
        let is_removed = |object: &Object| key.is_added() && !object.seen.data.contains_key(&key.key);
        let may_be_written =
            |object: &Object| object.holds(key, from) || object.holds(key, to) || is_removed(object);
        Ok(if now.iter().all(|object| object.holds(key, to)) {
            Reconciled::Executed(None)
        } else if now.iter().all(may_be_written) {
            Reconciled::Absent
        } else {
            Reconciled::Foreign
        })
    }

    /// The Secret that a pod of the next roll-out would take the key from, and what it would get; `None`: the workload is not
    /// there, or its template names none, or several.
    pub(super) fn secret_of<'s>(
        &self,
        key: &'s KeySetup,
        seen: &'s Seen,
    ) -> Option<(&'s str, Option<&'s SecretBytes>)> {
        key.in_namespace(&seen.namespace, &self.setup.rotation)
    }

    /// Whether a key can carry these values. A key is one value: what it holds now does not matter.
    pub(super) fn carries_key(&self, key: &KeySetup, fields: &Fields) -> Result<(), Failure> {
        if key.own.is_some() {
            return Ok(());
        }
        copy_carries(&key.copy, b"-", fields)
            .map_err(|error| unfit(&error, &format!("write {}", key.shown())))
    }

    /// The Secrets that a pod of the next roll-out would take a key from, as they are now: one, unless somebody changed a
    /// template by hand.
    pub(super) async fn present(
        &self,
        file: FileId,
        key: &KeySetup,
        attempted: &str,
    ) -> Result<Vec<Object>, Failure> {
        match &key.versioned {
            Some(of) => self.referred(key, of, attempted).await,
            None => Ok(vec![self.key_now(file, key, attempted).await?]),
        }
    }

    /// The Secret of a key that has one Secret for all versions: the same one as before.
    async fn key_now(&self, file: FileId, key: &KeySetup, attempted: &str) -> Result<Object, Failure> {
        let object = self.secret_now(&key.secret, attempted).await?;
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        let first = uids.entry(file).or_insert_with(|| object.uid.clone());
        if *first == object.uid {
            return Ok(object);
        }
        let failure = Failure::new(Class::Permanent, Code::FileChanged, attempted);
        Err(failure.because("somebody else deleted the Secret and made it anew").help(
            "see who did that: pods may still have what the former one held; if it was intended, the rotation may go on",
        ))
    }

    /// A Secret as it is now.
    pub(super) async fn secret_now(&self, name: &str, attempted: &str) -> Result<Object, Failure> {
        let api = self.api().await?;
        let read: Option<Secret> = api.get(&api.secret(name), attempted).await?;
        match read.map(Object::of) {
            Some(object) if !object.is_ending => Ok(object),
            Some(_) | None => Err(gone(attempted, name)),
        }
    }
}

/// There is no such Secret, or it is being deleted.
fn gone(attempted: &str, name: &str) -> Failure {
    let failure = Failure::new(Class::Permanent, Code::FileChanged, attempted);
    failure.because(format!("the Secret {name} is gone")).help(
        "see who deleted it, and make it again with the value that keyroll expects; or correct `reads`, then plan again",
    )
}

/// The fields of a version.
pub(super) fn version(values: Values<'_>, which: Which) -> Result<&Fields, Failure> {
    values.of(which).ok_or_else(|| {
        Failure::new(Class::Permanent, Code::Stopped, "use the new version").because("it was not made yet")
    })
}

impl KeySetup {
    /// Whether keyroll adds it where somebody removed it: it writes it, into one Secret for all versions.
    pub(super) fn is_added(&self) -> bool {
        self.versioned.is_none() && self.is_only_read().is_none()
    }

    /// Why keyroll never writes it.
    fn is_only_read(&self) -> Option<&'static str> {
        match (self.own.is_some(), self.synced) {
            (true, _) => Some("its consumers have a key of their own, which keyroll does not write"),
            (false, true) => Some("External Secrets writes it from the store"),
            (false, false) => None,
        }
    }

    /// The versions that it is compared with.
    pub(super) fn versions<'a>(&'a self, values: Values<'a>) -> Values<'a> {
        Values { new: self.own.as_deref().or(values.new), ..values }
    }

    /// Which version these bytes hold, by value. Where both are the same in this key, it is the one that stays.
    pub(super) fn holding(&self, bytes: Option<&SecretBytes>, values: Values<'_>, stays: Which) -> Holds {
        let Some(bytes) = bytes else { return Holds::Unreadable };
        let values = self.versions(values);
        let holds = |fields: &Fields| copy_holds(&self.copy, bytes.expose(), fields);
        match (holds(values.old), values.new.is_some_and(holds)) {
            (true, false) => Holds::Old,
            (false, true) => Holds::New,
            // A version may change only fields that this key does not have.
            (true, true) => Holds::of(stays),
            (false, false) => Holds::Other,
        }
    }

    /// The Secret that a pod of the next roll-out would take it from, and what it would get.
    fn in_namespace<'s>(
        &'s self,
        namespace: &'s Namespace,
        rotation: &str,
    ) -> Option<(&'s str, Option<&'s SecretBytes>)> {
        let name = match &self.versioned {
            None => self.secret.as_str(),
            Some(_) => {
                let workload = self.workload(namespace)?;
                let noted = workload.versions.get(&self.secret);
                let noted = noted.and_then(|noted| self.noted(noted, rotation));
                noted.or_else(|| self.in_template(workload))?
            }
        };
        Some((name, namespace.secret(name).and_then(|secret| secret.data.get(&self.key))))
    }

    /// Whether a pod that is made now takes it from this Secret: a delivery of a version changes no template.
    pub(super) fn is_in_template(&self, namespace: &Namespace, secret: &str) -> bool {
        self.versioned.is_none()
            || self.workload(namespace).and_then(|workload| self.in_template(workload)) == Some(secret)
    }

    /// The workload whose template names the Secret of each version.
    fn workload<'n>(&self, namespace: &'n Namespace) -> Option<&'n Workload> {
        let (kind, name) = self.versioned.as_ref()?;
        let is_it = |one: &&Workload| one.kind.eq_ignore_ascii_case(kind.word()) && one.name == *name;
        namespace.workloads.iter().find(is_it)
    }

    /// The one Secret with a version of it that a template names.
    fn in_template<'n>(&self, workload: &'n Workload) -> Option<&'n str> {
        let mut names = workload.takes.iter().filter_map(|taking| self.named_by(taking));
        let first = names.next()?;
        names.all(|other| other == first).then_some(first)
    }

    /// The Secret with a version of it that is taken.
    fn named_by<'t>(&self, taking: &'t Taking) -> Option<&'t str> {
        match &taking.from {
            From::Secret { name, .. } if self.is_of(name) => Some(name.as_str()),
            From::Secret { .. } | From::Map { .. } | From::Text(_) | From::Class(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_config::WorkloadKind;
    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::host::sample;
    use crate::model::SecretSeen;

    fn key() -> KeySetup {
        KeySetup { key: "k".to_owned(), ..sample::key() }
    }

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    #[test]
    fn a_key_holds_one_version_both_or_neither() {
        let [one, two, other] = [(); 3].map(|()| alphanumeric(24));
        let (old, new) = (Fields::single(bytes(&one)), Fields::single(bytes(&two)));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        let holds = |text: &str| key().holding(Some(&bytes(text)), values, Which::New);
        assert_eq!(holds(&one), Holds::Old);
        assert_eq!(holds(&format!("{two}\n")), Holds::New, "with a line end");
        assert_eq!(holds(&other), Holds::Other);
        let same = Values { new: Some(&old), ..values };
        for (stays, wanted) in [(Which::Old, Holds::Old), (Which::New, Holds::New)] {
            assert_eq!(key().holding(Some(&bytes(&one)), same, stays), wanted);
        }
        assert_eq!(key().holding(None, values, Which::New), Holds::Unreadable);
    }

    #[test]
    fn a_key_of_its_own_is_compared_with_that_and_never_written() {
        let [one, two, own] = [(); 3].map(|()| Fields::single(bytes(&alphanumeric(24))));
        let value = own.get("value").unwrap().value.duplicate();
        let setup = KeySetup { own: Some(std::sync::Arc::new(own)), ..key() };
        let values = Values { old: &one, new: Some(&two), old_ended: false };
        assert_eq!(setup.holding(Some(&value), values, Which::New), Holds::New);
        assert!(setup.is_only_read().is_some() && key().is_only_read().is_none());
        assert!(KeySetup { synced: true, ..key() }.is_only_read().is_some());
    }

    fn taking(name: &str) -> Taking {
        sample::takes(name, "k", sample::env())
    }

    #[test]
    fn a_versioned_key_is_in_the_secret_that_the_template_names() {
        let secret = |name: &str, value: &str| {
            let data = [("k".to_owned(), bytes(value))].into();
            SecretSeen { name: name.to_owned(), data, ..SecretSeen::default() }
        };
        let names = |takes: Vec<Taking>| {
            let workload = Workload {
                kind: "Deployment".to_owned(),
                name: "agent".to_owned(),
                takes,
                ..Workload::default()
            };
            let secrets = vec![secret("api", "base"), secret("api-0123456789", "version")];
            Namespace { secrets, workloads: vec![workload], ..Namespace::default() }
        };
        let versioned = |workload: &str| {
            let versioned = Some((WorkloadKind::Deployment, workload.to_owned()));
            KeySetup { versioned, ..key() }
        };
        let found = |key: &KeySetup, namespace: &Namespace| {
            let found = key.in_namespace(namespace, "r1");
            found.map(|(name, value)| (name.to_owned(), value.map(|value| value.expose().to_vec())))
        };
        let namespace = names(vec![taking("other"), taking("api-0123456789")]);
        let version = Some(("api-0123456789".to_owned(), Some(b"version".to_vec())));
        assert!(found(&versioned("agent"), &namespace) == version);
        assert!(found(&key(), &namespace) == Some(("api".to_owned(), Some(b"base".to_vec()))));
        assert!(found(&versioned("gone"), &namespace).is_none());
        let absent = names(vec![taking("api-00000000ff")]);
        assert!(found(&versioned("agent"), &absent) == Some(("api-00000000ff".to_owned(), None)));
        // What was delivered and is not rolled out yet is noted beside the template.
        let mut noted = names(vec![taking("api")]);
        let agent = versioned("agent");
        let mut note = |text: &str| {
            noted.workloads[0].versions = [("api".to_owned(), text.to_owned())].into();
            (found(&agent, &noted), agent.is_in_template(&noted, "api-0123456789"))
        };
        assert!(note("r1/api-0123456789") == (version, false));
        let base = Some(("api".to_owned(), Some(b"base".to_vec())));
        assert!(note("r1/api") == (base.clone(), false));
        for other in ["r0/api-0123456789", "r1/other", "api-0123456789", ""] {
            assert!(note(other) == (base.clone(), false), "{other}");
        }
        assert!(agent.is_in_template(&namespace, "api-0123456789"));
        assert!(!agent.is_in_template(&namespace, "api") && key().is_in_template(&namespace, "api"));
        let both = names(vec![taking("api"), taking("api-0123456789")]);
        assert!(
            found(&versioned("agent"), &both).is_none(),
            "which one a pod takes depends on its container"
        );
    }
}
