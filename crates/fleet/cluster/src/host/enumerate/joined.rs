//! Sessions at the issuer, and the pods whose addresses their clients have.
//!
//! A session is a pod's only by its address, and that is less than a socket: the server may stand outside of the cluster and
//! see another machine under the same address, and every container of the pod has it. So it proves no use of a version, and
//! only a pod of declared consumers is named as the owner: it cannot be waived by name, so a wrong name lets no session
//! through. Once such a pod is replaced, its address is gone, and the session is nobody's again. Any other pod is only
//! reported beside the session, which stays nobody's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keyroll_port::{Session, Sessions};
use keyroll_rotation::{SessionSeen, Which};

use crate::host::ClusterHost;
use crate::host::evidence::life;
use crate::host::memo::Addressed;
use crate::host::seen::{Seen, Taken};
use crate::host::sync::version_name;
use crate::model::{Namespace, Pod};
use crate::takers::has_ended;

/// The most addresses of pods that one look reports.
const REPORTED_MAX: usize = 20;

/// What the addresses of pods show of the sessions.
#[derive(Default)]
pub(super) struct Joined {
    /// One entry for each session on the version that goes, in their order; `None` = not visible.
    pub(super) seen: Option<Vec<SessionSeen>>,
    /// The pods whose addresses sessions have and that are not named as their owners.
    pub(super) not_visible: Vec<String>,
}

impl ClusterHost {
    /// Matches the sessions on the version that goes to pods.
    pub(super) fn join_sessions(
        &self,
        seen: &Seen,
        taken: &[Taken<'_>],
        sessions: &Sessions,
        stays: Which,
    ) -> Joined {
        // A pod that was not listed may have the same address.
        let Some(going) = sessions.of(stays.other()).filter(|_| seen.namespace.sees_pods()) else {
            return Joined::default();
        };
        let (pods, declared) = (by_address(&seen.namespace), declared(taken));
        let mut memo = self.memo();
        memo.sights.note(&handles(sessions), &addressed(&pods));
        let (mut entries, mut lines) = (Vec::new(), BTreeSet::new());
        for session in going {
            let found = at_address(session, &pods)
                .filter(|(pod, address)| memo.sights.may_be_of(&session.handle, &named(pod, *address)));
            let takes = found.and_then(|(pod, _)| declared.get(pod.uid.as_str()).copied());
            let owner = takes.flatten();
            if let (Some((pod, address)), None) = (found, owner)
                && !pod.of_probe
            {
                lines.insert(line(pod, address, takes.is_some(), stays));
            }
            entries
                .push(SessionSeen { who: owner.map(|one| life(one.pod, one.container)), busy: session.busy });
        }
        Joined { seen: Some(entries), not_visible: lines.into_iter().take(REPORTED_MAX).collect() }
    }
}

/// The pods by their addresses; `None` = several have it. The address of a pod that has ended may be another one's by now.
fn by_address(namespace: &Namespace) -> BTreeMap<IpAddr, Option<&Pod>> {
    let mut all = BTreeMap::new();
    for pod in namespace.pods.iter().filter(|pod| !has_ended(pod)) {
        for address in &pod.addresses {
            all.entry(*address).and_modify(|known| *known = None).or_insert(Some(pod));
        }
    }
    all
}

/// The container that takes the key in each pod, by the pod's uid, best one that runs; `None` = an undeclared one takes it
/// there, too.
fn declared<'t, 's>(taken: &'t [Taken<'s>]) -> BTreeMap<&'s str, Option<&'t Taken<'s>>> {
    let mut all: BTreeMap<&str, Option<&Taken<'_>>> = BTreeMap::new();
    for one in taken {
        let own = one.consumer.is_some().then_some(one);
        let known = all.entry(one.pod.uid.as_str()).or_insert(own);
        let rests = known.is_some_and(|known| !known.container.running);
        if own.is_none() || rests && one.container.running {
            *known = own;
        }
    }
    all
}

/// Every session that the issuer shows, by its handle.
fn handles(sessions: &Sessions) -> BTreeSet<String> {
    sessions.old.iter().chain(&sessions.new).flatten().map(|session| session.handle.clone()).collect()
}

/// Every pod that alone has an address.
fn addressed(pods: &BTreeMap<IpAddr, Option<&Pod>>) -> BTreeSet<Addressed> {
    pods.iter().filter_map(|(address, pod)| Some(named((*pod)?, *address))).collect()
}

/// A pod, as looks know it again.
fn named(pod: &Pod, address: IpAddr) -> Addressed {
    (pod.uid.clone(), address)
}

/// The one pod that has the address of a session's client.
fn at_address<'n>(session: &Session, pods: &BTreeMap<IpAddr, Option<&'n Pod>>) -> Option<(&'n Pod, IpAddr)> {
    let address = session.client?.ip().to_canonical();
    let pod = (*pods.get(&address)?)?;
    Some((pod, address))
}

/// What is said of a pod whose address a session has and that is not named as its owner. `takes`: a container in it takes
/// the key.
fn line(pod: &Pod, address: IpAddr, takes: bool, stays: Which) -> String {
    let goes = version_name(stays.other());
    let why = match takes {
        true => "an undeclared container takes the key there",
        false => "no declared consumer takes the key there",
    };
    format!(
        "who has a session with the {goes} key from {address}: pod/{} has this address, and {why}",
        pod.name
    )
}

#[cfg(test)]
mod tests;
