//! A rotation over many hosts.

use keyroll_rotation::{
    Blocker, ConsumerId, Event, Fact, InstanceIdentity, Phase, Query, State, Unit, Want, Which, blockers,
    step, wants,
};

use crate::fleet::{Fleet, fold, plan};

/// The entries of one consumer in Roll: two operations with their outcomes, and its evidence.
const ENTRIES_EACH: usize = 5;

#[test]
fn a_rotation_over_200_hosts_ends_with_every_consumer_moved() {
    let fleet = Fleet::rotated(200);
    assert_eq!((fleet.state.phase(), fleet.state.debt()), (Phase::Done, None));
    assert!(fleet.state.units().iter().all(Unit::has_arrived));
    let mut in_roll = 0;
    let again = fold(plan(200), &fleet.events, |before, _, _| {
        in_roll += usize::from(before.phase() == Phase::Roll);
    });
    assert_eq!(again, fleet.state);
    assert!((200 * ENTRIES_EACH..200 * ENTRIES_EACH + 10).contains(&in_roll), "{in_roll}");
}

#[test]
fn as_many_hosts_are_moved_at_once_as_the_plan_allows_one_wave_after_the_other() {
    let fleet = Fleet::rotated(300);
    let mut most = 0;
    fold(plan(300), &fleet.events, |_, _, state| {
        let moving = places(state, |unit| unit.stage.is_moving());
        most = most.max(moving.len());
        let wave = |at: &usize| state.plan().consumers[*at].wave;
        let open = places(state, |unit| !unit.has_arrived()).iter().map(wave).min();
        assert!(moving.iter().all(|at| Some(wave(at)) == open), "{moving:?} {open:?}");
    });
    assert_eq!(most, 64);
}

#[test]
fn a_step_of_the_roll_copies_few_of_many_units() {
    let fleet = Fleet::rotated(600);
    let mut rolled = 0;
    fold(plan(600), &fleet.events, |before, _, after| {
        if before.phase() != Phase::Roll || after.phase() != Phase::Roll {
            return;
        }
        rolled += 1;
        let pairs = before.units().iter().zip(after.units());
        let copied = pairs.filter(|(one, other)| !std::ptr::eq(*one, *other)).count();
        assert!(copied <= 300, "{copied} units of 600 were copied");
    });
    assert!(rolled >= 600 * ENTRIES_EACH - 10, "{rolled}");
}

#[test]
fn the_gate_names_the_consumers_of_many_that_a_look_does_not_prove() {
    let fleet = Fleet::rotated(200);
    let mut gate = None;
    fold(plan(200), &fleet.events, |before, event, _| {
        if let (Phase::Quiesce, Fact::Enumerated(seen)) = (before.phase(), &event.fact) {
            gate = Some((before.clone(), event.at, seen.clone()));
        }
    });
    let (before, at, mut seen) = gate.expect("a look in Quiesce");
    let restarted = &mut seen.instances[137].who;
    restarted.life = InstanceIdentity::Process { boot: 1, pid: 9, start_ticks: 9, program: 0 };
    let who = *restarted;
    seen.instances.remove(9);
    let (state, _) = step(&before, &Event { at, fact: Fact::Enumerated(seen) }).unwrap();
    let blocked = blockers(&state, state.look().unwrap(), Which::New);
    let (restarted, missing) = (ConsumerId(137), ConsumerId(9));
    assert_eq!(blocked, [Blocker::Unproven(restarted, who, 0), Blocker::Absent(missing)]);
    let wanted = wants(&state);
    assert_eq!(
        wanted,
        [Want::Ask(Query::Prove(restarted, None, Which::New)), Want::Ask(Query::Enumerate)],
        "{:?}",
        state.phase()
    );
}

/// The units for which this is so.
fn places(state: &State, is: impl Fn(&Unit) -> bool) -> Vec<usize> {
    state.units().iter().enumerate().filter(|(_, unit)| is(unit)).map(|(at, _)| at).collect()
}
