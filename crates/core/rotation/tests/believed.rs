//! What a person or a list says of the old key is believed only as long as the issuer does not show otherwise.

use keyroll_rotation::{
    CredId, Debt, Emergency, EndpointId, Event, Fact, Hold, Labelled, ListedState, MintedBy, Next, OldKey,
    Op, Outcome, Overlap, PROTOCOL, Phase, Plan, ProbeResult, Query, Reason, Seq, State, Want, Which, step,
    wants, way,
};

use crate::walk::{self, Walk};

const DEATH_MS: u64 = 5_000;

/// A rotation before the point of no return whose operator says that the old key was revoked by hand.
fn said_to_be_revoked() -> Walk {
    let mut plan = walk::plan();
    plan.capabilities.death_ms_max = DEATH_MS;
    plan.policy.probes_dead = 3;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Disable);
    while walk.first_op() != Some(Op::Disable) {
        walk.go_on();
    }
    let intent = walk.begin(&Op::Disable);
    walk.end(intent, Outcome::Failed { retry: false });
    walk.say(probed(ProbeResult::Alive));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Failed(Phase::Disable))));
    walk.say(Fact::HandRevoked);
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    walk
}

fn probed(answer: ProbeResult) -> Fact {
    let control = Some(ProbeResult::Alive);
    Fact::Probed { endpoint: EndpointId(0), version: Which::Old, answer, control }
}

#[test]
fn a_key_that_is_accepted_after_it_was_said_to_be_revoked_can_be_rolled_back() {
    let mut walk = said_to_be_revoked();
    // A revoked key may be accepted for as long as its end takes.
    walk.say(probed(ProbeResult::Alive));
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    walk.wait(DEATH_MS + walk.state.plan().capabilities.request_ms_max);
    walk.say(probed(ProbeResult::Dead));
    walk.say(probed(ProbeResult::Unknown));
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    walk.say(probed(ProbeResult::Alive));
    assert_eq!((walk.state.old_key(), walk.state.phase()), (OldKey::On, Phase::Quiesce));
    walk.say(Fact::AbortAsked);
    walk.until(|state| state.phase() == Phase::RolledBack);
}

#[test]
fn a_list_that_is_never_complete_ends_with_a_debt_that_can_be_paid() {
    let mut walk = Walk::to(Phase::Sweep);
    let incomplete = Fact::Listed { complete: false, labelled: Vec::new(), old: ListedState::NotVisible };
    let pass = |walk: &mut Walk| {
        for want in wants(&walk.state) {
            match want {
                Want::Ask(Query::List) => walk.say(incomplete.clone()),
                Want::Ask(query) => walk.say(walk.see(&query)),
                Want::Do(_) | Want::Decide(_) | Want::Wait(_) | Want::Person(_) => {}
            }
        }
    };
    pass(&mut walk);
    pass(&mut walk);
    assert_eq!(walk.state.phase(), Phase::Sweep);
    walk.wait(walk.state.plan().policy.phase_ms_max);
    assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, Some(Debt::NotListed)));
    assert!(!walk.said.iter().any(|event| event.fact == Fact::Intended(Op::Retire(Which::Old))));
    walk.say(Fact::Resumed);
    walk.until(|state| state.phase() == Phase::Done);
    assert_eq!(walk.state.debt(), None);
}

/// Everything that is wanted is answered once; a list shows the old key in this state.
fn answered(walk: &mut Walk, old: ListedState) {
    for want in wants(&walk.state) {
        if !wants(&walk.state).contains(&want) {
            continue;
        }
        match want {
            Want::Ask(Query::List) => {
                walk.say(Fact::Listed { complete: true, labelled: Vec::new(), old });
            }
            Want::Ask(query) => walk.say(walk.see(&query)),
            Want::Do(op) => {
                let intent = walk.begin(&op);
                walk.end(intent, Outcome::Done(None));
            }
            Want::Decide(_) | Want::Wait(_) | Want::Person(_) => {}
        }
    }
}

#[test]
fn a_key_that_is_only_disabled_is_not_ended_by_a_statement() {
    let mut plan = walk::plan();
    plan.capabilities.death_ms_max = DEATH_MS;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Revoke);
    walk.say(Fact::HandRevoked);
    // The issuer refuses it, and goes on listing it as disabled.
    for _ in 0..20 {
        if walk.state.old_key() != OldKey::Ended {
            break;
        }
        answered(&mut walk, ListedState::Off);
        walk.wait(1_000);
    }
    assert_eq!(walk.state.phase(), Phase::Revoke);
    let dropped = Fact::Intended(Op::Retire(Which::Old));
    assert!(!walk.said.iter().any(|event| event.fact == dropped));
    while !walk.said.iter().any(|event| event.fact == Fact::Intended(Op::Revoke)) {
        answered(&mut walk, ListedState::Off);
    }
    answered(&mut walk, ListedState::Gone);
    walk.wait(DEATH_MS);
    walk.until(|state| state.phase() == Phase::Done);
    assert_eq!(walk.state.debt(), None);
}

#[test]
fn a_key_that_is_enabled_while_the_operator_is_asked_pauses_the_rotation() {
    let mut walk = Walk::to(Phase::Decide);
    assert!(matches!(walk.state.old_key(), OldKey::Off(_)));
    walk.wait(walk.state.plan().policy.soak_ms);
    walk.say(Fact::Listed { complete: true, labelled: Vec::new(), old: ListedState::On });
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::RefusedUse)));
    // The key is enabled once more: a Disable of ours may still be under way.
    assert!(wants(&walk.state).contains(&Want::Do(Op::Enable)));
}

#[test]
fn the_late_outcome_of_a_disable_does_not_make_an_ended_key_a_disabled_one() {
    let now = Fact::Escalated { mode: Emergency::RevokeNow, pending_compromised: false };
    let disabling = || {
        let mut walk = Walk::to(Phase::Disable);
        while walk.first_op() != Some(Op::Disable) {
            walk.go_on();
        }
        let disable = walk.begin(&Op::Disable);
        walk.say(now.clone());
        (walk, disable)
    };
    let (mut walk, disable) = disabling();
    let revoke = walk.begin(&Op::Revoke);
    walk.end(revoke, Outcome::Done(None));
    walk.end(disable, Outcome::Done(None));
    assert_eq!(walk.state.old_key(), OldKey::Ended);
    walk.until(|state| state.phase() == Phase::Done);
    assert_eq!(walk.state.debt(), None);

    // The operator says that they revoked the key, and it is only disabled.
    let (mut walk, disable) = disabling();
    walk.say(Fact::HandRevoked);
    walk.end(disable, Outcome::Done(None));
    walk.until(|state| state.phase() == Phase::Sweep);
    walk.wait(walk.state.plan().capabilities.request_ms_max);
    walk.say(Fact::Listed { complete: true, labelled: Vec::new(), old: ListedState::Off });
    assert_eq!(walk.state.phase(), Phase::Revoke);
}

/// The Enable of a hold is answered after the statement. Red: the key counts as enabled in Revoke, and is revoked although nobody
/// consented.
#[test]
fn an_enable_that_is_answered_after_a_statement_leads_to_no_revoke_without_a_consent() {
    for protocol in [17, PROTOCOL] {
        let mut plan = walk::plan();
        plan.protocol = protocol;
        plan.capabilities.sessions = true;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Soak);
        walk.wait(walk.state.plan().policy.phase_ms_max + 1_000);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Soak))));
        let enable = walk.begin(&Op::Enable);
        walk.say(Fact::HandRevoked);
        walk.end(enable, Outcome::Done(None));
        walk.say(walk.see(&Query::Enumerate));
        assert_eq!((walk.state.phase(), walk.state.decided()), (Phase::Revoke, false));
        let revokes = wants(&walk.state).contains(&Want::Do(Op::Revoke));
        assert_eq!(revokes, protocol != PROTOCOL);
        if revokes {
            continue;
        }
        assert_eq!(walk.state.old_key(), OldKey::Ended);
        walk.until(|state| state.phase() == Phase::ConfirmDead);
        walk.wait(walk.state.plan().capabilities.request_ms_max);
        walk.say(probed(ProbeResult::Alive));
        assert_eq!((walk.state.old_key(), walk.state.phase()), (OldKey::On, Phase::Quiesce));
        walk.until(State::ended);
        assert!(walk.state.decided());
    }
}

#[test]
fn refusals_at_the_beginning_of_the_propagation_time_alone_prove_no_death() {
    let mut plan = walk::plan();
    plan.capabilities.death_ms_max = DEATH_MS;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::ConfirmDead);
    walk.say(probed(ProbeResult::Dead));
    walk.wait(DEATH_MS);
    walk.say(probed(ProbeResult::Unknown));
    assert_eq!(walk.state.phase(), Phase::ConfirmDead);
    walk.say(probed(ProbeResult::Dead));
    assert_eq!(walk.state.phase(), Phase::Sweep);
}

/// Red if the rotation ends with a debt that nothing can pay, because the control beside the old key is refused too.
#[test]
fn a_new_key_that_is_refused_beside_the_revoked_one_is_named_and_another_one_ends_the_rotation() {
    let refused = |version| {
        let control = (version == Which::Old).then_some(ProbeResult::Dead);
        Fact::Probed { endpoint: EndpointId(0), version, answer: ProbeResult::Dead, control }
    };
    let asks_new = Want::Ask(Query::Probe(EndpointId(0), Which::New));
    let mut walk = Walk::to(Phase::ConfirmDead);
    walk.say(refused(Which::Old));
    assert_eq!(walk.state.phase(), Phase::ConfirmDead, "no control was accepted");
    assert!(!wants(&walk.state).contains(&asks_new), "it may take a while");
    walk.wait(walk.state.plan().policy.phase_ms_max / 2);
    walk.say(refused(Which::Old));
    assert!(wants(&walk.state).contains(&asks_new));
    let mut works = walk.clone();
    walk.say(refused(Which::New));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.until(|state| state.phase() == Phase::Done);
    assert_eq!(walk.state.debt(), None);
    // An accepted new key is asked about once, and the old one has the rest of its time.
    works.say(works.see(&Query::Probe(EndpointId(0), Which::New)));
    assert!(!wants(&works.state).contains(&asks_new));
    works.wait(works.state.plan().policy.phase_ms_max / 2);
    works.until(|state| state.phase() == Phase::Done);
    assert_eq!(works.state.debt(), Some(Debt::NotDead));
}

/// No look is possible, and the mint that ends the old key was not consented to. Red: the operator's statement stands for the consent,
/// and the key is exchanged under consumers that nobody has seen.
#[test]
fn a_statement_is_no_consent_to_the_mint_that_ends_the_old_key() {
    for protocol in [17, PROTOCOL] {
        let mut plan = walk::plan();
        plan.protocol = protocol;
        plan.capabilities.overlap = Overlap::None;
        plan.capabilities.disable = false;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Decide);
        walk.wait(walk.state.plan().policy.phase_ms_max);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Decide))));
        let says = Event { at: walk.at, fact: Fact::HandRevoked };
        assert_eq!(step(&walk.state, &says).is_err(), protocol == PROTOCOL);
        let named = way(&walk.state).expect("a way").forward;
        assert!(named.iter().all(|step| !step.then.contains(&Next::HandRevoked)), "{named:?}");
        walk.say(Fact::Resumed);
        walk.until(State::decided);
        walk.until(State::ended);
        assert_eq!((walk.state.phase(), walk.state.debt()), (Phase::Done, None));
    }
}

/// The credential that a lost mint made.
const LATE: &str = "late";

/// A rotation with a value that we choose, whose first mint seemed to come to nothing. Returns that mint.
fn with_a_lost_mint(protocol: u32) -> (Walk, Seq) {
    let mut plan = Plan { protocol, ..walk::plan() };
    plan.capabilities.minted_by = MintedBy::Us;
    let mut walk = Walk::of(plan);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let lost = walk.begin(&Op::Mint);
    walk.end(lost, Outcome::Failed { retry: true });
    (walk, lost)
}

/// A list that shows what the lost mint made, beside the new key or alone.
fn shows_late(walk: &Walk, lost: Seq, beside: bool) -> Fact {
    let new = walk.state.new_version().filter(|_| beside);
    let new = new.map(|new| Labelled { intent: new.mint, credential: new.credential.clone() });
    let late = Labelled { intent: lost, credential: CredId::new(LATE) };
    let old = if walk.state.old_key() == OldKey::On { ListedState::On } else { ListedState::Gone };
    Fact::Listed { complete: true, labelled: [late].into_iter().chain(new).collect(), old }
}

fn deletes_late(state: &State) -> bool {
    wants(state).contains(&Want::Do(Op::DeleteOrphan(CredId::new(LATE))))
}

fn asks_for_a_list(state: &State) -> bool {
    wants(state).contains(&Want::Ask(Query::List))
}

/// Red where it is deleted: every consumer was moved to its value, and the issuer has no other key with that value. A rotation of
/// protocol 17 and before deletes it.
#[test]
fn what_a_lost_mint_made_with_the_new_value_is_not_deleted_in_place_of_the_new_key() {
    for (protocol, deleted) in [(17, true), (PROTOCOL, false)] {
        let (mut walk, lost) = with_a_lost_mint(protocol);
        walk.until(|state| state.phase() == Phase::Disable && asks_for_a_list(state));
        walk.say(shows_late(&walk, lost, false));
        assert_eq!(deletes_late(&walk.state), deleted, "{protocol}");
        if deleted {
            continue;
        }
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
        // Whoever goes on asks again, and learns the same as long as the new key is not listed.
        walk.say(Fact::Resumed);
        walk.until(|state| state.phase() == Phase::Disable && asks_for_a_list(state));
        walk.say(shows_late(&walk, lost, false));
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
        walk.say(Fact::Resumed);
        walk.until(|state| state.phase() == Phase::Disable && asks_for_a_list(state));
        walk.say(shows_late(&walk, lost, true));
        assert_eq!(walk.state.hold(), None);
        assert!(deletes_late(&walk.state), "it is left beside the new key");
        walk.until(|state| state.phase() == Phase::Done);
    }
}

/// Red where the rollback deletes it before everybody is back, or leaves it.
#[test]
fn a_rollback_deletes_what_a_lost_mint_made_when_everybody_is_back() {
    let (mut walk, lost) = with_a_lost_mint(PROTOCOL);
    walk.until(|state| state.phase() == Phase::Disable && asks_for_a_list(state));
    walk.say(shows_late(&walk, lost, false));
    walk.say(Fact::AbortAsked);
    assert_eq!(walk.state.phase(), Phase::RollingBack);
    walk.say(shows_late(&walk, lost, false));
    assert!(!deletes_late(&walk.state), "consumers use its value");
    assert_eq!(walk.state.hold(), None);
    walk.until(|state| state.new_version().is_none() && asks_for_a_list(state));
    walk.say(shows_late(&walk, lost, false));
    assert!(deletes_late(&walk.state));
    walk.until(State::ended);
    assert_eq!(walk.state.phase(), Phase::RolledBack);
}

/// Red where it is deleted, or where the rotation is done beside a key that it does not know.
#[test]
fn in_the_last_search_too_it_is_kept_and_another_key_is_named() {
    let (mut walk, lost) = with_a_lost_mint(PROTOCOL);
    walk.until(|state| state.phase() == Phase::Sweep && asks_for_a_list(state));
    for _ in 0..2 {
        walk.say(shows_late(&walk, lost, false));
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::NewKeyRefused)));
        assert!(!deletes_late(&walk.state));
        walk.say(Fact::Resumed);
        assert!(asks_for_a_list(&walk.state));
    }
    walk.say(shows_late(&walk, lost, false));
    assert!(Next::AnotherKey.is_possible(&walk.state));
    // Nobody uses its value once everybody has another one.
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.until(|state| state.phase() == Phase::Sweep && asks_for_a_list(state));
    walk.say(shows_late(&walk, lost, true));
    assert!(deletes_late(&walk.state));
    walk.until(State::ended);
    assert_eq!(walk.state.phase(), Phase::Done);
}
