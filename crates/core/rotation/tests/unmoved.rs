//! The way back asks nothing of a consumer, and nothing of a file, that the new version never reached.

use keyroll_rotation::{
    Consumer, ConsumerId, Fact, FileId, Holds, HostId, Op, Outcome, Phase, Query, Want, Which, wants,
};

use crate::walk::{self, Walk};

/// Aborted while the first of two consumers proves the new version; the second was not begun.
fn aborted() -> Walk {
    let mut plan = walk::plan();
    plan.files.push(HostId(0));
    let verb = plan.consumers[0].clone();
    plan.consumers[1] = Consumer { files: vec![FileId(1)], ..verb.clone() };
    plan.consumers.push(Consumer { files: vec![FileId(2)], ..verb });
    let mut walk = Walk::of(plan);
    walk.until(|state| state.units()[0].stage.is_moving() && state.phase() == Phase::Roll);
    walk.until(|state| wants(state).contains(&Want::Ask(Query::Prove(ConsumerId(0), Some(0), Which::New))));
    walk.say(Fact::AbortAsked);
    walk
}

/// Everything is answered, except that the consumers 1 and 2 have no process, and prove nothing.
fn until_the_end(walk: &mut Walk, also: impl Fn(&mut keyroll_rotation::Enumeration)) {
    for _ in 0..200 {
        if walk.state.ended() || walk.state.hold().is_some() {
            return;
        }
        let asks = wants(&walk.state);
        if asks.contains(&Want::Ask(Query::Enumerate)) {
            let mut seen = walk.look();
            seen.instances.retain(|instance| instance.consumer == Some(ConsumerId(0)));
            also(&mut seen);
            walk.say(Fact::Enumerated(seen));
        } else {
            let unasked = |query: &Query| matches!(query, Query::Prove(id, ..) if *id != ConsumerId(0));
            let asked = asks.iter().any(|want| matches!(want, Want::Ask(query) if unasked(query)));
            assert!(!asked, "it asks a consumer that was never moved: {asks:?}");
            walk.go_on();
        }
    }
}

#[test]
fn a_consumer_that_was_never_moved_is_asked_for_nothing_on_the_way_back() {
    let mut walk = aborted();
    until_the_end(&mut walk, |_| {});
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RolledBack, None));
}

#[test]
fn a_file_that_never_had_the_new_version_is_left_as_it_is() {
    let mut walk = aborted();
    until_the_end(&mut walk, |seen| {
        seen.files
            .iter_mut()
            .filter(|(file, _)| *file == FileId(1))
            .for_each(|(_, holds)| *holds = Holds::Other);
    });
    assert_eq!((walk.state.phase(), walk.state.hold()), (Phase::RolledBack, None));
    let wrote = |op: &Op| matches!(op, Op::Deliver(FileId(1 | 2), _));
    assert!(!walk.said.iter().any(|event| matches!(&event.fact, Fact::Intended(op) if wrote(op))));
}

/// A write whose outcome is unknown may have been carried out; one that failed was not.
#[test]
fn a_write_that_may_have_been_carried_out_counts() {
    for (outcome, back) in [(Outcome::Failed { retry: false }, true), (Outcome::Unknown, false)] {
        let mut plan = walk::plan();
        plan.policy.on_failure = keyroll_rotation::OnFailure::Rollback;
        let mut walk = Walk::of(plan);
        walk.until(|state| wants(state).contains(&Want::Do(Op::Deliver(FileId(0), Which::New))));
        let write = walk.begin(&Op::Deliver(FileId(0), Which::New));
        walk.end(write, outcome);
        if walk.state.phase() != Phase::RollingBack {
            walk.say(Fact::AbortAsked);
        }
        for _ in 0..200 {
            if walk.state.ended() || walk.state.hold().is_some() {
                break;
            }
            if wants(&walk.state).contains(&Want::Ask(Query::Enumerate)) {
                let mut seen = walk.look();
                let first = |(file, _): &&mut (FileId, Holds)| *file == FileId(0);
                seen.files.iter_mut().filter(first).for_each(|(_, holds)| *holds = Holds::Other);
                walk.say(Fact::Enumerated(seen));
            } else {
                walk.go_on();
            }
        }
        assert_eq!(walk.state.phase() == Phase::RolledBack, back, "{:?}", walk.state.hold());
    }
}
