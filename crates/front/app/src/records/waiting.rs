//! What a rotation waits for, since when, until when, and the commands that continue it or take it back.

use keyroll_port::Recorded;
use keyroll_rotation::{
    Awaited, Debt, Event, Fact, Op, Person, Phase, Query, State, UnitStep, Until, Waiting, Which, step,
    waiting,
};

use super::cause::Observations;
use super::missing_proof::has_only_time;
use super::old_key::clock;
use super::plan_names::Called;
use super::reasons;
use super::recorded::last_unix_ms;
use crate::operator::WaitingShown;

/// Derived from the journal alone, so it is the same for every reader. `forward`: the command that continues the
/// rotation. None if the rotation has ended and nothing is left to do.
pub fn seen(
    recorded: &Recorded,
    called: &Called,
    state: &State,
    forward: Option<&str>,
) -> Option<WaitingShown> {
    let now = waiting(state)?;
    let last = last_unix_ms(recorded);
    let until = left_ms(state, &now).map(|left| clock(last.saturating_add(left)));
    let mut told = Observations::default();
    recorded.events.iter().for_each(|event| told.see(event));
    Some(WaitingShown {
        what: what(&told, called, state, &now.what),
        since: clock(since(recorded).unwrap_or(last)),
        until,
        person: now.until == Until::Person,
        forward: forward.map(str::to_owned),
        back: back(called, state),
    })
}

/// How long it waits at most, since its last entry, milliseconds; none if it waits for the operator, or for an operation,
/// each of which has its own limit.
pub(crate) fn left_ms(state: &State, wait: &Waiting) -> Option<u64> {
    match wait.until {
        Until::Person | Until::Driver => None,
        Until::Ms(ms) => Some(ms.saturating_sub(state.now().ms)),
    }
}

/// What makes a wait the same wait: an operation that is tried again, and a consent that is asked for again after
/// another look, are one wait.
#[derive(PartialEq)]
pub(crate) enum Same {
    Operation(Op),
    Outcome(Op),
    Consent,
    Other(Awaited),
}

pub(crate) fn same(state: &State, wait: Waiting) -> Same {
    match wait.what {
        Awaited::Begin(op) => Same::Operation(op),
        Awaited::Person(Person::Consent(_)) => Same::Consent,
        Awaited::Operation(seq) => match intended(state, seq) {
            Some(op) => Same::Operation(op),
            None => Same::Other(Awaited::Operation(seq)),
        },
        Awaited::Outcome(seq) => match intended(state, seq) {
            Some(op) => Same::Outcome(op),
            None => Same::Other(Awaited::Outcome(seq)),
        },
        other @ (Awaited::Hold(_)
        | Awaited::Person(_)
        | Awaited::Debt(_)
        | Awaited::Unit(..)
        | Awaited::Watch(_)
        | Awaited::Pause
        | Awaited::Phase(_)
        | Awaited::Answer(_)) => Same::Other(other),
    }
}

fn intended(state: &State, seq: u64) -> Option<Op> {
    state.intents().iter().find(|intent| intent.seq == seq).map(|intent| intent.op.clone())
}

/// When the present wait began, by the wall clock: milliseconds since 1970.
fn since(recorded: &Recorded) -> Option<u64> {
    let mut state = State::open(recorded.opening.plan.clone(), recorded.opening.at).ok()?;
    let now = |state: &State| waiting(state).map(|wait| same(state, wait));
    let (mut wait, mut since) = (now(&state), recorded.opening.unix_ms);
    for (event, unix_ms) in recorded.events.iter().zip(&recorded.unix_ms) {
        state = step(&state, event).ok()?.0;
        let present = now(&state);
        if present != wait {
            (wait, since) = (present, *unix_ms);
        }
    }
    Some(since)
}

/// The command that takes the rotation back; none where the protocol refuses it.
fn back(called: &Called, state: &State) -> Option<String> {
    if state.phase() == Phase::RollingBack {
        return None;
    }
    let asked = Event { at: state.now(), fact: Fact::AbortAsked };
    step(state, &asked).is_ok().then(|| called.addressed("keyroll abort"))
}

/// What is waited for, after "waiting for".
pub(crate) fn what(told: &Observations, called: &Called, state: &State, awaited: &Awaited) -> String {
    match awaited {
        Awaited::Hold(hold) => format!("you: {}", reasons::reason_text(called, state, hold.reason())),
        Awaited::Person(Person::Consent(_)) => format!("you: {}", reasons::CONSENT),
        Awaited::Person(Person::MintByHand) => "you to make the new key at the issuer's console".to_owned(),
        Awaited::Person(Person::RevokeByHand) => {
            "you to revoke the old key at the issuer's console".to_owned()
        }
        Awaited::Debt(Debt::NotRevoked) => "the old key to be revoked".to_owned(),
        Awaited::Debt(Debt::NotDead) => "the issuer to refuse the old key".to_owned(),
        Awaited::Debt(Debt::NotListed) => "a complete list of the issuer's keys".to_owned(),
        Awaited::Begin(op) => format!("the next operation: {}", operation(called, op)),
        Awaited::Operation(seq) => match intended(state, *seq) {
            Some(op) => format!("the operation in progress: {}", operation(called, &op)),
            None => "the operation in progress".to_owned(),
        },
        Awaited::Outcome(seq) => match intended(state, *seq) {
            Some(op) => format!("the outcome of an operation that was cut off: {}", operation(called, &op)),
            None => "the outcome of an operation that was cut off".to_owned(),
        },
        Awaited::Unit(consumer, stage) => {
            let name = called.consumer(*consumer);
            let toward = state.units().get(consumer.index()).map_or(Which::New, |unit| unit.toward);
            let key = word(toward);
            match stage {
                UnitStep::Applying(_) => format!("{name} to load the {key} key"),
                UnitStep::Proving(_) if has_only_time(state, *consumer) => format!(
                    "{name} to read the {key} key from the store: it is waived, and only the time shows that it has"
                ),
                UnitStep::Proving(_) => {
                    let seen = told.lacking(state, *consumer, toward);
                    let seen = seen.map(|seen| format!(": {seen}")).unwrap_or_default();
                    format!("evidence that {name} uses the {key} key{seen}")
                }
                UnitStep::Waiting | UnitStep::Delivering | UnitStep::Settled | UnitStep::Failed => {
                    format!("{name} to get the {key} key")
                }
            }
        }
        Awaited::Watch(consumer) => {
            format!("the watch of {} to end: it works with the new key", called.consumer(*consumer))
        }
        Awaited::Pause => "the pause between two instances or consumers to end".to_owned(),
        Awaited::Phase(phase) => of_phase(*phase).to_owned(),
        Awaited::Answer(query) => answer(called, query),
    }
}

/// What a phase needs to end.
fn of_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "clear answers to the checks before anything is changed",
        Phase::Mint => "the new key",
        Phase::Stage => "the new key to be read back from the store",
        Phase::Probe => "the issuer to accept the new key often enough",
        Phase::Roll => "every consumer to use the new key",
        Phase::Quiesce => "everything to have left the old key",
        Phase::Disable => "a look that shows that nothing needs the old key, before it is disabled",
        Phase::Soak => "the soak to end: the old key is disabled, and nothing may miss it",
        Phase::Decide => "a look that shows that nothing needs the old key, before it is revoked",
        Phase::Revoke => "the old key to be revoked",
        Phase::ConfirmDead => "the issuer to refuse the old key",
        Phase::Sweep => "the last search for the old key",
        Phase::RollingBack => "every consumer to be back on the old key",
        Phase::Done | Phase::RolledBack => "nothing",
    }
}

fn answer(called: &Called, query: &Query) -> String {
    match query {
        Query::Preflight => of_phase(Phase::Preflight).to_owned(),
        Query::StageCheck => of_phase(Phase::Stage).to_owned(),
        Query::Probe(_, which) => format!("the issuer's answer to the {} key", word(*which)),
        Query::List => "a complete list of the issuer's keys".to_owned(),
        Query::Enumerate => "a complete look at processes, files and sessions".to_owned(),
        Query::Prove(consumer, _, which) => {
            format!("evidence that {} uses the {} key", called.consumer(*consumer), word(*which))
        }
        Query::LastUsed => "the issuer's answer when the old key was last used".to_owned(),
        Query::Refusals => "the issuer's answer how often it refused the old key".to_owned(),
        Query::Reconcile(_) => "the outcome of an operation that was cut off".to_owned(),
        Query::Sweep => of_phase(Phase::Sweep).to_owned(),
    }
}

/// What an operation does.
fn operation(called: &Called, op: &Op) -> String {
    match op {
        Op::Choose => "choose and seal the new value".to_owned(),
        Op::Mint => "make the new key at the issuer".to_owned(),
        Op::Stage => "seal the new key".to_owned(),
        Op::Deliver(file, which) => format!("write the {} key to {}", word(*which), called.file(*file)),
        Op::Fetch(consumer) => format!("make {} fetch the key", called.consumer(*consumer)),
        Op::Apply(consumer, _, which) => {
            format!("make {} load the {} key", called.consumer(*consumer), word(*which))
        }
        Op::Promote => "make the new key current in the store".to_owned(),
        Op::Demote => "make the old key current in the store again".to_owned(),
        Op::Disable => "disable the old key at the issuer".to_owned(),
        Op::Enable => "enable the old key at the issuer again".to_owned(),
        Op::Revoke => "revoke the old key at the issuer".to_owned(),
        Op::EndSessions => "end the sessions of the old key".to_owned(),
        Op::DeleteNew => "revoke the new key at the issuer".to_owned(),
        Op::DeleteOrphan(_) | Op::DeleteAbandoned(_) => "revoke a key that nothing uses".to_owned(),
        Op::Retire(which) => format!("delete the {} key from the store", word(*which)),
    }
}

fn word(which: Which) -> &'static str {
    match which {
        Which::New => "new",
        Which::Old => "old",
    }
}
