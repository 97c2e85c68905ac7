//! Keys of which each version has an immutable Secret of its own: the template of the workload names the present one.
//!
//! A pod gets the value of the Secret that its own template names, so it cannot have that of another version. Each change of
//! the template rolls out by itself, so a delivery only notes the Secret beside the template, and the roll-out, which looks at
//! what else it would make live, changes the references.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_host::copy_holds;
use keyroll_port::{Asked, Class, Failure, Values};
use keyroll_rotation::Which;
use keyroll_secret::{Fields, SecretBytes};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ClusterHost;
use super::api::{Created, Patched, overtaken, repeatable};
use super::apply::ATTEMPTS_MAX;
use super::deliver::version;
use super::object::{Data, Object, version_body, version_name};
use super::seen::Seen;
use super::setup::{KeySetup, VERSION_DIGITS};
use super::template::Template;
use crate::model::{From, Namespace, SecretSeen, Workload};
use crate::verdict::CACHE_S;

/// A workload: its kind and name.
type Of = (WorkloadKind, String);

impl ClusterHost {
    /// Makes the Secret of a version, and notes that the next roll-out of the workload brings it. The next job of a CronJob
    /// gets it at once.
    pub(super) async fn deliver_version(
        &self,
        key: &KeySetup,
        of: &Of,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let versions = (version(values, which.other())?, version(values, which)?);
        let attempted = format!("write {}", key.shown());
        let api = self.api().await?;
        for _ in 0..ATTEMPTS_MAX {
            let template = self.template(key, of, &attempted).await?;
            let Some(former) = template.one() else {
                let why = format!("{} names several versions of the Secret {}", shown(of), key.secret);
                return Err(changed(&attempted, why));
            };
            let former = self.secret_now(former, &attempted).await?;
            let Some((_, next)) = former.edited(key, versions, &attempted)? else { return Ok(()) };
            let back = (which == Which::Old).then_some(&template);
            let name = self.secret_for(key, (former, next), back, asked).await?;
            self.may_begin(asked, || attempted.clone())?;
            let patch = template.delivers(&name, &self.setup.rotation);
            match api.patch::<IgnoredAny>(&api.workload(of.0, &of.1), patch, &attempted).await? {
                Patched::Done(_) => return Ok(()),
                // Its state changes all the time while it is rolled out.
                Patched::Overtaken => {}
                Patched::Gone => return Err(changed(&attempted, "the workload is gone".to_owned())),
            }
        }
        Err(overtaken(attempted))
    }

    /// The name of the Secret of a version: of a copy of the former one with this value. To roll back (`back`), it is the Secret
    /// that the configuration names, if that has all of it, so that people's manifests fit again.
    async fn secret_for(
        &self,
        key: &KeySetup,
        (mut former, next): (Object, SecretBytes),
        back: Option<&Template>,
        asked: Asked,
    ) -> Result<String, Failure> {
        let mut data = std::mem::take(&mut former.seen.data);
        data.insert(key.key.clone(), next);
        if let Some(template) = back
            && self.is_base(key, &data, template).await
        {
            return Ok(key.secret.clone());
        }
        self.make_version(key, &former, data, asked).await
    }

    /// Whether the Secret that the configuration names has this content, and every new pod is sure to be given it, or the
    /// template was never changed. Where this is not seen, a Secret of its own does.
    async fn is_base(&self, key: &KeySetup, data: &Data, template: &Template) -> bool {
        let base = self.secret_now(&key.secret, "read the Secret of before").await;
        if !base.is_ok_and(|base| base.seen.data == *data) {
            return false;
        }
        let unchanged = template.names() == BTreeSet::from([key.secret.as_str()]);
        unchanged || self.see().await.is_ok_and(|seen| gives(&seen, key))
    }

    /// Makes the Secret of a version with the kind and the labels of the former one; its name. One that is there already has
    /// to be the same.
    async fn make_version(
        &self,
        key: &KeySetup,
        former: &Object,
        data: Data,
        asked: Asked,
    ) -> Result<String, Failure> {
        let name = version_name(&self.key, &key.secret, &data);
        let attempted = format!("make secret/{name}");
        let body = version_body(&name, key, former, &data);
        let api = self.api().await?;
        self.may_begin(asked, || attempted.clone())?;
        let made = match api.create::<Secret>(&api.path("", "v1", "secrets"), body, &attempted).await? {
            Created::Done(secret) => Object::of(*secret),
            Created::Exists => self.secret_now(&name, &attempted).await?,
        };
        if made.seen.immutable && made.seen.data == data {
            return Ok(name);
        }
        let options = self.cluster.get().map(|cluster| cluster.options.as_str()).unwrap_or_default();
        let help = format!(
            "see who made it, and delete it if nothing needs it: kubectl delete secret {name} {options}"
        );
        Err(changed(&attempted, "there is one of this name with another content".to_owned()).help(help))
    }

    /// The same as a dry run: of a Secret with the present content, of the note, and of a template that names it.
    pub(super) async fn try_version(&self, key: &KeySetup, of: &Of, attempted: &str) -> Result<(), Failure> {
        let name = format!("{}-{}", key.secret, "0".repeat(VERSION_DIGITS));
        let template = self.template(key, of, attempted).await?;
        let (api, rotation) = (self.api().await?, &self.setup.rotation);
        for former in template.present() {
            let object = self.secret_now(former, attempted).await?;
            let body = version_body(&name, key, &object, &object.seen.data);
            api.try_create(&api.path("", "v1", "secrets"), body, attempted).await?;
        }
        let path = api.workload(of.0, &of.1);
        api.try_patch(&path, template.delivers(&name, rotation), attempted).await?;
        if template.is_rolled_out() {
            api.try_patch(&path, template.rolls_out(Some(&name), rotation), attempted).await?;
        }
        Ok(())
    }

    /// The Secrets with a version of a key that the next roll-out of its workload brings: those of its template, unless another
    /// one was delivered since.
    pub(super) async fn referred(
        &self,
        key: &KeySetup,
        of: &Of,
        attempted: &str,
    ) -> Result<Vec<Object>, Failure> {
        let template = self.template(key, of, attempted).await?;
        let mut all = Vec::new();
        for name in template.present() {
            all.push(self.secret_now(name, attempted).await?);
        }
        Ok(all)
    }

    /// The template of a workload, which has to name a Secret with a version of the key.
    async fn template(&self, key: &KeySetup, of: &Of, attempted: &str) -> Result<Template, Failure> {
        let api = self.api().await?;
        let workload: Option<Value> = api.get(&api.workload(of.0, &of.1), attempted).await?;
        let workload =
            workload.ok_or_else(|| changed(attempted, format!("there is no {} any more", shown(of))))?;
        let template = Template::of(workload, of.0, key, &self.setup.rotation);
        if template.names().is_empty() {
            let why = format!("{} names neither the Secret {} nor a version of it", shown(of), key.secret);
            return Err(changed(attempted, why));
        }
        Ok(template)
    }

    /// Deletes the Secrets of a new version that was ended for good, as far as keyroll made them and nothing names them.
    pub(super) async fn remove_versions(&self, values: Values<'_>, asked: Asked) -> Result<(), Failure> {
        let Some(new) = values.new else { return Ok(()) };
        if !self.setup.keys.iter().any(|key| key.versioned.is_some()) {
            return Ok(());
        }
        let seen = self.see().await?;
        for key in &self.setup.keys {
            if key.versioned.is_none() || key.own.is_some() {
                continue;
            }
            for name in superseded(&seen.namespace, key, (values.old, new)) {
                if let Some(why) = seen.namespace.takers_hidden() {
                    let attempted = format!("see whether anything needs secret/{name}");
                    return Err(Failure::new(Class::Permanent, Code::ClusterAccess, attempted).because(why));
                }
                self.remove_version(key, name, new, asked).await?;
            }
        }
        Ok(())
    }

    /// Deletes one, if keyroll made it.
    async fn remove_version(
        &self,
        key: &KeySetup,
        name: &str,
        new: &Fields,
        asked: Asked,
    ) -> Result<(), Failure> {
        let api = self.api().await?;
        let (path, attempted) = (api.secret(name), format!("delete secret/{name}"));
        let Some(secret) = api.get::<Secret>(&path, &attempted).await? else { return Ok(()) };
        let object = Object::of(secret);
        let is_own = object.seen.version_of.as_ref() == Some(&key.secret) && object.seen.immutable;
        if !is_own || object.is_ending || !object.holds(key, new) {
            return Ok(());
        }
        self.may_begin(asked, || attempted.clone())?;
        // A repetition looks first, and does nothing twice: an unknown outcome can be retried.
        api.delete(&path, &attempted).await.map(drop).map_err(repeatable)
    }
}

/// Whether every new pod is sure to be given what the Secret holds that the configuration names: the rule of a verdict.
fn gives(seen: &Seen, key: &KeySetup) -> bool {
    let Some(base) = seen.namespace.secret(&key.secret) else { return false };
    let changed = base.changed.get(&key.key);
    let over = |at: i64| seen.namespace.now.is_some_and(|now| now > at.saturating_add(CACHE_S));
    let settled = changed.is_some_and(|one| one.bound && over(one.at));
    settled && !seen.remade.contains(&format!("secret/{}", key.secret))
}

/// The Secrets of the new version alone that nothing names.
fn superseded<'n>(namespace: &'n Namespace, key: &KeySetup, (old, new): (&Fields, &Fields)) -> Vec<&'n str> {
    let named = named(namespace);
    let holds = |secret: &SecretSeen, fields: &Fields| {
        let value = secret.data.get(&key.key);
        value.is_some_and(|value| copy_holds(&key.copy, value.expose(), fields))
    };
    let is_it = |secret: &&SecretSeen| {
        secret.name != key.secret
            && key.is_of(&secret.name)
            && !named.contains(secret.name.as_str())
            && holds(secret, new)
            && !holds(secret, old)
    };
    namespace.secrets.iter().filter(is_it).map(|secret| secret.name.as_str()).collect()
}

/// The Secrets that a pod has, or that one would get. What keeps an earlier template of a workload, such as an old ReplicaSet,
/// makes no pod.
fn named(namespace: &Namespace) -> BTreeSet<&str> {
    let templates = namespace.workloads.iter().filter(|one| !one.idle || one.made_by.is_none());
    let templates = templates.flat_map(|one| &one.takes);
    let pods = namespace.pods.iter().flat_map(|pod| pod.takes.iter());
    let taken = templates.chain(pods).filter_map(|taking| name_of(&taking.from));
    taken.chain(namespace.workloads.iter().flat_map(Workload::next_secrets)).collect()
}

/// The name of the Secret that is taken.
fn name_of(from: &From) -> Option<&str> {
    match from {
        From::Secret { name, .. } => Some(name.as_str()),
        From::Map { .. } | From::Text(_) | From::Class(_) => None,
    }
}

/// As kubectl names it: `deployment/agent`.
fn shown((kind, name): &Of) -> String {
    format!("{}/{name}", kind.word())
}

/// Somebody else changed something so that keyroll cannot go on.
fn changed(attempted: &str, why: String) -> Failure {
    let failure = Failure::new(Class::Permanent, Code::FileChanged, attempted).because(why);
    failure.help("see who changed it, and undo that or correct the configuration")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::host::sample::{self, CHANGE};
    use crate::model::{Pod, Taking, Way};

    fn taking(name: &str) -> Taking {
        Taking {
            container: "app".to_owned(),
            init: false,
            from: From::Secret { name: name.to_owned(), key: None },
            way: Way::EnvFrom(String::new()),
            optional: false,
            shadowed: false,
        }
    }

    /// A workload that has this Secret in its template.
    fn workload(name: &str) -> Workload {
        Workload { kind: "ReplicaSet".to_owned(), takes: vec![taking(name)], ..Workload::default() }
    }

    #[test]
    fn the_secrets_of_an_ended_version_that_nothing_names_are_superseded() {
        let [one, two] = [(); 2].map(|()| alphanumeric(24));
        let versioned = Some((WorkloadKind::Deployment, "agent".to_owned()));
        let key = KeySetup { key: "k".to_owned(), versioned, ..sample::key() };
        let secret = |name: &str, value: &str| {
            let data = [("k".to_owned(), SecretBytes::from(value.to_owned()))].into();
            SecretSeen { name: name.to_owned(), data, ..SecretSeen::default() }
        };
        let mut namespace = Namespace {
            secrets: vec![
                secret("api", &two),
                secret("api-0000000001", &one),
                secret("api-0000000002", &two),
                secret("api-old", &two),
            ],
            ..Namespace::default()
        };
        let [old, new] = [&one, &two].map(|value| Fields::single(SecretBytes::from(value.clone())));
        let found = |namespace: &Namespace| {
            let found = superseded(namespace, &key, (&old, &new));
            found.into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!(found(&namespace), ["api-0000000002"]);
        let made_by = Some(("Deployment".to_owned(), "agent".to_owned()));
        namespace.workloads = vec![Workload { idle: true, made_by, ..workload("api-0000000002") }];
        assert_eq!(found(&namespace), ["api-0000000002"], "an earlier template");
        namespace.workloads = vec![Workload { idle: true, ..workload("api-0000000002") }];
        assert!(found(&namespace).is_empty(), "it may be scaled up again");
        let versions = [("api".to_owned(), "r1/api-0000000002".to_owned())];
        namespace.workloads = vec![Workload { versions: versions.into(), ..Workload::default() }];
        assert!(found(&namespace).is_empty(), "the next roll-out brings it");
        namespace.workloads = Vec::new();
        namespace.pods = vec![Pod { takes: Arc::new([taking("api-0000000002")]), ..Pod::default() }];
        assert!(found(&namespace).is_empty(), "a pod has it");
    }

    #[test]
    fn the_secret_of_before_is_used_again_where_new_pods_are_sure_to_be_given_its_value() {
        let look = |change: &dyn Fn(&mut SecretSeen), since: i64| {
            let takes = || vec![sample::takes("api", "key", sample::env())];
            let mut base = sample::secret("api", "key", "x");
            change(&mut base);
            let mut seen = sample::seen(vec![base], vec![sample::deployment("agent", 600, &takes)]);
            seen.namespace.now = Some(CHANGE + since);
            gives(&seen, &sample::key())
        };
        let same = |_: &mut SecretSeen| {};
        assert!(look(&same, CACHE_S + 1) && !look(&same, CACHE_S), "a node may have another one");
        let bound = |base: &mut SecretSeen| base.changed.get_mut("key").unwrap().bound = false;
        assert!(!look(&bound, 10_000), "the time of an apply says nothing");
        let anew = |base: &mut SecretSeen| base.created = Some(CHANGE + 9_000);
        assert!(!look(&anew, 10_000), "it is another one of its name");
        assert!(!look(&|base| base.name = "other".to_owned(), 10_000));
    }
}
