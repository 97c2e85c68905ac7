//! What one consumer depends on, read by itself: its workload, its pods, and the Secrets and ConfigMaps that count for it.
//!
//! It costs about five requests, however large the namespace is. The Secret of the key is read before the pods and after
//! them, as in a whole look ([`crate::read`]): one that was written in between makes no pod *current*. Who else takes the key
//! shows itself in whole looks alone, and so does whether its Secret is the first one of its name.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod as PodObject, Secret};
use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_kube::{Effect, failure};
use keyroll_port::Failure;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ClusterHost;
use super::api::Api;
use super::memo::Identity;
use super::object::Object;
use super::rolled_out::{RollOut, selector_of, sets_and_pods};
use super::seen::Seen;
use super::setup::{KeySetup, PodsSetup};
use super::template::Template;
use crate::commands::never_follows;
use crate::look::remade;
use crate::model::{From, MapSeen, Namespace, SecretSeen, Taking, Way};
use crate::objects;
use crate::read::requests::is_name;

/// What a look at one consumer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Evidence: what its pods have of the key.
    Evidence,
    /// What a roll-out makes live besides: also what its pods have of other keys.
    Changes,
}

/// A look at one consumer.
pub(super) struct Own {
    pub(super) seen: Seen,
    /// `None`: there is none.
    pub(super) workload: Option<Value>,
    pub(super) roll_out: RollOut,
    /// When the pods were read, by the server's clock, if it says so.
    pub(super) date: Option<i64>,
}

/// The objects that pods name.
struct Named<'a> {
    api: Api<'a>,
    attempted: &'a str,
    secrets: BTreeMap<String, Object>,
    maps: Vec<MapSeen>,
}

impl ClusterHost {
    /// Looks at one consumer. `None`: its pods are not those of one selector, or a Role allows less than that of the guide.
    /// Then only a whole look shows what they have.
    pub(super) async fn see_own(&self, pods: &PodsSetup, of: Purpose) -> Result<Option<Own>, Failure> {
        match pods.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {}
            WorkloadKind::CronJob | WorkloadKind::Job | WorkloadKind::Pod => return Ok(None),
        }
        match self.read_own(pods, of).await {
            Err(failure) if failure.code == Code::ClusterAccess => Ok(None),
            own => own.map(Some),
        }
    }

    /// The same for evidence. That a Secret is the first one of its name is known from a whole look, which is made now if
    /// there was none: a node may still have the value of an earlier one.
    pub(super) async fn see_for_evidence(&self, pods: &PodsSetup) -> Result<Option<Own>, Failure> {
        let Some(mut own) = self.see_own(pods, Purpose::Evidence).await? else { return Ok(None) };
        // Before the end of the roll-out no pod counts, and of a file that is read again only the Secret does.
        if pods.rereads || !matches!(own.roll_out, RollOut::Done { .. }) {
            return Ok(Some(own));
        }
        let key = self.key_setup(pods.file)?;
        let mut firsts = self.memo().firsts.clone();
        if !firsts.is_superset(&identities(key, &own.seen.namespace)) {
            // First the whole look: what is older than the Secret may be gone after it.
            firsts.extend(self.firsts(&self.see().await?));
            let Some(again) = self.see_own(pods, Purpose::Evidence).await? else { return Ok(None) };
            own = again;
        }
        for identity in identities(key, &own.seen.namespace).difference(&firsts) {
            own.seen.remade.insert(format!("secret/{}", identity.0));
        }
        Ok(Some(own))
    }

    /// The Secrets of the plan's keys that a whole look shows as the first ones of their names.
    ///
    /// Each stays so as long as it is there: nothing that begins after that look is older than it, and what a pod takes never
    /// changes.
    pub(super) fn firsts(&self, seen: &Seen) -> BTreeSet<Identity> {
        let all = self.setup.keys.iter().flat_map(|key| identities(key, &seen.namespace));
        // Of one that was written while the namespace was read, the time of its making is not known.
        let dated = |name: &str| seen.namespace.secret(name).is_some_and(|secret| secret.created.is_some());
        let is_first = |(name, uid): &Identity| {
            dated(name) && !uid.is_empty() && !seen.remade.contains(&format!("secret/{name}"))
        };
        all.filter(is_first).collect()
    }

    async fn read_own(&self, pods: &PodsSetup, of: Purpose) -> Result<Own, Failure> {
        let attempted = format!("see the pods of {}", pods.object());
        let (api, key) = (self.api().await?, self.key_setup(pods.file)?);
        let mut named = Named { api, attempted: &attempted, secrets: BTreeMap::new(), maps: Vec::new() };
        let (workload, date) = self.workload_now(pods, &attempted).await?;
        let own = key_names(key, pods, workload.as_ref(), &self.setup.rotation);
        if of == Purpose::Evidence {
            named.read_secrets(&own).await?;
        }
        let before = named.versions();
        let (sets, all, date) = match &workload {
            Some(workload) => {
                let selector = selector_of(workload, &attempted)?;
                sets_and_pods(api, pods.kind, &selector, &attempted).await?
            }
            None => (Vec::new(), Vec::new(), date),
        };
        let roll_out = match &workload {
            Some(workload) => self.state_of(workload, &all, &sets, date),
            None => RollOut::Going(format!("{} does not exist", pods.object())),
        };
        let objects: Vec<PodObject> =
            all.iter().map(|pod| typed(pod, &attempted)).collect::<Result<_, Failure>>()?;
        named.read_of(&objects, &own, of).await?;
        if of == Purpose::Evidence {
            named.forget_changed(&own, &before);
        }
        let mut seen = named.into_seen(date);
        seen.add_makers((pods.kind, workload.as_ref()), &sets, &attempted)?;
        seen.add_pods(&objects);
        Ok(Own { seen, workload, roll_out, date })
    }
}

impl Own {
    /// The Secret of a key that is not versioned, if it has the key.
    pub(super) fn secret_with(&self, key: &KeySetup) -> Option<&SecretSeen> {
        self.seen.namespace.secret(&key.secret).filter(|secret| secret.data.contains_key(&key.key))
    }
}

impl Named<'_> {
    /// Reads these Secrets, and forgets those that are not there.
    async fn read_secrets(&mut self, names: &BTreeSet<String>) -> Result<(), Failure> {
        for name in names.iter().filter(|name| is_name(name)) {
            let read: Option<Secret> = self.api.get(&self.api.secret(name), self.attempted).await?;
            match read {
                Some(secret) => self.secrets.insert(name.clone(), Object::of(secret)),
                None => self.secrets.remove(name),
            };
        }
        Ok(())
    }

    /// Reads what counts of these pods, and the Secrets of the key (again).
    async fn read_of(
        &mut self,
        pods: &[PodObject],
        own: &BTreeSet<String>,
        of: Purpose,
    ) -> Result<(), Failure> {
        let (mut secrets, mut maps) = (own.clone(), BTreeSet::new());
        for pod in pods {
            let pod = objects::pod(pod, &|_: &From| None);
            for taking in pod.takes.iter().filter(|taking| counts(taking, of)) {
                match &taking.from {
                    From::Secret { name, .. } => {
                        secrets.insert(name.clone());
                    }
                    From::Map { name, .. } => {
                        maps.insert(name.clone());
                    }
                    From::Text(_) | From::Class(_) => {}
                }
            }
        }
        self.read_secrets(&secrets).await?;
        if maps.is_empty() {
            return Ok(());
        }
        // The Role of the guide lets keyroll list them, and not get one.
        let path = self.api.path("", "v1", "configmaps");
        let listed = self.api.list::<ConfigMap>(&path, "", self.attempted).await?;
        let all = listed.into_iter().flat_map(|listed| listed.items).map(objects::config_map);
        self.maps = all.filter(|map| maps.contains(&map.name)).collect();
        Ok(())
    }

    /// Which write made each Secret what it was when it was read.
    fn versions(&self) -> BTreeMap<String, String> {
        self.secrets.iter().map(|(name, object)| (name.clone(), object.version.clone())).collect()
    }

    /// Forgets the times of those of the key's Secrets that are not as they were before the pods were read.
    fn forget_changed(&mut self, own: &BTreeSet<String>, before: &BTreeMap<String, String>) {
        for (name, object) in &mut self.secrets {
            let same = !object.version.is_empty() && before.get(name) == Some(&object.version);
            if own.contains(name) && !same {
                object.seen.forget_times();
            }
        }
    }

    /// What was read, at this time.
    fn into_seen(self, now: Option<i64>) -> Seen {
        let mut namespace = Namespace {
            name: self.api.cluster.namespace.clone(),
            options: self.api.cluster.options.clone(),
            secrets: self.secrets.into_values().map(|object| object.seen).collect(),
            config_maps: self.maps,
            now,
            ..Namespace::default()
        };
        namespace.sort();
        Seen { namespace, remade: BTreeSet::new() }
    }
}

impl Seen {
    /// The names of the keys of an object that a pod takes as a whole.
    fn keys_of(&self, from: &From) -> Option<Vec<String>> {
        match from {
            From::Secret { name, .. } => {
                self.namespace.secret(name).map(|secret| secret.data.keys().cloned().collect())
            }
            From::Map { name, .. } => {
                self.namespace.config_map(name).map(|map| map.data.keys().cloned().collect())
            }
            From::Text(_) | From::Class(_) => None,
        }
    }

    /// Adds what makes the pods: the workload, and the ReplicaSets that its selector fits.
    fn add_makers(
        &mut self,
        (kind, workload): (WorkloadKind, Option<&Value>),
        sets: &[Value],
        attempted: &str,
    ) -> Result<(), Failure> {
        let mut makers = Vec::new();
        let keys = |from: &From| self.keys_of(from);
        for set in sets {
            makers.push(objects::replica_set(&typed::<ReplicaSet>(set, attempted)?, &keys));
        }
        if let Some(workload) = workload {
            let maker = match kind {
                WorkloadKind::Deployment => {
                    Some(objects::deployment(&typed::<Deployment>(workload, attempted)?, &keys))
                }
                WorkloadKind::StatefulSet => {
                    Some(objects::stateful_set(&typed::<StatefulSet>(workload, attempted)?, &keys))
                }
                WorkloadKind::DaemonSet => {
                    Some(objects::daemon_set(&typed::<DaemonSet>(workload, attempted)?, &keys))
                }
                WorkloadKind::CronJob | WorkloadKind::Job | WorkloadKind::Pod => None,
            };
            makers.extend(maker);
        }
        self.namespace.workloads = makers;
        Ok(())
    }

    /// Adds the pods; then it shows itself what may have been made anew.
    fn add_pods(&mut self, pods: &[PodObject]) {
        self.namespace.pods =
            pods.iter().map(|pod| objects::pod(pod, &|from: &From| self.keys_of(from))).collect();
        self.remade = remade(&self.namespace);
    }
}

/// Whether the object that is taken has to be read: all its keys are taken, or without it another source gives the variable;
/// and what never changes in the container, where the pending changes are asked for.
fn counts(taking: &Taking, of: Purpose) -> bool {
    let whole = match &taking.from {
        From::Secret { key, .. } | From::Map { key, .. } => key.is_none(),
        From::Text(_) | From::Class(_) => false,
    };
    let changes = of == Purpose::Changes && never_follows(&taking.way);
    taking.way != Way::PullImage && (whole || taking.optional || changes)
}

/// The Secrets that hold the key: of a versioned one those that the template names, and the one that the next roll-out brings.
fn key_names(key: &KeySetup, pods: &PodsSetup, workload: Option<&Value>, rotation: &str) -> BTreeSet<String> {
    if key.versioned.is_none() {
        return BTreeSet::from([key.secret.clone()]);
    }
    let Some(workload) = workload else { return BTreeSet::new() };
    let template = Template::of(workload.clone(), pods.kind, key, rotation);
    template.names().into_iter().chain(template.noted()).map(str::to_owned).collect()
}

/// The Secrets of a key that were read.
fn identities(key: &KeySetup, namespace: &Namespace) -> BTreeSet<Identity> {
    let own = namespace.secrets.iter().filter(|secret| key.is_of(&secret.name));
    own.map(|secret| (secret.name.clone(), secret.uid.clone())).collect()
}

/// An object in its type.
pub(super) fn typed<K: DeserializeOwned>(object: &Value, attempted: &str) -> Result<K, Failure> {
    K::deserialize(object).map_err(|error| failure(attempted, kube::Error::SerdeError(error), Effect::None))
}

#[cfg(test)]
mod tests;
