//! Consumers that were let go: their files are kept right, nothing else is asked of them, and everything once an instance of them
//! runs again.

use keyroll_rotation::{
    Canary, Consumer, ConsumerId, CredId, Delivery, Difference, Enumeration, Event, Fact, FileId, Hold,
    Holds, HostId, InstanceIdentity, Next, OldKey, OnFailure, Op, Outcome, Person, Phase, Plan, Query,
    Reason, Reconciled, ReloadMode, RollPolicy, Stamp, State, Unit, UnitStep, Visibility, Waived, Want,
    Which, canary, step, wants, way,
};

use crate::walk::{Walk, plan, who_of};

const FIRST: ConsumerId = ConsumerId(0);
const GONE: ConsumerId = ConsumerId(1);
const FILE: FileId = FileId(1);

/// Two consumers that are restarted, each with a file.
pub(crate) fn two() -> Plan {
    let mut plan = plan();
    let one = Consumer { uptake: ReloadMode::Verb, ..plan.consumers[0].clone() };
    plan.consumers = vec![one.clone(), Consumer { files: vec![FILE], ..one }];
    plan
}

/// A look that shows no instance of this consumer.
fn without(walk: &Walk, gone: ConsumerId) -> Enumeration {
    let mut seen = walk.look();
    seen.instances.retain(|it| it.consumer != Some(gone));
    seen
}

pub(crate) fn done(op: &Op) -> Outcome {
    Outcome::Done((*op == Op::Mint).then(|| CredId::new("new")))
}

/// Answers everything that is wanted now. No instance of the consumer is seen, and its restarts fail; so do these operations.
pub(crate) fn go_on_without(walk: &mut Walk, gone: ConsumerId, fails: &dyn Fn(&Op) -> bool) {
    let fails = |op: &Op| fails(op) || matches!(op, Op::Apply(id, ..) if *id == gone);
    walk.each_wanted(|walk, want| match want {
        Want::Do(op) => {
            let intent = walk.begin(&op);
            let outcome = if fails(&op) { Outcome::Failed { retry: false } } else { done(&op) };
            walk.end(intent, outcome);
        }
        Want::Ask(Query::Enumerate) => walk.say(Fact::Enumerated(without(walk, gone))),
        Want::Ask(Query::Prove(consumer, ..)) if consumer == gone => {
            walk.say(Fact::Proved { consumer, proofs: Vec::new(), trouble: false });
        }
        Want::Ask(query) => {
            let seen = walk.see(&query);
            walk.say(seen);
        }
        Want::Decide(digest) => walk.say(Fact::Decided(digest)),
        Want::Wait(ms) => walk.wait(ms),
        Want::Person(Person::Consent(digest)) => walk.say(Fact::Consented(digest)),
        Want::Person(_) => unreachable!("an API makes and revokes the key"),
    });
}

pub(crate) fn until_without(
    walk: &mut Walk,
    gone: ConsumerId,
    fails: &dyn Fn(&Op) -> bool,
    arrived: impl Fn(&State) -> bool,
) {
    for _ in 0..2_000 {
        if arrived(&walk.state) {
            return;
        }
        go_on_without(walk, gone, fails);
    }
    panic!("{:?} {:?} {:?}", walk.state.phase(), walk.state.hold(), wants(&walk.state));
}

fn nothing(_: &Op) -> bool {
    false
}

fn until(walk: &mut Walk, arrived: impl Fn(&State) -> bool) {
    until_without(walk, GONE, &nothing, arrived);
}

fn let_go(walk: &mut Walk) {
    walk.say(Fact::Waived(Waived::Gone(GONE)));
}

/// Why the waiver of this consumer is refused now.
fn refused(walk: &Walk, consumer: ConsumerId) -> Option<&'static str> {
    let fact = Fact::Waived(Waived::Gone(consumer));
    step(&walk.state, &Event { at: walk.at, fact }).err().map(|illegal| illegal.why)
}

/// Whether an operation was begun since this event.
fn begun(walk: &Walk, from: usize, is_it: impl Fn(&Op) -> bool) -> bool {
    walk.said[from..].iter().any(|event| matches!(&event.fact, Fact::Intended(op) if is_it(op)))
}

fn restarts(op: &Op) -> bool {
    matches!(op, Op::Apply(GONE, ..))
}

#[test]
fn a_rotation_without_a_consumer_that_has_gone_ends_and_its_file_has_the_new_version() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Roll);
    let_go(&mut walk);
    until(&mut walk, |state| state.phase() == Phase::Done);
    assert_eq!((walk.state.old_key(), walk.state.files()[1]), (OldKey::Ended, Holds::New));
    assert_eq!(walk.state.gone_consumers(), [GONE]);
    assert!(!begun(&walk, 0, restarts), "nothing is made to load the version there");
    let asked = |event: &Event| matches!(event.fact, Fact::Proved { consumer: GONE, .. });
    assert!(!walk.said.iter().any(asked), "and nothing is asked");
}

#[test]
fn a_rollback_restores_the_file_of_a_consumer_whose_restart_can_never_work() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    until(&mut walk, |state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(GONE))));
    let from = walk.said.len();
    let_go(&mut walk);
    assert_eq!(walk.state.hold(), None);
    until(&mut walk, |state| state.phase() == Phase::RolledBack);
    assert_eq!(walk.state.files()[1], Holds::Old);
    assert!(!begun(&walk, from, restarts));
}

/// What the rotation has begun is carried out, but for a restart of the consumer, of which nothing is heard.
fn end_what_is_begun(walk: &mut Walk) {
    let open: Vec<_> = walk.state.intents().iter().map(|open| (open.seq, open.op.clone())).collect();
    for (seq, op) in open {
        walk.end(seq, if restarts(&op) { Outcome::Unknown } else { done(&op) });
    }
}

/// A rotation in which everything goes well; or one that is rolled back once everybody has moved.
pub(crate) fn calm(plan: Plan, back: bool) -> Walk {
    let mut walk = Walk::of(plan);
    if back {
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
    }
    walk.until(State::ended);
    walk
}

/// The same as far as so many events.
pub(crate) fn as_far_as(calm: &Walk, events: usize) -> Walk {
    let said = calm.said[..events].to_vec();
    let opened = State::open(calm.state.plan().clone(), Stamp { ms: 0, boot: 1, epoch: 0 }).unwrap();
    let state = said.iter().fold(opened, |state, event| step(&state, event).unwrap().0);
    Walk { state, at: said[events - 1].at, said, world: calm.world.clone() }
}

pub(crate) fn may_be_said(walk: &Walk, fact: Fact) -> bool {
    step(&walk.state, &Event { at: walk.at, fact }).is_ok()
}

#[test]
fn whenever_a_consumer_is_let_go_the_rotation_ends_forward_and_rolled_back() {
    for (was_back, aborts) in [(false, false), (false, true), (true, false)] {
        let calm = calm(two(), was_back);
        for events in 1..calm.said.len() {
            let mut walk = as_far_as(&calm, events);
            // Its process has ended, and a look does not show it any more.
            let seen = without(&walk, GONE);
            walk.say(Fact::Enumerated(seen));
            let_go(&mut walk);
            end_what_is_begun(&mut walk);
            let aborted = aborts && may_be_said(&walk, Fact::AbortAsked);
            if aborted {
                walk.say(Fact::AbortAsked);
            }
            let back = matches!(walk.state.phase(), Phase::RollingBack | Phase::RolledBack);
            let from = walk.said.len();
            until(&mut walk, State::ended);
            let end = if aborted || back { Phase::RolledBack } else { Phase::Done };
            assert_eq!((walk.state.phase(), walk.state.debt()), (end, None), "after {events} events");
            assert!(!begun(&walk, from, restarts), "after {events} events");
            let holds = if end == Phase::Done { Holds::New } else { Holds::Old };
            assert_eq!(walk.state.files()[1], holds, "after {events} events");
        }
    }
}

/// Three files; the second and the third are those of the consumer that has gone.
fn two_files() -> Plan {
    let mut plan = two();
    plan.files.push(HostId(0));
    plan.consumers[1].files = vec![FILE, FileId(2)];
    plan
}

#[test]
fn a_file_that_cannot_be_restored_holds_nothing_up_and_the_others_are_restored() {
    for foreign in [false, true] {
        let mut walk = Walk::of(two_files());
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        let_go(&mut walk);
        let restore = Op::Deliver(FILE, Which::Old);
        let fails = |op: &Op| !foreign && *op == restore;
        until_without(&mut walk, GONE, &fails, |state| {
            state.ended() || foreign && wants(state).contains(&Want::Do(restore.clone()))
        });
        if foreign {
            let intent = walk.begin(&restore);
            walk.end(intent, Outcome::Unknown);
            walk.say(Fact::Reconciled { intent, found: Reconciled::Foreign });
        }
        until(&mut walk, |state| state.phase() == Phase::RolledBack);
        let left = if foreign { Holds::Other } else { Holds::New };
        assert_eq!(walk.state.files()[1..], [left, Holds::Old]);
    }
}

#[test]
fn a_rollback_that_is_stuck_at_a_file_of_such_a_consumer_goes_on_and_tries_it_once_more() {
    let mut walk = Walk::of(two_files());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let restore = Op::Deliver(FILE, Which::Old);
    until(&mut walk, |state| wants(state).contains(&Want::Do(restore.clone())));
    let intent = walk.begin(&restore);
    walk.end(intent, Outcome::Unknown);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Foreign });
    until(&mut walk, |state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Foreign(FILE))));
    let from = walk.said.len();
    let_go(&mut walk);
    assert_eq!(walk.state.hold(), None);
    let mut again = walk.clone();
    until(&mut walk, State::ended);
    assert!(begun(&walk, from, |op| *op == restore));
    assert_eq!((walk.state.phase(), walk.state.files()[1]), (Phase::RolledBack, Holds::Old));
    // What was given up once is tried again whenever the operator says so.
    until_without(&mut again, GONE, &|op| *op == restore, |state| {
        state.units().iter().all(|unit| unit.stage == UnitStep::Settled)
    });
    let from = again.said.len();
    let_go(&mut again);
    until(&mut again, State::ended);
    assert!(begun(&again, from, |op| *op == restore));
}

/// Somebody writes the new value back into a file that a consumer which is there reads too.
#[test]
fn a_file_that_was_given_up_for_one_consumer_is_restored_for_another_one() {
    let mut plan = two();
    plan.consumers.push(plan.consumers[1].clone());
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let_go(&mut walk);
    let restore = Op::Deliver(FILE, Which::Old);
    until(&mut walk, |state| matches!(state.units()[2].stage, UnitStep::Proving(_)));
    let mut seen = without(&walk, GONE);
    seen.files[1] = (FILE, Holds::New);
    walk.say(Fact::Enumerated(seen));
    let from = walk.said.len();
    let is_back = |unit: &Unit| unit.stage == UnitStep::Settled && unit.toward == Which::Old;
    until_without(&mut walk, GONE, &|op| *op == restore, |state| state.units().iter().all(is_back));
    assert!(begun(&walk, from, |op| *op == restore), "it was not tried");
    assert_eq!(walk.state.files()[1], Holds::New, "it was not given up");
    until(&mut walk, State::ended);
    assert_eq!((walk.state.phase(), walk.state.files()[1]), (Phase::RolledBack, Holds::Old));
}

#[test]
fn forward_the_file_of_a_consumer_that_has_gone_still_counts() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Roll);
    let_go(&mut walk);
    let write = Op::Deliver(FILE, Which::New);
    until(&mut walk, |state| wants(state).contains(&Want::Do(write.clone())));
    let intent = walk.begin(&write);
    walk.end(intent, Outcome::Unknown);
    walk.say(Fact::Reconciled { intent, found: Reconciled::Foreign });
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Foreign(FILE))));
    walk.say(Fact::Waived(Waived::Gone(GONE)));
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Foreign(FILE))), "it would lose the edit");
    walk.say(Fact::Waived(Waived::File(FILE)));
    until(&mut walk, |state| state.phase() == Phase::Done);
}

#[test]
fn a_consumer_of_which_an_instance_runs_is_not_let_go() {
    const RUNS: Option<&str> = Some("an instance of it is running: waive or end that");
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    assert_eq!(refused(&walk, GONE), None, "no look was made yet");
    let (whole, mut partial, mut at_rest) = (walk.look(), walk.look(), walk.look());
    partial.complete = false;
    for it in at_rest.instances.iter_mut().filter(|it| it.consumer == Some(GONE)) {
        it.who.life = InstanceIdentity::AtRest(GONE);
    }
    for (seen, why) in [(whole, RUNS), (partial, None), (at_rest, None)] {
        let mut walk = walk.clone();
        walk.say(Fact::Enumerated(seen));
        assert_eq!(refused(&walk, GONE), why);
        // Another driver knows no more than that look; after a reboot it says nothing.
        walk.another_driver();
        assert_eq!(refused(&walk, GONE), why);
        let mut rebooted = walk.clone();
        (rebooted.at.boot, rebooted.at.epoch) = (2, rebooted.at.epoch + 1);
        rebooted.say(Fact::DriverStarted);
        assert_eq!(refused(&rebooted, GONE), None);
        // The operator did something about it.
        walk.say(Fact::PauseAsked);
        walk.say(Fact::Resumed);
        assert_eq!(refused(&walk, GONE), None);
    }
    let why = "the rotation has no such consumer";
    assert_eq!(refused(&walk, ConsumerId(9)), Some(why));
    walk.until(State::ended);
    assert_eq!(refused(&walk, GONE), Some("the rotation has ended"));
}

/// An instance of it runs, with the old version.
fn runs_again(walk: &Walk) -> Enumeration {
    let mut seen = walk.look();
    for it in seen.instances.iter_mut().filter(|it| it.consumer == Some(GONE)) {
        (it.old, it.new) = (Visibility::Yes, Visibility::No);
    }
    seen
}

#[test]
fn a_consumer_that_runs_again_is_moved_before_the_old_key_is_ended() {
    for phase in [Phase::Quiesce, Phase::Disable, Phase::Soak, Phase::Decide] {
        let mut walk = Walk::of(two());
        walk.until(|state| state.phase() == Phase::Roll);
        let_go(&mut walk);
        until(&mut walk, |state| state.phase() == phase);
        let mut incomplete = runs_again(&walk);
        incomplete.complete = false;
        walk.say(Fact::Enumerated(incomplete));
        assert_eq!(walk.state.gone_consumers(), [GONE], "an incomplete look shows nothing");
        let from = walk.said.len();
        walk.say(Fact::Enumerated(runs_again(&walk)));
        assert!(!walk.state.has_gone(GONE), "{phase:?}");
        // The old key is enabled before anything else, and it is not disabled again before the consumer has moved.
        assert!(matches!(walk.state.phase(), Phase::Quiesce | Phase::Roll), "{phase:?}");
        walk.until(|state| state.phase() == Phase::Done);
        let at = |wanted: Op| {
            let is_it = |event: &Event| event.fact == Fact::Intended(wanted.clone());
            walk.said[from..].iter().position(is_it)
        };
        let moved = at(Op::Apply(GONE, 0, Which::New)).unwrap();
        assert!(at(Op::Disable).is_some_and(|disabled| disabled > moved), "{phase:?}");
        assert!(at(Op::Revoke).is_some_and(|revoked| revoked > moved), "{phase:?}");
    }
}

#[test]
fn a_consumer_that_runs_again_during_a_rollback_is_restored() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let_go(&mut walk);
    until(&mut walk, |state| {
        state.units().iter().all(|unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled)
    });
    let mut seen = walk.look();
    for it in seen.instances.iter_mut().filter(|it| it.consumer == Some(GONE)) {
        (it.old, it.new) = (Visibility::No, Visibility::Yes);
    }
    let from = walk.said.len();
    walk.say(Fact::Enumerated(seen));
    walk.until(|state| state.phase() == Phase::RolledBack);
    assert!(begun(&walk, from, |op| *op == Op::Apply(GONE, 0, Which::Old)));
}

#[test]
fn a_look_from_before_a_waiver_after_the_point_of_no_return_does_not_count() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Roll);
    let_go(&mut walk);
    until(&mut walk, |state| wants(state).contains(&Want::Do(Op::Revoke)));
    let_go(&mut walk);
    assert_eq!(wants(&walk.state), [Want::Ask(Query::Enumerate)]);
    until(&mut walk, |state| state.phase() == Phase::Done);
}

#[test]
fn a_standing_consent_does_not_cover_a_consumer_that_is_let_go() {
    let asks =
        |state: &State| wants(state).iter().any(|want| matches!(want, Want::Person(Person::Consent(_))));
    let mut plan = two();
    plan.policy.standing_consent = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    let_go(&mut walk);
    until(&mut walk, |state| asks(state) || state.decided());
    assert!(!walk.state.decided());
}

fn hold_at(change: impl FnOnce(&mut Walk), hold: Hold) {
    let mut walk = Walk::of(two());
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    change(&mut walk);
    assert_eq!(walk.state.hold(), Some(hold));
    let_go(&mut walk);
    assert_eq!((walk.state.hold(), walk.state.intents().len()), (None, 0));
    until(&mut walk, |state| state.phase() == Phase::Done);
}

#[test]
fn what_the_rotation_is_held_at_is_released_where_it_is_about_that_consumer() {
    let restart = Op::Apply(GONE, 0, Which::New);
    // Its restart failed; then the file was restored alone, and it works with the old key.
    let fails = |walk: &mut Walk| {
        let intent = walk.begin(&restart);
        walk.end(intent, Outcome::Failed { retry: false });
        walk.until(|state| state.hold().is_some());
    };
    hold_at(fails, Hold::Paused(Reason::Unit(GONE)));
    // It does not.
    let fails_twice = |walk: &mut Walk| {
        let intent = walk.begin(&restart);
        walk.end(intent, Outcome::Failed { retry: false });
        until(walk, |state| state.hold().is_some());
    };
    hold_at(fails_twice, Hold::Stuck(Reason::Unit(GONE)));
    let edited = |walk: &mut Walk| {
        let intent = walk.begin(&restart);
        let edit = Difference { name: "api/mode".into(), digest: 7 };
        walk.end(intent, Outcome::Refused(vec![edit]));
    };
    hold_at(edited, Hold::Paused(Reason::Unaccepted(GONE)));
    let mut at = Walk::of(two());
    at.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    let unclear = |walk: &mut Walk| {
        let intent = walk.begin(&restart);
        walk.end(intent, Outcome::Unknown);
        walk.wait(60_000);
    };
    hold_at(unclear, Hold::Stuck(Reason::Unclear(at.state.seq() + 1)));
}

#[test]
fn a_hold_that_is_not_about_that_consumer_stays() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
    walk.say(Fact::PauseAsked);
    let_go(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Asked)));
    let mut walk = Walk::of(two());
    walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
    let intent = walk.begin(&Op::Apply(FIRST, 0, Which::New));
    walk.end(intent, Outcome::Failed { retry: false });
    walk.until(|state| state.hold().is_some());
    let_go(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(FIRST))));
}

#[test]
fn a_restart_that_was_under_way_fails_nobody() {
    let edit = Difference { name: "api/mode".into(), digest: 7 };
    for outcome in [
        Outcome::Failed { retry: false },
        Outcome::Unknown,
        Outcome::Refused(vec![edit]),
        Outcome::Done(None),
    ] {
        let mut walk = Walk::of(two());
        walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
        let intent = walk.begin(&Op::Apply(GONE, 0, Which::New));
        let_go(&mut walk);
        assert_eq!(walk.state.intents().len(), 1, "its answer may still come");
        walk.end(intent, outcome);
        assert_eq!((walk.state.hold(), walk.state.intents().len()), (None, 0));
        assert!(walk.state.units()[1].has_arrived());
        until(&mut walk, |state| state.phase() == Phase::Done);
    }
}

/// Its file is delivered as those of all; that shows nothing of the new key.
#[test]
fn without_a_pace_the_first_consumer_that_is_there_goes_alone() {
    let mut plan = two();
    plan.consumers.swap(0, 1);
    plan.consumers.push(plan.consumers[1].clone());
    plan.policy.parallel_max = 9;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    walk.say(Fact::Waived(Waived::Gone(FIRST)));
    until_without(&mut walk, FIRST, &nothing, |state| state.units()[0].stage == UnitStep::Settled);
    let moving = walk.state.units().iter().filter(|unit| unit.stage.is_moving()).count();
    assert_eq!(moving, 1);
}

fn paced(consumers: usize, pause_ms: u64) -> Plan {
    let mut plan = two();
    plan.consumers = vec![plan.consumers[0].clone(); consumers];
    let canary = Canary::Consumer;
    plan.policy.roll = Some(RollPolicy { canary, bake_ms: 5_000, ask: true, pause_ms, hosts_max: 9 });
    plan
}

#[test]
fn what_was_said_about_a_canary_that_is_let_go_does_not_count_for_the_next_one() {
    for answered in [false, true] {
        let mut walk = Walk::of(paced(3, 0));
        walk.until(|state| state.hold() == Some(Hold::Paused(Reason::Canary(FIRST))));
        if answered {
            walk.say(Fact::Resumed);
        }
        walk.say(Fact::Waived(Waived::Gone(FIRST)));
        assert_eq!((walk.state.hold(), canary(&walk.state)), (None, vec![GONE]));
        while walk.state.hold() != Some(Hold::Paused(Reason::Canary(GONE))) {
            assert_eq!(walk.state.units()[2].stage, UnitStep::Waiting, "nobody was asked about the canary");
            walk.go_on();
        }
    }
}

#[test]
fn where_everybody_has_gone_a_paced_roll_ends_and_whoever_comes_back_is_its_canary() {
    let mut walk = Walk::of(paced(1, 0));
    walk.until(|state| state.phase() == Phase::Probe);
    walk.say(Fact::Waived(Waived::Gone(FIRST)));
    until_without(&mut walk, FIRST, &nothing, |state| state.phase() == Phase::Quiesce);
    let mut back = walk.clone();
    until_without(&mut walk, FIRST, &nothing, |state| state.phase() == Phase::Done);
    back.say(Fact::Enumerated(back.look()));
    assert_eq!((back.state.has_gone(FIRST), back.state.phase()), (false, Phase::Roll));
    back.until(|state| state.hold().is_some() || state.phase() == Phase::Quiesce);
    assert_eq!(back.state.hold(), Some(Hold::Paused(Reason::Canary(FIRST))));
}

#[test]
fn the_file_of_a_consumer_that_has_gone_begins_no_pause() {
    let mut plan = paced(3, 60_000);
    plan.policy.roll = plan.policy.roll.map(|roll| RollPolicy { bake_ms: 0, ask: false, ..roll });
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].has_arrived());
    walk.say(Fact::Waived(Waived::Gone(GONE)));
    walk.wait(60_000);
    until_without(&mut walk, GONE, &nothing, |state| state.units()[1].has_arrived());
    assert!(walk.state.units()[2].stage.is_moving(), "{:?}", wants(&walk.state));
}

#[test]
fn another_consumer_that_failed_meanwhile_holds_the_rotation_next() {
    let mut plan = two();
    let pulls = Consumer { delivery: Delivery::Fetch, ..plan.consumers[1].clone() };
    plan.files.push(HostId(0));
    plan.consumers.push(Consumer { files: vec![FileId(2)], ..pulls.clone() });
    plan.consumers[1] = pulls;
    plan.policy.parallel_max = 2;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[2].stage == UnitStep::Delivering);
    let fetches = [GONE, ConsumerId(2)].map(|consumer| walk.begin(&Op::Fetch(consumer)));
    for intent in fetches {
        walk.end(intent, Outcome::Failed { retry: false });
    }
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(GONE))));
    let_go(&mut walk);
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(2)))));
}

#[test]
fn a_consumer_that_has_gone_fetches_only_what_is_in_its_files() {
    for (files, accepts, fetched) in
        [(vec![], false, false), (vec![FILE], false, true), (vec![FILE], true, false)]
    {
        let mut plan = two();
        plan.consumers[1] = Consumer { delivery: Delivery::Fetch, files, ..plan.consumers[1].clone() };
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Roll);
        let_go(&mut walk);
        if accepts {
            walk.say(Fact::Waived(Waived::File(FILE)));
        }
        until(&mut walk, |state| state.phase() == Phase::Done);
        assert_eq!(begun(&walk, 0, |op| *op == Op::Fetch(GONE)), fetched);
    }
}

#[test]
fn a_consumer_that_has_gone_and_whose_file_cannot_be_written_is_asked_about_by_the_policy() {
    for on_failure in [OnFailure::Pause, OnFailure::Rollback] {
        let mut plan = two();
        plan.policy.on_failure = on_failure;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Roll);
        let_go(&mut walk);
        let fails = |op: &Op| matches!(op, Op::Deliver(FILE, _));
        until_without(&mut walk, GONE, &fails, |state| state.hold().is_some() || state.ended());
        match on_failure {
            OnFailure::Pause => {
                assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(GONE))));
                // Its folder may be gone too: the rotation names the way past that.
                let step = [Next::Waive(Waived::File(FILE)), Next::Resume];
                assert!(way(&walk.state).unwrap().forward.iter().any(|one| one.then == step));
                walk.say(Fact::Waived(Waived::File(FILE)));
                walk.say(Fact::Resumed);
                until_without(&mut walk, GONE, &fails, State::ended);
                assert_eq!(walk.state.phase(), Phase::Done);
                assert_eq!(walk.state.files_left(), [FILE]);
            }
            OnFailure::Rollback => assert_eq!(walk.state.phase(), Phase::RolledBack),
        }
    }
}

/// A process of a consumer that was let go is seen as somebody else's.
#[test]
fn another_process_that_holds_the_old_value_blocks_as_before() {
    let mut walk = Walk::of(two());
    walk.until(|state| state.phase() == Phase::Roll);
    let_go(&mut walk);
    until(&mut walk, |state| state.phase() == Phase::Quiesce);
    let mut seen = without(&walk, GONE);
    let mut stray = seen.instances[0];
    (stray.who, stray.consumer, stray.old) = (who_of(GONE, 0), None, Visibility::Yes);
    seen.instances.push(stray);
    walk.say(Fact::Enumerated(seen));
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Holder(stray.who))));
}
