//! What is never relied on again: a value that is being dropped, a list that misses a key, an older look.

use keyroll_rotation::{
    ConsumerId, CredId, Debt, Emergency, EndpointId, Event, Fact, Hold, ListedState, MintedBy, OldKey, Op,
    Outcome, Overlap, PROTOCOL, Phase, ProbeResult, Query, Reason, Reconciled, UnitStep, Want, Which, step,
    wants,
};

use crate::walk::{self, Walk};

const DROP: Op = Op::Retire(Which::New);

fn wanted(walk: &Walk, op: Op) -> bool {
    wants(&walk.state).contains(&Want::Do(op))
}

fn emergency(mode: Emergency) -> Fact {
    Fact::Escalated { mode, pending_compromised: false }
}

fn lists(old: ListedState) -> Fact {
    Fact::Listed { complete: true, labelled: Vec::new(), old }
}

/// A value that we choose was chosen, the rotation rolls back, and the sealed value is being dropped.
fn dropping() -> (Walk, u64) {
    let mut plan = walk::plan();
    plan.capabilities.minted_by = MintedBy::Us;
    plan.capabilities.overlap = Overlap::None;
    plan.capabilities.disable = false;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Decide);
    walk.say(Fact::AbortAsked);
    assert!(wanted(&walk, DROP));
    let intent = walk.begin(&DROP);
    (walk, intent)
}

/// Making the new key ends the old one. Red: the operator says by mistake that the old key is revoked, and it ends although nobody
/// consented to that.
#[test]
fn a_statement_is_no_consent_to_a_mint_that_ends_the_old_key() {
    for protocol in [17, PROTOCOL] {
        let mut plan = walk::plan();
        plan.protocol = protocol;
        plan.capabilities.minted_by = MintedBy::Us;
        plan.capabilities.overlap = Overlap::None;
        plan.capabilities.disable = false;
        let mut walk = Walk::of(plan);
        walk.until(|state| wants(state).contains(&Want::Do(Op::Choose)));
        let intent = walk.begin(&Op::Choose);
        walk.end(intent, Outcome::Failed { retry: false });
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Failed(Phase::Mint))));
        let says = Event { at: walk.at, fact: Fact::HandRevoked };
        assert_eq!(step(&walk.state, &says).is_err(), protocol == PROTOCOL);
        walk.say(Fact::Resumed);
        walk.until(|state| state.decided());
        assert_eq!(walk.state.old_key(), OldKey::On, "it ends with the mint");
        walk.until(|state| state.phase() == Phase::Done);
    }
}

#[test]
fn a_value_that_is_being_dropped_is_never_minted() {
    let (mut walk, intent) = dropping();
    let given_up = walk.state.chosen();
    walk.say(emergency(Emergency::RollFirst));
    assert_eq!((walk.state.phase(), walk.state.chosen()), (Phase::Mint, None));
    assert!(walk.first_op().is_none(), "nothing is sealed while it is dropped: {:?}", wants(&walk.state));
    walk.end(intent, Outcome::Done(None));
    assert!(wanted(&walk, Op::Choose));
    walk.until(|state| state.ended());
    assert_ne!(walk.state.chosen(), given_up);
    assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, None));

    // The same after it was dropped, as long as the rollback has not ended.
    let (mut walk, intent) = dropping();
    walk.say(Fact::PauseAsked);
    walk.end(intent, Outcome::Done(None));
    if !walk.state.ended() {
        walk.say(emergency(Emergency::RollFirst));
        assert_eq!(walk.state.chosen(), None);
    }
}

#[test]
fn no_value_is_chosen_beside_a_lost_credential() {
    let mut plan = walk::plan();
    plan.capabilities.minted_by = MintedBy::Us;
    plan.capabilities.overlap = Overlap::TwoSlots;
    let mut walk = Walk::of(plan);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let mint = walk.begin(&Op::Mint);
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.end(mint, Outcome::Unknown);
    let lost = CredId::new("slot-b");
    walk.say(Fact::Reconciled { intent: mint, found: Reconciled::ValueLost(lost.clone()) });
    // What is sealed under the id goes with the credential, and the next value of a slot has the same id.
    let deletion = Op::DeleteOrphan(lost);
    assert_eq!(wants(&walk.state), [Want::Do(deletion.clone())]);
    let mut failing = walk.clone();
    let deleting = walk.begin(&deletion);
    assert_eq!(wants(&walk.state), Vec::new());
    walk.end(deleting, Outcome::Done(None));
    assert_eq!(wants(&walk.state), [Want::Do(Op::Choose)]);
    // The same while a deletion that failed is tried again.
    let deleting = failing.begin(&deletion);
    failing.end(deleting, Outcome::Failed { retry: true });
    assert_eq!(wants(&failing.state), [Want::Do(deletion)]);
    // Earlier versions did not wait: their journals are read.
    failing.begin(&Op::Choose);
}

#[test]
fn nothing_is_dropped_while_it_is_made() {
    let mut plan = walk::plan();
    plan.capabilities.minted_by = MintedBy::Us;
    let mut walk = Walk::of(plan);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let intent = walk.begin(&Op::Mint);
    walk.say(Fact::AbortAsked);
    assert!(!wanted(&walk, DROP));
    walk.end(intent, Outcome::Failed { retry: false });
    assert!(wanted(&walk, DROP));
}

#[test]
fn whoever_came_since_a_revoke_came_to_nothing_is_looked_for() {
    for lost in [false, true] {
        let mut walk = Walk::to(Phase::Revoke);
        assert!(wanted(&walk, Op::Revoke), "straight from the point of no return");
        let intent = walk.begin(&Op::Revoke);
        if lost {
            walk.end(intent, Outcome::Unknown);
            walk.wait(1_000);
            walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
        } else {
            walk.end(intent, Outcome::Failed { retry: true });
        }
        assert_eq!(wants(&walk.state), [Want::Ask(Query::Enumerate)], "lost: {lost}");
        let mut look = walk.look();
        look.instances[0].new = keyroll_rotation::Visibility::No;
        look.instances[0].old = keyroll_rotation::Visibility::Yes;
        look.instances[0].who.host.0 += 7;
        walk.say(Fact::Enumerated(look));
        assert_ne!(walk.state.phase(), Phase::Revoke, "a late instance is rolled forward");
        walk.until(|state| state.ended());
        assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, None));
    }
}

#[test]
fn one_list_without_the_old_key_ends_nothing() {
    let mut walk = Walk::to(Phase::Soak);
    walk.say(lists(ListedState::Gone));
    walk.say(lists(ListedState::Gone));
    assert!(matches!(walk.state.old_key(), OldKey::Off(_)), "both are of the same moment");
    walk.say(lists(ListedState::Off));
    walk.wait(200);
    walk.say(lists(ListedState::Gone));
    assert!(matches!(walk.state.old_key(), OldKey::Off(_)), "it was there meanwhile");
    let (answer, control) = (ProbeResult::Alive, Some(ProbeResult::Alive));
    walk.say(Fact::Probed { endpoint: EndpointId(0), version: Which::Old, answer, control });
    walk.wait(200);
    walk.say(lists(ListedState::Gone));
    assert!(matches!(walk.state.old_key(), OldKey::Off(_)), "it was accepted meanwhile");
    walk.wait(200);
    walk.say(lists(ListedState::Gone));
    assert_eq!((walk.state.old_key(), walk.state.phase()), (OldKey::Ended, Phase::ConfirmDead));
    // The key existed all the time: if we did not end it, it must still be ended, behind the gate.
    walk.wait(200);
    walk.say(lists(ListedState::On));
    assert_eq!((walk.state.old_key(), walk.state.phase()), (OldKey::On, Phase::Quiesce));
    walk.until(|state| state.ended());
    assert!(walk.state.decided());
}

#[test]
fn a_key_that_the_last_list_shows_is_owed() {
    let mut walk = Walk::to(Phase::Sweep);
    walk.say(lists(ListedState::On));
    walk.say(Fact::Swept { residues: 0 });
    let look = walk.look();
    walk.say(Fact::Enumerated(look));
    assert!(wants(&walk.state).contains(&Want::Ask(Query::List)), "it may lag: {:?}", wants(&walk.state));
    walk.wait(200);
    walk.say(lists(ListedState::On));
    assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, Some(Debt::NotRevoked)));
    walk.say(Fact::Resumed);
    assert_eq!(walk.state.phase(), Phase::Revoke);
}

#[test]
fn sessions_end_with_a_leaked_key_and_once_more_when_it_is_dead() {
    let mut plan = walk::plan();
    plan.capabilities.sessions = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    walk.say(emergency(Emergency::RevokeNow));
    assert_eq!(walk.state.phase(), Phase::Revoke);
    let intent = walk.begin(&Op::Revoke);
    walk.end(intent, Outcome::Done(None));
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::Revoke, vec![Want::Do(Op::EndSessions)]));
    let intent = walk.begin(&Op::EndSessions);
    walk.end(intent, Outcome::Done(None));
    assert_eq!(walk.state.phase(), Phase::Probe, "the rest follows");
    walk.until(|state| state.phase() == Phase::ConfirmDead);
    walk.until(|state| wants(state).contains(&Want::Do(Op::EndSessions)));
    assert_eq!(walk.state.phase(), Phase::ConfirmDead);
    walk.until(|state| state.ended());
    assert_eq!(walk.state.debt(), None);
}

#[test]
fn an_emergency_in_the_last_step_ends_sessions_once_more_and_old_journals_are_read_as_they_were() {
    let mut plan = walk::plan();
    plan.capabilities.sessions = true;
    let mut walk = Walk::of(plan);
    let last = Want::Do(Op::Retire(Which::Old));
    walk.until(|state| state.phase() == Phase::Sweep && wants(state).contains(&last));
    walk.say(emergency(Emergency::RollFirst));
    assert_eq!((walk.state.phase(), wants(&walk.state)), (Phase::Sweep, vec![Want::Do(Op::EndSessions)]));
    // As a driver of an earlier version continued.
    let mut then = walk.clone();
    let intent = then.begin(&Op::Retire(Which::Old));
    then.end(intent, Outcome::Done(None));
    assert_eq!(then.state.phase(), Phase::Done);
    let intent = walk.begin(&Op::EndSessions);
    assert!(!wants(&walk.state).contains(&last), "the old value is dropped after its sessions");
    walk.end(intent, Outcome::Done(None));
    assert_eq!(wants(&walk.state), vec![last]);
    walk.until(|state| state.ended());
    assert_eq!(walk.state.debt(), None);
}

#[test]
fn what_a_drivers_end_left_of_a_mint_is_not_counted() {
    let mut walk = Walk::to(Phase::Mint);
    for _ in 0..7 {
        let intent = walk.begin(&Op::Mint);
        walk.another_driver();
        walk.wait(1_000);
        for _ in 0..3 {
            walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
        }
        assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Mint, None));
    }
    // An issuer that gives this answer every time is not asked for ever.
    for _ in 0..5 {
        assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::Mint, None));
        let intent = walk.begin(&Op::Mint);
        walk.end(intent, Outcome::Unknown);
        walk.wait(1_000);
        for _ in 0..3 {
            walk.say(Fact::Reconciled { intent, found: Reconciled::Absent });
        }
    }
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Failed(Phase::Mint))));
}

#[test]
fn a_copy_of_the_new_value_holds_its_deletion_up() {
    let mut walk = Walk::to(Phase::RollingBack);
    walk.until(|state| wants(state).contains(&Want::Do(Op::DeleteNew)));
    let mut look = walk.look();
    look.strangers = vec![5];
    walk.say(Fact::Enumerated(look));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Stranger(5))));
    assert!(!wanted(&walk, Op::DeleteNew));
}

/// However often the old key is accepted: the Disable that is under way may arrive after the last of these answers.
#[test]
fn nobody_is_moved_back_to_a_key_that_is_being_disabled() {
    let mut plan = walk::plan();
    plan.capabilities.disable = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Disable)));
    let intent = walk.begin(&Op::Disable);
    walk.say(Fact::AbortAsked);
    assert_eq!(walk.state.phase(), Phase::RollingBack);
    let accepted = || {
        let (version, answer, control) = (Which::Old, ProbeResult::Alive, Some(ProbeResult::Alive));
        Fact::Probed { endpoint: EndpointId(0), version, answer, control }
    };
    for _ in 0..10 {
        assert_eq!(wants(&walk.state), [], "nothing relies on the old key");
        walk.say(accepted());
    }
    walk.end(intent, Outcome::Done(None));
    assert!(wanted(&walk, Op::Enable));
    walk.until(|state| state.ended());
    assert_eq!(walk.state.phase(), Phase::RolledBack);
}

#[test]
fn a_restart_that_ends_after_its_consumer_was_turned_round_is_not_its_way_back() {
    let mut walk = Walk::to(Phase::Roll);
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let restart = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
    walk.say(Fact::AbortAsked);
    for _ in 0..20 {
        if walk.state.units()[0].toward == Which::Old {
            break;
        }
        for want in wants(&walk.state) {
            if let Want::Ask(query) = want {
                walk.say(walk.see(&query));
            }
        }
    }
    assert_eq!(walk.state.units()[0].toward, Which::Old);
    let before = walk.state.units()[0].stage;
    walk.end(restart, Outcome::Done(None));
    assert_eq!(walk.state.units()[0].stage, before);
    walk.until(|state| state.phase() == Phase::RolledBack);
    let back = Fact::Intended(Op::Apply(ConsumerId(0), 0, Which::Old));
    assert!(walk.said.iter().any(|event| event.fact == back));
}
