//! Who takes values: what makes pods, with its pods, and what each container takes under which name.

use std::collections::BTreeMap;

use crate::model::{Container, From, Namespace, Pod, Taking, Way, Workload};

/// How many objects stand above a pod at most: its Job, its CronJob, and a controller above that.
const ABOVE_MAX: usize = 4;

/// What makes pods, or a pod that nothing makes.
pub(crate) struct Taker<'n> {
    /// Its place among all of them: the same while the namespace is the same.
    pub(crate) at: usize,
    /// `Deployment`; `Pod` for one that nothing makes.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// What is known of it; `None`: its kind is not read.
    pub(crate) workload: Option<&'n Workload>,
    /// What it made that makes pods in turn: its ReplicaSets, its Jobs.
    pub(crate) made: Vec<&'n Workload>,
    /// Its pods that have not ended.
    pub(crate) pods: Vec<&'n Pod>,
}

impl<'n> Taker<'n> {
    /// As it is shown: `deployment/agent`.
    pub(crate) fn shown(&self) -> String {
        shown(&self.kind, &self.name)
    }

    /// What a new pod of it would take; of something unknown nothing.
    pub(crate) fn template(&self) -> &'n [Taking] {
        self.workload.map(|workload| workload.takes.as_slice()).unwrap_or_default()
    }

    /// How many pods it has, and how many it shall have if it has fewer: `2`, `1 of 2`. Of a job some may have ended.
    pub(crate) fn pods_shown(&self) -> String {
        let has = self.pods.len();
        let wanted = self.workload.filter(|one| one.kind != "Job").and_then(|one| one.wanted);
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
        wanted
            .filter(|wanted| *wanted > has)
            .map_or_else(|| has.to_string(), |wanted| format!("{has} of {wanted}"))
    }

    /// Why it makes no pod of its template now.
    pub(crate) fn halted(&self) -> Option<&'static str> {
        let workload = self.workload.filter(|one| one.idle)?;
        Some(match (workload.kind.as_str(), workload.wanted) {
            ("Job", Some(0)) => "it has ended, or is suspended",
            ("DaemonSet", Some(0)) => "no node fits it",
            (_, Some(0)) => "it is scaled to 0",
            ("CronJob" | "Job", _) => "it is suspended",
            _ => "it is paused, and rolls nothing out before it is resumed",
        })
    }

    /// Whether it is to have no pod.
    pub(crate) fn is_scaled_to_0(&self) -> bool {
        self.workload.is_some_and(|one| one.idle && one.wanted == Some(0) && one.kind != "Job")
    }

    /// Whether it rolls nothing out.
    pub(crate) fn is_paused(&self) -> bool {
        self.workload.is_some_and(|one| one.idle && one.wanted != Some(0))
    }

    /// Whether its containers have to be told apart.
    pub(crate) fn has_several(&self) -> bool {
        let all = self.template().iter().chain(self.pods.iter().flat_map(|pod| pod.takes.iter()));
        let mut names: Vec<&str> =
            all.map(|taking| taking.container.as_str()).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        names.len() > 1
    }
}

/// `deployment/agent`.
pub(crate) fn shown(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_ascii_lowercase())
}

/// What makes pods, by kind and name.
type Workloads<'n> = BTreeMap<(&'n str, &'n str), &'n Workload>;

/// Everything that takes values, in the order of its kind and name.
pub(crate) fn takers(namespace: &Namespace) -> Vec<Taker<'_>> {
    let mut known = Workloads::new();
    for workload in &namespace.workloads {
        known.entry((workload.kind.as_str(), workload.name.as_str())).or_insert(workload);
    }
    let mut all: BTreeMap<(&str, &str), Taker<'_>> = BTreeMap::new();
    for workload in &namespace.workloads {
        let at = top(&known, (&workload.kind, &workload.name));
        let taker = all.entry(at).or_insert_with(|| new(&known, at));
        taker.made.extend(workload.made_by.is_some().then_some(workload));
    }
    for pod in namespace.pods.iter().filter(|pod| !has_ended(pod)) {
        let at = match &pod.made_by {
            Some((kind, name)) => top(&known, (kind, name)),
            None => ("Pod", pod.name.as_str()),
        };
        all.entry(at).or_insert_with(|| new(&known, at)).pods.push(pod);
    }
    all.into_values().zip(0..).map(|(taker, at)| Taker { at, ..taker }).collect()
}

fn new<'n>(known: &Workloads<'n>, (kind, name): (&'n str, &'n str)) -> Taker<'n> {
    let workload = known.get(&(kind, name)).copied();
    Taker {
        at: 0,
        kind: kind.to_owned(),
        name: name.to_owned(),
        workload,
        made: Vec::new(),
        pods: Vec::new(),
    }
}

/// What stands above an object, up to what nothing made.
fn top<'n>(known: &Workloads<'n>, mut at: (&'n str, &'n str)) -> (&'n str, &'n str) {
    for _ in 0..ABOVE_MAX {
        let Some((kind, name)) = known.get(&at).and_then(|one| one.made_by.as_ref()) else { break };
        at = (kind, name);
    }
    at
}

/// A pod that has ended uses nothing. One that was asked to end still does.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(pod.phase.as_str(), "Succeeded" | "Failed")
}

/// The container of a taking.
pub(crate) fn container_of<'p>(pod: &'p Pod, taking: &Taking) -> Option<&'p Container> {
    pod.containers.iter().find(|one| one.name == taking.container)
}

/// One value that a container takes.
pub(crate) struct Use<'n> {
    pub(crate) taking: &'n Taking,
    /// The key, also where all are taken; `None` for a text, and for an object that is not there.
    pub(crate) key: Option<&'n str>,
    /// The variable, or the path of the file.
    pub(crate) name: String,
}

impl Use<'_> {
    /// Whether it is the same variable or file of the same container.
    pub(crate) fn is_same(&self, other: &Use<'_>) -> bool {
        self.taking.container == other.taking.container && self.name == other.name
    }

    /// What is taken, in words, as it is written in a manifest: `secret/anthropic-credentials api-key`.
    pub(crate) fn object(&self) -> String {
        let with_key = |kind: &str, name: &str| match self.key {
            Some(key) => format!("{kind}/{name} {key}"),
            None => format!("{kind}/{name}"),
        };
        match &self.taking.from {
            From::Secret { name, .. } => with_key("secret", name),
            From::Map { name, .. } => with_key("configmap", name),
            From::Text(_) => "a text in the template".to_owned(),
            From::Class(class) => format!("secretproviderclass/{class}"),
        }
    }
}

/// Everything that these takings take, one by one.
pub(crate) fn uses<'n>(namespace: &'n Namespace, takes: &'n [Taking]) -> Vec<Use<'n>> {
    let mut all = Vec::new();
    for taking in takes {
        let keys: Vec<Option<&str>> = match &taking.from {
            From::Secret { key: Some(key), .. } | From::Map { key: Some(key), .. } => {
                vec![Some(key.as_str())]
            }
            From::Secret { name, key: None } => {
                let secret = namespace.secret(name);
                secret.map_or(vec![None], |one| one.data.keys().map(|key| Some(key.as_str())).collect())
            }
            From::Map { name, key: None } => {
                let map = namespace.config_map(name);
                map.map_or(vec![None], |one| one.data.keys().map(|key| Some(key.as_str())).collect())
            }
            From::Text(_) | From::Class(_) => vec![None],
        };
        let one = |key: Option<&'n str>| Use { taking, key, name: name_of(taking, key) };
        all.extend(keys.into_iter().map(one));
    }
    all
}

/// The name under which a container takes a value.
fn name_of(taking: &Taking, key: Option<&str>) -> String {
    let whole = matches!(&taking.from, From::Secret { key: None, .. } | From::Map { key: None, .. });
    match (&taking.way, key) {
        (Way::Env(name), _) => name.clone(),
        (Way::EnvFrom(prefix), key) => format!("{prefix}{}", key.unwrap_or("*")),
        (Way::File(path) | Way::Projected(path) | Way::SubPath(path), Some(key)) if whole => {
            format!("{}/{key}", path.trim_end_matches('/'))
        }
        (Way::File(path) | Way::Projected(path) | Way::SubPath(path) | Way::Csi(path), _) => path.clone(),
        (Way::Argument, _) => "its arguments".to_owned(),
        (Way::PullImage, _) => "imagePullSecrets".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: &str, name: &str, by: Option<(&str, &str)>) -> Workload {
        let made_by = by.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        Workload { kind: kind.to_owned(), name: name.to_owned(), made_by, ..Workload::default() }
    }

    fn pod(name: &str, by: Option<(&str, &str)>, phase: &str) -> Pod {
        let made_by = by.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        Pod { name: name.to_owned(), made_by, phase: phase.to_owned(), ..Pod::default() }
    }

    #[test]
    fn a_pod_belongs_to_what_stands_above_all_that_made_it() {
        let namespace = Namespace {
            workloads: vec![
                made("Deployment", "agent", None),
                made("ReplicaSet", "agent-1", Some(("Deployment", "agent"))),
                made("CronJob", "nightly", None),
            ],
            pods: vec![
                pod("agent-1-a", Some(("ReplicaSet", "agent-1")), "Running"),
                pod("agent-1-b", Some(("ReplicaSet", "agent-1")), "Failed"),
                pod("alone", None, "Running"),
                pod("other-0", Some(("CloneSet", "other")), "Running"),
            ],
            ..Namespace::default()
        };
        let all = takers(&namespace);
        let shown: Vec<_> = all.iter().map(|one| (one.shown(), one.pods.len(), one.made.len())).collect();
        let wanted = [
            ("cloneset/other", 1, 0),
            ("cronjob/nightly", 0, 0),
            ("deployment/agent", 1, 1),
            ("pod/alone", 1, 0),
        ];
        assert_eq!(shown, wanted.map(|(name, pods, made)| (name.to_owned(), pods, made)));
    }
}
