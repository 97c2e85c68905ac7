//! The names of what inspections found on hosts, from the journal.

use std::collections::BTreeSet;

use keyroll_port::{Journal, Named, Recorded};
use keyroll_rotation::{Hold, Reason, State, Waived, digest_of_life};

use super::plan_names::Called;

/// The names of a rotation, with those of the undeclared copies and processes that its state is about. Names are for display
/// alone: what cannot be read is shown without one.
pub(crate) async fn called(journal: &dyn Journal, recorded: &Recorded, state: Option<&State>) -> Called {
    let mut called = Called::of(recorded);
    for digest in state.map(digests).unwrap_or_default() {
        if let Ok(Some(name)) = journal.recall(digest).await {
            called.learn([Named { digest, name }]);
        }
    }
    called
}

/// The digests of the copies and processes that a state is about.
fn digests(state: &State) -> BTreeSet<u64> {
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
            Waived::NotVisible(_) | Waived::BusySessions | Waived::LastUse | Waived::Host(_) => {}
        }
    }
    if let Some(Hold::Paused(reason) | Hold::Stuck(reason)) = state.hold() {
        all.extend(about(reason));
    }
    all
}

/// The digest of the copy or process that a reason is about.
fn about(reason: Reason) -> Option<u64> {
    match reason {
        Reason::Holder(who) | Reason::Unsearched(who) => Some(digest_of_life(who)),
        Reason::Stranger(place) => Some(place),
        Reason::Asked
        | Reason::Foreign(_)
        | Reason::Unreadable(_)
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::ChangedElsewhere
        | Reason::Consent
        | Reason::LastUseNotShown
        | Reason::Unit(_)
        | Reason::Canary(_)
        | Reason::Unaccepted(_)
        | Reason::Failed(_)
        | Reason::Overdue(_)
        | Reason::Drifting
        | Reason::UnknownLabel(_)
        | Reason::Unclear(_) => None,
    }
}
