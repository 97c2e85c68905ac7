//! Hosts that were waived: as long as no look shows such a host, nothing is asked of what is on it.

use crate::left::{is_on_left, place};
use crate::state::{Hold, Intent, IntentStatus, Phase, Reason, State, UnitStep};
use crate::{Enumeration, HostId, Op, Waived, Which, intent, pace};

/// The operator says that a host is gone. A look from before does not count: what it showed there may be asked for no more.
pub(crate) fn waived(next: &mut State, host: HostId) -> Result<(), &'static str> {
    if !next.depends_on(host) {
        return Err("no consumer of the rotation runs on this host, and its last look was not asked of it");
    }
    let canary = pace::canary(next);
    next.exceptions.waive(Waived::Host(host));
    if pace::canary(next) != canary {
        // What the operator said was about a consumer that is not there any more.
        next.units.pacing.withdraw_answer();
    }
    if !next.running(&Op::Revoke) {
        next.looks.moved(next.seq());
    }
    if next.hold().is_some_and(|hold| is_about(next, hold, host)) {
        next.holding.release();
        next.restart_window();
    }
    Ok(())
}

/// Whether a hold is about something on this host.
fn is_about(state: &State, hold: Hold, host: HostId) -> bool {
    let plan = state.plan();
    match hold.reason() {
        Reason::Unit(id) | Reason::Unaccepted(id) | Reason::Canary(id) => {
            plan.consumers.get(id.index()).is_some_and(|consumer| consumer.host == host)
        }
        Reason::Foreign(file) | Reason::Unreadable(file) => plan.files.get(file.index()) == Some(&host),
        Reason::Holder(who) | Reason::Unsearched(who) => who.host == host,
        Reason::Unclear(seq) => {
            state.intents.find(seq).is_some_and(|open| place(state, &open.op) == Some(host))
        }
        Reason::Asked
        | Reason::Stranger(_)
        | Reason::ChangedElsewhere
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::Consent
        | Reason::Failed(_)
        | Reason::Overdue(_)
        | Reason::LastUseNotShown
        | Reason::Drifting
        | Reason::UnknownLabel(_) => false,
    }
}

/// Takes in which hosts answered a look. One that was waived and answered is back: it is asked like every other one. Returns
/// whether the look shows everything: only waived hosts did not answer.
pub(crate) fn shows_all(next: &mut State, seen: &Enumeration) -> bool {
    let before = next.left_hosts();
    next.exceptions.end_absence(|host| seen.absent.contains(&host));
    let back: Vec<HostId> = before.into_iter().filter(|host| !next.has_left(*host)).collect();
    if !back.is_empty() {
        are_back(next, &back);
    }
    seen.complete && seen.absent.iter().all(|host| next.has_left(*host))
}

/// What was asked of all hosts while these were away is asked of them too: who holds a version before it is given out, and
/// where their logs end before the old key is disabled. After the point of no return both have served their purpose.
fn are_back(next: &mut State, back: &[HostId]) {
    let follows = |consumer: &crate::Consumer| consumer.follows_live() && back.contains(&consumer.host);
    let forward = next.phase() != Phase::RollingBack && !next.ended() && !next.decided();
    if forward && next.promoted() && next.plan().consumers.iter().any(follows) {
        next.new.promote_again();
        next.return_to(Phase::Roll);
    } else if matches!(next.phase(), Phase::Disable | Phase::Soak | Phase::Decide) && !next.decided() {
        // Where minting itself ends the old value there is nothing to quiesce yet.
        let begins = next.exchanges() && next.phase() == Phase::Decide && next.new_version().is_none();
        next.return_to(if begins { Phase::Decide } else { Phase::Quiesce });
    }
}

/// Nothing is waited for on a host that has left: its units are settled, and it stays unknown whether an operation there was
/// carried out. Returns whether anything changed.
pub(crate) fn settle(next: &mut State) -> bool {
    let left = next.left_hosts();
    if next.ended() || left.is_empty() {
        return false;
    }
    let toward = if next.phase() == Phase::RollingBack { Which::Old } else { Which::New };
    let mut changed = false;
    let units: Vec<usize> = left.iter().flat_map(|host| next.units.index().on_host(*host)).copied().collect();
    for at in units {
        let there = |unit: &&crate::Unit| unit.stage != UnitStep::Settled || unit.toward != toward;
        if next.units.get(at).filter(there).is_some() {
            next.units.leave(at, toward, next.now());
            changed = true;
        }
    }
    let unknown =
        |open: &&Intent| matches!(open.status, IntentStatus::Unknown { .. }) && is_on_left(next, &open.op);
    let unknown: Vec<_> = next.intents().iter().filter(unknown).map(|open| open.seq).collect();
    changed |= !unknown.is_empty();
    unknown.into_iter().for_each(|seq| intent::dismiss(next, seq));
    changed
}
