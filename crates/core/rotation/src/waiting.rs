//! What an unfinished rotation waits for, and until when.

use crate::state::{Debt, Hold, IntentStatus, Reason, State, Unit, UnitStep};
use crate::{ConsumerId, Op, Person, Phase, Query, Seq, Want, Which, course, deadlines, pace, phases, wants};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The operator removes the cause of this hold, and continues.
    Hold(Hold),
    /// The operator takes this step.
    Person(Person),
    /// The operator asks for this debt to be paid.
    Debt(Debt),
    /// It becomes known whether the operation of this entry was carried out.
    Outcome(Seq),
    /// The operation of this entry ends.
    Operation(Seq),
    /// This operation begins: at once, or after a pause if it failed before.
    Begin(Op),
    /// This consumer takes the version, and proves it.
    Unit(ConsumerId, UnitStep),
    /// This consumer is proven as far as it was moved, and is watched: the canary, or one during the pause before its next
    /// instance.
    Watch(ConsumerId),
    /// Nobody begins before the pause after the last consumer is over.
    Pause,
    /// The phase has its time, or gets the answers that it needs.
    Phase(Phase),
    /// The phase gets this answer.
    Answer(Query),
}

/// Until when it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until the operator acts.
    Person,
    /// At most until then, by the monotonic time of this driver, milliseconds. Then the phase ends, or the rotation fails,
    /// pauses or is stuck, and says why.
    Ms(u64),
    /// The driver gives each operation its own limit, and tries a failed one only a few times.
    Driver,
}

/// What is waited for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is waited for.
    pub what: Awaited,
    /// Until when.
    pub until: Until,
}

/// What an unfinished rotation waits for; `None` once it has ended without a debt. Of several things, the one that the
/// others wait for.
pub fn waiting(state: &State) -> Option<Waiting> {
    if state.ended() {
        return state.debt().map(|debt| Waiting { what: Awaited::Debt(debt), until: Until::Person });
    }
    if let Some(hold) = state.hold() {
        return Some(Waiting { what: Awaited::Hold(hold), until: Until::Person });
    }
    if let Some(seq) = course::in_question(state) {
        return Some(Waiting {
            what: Awaited::Outcome(seq),
            until: Until::Ms(deadlines::doubt_until_ms(state, seq)),
        });
    }
    if let Some(running) = state.intents().iter().find(|open| open.status == IntentStatus::Running) {
        return Some(Waiting { what: Awaited::Operation(running.seq), until: Until::Driver });
    }
    let wanted = wants::wants(state);
    for want in &wanted {
        match want {
            Want::Person(person) => {
                return Some(Waiting { what: Awaited::Person(person.clone()), until: Until::Person });
            }
            Want::Do(op) => return Some(Waiting { what: Awaited::Begin(op.clone()), until: Until::Driver }),
            Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => {}
        }
    }
    Some(unit(state).unwrap_or_else(|| of_phase(state, wanted.into_iter().next())))
}

/// What the phase waits for where no consumer is being moved.
fn of_phase(state: &State, wanted: Option<Want>) -> Waiting {
    let what = match (state.phase(), wanted) {
        (Phase::Decide | Phase::Sweep, Some(Want::Ask(query))) => Awaited::Answer(query),
        (Phase::Quiesce | Phase::RollingBack, Some(Want::Ask(query @ (Query::LastUsed | Query::List))))
        | (Phase::RollingBack, Some(Want::Ask(query @ Query::Probe(..))))
        | (Phase::Disable, Some(Want::Ask(query @ Query::List))) => Awaited::Answer(query),
        (phase, _) => Awaited::Phase(phase),
    };
    let asked_again =
        phases::asked_again_until_ms(state).filter(|_| what == Awaited::Answer(Query::LastUsed));
    Waiting { what, until: Until::Ms(asked_again.unwrap_or_else(|| deadlines::until_ms(state))) }
}

/// The oldest answer about the last use that counts as the present one, beside the time of two requests, milliseconds: the
/// driver asks every few seconds.
const ANSWER_AGE_MS_MAX: u64 = 10_000;

/// What the issuer shows about uses of the old key, where nothing but that keeps the rotation from ending the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKeyUse {
    /// It was used last then, by the issuer's clock, milliseconds since 1970: something that keyroll does not see, or that was
    /// waived, may use it.
    Shown(u64),
    /// There is no answer, or none any more: the issuer's list cannot be read, or has no time of last use for the key.
    Unanswered,
}

/// What this driver heard of the issuer about uses of the old key, where nothing but that keeps the rotation from ending the
/// key. In a pause it is what was heard when that began.
pub fn old_key_use(state: &State) -> Option<OldKeyUse> {
    match phases::still_used(state) {
        Some(at) if answers(state) => Some(OldKeyUse::Shown(at)),
        Some(_) => Some(OldKeyUse::Unanswered),
        None => {
            let unshown = state.hold() == Some(Hold::Paused(Reason::LastUseNotShown));
            let looked = state.fresh_look(state.position.entered()).is_some();
            (unshown && looked).then_some(OldKeyUse::Unanswered)
        }
    }
}

/// The rollback did not end in time, and everything is restored: it waited for nothing but the last use of the new key. Another
/// driver has not asked for it yet.
pub fn waits_for_new_to_be_unused(state: &State) -> bool {
    state.hold() == Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)))
        && deadlines::unused_ms(state).is_some()
        && state.units.have_all_settled(Which::Old)
        && !state.has_waited_for_new()
}

/// Whether the issuer's answers about the last use come, or came until the rotation paused. A window may be shorter than the
/// time between two of them.
fn answers(state: &State) -> bool {
    let until = state.holding.since().unwrap_or_else(|| state.now());
    let requests_ms = state.plan().capabilities.request_ms_max.saturating_mul(2);
    state.uses.is_shown(ANSWER_AGE_MS_MAX.saturating_add(requests_ms), until)
}

/// When the issuer last showed a use of the old key, where it answers, and nothing but that keeps the rotation from ending the
/// key.
pub fn still_used(state: &State) -> Option<u64> {
    match old_key_use(state)? {
        OldKeyUse::Shown(at) => Some(at),
        OldKeyUse::Unanswered => None,
    }
}

/// The consumer that is being moved and whose time ends first.
fn unit(state: &State) -> Option<Waiting> {
    if !matches!(state.phase(), Phase::Roll | Phase::RollingBack) {
        return None;
    }
    let moving = || (0..).zip(state.units()).filter(|(_, unit)| unit.stage.is_moving());
    let first = moving().filter(|(_, unit)| !unit.watched).min_by_key(|(_, unit)| unit.since.ms);
    if let Some((at, unit)) = first {
        let until = state.until_ms(unit.since, state.plan().policy.unit_ms_max);
        return Some(Waiting { what: Awaited::Unit(ConsumerId(at), unit.stage), until: Until::Ms(until) });
    }
    let until = |(at, _): &(u16, &Unit)| pace::watched_until_ms(state, usize::from(*at));
    if let Some(last) = moving().max_by_key(until) {
        let canary = pace::is_watched_canary(state, usize::from(last.0));
        let what = if canary { Awaited::Watch(ConsumerId(last.0)) } else { Awaited::Pause };
        return Some(Waiting { what, until: Until::Ms(until(&last)) });
    }
    let left = pace::pause_ms(state)?;
    Some(Waiting { what: Awaited::Pause, until: Until::Ms(state.now().ms.saturating_add(left)) })
}
