//! What `scan` and `trace` show of a namespace.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_inventory::{CopyShown, FoundShown, InstanceShown, NotMeant, ScanReport, TraceReport, UserShown};
use keyroll_trace::ValueId;

use crate::commands::applies;
use crate::found::Found;
use crate::instance::KEEPER;
use crate::look::Look;
use crate::model::{From, Way};
use crate::owner::writer;
use crate::place::Place;
use crate::takers::{Taker, Use, uses};

/// How many objects of one risk are named.
const NAMED_MAX: usize = 1;

impl Look {
    /// Everything that was found, the most used secrets first.
    pub fn scan(&self) -> ScanReport {
        let takers = self.takers();
        let mut all: Vec<(FoundShown, &Found)> =
            self.found.iter().map(|one| (self.secret(one, &takers), one)).collect();
        all.sort_by_key(|(shown, _)| std::cmp::Reverse((shown.used_by.len(), shown.managed)));
        let differs = all.iter().find(|(shown, one)| !shown.used_by.is_empty() && one.differs());
        let mut instances: Vec<InstanceShown> =
            all.iter().flat_map(|(_, one)| self.instances(one, &takers)).collect();
        worst_first(&mut instances);
        ScanReport {
            differs: differs.map(|(shown, _)| shown.secret.clone()),
            instances,
            found: all.into_iter().map(|(shown, _)| shown).collect(),
            stores: Vec::new(),
            missed: self.missed(),
            refused: self.refused(),
        }
    }

    /// One secret with all its copies; with `evidence`, each container has what its verdict rests on.
    ///
    /// # Errors
    /// The word means no secret, or several.
    pub fn trace(&self, secret: &str, evidence: bool) -> Result<TraceReport, NotMeant> {
        let takers = self.takers();
        let found = self.one_secret(secret, &takers)?;
        let mut instances = self.instances(found, &takers);
        for one in instances.iter_mut().filter(|_| evidence) {
            one.evidence.clone_from(&one.grounds);
        }
        Ok(TraceReport {
            found: self.secret(found, &takers),
            instances,
            nobody: self.nobody(),
            missed: self.missed(),
            refused: self.refused(),
        })
    }

    /// Why no container is shown.
    pub(crate) fn nobody(&self) -> String {
        let none = format!("no container that runs in namespace {} takes it", self.namespace.name);
        match self.namespace.takers_hidden() {
            None => none,
            Some(_) if !self.namespace.sees_pods() => self.namespace.taken_by_none(),
            Some(why) => format!("{none}; whether a template does is not visible, because {why}"),
        }
    }

    /// Every container that uses a secret.
    pub(crate) fn instances(&self, found: &Found, takers: &[Taker<'_>]) -> Vec<InstanceShown> {
        let mut all: Vec<InstanceShown> =
            takers.iter().flat_map(|taker| self.instances_of(found, taker)).collect();
        worst_first(&mut all);
        all
    }

    /// One secret.
    pub(crate) fn secret(&self, found: &Found, takers: &[Taker<'_>]) -> FoundShown {
        let used_by: Vec<UserShown> = takers.iter().filter_map(|taker| self.user(found, taker)).collect();
        let risks = self.risks(found, used_by.is_empty());
        FoundShown {
            secret: found.name.clone(),
            managed: found.managed,
            values: found.values.iter().map(|id| self.value(found, *id)).collect(),
            copies: self.copies(found),
            shared: used_by.len() > 1,
            used_by,
            pods_hidden: !self.namespace.sees_pods(),
            risk: risks.iter().map(|(kind, all)| in_short(*kind, all)).collect::<Vec<_>>().join(", "),
            risks: risks.iter().flat_map(|(kind, all)| self.in_words(found, *kind, all)).collect(),
        }
    }

    /// Its copies; of what a CSI driver fetches the object.
    fn copies(&self, found: &Found) -> Vec<CopyShown> {
        let copy = |one: &crate::found::Sighting| CopyShown {
            place: one.place.shown(&self.names),
            name: Some(self.names.shown(&one.name)),
            value: self.label(found, one.value),
            form: one.encoding.name().into(),
        };
        let object = found.object.iter().map(|(class, object)| CopyShown {
            place: Place::Class { class: class.clone(), object: object.clone() }.shown(&self.names),
            name: None,
            value: "not visible".to_owned(),
            form: "plain".into(),
        });
        found.sightings.iter().map(copy).chain(object).collect()
    }

    /// A taker, if it takes a secret, with the pods that do.
    pub(crate) fn user(&self, found: &Found, taker: &Taker<'_>) -> Option<UserShown> {
        if !found.is_taken_by(taker) {
            return None;
        }
        let takes = |one: &Use<'_>| !one.taking.shadowed && self.takes(found, one);
        let mut all: Vec<Use<'_>> = self.all_uses(taker);
        all.retain(takes);
        let (of_template, mut pods) = (all.len(), Vec::new());
        for pod in &taker.pods {
            let mut own = uses(&self.namespace, &pod.takes);
            own.retain(takes);
            if !own.is_empty() {
                pods.push(pod.name.clone());
                all.extend(own);
            }
        }
        // What never follows says how all of it gets there. A text of a pod is gone with the pod.
        let never = |(at, one): &(usize, &Use<'_>)| {
            let follows = matches!(one.taking.way, Way::File(_) | Way::Projected(_) | Way::PullImage);
            !follows && (*at < of_template || !matches!(one.taking.from, From::Text(_)))
        };
        let slowest = all.iter().enumerate().find(never).map(|(_, one)| one).or(all.first())?;
        Some(UserShown {
            keeper: KEEPER.into(),
            name: taker.shown(),
            program: taker.shown(),
            processes: Vec::new(),
            pods,
            applies: Some(applies(&self.namespace, taker, slowest)),
        })
    }

    /// What makes a rotation harder, or the value less secret: each kind with its objects.
    fn risks(&self, found: &Found, unused: bool) -> BTreeMap<Risk, BTreeSet<String>> {
        let mut all: BTreeMap<Risk, BTreeSet<String>> = BTreeMap::new();
        let mut secrets: BTreeMap<ValueId, BTreeSet<&str>> = BTreeMap::new();
        for one in &found.sightings {
            let (risk, what) = match &one.place {
                Place::Secret { name, .. } => {
                    secrets.entry(one.value).or_default().insert(name);
                    let secret = self.namespace.secret(name);
                    if let Some(owner) = secret.and_then(|secret| secret.owner.as_ref()) {
                        all.entry(Risk::Written).or_default().insert(self.names.told(writer(owner), ""));
                    }
                    let retired = found.versions.get(&one.value).is_some_and(|one| one.state == "retired");
                    if !retired {
                        continue;
                    }
                    (Risk::Retired, one.place.shown(&self.names))
                }
                Place::Map { name, .. } => (Risk::Map, format!("configmap/{name}")),
                Place::Text { of, .. } => (Risk::Text, of.clone()),
                Place::Applied { name, .. } => (Risk::Applied, format!("secret/{name}")),
                Place::Helm { release, .. } => (Risk::Helm, release.clone()),
                Place::Class { .. } => continue,
            };
            all.entry(risk).or_default().insert(self.names.told(&what, ""));
        }
        for names in secrets.into_values().filter(|names| names.len() > 1) {
            all.entry(Risk::Several).or_default().extend(names.into_iter().map(str::to_owned));
        }
        if found.differs() {
            all.entry(Risk::Differ).or_default();
        }
        if unused {
            let hidden = self.namespace.takers_hidden();
            let risk = if hidden.is_some() { Risk::Hidden } else { Risk::Unused };
            all.entry(risk).or_default().extend(hidden);
        }
        all
    }

    /// One kind of risk, one sentence each.
    fn in_words(&self, found: &Found, kind: Risk, all: &BTreeSet<String>) -> Vec<String> {
        if kind == Risk::Written { self.owners(found) } else { vec![in_words(kind, all)] }
    }
}

/// The verdicts, the most urgent first.
const WORST_FIRST: [&str; 4] = ["stale", "likely stale", "unknown", "current"];

/// How urgent a verdict is: 0 is the most urgent.
pub(crate) fn urgency(one: &InstanceShown) -> usize {
    WORST_FIRST.iter().position(|word| *word == one.verdict).unwrap_or(WORST_FIRST.len())
}

/// Puts the most urgent ones first; those with one verdict are in the order of their workloads and pods.
pub(crate) fn worst_first(all: &mut [InstanceShown]) {
    all.sort_by(|one, other| {
        let names = (&one.used_by, &one.pod, &one.secret);
        let same = || names.cmp(&(&other.used_by, &other.pod, &other.secret));
        urgency(one).cmp(&urgency(other)).then_with(same)
    });
}

/// A kind of risk, those for a rotation first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Risk {
    Differ,
    Written,
    Retired,
    Several,
    Map,
    Text,
    Applied,
    Helm,
    /// Who takes it is not visible.
    Hidden,
    Unused,
}

/// `in a ConfigMap: configmap/app and 2 more`.
fn in_words(kind: Risk, all: &BTreeSet<String>) -> String {
    let named: Vec<&str> = all.iter().map(String::as_str).collect();
    let some = || {
        let more = named.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}", named.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", "))
    };
    match kind {
        Risk::Differ => "copies differ".to_owned(),
        Risk::Written => format!("{} writes it", named.join(", ")),
        Risk::Retired => format!("holds a retired version: {}", some()),
        Risk::Several => format!("several Secrets have it: {}", named.join(", ")),
        Risk::Map => format!("in a ConfigMap: {}", some()),
        Risk::Text => format!("in the template of {}", some()),
        Risk::Applied => format!("in the annotation of kubectl apply of {}", some()),
        Risk::Helm => format!("in a release of Helm: {}", some()),
        Risk::Hidden => format!("who takes it is not visible, because {}", named.join(", ")),
        Risk::Unused => "nothing in the namespace takes it".to_owned(),
    }
}

/// The same in few words: `in a ConfigMap ×3`.
fn in_short(kind: Risk, all: &BTreeSet<String>) -> String {
    let words = match kind {
        Risk::Differ | Risk::Written => return in_words(kind, all),
        Risk::Several => return "several Secrets".to_owned(),
        Risk::Hidden => return "users not visible".to_owned(),
        Risk::Unused => return "unused".to_owned(),
        Risk::Retired => "retired version",
        Risk::Map => "in a ConfigMap",
        Risk::Text => "in a template",
        Risk::Applied => "in an annotation",
        Risk::Helm => "in Helm",
    };
    let count = all.len();
    if count > 1 { format!("{words} ×{count}") } else { words.to_owned() }
}
