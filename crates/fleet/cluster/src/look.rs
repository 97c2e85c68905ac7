//! A namespace that was read, with its secrets.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_inventory::{KnownSecrets, Missed, ScanShown, ValueShown};
use keyroll_needle::Needles;
use keyroll_trace::{Names, ValueId, Values};

use crate::found::{Everything, Found, find};
use crate::holders::{Holders, forget_texts, values_of_text};
use crate::model::{Container, From, Namespace, Taking, Way};
use crate::owner::to_be_written;
use crate::takers::{Taker, Use, container_of, takers, uses};
use crate::verdict::{CLOCK_S, idle};

/// How long after what takes it a Secret may be made by the same command, seconds: `kubectl apply` of a folder goes by the
/// names of the files. An immutable one gets no such time: nodes keep its value.
const APPLIED_S: i64 = 10;

/// The Secrets and ConfigMaps that are younger than a pod that takes them, or than what makes such pods: there may have been
/// another one of that name, whose value a node still has in its cache. Pods that are gone leave no trace, but the ReplicaSet,
/// StatefulSet, DaemonSet, Job or CronJob that made them does. A Deployment may have got another template since; its
/// ReplicaSets have not.
pub(crate) fn remade(namespace: &Namespace) -> BTreeSet<String> {
    let applied = |immutable: bool| if immutable { 0 } else { APPLIED_S };
    let secrets = namespace.secrets.iter();
    let secrets = secrets.map(|one| (format!("secret/{}", one.name), one.created, applied(one.immutable)));
    let maps = namespace.config_maps.iter();
    let maps = maps.map(|one| (format!("configmap/{}", one.name), one.created, applied(false)));
    let made: BTreeMap<String, (i64, i64)> = secrets
        .chain(maps)
        .filter_map(|(object, created, applied)| Some((object, (created?, applied))))
        .collect();
    let makers = namespace.workloads.iter().filter(|one| !matches!(&*one.kind, "Deployment" | "Rollout"));
    let makers = makers.map(|maker| (maker.created, maker.takes.as_slice(), [].as_slice()));
    let pods = namespace.pods.iter().map(|pod| (pod.created, &*pod.takes, pod.containers.as_slice()));
    let mut all = BTreeSet::new();
    for (created, takes, containers) in makers.chain(pods) {
        for taking in takes {
            let Some(object) = taking.from.object() else { continue };
            let Some(&(made, applied)) = made.get(&object) else { continue };
            let older =
                |at: Option<i64>, seconds: i64| at.is_some_and(|at| at.saturating_add(seconds) < made);
            let own = |one: &&Container| taking.container.is_empty() || one.name == taking.container;
            let mut started = containers.iter().filter(own).map(|one| one.started);
            if older(created, applied) || started.any(|started| older(started, CLOCK_S)) {
                all.insert(object);
            }
        }
    }
    all
}

/// A namespace that was read. Its reports have labels instead of values.
pub struct Look {
    pub(crate) namespace: Namespace,
    /// The values that were found.
    pub values: Values,
    pub(crate) names: Names,
    pub(crate) digits: usize,
    /// The secrets, in the order of their names.
    pub(crate) found: Vec<Found>,
    pub(crate) holders: Holders,
    /// The Secrets and ConfigMaps that may have been made anew: `secret/anthropic`.
    pub(crate) remade: BTreeSet<String>,
    /// What was read and is not followed, and why.
    not_followed: Vec<Missed>,
}

impl Look {
    /// Finds the secrets of a namespace.
    pub fn of(mut namespace: Namespace, known: KnownSecrets) -> Self {
        namespace.sort();
        let Everything { values, names, digits, mut found, missed } = find(&namespace, known);
        forget_texts(&mut namespace, &values);
        let holders = Holders::of_all(&found);
        holders.note_takers(&namespace, &values, &mut found);
        let remade = remade(&namespace);
        Self { namespace, values, names, digits, found, holders, remade, not_followed: missed }
    }

    /// Redacts every value that was found.
    pub fn redactor(&self) -> Option<Needles> {
        self.values.redactor()
    }

    /// What was read.
    pub fn scanned(&self) -> ScanShown {
        ScanShown {
            stage: "cluster".into(),
            processes: self.namespace.pods.len(),
            files: self.namespace.secrets.len(),
            services: self.takers().len(),
            values: self.values.len(),
            took_s: self.namespace.took_s,
        }
    }

    /// Whether the login would see more with more rights.
    pub fn refused(&self) -> bool {
        self.namespace.refused
    }

    /// What could not be read, what is not there, and the containers that do not run.
    pub fn missed(&self) -> Vec<Missed> {
        let mut all: Vec<Missed> = self.namespace.missed.clone();
        all.extend(self.not_followed.iter().cloned());
        for taker in self.takers() {
            // What could not be read is named already.
            all.extend(
                self.not_there(&taker, &|_: &Use<'_>, hidden| !hidden)
                    .into_iter()
                    .map(|(what, why)| Missed { what, why }),
            );
            all.extend(stuck(&taker));
        }
        let told =
            |one: Missed| Missed { what: self.names.told(&one.what, ""), why: self.names.told(&one.why, "") };
        all.into_iter().map(told).collect()
    }

    /// Everything that takes values.
    pub(crate) fn takers(&self) -> Vec<Taker<'_>> {
        takers(&self.namespace)
    }

    /// What a taker takes and is not there, or could not be read: what it is, and what that means. `wanted` is asked for
    /// each, with whether it only could not be read.
    pub(crate) fn not_there(
        &self,
        taker: &Taker<'_>,
        wanted: &dyn Fn(&Use<'_>, bool) -> bool,
    ) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for one in self.all_uses(taker) {
            let told = self.absence(&one).filter(|(_, hidden)| wanted(&one, *hidden));
            let Some((why, _)) = told else { continue };
            let what = format!("{}, which {} takes as {}", one.object(), taker.shown(), one.name);
            let writer = to_be_written(&self.namespace, &one.taking.from);
            let new = (what, writer.map_or_else(|| why.to_owned(), |writer| format!("{why}; {writer}")));
            if !all.contains(&new) {
                all.push(new);
            }
        }
        all
    }

    /// What it means that something is not there, and whether it only could not be read; `None`: it is there, or it does
    /// not matter.
    fn absence(&self, one: &Use<'_>) -> Option<(&'static str, bool)> {
        let Taking { from, way, optional, .. } = one.taking;
        let matters = !optional || matches!(from, From::Secret { .. }) && *way != Way::PullImage;
        if self.is_there(one) || !matters {
            return None;
        }
        Some(match (way, self.namespace.may_have(from)) {
            (Way::Csi(_), _) => ("what the CSI driver mounted is not visible", false),
            (_, true) => ("it could not be read: whether it is there is not visible", true),
            (_, false) if *optional => ("it is not there: its pods start without it", false),
            (_, false) => ("it is not there: its pods do not start without it", false),
        })
    }

    /// What the template of a taker takes; without a template what its pods take.
    pub(crate) fn all_uses<'l>(&'l self, taker: &Taker<'l>) -> Vec<Use<'l>> {
        match taker.workload {
            Some(workload) => uses(&self.namespace, &workload.takes),
            None => taker.pods.iter().flat_map(|pod| uses(&self.namespace, &pod.takes)).collect(),
        }
    }

    /// Whether what is taken is there, as far as this login sees it.
    pub(crate) fn is_there(&self, one: &Use<'_>) -> bool {
        match &one.taking.from {
            From::Secret { name, .. } => {
                let secret = self.namespace.secret(name);
                secret.is_some_and(|secret| one.key.is_none_or(|key| secret.data.contains_key(key)))
            }
            From::Map { name, .. } => {
                let map = self.namespace.config_map(name);
                map.is_some_and(|map| one.key.is_none_or(|key| map.data.contains_key(key)))
            }
            From::Text(_) => true,
            From::Class(class) => self.namespace.mounted.iter().any(|one| one.class == *class),
        }
    }

    /// Whether this takes a value of a secret.
    pub(crate) fn takes(&self, found: &Found, one: &Use<'_>) -> bool {
        match &one.taking.from {
            From::Class(class) => found.object.as_ref().is_some_and(|(own, _)| own == class),
            From::Secret { .. } | From::Map { .. } | From::Text(_) => self.value_of(found, one).is_some(),
        }
    }

    /// The value of a secret that is taken by this.
    pub(crate) fn value_of(&self, found: &Found, one: &Use<'_>) -> Option<ValueId> {
        match &one.taking.from {
            From::Secret { name, .. } => Some(found.in_secret(name, one.key?)?.value),
            From::Map { name, .. } => Some(found.in_map(name, one.key?)?.value),
            From::Text(data) => {
                values_of_text(&self.values, data).into_iter().find(|id| found.values.contains(id))
            }
            From::Class(_) => None,
        }
    }

    /// The name under which a value is taken. A path may be longer than any name.
    pub(crate) fn name(&self, name: &str) -> String {
        if name.starts_with('/') { self.names.told(name, "") } else { self.names.shown(name) }
    }

    /// One value of a secret, without any of its secret characters.
    pub(crate) fn value(&self, found: &Found, id: ValueId) -> ValueShown {
        let label = self.values.get(id).map(|value| value.label(self.digits).to_string());
        let version = found.versions.get(&id);
        ValueShown {
            label: label.unwrap_or_default(),
            version: version.map(|version| version.number),
            state: version.map(|version| version.state.into()),
        }
    }

    /// The same in words.
    pub(crate) fn label(&self, found: &Found, id: ValueId) -> String {
        self.value(found, id).text()
    }
}

/// The containers of a taker's pods that do not run, and why.
pub(crate) fn stuck(taker: &Taker<'_>) -> Vec<Missed> {
    let mut all = Vec::new();
    for pod in &taker.pods {
        let mut seen: Vec<&str> = Vec::new();
        for taking in &*pod.takes {
            let container = container_of(pod, taking).filter(|one| !seen.contains(&one.name.as_str()));
            let Some(container) = container else { continue };
            seen.push(&container.name);
            if let Some(why) = idle(container, pod) {
                all.push(Missed {
                    what: format!("pod {}/{} of {}", pod.name, container.name, taker.shown()),
                    why,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
