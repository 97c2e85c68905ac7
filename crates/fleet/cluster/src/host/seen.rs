//! The namespace as one call sees it: who takes the keys of the plan.

use std::collections::BTreeSet;

use keyroll_config::WorkloadKind;
use keyroll_host::LOCAL;
use keyroll_port::{Failure, Holder};
use keyroll_rotation::{ConsumerId, FileId};

use super::ClusterHost;
use super::api::unreached;
use super::setup::{KeySetup, PodsSetup};
use crate::look::remade;
use crate::model::{Container, From, Namespace, Pod, SecretSeen, Way};
use crate::takers::{Taker, Use, container_of, takers, uses};
use crate::verdict::{Judged, Source, idle, judged};

/// How long a mounted file may have its former content at most, seconds: the kubelet refreshes it every minute, from a cache
/// that may be as old. Source:
/// <https://kubernetes.io/docs/concepts/configuration/secret/#mounted-secrets-are-updated-automatically>.
pub(super) const FOLLOW_S: i64 = 120;

/// A namespace as one call sees it.
pub(super) struct Seen {
    pub(super) namespace: Namespace,
    /// The Secrets and ConfigMaps that may have been made anew: `secret/anthropic`.
    pub(super) remade: BTreeSet<String>,
}

/// A running container that takes a key of the plan.
pub(super) struct Taken<'s> {
    /// The key.
    pub(super) file: FileId,
    /// The consumer that it belongs to; `None`: nobody declared it.
    pub(super) consumer: Option<ConsumerId>,
    /// The slot of the consumer.
    pub(super) slot: u8,
    pub(super) taker: &'s Taker<'s>,
    pub(super) pod: &'s Pod,
    pub(super) container: &'s Container,
    pub(super) own: Use<'s>,
    /// The Secret that it takes the key from: of a versioned key the one of its version.
    pub(super) secret: &'s str,
    /// Whether it has what the Secret holds now.
    pub(super) judged: Judged,
}

impl ClusterHost {
    /// Reads the namespace.
    pub(super) async fn see(&self) -> Result<Seen, Failure> {
        let cluster = self.cluster().await?;
        let mut namespace = crate::read::read(cluster, &|_: &str| {}).await.map_err(unreached)?;
        namespace.sort();
        let remade = remade(&namespace);
        let seen = Seen { namespace, remade };
        if seen.namespace.takers_hidden().is_none() {
            let firsts = self.firsts(&seen);
            self.memo().firsts.extend(firsts);
        }
        Ok(seen)
    }

    /// The consumer that a container of a taker belongs to, if it takes this key.
    pub(super) fn consumer_of(&self, taker: &Taker<'_>, container: &str, file: FileId) -> Option<ConsumerId> {
        let named = |pods: &PodsSetup| pods.container.as_ref().is_none_or(|name| name == container);
        let mut all = self.setup.takers_of(file);
        all.find(|(_, pods)| is_of(taker, pods.kind, &pods.workload) && named(pods)).map(|(id, _)| id)
    }

    /// Every running container that takes a key of the plan.
    pub(super) fn taken<'s>(&self, seen: &'s Seen, takers: &'s [Taker<'s>]) -> Vec<Taken<'s>> {
        self.taken_by(seen, takers, true)
    }

    /// Every container that has not started yet and takes a key of the plan, judged as if it started now: its pod may have
    /// the value of before, in a file that is already mounted.
    pub(super) fn not_started<'s>(&self, seen: &'s Seen, takers: &'s [Taker<'s>]) -> Vec<Taken<'s>> {
        self.taken_by(seen, takers, false)
    }

    fn taken_by<'s>(&self, seen: &'s Seen, takers: &'s [Taker<'s>], runs: bool) -> Vec<Taken<'s>> {
        let mut all: Vec<Taken<'s>> = Vec::new();
        for taker in takers {
            for pod in taker.pods.iter().filter(|pod| !pod.of_probe) {
                for own in uses(&seen.namespace, &pod.takes) {
                    let beside = own.taking.shadowed || own.taking.way == Way::PullImage;
                    let fits = |one: &&Container| match runs {
                        true => idle(one, pod).is_none(),
                        false => !one.running && one.started.is_none(),
                    };
                    let container = container_of(pod, own.taking).filter(fits);
                    let (Some(container), false) = (container, beside) else { continue };
                    let Some((file, secret)) = self.file_of(&own, taker) else { continue };
                    let same = |one: &Taken<'_>| {
                        one.file == file && one.pod.uid == pod.uid && one.container.name == container.name
                    };
                    let consumer = self.consumer_of(taker, &container.name, file);
                    let setup = consumer.and_then(|id| self.setup.consumer(id));
                    let now = Taken {
                        file,
                        consumer,
                        slot: setup.map_or(0, |pods| pods.slot(taker, pod)),
                        taker,
                        pod,
                        container,
                        secret,
                        judged: match runs {
                            true => seen.judged(&own, container, pod),
                            false => seen.judged(&own, &as_started(container), pod),
                        },
                        own,
                    };
                    // One that takes it in two ways has to be current in both.
                    match all.iter_mut().find(|one| same(one)) {
                        Some(one) if one.judged.word == "current" => *one = now,
                        Some(_) => {}
                        None => all.push(now),
                    }
                }
            }
        }
        all
    }

    /// The key of the plan that is taken, and the name of the Secret that it is taken from. Where each version has a Secret of
    /// its own, every workload has a file of its own for one key of one Secret.
    pub(super) fn file_of<'n>(&self, own: &Use<'n>, taker: &Taker<'_>) -> Option<(FileId, &'n str)> {
        let From::Secret { name, .. } = &own.taking.from else { return None };
        let rank = |setup: &KeySetup| match &setup.versioned {
            Some((kind, workload)) if is_of(taker, *kind, workload) => 0,
            None => 1,
            Some(_) => 2,
        };
        // What takes all keys of a Secret that is gone is meant by each of them: the one of its consumer is named.
        let of_other = |file: FileId| {
            own.key.is_none()
                && !self.setup.takers_of(file).any(|(_, pods)| is_of(taker, pods.kind, &pods.workload))
        };
        let all = self.setup.key_ids().filter(|(_, setup)| is_it(setup, name, own));
        let (file, _) = all.min_by_key(|(file, setup)| (of_other(*file), rank(setup)))?;
        Some((file, name.as_str()))
    }

    /// Whether this takes a key of the plan.
    pub(super) fn is_of_plan(&self, own: &Use<'_>) -> bool {
        let From::Secret { name, .. } = &own.taking.from else { return false };
        self.setup.keys.iter().any(|setup| is_it(setup, name, own))
    }
}

/// Whether this is taken of a key of the plan, from the Secret of this name. What takes all keys has no key only where the
/// Secret is not there: its pods may still have this one.
fn is_it(setup: &KeySetup, name: &str, own: &Use<'_>) -> bool {
    setup.is_of(name) && own.key.is_none_or(|key| key == setup.key)
}

/// When a container starts that starts after everything that was seen: 9999-12-31.
const LATER: i64 = 253_402_214_400;

/// A container as if it started now.
fn as_started(container: &Container) -> Container {
    Container { running: true, started: Some(LATER), ..container.clone() }
}

/// Whether this is the workload.
pub(super) fn is_of(taker: &Taker<'_>, kind: WorkloadKind, name: &str) -> bool {
    taker.kind.eq_ignore_ascii_case(kind.word()) && taker.name == name
}

impl Seen {
    /// Everything that takes values.
    pub(super) fn takers(&self) -> Vec<Taker<'_>> {
        takers(&self.namespace)
    }

    /// Whether a container has what the object that it takes from holds now.
    pub(super) fn judged(&self, own: &Use<'_>, container: &Container, pod: &Pod) -> Judged {
        let place = own.object();
        let source = Source {
            history: self.namespace.history(&own.taking.from),
            key: own.key.unwrap_or_default(),
            place: &place,
            label: "the value",
            remade: own.taking.from.object().is_some_and(|object| self.remade.contains(&object)),
        };
        judged(own.taking, container, pod, &source)
    }
}

/// `pod/agent-7d9-x2/app`.
pub(super) fn name(one: &Taken<'_>) -> String {
    format!("pod/{}/{}", one.pod.name, one.container.name)
}

/// A container for the operator, who has to do something about one that nobody declared.
pub(super) fn described(one: &Taken<'_>) -> Holder {
    let name = name(one);
    let how_to_move = match one.consumer {
        Some(_) => String::new(),
        None => format!(
            "declare {} as a consumer (keyroll init --host HOST shows it), or keyroll consumer waive {name} --reason WHY",
            one.taker.shown()
        ),
    };
    let found_by = format!("it is of {}, which takes {}", one.taker.shown(), one.own.object());
    Holder { host: LOCAL, pid: None, name, found_by, how_to_move }
}

/// Whether files of this key may still have the content of before. `now`: by the server's clock; a time of another clock does
/// not show that the time is over.
pub(super) fn has_to_follow(secret: &SecretSeen, key: &str, now: Option<i64>) -> bool {
    match (secret.changed.get(key), secret.created) {
        (Some(changed), _) => now.is_none_or(|now| now <= changed.at.saturating_add(FOLLOW_S)),
        // It was changed while the namespace was read: see `SecretSeen::forget_times`.
        (None, None) => true,
        (None, Some(_)) => false,
    }
}
