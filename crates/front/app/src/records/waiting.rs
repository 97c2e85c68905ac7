//! What a rotation waits for, since when, and until when.

use keyroll_port::Recorded;
use keyroll_rotation::{
    Awaited, Debt, Hold, Op, Person, Phase, Query, Reason, Seq, State, UnitStep, Until, Waiting, Waived,
    Which, step, still_used, unused_ms, waiting,
};

use super::cause::Observations;
use super::missing_proof::{has_only_time, makes_a_call};
use super::old_key::clock;
use super::plan_names::Called;
use super::reasons::{self, leaving};
use super::recorded::last_unix_ms;
use crate::operator::{WaitKind, WaitingShown, duration};

/// Derived from the journal alone, so it is the same for every reader; the ways past it are not in it. None if the rotation has
/// ended and nothing is left to do.
pub fn seen(recorded: &Recorded, called: &Called, state: &State) -> Option<WaitingShown> {
    let now = waiting(state)?;
    let last = last_unix_ms(recorded);
    let until = left_ms(state, &now).map(|left| clock(last.saturating_add(left)));
    let mut told = Observations::default();
    recorded.events.iter().for_each(|event| told.see(event));
    Some(WaitingShown {
        what: what(&told, called, state, &now.what),
        kind: kind(&now.what),
        since: clock(Track::of(recorded).map_or(last, |track| track.since_ms())),
        until,
        person: now.until == Until::Person,
        forward: None,
        back: None,
        forward_steps: Vec::new(),
        back_steps: Vec::new(),
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
enum Same {
    Operation(Op),
    Outcome(Op),
    Consent,
    Other(Awaited),
}

fn same(state: &State, wait: Waiting) -> Same {
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

fn intended(state: &State, seq: Seq) -> Option<Op> {
    state.intents().iter().find(|intent| intent.seq == seq).map(|intent| intent.op.clone())
}

/// What the operation of an entry does, while it is open.
pub(super) fn in_question(called: &Called, state: &State, seq: Seq) -> Option<String> {
    intended(state, seq).map(|op| operation(called, &op))
}

/// The present wait, and since when: folded over the entries of a rotation, whether they are read from the journal or are
/// being written.
pub(crate) struct Track {
    wait: Option<Same>,
    since_ms: u64,
}

impl Track {
    /// From this state on, which was reached at this time.
    pub(crate) fn new(state: &State, unix_ms: u64) -> Self {
        Self { wait: present(state), since_ms: unix_ms }
    }

    /// Over what is recorded; none if that is not sound.
    pub(crate) fn of(recorded: &Recorded) -> Option<Self> {
        let mut state = State::open(recorded.opening.plan.clone(), recorded.opening.at).ok()?;
        let mut track = Self::new(&state, recorded.opening.unix_ms);
        for (event, unix_ms) in recorded.events.iter().zip(&recorded.unix_ms) {
            state = step(&state, event).ok()?.0;
            track.see(&state, *unix_ms);
        }
        Some(track)
    }

    /// Over one more entry, written at this time, with the state that follows from it. Whether another wait began.
    pub(crate) fn see(&mut self, state: &State, unix_ms: u64) -> bool {
        let wait = present(state);
        let is_another = wait != self.wait;
        if is_another {
            (self.wait, self.since_ms) = (wait, unix_ms);
        }
        is_another
    }

    /// When the present wait began, by the wall clock: milliseconds since 1970.
    pub(crate) fn since_ms(&self) -> u64 {
        self.since_ms
    }
}

fn present(state: &State) -> Option<Same> {
    waiting(state).map(|wait| same(state, wait))
}

/// What kind of wait it is.
fn kind(awaited: &Awaited) -> WaitKind {
    match awaited {
        Awaited::Hold(Hold::Paused(Reason::Consent)) | Awaited::Person(Person::Consent(_)) => {
            WaitKind::Consent
        }
        Awaited::Hold(Hold::Paused(_)) => WaitKind::Paused,
        Awaited::Hold(Hold::Stuck(_)) => WaitKind::Stuck,
        Awaited::Person(Person::MintByHand) => WaitKind::MintByHand,
        Awaited::Person(Person::RevokeByHand) => WaitKind::RevokeByHand,
        Awaited::Debt(_) => WaitKind::Debt,
        Awaited::Outcome(_) => WaitKind::Outcome,
        Awaited::Operation(_) | Awaited::Begin(_) => WaitKind::Operation,
        Awaited::Unit(..) => WaitKind::Consumer,
        Awaited::Watch(_) => WaitKind::Watch,
        Awaited::Pause => WaitKind::Pace,
        Awaited::Phase(_) => WaitKind::Phase,
        Awaited::Answer(_) => WaitKind::Answer,
    }
}

/// Of an issuer that never gave a complete list.
const UNLISTED: &str = "a complete list of the issuer's keys, for no longer than a phase may take (`phase_deadline`): then keyroll \
     disables the old key without a list";

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
                UnitStep::Proving(slot) if told.lacks_a_call(state, *consumer, toward) => format!(
                    "a call by {} with the {key} key (to prove it now: {})",
                    called.instance(*consumer, *slot),
                    makes_a_call("it")
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
        Awaited::Answer(Query::LastUsed) => match still_used(state) {
            Some(at) => format!(
                "the {} key to be unused for {}: the issuer shows its last use at {}",
                leaving(state),
                unused_ms(state).map_or_else(String::new, |ms| duration(ms.div_ceil(1000))),
                clock(at)
            ),
            None if state.waived().contains(&Waived::LastUse) => {
                format!("{}; without one, the waiver counts then", answer(called, state, &Query::LastUsed))
            }
            None => answer(called, state, &Query::LastUsed),
        },
        Awaited::Answer(Query::List) if state.phase() == Phase::Disable => UNLISTED.to_owned(),
        Awaited::Answer(query) => answer(called, state, query),
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

fn answer(called: &Called, state: &State, query: &Query) -> String {
    match query {
        Query::Preflight => of_phase(Phase::Preflight).to_owned(),
        Query::StageCheck => of_phase(Phase::Stage).to_owned(),
        Query::Probe(_, which) => format!("the issuer's answer to the {} key", word(*which)),
        Query::List => "a complete list of the issuer's keys".to_owned(),
        Query::Enumerate => "a complete look at processes, files and sessions".to_owned(),
        Query::Prove(consumer, _, which) => {
            format!("evidence that {} uses the {} key", called.consumer(*consumer), word(*which))
        }
        Query::LastUsed => format!("the issuer's answer when the {} key was last used", leaving(state)),
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
