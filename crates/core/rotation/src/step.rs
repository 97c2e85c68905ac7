use std::error::Error;
use std::fmt;

use crate::effect::Effect;
use crate::state::State;
use crate::{Event, Fact, Phase, intent, leave, observations, operator, pace, phases};

/// An event that cannot follow from this state. It was never appended, or the journal is another rotation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllegalEvent {
    /// Where the rotation was.
    pub phase: Phase,
    /// Why the event cannot be.
    pub why: &'static str,
}

impl fmt::Display for IllegalEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "illegal event in {:?}: {}", self.phase, self.why)
    }
}

impl Error for IllegalEvent {}

impl State {
    /// Whether this protocol, or a later one, opened the rotation: what an entry does changes only from one on, and the journal of
    /// an earlier one is read as it was.
    pub(crate) fn is_since(&self, protocol: u32) -> bool {
        self.plan().protocol >= protocol
    }

    /// The rotation looks whether the old key is dead, of which an operator or lists say that it ended: nobody consented to its end.
    /// An Enable that was under way may have been carried out before that end, so only a probe or a list shows that the key exists.
    /// In rotations of protocol 17 and before the key counted as enabled there, and was revoked without a consent.
    pub(crate) fn goes_on_from_end(&self) -> bool {
        let beyond = matches!(self.phase(), Phase::Revoke | Phase::ConfirmDead | Phase::Sweep);
        self.is_since(18) && beyond && !self.decided()
    }

    /// The rotation rolls back, and what the issuer shows of a last use is about the new key.
    pub(crate) fn heeds_new_use(&self) -> bool {
        self.phase() == Phase::RollingBack && self.is_since(17)
    }

    /// Until what is restored in a rollback is back, something unseen may take the new key: its last use is waited for anew.
    pub(crate) fn use_new_again(&mut self) {
        if !self.heeds_new_use() {
            return;
        }
        self.uses.forget_idle();
        self.new.wait_anew();
        if self.is_since(18) {
            // An issuer whose silence was waived may show by now who took it.
            self.uses.ask_again(None);
        }
    }

    /// The last use of the new key is not waited for any more: the deletion that was begun after it may have ended the key. In
    /// rotations of protocol 17 and before, whatever was restored since.
    pub(crate) fn has_waited_for_new(&self) -> bool {
        if self.is_since(18) { self.new.was_waited_for() } else { self.new.is_deleting() }
    }
}

/// How many transitions may follow from a single event, and how many more for each consumer; more would be a loop.
const TRANSITIONS_MAX: usize = 32;
const TRANSITIONS_MAX_PER_CONSUMER: usize = 8;

/// What follows from an event. This function alone decides phases, gates, counts, windows, Reconcile outcomes and
/// policy.
///
/// The returned effects are exactly those whose intent this event journals. Nothing is changed on an error.
pub fn step(state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent> {
    let illegal = |why| IllegalEvent { phase: state.phase(), why };
    check_stamp(state, event).map_err(illegal)?;
    let mut next = state.clone();
    next.advance(event.at);
    let effects = apply(&mut next, state, &event.fact).map_err(illegal)?;
    pace::after_doubt(&mut next, state);
    let more = next.units().len().saturating_mul(TRANSITIONS_MAX_PER_CONSUMER);
    for _ in 0..TRANSITIONS_MAX.saturating_add(more) {
        if !leave::settle(&mut next) && !phases::settle(&mut next) {
            // It takes time for each consumer, and is not in a release.
            debug_assert!(next.units.is_consistent(next.plan()), "the units are found where they are not");
            return Ok((next, effects));
        }
    }
    Err(illegal("the phases follow each other without end"))
}

fn check_stamp(state: &State, event: &Event) -> Result<(), &'static str> {
    let starting = matches!(event.fact, Fact::DriverStarted);
    if event.at.epoch < state.now().epoch {
        return Err("it comes from a driver that was replaced");
    }
    if event.at.epoch > state.now().epoch && !starting {
        return Err("its driver never started");
    }
    if starting && state.seq() > 0 && event.at.epoch == state.now().epoch {
        return Err("this driver has started already");
    }
    let backwards = event.at.boot == state.now().boot && event.at.ms < state.now().ms;
    if backwards && event.at.epoch == state.now().epoch {
        return Err("monotonic time went backwards");
    }
    Ok(())
}

fn apply(next: &mut State, before: &State, fact: &Fact) -> Result<Vec<Effect>, &'static str> {
    match fact {
        Fact::Intended(op) => return intent::intended(next, before, op),
        Fact::Ended { intent, outcome } => intent::ended(next, *intent, outcome)?,
        Fact::Reconciled { intent, found } => intent::reconciled(next, *intent, found)?,
        Fact::DriverStarted => intent::driver_started(next),
        Fact::Clock => {}
        Fact::Preflight(seen) => observations::preflight(next, *seen),
        Fact::StageChecked { intact, carried } => observations::stage_checked(next, *intact, *carried),
        Fact::Probed { endpoint, version, answer, control } => {
            observations::probed(next, *endpoint, *version, *answer, *control)?;
        }
        Fact::Listed { complete, labelled, old } => observations::listed(next, *complete, labelled, *old),
        Fact::Enumerated(seen) => observations::enumerated(next, seen),
        Fact::Proved { consumer, proofs, trouble } => {
            observations::proved(next, *consumer, proofs, *trouble)?
        }
        Fact::LastUsed(seen) => observations::last_used(next, *seen),
        Fact::Refusals { count, took_ms } => observations::refusals(next, *count, *took_ms),
        Fact::TruthRead(gives) => observations::truth_read(next, *gives),
        Fact::Swept { residues } => next.ending.sweep(*residues),
        Fact::Consented(digest) => operator::consented(next, before, *digest)?,
        Fact::Decided(digest) => operator::decided(next, before, *digest)?,
        Fact::Adopted { consumer, files, explains, names: _ } => {
            operator::adopted(next, consumer, files, *explains)?
        }
        Fact::Corrected { consumers, names: _ } => operator::corrected(next, consumers)?,
        Fact::Waived(what) => operator::waived(next, *what)?,
        Fact::Unanswered => operator::unanswered(next, before)?,
        Fact::Accepted(difference) => operator::accepted(next, difference)?,
        Fact::PauseAsked => operator::pause_asked(next)?,
        Fact::Resumed => operator::resumed(next)?,
        Fact::AbortAsked => operator::abort_asked(next)?,
        Fact::Retried => operator::retried(next)?,
        Fact::Escalated { mode, pending_compromised } => {
            operator::escalated(next, *mode, *pending_compromised)?;
        }
        Fact::HandMinted(credential) => operator::hand_minted(next, credential)?,
        Fact::HandRevoked => operator::hand_revoked(next)?,
    }
    Ok(Vec::new())
}
