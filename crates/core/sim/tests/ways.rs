//! From every state that a fault leads to, what the rotation names ends it.

use keyroll_sim::{
    Direction, Fault, FaultPlan, Keep, Kind, MUTANTS, Mutant, Planned, Policy, Quirks, Scene, Size, find, run,
};

/// One of so many actions has the fault.
const EVERY: usize = 7;

/// The fault at some actions of calm rotations, for every kind of overlap; then an operator who does what is named. Returns how
/// many schedules there were.
fn helped(fault: Fault, quirks: Quirks) -> usize {
    let mut runs = 0;
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let scene = Scene { quirks, ..Scene::plain(Size::Reduced, kind, 5 * number as u64 + 2) };
        let calm = FaultPlan { scene, seed: 1, faults: Vec::new(), policy: None };
        let classes = run(&calm, &Mutant::NONE, Keep { classes: true, ..Keep::default() }, None).classes;
        for (at, (phase, class)) in classes.iter().enumerate().skip(number).step_by(EVERY) {
            if !fault.fits(*class) {
                continue;
            }
            let from_action = u32::try_from(at).unwrap();
            for way in Direction::ALL {
                let faults = vec![Planned { at: from_action, fault }];
                let policy = Some(Policy { way, from_action });
                let report =
                    run(&FaultPlan { scene, seed: 1, faults, policy }, &Mutant::NONE, Keep::default(), None);
                assert_eq!(report.violation, None, "{fault:?} at {at} in {phase:?}, {way:?}, {scene:?}");
                runs += 1;
            }
        }
    }
    runs
}

#[test]
fn whatever_lasts_is_ended_by_what_the_rotation_names() {
    for fault in Fault::LASTING {
        assert!(helped(fault, Quirks::default()) > 50, "{fault:?}");
    }
}

#[test]
fn a_host_that_is_gone_is_named_wherever_the_rotation_waits_for_it() {
    for quirks in [Quirks::away(), Quirks::links()] {
        assert!(helped(Fault::HostGone, quirks) > 50);
    }
}

#[test]
fn a_rotation_that_is_held_anywhere_ends_by_what_it_names() {
    for fault in [Fault::Pause, Fault::Holder, Fault::Stranger, Fault::ForeignEdit, Fault::Edit] {
        assert!(helped(fault, Quirks::default()) > 50, "{fault:?}");
    }
}

#[test]
fn a_mutant_of_what_an_operator_can_do_is_found_by_a_rule_that_it_is_for() {
    let mutants = || MUTANTS.iter().filter(|mutant| !mutant.rules.is_empty());
    assert!(mutants().count() > 10);
    let lost = mutants().filter_map(|mutant| find(mutant).is_none().then_some(mutant.name));
    let lost: Vec<&str> = lost.collect();
    assert!(lost.is_empty(), "not found: {lost:?}");
}
