//! The gate, per instance: what must be seen before a key may be ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::bystander::standing;
use crate::state::{Look, State, UnitStep};
use crate::unmoved;
use crate::{
    BystanderId, Consumer, ConsumerId, Enumeration, FileId, Holds, Incarnation, InstanceIdentity, Kinds,
    ObservedInstance, Proof, ReloadMode, SearchLimit, Unsearched, Visibility, Waived, Which,
};

/// A reason, by name, why a key may not be ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocker {
    /// An undeclared process holds the version that goes.
    Holder(Incarnation),
    /// A copy outside the plan.
    Stranger(u64),
    /// A file does not hold the version that stays.
    File(FileId, Holds),
    /// An instance has not shown the version that stays on this path.
    Unproven(ConsumerId, Incarnation, u8),
    /// An instance uses the version that goes, and not the one that stays.
    Stale(ConsumerId, Incarnation, u8),
    /// A session uses the version that goes.
    Session(Option<Incarnation>),
    /// The enumeration shows nothing of this consumer, not even that it is at rest.
    Absent(ConsumerId),
    /// The memory of an instance, or of a process that was seen to hold the version that goes, was not searched
    /// completely.
    Unsearched(Incarnation, SearchLimit),
}

/// Everything that blocks ending `stays.other()`, according to one look.
pub fn blockers(state: &State, look: &Look, stays: Which) -> Vec<Blocker> {
    let mut found = Vec::new();
    let seen = look.seen.as_ref();
    let (owners, shown) = (owners(seen), shown(seen));
    for &place in &seen.strangers {
        if !state.is_waived(&Waived::Copy(place)) {
            found.push(Blocker::Stranger(place));
        }
    }
    for &(file, holds) in &seen.files {
        let foreign = holds != Holds::of(stays.other());
        if holds != Holds::of(stays)
            && is_asked(state, file, stays)
            && !(foreign && untouched(state, file, stays))
        {
            found.push(Blocker::File(file, holds));
        }
    }
    for at in 0..state.plan().files.len() {
        // The look does not contain this file: nobody read it.
        let Some(id) = u16::try_from(at).ok().map(FileId) else { continue };
        let unread = !shown.files.contains(&id) && !untouched(state, id, stays);
        if unread && is_asked(state, id, stays) {
            found.push(Blocker::File(id, Holds::Unreadable));
        }
    }
    let is_let_go = |it: &&ObservedInstance| {
        state.has_left(it.who.host) || it.consumer.is_some_and(|id| state.has_gone(id))
    };
    for instance in seen.instances.iter().filter(|it| !is_let_go(it)) {
        found.extend(instance_blocker(state, instance, stays));
    }
    for &Unsearched { who, limit } in &seen.unsearched {
        let waived = state.is_waived(&Waived::Holder(who)) || state.has_left(who.host);
        let counts = match owner(&owners, who) {
            Some(id) => !is_excused(state, id, stays),
            None => state.looks.has_held(who, stays.other()),
        };
        if counts && !waived {
            found.push(Blocker::Unsearched(who, limit));
        }
    }
    for session in seen.sessions.iter().flatten() {
        let waived = session.busy && state.is_waived(&Waived::BusySessions);
        if !waived && !holder_waived(state, session.who) {
            found.push(Blocker::Session(session.who));
        }
    }
    for at in 0..state.plan().consumers.len() {
        let Some(id) = u16::try_from(at).ok().map(ConsumerId) else { continue };
        if !shown.consumers.contains(&id) && !state.unit_has_left(at) && !is_excused(state, id, stays) {
            found.push(Blocker::Absent(id));
        }
    }
    if !state.aim().ends_old() && stays == Which::New {
        found.retain(|blocker| !of_others(&owners, *blocker));
    }
    let standing = standing(&state.plan().bystanders, seen);
    found.retain(|blocker| !only_holds(&standing, *blocker));
    found
}

/// The files and the consumers of the plan that a look shows.
struct Shown {
    files: BTreeSet<FileId>,
    consumers: BTreeSet<ConsumerId>,
}

fn shown(seen: &Enumeration) -> Shown {
    Shown {
        files: seen.files.iter().map(|(file, _)| *file).collect(),
        consumers: seen.instances.iter().filter_map(|instance| instance.consumer).collect(),
    }
}

/// The consumer of each instance that a look shows; empty where the look names no process beside its instances.
type Owners = BTreeMap<Incarnation, Option<ConsumerId>>;

fn owners(seen: &Enumeration) -> Owners {
    let mut owners = Owners::new();
    if !seen.unsearched.is_empty() || seen.sessions.is_some() {
        for instance in &seen.instances {
            owners.entry(instance.who).or_insert(instance.consumer);
        }
    }
    owners
}

/// As [`Enumeration::consumer_of`], without a walk over the instances.
fn owner(owners: &Owners, who: Incarnation) -> Option<ConsumerId> {
    owners.get(&who).copied().flatten()
}

/// Whether a blocker is only that a bystander holds the version that goes. A session shows more: a use.
fn only_holds(standing: &BTreeMap<Incarnation, BystanderId>, blocker: Blocker) -> bool {
    match blocker {
        Blocker::Holder(who) | Blocker::Unsearched(who, _) => standing.contains_key(&who),
        Blocker::Stranger(_)
        | Blocker::File(..)
        | Blocker::Unproven(..)
        | Blocker::Stale(..)
        | Blocker::Session(_)
        | Blocker::Absent(_) => false,
    }
}

/// A shared key that is kept stays in use by others: their processes, copies and sessions do not block this rotation.
fn of_others(owners: &Owners, blocker: Blocker) -> bool {
    match blocker {
        Blocker::Holder(_) | Blocker::Stranger(_) | Blocker::Session(None) => true,
        Blocker::Session(Some(who)) | Blocker::Unsearched(who, _) => owner(owners, who).is_none(),
        Blocker::File(..) | Blocker::Unproven(..) | Blocker::Stale(..) | Blocker::Absent(_) => false,
    }
}

/// Whether the gate asks what a file holds: somebody reads it, its host has not left, and nobody accepted it as it stands. In a
/// rollback a file whose consumers have gone was restored, if it could be.
fn is_asked(state: &State, file: FileId, stays: Which) -> bool {
    let has_left = state.plan().host_of_file(file).is_some_and(|host| state.has_left(host));
    let left_behind = || stays == Which::Old && state.is_left_behind(file);
    !has_left && read_by_somebody(state, file) && !state.accepts_file(file) && !left_behind()
}

/// Whether nothing is asked of a consumer beyond what is seen of it: it was waived as not visible, it has gone, or the new version
/// never reached it in a rollback.
fn is_excused(state: &State, id: ConsumerId, stays: Which) -> bool {
    state.is_waived(&Waived::NotVisible(id)) || state.has_gone(id) || unasked(state, id, stays)
}

/// On the way back, nothing is asked of a file in which the new version never was.
fn untouched(state: &State, file: FileId, stays: Which) -> bool {
    stays == Which::Old && unmoved::never_had_new(state, file)
}

/// On the way back, nothing is asked of a consumer that the new version never reached.
fn unasked(state: &State, id: ConsumerId, stays: Which) -> bool {
    stays == Which::Old && unmoved::is_unmoved(state, id.index())
}

fn read_by_somebody(state: &State, file: FileId) -> bool {
    !state.units.index().readers(file).is_empty()
}

fn holder_waived(state: &State, who: Option<Incarnation>) -> bool {
    who.is_some_and(|who| state.is_waived(&Waived::Holder(who)))
}

fn instance_blocker(state: &State, instance: &ObservedInstance, stays: Which) -> Option<Blocker> {
    let (goes, kept) = match stays {
        Which::New => (instance.old, instance.new),
        Which::Old => (instance.new, instance.old),
    };
    let Some(id) = instance.consumer else {
        let explained = state.is_waived(&Waived::Holder(instance.who));
        return (goes == Visibility::Yes && !explained).then_some(Blocker::Holder(instance.who));
    };
    if (state.is_waived(&Waived::NotVisible(id)) || unasked(state, id, stays)) && goes != Visibility::Yes {
        return None;
    }
    match passes(state, id, instance, stays) {
        Ok(()) => None,
        Err(_) if goes == Visibility::Yes && kept == Visibility::No => {
            Some(Blocker::Stale(id, instance.who, instance.slot))
        }
        Err(_) if kept == Visibility::Yes && waited_out(state, id, stays) => None,
        Err(path) => Some(Blocker::Unproven(id, instance.who, path)),
    }
}

/// In a rollback, a waived program that reads the store again by itself had the whole time of a unit to read the version that
/// stays. It may keep the other one in its memory for ever. One of its processes may have shown that version at once, which
/// says nothing about another one: the time counts, not that the unit is settled.
fn waited_out(state: &State, id: ConsumerId, stays: Which) -> bool {
    let over = |unit: &crate::Unit| state.now().at_least(state.plan().policy.unit_ms_max, unit.since);
    let settled = |unit: &crate::Unit| {
        unit.toward == Which::Old && unit.stage == UnitStep::Settled && unit.moved != 0 && over(unit)
    };
    stays == Which::Old
        && state.is_waived(&Waived::NotVisible(id))
        && state.consumer(id).is_some_and(Consumer::follows_live)
        && state.units.get(id.index()).is_some_and(settled)
}

/// Whether every session of this process, or of nobody that was found, on the version that goes is at work: only such a session
/// is waived, and keyroll ends each other one itself.
pub fn is_only_busy(state: &State, who: Option<Incarnation>) -> bool {
    let all = state.look().and_then(|look| look.seen.sessions.as_ref());
    let mut its = all.into_iter().flatten().filter(|session| session.who == who).peekable();
    its.peek().is_some() && its.all(|session| session.busy)
}

/// Whether one instance has shown the version that stays, on every path; else the first path that is not shown.
fn passes(state: &State, id: ConsumerId, instance: &ObservedInstance, stays: Which) -> Result<(), u8> {
    let consumer = state.consumer(id).ok_or(0)?;
    let proof = state.proof(instance.who).filter(|proof| proof.version == stays).ok_or(0)?;
    shows(state, consumer, proof)
}

/// Whether a proof is enough: every path is exercised; where the issuer attributes no calls, it may be loaded and
/// checked instead, or told by a process whose word the operator trusts. What it would be given at its next start is
/// evidence only at rest: a process that runs may still use what it was given before.
pub(crate) fn shows(state: &State, consumer: &Consumer, proof: &Proof) -> Result<(), u8> {
    let require = required(state, consumer);
    for path in 0..consumer.paths {
        let kinds = proof.paths.get(usize::from(path)).copied().unwrap_or_default();
        let own = suffices(consumer, proof.who.life, kinds);
        if !own || (proof.who.life.runs() && !kinds.has(require)) {
            return Err(path);
        }
    }
    if proof.other_session == Visibility::Yes { Err(0) } else { Ok(()) }
}

/// What the policy requires besides. Of one that reads a file that was accepted as it stands, not what is about files.
fn required(state: &State, consumer: &Consumer) -> Kinds {
    let require = state.plan().policy.require;
    if consumer.files.iter().any(|file| state.accepts_file(*file)) {
        require.without(Kinds::DELIVERED.and(Kinds::READ))
    } else {
        require
    }
}

/// Whether the kinds of one path are enough, but for what the policy requires besides.
fn suffices(consumer: &Consumer, life: InstanceIdentity, kinds: Kinds) -> bool {
    let trusted = |word: Kinds| consumer.own_word && kinds.has(word);
    match life {
        InstanceIdentity::AtRest(_) => kinds.has(Kinds::CHECKED) || trusted(Kinds::DELIVERED),
        InstanceIdentity::Process { .. } | InstanceIdentity::Container { .. } if consumer.attributable => {
            kinds.has(Kinds::EXERCISED)
        }
        InstanceIdentity::Process { .. } | InstanceIdentity::Container { .. } => {
            // Nothing shows what a program in a container has read. Its host says `delivered` only when the file must have it.
            let is_believed = life.is_container() && consumer.uptake == ReloadMode::Rereads;
            kinds.has(Kinds::EXERCISED)
                || kinds.has(Kinds::LOADED.and(Kinds::CHECKED))
                || trusted(Kinds::TOLD)
                || is_believed && trusted(Kinds::DELIVERED.and(Kinds::CHECKED))
        }
    }
}

/// The undeclared processes that a consent counts: those whose memory this look did not search completely, and those that
/// the last consent counted. A declared bystander may hold the value: whether it does is not asked. An operator who accepted two
/// of them is not asked again for one of the two.
pub fn unsearched(state: &State, look: &Look) -> BTreeMap<Incarnation, SearchLimit> {
    let seen = look.seen.as_ref();
    let (owners, standing) = (owners(seen), standing(&state.plan().bystanders, seen));
    let is_counted = |who| owner(&owners, who).is_none() && !standing.contains_key(&who);
    let now = seen.unsearched.iter().filter(|it| is_counted(it.who));
    let counted = state.decisions.unsearched().iter().chain(now);
    counted.map(|it| (it.who, it.limit)).collect()
}

/// What a consent is bound to: which consumers and slots run, which holders and copies were waived, which declared bystanders
/// were seen to hold the old version, and whose memory was not searched. Two looks with the same digest differ at most in process ids.
pub(crate) fn digest(state: &State, look: &Look) -> u64 {
    let mut parts: Vec<(u32, u64)> = Vec::new();
    let standing = standing(&state.plan().bystanders, &look.seen);
    for instance in &look.seen.instances {
        let part = match instance.consumer {
            Some(id) => (0, u64::from(id.0) << 8 | u64::from(instance.slot)),
            // An undeclared process that holds only the version that stays does not change the consent.
            None if instance.old != Visibility::Yes || standing.contains_key(&instance.who) => continue,
            None => (1, hash_life(instance.who)),
        };
        parts.push(part);
    }
    for waived in state.waived() {
        parts.push(match waived {
            Waived::Holder(who) => (2, hash_life(*who)),
            Waived::Copy(place) => (3, *place),
            Waived::NotVisible(id) => (4, u64::from(id.0)),
            Waived::BusySessions => (5, 0),
            Waived::LastUse => (8, 0),
            Waived::Host(host) => (9, u64::from(host.0)),
            Waived::Gone(id) => (10, u64::from(id.0)),
            Waived::File(file) => (11, u64::from(file.0)),
        });
    }
    parts.extend(look.seen.strangers.iter().map(|place| (6, *place)));
    parts.extend(unsearched(state, look).into_keys().map(|who| (7, hash_life(who))));
    // Once seen is enough: what a bystander keeps comes and goes.
    let stood_by = state.looks.stood_by().filter(|(_, which)| *which == Which::Old);
    parts.extend(stood_by.map(|(id, _)| (12, id.0)));
    parts.sort_unstable();
    parts.iter().fold(FNV_START, |sum, (tag, part)| mix(mix(sum, u64::from(*tag)), *part))
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Begins every digest of a life, so that it is none of the digests that a consent is bound to.
const LIFE: u64 = u64::from_be_bytes(*b"life\0\0\0\0");

/// Begins every hash of a container, so that it is none of a process or of a job at rest.
const CONTAINER: u64 = u64::from_be_bytes(*b"pod\0\0\0\0\0");

/// The digest by which a journal remembers the description of a process.
pub fn digest_of_life(who: Incarnation) -> u64 {
    mix(mix(FNV_START, LIFE), hash_life(who))
}

fn mix(sum: u64, part: u64) -> u64 {
    part.to_le_bytes().iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn hash_life(who: Incarnation) -> u64 {
    let host = mix(FNV_START, u64::from(who.host.0));
    match who.life {
        InstanceIdentity::Process { boot, pid, start_ticks, program } => {
            let process = mix(mix(mix(host, boot), u64::from(pid)), start_ticks);
            if program == 0 { process } else { mix(process, program) }
        }
        InstanceIdentity::AtRest(id) => mix(host, u64::from(id.0)),
        InstanceIdentity::Container { pod, run } => mix(mix(mix(host, CONTAINER), pod), run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostId;

    #[test]
    fn each_life_has_a_digest_of_its_own_that_is_no_part_of_a_consent() {
        let of = |host, boot, pid, start_ticks, program| Incarnation {
            host: HostId(host),
            life: InstanceIdentity::Process { boot, pid, start_ticks, program },
        };
        let at_rest = Incarnation { host: HostId(1), life: InstanceIdentity::AtRest(ConsumerId(0)) };
        let container =
            |pod, run| Incarnation { host: HostId(1), life: InstanceIdentity::Container { pod, run } };
        let all = [
            of(1, 7, 4711, 90, 3),
            of(2, 7, 4711, 90, 3),
            of(1, 8, 4711, 90, 3),
            of(1, 7, 4712, 90, 3),
            of(1, 7, 4711, 91, 3),
            of(1, 7, 4711, 90, 4),
            of(1, 7, 4711, 90, 0),
            at_rest,
            container(7, 4711),
            container(7, 4712),
            container(4711, 7),
            container(0, 0),
        ];
        let digests: std::collections::BTreeSet<u64> = all.into_iter().map(digest_of_life).collect();
        assert_eq!(digests.len(), all.len());
        assert!(all.into_iter().all(|who| digest_of_life(who) != hash_life(who)));
        assert_eq!(digest_of_life(all[0]), digest_of_life(of(1, 7, 4711, 90, 3)));
    }

    #[test]
    fn a_container_shows_what_a_process_must_show() {
        let shown = |life, attributable, kinds| {
            let consumer = Consumer {
                host: HostId(1),
                delivery: crate::Delivery::Push,
                uptake: crate::ReloadMode::Verb,
                files: vec![FileId(0)],
                slots: 1,
                paths: 1,
                attributable,
                own_word: false,
                wave: 0,
            };
            suffices(&consumer, life, kinds)
        };
        let both = Kinds::LOADED.and(Kinds::CHECKED);
        for life in [
            InstanceIdentity::Container { pod: 7, run: 1 },
            InstanceIdentity::Process { boot: 1, pid: 7, start_ticks: 1, program: 1 },
        ] {
            assert!(shown(life, false, both) && shown(life, false, Kinds::EXERCISED));
            for kinds in [Kinds::LOADED, Kinds::CHECKED, Kinds::DELIVERED, Kinds::TOLD] {
                assert!(!shown(life, false, kinds), "{life:?}: {kinds:?}");
            }
            assert!(!shown(life, true, both) && shown(life, true, Kinds::EXERCISED));
        }
        assert!(shown(InstanceIdentity::AtRest(ConsumerId(0)), false, Kinds::CHECKED));
    }
}
