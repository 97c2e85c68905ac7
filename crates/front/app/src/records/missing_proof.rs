//! Where the evidence of a consumer is missing, and whether it needs a person.

use keyroll_host::process_of;
use keyroll_observe::NotVisible;
use keyroll_rotation::{
    Blocker, Consumer, ConsumerId, Delivery, Hold, Incarnation, Kinds, Phase, Reason, State, Unit, UnitStep,
    Waived, Which,
};

/// What makes an idle process call its issuer, which shows the calls of each.
pub(super) fn makes_a_call(it: &str) -> String {
    format!("send {it} a request that needs the key")
}

/// True if a process of an inspection has certainly ended.
pub(super) fn has_ended(who: Incarnation) -> bool {
    let Some(id) = process_of(who) else { return false };
    match keyroll_observe::process(id.pid) {
        Ok(now) => now.id != id,
        Err(why) => matches!(why, NotVisible::Vanished | NotVisible::Replaced),
    }
}

/// Whether a process of an inspection of this machine still runs.
pub(super) fn still_runs(who: Incarnation) -> bool {
    process_of(who).is_some() && !has_ended(who)
}

/// Whether a process of a consumer that the last look saw on this machine still runs.
pub(super) fn runs_here(state: &State, consumer: ConsumerId) -> bool {
    let mut seen = state.look().into_iter().flat_map(|look| &look.seen.instances);
    seen.any(|it| it.consumer == Some(consumer) && still_runs(it.who))
}

/// What gets the missing evidence of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// A call to its issuer.
    Call,
    /// A restart.
    Restart,
    /// Its check has to pass.
    Check,
}

/// Where evidence is missing: a path of an instance.
pub(super) struct Place {
    pub(super) consumer: ConsumerId,
    pub(super) who: Incarnation,
    pub(super) path: u8,
}

/// Whether a blocker of a rollback needs nobody yet: an instance that keyroll did not move is asked once every consumer is
/// back, and a waived program that reads the store again has the time for that. Once the phase is overdue, it does.
pub(super) fn resolves_itself(state: &State, blocker: Blocker) -> bool {
    let Blocker::Unproven(id, who, _) = blocker else { return false };
    let overdue = matches!(state.hold(), Some(Hold::Stuck(Reason::Overdue(_))));
    let Some(unit) = state.units().get(id.index()) else { return false };
    if state.phase() != Phase::RollingBack || overdue {
        return false;
    }
    let has_time = !state.now().at_least(state.plan().policy.unit_ms_max, unit.since);
    let waits = unit.stage == UnitStep::Waiting
        || unit.stage.is_moving()
        || (unit.stage == UnitStep::Settled && has_time);
    let unasked = state.proof(who).is_none_or(|proof| proof.version != Which::Old);
    (waits && has_only_time(state, id)) || (unasked && !was_moved(state, unit, who))
}

/// Whether only the time shows that a consumer reads what the store gives out: it reads that again by itself, and is waived.
pub(crate) fn has_only_time(state: &State, id: ConsumerId) -> bool {
    let live = state.plan().consumers.get(id.index()).is_some_and(Consumer::follows_live);
    live && state.waived().contains(&Waived::NotVisible(id))
}

/// Whether the slot of an instance ever began to load the new version.
fn was_moved(state: &State, unit: &Unit, who: Incarnation) -> bool {
    let seen = state.look().and_then(|look| look.seen.instances.iter().find(|it| it.who == who));
    let slot = seen.and_then(|seen| 1u32.checked_shl(u32::from(seen.slot)));
    slot.is_none_or(|slot| unit.moved & slot != 0)
}

/// What gets the missing evidence of a process on a path.
pub(super) fn missing(state: &State, place: &Place, version: Which) -> Missing {
    let &Place { consumer, who, path } = place;
    let of = state.plan().consumers.get(consumer.index());
    if who.life.runs() && of.is_some_and(|of| of.attributable) {
        return Missing::Call;
    }
    let proof = state.proof(who).filter(|proof| proof.version == version);
    let shown = proof.and_then(|proof| proof.paths.get(usize::from(path))).copied().unwrap_or_default();
    needs(of.is_some_and(|of| of.delivery == Delivery::Follow), shown)
}

/// A program that reads the store has no file that it would read again: once its check has passed, only a restart shows that
/// it loads what the store gives out.
fn needs(follows: bool, shown: Kinds) -> Missing {
    if follows && shown.has(Kinds::CHECKED) { Missing::Restart } else { Missing::Check }
}

#[cfg(test)]
mod tests {
    use super::super::walk::{self, Walk};
    use super::*;

    /// The output of a check says nothing of a call that nobody made.
    #[test]
    fn a_process_whose_calls_the_issuer_shows_is_sent_a_request() {
        let mut plan = walk::plan();
        plan.consumers[0].attributable = true;
        let state = Walk::of(plan).state;
        let got = |id: u16| {
            let consumer = ConsumerId(id);
            missing(&state, &Place { consumer, who: walk::who(consumer), path: 0 }, Which::New)
        };
        assert_eq!((got(0), got(1)), (Missing::Call, Missing::Check));
    }

    #[test]
    fn a_program_that_reads_the_store_is_restarted_once_its_check_has_passed() {
        assert_eq!(needs(true, Kinds::CHECKED), Missing::Restart);
        assert_eq!(needs(true, Kinds::CHECKED.and(Kinds::REPORTED)), Missing::Restart);
        for (follows, shown) in [(true, Kinds::NONE), (false, Kinds::CHECKED)] {
            assert_eq!(needs(follows, shown), Missing::Check);
        }
    }
}
