use crate::course::refusals_visible;
use crate::deadlines;
use crate::state::{Hold, OldKey, Phase, Reason, State};
use crate::{Query, Want, course};

pub(super) fn wants(state: &State, out: &mut Vec<Want>) {
    let OldKey::Off(since) = state.old_key() else { return };
    if refusals_visible(state) {
        out.push(Want::Ask(Query::Refusals));
        if !state.uses.refusals_read() {
            // After a crash the refusals since Disable are read before anything else.
            return;
        }
    }
    if state.plan().capabilities.list {
        out.push(Want::Ask(Query::List));
    }
    let passed = state.now().since(since).unwrap_or(0);
    out.push(Want::Wait(deadlines::soak_ms(state).saturating_sub(passed)));
}

pub(super) fn settle(next: &mut State) -> bool {
    let since = match next.old_key() {
        OldKey::Off(since) => since,
        OldKey::Ended => {
            next.enter(course::after_end(next));
            return true;
        }
        OldKey::On => {
            // Another party enabled the key: it is still needed.
            next.stand(Hold::Paused(Reason::RefusedUse));
            return true;
        }
    };
    let soak_ms = deadlines::soak_ms(next);
    let soaked = next.now().at_least(soak_ms, since);
    let last = next.uses.refusals_read_after(soak_ms, since);
    if soaked && (last || !refusals_visible(next)) {
        next.enter(Phase::Decide);
        return true;
    }
    if deadlines::late(next) {
        // Refused uses cannot be read: the old key does not stay disabled meanwhile.
        next.stand(Hold::Paused(Reason::Overdue(Phase::Soak)));
        return true;
    }
    false
}
