//! For every wait of a rotation: what ends it, forward and back.

use std::collections::BTreeSet;

use crate::course::sees_old;
use crate::gate::{Blocker, blockers, is_only_busy};
use crate::left::place;
use crate::next::{Outside, Step, behind, go_on};
use crate::phase::{Debt, Hold, Phase, Reason};
use crate::state::{Look, State};
use crate::unread::{has_failed_reader, unread};
use crate::waiting::{Awaited, Until, old_key_use, waiting, waits_for_new_to_be_unused};
use crate::way_by_hand::{by_hand, found_ended};
use crate::way_past_stale::{past_accepted, past_stale, still_stale};
use crate::way_past_use::past_use;
use crate::way_steps::{HERE, corrected, host_of, if_gone, is_away, possible, seen_absent, waived, without};
use crate::{
    Adoptee, ConsumerId, FileId, Holds, HostId, Incarnation, Next, Op, Person, Query, ReloadMode,
    SearchLimit, Seq, Waived, Want, Which, unrestarted, wants,
};

/// The most hosts that are away whose ways are named.
const ABSENT_MAX: usize = 12;

/// What an unfinished rotation waits for, until when, and the ways past it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What is waited for.
    pub what: Awaited,
    /// Until when.
    pub until: Until,
    /// The ways forward, the best first; at least one.
    pub forward: Vec<Step>,
    /// The ways back; none where nothing can be rolled back any more, or the rotation rolls back already.
    pub back: Vec<Step>,
}

/// The wait of a rotation with its ways; `None` once nothing is waited for.
pub fn way(state: &State) -> Option<Way> {
    let waiting = waiting(state)?;
    let mut forward = forward(state, &waiting.what);
    let go_on = Step::only(go_on(state));
    if forward.is_empty() {
        forward.push(go_on);
    }
    let is_back = state.phase() == Phase::RollingBack;
    let back =
        if !is_back && Next::Abort.is_possible(state) { vec![Step::only(Next::Abort)] } else { Vec::new() };
    Some(Way { what: waiting.what, until: waiting.until, forward, back })
}

fn forward(state: &State, what: &Awaited) -> Vec<Step> {
    let alone = || vec![Step::only(Next::Resume)];
    match what {
        Awaited::Hold(hold) => of_hold(state, *hold),
        Awaited::Person(person) => vec![of_person(person)],
        Awaited::Debt(Debt::NotDead) => vec![Step::only(Next::PayDebt)],
        Awaited::Debt(Debt::NotRevoked) => vec![Step::after(Outside::MendIssuer, Next::PayDebt)],
        Awaited::Debt(Debt::NotListed) => vec![Step::after(Outside::MendIssuer, Next::Resume)],
        Awaited::Phase(phase) if ends_a_key(*phase) => {
            alone().into_iter().chain(past_blockers(state)).collect()
        }
        Awaited::Answer(Query::List) if state.phase() == Phase::Disable => {
            vec![Step::after(Outside::MendIssuer, Next::Resume)]
        }
        Awaited::Answer(Query::Enumerate) => alone().into_iter().chain(past_hosts(state)).collect(),
        Awaited::Unit(consumer, _) => {
            let gone = host_of(state, *consumer).and_then(|host| without(state, host));
            let past = std::iter::once(corrected(state, *consumer));
            alone().into_iter().chain(past).chain(unseen_or_gone(state, *consumer, gone)).collect()
        }
        Awaited::Outcome(_)
        | Awaited::Operation(_)
        | Awaited::Begin(_)
        | Awaited::Watch(_)
        | Awaited::Pause
        | Awaited::Phase(_)
        | Awaited::Answer(_) => alone(),
    }
}

fn of_person(person: &Person) -> Step {
    match person {
        Person::Consent(_) => Step::only(Next::Confirm),
        Person::MintByHand => Step::after(Outside::MakeKey, Next::HandMint),
        Person::RevokeByHand => Step::after(Outside::EndOldKey, Next::HandRevoked),
    }
}

fn of_hold(state: &State, hold: Hold) -> Vec<Step> {
    let on = go_on(state);
    match hold.reason() {
        Reason::Asked => vec![behind_the_pause(state)],
        Reason::Consent => vec![Step::only(Next::Confirm)],
        Reason::Canary(_) => vec![Step::only(Next::Resume)],
        Reason::Unaccepted(_) => vec![Step::only(Next::Accept)],
        Reason::Holder(who) => past_holder(state, who),
        Reason::Stranger(place) => past_stranger(state, place),
        Reason::Unsearched(who) => past_unsearched(state, who, limit(state, who)),
        Reason::Foreign(file) => past_file(state, file, Outside::MendFile(file)),
        Reason::Unreadable(file) => {
            let host = state.plan().host_of_file(file);
            let gone = host.and_then(|host| if_gone(state, host));
            let as_it_stands = possible(state, Waived::File(file));
            vec![Step::after(Outside::LetRead(file), on)]
                .into_iter()
                .chain(as_it_stands)
                .chain(gone)
                .collect()
        }
        Reason::ChangedElsewhere => vec![Step::after(Outside::GiveOut, on)],
        Reason::RefusedUse => vec![Step::after(Outside::EndUsers, on)],
        Reason::Drifting => {
            let stale = still_stale(state).map(|who| Step::after(Outside::Restart(who), on));
            vec![Step::after(Outside::EndWriters, on)].into_iter().chain(stale).collect()
        }
        Reason::NewKeyRefused => {
            let mut all = vec![Step::after(Outside::AcceptNewKey, on)];
            if Next::AnotherKey.is_possible(state) {
                all.push(Step::only(Next::AnotherKey));
            }
            all
        }
        Reason::Unit(consumer) => past_unit(state, consumer),
        Reason::Failed(_) => {
            let mut all = vec![Step::after(Outside::MendIssuer, on)];
            all.extend(by_hand(state));
            all.extend(seen_absent(state).iter().take(ABSENT_MAX).filter_map(|host| if_gone(state, *host)));
            all
        }
        // A rollback that waits for nothing but a complete list.
        Reason::Overdue(Phase::RollingBack) if state.new_version().is_none() => {
            vec![Step::after(Outside::LookAtConsole, on)]
        }
        Reason::Overdue(phase) => past_deadline(state, phase),
        Reason::LastUseNotShown => past_use(state),
        Reason::UnknownLabel(_) => vec![Step::after(Outside::LookAtConsole, on)],
        Reason::Unclear(seq) => past_unclear(state, seq),
    }
}

/// What a paused rotation needs of the operator: the new key, which it takes at once, or what it will need once it goes on.
fn behind_the_pause(state: &State) -> Step {
    if Next::HandMint.is_possible(state) {
        return of_person(&Person::MintByHand);
    }
    let revokes = |later: State| wants(&later).contains(&Want::Person(Person::RevokeByHand));
    if behind(state).is_some_and(revokes) {
        return of_person(&Person::RevokeByHand);
    }
    Step::only(Next::Resume)
}

/// Only the store says whether it dropped the old value: of any other operation the operator may find it out.
fn past_unclear(state: &State, seq: Seq) -> Vec<Step> {
    let Some(open) = state.intents.find(seq) else { return Vec::new() };
    let first = if open.op == Op::Retire(Which::Old) { Outside::MendIssuer } else { Outside::FindOut(seq) };
    let gone = place(state, &open.op).and_then(|host| if_gone(state, host));
    vec![Step::after(first, go_on(state))].into_iter().chain(gone).collect()
}

/// The ways past a phase that did not end in time: past what blocks it, once more as it is, and past the hosts that no look of
/// it shows.
fn past_deadline(state: &State, phase: Phase) -> Vec<Step> {
    let on = go_on(state);
    let mut all = past_blockers(state);
    let of_use = (phase == Phase::Quiesce && state.aim().ends_old())
        || (phase == Phase::RollingBack && old_key_use(state).is_some());
    if all.is_empty() && of_use && look_of_phase(state).is_some() {
        // Everything has left the key that ends: only the issuer's answer keeps the rotation here.
        all.extend(past_use(state));
    }
    // A host that an earlier look missed is not what the phase waited for.
    let asks = all.is_empty() || look_of_phase(state).is_none();
    if all.is_empty() {
        let unlisted = phase == Phase::Decide
            && state.plan().capabilities.list
            && !state.old.listed_since(state.position.entered());
        if waits_for_new_to_be_unused(state) {
            all.push(Step::only(on));
        }
        let last = match (unlisted, phase) {
            (true, _) => Step::after(Outside::MendIssuer, on),
            // Nobody saw that key work: another party may have disabled or ended it.
            (false, Phase::RollingBack) if !sees_old(state) => Step::after(Outside::LookAtConsole, on),
            (false, _) => Step::only(on),
        };
        all.extend(Some(last).filter(|last| !all.contains(last)));
    }
    all.extend(found_ended(state).filter(|_| asks));
    let shows = |host: HostId| look_of_phase(state).is_some_and(|look| !look.seen.absent.contains(&host));
    for host in other_hosts(state).into_iter().filter(|host| !shows(*host)) {
        all.extend(if_gone(state, host).filter(|step| !all.contains(step)));
    }
    if phase == Phase::Probe && Next::AnotherKey.is_possible(state) {
        all.push(Step::only(Next::AnotherKey));
    }
    // Before the point of no return the soak and the consent are not skipped.
    all.extend(by_hand(state).filter(|_| state.decided() || state.emergency().is_some()));
    all
}

/// The hosts of the plan, beside the driver's own machine.
fn other_hosts(state: &State) -> BTreeSet<HostId> {
    let plan = state.plan();
    let consumers = plan.consumers.iter().map(|consumer| consumer.host);
    let all = consumers.chain(plan.files.iter().copied()).chain(plan.endpoints.iter().copied());
    all.filter(|host| *host != HERE).collect()
}

/// Whether a phase waits until a look shows that a key may be ended.
fn ends_a_key(phase: Phase) -> bool {
    matches!(phase, Phase::Quiesce | Phase::Decide | Phase::Revoke | Phase::RollingBack)
}

/// The last look, if it was made in this phase: one from before says nothing about it.
fn look_of_phase(state: &State) -> Option<&Look> {
    state.look().filter(|look| look.seq > state.position.entered())
}

/// The ways past what blocks first, and past each host that is away; what blocks besides has its own.
fn past_blockers(state: &State) -> Vec<Step> {
    let stays = if state.phase() == Phase::RollingBack { Which::Old } else { Which::New };
    let look = look_of_phase(state).filter(|_| ends_a_key(state.phase()));
    let found = look.map(|look| blockers(state, look, stays)).unwrap_or_default();
    let first = found.into_iter().find(|blocker| counts(state, *blocker));
    let mut all = first.map(|blocker| ways_past(state, blocker)).unwrap_or_default();
    for step in past_hosts(state) {
        if !all.contains(&step) {
            all.push(step);
        }
    }
    all
}

/// Whether a blocker holds anything up now. What is on a host that does not answer is not known; and where minting itself ends
/// the old value, only what is undeclared is asked for before it.
fn counts(state: &State, blocker: Blocker) -> bool {
    let undeclared = matches!(blocker, Blocker::Holder(_) | Blocker::Stranger(_) | Blocker::Unsearched(..));
    let unmoved = state.exchanges() && state.new_version().is_none();
    let away = host_of_blocker(state, blocker).is_some_and(|host| is_away(state, host));
    !away && (undeclared || !unmoved)
}

fn host_of_blocker(state: &State, blocker: Blocker) -> Option<HostId> {
    match blocker {
        Blocker::File(file, _) => state.plan().host_of_file(file),
        Blocker::Unproven(consumer, ..) | Blocker::Stale(consumer, ..) | Blocker::Absent(consumer) => {
            host_of(state, consumer)
        }
        Blocker::Holder(who) | Blocker::Unsearched(who, _) => Some(who.host),
        Blocker::Session(who) => who.map(|who| who.host),
        Blocker::Stranger(_) => None,
    }
}

/// The ways past every host that does not answer.
fn past_hosts(state: &State) -> Vec<Step> {
    let absent = seen_absent(state).iter().take(ABSENT_MAX);
    absent.flat_map(|host| ways_past_absence(state, *host)).collect()
}

/// The ways past one blocker, the best first.
pub fn ways_past(state: &State, blocker: Blocker) -> Vec<Step> {
    let on = go_on(state);
    match blocker {
        Blocker::Holder(who) => past_holder(state, who),
        Blocker::Stranger(place) => past_stranger(state, place),
        // keyroll writes a version that it knows again.
        Blocker::File(file, Holds::Old | Holds::New) => {
            let gone = state.plan().host_of_file(file).and_then(|host| without(state, host));
            let left = has_failed_reader(state, file).then(|| possible(state, Waived::File(file))).flatten();
            vec![Step::only(on)].into_iter().chain(left).chain(gone).collect()
        }
        Blocker::File(file, Holds::Other) => past_file(state, file, Outside::MendFile(file)),
        Blocker::File(file, Holds::Unreadable) => past_file(state, file, Outside::LetRead(file)),
        Blocker::Unproven(consumer, who, path) => past_unproven(state, consumer, who, path),
        Blocker::Absent(consumer) => {
            let gone = host_of(state, consumer).and_then(|host| without(state, host));
            // No command of keyroll's starts it.
            let start = vec![Step::after(Outside::Start(consumer), on)];
            start.into_iter().chain(unseen_or_gone(state, consumer, gone)).collect()
        }
        Blocker::Stale(consumer, who, _) => past_stale(state, consumer, who),
        Blocker::Session(who) => {
            let first = who.map_or(Outside::EndUsers, Outside::Restart);
            let busy = is_only_busy(state, who).then(|| possible(state, Waived::BusySessions)).flatten();
            std::iter::once(Step::after(first, on)).chain(busy).collect()
        }
        Blocker::Unsearched(who, limit) => past_unsearched(state, who, limit),
    }
}

/// The ways past a host that does not answer, the best first; none if it has left.
pub fn ways_past_absence(state: &State, host: HostId) -> Vec<Step> {
    if host == HERE || state.has_left(host) {
        return Vec::new();
    }
    let up = Step::after(Outside::BringUp(host), go_on(state));
    std::iter::once(up).chain(if_gone(state, host)).collect()
}

/// The ways past a consumer that did not take its version.
fn past_unit(state: &State, consumer: ConsumerId) -> Vec<Step> {
    let gone = host_of(state, consumer).and_then(|host| if_gone(state, host));
    let let_read = |file| Step::after(Outside::LetRead(file), go_on(state));
    let mut all: Vec<Step> = unread(state, consumer).into_iter().map(let_read).collect();
    if !all.is_empty() {
        all.extend(unwritten(state, consumer));
        return all.into_iter().chain(possible(state, Waived::Gone(consumer))).chain(gone).collect();
    }
    let accepted = past_accepted(state, consumer);
    if !accepted.is_empty() {
        return accepted.into_iter().chain(gone).collect();
    }
    all.push(Step::after(Outside::MendConsumer(consumer), go_on(state)));
    let is_moved = state.aim().makes_new();
    if is_moved {
        all.push(corrected(state, consumer));
    }
    all.extend(unwritten(state, consumer));
    // Where the key is ended without a new one, no consumer is moved: it uses that key again, which is visible.
    if is_moved || is_only_unproven(state, consumer) {
        all.extend(unseen_or_gone(state, consumer, gone));
    } else {
        all.extend(gone);
    }
    all
}

/// Whether the last look shows nothing else against a consumer than that it has not shown the version that stays.
fn is_only_unproven(state: &State, consumer: ConsumerId) -> bool {
    let Some(look) = state.look() else { return false };
    let all = blockers(state, look, Which::New);
    let uses = |it: &Blocker| matches!(it, Blocker::Stale(id, ..) if *id == consumer);
    let unproven = |it: &Blocker| matches!(it, Blocker::Unproven(id, ..) if *id == consumer);
    let behind = |it: &Blocker| matches!(it, Blocker::File(..));
    all.iter().any(unproven) && !all.iter().any(|it| uses(it) || behind(it))
}

/// The files of a consumer that hold another party's edit, or cannot be read, are accepted as they stand: that may be what keeps
/// them from being written. Those of one that has gone count forward, and may have gone with it.
fn unwritten(state: &State, id: ConsumerId) -> Vec<Step> {
    let consumer = state.consumer(id).filter(|it| it.is_pushed());
    let files = consumer.map(|it| it.files.as_slice()).unwrap_or_default();
    let gone = state.phase() != Phase::RollingBack && state.has_gone(id);
    let unwritten = files.iter().filter(|file| match state.files.get(**file) {
        Holds::Other | Holds::Unreadable => true,
        Holds::Old => gone,
        Holds::New => state.phase() == Phase::RollingBack,
    });
    unwritten.filter_map(|file| possible(state, Waived::File(*file))).collect()
}

fn past_unproven(state: &State, consumer: ConsumerId, who: Incarnation, path: u8) -> Vec<Step> {
    // A job at rest has no process.
    let is_restarted = state.consumer(consumer).is_some_and(|it| it.uptake != ReloadMode::AtRest);
    let first = match !who.life.runs() && is_restarted {
        true => Outside::Start(consumer),
        false => Outside::ShowProof(consumer, who, path),
    };
    let gone = host_of(state, consumer).and_then(|host| without(state, host));
    let all = vec![Step::after(first, go_on(state)), corrected(state, consumer)];
    all.into_iter().chain(unseen_or_gone(state, consumer, gone)).collect()
}

fn past_holder(state: &State, who: Incarnation) -> Vec<Step> {
    let mut all = Vec::new();
    let adopt = Next::Adopt(Adoptee::Holder(who));
    // A container is declared in the configuration, for another rotation.
    let adopts = !who.life.is_container() && adopt.is_possible(state);
    if adopts {
        all.push(Step::both(adopt, Next::Resume));
    }
    all.push(Step::after(Outside::EndProcess(who), go_on(state)));
    all.push(waived(state, Waived::Holder(who)));
    if !adopts {
        all.extend(declared(state, Adoptee::Holder(who)));
    }
    all
}

fn past_stranger(state: &State, place: u64) -> Vec<Step> {
    let mut all = Vec::new();
    let adopt = Next::Adopt(Adoptee::Copy(place));
    let adopts = adopt.is_possible(state);
    if adopts {
        all.push(Step::both(adopt, Next::Resume));
    }
    all.push(Step::after(Outside::DeleteCopy(place), go_on(state)));
    all.push(waived(state, Waived::Copy(place)));
    if !adopts {
        all.extend(declared(state, Adoptee::Copy(place)));
    }
    all
}

/// The way by another rotation, to which it is declared.
fn declared(state: &State, what: Adoptee) -> Option<Step> {
    let possible = state.phase() != Phase::RollingBack && Next::Abort.is_possible(state);
    possible.then(|| Step::both(Next::Abort, Next::Declare(what)))
}

fn past_unsearched(state: &State, who: Incarnation, limit: SearchLimit) -> Vec<Step> {
    let consumer = state.look().and_then(|look| look.seen.consumer_of(who));
    let what = consumer.map_or(Waived::Holder(who), Waived::NotVisible);
    vec![Step::after(Outside::SearchMore(limit), go_on(state)), waived(state, what)]
}

/// What the search of a process ran into.
fn limit(state: &State, who: Incarnation) -> SearchLimit {
    let seen = state.look().and_then(|look| look.seen.unsearched.iter().find(|it| it.who == who));
    seen.map_or(SearchLimit::Size, |it| it.limit)
}

fn past_file(state: &State, file: FileId, first: Outside) -> Vec<Step> {
    let mut all = vec![Step::after(first, go_on(state))];
    all.extend(possible(state, Waived::File(file)));
    all.extend(state.plan().host_of_file(file).and_then(|host| without(state, host)));
    all
}

/// What is not visible of a consumer is waived, or its host. On a host that does not answer it is not only invisible: nothing
/// can be moved there.
fn unseen_or_gone(state: &State, consumer: ConsumerId, gone: Option<Step>) -> Vec<Step> {
    let what = Waived::NotVisible(consumer);
    let unseen = unrestarted::may_be_waived(state, consumer).then(|| waived(state, what));
    let let_go = possible(state, Waived::Gone(consumer));
    if host_of(state, consumer).is_some_and(|host| is_away(state, host)) {
        gone.into_iter().chain(unseen).chain(let_go).collect()
    } else {
        unseen.into_iter().chain(let_go).chain(gone).collect()
    }
}
