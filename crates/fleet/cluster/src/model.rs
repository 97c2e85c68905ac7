//! What was read of a namespace, without what keyroll does not need of its objects.
//!
//! Times are those that the API shows: whole seconds since the Unix epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use keyroll_inventory::Missed;
use keyroll_kube::Owner;
use keyroll_secret::SecretBytes;

/// A namespace as it was read.
#[derive(Default)]
pub struct Namespace {
    /// Its name.
    pub(crate) name: String,
    /// What commands need to reach it: `--context admin@prod -n prod`.
    pub(crate) options: String,
    /// How long the reading took, seconds.
    pub(crate) took_s: f64,
    /// The Secrets, in the order of their names.
    pub(crate) secrets: Vec<SecretSeen>,
    /// The ConfigMaps, in the order of their names.
    pub(crate) config_maps: Vec<MapSeen>,
    /// What makes pods, in the order of its kind and name.
    pub(crate) workloads: Vec<Workload>,
    /// The pods, in the order of their names.
    pub(crate) pods: Vec<Pod>,
    /// The Secrets that each service account has for pulling images, by its name.
    pub(crate) pull_secrets: BTreeMap<String, Vec<String>>,
    /// What External Secrets writes: the names of its objects by the name of the Secret.
    pub(crate) external: BTreeMap<String, External>,
    /// What the CSI driver mounted, in the order of its pods.
    pub(crate) mounted: Vec<Mounted>,
    /// What could not be read, and why.
    pub(crate) missed: Vec<Missed>,
    /// The kinds of which not all objects could be listed.
    pub(crate) unlisted: Vec<Unlisted>,
    /// The names of Secrets that something takes and that were not read: the login may not get them, or they are too many.
    pub(crate) hidden: BTreeSet<String>,
    /// The rights of the login do not suffice for all of it.
    pub(crate) refused: bool,
    /// When it was read, by the clock of the API server; `None`: its answers do not say it, because a proxy leaves it out.
    pub(crate) now: Option<i64>,
}

impl Namespace {
    /// Puts what is looked up into the order of its names, in which it almost always is.
    pub(crate) fn sort(&mut self) {
        self.secrets.sort_by(|one, other| one.name.cmp(&other.name));
        self.config_maps.sort_by(|one, other| one.name.cmp(&other.name));
        self.mounted.sort_by(|one, other| one.pod.cmp(&other.pod));
    }

    /// What the API shows of the changes of what is taken; `None`: nothing.
    pub(crate) fn history(&self, from: &From) -> Option<History<'_>> {
        match from {
            From::Secret { name, .. } => self.secret(name).map(SecretSeen::history),
            From::Map { name, .. } => self.config_map(name).map(MapSeen::history),
            From::Text(_) | From::Class(_) => None,
        }
    }

    /// The Secret of this name.
    pub(crate) fn secret(&self, name: &str) -> Option<&SecretSeen> {
        let at = self.secrets.binary_search_by(|one| one.name.as_str().cmp(name)).ok()?;
        self.secrets.get(at)
    }

    /// The ConfigMap of this name.
    pub(crate) fn config_map(&self, name: &str) -> Option<&MapSeen> {
        let at = self.config_maps.binary_search_by(|one| one.name.as_str().cmp(name)).ok()?;
        self.config_maps.get(at)
    }

    /// Whether all pods were listed.
    pub(crate) fn sees_pods(&self) -> bool {
        self.is_listed("pods")
    }

    /// Whether all objects of a kind were listed.
    pub(crate) fn is_listed(&self, plural: &str) -> bool {
        !self.unlisted.iter().any(|one| one.plural == plural)
    }

    /// The kinds that could not be listed and whose objects may take values: `pods, the rest of the jobs cannot be listed`.
    pub(crate) fn takers_hidden(&self) -> Option<String> {
        let takers = self.unlisted.iter().filter(|one| TAKERS.contains(&one.plural));
        let named: Vec<String> = takers.map(Unlisted::named).collect();
        (!named.is_empty()).then(|| format!("{} cannot be listed", named.join(", ")))
    }

    /// What is said of what nobody was seen to take.
    pub(crate) fn taken_by_none(&self) -> String {
        let hidden = self.takers_hidden().map(|why| format!("who takes it is not visible, because {why}"));
        hidden.unwrap_or_else(|| "no container takes it".to_owned())
    }

    /// Whether an object that is not here may be there all the same.
    pub(crate) fn may_have(&self, from: &From) -> bool {
        match from {
            From::Secret { name, .. } => self.hidden.contains(name),
            From::Map { name, .. } => self.config_map(name).is_none() && !self.is_listed("configmaps"),
            From::Text(_) => false,
            From::Class(_) => true,
        }
    }

    /// What the CSI driver mounted in a pod.
    pub(crate) fn mounted_in(&self, pod: &Pod) -> impl Iterator<Item = &Mounted> {
        let from = self.mounted.partition_point(|one| one.pod < pod.name);
        let own = self.mounted.iter().skip(from).take_while(move |one| one.pod == pod.name);
        own.filter(move |one| one.pod_uid.is_empty() || one.pod_uid == pod.uid)
    }
}

/// The kinds whose objects take values, as the API names them.
const TAKERS: [&str; 8] =
    ["pods", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "rollouts"];

/// A kind of which not all objects could be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unlisted {
    /// As the API names it.
    pub(crate) plural: &'static str,
    /// Some were.
    pub(crate) in_part: bool,
}

impl Unlisted {
    /// `jobs`, `the rest of the jobs`.
    fn named(&self) -> String {
        let rest = if self.in_part { "the rest of the " } else { "" };
        format!("{rest}{}", self.plural)
    }
}

/// A Secret.
#[derive(Default)]
pub(crate) struct SecretSeen {
    pub(crate) name: String,
    /// One that was made anew has another one.
    pub(crate) uid: String,
    /// `Opaque`, `kubernetes.io/tls` …
    pub(crate) kind: String,
    pub(crate) created: Option<i64>,
    /// Its content never changes.
    pub(crate) immutable: bool,
    /// Its values, decoded, by their keys.
    pub(crate) data: BTreeMap<String, SecretBytes>,
    /// When each key was changed last, as far as the API shows it. A key that is absent here has no time.
    pub(crate) changed: BTreeMap<String, Changed>,
    /// Only one writer wrote it in the second in which it was made.
    pub(crate) made_at_once: bool,
    /// Who writes it besides people.
    pub(crate) owner: Option<Owner>,
    /// The annotation of `kubectl apply`: a copy of the values as they were then.
    pub(crate) last_applied: Option<SecretBytes>,
    /// It holds one version of the Secret of this name, as keyroll made it.
    pub(crate) version_of: Option<String>,
    /// It was made for a probe of keyroll's.
    pub(crate) of_probe: bool,
}

/// What the API shows of the changes of a Secret or a ConfigMap.
#[derive(Clone, Copy)]
pub(crate) struct History<'s> {
    pub(crate) created: Option<i64>,
    pub(crate) immutable: bool,
    pub(crate) changed: &'s BTreeMap<String, Changed>,
    pub(crate) made_at_once: bool,
}

impl SecretSeen {
    pub(crate) fn history(&self) -> History<'_> {
        let Self { created, immutable, changed, made_at_once, .. } = self;
        History { created: *created, immutable: *immutable, changed, made_at_once: *made_at_once }
    }

    /// Forgets its times: they say nothing if it was changed while the namespace was read.
    pub(crate) fn forget_times(&mut self) {
        (self.created, self.immutable) = (None, false);
        self.changed.clear();
    }
}

impl MapSeen {
    pub(crate) fn history(&self) -> History<'_> {
        let Self { created, immutable, changed, made_at_once, .. } = self;
        History { created: *created, immutable: *immutable, changed, made_at_once: *made_at_once }
    }

    /// Forgets its times: they say nothing if it was changed while the namespace was read.
    pub(crate) fn forget_times(&mut self) {
        (self.created, self.immutable) = (None, false);
        self.changed.clear();
    }
}

/// When a key of a Secret was changed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The last write that shows itself.
    pub(crate) at: i64,
    /// Who wrote then, as the API server names it: `kubectl-patch`.
    pub(crate) by: String,
    /// It was changed at this time. Otherwise another field may have been changed then.
    pub(crate) sure: bool,
    /// It was not changed after this time.
    pub(crate) bound: bool,
}

/// An ExternalSecret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct External {
    /// Its name.
    pub(crate) name: String,
    /// The store that it reads: `SecretStore/aws`.
    pub(crate) store: String,
    /// How often it reads, as it is written: `1h`.
    pub(crate) refresh: Option<String>,
    /// For each key of the Secret that it names: the key at the store, with its property: `prod/anthropic#api_key`.
    pub(crate) keys: BTreeMap<String, String>,
    /// Whether it said of itself that it is ready, and why not. It may say so of an old state.
    pub(crate) not_ready: Option<String>,
}

/// A ConfigMap.
#[derive(Default)]
pub(crate) struct MapSeen {
    pub(crate) name: String,
    /// The version of the object, which each write changes.
    pub(crate) version: Option<String>,
    pub(crate) created: Option<i64>,
    /// Its content never changes.
    pub(crate) immutable: bool,
    /// When each key was changed last, as far as the API shows it.
    pub(crate) changed: BTreeMap<String, Changed>,
    /// Only one writer wrote it in the second in which it was made.
    pub(crate) made_at_once: bool,
    /// Its texts by their keys: somebody may have put a credential there.
    pub(crate) data: BTreeMap<String, SecretBytes>,
}

/// What makes pods.
#[derive(Default)]
pub(crate) struct Workload {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `ReplicaSet`, `Job`, `CronJob`, `Rollout` (of Argo).
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) created: Option<i64>,
    /// What made it, as `(kind, name)`: the Deployment of a ReplicaSet, the CronJob of a Job.
    pub(crate) made_by: Option<(String, String)>,
    /// How its template takes values.
    pub(crate) takes: Vec<Taking>,
    /// How many pods it shall have; `None`: it says nothing.
    pub(crate) wanted: Option<i32>,
    /// It makes no pod of its template now: one that is paused, suspended, ended or scaled to 0, such as an old ReplicaSet.
    pub(crate) idle: bool,
    /// Which program restarts it when a Secret changes: `Reloader`, by its annotation.
    pub(crate) reloaded_by: Option<&'static str>,
    /// Which Secret its next roll-out brings instead of the one of this name, as keyroll noted it: `ROTATION/NAME`.
    pub(crate) versions: BTreeMap<String, String>,
}

/// A pod.
#[derive(Default)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// When it was made, by the clock of the API server.
    pub(crate) created: Option<i64>,
    /// The node that it runs on.
    pub(crate) node: Option<String>,
    /// The addresses of a network of its own; none if it shares those of its node.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub(crate) phase: String,
    /// It was asked to end.
    pub(crate) ending: bool,
    /// What made it, as `(kind, name)`: its ReplicaSet, StatefulSet, DaemonSet or Job.
    pub(crate) made_by: Option<(String, String)>,
    /// How it takes values. Pods of one template share this.
    pub(crate) takes: Arc<[Taking]>,
    /// keyroll made it, to try a value.
    pub(crate) of_probe: bool,
    /// keyroll made it from the template of what `made_by` names, to move one pod before the others.
    pub(crate) canary: bool,
    /// Its containers, also those that only initialise it.
    pub(crate) containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// It ends before the others begin. One that goes on beside them (a sidecar) is no such container.
    pub(crate) init: bool,
    /// When its present or last run began, by the clock of its node.
    pub(crate) started: Option<i64>,
    /// It runs now.
    pub(crate) running: bool,
    /// How often it was started again.
    pub(crate) restarts: i32,
    /// Why it does not run: `CrashLoopBackOff`, `ImagePullBackOff` …
    pub(crate) waits: Option<String>,
}

/// One way in which one container takes one value, or all values of an object.
#[derive(PartialEq)]
pub(crate) struct Taking {
    /// The name of the container; empty where the whole pod takes it (to pull images).
    pub(crate) container: String,
    /// The container only initialises the pod.
    pub(crate) init: bool,
    /// What is taken.
    pub(crate) from: From,
    /// How.
    pub(crate) way: Way,
    /// The pod starts without it, too.
    pub(crate) optional: bool,
    /// Another source gives the same variable, and wins.
    pub(crate) shadowed: bool,
}

impl From {
    /// The object, in words: `secret/anthropic-credentials`.
    pub(crate) fn object(&self) -> Option<String> {
        match self {
            Self::Secret { name, .. } => Some(format!("secret/{name}")),
            Self::Map { name, .. } => Some(format!("configmap/{name}")),
            Self::Text(_) | Self::Class(_) => None,
        }
    }
}

/// What a container takes.
#[derive(PartialEq)]
pub(crate) enum From {
    /// Of a Secret: one key, or all.
    Secret { name: String, key: Option<String> },
    /// Of a ConfigMap: one key, or all.
    Map { name: String, key: Option<String> },
    /// A text in the template itself.
    Text(SecretBytes),
    /// What a CSI driver fetches, as this SecretProviderClass says.
    Class(String),
}

/// How many bytes of values stand in what is taken.
fn weight(takes: &[Taking]) -> usize {
    let texts = takes.iter().map(|taking| match &taking.from {
        From::Text(data) => data.len(),
        From::Secret { .. } | From::Map { .. } | From::Class(_) => 0,
    });
    texts.sum()
}

impl MapSeen {
    /// How many bytes of values it holds.
    pub(crate) fn weight(&self) -> usize {
        self.data.values().map(SecretBytes::len).sum()
    }
}

impl Workload {
    /// The Secrets that its next roll-out brings. What it made has copies of its annotations, from earlier.
    pub(crate) fn next_secrets(&self) -> impl Iterator<Item = &str> {
        let noted = self.versions.values().filter(move |_| self.made_by.is_none());
        noted.filter_map(|noted| noted.split_once('/').map(|(_, name)| name))
    }

    /// How many bytes of values it holds.
    pub(crate) fn weight(&self) -> usize {
        weight(&self.takes)
    }
}

impl Pod {
    /// How many bytes of values it holds.
    pub(crate) fn weight(&self) -> usize {
        weight(&self.takes)
    }
}

/// How a value comes into a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// As this variable. It has the value of the start of the container for ever.
    Env(String),
    /// As variables, named by the keys with this before them. As above.
    EnvFrom(String),
    /// As a file that follows the Secret; the path of the file, or of the folder where all keys are taken.
    File(String),
    /// As a file below a projected volume, which follows the Secret, too.
    Projected(String),
    /// As a file that never follows: `subPath`.
    SubPath(String),
    /// In the arguments or the command of the container.
    Argument,
    /// By a CSI driver, below this folder.
    Csi(String),
    /// To pull its image.
    PullImage,
}

/// What the CSI driver mounted in one pod: one object of its SecretProviderClassPodStatus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) pod: String,
    pub(crate) pod_uid: String,
    pub(crate) class: String,
    /// The object at the store: `secret/anthropic`.
    pub(crate) object: String,
    /// Its version, as the provider names it.
    pub(crate) version: String,
}
