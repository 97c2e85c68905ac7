//! Consumers that read the store themselves: when they start, or again and again.

use keyroll_rotation::{
    Awaited, Consumer, ConsumerId, Delivery, EndpointId, Enumeration, Fact, Hold, InstanceIdentity, OldKey,
    Op, Outcome, Phase, ProbeResult, Query, Reason, Reconciled, ReloadMode, State, TruthValue, Unit,
    UnitStep, Until, Visibility, Waived, Want, Which, may_be_given_out, waiting, wants,
};

use crate::walk::{self, Walk};

const FOLLOWER: ConsumerId = ConsumerId(1);

/// A consumer with a file, and one that reads the store.
fn walk(uptake: ReloadMode) -> Walk {
    let mut plan = walk::plan();
    let follower = &plan.consumers[1];
    plan.consumers[1] =
        Consumer { delivery: Delivery::Follow, uptake, files: Vec::new(), ..follower.clone() };
    plan.files.truncate(1);
    Walk::of(plan)
}

fn is_proving(state: &State) -> bool {
    state.units()[1].stage == UnitStep::Proving(0)
}

fn asks_it(state: &State) -> bool {
    let of_it = |want: &Want| matches!(want, Want::Ask(Query::Prove(FOLLOWER, ..)));
    wants(state).iter().any(of_it)
}

#[test]
fn it_is_moved_after_the_promote_and_restarted_where_it_needs_that() {
    for (uptake, restarts) in [(ReloadMode::Rereads, 0), (ReloadMode::Verb, 1)] {
        let mut walk = walk(uptake);
        walk.until(is_proving);
        assert!(walk.state.promoted());
        walk.until(|state| state.phase() == Phase::Quiesce);
        let restarted = |op: &Op| matches!(op, Op::Apply(FOLLOWER, ..));
        let all = walk.said.iter().filter(|event| matches!(&event.fact, Fact::Intended(op) if restarted(op)));
        assert_eq!(all.count(), restarts, "{uptake:?}");
    }
}

/// Only the time shows that it has read the store again.
#[test]
fn a_waived_one_has_the_whole_time_of_a_unit() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(is_proving);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.wait(9_000);
    assert!(is_proving(&walk.state), "the waiver counted at once");
    walk.wait(1_000);
    assert_eq!((walk.state.units()[1].stage, walk.state.hold()), (UnitStep::Settled, None));
    // One that is restarted has read it by then.
    let mut walk = self::walk(ReloadMode::Verb);
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.go_on();
    assert_eq!(walk.state.units()[1].stage, UnitStep::Settled);
}

#[test]
fn a_rollback_before_the_promote_asks_nothing_of_it() {
    for uptake in [ReloadMode::Rereads, ReloadMode::Verb] {
        let mut walk = walk(uptake);
        walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
        walk.say(Fact::AbortAsked);
        while !walk.state.ended() {
            assert!(!asks_it(&walk.state), "it was asked for the old version");
            walk.go_on();
        }
        assert_eq!(walk.state.phase(), Phase::RolledBack);
    }
}

#[test]
fn a_rollback_after_the_promote_asks_it_for_the_old_version() {
    for uptake in [ReloadMode::Rereads, ReloadMode::Verb] {
        let mut walk = walk(uptake);
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until(asks_it);
        let demoted = walk.said.iter().any(|event| event.fact == Fact::Intended(Op::Demote));
        assert!(demoted && !walk.state.promoted());
        walk.until(|state| state.phase() == Phase::RolledBack);
    }
}

/// A look that shows the new version in a waived one sends it back, and counts no more: else it would be sent for ever.
#[test]
fn a_waived_one_that_still_shows_the_new_version_is_waited_for() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let back = |state: &State| {
        let all =
            state.units().iter().all(|unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled);
        all && wants(state).contains(&Want::Ask(Query::Enumerate))
    };
    for _ in 0..3 {
        let mut waits = 0;
        while !back(&walk.state) {
            waits += 1;
            assert!(waits < 100, "{:?}", wants(&walk.state));
            if is_proving(&walk.state) { walk.wait(10_000) } else { walk.go_on() }
        }
        let mut seen = walk.look();
        for one in seen.instances.iter_mut().filter(|one| one.consumer == Some(FOLLOWER)) {
            (one.old, one.new) = (Visibility::No, Visibility::Yes);
        }
        walk.say(Fact::Enumerated(seen));
        assert!(!wants(&walk.state).contains(&Want::Do(Op::DeleteNew)), "the new key ends under it");
        assert_eq!(walk.state.hold(), None);
    }
}

#[test]
fn a_restart_that_would_take_another_partys_value_holds_the_rotation() {
    let mut walk = walk(ReloadMode::Verb);
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    let apply = Op::Apply(FOLLOWER, 0, Which::New);
    let intent = walk.begin(&apply);
    walk.end(intent, Outcome::ChangedElsewhere);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::ChangedElsewhere)));
    assert_eq!(walk.state.units()[1].toward, Which::New, "it was given up");
    walk.say(Fact::Retried);
    walk.until(|state| wants(state).contains(&Want::Do(apply.clone())));
    let promotes = walk.said.iter().filter(|event| event.fact == Fact::Intended(Op::Promote)).count();
    assert_eq!(promotes, 2, "what is given out was not looked at again");
    walk.until(|state| state.phase() == Phase::Quiesce);
}

/// Somebody gave out another value meanwhile: it may have read that, so that its time begins anew.
#[test]
fn one_that_was_shown_is_awaited_anew_once_the_store_gives_the_value_out_again() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::TruthRead(TruthValue::Old));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::ChangedElsewhere)));
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.say(Fact::Retried);
    walk.until(is_proving);
    walk.wait(9_000);
    assert!(is_proving(&walk.state), "the waiver counted at once");
    walk.until(|state| state.phase() == Phase::Quiesce);
}

/// Nobody knows whether it was given out: a Demote comes first, from which on the host knows what the program has read.
#[test]
fn a_promote_that_failed_is_taken_for_one_that_may_have_been_carried_out() {
    for uptake in [ReloadMode::Rereads, ReloadMode::Verb] {
        let mut walk = walk(uptake);
        walk.until(|state| wants(state).contains(&Want::Do(Op::Promote)));
        let intent = walk.begin(&Op::Promote);
        walk.end(intent, Outcome::Failed { retry: false });
        walk.say(Fact::AbortAsked);
        walk.until(|state| state.phase() == Phase::RolledBack);
        let at = |op: &Op| walk.said.iter().position(|event| event.fact == Fact::Intended(op.clone()));
        assert!(at(&Op::Demote) < at(&Op::DeleteNew), "{uptake:?}");
        assert!(at(&Op::Demote).is_some(), "{uptake:?}");
    }
}

const CHANGED: Option<Hold> = Some(Hold::Stuck(Reason::ChangedElsewhere));

fn until_wanted(walk: &mut Walk, op: &Op) {
    walk.until(|state| wants(state).contains(&Want::Do(op.clone())));
}

/// A rollback to its end, in which nothing is given out, and the program is neither asked nor restarted.
fn rolls_back_without_it(walk: &mut Walk) {
    while !walk.state.ended() {
        assert!(!asks_it(&walk.state), "it was asked for the old version");
        assert_eq!(walk.state.hold(), None);
        walk.go_on();
    }
    assert_eq!(walk.state.phase(), Phase::RolledBack);
    let restarted = |op: &Op| matches!(op, Op::Apply(FOLLOWER, ..));
    assert!(!walk.said.iter().any(|event| matches!(&event.fact, Fact::Intended(op) if restarted(op))));
    assert!(!may_be_given_out(&walk.state));
}

/// Nothing was given out, so that there is nothing to take back.
#[test]
fn a_promote_that_met_another_partys_value_was_not_carried_out() {
    for uptake in [ReloadMode::Rereads, ReloadMode::Verb] {
        let mut walk = walk(uptake);
        for _ in 0..2 {
            until_wanted(&mut walk, &Op::Promote);
            let intent = walk.begin(&Op::Promote);
            walk.end(intent, Outcome::ChangedElsewhere);
            assert_eq!(walk.state.hold(), CHANGED);
            walk.say(Fact::Retried);
        }
        walk.say(Fact::AbortAsked);
        rolls_back_without_it(&mut walk);
        let demoted = walk.said.iter().any(|event| event.fact == Fact::Intended(Op::Demote));
        assert!(!demoted, "{uptake:?}");
    }
}

/// The rollback was asked for while the value was being given out, and met another party's value too.
#[test]
fn a_demote_beside_a_promote_that_met_another_partys_value_is_not_needed() {
    for demotes_first in [true, false] {
        let mut walk = walk(ReloadMode::Verb);
        until_wanted(&mut walk, &Op::Promote);
        let promote = walk.begin(&Op::Promote);
        walk.say(Fact::AbortAsked);
        until_wanted(&mut walk, &Op::Demote);
        let demote = walk.begin(&Op::Demote);
        let (first, then) = if demotes_first { (demote, promote) } else { (promote, demote) };
        walk.end(first, Outcome::ChangedElsewhere);
        walk.end(then, Outcome::ChangedElsewhere);
        rolls_back_without_it(&mut walk);
    }
}

/// An earlier attempt may have been carried out: both keys are kept until the old or the new value is given out again.
#[test]
fn a_rollback_waits_where_an_earlier_promote_may_have_been_carried_out() {
    for outcome in [Outcome::Failed { retry: true }, Outcome::Unknown] {
        let mut walk = walk(ReloadMode::Verb);
        until_wanted(&mut walk, &Op::Promote);
        let intent = walk.begin(&Op::Promote);
        walk.end(intent, outcome.clone());
        if outcome == Outcome::Unknown {
            walk.at.ms += 600_000;
            walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
        }
        until_wanted(&mut walk, &Op::Promote);
        let intent = walk.begin(&Op::Promote);
        walk.end(intent, Outcome::ChangedElsewhere);
        assert!(may_be_given_out(&walk.state), "{outcome:?}");
        // However often the operator asks for it, that value is not overwritten, and no key is ended.
        for fact in [Fact::AbortAsked, Fact::AbortAsked, Fact::Retried] {
            walk.say(fact);
            until_wanted(&mut walk, &Op::Demote);
            let intent = walk.begin(&Op::Demote);
            walk.end(intent, Outcome::ChangedElsewhere);
            assert_eq!((walk.state.hold(), walk.first_op()), (CHANGED, None), "{outcome:?}");
        }
        walk.say(Fact::Retried);
        walk.until(|state| state.phase() == Phase::RolledBack);
        let at = |op: &Op| walk.said.iter().rposition(|event| event.fact == Fact::Intended(op.clone()));
        assert!(at(&Op::Demote).is_some() && at(&Op::Demote) < at(&Op::DeleteNew), "{outcome:?}");
    }
}

/// It keeps every value that it ever read. Only the time shows that it reads the old one again, as on the way forward.
#[test]
fn a_waived_one_that_keeps_both_versions_has_the_whole_time_of_a_unit_in_a_rollback_too() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| is_proving(state) && state.units()[1].toward == Which::Old);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    let until = walk.state.units()[1].since.ms + walk.state.plan().policy.unit_ms_max;
    let wait = waiting(&walk.state).map(|wait| (wait.what, wait.until));
    assert_eq!(wait, Some((Awaited::Unit(FOLLOWER, UnitStep::Proving(0)), Until::Ms(until))));
    walk.wait(9_000);
    assert!(is_proving(&walk.state), "the waiver counted at once");
    walk.wait(1_000);
    walk.until(is_back);
    let mut seen = walk.look();
    let one = &mut seen.instances[FOLLOWER.index()];
    (one.old, one.new) = (Visibility::Yes, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    walk.until(|state| asks_it(state) || state.ended());
    assert_eq!(walk.state.phase(), Phase::RolledBack, "it was asked for what it cannot show");
}

/// A look at it and at one more process of it, which holds both versions.
fn look_at_two(walk: &Walk) -> Enumeration {
    let mut seen = walk.look();
    let mut another = seen.instances[FOLLOWER.index()];
    another.who.life = InstanceIdentity::Process { boot: 1, pid: 900, start_ticks: 7, program: 0 };
    (another.old, another.new) = (Visibility::Yes, Visibility::Yes);
    seen.instances.push(another);
    seen
}

/// That one process has shown the old version at once says nothing about another one.
#[test]
fn a_waived_one_has_the_whole_time_in_a_rollback_also_where_another_process_was_shown() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(is_back);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    let seen = look_at_two(&walk);
    walk.say(Fact::Enumerated(seen));
    assert!(asks_it(&walk.state), "the waiver counted at once: {:?}", wants(&walk.state));
    walk.wait(10_000);
    let seen = look_at_two(&walk);
    walk.say(Fact::Enumerated(seen));
    walk.until(|state| asks_it(state) || state.ended());
    assert_eq!(walk.state.phase(), Phase::RolledBack, "it was asked for what it cannot show");
}

/// Its memory was not searched to the end: nothing shows that it has read the old version.
#[test]
fn a_waived_one_in_which_only_the_new_version_was_seen_blocks_after_the_time_too() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| is_proving(state) && state.units()[1].toward == Which::Old);
    walk.wait(10_000);
    walk.until(is_back);
    let mut seen = walk.look();
    let one = &mut seen.instances[FOLLOWER.index()];
    (one.old, one.new) = (Visibility::NotVisible, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    assert!(asks_it(&walk.state), "the new key ends under it: {:?}", wants(&walk.state));
}

/// All are back on the old version, and nobody has looked since.
fn is_back(state: &State) -> bool {
    let back = |unit: &Unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled;
    state.units().iter().all(back) && wants(state).contains(&Want::Ask(Query::Enumerate))
}

/// The new version was given out: whatever runs may have taken it.
#[test]
fn after_the_promote_every_process_of_it_is_asked_for_the_old_version() {
    for uptake in [ReloadMode::Rereads, ReloadMode::Verb] {
        let mut walk = walk(uptake);
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.until(is_back);
        let mut seen = walk.look();
        let mut another = seen.instances[FOLLOWER.index()];
        another.who.life = InstanceIdentity::Process { boot: 1, pid: 900, start_ticks: 7, program: 0 };
        (another.old, another.new) = (Visibility::No, Visibility::No);
        seen.instances.push(another);
        walk.say(Fact::Enumerated(seen));
        assert!(asks_it(&walk.state), "{uptake:?}: {:?}", wants(&walk.state));
        assert!(!wants(&walk.state).contains(&Want::Do(Op::DeleteNew)), "{uptake:?}");
    }
}

/// Like one that reads the store again: no operation follows that would outdate the look.
#[test]
fn a_waived_one_that_reads_its_file_again_is_looked_at_again() {
    let mut walk = Walk::of(walk::plan());
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(is_back);
    let mut seen = walk.look();
    let one = &mut seen.instances[FOLLOWER.index()];
    (one.old, one.new) = (Visibility::No, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    assert!(!wants(&walk.state).contains(&Want::Do(Op::DeleteNew)), "the new key ends under it");
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// The look shows a process that has ended since: no proof of it can come, and only another look shows that it is gone.
#[test]
fn a_process_that_ended_after_the_look_is_not_waited_for_for_ever() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(is_back);
    let mut seen = walk.look();
    for one in seen.instances.iter_mut().filter(|one| one.consumer == Some(FOLLOWER)) {
        one.who.life = InstanceIdentity::Process { boot: 1, pid: 900, start_ticks: 7, program: 0 };
        (one.old, one.new) = (Visibility::No, Visibility::Yes);
    }
    walk.say(Fact::Enumerated(seen));
    assert!(!wants(&walk.state).contains(&Want::Do(Op::DeleteNew)), "the new key ends under it");
    walk.until(|state| state.phase() == Phase::RolledBack);
}

/// What it reads before the old value is given out again is not known either.
#[test]
fn one_that_is_still_awaited_is_awaited_anew_too() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.say(Fact::Waived(Waived::NotVisible(FOLLOWER)));
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| is_proving(state) && state.units()[1].toward == Which::Old);
    walk.say(Fact::TruthRead(TruthValue::Other));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::ChangedElsewhere)));
    walk.say(Fact::Retried);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Demote)));
    walk.wait(9_000);
    let intent = walk.begin(&Op::Demote);
    walk.end(intent, Outcome::Done(None));
    walk.until(is_proving);
    walk.wait(9_000);
    assert!(is_proving(&walk.state), "the time of before counted");
    walk.wait(1_000);
    assert_eq!(walk.state.units()[1].stage, UnitStep::Settled);
}

/// The host may have begun to look for the old version: only another Promote lets it look for the new one.
#[test]
fn a_rollback_that_is_turned_round_promotes_again() {
    let mut walk = walk(ReloadMode::Rereads);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Demote)));
    let intent = walk.begin(&Op::Demote);
    walk.end(intent, Outcome::Failed { retry: true });
    // Somebody has ended the old key: there is nothing to go back to.
    let (answer, control) = (ProbeResult::Dead, Some(ProbeResult::Alive));
    walk.say(Fact::Probed { endpoint: EndpointId(0), version: Which::Old, answer, control });
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    walk.until(|state| state.phase() == Phase::Quiesce);
    let promotes = walk.said.iter().filter(|event| event.fact == Fact::Intended(Op::Promote)).count();
    assert_eq!(promotes, 2, "what the host looks for was not said again");
    walk.until(|state| state.phase() == Phase::Done);
}
