//! The names of what inspections found on hosts, from the journal.

use std::collections::BTreeSet;

use keyroll_port::{Journal, Named, Recorded, digest_of_failure, digest_of_outside};
use keyroll_rotation::{Debt, Hold, Phase, Reason, State, Waived, digest_of_life};

use super::plan_names::Called;

/// The names of a rotation, with those of the undeclared copies and processes that its state is about, and why it failed.
/// Names are for display alone: what cannot be read is shown without one.
pub(crate) async fn called(journal: &dyn Journal, recorded: &Recorded, state: Option<&State>) -> Called {
    let mut called = Called::of(recorded);
    let id = recorded.id.0.as_str();
    for digest in state.map(|state| digests(id, state)).unwrap_or_default() {
        if let Ok(Some(name)) = journal.recall(digest).await {
            called.learn([Named { digest, name }]);
        }
    }
    called
}

/// The digests of the copies, processes and failures that the state of the rotation with this id is about.
fn digests(id: &str, state: &State) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    if let Some(look) = state.look() {
        let seen = look.seen.as_ref();
        all.extend(seen.strangers.iter().copied());
        let undeclared =
            seen.instances.iter().filter(|it| it.consumer.is_none() || it.who.life.is_container());
        let undeclared = undeclared.map(|it| it.who);
        let unsearched = seen.unsearched.iter().map(|it| it.who);
        let sessions = seen.sessions.iter().flatten().filter_map(|session| session.who);
        all.extend(undeclared.chain(unsearched).chain(sessions).map(digest_of_life));
    }
    for waived in state.waived() {
        match waived {
            Waived::Holder(who) => all.extend([digest_of_life(*who)]),
            Waived::Copy(place) => all.extend([*place]),
            Waived::NotVisible(_)
            | Waived::BusySessions
            | Waived::LastUse
            | Waived::Host(_)
            | Waived::Gone(_)
            | Waived::File(_) => {}
        }
    }
    if let Some(Hold::Paused(reason) | Hold::Stuck(reason)) = state.hold() {
        all.extend(about(id, state, reason));
    }
    // What turned a rotation round is told with its cause: the key was not made, not sealed, or not given out.
    if matches!(state.phase(), Phase::RollingBack | Phase::RolledBack) {
        all.extend([Phase::Mint, Phase::Stage, Phase::Roll].map(|phase| digest_of_failure(id, phase)));
    }
    if state.emergency().is_some() {
        all.insert(digest_of_outside(id));
    }
    if state.debt() == Some(Debt::NotRevoked) {
        all.insert(digest_of_failure(id, Phase::Revoke));
    }
    all
}

/// The digest of the copy, process or failure that a reason is about.
fn about(id: &str, state: &State, reason: Reason) -> Option<u64> {
    match reason {
        Reason::Failed(phase) => Some(digest_of_failure(id, phase)),
        // Why the issuer did not say when the key was last used.
        Reason::LastUseNotShown | Reason::Overdue(Phase::Quiesce | Phase::RollingBack) => {
            Some(digest_of_failure(id, state.phase()))
        }
        Reason::Holder(who) | Reason::Unsearched(who) => Some(digest_of_life(who)),
        Reason::Stranger(place) => Some(place),
        Reason::Asked
        | Reason::Foreign(_)
        | Reason::Unreadable(_)
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::ChangedElsewhere
        | Reason::Consent
        | Reason::Unit(_)
        | Reason::Canary(_)
        | Reason::Unaccepted(_)
        | Reason::Overdue(_)
        | Reason::Drifting
        | Reason::UnknownLabel(_)
        | Reason::Unclear(_) => None,
    }
}
