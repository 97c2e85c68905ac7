//! A unit that a rollback cannot restart. It may never have left the old key: it is asked what it works with before it has failed.

use crate::state::{ATTEMPTS_MAX, State, UnitStep};
use crate::{ConsumerId, Kinds, Op, Phase, Waived, Which};

/// What only the processes of an instance show, and none of its files.
const OF_ITSELF: [Kinds; 3] = [Kinds::LOADED, Kinds::TOLD, Kinds::EXERCISED];

/// Whether evidence may show that a unit needs no restart: a rollback restarts it, and what it uses is visible. In a rotation of
/// protocol 12 and before, only a restart did.
pub(crate) fn may_be_asked(state: &State, at: usize) -> bool {
    let restarts = state
        .units
        .get(at)
        .is_some_and(|unit| unit.toward == Which::Old && matches!(unit.stage, UnitStep::Applying(_)));
    let waived = || u16::try_from(at).is_ok_and(|id| state.is_waived(&Waived::NotVisible(ConsumerId(id))));
    restarts && state.is_since(13) && state.phase() == Phase::RollingBack && !waived()
}

/// The same of one whose restart is still tried.
pub(crate) fn is_unasked(state: &State, at: usize) -> bool {
    may_be_asked(state, at) && state.units.get(at).is_some_and(|unit| unit.failures < ATTEMPTS_MAX)
}

/// The slot of a unit that is asked for evidence although it was not restarted.
pub(crate) fn asked(state: &State, at: usize) -> Option<u8> {
    let unit = state.units.get(at).filter(|unit| unit.failures >= ATTEMPTS_MAX)?;
    let UnitStep::Applying(slot) = unit.stage else { return None };
    let is_its = |op: &Op| matches!(op, Op::Apply(consumer, ..) if consumer.index() == at);
    let under_way = state.intents().iter().any(|open| is_its(&open.op));
    (may_be_asked(state, at) && !under_way).then_some(slot)
}

/// The operator waived a consumer that a rollback could not restart: it is not restarted any more, unless it is seen to use the new
/// key. In a rotation of protocol 14 and before, the restart was tried on.
pub(crate) fn excuse(next: &mut State, consumer: ConsumerId) {
    if may_be_excused(next, consumer) {
        next.units.excuse(consumer.index(), true);
    }
}

/// Whether a waiver of this consumer ends the attempts of a rollback to restart it, also if it was waived before they failed.
pub fn may_be_excused(state: &State, consumer: ConsumerId) -> bool {
    let unit = state.units.get(consumer.index());
    let failed = unit.is_some_and(|unit| unit.toward == Which::Old && unit.unrestarted && !unit.excused);
    failed && state.is_since(15) && state.phase() == Phase::RollingBack
}

/// Whether a waiver of what is not visible of a consumer does something.
pub(crate) fn may_be_waived(state: &State, consumer: ConsumerId) -> bool {
    !state.is_waived(&Waived::NotVisible(consumer)) || may_be_excused(state, consumer)
}

/// The command that failed was replaced: the consumer is restarted after all.
pub(crate) fn accuse(next: &mut State, consumer: ConsumerId) {
    let at = consumer.index();
    let Some(moved) = next.units.get(at).filter(|unit| unit.excused).map(|unit| unit.moved) else { return };
    next.units.excuse(at, false);
    next.units.send(at, Which::Old, moved, next.now());
}

/// Whether something shows that an instance in this slot uses the old key, if not yet on every path.
pub(crate) fn has_hope(state: &State, consumer: ConsumerId, slot: u8) -> bool {
    let shows = |kinds: &Kinds| OF_ITSELF.into_iter().any(|kind| kinds.has(kind));
    let all = state.proofs.of_consumer(consumer);
    all.iter().any(|it| it.slot == slot && it.version == Which::Old && it.paths.iter().any(shows))
}
