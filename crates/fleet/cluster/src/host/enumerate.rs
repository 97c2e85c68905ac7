//! One look at the pods, the keys of the plan and every other place of the namespace.

mod joined;
mod strangers;
mod sweep;

use std::collections::BTreeMap;
use std::sync::PoisonError;

use keyroll_config::WorkloadKind;
use keyroll_host::LOCAL;
use keyroll_port::{Described, Failure, Holder, Looked, Named, Sessions, Values};
use keyroll_rotation::{
    Enumeration, FileId, FoundBy, Holds, Incarnation, InstanceIdentity, ObservedInstance, Visibility, Which,
    digest_of_life,
};

use super::ClusterHost;
use super::evidence::{life, takes_only};
use super::seen::{Seen, Taken, described, has_to_follow, is_of};
use super::setup::{KeySetup, PodsSetup};
use crate::model::{Namespace, Way};
use crate::takers::Taker;

impl ClusterHost {
    /// Looks at everything.
    pub(super) async fn look(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        let seen = self.see().await?;
        self.looked(&seen, values, sessions, stays)
    }

    /// What this look at the namespace shows.
    pub(super) fn looked(
        &self,
        seen: &Seen,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        let takers = seen.takers();
        let mut taken = self.taken(seen, &takers);
        let observed = |one: &Taken<'_>| unless_ending(one, self.observed(one, seen, values, stays), stays);
        let mut instances: Vec<ObservedInstance> = taken.iter().map(observed).collect();
        let behind = self.may_start_behind(seen, &takers, values, stays);
        instances.extend(behind.iter().map(|one| waiting(one, stays)));
        taken.extend(behind);
        let described: Vec<(Incarnation, Holder)> =
            taken.iter().map(|one| (life(one.pod, one.container), described(one))).collect();
        self.memo().described.extend(described);
        // The journal has only their digests.
        let declared = taken.iter().filter(|one| one.consumer.is_some()).map(named);
        let declared: BTreeMap<u64, Named> = declared.map(|named| (named.digest, named)).collect();
        instances.extend(self.at_rest(seen, &takers, &taken));
        let content = |(id, key)| (id, self.content(key, seen, values, stays));
        let files: Vec<(FileId, Holds)> = self.setup.key_ids().map(content).collect();
        let strangers = self.strangers(seen, &takers, values, stays)?;
        let mut not_visible = not_read(&seen.namespace);
        not_visible.extend(strangers.not_read);
        not_visible.extend(self.untried.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        let joined = self.join_sessions(seen, &taken, sessions, stays);
        not_visible.extend(joined.not_visible);
        let places = strangers.names.iter().map(|named| named.digest).collect();
        Ok(Looked {
            enumeration: Enumeration {
                complete: self.is_whole(&seen.namespace),
                absent: Vec::new(),
                took_ms: 0,
                instances,
                files,
                sessions: joined.seen,
                strangers: places,
                unsearched: Vec::new(),
                bystanders: Vec::new(),
            },
            names: strangers.names.into_iter().chain(declared.into_values()).collect(),
            not_visible,
            downtimes: Vec::new(),
        })
    }

    /// What a key of the plan holds.
    pub(super) fn content(&self, key: &KeySetup, seen: &Seen, values: Values<'_>, stays: Which) -> Holds {
        match self.secret_of(key, seen) {
            Some((name, _)) if seen.namespace.hidden.contains(name) => Holds::Unreadable,
            Some((name, None)) if key.is_added() && seen.namespace.secret(name).is_some() => Holds::Other,
            Some((_, bytes)) => key.holding(bytes, values, stays),
            None => Holds::Unreadable,
        }
    }

    /// One container.
    pub(super) fn observed(
        &self,
        one: &Taken<'_>,
        seen: &Seen,
        values: Values<'_>,
        stays: Which,
    ) -> ObservedInstance {
        let holds = self.holds_of(one, seen, values, stays);
        let may_lag = values.of(stays.other()).is_some() && lags(one, &seen.namespace);
        let (mut goes, kept) = sees(one.judged.word, holds, stays, may_lag);
        let is_current = self.is_current(one, seen, holds, stays);
        if one.consumer.is_none() && !is_current {
            // Nobody rolls it out, so it has what it has until somebody moves it.
            goes = Visibility::Yes;
        }
        let (old, new) = match stays {
            Which::New => (goes, kept),
            Which::Old => (kept, goes),
        };
        instance(one, (old, new))
    }

    /// The containers that have not started yet and may come up with another version than the one that stays: a file may be
    /// mounted already, and with `subPath` it never follows. A pod that was made after the nodes' caches had the version
    /// takes it.
    pub(super) fn may_start_behind<'s>(
        &self,
        seen: &'s Seen,
        takers: &'s [Taker<'s>],
        values: Values<'_>,
        stays: Which,
    ) -> Vec<Taken<'s>> {
        let mut all = self.not_started(seen, takers);
        all.retain(|one| {
            let holds = self.holds_of(one, seen, values, stays);
            !self.is_current(one, seen, holds, stays)
        });
        all
    }

    /// What the Secret holds that a container takes the key from.
    fn holds_of(&self, one: &Taken<'_>, seen: &Seen, values: Values<'_>, stays: Which) -> Holds {
        self.setup.key(one.file).map_or(Holds::Unreadable, |key| {
            let secret = seen.namespace.secret(one.secret);
            key.holding(secret.and_then(|secret| secret.data.get(&key.key)), values, stays)
        })
    }

    /// Whether a container has the version that stays; `holds`: what its Secret holds.
    fn is_current(&self, one: &Taken<'_>, seen: &Seen, holds: Holds, stays: Which) -> bool {
        one.judged.word == "current" && holds == Holds::of(stays) && self.takes_one(one, seen)
    }

    /// Whether a container takes the key from one Secret only: of a versioned key it may take two versions.
    fn takes_one(&self, one: &Taken<'_>, seen: &Seen) -> bool {
        let (key, secret) = (self.setup.key(one.file), seen.namespace.secret(one.secret));
        key.zip(secret).is_some_and(|(key, secret)| takes_only(key, one.pod, one.container, secret))
    }

    /// The consumers of which no container runs.
    fn at_rest(&self, seen: &Seen, takers: &[Taker<'_>], taken: &[Taken<'_>]) -> Vec<ObservedInstance> {
        let mut all = Vec::new();
        for (id, pods) in self.setup.consumer_ids() {
            if taken.iter().any(|one| one.consumer == Some(id)) {
                continue;
            }
            let taker = takers.iter().find(|taker| is_of(taker, pods.kind, &pods.workload));
            // A pod that has not started takes what its node has when it does.
            let none = seen.namespace.sees_pods() && taker.is_some_and(|taker| taker.pods.is_empty());
            let both = if none { Visibility::No } else { Visibility::NotVisible };
            all.push(ObservedInstance {
                who: Incarnation { host: LOCAL, life: InstanceIdentity::AtRest(id) },
                consumer: Some(id),
                slot: 0,
                old: both,
                new: both,
                by: FoundBy::Configured,
            });
        }
        all
    }

    /// Whether nothing that a consumer or a key of the plan depends on was left out.
    fn is_whole(&self, namespace: &Namespace) -> bool {
        let listed = |pods: &PodsSetup| plurals(pods.kind).iter().all(|plural| namespace.is_listed(plural));
        let read = |key: &KeySetup| !namespace.hidden.iter().any(|name| key.is_of(name));
        namespace.sees_pods() && self.setup.consumers.iter().all(listed) && self.setup.keys.iter().all(read)
    }
}

/// The kinds whose lists lead from a pod to its workload.
fn plurals(kind: WorkloadKind) -> &'static [&'static str] {
    match kind {
        WorkloadKind::Deployment => &["deployments", "replicasets"],
        WorkloadKind::StatefulSet => &["statefulsets"],
        WorkloadKind::DaemonSet => &["daemonsets"],
        WorkloadKind::CronJob => &["cronjobs", "jobs"],
        WorkloadKind::Job => &["jobs"],
        WorkloadKind::Pod => &["pods"],
    }
}

/// What could not be read, and why.
fn not_read(namespace: &Namespace) -> Vec<String> {
    namespace.missed.iter().map(|missed| format!("{}: {}", missed.what, missed.why)).collect()
}

/// Whether the version that goes, and the one that stays, were seen in a container; `holds`: what the Secret holds that it
/// takes from.
///
/// The times show only that a container has what the Secret holds, or something of before. So the version that goes is
/// excluded only by proof of the one that stays.
fn sees(word: &str, holds: Holds, stays: Which, may_lag: bool) -> (Visibility, Visibility) {
    let (kept, gone) = (holds == Holds::of(stays), holds == Holds::of(stays.other()));
    match word {
        "current" if kept => (Visibility::No, Visibility::Yes),
        "current" if gone => (Visibility::Yes, Visibility::No),
        "stale" if kept => (Visibility::Yes, Visibility::No),
        "likely stale" if kept => (Visibility::NotVisible, Visibility::No),
        "unknown" if kept && may_lag => (Visibility::Yes, Visibility::NotVisible),
        _ => (Visibility::NotVisible, Visibility::NotVisible),
    }
}

/// A container that may start with another version than the one that stays. Nobody rolls out one that is not declared. No
/// proof is about the others: what the next pod will be given says nothing of them.
fn waiting(one: &Taken<'_>, stays: Which) -> ObservedInstance {
    let goes = if one.consumer.is_some() { Visibility::NotVisible } else { Visibility::Yes };
    match stays {
        Which::New => instance(one, (goes, Visibility::NotVisible)),
        Which::Old => instance(one, (Visibility::NotVisible, goes)),
    }
}

/// A container, and whether both versions were seen in it.
fn instance(one: &Taken<'_>, (old, new): (Visibility, Visibility)) -> ObservedInstance {
    let by = if one.consumer.is_some() { FoundBy::Configured } else { FoundBy::Environment };
    let who = life(one.pod, one.container);
    ObservedInstance { who, consumer: one.consumer, slot: one.slot, old, new, by }
}

/// The same of a container whose pod was asked to end. Whether it still runs, its node says; one that is lost says nothing. It
/// counts until it is gone, or its consumer is waived by name; another roll-out would not end it once more. Nobody moves one
/// that is not declared: it is waived itself.
fn unless_ending(one: &Taken<'_>, seen: ObservedInstance, stays: Which) -> ObservedInstance {
    if !one.pod.ending || one.consumer.is_none() {
        return seen;
    }
    let unsure = |goes: Visibility| if goes == Visibility::Yes { Visibility::NotVisible } else { goes };
    match stays {
        Which::New => ObservedInstance { old: unsure(seen.old), ..seen },
        Which::Old => ObservedInstance { new: unsure(seen.new), ..seen },
    }
}

/// Whether a running container has the key as a file that may still have its former content.
fn lags(one: &Taken<'_>, namespace: &Namespace) -> bool {
    if !one.container.running || !matches!(one.own.taking.way, Way::File(_) | Way::Projected(_)) {
        return false;
    }
    namespace
        .secret(one.secret)
        .is_some_and(|secret| one.own.key.is_some_and(|key| has_to_follow(secret, key, namespace.now)))
}

/// The name of a container behind its digest.
fn named(one: &Taken<'_>) -> Named {
    let digest = digest_of_life(life(one.pod, one.container));
    Named { digest, name: Described::of(&described(one)).text() }
}

#[cfg(test)]
mod tests;
