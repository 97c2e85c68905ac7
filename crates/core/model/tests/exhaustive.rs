//! Every state that two drivers and two instances can reach.

use stateright::{Checker, Model};

use crate::guard::Guards;
use crate::model::{Graph, Rotation};
use crate::state::Once;

/// A crash of each driver, and one disturbance of each kind.
fn singles() -> Vec<Vec<Once>> {
    Once::ALL.iter().map(|once| vec![Once::CrashFirst, Once::CrashSecond, *once]).collect()
}

/// Each pair of disturbances, and a crash of the first driver.
fn pairs() -> Vec<Vec<Once>> {
    let all = Once::ALL.iter().enumerate();
    all.flat_map(|(at, one)| Once::ALL[at + 1..].iter().map(|two| vec![Once::CrashFirst, *one, *two]))
        .collect()
}

fn holds(sets: &[Vec<Once>]) {
    let sets: Vec<&[Once]> = sets.iter().map(Vec::as_slice).collect();
    let checker = Rotation::disturbed_by(Guards::ON, &sets).checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    let broken = checker.discoveries().into_iter().map(|(name, path)| (name, path.into_actions())).next();
    assert_eq!(broken, None);
}

#[test]
fn one_disturbance_and_a_crash_of_each_driver_break_nothing() {
    holds(&singles());
}

#[test]
fn two_disturbances_and_a_crash_break_nothing() {
    holds(&pairs());
}

#[test]
fn every_rotation_can_end_and_no_key_stays_disabled_during_a_hold() {
    let mut states = 0;
    let undriven = pairs().into_iter().map(|set| set[1..].to_vec());
    for set in singles().into_iter().chain(undriven) {
        let graph = Graph::of(&Rotation::disturbed_by(Guards::ON, &[&set]));
        states += graph.states();
        assert_eq!(graph.endless(), None, "{set:?}");
        assert_eq!(graph.left_disabled(), None, "{set:?}");
    }
    println!("{states} states");
}
