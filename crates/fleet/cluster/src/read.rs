//! Reads a namespace: its lists, in an order in which a change meanwhile makes no pod *current*.
//!
//! The pods are read after the Secrets, and then the versions of the Secrets again. If one was written in between, it is
//! read again, and after it the pods. A ConfigMap that was written in between has no time of its last change. The workloads
//! are read after the pods, so that a pod with the text of a template that was replaced in between is not *current* either.

pub(crate) mod page;
pub(crate) mod requests;
mod secrets;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList};
use keyroll_inventory::Missed;
use keyroll_kube::Cluster;
use keyroll_port::Failure;
use kube::api::PartialObjectMeta;
use serde::de::DeserializeOwned;

use crate::model::{self, From, MapSeen, Namespace, Taking, Unlisted, Workload};
use crate::objects;
use crate::takes::Keys;
use requests::{Kind, Listed, Requests, Unread, Wanted};
use secrets::Secrets;
use shared::Shared;

const CONFIG_MAPS: Kind = Kind::v1("", "configmaps");
const PODS: Kind = Kind::v1("", "pods");
const SERVICE_ACCOUNTS: Kind = Kind::v1("", "serviceaccounts");
const REPLICA_SETS: Kind = Kind::v1("apps", "replicasets");
const DEPLOYMENTS: Kind = Kind::v1("apps", "deployments");
const STATEFUL_SETS: Kind = Kind::v1("apps", "statefulsets");
const DAEMON_SETS: Kind = Kind::v1("apps", "daemonsets");
const JOBS: Kind = Kind::v1("batch", "jobs");
const CRON_JOBS: Kind = Kind::v1("batch", "cronjobs");
const POD_STATUSES: Kind = Kind::v1("secrets-store.csi.x-k8s.io", "secretproviderclasspodstatuses");
const ROLLOUTS: Kind = Kind { group: "argoproj.io", version: "v1alpha1", plural: "rollouts" };
/// The newer version first.
const EXTERNAL_SECRETS: [Kind; 2] = [
    Kind::v1("external-secrets.io", "externalsecrets"),
    Kind { group: "external-secrets.io", version: "v1beta1", plural: "externalsecrets" },
];

/// How often the pods are read, if Secrets change meanwhile.
const ROUNDS_MAX: usize = 3;

/// Reads a namespace. What the login may not read is named in the result.
///
/// # Errors
/// The cluster cannot be reached, does not accept the login, answers with what is no answer of Kubernetes, or lets the
/// login list nothing at all.
pub async fn read(cluster: &Cluster, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<Namespace, Failure> {
    let began = Instant::now();
    let mut reading = Reading {
        requests: Requests::new(cluster, progress),
        found: Namespace {
            name: cluster.namespace.clone(),
            options: cluster.options.clone(),
            ..Namespace::default()
        },
        groups: None,
        first: None,
        answered: false,
    };
    reading.ask_for_groups().await?;
    let mut secrets = Secrets::new(reading.list(&Secrets::wanted()).await?);
    let maps = reading.list(&Wanted::weighed(CONFIG_MAPS, objects::config_map, MapSeen::weight)).await?;
    reading.found.config_maps = maps.map(|maps| maps.all).unwrap_or_default();
    let unsettled = reading.pods(&mut secrets).await?;
    reading.maps_again().await?;
    let keys = reading.keys(&secrets);
    reading.workloads(&keys).await?;
    let mut named = of_secrets(reading.found.workloads.iter().flat_map(|one| &one.takes));
    let next = reading.found.workloads.iter().flat_map(Workload::next_secrets);
    named.extend(next.map(str::to_owned));
    secrets.complete(&mut reading.requests, &named).await?;
    reading.others().await?;
    let mut namespace = reading.end(secrets, unsettled)?;
    namespace.took_s = began.elapsed().as_secs_f64();
    Ok(namespace)
}

/// The names of the keys of each Secret and each ConfigMap: a pod may take all of them.
struct KeyNames {
    secrets: BTreeMap<String, Vec<String>>,
    maps: BTreeMap<String, Vec<String>>,
}

impl KeyNames {
    fn of(&self, from: &From) -> Option<Vec<String>> {
        match from {
            From::Secret { name, .. } => self.secrets.get(name).cloned(),
            From::Map { name, .. } => self.maps.get(name).cloned(),
            From::Text(_) | From::Class(_) => None,
        }
    }
}

/// The names of the Secrets that are taken.
fn of_secrets<'t>(takes: impl Iterator<Item = &'t Taking>) -> BTreeSet<String> {
    let name = |taking: &'t Taking| match &taking.from {
        From::Secret { name, .. } => Some(name.clone()),
        From::Map { .. } | From::Text(_) | From::Class(_) => None,
    };
    takes.filter_map(name).collect()
}

/// What is wanted of a list of what makes pods.
fn makers<'n, K: 'n>(
    kind: Kind,
    map: fn(&K, &Keys<'_>) -> Workload,
    names: &'n KeyNames,
) -> Wanted<'n, K, Workload> {
    let map = move |one: K| map(&one, &|from: &From| names.of(from));
    Wanted::weighed(kind, map, Workload::weight)
}

/// A namespace that is being read.
struct Reading<'a> {
    requests: Requests<'a>,
    found: Namespace,
    /// The groups of kinds that the server has; `None`: it does not say so.
    groups: Option<APIGroupList>,
    /// The first list that the login may not read.
    first: Option<Failure>,
    /// One list at least was read.
    answered: bool,
}

impl Reading<'_> {
    /// Which groups there are. A login that may not list a kind gets the same answer whether it exists or not.
    async fn ask_for_groups(&mut self) -> Result<(), Failure> {
        match self.requests.document("/apis", "list the kinds of the API server").await {
            Ok(groups) => self.groups = Some(groups),
            Err(Unread::Absent(_) | Unread::Refused(_)) => {}
            Err(Unread::Failed(failure)) => return Err(failure),
        }
        Ok(())
    }

    /// What is known of keys now.
    fn keys(&self, secrets: &Secrets) -> KeyNames {
        let maps = self.found.config_maps.iter();
        let maps = maps.map(|map| (map.name.clone(), map.data.keys().cloned().collect()));
        KeyNames { secrets: secrets.keys(), maps: maps.collect() }
    }

    /// Reads the pods, and again those Secrets that changed since they were read. The names of those Secrets that changed
    /// each time.
    async fn pods(&mut self, secrets: &mut Secrets) -> Result<BTreeSet<String>, Failure> {
        let (mut changed, shared) = (BTreeSet::new(), Shared::default());
        for _ in 0..ROUNDS_MAX {
            let keys = self.keys(secrets);
            let map = |pod: Pod| shared.share(objects::pod(&pod, &|from: &From| keys.of(from)));
            let wanted = Wanted::weighed(PODS, map, model::Pod::weight);
            let Some(pods) = self.list(&wanted).await? else { break };
            self.found.pods = pods.all;
            let named = of_secrets(self.found.pods.iter().flat_map(|pod| pod.takes.iter()));
            changed = secrets.follow(&mut self.requests, &named).await?;
            if changed.is_empty() {
                break;
            }
        }
        Ok(changed)
    }

    /// Compares the versions of the ConfigMaps with those that were read before the pods, if a pod takes one.
    async fn maps_again(&mut self) -> Result<(), Failure> {
        let mut takes = self.found.pods.iter().flat_map(|pod| pod.takes.iter());
        if self.found.config_maps.is_empty() || !takes.any(|one| matches!(one.from, From::Map { .. })) {
            return Ok(());
        }
        let version = |map: PartialObjectMeta<ConfigMap>| (map.metadata.name, map.metadata.resource_version);
        let wanted = Wanted { metadata: true, ..Wanted::of(CONFIG_MAPS, version) };
        let now: BTreeMap<Option<String>, Option<String>> = match self.requests.list(&wanted).await {
            Ok(listed) => listed.all.into_iter().collect(),
            Err(Unread::Refused(_) | Unread::Absent(_)) => BTreeMap::new(),
            Err(Unread::Failed(failure)) => return Err(failure),
        };
        for map in &mut self.found.config_maps {
            let same = map.version.is_some() && now.get(&Some(map.name.clone())) == Some(&map.version);
            if !same {
                map.forget_times();
            }
        }
        Ok(())
    }

    async fn workloads(&mut self, names: &KeyNames) -> Result<(), Failure> {
        self.add_workloads(&makers(REPLICA_SETS, objects::replica_set, names)).await?;
        self.add_workloads(&makers(DEPLOYMENTS, objects::deployment, names)).await?;
        self.add_workloads(&makers(STATEFUL_SETS, objects::stateful_set, names)).await?;
        self.add_workloads(&makers(DAEMON_SETS, objects::daemon_set, names)).await?;
        self.add_workloads(&makers(JOBS, objects::job, names)).await?;
        self.add_workloads(&makers(CRON_JOBS, objects::cron_job, names)).await?;
        let rollouts = self.list_installed(&makers(ROLLOUTS, objects::rollout, names)).await?;
        self.found.workloads.extend(rollouts.unwrap_or_default());
        Ok(())
    }

    async fn add_workloads<K: DeserializeOwned>(
        &mut self,
        wanted: &Wanted<'_, K, Workload>,
    ) -> Result<(), Failure> {
        if let Some(listed) = self.list(wanted).await? {
            self.found.workloads.extend(listed.all);
        }
        Ok(())
    }

    /// Reads what no verdict waits for.
    async fn others(&mut self) -> Result<(), Failure> {
        let accounts = self
            .list(&Wanted::of(SERVICE_ACCOUNTS, |one: ServiceAccount| objects::service_account(&one)))
            .await?;
        let without = accounts.as_ref().is_some_and(|accounts| accounts.all.is_empty());
        if without && self.found.pods.is_empty() && self.found.workloads.is_empty() {
            let why = "it has not even the service account that each namespace has: it does not exist, or was made just now";
            self.miss(format!("namespace {}", self.found.name), why.to_owned());
        }
        self.found.pull_secrets = accounts.into_iter().flat_map(|accounts| accounts.all).collect();
        for kind in EXTERNAL_SECRETS {
            let external = self.list_installed(&Wanted::of(kind, objects::external_secret)).await?;
            if let Some(external) = external {
                self.found.external = external.into_iter().flatten().collect();
                break;
            }
        }
        let mounted = self.list_installed(&Wanted::of(POD_STATUSES, objects::pod_status)).await?;
        self.found.mounted = mounted.unwrap_or_default().into_iter().flatten().collect();
        Ok(())
    }

    /// A list of a kind that each server has. `None`: it cannot be read, which is noted.
    async fn list<K: DeserializeOwned, T>(
        &mut self,
        wanted: &Wanted<'_, K, T>,
    ) -> Result<Option<Listed<T>>, Failure> {
        match self.requests.list(wanted).await {
            Ok(listed) => {
                self.answered = true;
                self.note_cut(wanted.kind, &listed);
                Ok(Some(listed))
            }
            Err(Unread::Refused(failure)) => {
                self.note_refused(wanted.kind);
                self.first.get_or_insert(failure);
                Ok(None)
            }
            Err(Unread::Absent(failure)) => {
                self.note_unlisted(wanted.kind, false);
                self.miss(self.name(wanted.kind), "this API server does not have them".to_owned());
                self.first.get_or_insert(failure);
                Ok(None)
            }
            Err(Unread::Failed(failure)) => Err(failure),
        }
    }

    /// A list of a kind that is installed besides. `None`: the server does not have it, or it cannot be read, which is
    /// noted. Such a kind can fail by itself, for example with its webhook.
    async fn list_installed<K: DeserializeOwned, T>(
        &mut self,
        wanted: &Wanted<'_, K, T>,
    ) -> Result<Option<Vec<T>>, Failure> {
        let kind = wanted.kind;
        if !self.may_have(kind) {
            return Ok(None);
        }
        match self.requests.list(wanted).await {
            Ok(listed) => {
                self.note_cut(kind, &listed);
                return Ok(Some(listed.all));
            }
            Err(Unread::Absent(_)) => {}
            Err(Unread::Refused(_)) => {
                if self.has(kind).await? {
                    self.note_refused(kind);
                }
            }
            Err(Unread::Failed(failure)) => {
                self.note_unlisted(kind, false);
                let why = failure.source.as_ref().map_or_else(|| failure.to_string(), ToString::to_string);
                self.miss(self.name(kind), why);
            }
        }
        Ok(None)
    }

    /// Whether the group of a kind is there in this version, as far as the server says it.
    fn may_have(&self, kind: Kind) -> bool {
        self.groups.as_ref().is_none_or(|groups| {
            let group = groups.groups.iter().find(|group| group.name == kind.group);
            group.is_some_and(|group| group.versions.iter().any(|one| one.version == kind.version))
        })
    }

    /// Whether a kind is there that the login may not list. The same group may have other kinds only.
    async fn has(&mut self, kind: Kind) -> Result<bool, Failure> {
        let path = format!("/apis/{}/{}", kind.group, kind.version);
        match self.requests.document::<APIResourceList>(&path, "list the kinds of a group").await {
            Ok(list) => Ok(list.resources.iter().any(|one| one.name == kind.plural)),
            Err(Unread::Absent(_)) => Ok(false),
            Err(Unread::Refused(_)) => Ok(true),
            Err(Unread::Failed(failure)) => Err(failure),
        }
    }

    fn name(&self, kind: Kind) -> String {
        format!("{} in {}", kind.plural, self.found.name)
    }

    fn note_cut<T>(&mut self, kind: Kind, listed: &Listed<T>) {
        if let Some(cut) = &listed.cut {
            self.note_unlisted(kind, true);
            self.miss(format!("the rest of the {}", self.name(kind)), cut.clone());
        }
    }

    fn note_refused(&mut self, kind: Kind) {
        self.found.refused = true;
        self.note_unlisted(kind, false);
        let why = format!(
            "forbidden: the login may not list {}; a Role with {} verbs [list] would allow it",
            kind.plural,
            kind.rule()
        );
        self.miss(self.name(kind), why);
    }

    /// Notes a kind of which not all objects were listed, once.
    fn note_unlisted(&mut self, kind: Kind, in_part: bool) {
        let unlisted = Unlisted { plural: kind.plural, in_part };
        if !self.found.unlisted.contains(&unlisted) {
            self.found.unlisted.push(unlisted);
        }
    }

    /// Notes what was not read, once.
    fn miss(&mut self, what: String, why: String) {
        let missed = Missed { what, why };
        if !self.found.missed.contains(&missed) {
            self.found.missed.push(missed);
        }
    }

    /// Puts together what was read.
    fn end(self, secrets: Secrets, unsettled: BTreeSet<String>) -> Result<Namespace, Failure> {
        if let Some(failure) = self.first
            && !self.answered
            && secrets.is_empty()
        {
            return Err(failure);
        }
        let mut found = self.found;
        found.refused |= secrets.refused();
        found.hidden = secrets.hidden();
        let (secrets, missed) = secrets.end(unsettled, &found.name);
        found.secrets = secrets;
        found.missed.extend(missed);
        found.workloads.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
        found.now = self.requests.date();
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
