//! The ways past an instance that still uses the version that goes.

use crate::gate::{Blocker, blockers};
use crate::next::{Outside, Step, go_on};
use crate::phase::Phase;
use crate::state::{Look, State};
use crate::way_steps::{corrected, host_of, possible, without};
use crate::{ConsumerId, FileId, Holds, Incarnation, ObservedInstance, Visibility, Waived, Which};

/// keyroll moves an instance again that still uses the version that goes. It restarts the pods of a consumer only by its
/// workload, and nothing where it moves nobody.
pub(crate) fn past_stale(state: &State, consumer: ConsumerId, who: Incarnation) -> Vec<Step> {
    let on = go_on(state);
    let gone = host_of(state, consumer).and_then(|host| without(state, host));
    let mut all = past_accepted(state, consumer);
    if !all.is_empty() {
        return all.into_iter().chain(gone).collect();
    }
    if state.aim().makes_new() {
        all.push(Step::only(on));
    }
    if !who.life.is_container() {
        if who.life.runs() {
            all.push(Step::after(Outside::Restart(who), on));
        }
        all.push(corrected(state, consumer));
    }
    if all.is_empty() {
        all.push(Step::only(on));
    }
    all.extend(gone);
    all
}

/// In a rollback keyroll does not restore a file that was accepted as it stands: whatever is moved again reads the new version from
/// it again, until somebody writes the old one into it. None where the last look shows no instance of the consumer with the new one.
pub(crate) fn past_accepted(state: &State, id: ConsumerId) -> Vec<Step> {
    let pushed = state.consumer(id).filter(|it| it.is_pushed() && state.phase() == Phase::RollingBack);
    let files = pushed.map(|it| it.files.as_slice()).unwrap_or_default();
    let behind = |file: &&FileId| {
        state.accepts_file(**file) && matches!(state.files.get(**file), Holds::New | Holds::Unreadable)
    };
    let by_hand = files.iter().filter(behind).map(|file| Step::after(Outside::MendFile(*file), go_on(state)));
    let mut all: Vec<Step> = by_hand.collect();
    let stale = |it: &Blocker| matches!(it, Blocker::Stale(of, ..) if *of == id);
    let is_stale = |look: &Look| blockers(state, look, Which::Old).iter().any(stale);
    if all.is_empty() || !state.look().is_some_and(is_stale) {
        return Vec::new();
    }
    all.extend(possible(state, Waived::Gone(id)));
    all
}

/// A process, not a container, that keeps a rotation forward from its end although nobody writes the old value any more: the last look
/// saw only that value in it, as where its file was accepted as it stands; or it saw that value beside others, or could not see the new
/// one, and the process has not proven the new one. Nothing that is written moves such a process.
pub(crate) fn still_stale(state: &State) -> Option<Incarnation> {
    let look = state.look()?;
    let found = blockers(state, look, Which::New);
    let is_process = |who: &Incarnation| who.life.runs() && !who.life.is_container();
    let shows_old = |who: &Incarnation| {
        let shows = |it: &ObservedInstance| it.who == *who && it.old == Visibility::Yes;
        look.seen.instances.iter().any(shows)
    };
    let stale = |it: &Blocker| if let Blocker::Stale(_, who, _) = *it { Some(who) } else { None };
    let unproven = |it: &Blocker| if let Blocker::Unproven(_, who, _) = *it { Some(who) } else { None };
    let only_old = found.iter().filter_map(stale).find(is_process);
    only_old.or_else(|| found.iter().filter_map(unproven).find(|who| is_process(who) && shows_old(who)))
}
