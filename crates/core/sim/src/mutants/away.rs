//! Mutants about hosts that are waived while they are away.

use keyroll_rotation::{
    Consumer, Enumeration, Event, Fact, HostId, Intent, IntentStatus, Op, Person, Phase, Query, State,
    UnitStep, Waived, Want, canary, consent_digest,
};

use super::evidence::{ALL_KINDS, proofs};
use crate::mutant::Mutant;

/// The host of a consumer of the plan.
fn host_of(state: &State, at: usize) -> Option<HostId> {
    state.plan().consumers.get(at).map(|consumer| consumer.host)
}

/// The host on which an operation is carried out.
fn place(state: &State, op: &Op) -> Option<HostId> {
    match op {
        Op::Deliver(file, _) => state.plan().files.get(file.index()).copied(),
        Op::Fetch(consumer) | Op::Apply(consumer, ..) => host_of(state, consumer.index()),
        _ => None,
    }
}

/// A look of before, in which a host that answers this one did not.
fn hide(state: &State, seen: &mut Enumeration, host: HostId) {
    seen.absent.push(host);
    seen.instances.retain(|instance| instance.who.host != host);
    seen.files.retain(|(file, _)| state.plan().files.get(file.index()) != Some(&host));
    seen.unsearched.retain(|process| process.who.host != host);
}

fn waiver_stands(state: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        let back = state.left_hosts().into_iter().filter(|host| !seen.absent.contains(host));
        let back: Vec<HostId> = back.collect();
        back.into_iter().for_each(|host| hide(state, seen, host));
    }
}

/// The waiver of a host does not end when the host is back.
pub(super) const WAIVER_STANDS: Mutant =
    Mutant { name: "waiver outlasts absence", sentence: "P-172", event: waiver_stands, ..Mutant::NONE };

fn absent_unseen(state: &State, event: &mut Event) {
    if let Fact::Enumerated(seen) = &mut event.fact {
        seen.absent.retain(|host| state.has_left(*host));
    }
}

/// A look is complete although a host that nobody waived did not answer.
pub(super) const ABSENT_UNSEEN: Mutant =
    Mutant { name: "absent host unseen", sentence: "P-173", event: absent_unseen, ..Mutant::NONE };

fn one_waiver_for_all(state: &State, event: &mut Event) {
    let Fact::Enumerated(seen) = &event.fact else { return };
    let more = seen.absent.iter().find(|host| !state.has_left(**host)).copied();
    if let Some(host) = more.filter(|_| !state.left_hosts().is_empty() && !state.ended()) {
        event.fact = Fact::Waived(Waived::Host(host));
    }
}

/// A host that was waived waives another one that does not answer.
pub(super) const ONE_WAIVER_FOR_ALL: Mutant =
    Mutant { name: "one waiver for all hosts", sentence: "P-173", event: one_waiver_for_all, ..Mutant::NONE };

/// The waiver of a host has no effect while this holds.
fn waiver_waits(state: &State, event: &mut Event, waits: impl Fn(HostId) -> bool) {
    if let Fact::Waived(Waived::Host(host)) = event.fact
        && !state.has_left(host)
        && waits(host)
    {
        event.fact = Fact::Clock;
    }
}

fn unknown_kept(state: &State, event: &mut Event) {
    waiver_waits(state, event, |host| {
        let unknown = |open: &Intent| matches!(open.status, IntentStatus::Unknown { .. });
        state.intents().iter().any(|open| unknown(open) && place(state, &open.op) == Some(host))
    });
}

/// The outcome of an operation on a host that has left is still asked for.
pub(super) const UNKNOWN_KEPT: Mutant =
    Mutant { name: "outcome there awaited", sentence: "P-174", event: unknown_kept, ..Mutant::NONE };

fn units_unsettled(state: &State, event: &mut Event) {
    waiver_waits(state, event, |host| {
        let on = |(at, consumer): (usize, &Consumer)| (consumer.host == host).then_some(at);
        let mut there = state.plan().consumers.iter().enumerate().filter_map(on);
        there.any(|at| state.units().get(at).is_some_and(|unit| unit.stage != UnitStep::Settled))
    });
}

/// The consumers on a host that has left are still moved.
pub(super) const UNITS_UNSETTLED: Mutant =
    Mutant { name: "consumers there moved", sentence: "P-174", event: units_unsettled, ..Mutant::NONE };

fn probed_there(state: &State, wanted: &mut Vec<Want>) {
    let there = (0u16..).zip(&state.plan().endpoints).filter(|(_, host)| state.has_left(**host));
    let there: Vec<_> = there.map(|(endpoint, _)| keyroll_rotation::EndpointId(endpoint)).collect();
    let asked = wanted.iter().find_map(|want| match want {
        Want::Ask(Query::Probe(_, which)) => Some(*which),
        _ => None,
    });
    if let Some(which) = asked {
        wanted.extend(there.into_iter().map(|endpoint| Want::Ask(Query::Probe(endpoint, which))));
    }
}

/// The issuer is still asked from a host that has left.
pub(super) const PROBED_THERE: Mutant =
    Mutant { name: "issuer asked there", sentence: "P-174", wants: probed_there, ..Mutant::NONE };

fn canary_unproven(state: &State, event: &mut Event) {
    let Fact::Proved { consumer, .. } = &event.fact else { return };
    let left = state.units().iter().enumerate().any(|(at, unit)| {
        unit.stage == UnitStep::Settled && host_of(state, at).is_some_and(|host| state.has_left(host))
    });
    if left && state.phase() == Phase::Roll && canary(state).contains(consumer) {
        proofs(event, |proof| proof.paths.fill(ALL_KINDS()));
    }
}

/// The canary's host has left, and the consumer in its place passes without evidence.
pub(super) const CANARY_UNPROVEN: Mutant =
    Mutant { name: "canary left unproven", sentence: "P-175", event: canary_unproven, ..Mutant::NONE };

#[allow(clippy::ptr_arg, reason = "the form of the hook")]
fn ask_nobody_beside_left(state: &State, wanted: &mut Vec<Want>) {
    for want in wanted.iter_mut().filter(|_| !state.left_hosts().is_empty()) {
        if let Want::Person(Person::Consent(_)) = want {
            *want = Want::Ask(Query::LastUsed);
        }
    }
}

fn consent_stands(state: &State, event: &mut Event) {
    let Some(digest) = consent_digest(state).filter(|_| !state.left_hosts().is_empty()) else { return };
    let asked = keyroll_rotation::wants(state).contains(&Want::Person(Person::Consent(digest)));
    if asked && matches!(event.fact, Fact::LastUsed(_) | Fact::Clock) {
        event.fact = Fact::Consented(digest);
    }
}

/// Once a host has left, nobody is asked for a consent any more: one from before the waiver counts, or none.
pub(super) const CONSENT_STANDS: Mutant = Mutant {
    name: "consent outlasts waiver",
    sentence: "P-176",
    wants: ask_nobody_beside_left,
    event: consent_stands,
    ..Mutant::NONE
};
