//! What a person does where the evidence of a consumer is missing.

use keyroll_rotation::{
    Blocker, Consumer, ConsumerId, Delivery, Hold, Incarnation, Kinds, Phase, Reason, State, Unit, UnitStep,
    Waived, Which,
};

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
pub(super) fn proof_got(state: &State, place: &Place, version: Which) -> &'static str {
    let &Place { consumer, who, path } = place;
    let of = state.plan().consumers.get(consumer.index());
    let proof = state.proof(who).filter(|proof| proof.version == version);
    let shown = proof.and_then(|proof| proof.paths.get(usize::from(path))).copied().unwrap_or_default();
    step(of.is_some_and(|of| of.delivery == Delivery::Follow), shown)
}

/// A program that reads the store has no file that it would read again: once its check has passed, only a restart shows that
/// it loads what the store gives out.
fn step(follows: bool, shown: Kinds) -> &'static str {
    if follows && shown.has(Kinds::CHECKED) { "restart it" } else { "read the output of its check" }
}

/// The command that goes on with a rotation.
pub(crate) fn again(state: &State) -> &'static str {
    command(state.hold())
}

fn command(hold: Option<Hold>) -> &'static str {
    match hold {
        Some(Hold::Stuck(_)) => "keyroll retry",
        Some(Hold::Paused(_)) | None => "keyroll resume",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_reads_the_store_is_restarted_once_its_check_has_passed() {
        assert_eq!(step(true, Kinds::CHECKED), "restart it");
        assert_eq!(step(true, Kinds::CHECKED.and(Kinds::REPORTED)), "restart it");
        for (follows, shown) in [(true, Kinds::NONE), (false, Kinds::CHECKED)] {
            assert_eq!(step(follows, shown), "read the output of its check");
        }
    }

    /// `resume` refuses a rotation that is stuck.
    #[test]
    fn a_rotation_that_is_stuck_is_retried() {
        let late = Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
        assert_eq!(command(late), "keyroll retry");
        assert_eq!(
            (command(Some(Hold::Paused(Reason::Asked))), command(None)),
            ("keyroll resume", "keyroll resume")
        );
    }
}
