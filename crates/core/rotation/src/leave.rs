//! Hosts that were waived: as long as no look shows such a host, nothing is asked of what is on it. The same of one consumer that
//! was let go ends here too.

use crate::left::{is_of_gone, is_on_left, place, shows_running};
use crate::state::{Hold, Intent, IntentStatus, Phase, Reason, State, UnitStep};
use crate::{Consumer, ConsumerId, Enumeration, HostId, Op, Waived, Which, intent, pace};

/// The operator says that a host is gone.
pub(crate) fn waived(next: &mut State, host: HostId) -> Result<(), &'static str> {
    if !next.depends_on(host) {
        return Err("no consumer of the rotation runs on this host, and its last look was not asked of it");
    }
    let_go(next, Waived::Host(host));
    if next.hold().is_some_and(|hold| is_about(next, hold, host)) {
        release(next);
    }
    Ok(())
}

/// Something is let go. A look from before does not count: what it showed there may be asked for no more.
pub(crate) fn let_go(next: &mut State, what: Waived) {
    let canary = pace::canary(next);
    next.exceptions.waive(what);
    if pace::canary(next) != canary {
        // What the operator said was about a consumer that is not there any more.
        next.units.pacing.withdraw_answer();
    }
    if !next.running(&Op::Revoke) {
        next.looks.moved(next.seq());
    }
}

/// What the rotation is held at holds it up no more. Units that are on their way have their whole time again, and one that failed
/// beside it, which was not named then, holds the rotation now.
pub(crate) fn release(next: &mut State) {
    next.holding.release();
    next.restart_window();
    // What an earlier protocol opened did neither.
    if !next.is_since(13) {
        return;
    }
    next.units.restart_time(next.now());
    let failed = next.units.failed().find(|at| !next.is_out_of_reach(*at));
    let Some(at) = failed.filter(|_| next.phase() == Phase::Roll) else { return };
    let (Some(unit), Ok(id)) = (next.units.get(at), u16::try_from(at)) else { return };
    let reason = Reason::Unit(ConsumerId(id));
    let hold = match unit.toward {
        Which::Old => Hold::Stuck(reason),
        Which::New => Hold::Paused(reason),
    };
    next.stand(hold);
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

/// Takes in which hosts answered a look, and which consumers run. One that was waived and is seen is back: it is asked like
/// every other one. Returns whether the look shows everything: only waived hosts did not answer.
pub(crate) fn shows_all(next: &mut State, seen: &Enumeration) -> bool {
    let (before, gone) = (next.left_hosts(), next.gone_consumers());
    let nobody_before = pace::canary(next).is_empty();
    next.exceptions.end_absence(|host| seen.absent.contains(&host));
    let nobody_first = if next.is_since(18) { nobody_before } else { pace::canary(next).is_empty() };
    let back: Vec<HostId> = before.into_iter().filter(|host| !next.has_left(*host)).collect();
    let returned = return_gone(next, seen, &gone);
    if !back.is_empty() || !returned.is_empty() {
        if nobody_first && !pace::canary(next).is_empty() {
            let anew = !next.is_since(18);
            next.units.pacing.recall(anew);
        }
        let is_back = |(id, consumer): (ConsumerId, &Consumer)| {
            consumer.follows_live() && (back.contains(&consumer.host) || returned.contains(&id))
        };
        let follows = (0..).map(ConsumerId).zip(&next.plan().consumers).any(is_back);
        are_back(next, follows);
        return_canary(next);
    }
    seen.complete && seen.absent.iter().all(|host| next.has_left(*host))
}

/// Consumers that were let go, and of which a complete look shows a running instance: they are back.
fn return_gone(next: &mut State, seen: &Enumeration, gone: &[ConsumerId]) -> Vec<ConsumerId> {
    if gone.is_empty() || !seen.complete {
        return Vec::new();
    }
    next.exceptions.end_leave(|consumer| shows_running(seen, consumer));
    let returned: Vec<ConsumerId> = gone.iter().copied().filter(|id| !next.has_gone(*id)).collect();
    if next.is_since(18) {
        returned.iter().for_each(|id| next.units.return_gone(id.index()));
    }
    returned
}

/// What was asked of all hosts while some were away is asked of those too: who holds a version before it is given out (`follows`:
/// one of them reads the store again by itself), and where their logs end before the old key is disabled. After the point of no
/// return both have served their purpose.
fn are_back(next: &mut State, follows: bool) {
    let forward = next.phase() != Phase::RollingBack && !next.ended() && !next.decided();
    if forward && next.promoted() && follows {
        next.new.promote_again();
        next.return_to(Phase::Roll);
    } else if matches!(next.phase(), Phase::Disable | Phase::Soak | Phase::Decide) && !next.decided() {
        // Where minting itself ends the old value there is nothing to quiesce yet.
        let begins = next.exchanges() && next.phase() == Phase::Decide && next.new_version().is_none();
        next.return_to(if begins { Phase::Decide } else { Phase::Quiesce });
    }
}

/// A canary that had not passed when its host was waived, or it was let go, and is back, is moved and proven again: that nothing was
/// asked of it meanwhile is no proof.
fn return_canary(next: &mut State) {
    let rolled = matches!(next.phase(), Phase::Quiesce | Phase::Disable | Phase::Soak | Phase::Decide);
    let open = rolled && !next.decided() && next.new_version().is_some() && next.emergency().is_none();
    if !next.is_since(18) || !open || next.units.pacing.passed() {
        return;
    }
    if pace::canary(next).iter().any(|id| next.units.is_unseen(id.index())) {
        next.return_to(Phase::Roll);
    }
}

/// Nothing is waited for on a host that has left: its units are settled, and it stays unknown whether an operation there was
/// carried out. It stays unknown too whether a consumer that has gone was restarted. Returns whether anything changed.
pub(crate) fn settle(next: &mut State) -> bool {
    let left = next.left_hosts();
    if next.ended() || (left.is_empty() && next.gone_consumers().is_empty()) {
        return false;
    }
    let toward = if next.phase() == Phase::RollingBack { Which::Old } else { Which::New };
    let mut changed = false;
    let units: Vec<usize> = left.iter().flat_map(|host| next.units.index().on_host(*host)).copied().collect();
    for at in units {
        let there = |unit: &&crate::Unit| unit.stage != UnitStep::Settled || unit.toward != toward;
        if next.units.get(at).filter(there).is_some() {
            // A journal of an earlier protocol took the canary for proven once its host was back.
            next.units.leave(at, toward, next.is_since(18), next.now());
            changed = true;
        }
    }
    let is_let_go = |op: &Op| is_on_left(next, op) || is_of_gone(next, op);
    let unknown = |open: &&Intent| matches!(open.status, IntentStatus::Unknown { .. }) && is_let_go(&open.op);
    let unknown: Vec<_> = next.intents().iter().filter(unknown).map(|open| open.seq).collect();
    changed |= !unknown.is_empty();
    unknown.into_iter().for_each(|seq| intent::dismiss(next, seq));
    changed
}
