//! What is shown of a rollback: why it began, what blocks it, and what it waits for.

use keyroll_codes::Code;
use keyroll_host::{LOCAL, incarnation};
use keyroll_port::{Class, Described, Failure, Named};
use keyroll_rotation::{
    Awaited, Blocker, Consumer, ConsumerId, Delivery, Enumeration, Fact, FileId, Hold, Holds, HostId,
    Incarnation, InstanceIdentity, ObservedInstance, OnFailure, Op, Outcome, Outside, Phase, Query, Reason,
    ReloadMode, SessionSeen, State, Unit, UnitStep, Visibility, Waived, Want, Which, digest_of_life, waiting,
    wants, ways_past,
};

use super::cause::{self, Observations};
use super::next_words::{fitted, outside, said as sentence};
use super::plan_names::Called;
use super::recorded::of_walk;
use super::walk::{self, Walk};
use super::ways::ways;
use super::{blockers, reasons, waiting as shown};

/// The processes of the last two slots, which are not moved.
const UNMOVED: [u32; 2] = [900, 901];

#[test]
fn the_reason_of_a_rollback_stays_beside_what_keeps_it_from_its_end() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until_the_first_is_stuck();
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(ConsumerId(0)))));
    let said = cause::of(&of_walk(&walk), &Called::default()).unwrap();
    let (why, now) = said.split_once("; now ").unwrap();
    assert!(why.starts_with("the operator asked for it"), "{said}");
    assert!(now.starts_with("consumer 0 did not load the old key"), "{said}");
    walk.say(Fact::Retried);
    let said = cause::of(&of_walk(&walk), &Called::default()).unwrap();
    assert_eq!(said, why);
}

/// The page of a bad night promises what was observed. Red: the answer of the issuer was left out.
#[test]
fn a_key_that_could_not_be_made_is_told_with_the_answer_of_the_issuer() {
    let mut plan = walk::plan();
    plan.policy.on_failure = OnFailure::Rollback;
    let mut walk = Walk::of(plan);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Mint)));
    let intent = walk.begin(&Op::Mint);
    walk.end(intent, Outcome::Failed { retry: false });
    assert!(matches!(walk.state.phase(), Phase::RollingBack | Phase::RolledBack));
    let mut called = Called::of_rotation("0192", "acme");
    let bare = cause::of(&of_walk(&walk), &called).unwrap();
    assert!(bare.starts_with("the new key could not be made, at "), "{bare}");
    let failure = Failure::new(Class::Retryable, Code::RequestFailed, "mint a key").because("status 500");
    called.learn([Named::of_failure("0192", Phase::Mint, &failure)]);
    let said = cause::of(&of_walk(&walk), &called).unwrap();
    let why = "the new key could not be made: could not mint a key (K0105): status 500, at ";
    assert!(said.starts_with(why), "{said}");
}

/// Its file system is read-only: nothing but the same command was named, which writes it again and again.
#[test]
fn a_copy_that_a_rollback_could_not_write_may_be_accepted_as_it_stands() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    let write = Op::Deliver(FileId(0), Which::Old);
    walk.until(|state| wants(state).contains(&Want::Do(write.clone())));
    let intent = walk.begin(&write);
    walk.end(intent, Outcome::Failed { retry: false });
    walk.until(|state| state.hold().is_some());
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Unit(ConsumerId(0)))));
    assert_eq!(walk.state.files()[0], Holds::New);
    let called = Called::of_rotation("0192", "acme");
    let accept = "keyroll consumer accept-file 'file 0' --reason WHY";
    let next = ways(&called, &walk.state, false, false).unwrap().next;
    assert!(next.contains(accept), "{next}");
    let copy = ways_past(&walk.state, Blocker::File(FileId(0), Holds::New));
    assert!(sentence(&called, &walk.state, &copy).contains(accept), "{copy:?}");
    // Whatever reads it uses the key that ends: keyroll does not write it any more.
    let warned = format!("{accept} (only if nothing reads it: it keeps the new key, which ends)");
    assert!(next.contains(&warned), "{next}");
    walk.say(Fact::Waived(Waived::File(FileId(0))));
    let said = outside(&called, &walk.state, Outside::MendFile(FileId(0)));
    assert_eq!(
        said,
        "write the old value into file 0 by hand (keyroll does not: it was accepted as it stands)"
    );
}

/// A look that shows two more instances of the first consumer.
fn look(walk: &Walk) -> Enumeration {
    let mut seen = walk.look();
    for (pid, slot) in UNMOVED.into_iter().zip(1..) {
        let mut one = seen.instances[0];
        one.who.life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 7, program: 0 };
        (one.slot, one.old, one.new) = (slot, Visibility::Yes, Visibility::No);
        seen.instances.push(one);
    }
    seen
}

fn names_the_unmoved(state: &State) -> bool {
    let shown = blockers::all(&Called::default(), state);
    shown.iter().any(|one| one.pid.is_some_and(|pid| UNMOVED.contains(&pid)))
}

#[test]
fn an_instance_that_was_not_moved_is_no_unproven_path_before_it_was_asked() {
    let mut plan = walk::plan();
    plan.consumers[0].slots = 3;
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(0)));
    walk.say(Fact::AbortAsked);
    let back = |unit: &Unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled;
    let all = Want::Ask(Query::Prove(ConsumerId(0), None, Which::Old));
    while !wants(&walk.state).contains(&all) {
        if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
            let seen = look(&walk);
            walk.say(Fact::Enumerated(seen));
        } else {
            walk.go_on();
        }
        assert!(!names_the_unmoved(&walk.state), "{:?}", walk.state.units()[0].stage);
    }
    assert!(walk.state.units().iter().all(back));
    // Nobody got an answer from them in all the time.
    walk.wait(100_000);
    assert_eq!(walk.state.hold(), Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack))));
    assert!(names_the_unmoved(&walk.state));
    let called = Called::of_rotation("0192", "acme");
    let next = ways(&called, &walk.state, false, true).unwrap().next;
    assert_eq!(next, "move what blocks it, then keyroll retry 0192");
    let shown = blockers::all(&called, &walk.state);
    assert!(shown.iter().all(|one| !one.how_to_move.contains("keyroll resume")), "it is stuck: {shown:?}");
}

/// The processes of old sessions are gone; the test's own process has three, and three are of nobody that was found.
#[test]
fn a_session_of_a_process_that_is_gone_is_not_shown_and_each_other_holder_of_sessions_is_shown_once() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
    let own = keyroll_observe::process(std::process::id()).unwrap().id;
    let gone = keyroll_observe::ProcessId { start_ticks: own.start_ticks + 1, ..own };
    let [own, gone] = [own, gone].map(|id| incarnation(LOCAL, &id));
    let mut seen = walk.look();
    let whose = [Some(gone), Some(own), None].into_iter().cycle().take(9);
    seen.sessions = Some(whose.map(|who| SessionSeen { who, busy: false }).collect());
    // It also held the new key itself.
    seen.instances.push(ObservedInstance { who: gone, consumer: None, ..seen.instances[0] });
    let at = seen.instances.len() - 1;
    (seen.instances[at].old, seen.instances[at].new) = (Visibility::No, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    let shown = blockers::all(&Called::default(), &walk.state);
    let sessions: Vec<_> = shown.iter().filter(|one| one.kind == "session").map(|one| one.pid).collect();
    assert_eq!(sessions, [Some(std::process::id()), None], "{shown:?}");
    assert!(shown.iter().all(|one| one.kind != "undeclared process"), "{shown:?}");
}

/// The look that showed it is older than its end, and nobody answers a request to it.
#[test]
fn a_process_that_has_ended_is_sent_no_request() {
    let mut plan = walk::plan();
    plan.consumers[0].attributable = true;
    let mut walk = Walk::of(plan);
    walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(0)));
    walk.say(Fact::AbortAsked);
    let own = keyroll_observe::process(std::process::id()).unwrap().id;
    let ended = keyroll_observe::ProcessId { start_ticks: own.start_ticks + 1, ..own };
    let said = |id| {
        let shows = Outside::ShowProof(ConsumerId(0), incarnation(LOCAL, &id), 0);
        outside(&Called::default(), &walk.state, shows)
    };
    assert!(said(own).starts_with("send process ") && !said(own).contains("has ended"), "{}", said(own));
    assert!(said(ended).ends_with(" has ended: see that consumer 0 runs"), "{}", said(ended));
    assert!(!said(ended).contains("request"), "{}", said(ended));
}

/// A rollback in which the second consumer reads the store again by itself.
fn back_with_a_reader() -> Walk {
    let mut plan = walk::plan();
    let follower = plan.consumers[1].clone();
    plan.consumers[1] = Consumer { delivery: Delivery::Follow, files: Vec::new(), ..follower };
    plan.files.truncate(1);
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk
}

fn names_the_reader(state: &State) -> bool {
    let all = blockers::all(&Called::default(), state);
    all.iter().any(|one| one.name.contains("consumer 1"))
}

#[test]
fn a_waived_program_that_reads_the_store_again_is_shown_as_waiting_for_the_time() {
    let mut walk = back_with_a_reader();
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Enumerate)));
    let mut seen = walk.look();
    (seen.instances[1].old, seen.instances[1].new) = (Visibility::Yes, Visibility::Yes);
    walk.say(Fact::Enumerated(seen));
    assert!(names_the_reader(&walk.state));
    walk.say(Fact::Waived(Waived::NotVisible(ConsumerId(1))));
    assert!(!names_the_reader(&walk.state), "the waiver was given already");
    let wait = waiting(&walk.state).unwrap();
    assert_eq!(wait.what, Awaited::Unit(ConsumerId(1), UnitStep::Proving(0)));
    let said = shown::what(&Observations::default(), &Called::default(), &walk.state, &wait.what);
    assert!(said.contains("only the time shows"), "{said}");
    assert!(shown::left_ms(&walk.state, &wait).is_some_and(|ms| ms > 0));
}

/// The first process has shown the old version at once; the other one still has its time.
#[test]
fn another_process_of_a_waived_program_is_no_blocker_before_its_time_is_over() {
    let mut walk = back_with_a_reader();
    let back = |unit: &Unit| unit.toward == Which::Old && unit.stage == UnitStep::Settled;
    walk.until(|state| state.units().iter().all(back) && wants(state).contains(&Want::Ask(Query::Enumerate)));
    walk.say(Fact::Waived(Waived::NotVisible(ConsumerId(1))));
    let look = |walk: &Walk, old| {
        let mut seen = walk.look();
        let mut one = seen.instances[1];
        one.who.life = InstanceIdentity::Process { boot: 1, pid: UNMOVED[0], start_ticks: 7, program: 0 };
        (one.old, one.new) = (old, Visibility::Yes);
        seen.instances.push(one);
        Fact::Enumerated(seen)
    };
    let both = look(&walk, Visibility::Yes);
    walk.say(both);
    assert!(!names_the_reader(&walk.state), "the waiver was given already");
    walk.wait(10_000);
    assert!(!names_the_reader(&walk.state));
    // Nothing shows that it has read the old version: only a person gets it there.
    let new_alone = look(&walk, Visibility::NotVisible);
    walk.say(new_alone);
    assert!(names_the_reader(&walk.state));
}

/// The next command where a Promote met another party's value, and the rotation's state.
fn beside_theirs(before: Option<Outcome>) -> Walk {
    let mut plan = walk::plan();
    plan.policy.on_failure = OnFailure::Pause;
    let follower = plan.consumers[1].clone();
    plan.consumers[1] =
        Consumer { delivery: Delivery::Follow, uptake: ReloadMode::Verb, files: Vec::new(), ..follower };
    plan.files.truncate(1);
    let mut walk = Walk::of(plan);
    for outcome in before.into_iter().chain([Outcome::ChangedElsewhere]) {
        walk.until(|state| wants(state).contains(&Want::Do(Op::Promote)));
        let intent = walk.begin(&Op::Promote);
        walk.end(intent, outcome);
    }
    walk
}

fn command(walk: &Walk) -> String {
    ways(&Called::of_rotation("0192", "acme"), &walk.state, false, false).unwrap().next
}

#[test]
fn beside_another_partys_value_only_a_rollback_that_can_end_is_offered() {
    let walk = beside_theirs(None);
    let said = command(&walk);
    assert!(said.contains("or keyroll abort 0192, which leaves the store as it is"), "{said}");
    let mut walk = beside_theirs(Some(Outcome::Failed { retry: true }));
    let said = command(&walk);
    assert!(said.contains("keyroll abort 0192, which needs the same"), "{said}");
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).contains(&Want::Do(Op::Demote)));
    let intent = walk.begin(&Op::Demote);
    walk.end(intent, Outcome::ChangedElsewhere);
    let said = command(&walk);
    assert!(said.contains("give out the old") && said.contains("then keyroll retry 0192"), "{said}");
    assert!(!said.contains("abort"), "{said}");
}

/// An operator who read that its copy cannot be read would restore the old line by hand.
#[test]
fn a_host_that_is_away_is_one_blocker_and_nothing_there_is_called_wrong() {
    let mut plan = walk::plan();
    plan.consumers[1].host = HostId(1);
    let there = plan.consumers[1].files.clone();
    there.iter().for_each(|file| plan.files[file.index()] = HostId(1));
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Quiesce);
    let called = Called::of_hosts(&["local", "web-2"]);
    let mut seen = walk.look();
    seen.complete = false;
    seen.instances.retain(|one| one.consumer != Some(ConsumerId(1)));
    let files = seen.files.iter_mut().filter(|(file, _)| there.contains(file));
    files.for_each(|(_, holds)| *holds = Holds::Unreadable);
    walk.say(Fact::Enumerated(seen));
    let shown = blockers::all(&called, &walk.state);
    let [away] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((away.kind, away.host.as_deref()), ("host that is away", Some("web-2")));
    assert!(away.how_to_move.starts_with("keyroll hosts check web-2"), "{}", away.how_to_move);
}

#[test]
fn a_pod_is_named_with_its_cluster_and_waived_by_its_name() {
    let mut walk = Walk::of(walk::plan());
    walk.until(|state| state.phase() == Phase::Quiesce);
    let who = |pod| Incarnation { host: HostId(1), life: InstanceIdentity::Container { pod, run: 3 } };
    let mut called = Called::of_hosts(&["local", "prod"]);
    let described = Described {
        name: "pod/agent-6d5f-x2x1z/app on prod".to_owned(),
        found_by: "it takes the key `token` of Secret agent".to_owned(),
    };
    called.learn([Named { digest: digest_of_life(who(7)), name: described.text() }]);
    let waive = "keyroll consumer waive prod:pod/agent-6d5f-x2x1z/app --reason WHY";
    let shown = blockers::unexplained(&called, who(7), &walk.state);
    assert_eq!((shown.kind, shown.name.as_str()), ("undeclared pod", "pod/agent-6d5f-x2x1z/app on prod"));
    assert_eq!((shown.host.as_deref(), shown.pid), (Some("prod"), None));
    let or_else = shown.or_else.unwrap();
    assert_eq!(shown.found_by, described.found_by);
    assert!(or_else.starts_with(&format!("{waive}, then ")), "{or_else}");
    assert!(or_else.contains("keyroll init --host prod"), "{or_else}");
    let said = reasons::reason_text(&called, &walk.state, Reason::Holder(who(7)));
    assert_eq!(
        said,
        "pod/agent-6d5f-x2x1z/app on prod is not a declared consumer and still uses the old key"
    );
    let out = |state: &State, pod| {
        let steps = fitted(&called, state, ways_past(state, Blocker::Holder(who(pod))));
        sentence(&called, state, &steps)
    };
    let all = out(&walk.state, 7);
    assert!(
        all.contains("keyroll init --host prod") && all.contains(&format!(", or {waive}; then ")),
        "{all}"
    );
    // Nothing that is not known stands in a command.
    let nameless = blockers::unexplained(&called, who(8), &walk.state);
    assert_eq!(nameless.name, "a pod on prod");
    let all = out(&walk.state, 8);
    assert!(!all.contains("waive"), "{all}");
    walk.say(Fact::AbortAsked);
    let back = blockers::unexplained(&called, who(7), &walk.state);
    assert!(back.how_to_move.contains("takes the old key"), "{}", back.how_to_move);
}
