//! The containers that take keys of Secrets, as consumers of keyroll.toml.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_draft::named;
use keyroll_inventory::{ConsumerShown, SaidShown};
use keyroll_kube::Owner;

use crate::model::{From, Namespace, Pod, Taking, Way, Workload};
use crate::owner::written_by;
use crate::takers::{Taker, Use, shown, uses};

/// Behind what takes the value once, when it starts.
const FOLLOWS_NOT: &str = "follows no change, needs a roll-out";

/// Behind what is written anew while the container runs.
const FOLLOWS: &str =
    "follows the Secret within about two minutes; whether the program reads it again is not visible";

/// The name of a Secret, and a key of it.
pub(crate) type SecretKey<'n> = (&'n str, &'n str);

/// What a consumer is: its kind and workload, its container, and what it takes.
type Who<'n> = (&'static str, &'n str, &'n str, SecretKey<'n>);

/// A workload that keyroll.toml has a word for.
struct Unit<'n> {
    /// The word, and its name.
    of: (&'static str, &'n str),
    /// What is known of it; of a pod that nothing made, nothing.
    workload: Option<&'n Workload>,
    /// Its pods.
    pods: &'n [&'n Pod],
}

/// What was found so far.
struct Drafting<'n> {
    namespace: &'n Namespace,
    wanted: &'n BTreeSet<SecretKey<'n>>,
    /// The consumers, with their comments.
    notes: BTreeMap<Who<'n>, Vec<String>>,
    /// Their workloads.
    workloads: BTreeMap<(&'static str, &'n str), &'n Workload>,
    /// What somebody takes, whether as a consumer or not.
    seen: BTreeSet<SecretKey<'n>>,
    left: BTreeSet<String>,
}

/// Who of these takers takes these keys of Secrets, in the order of their workloads; and what was left out, each with the
/// reason.
pub(crate) fn consumers<'n>(
    namespace: &'n Namespace,
    takers: impl Iterator<Item = &'n Taker<'n>>,
    wanted: &'n BTreeSet<SecretKey<'n>>,
) -> (Vec<ConsumerShown>, Vec<String>) {
    let mut found = Drafting {
        namespace,
        wanted,
        notes: BTreeMap::new(),
        workloads: BTreeMap::new(),
        seen: BTreeSet::new(),
        left: BTreeSet::new(),
    };
    for taker in takers {
        match units(taker) {
            Ok(all) => all.iter().for_each(|unit| found.add(unit)),
            Err(why) => found.leave(taker, why),
        }
    }
    let untaken = wanted.iter().filter(|key| !found.seen.contains(*key));
    let none = namespace.taken_by_none();
    let untaken = untaken.map(|(secret, key)| format!("secret/{secret} {key}: {none}"));
    let left = found.left.iter().cloned().chain(untaken).collect();
    (found.shown(), left)
}

/// The workloads of which keyroll.toml can say that they take something, or why it cannot.
fn units<'n>(taker: &'n Taker<'n>) -> Result<Vec<Unit<'n>>, &'static str> {
    let is_read = taker.workload.is_some();
    match (taker.kind.as_str(), word_of(&taker.kind)) {
        ("Job" | "ReplicaSet", _) if !is_read => Err("what made it is not visible"),
        ("ReplicaSet", _) => Err("no Deployment made it, so nothing rolls it out"),
        (_, Some(word)) => {
            Ok(vec![Unit { of: (word, taker.name.as_str()), workload: taker.workload, pods: &taker.pods }])
        }
        // A controller of its own may have made a Deployment, which is rolled out as every other one.
        (_, None) => {
            let made = taker.made.iter().filter(|one| one.kind != "Job");
            let unit = |one: &&'n Workload| {
                let of = (word_of(&one.kind)?, one.name.as_str());
                Some(Unit { of, workload: Some(*one), pods: &[] })
            };
            let made: Vec<Unit<'n>> = made.filter_map(unit).collect();
            if made.is_empty() { Err("keyroll does not know how it replaces its pods") } else { Ok(made) }
        }
    }
}

/// The key of `runs` for a kind.
fn word_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" => "deployment",
        "StatefulSet" => "statefulset",
        "DaemonSet" => "daemonset",
        "CronJob" => "cronjob",
        "Job" => "job",
        "Pod" => "pod",
        _ => return None,
    })
}

impl<'n> Drafting<'n> {
    /// What of these takings is wanted.
    fn wanted_of(&self, takes: &'n [Taking]) -> Vec<(Use<'n>, SecretKey<'n>)> {
        let wanted = |one: Use<'n>| {
            let From::Secret { name, .. } = &one.taking.from else { return None };
            let key = self.wanted.get(&(name.as_str(), one.key?)).copied()?;
            Some((one, key))
        };
        uses(self.namespace, takes).into_iter().filter_map(wanted).collect()
    }

    /// Adds the consumers of a workload: what its template takes, and what only its pods do.
    fn add(&mut self, unit: &Unit<'n>) {
        let (kind, name) = unit.of;
        let template = unit.workload.map(|one| one.takes.as_slice()).unwrap_or_default();
        let of_pods = unit.pods.iter().map(|pod| (Some(*pod), &*pod.takes));
        self.workloads.extend(unit.workload.map(|one| (unit.of, one)));
        for (pod, takes) in std::iter::once((None, template)).chain(of_pods) {
            for (one, key) in self.wanted_of(takes) {
                self.seen.insert(key);
                if let Some(why) = not_taken(&one) {
                    self.left.insert(format!("{kind}/{name}: {why}"));
                    continue;
                }
                let who = (kind, name, one.taking.container.as_str(), key);
                let with_template = unit.workload.is_some();
                match pod.filter(|_| with_template) {
                    None => add_missing(self.notes.entry(who).or_default(), how(&one)),
                    Some(_) if self.notes.contains_key(&who) => {}
                    Some(pod) => {
                        let mut lines = how(&one);
                        lines.push(format!(
                            "pod/{} takes it, and the template of its {kind} does not",
                            pod.name
                        ));
                        self.notes.insert(who, lines);
                    }
                }
            }
        }
    }

    /// Says why what takes a key is no consumer.
    fn leave(&mut self, taker: &'n Taker<'n>, why: &str) {
        let of_pods = taker.pods.iter().map(|pod| &*pod.takes);
        for takes in std::iter::once(taker.template()).chain(of_pods) {
            for (_, key) in self.wanted_of(takes) {
                self.seen.insert(key);
                self.left.insert(format!("{}: {why}", taker.shown()));
            }
        }
    }

    /// The consumers with their names.
    fn shown(self) -> Vec<ConsumerShown> {
        let mut containers: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for (kind, workload, container, _) in self.notes.keys() {
            containers.entry((*kind, *workload)).or_default().insert(*container);
        }
        let mut given = BTreeSet::new();
        let text = |word: &str| SaidShown::Text(word.to_owned());
        let pair = |key: &str, word: &str| (key.to_owned(), word.to_owned());
        let mut all = Vec::new();
        for ((kind, workload, container, (secret, key)), mut notes) in self.notes {
            let several = containers.get(&(kind, workload)).is_some_and(|own| own.len() > 1);
            let word = if several { format!("{workload}-{container}") } else { workload.to_owned() };
            let Some(name) = named(&word, &mut given) else { continue };
            notes.extend(self.workloads.get(&(kind, workload)).into_iter().flat_map(|one| of_workload(one)));
            notes.extend(of_secret(self.namespace, secret, key));
            all.push(ConsumerShown {
                name: name.as_str().to_owned(),
                notes,
                runs: vec![(kind.to_owned(), text(workload)), ("container".to_owned(), text(container))],
                reads: vec![vec![pair("secret", secret), pair("key", key)]],
                within: Vec::new(),
                open: Vec::new(),
                synced: is_synced(self.namespace, secret),
            });
        }
        all
    }
}

/// Why a container does not start with what it names.
fn not_taken(one: &Use<'_>) -> Option<String> {
    let Taking { container, way, shadowed, .. } = one.taking;
    if *way == Way::PullImage {
        return Some("it only pulls images with it".to_owned());
    }
    if container.is_empty() {
        return Some("no container of its own takes it".to_owned());
    }
    shadowed.then(|| format!("in its container {container} another source gives {}, and wins", one.name))
}

/// How a container takes the value.
fn how(one: &Use<'_>) -> Vec<String> {
    let name = &one.name;
    let way = match &one.taking.way {
        Way::Env(_) => format!("variable {name}: {FOLLOWS_NOT}"),
        Way::EnvFrom(_) => format!("variable {name}, by envFrom: {FOLLOWS_NOT}"),
        Way::File(_) | Way::Projected(_) => format!("file {name}: {FOLLOWS}"),
        Way::SubPath(_) => format!("file {name}, by subPath: {FOLLOWS_NOT}"),
        Way::Argument => format!("argument: {FOLLOWS_NOT}"),
        Way::Csi(_) => format!("below {name}, by a CSI driver"),
        Way::PullImage => "to pull its image".to_owned(),
    };
    let init = "it only initialises the pod: what it writes from it is not visible";
    std::iter::once(way).chain(one.taking.init.then(|| init.to_owned())).collect()
}

/// Who else changes a workload.
fn of_workload(one: &Workload) -> Vec<String> {
    let restarts = one.reloaded_by.map(|who| format!("{who} restarts it when the Secret changes"));
    let by = one
        .made_by
        .as_ref()
        .map(|(kind, name)| format!("{} made it, and may undo a change of its template", shown(kind, name)));
    restarts.into_iter().chain(by).collect()
}

/// Who else writes a Secret, where a new value therefore belongs.
fn of_secret(namespace: &Namespace, name: &str, key: &str) -> Vec<String> {
    let Some(secret) = namespace.secret(name) else { return Vec::new() };
    let fixed =
        secret.immutable.then(|| "the Secret is immutable: a new value needs a new Secret".to_owned());
    written_by(namespace, secret, Some(key)).into_iter().chain(fixed).collect()
}

/// Whether External Secrets writes a Secret.
fn is_synced(namespace: &Namespace, name: &str) -> bool {
    let owner = namespace.secret(name).and_then(|secret| secret.owner.as_ref());
    matches!(owner, Some(Owner::ExternalSecrets(_)))
}

/// Adds the lines that are not there yet.
fn add_missing(all: &mut Vec<String>, more: Vec<String>) {
    for line in more {
        if !all.contains(&line) {
            all.push(line);
        }
    }
}
