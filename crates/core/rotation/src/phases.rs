//! One file per phase: what the phase wants, and when it is over.

mod confirm_dead;
mod decide;
mod disable;
mod last_use;
mod mint;
mod preflight;
mod probe;
mod quiesce;
mod revoke;
mod roll;
mod rolling_back;
mod soak;
mod stage;
mod sweep;

pub(crate) use confirm_dead::doubts_new;
pub(crate) use last_use::{asked_again_until_ms, still_used};
pub(crate) use mint::was_chosen_at_once;
pub(crate) use revoke::wants_at_once;
pub(crate) use sweep::owes_sessions as sweep_owes_sessions;

use crate::course::in_question;
use crate::deadlines::doubt_until_ms;
use crate::state::{Hold, Phase, Reason, State};
use crate::{Seq, Want, unit};

/// What the present phase would do next.
pub(crate) fn wants(state: &State, out: &mut Vec<Want>) {
    match state.phase() {
        Phase::Preflight => preflight::wants(out),
        Phase::Mint => mint::wants(state, out),
        Phase::Stage => stage::wants(state, out),
        Phase::Probe => probe::wants(state, out),
        Phase::Roll => roll::wants(state, out),
        Phase::Quiesce => quiesce::wants(state, out),
        Phase::Disable => disable::wants(state, out),
        Phase::Soak => soak::wants(state, out),
        Phase::Decide => decide::wants(state, out),
        Phase::Revoke => revoke::wants(state, out),
        Phase::ConfirmDead => confirm_dead::wants(state, out),
        Phase::Sweep => sweep::wants(state, out),
        Phase::RollingBack => rolling_back::wants(state, out),
        Phase::Done | Phase::RolledBack => {}
    }
}

/// Makes at most one transition. Returns whether anything changed.
pub(crate) fn settle(next: &mut State) -> bool {
    if unit::advance(next) || unit::settle_retreat(next) {
        return true;
    }
    if next.hold().is_some() {
        return false;
    }
    if let Some(seq) = in_question(next) {
        return give_up(next, seq);
    }
    match next.phase() {
        Phase::Preflight => preflight::settle(next),
        Phase::Mint => mint::settle(next),
        Phase::Stage => stage::settle(next),
        Phase::Probe => probe::settle(next),
        Phase::Roll => roll::settle(next),
        Phase::Quiesce => quiesce::settle(next),
        Phase::Disable => disable::settle(next),
        Phase::Soak => soak::settle(next),
        Phase::Decide => decide::settle(next),
        Phase::Revoke => revoke::settle(next),
        Phase::ConfirmDead => confirm_dead::settle(next),
        Phase::Sweep => sweep::settle(next),
        Phase::RollingBack => rolling_back::settle(next),
        Phase::Done | Phase::RolledBack => false,
    }
}

/// The rotation is stuck if nothing shows the outcome in time: the store or the issuer does not answer. Journals of protocol 3 and before asked on.
fn give_up(next: &mut State, seq: Seq) -> bool {
    let over = next.bounds_looks() && doubt_until_ms(next, seq) <= next.now().ms;
    if over {
        next.stand(Hold::Stuck(Reason::Unclear(seq)));
    }
    over
}
