//! The steps of which ways are made.

use crate::next::{Outside, Step, go_on};
use crate::state::State;
use crate::{ConsumerId, HostId, Next, Waived};

/// The host that keyroll runs on, which is never away.
pub(crate) const HERE: HostId = HostId(0);

pub(crate) fn corrected(state: &State, consumer: ConsumerId) -> Step {
    Step::after_both(Outside::FixCommands(consumer), Next::Correct(consumer), go_on(state))
}

/// The way by this waiver, where it is possible and was not given.
pub(crate) fn possible(state: &State, what: Waived) -> Option<Step> {
    let open = !state.waived().contains(&what) && Next::Waive(what).is_possible(state);
    open.then(|| waived(state, what))
}

/// What a waiver needs after it: where the waiver itself lets a hold go, a driver.
pub(crate) fn waived(state: &State, what: Waived) -> Step {
    let released = state.hold().is_some() && released(state, what);
    Step::both(Next::Waive(what), if released { Next::Resume } else { go_on(state) })
}

/// Whether the waiver releases the present hold.
fn released(state: &State, what: Waived) -> bool {
    let event = crate::Event { at: state.now(), fact: crate::Fact::Waived(what) };
    crate::step(state, &event).is_ok_and(|(next, _)| next.hold().is_none())
}

pub(crate) fn host_of(state: &State, consumer: ConsumerId) -> Option<HostId> {
    state.consumer(consumer).map(|it| it.host)
}

/// The way without a host, where the last look had no answer from it.
pub(crate) fn without(state: &State, host: HostId) -> Option<Step> {
    if_gone(state, host).filter(|_| is_away(state, host))
}

/// The way without a host that may be gone.
pub(crate) fn if_gone(state: &State, host: HostId) -> Option<Step> {
    let waivable = host != HERE && !state.has_left(host) && state.depends_on(host);
    waivable.then(|| waived(state, Waived::Host(host)))
}

/// The last look had no answer from this host, and nobody waived it.
pub(crate) fn is_away(state: &State, host: HostId) -> bool {
    seen_absent(state).contains(&host) && !state.has_left(host)
}

pub(crate) fn seen_absent(state: &State) -> &[HostId] {
    state.look().map(|look| look.seen.absent.as_slice()).unwrap_or_default()
}
