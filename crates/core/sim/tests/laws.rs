//! The laws of the protocol, with a fault at every action of calm rotations, for every kind of overlap. A run stops
//! with a violation if it breaks an invariant, does not end, or ends without exactly one live credential.

use keyroll_sim::{Fault, FaultPlan, Keep, Kind, Mutant, Planned, Quirks, Scene, Size, run};

fn at_every_action(fault: Fault) -> u32 {
    at_every_action_with(fault, Quirks::default())
}

fn at_every_action_with(fault: Fault, quirks: Quirks) -> u32 {
    let mut runs = 0;
    for kind in Kind::ALL {
        for draw in 0..3 {
            let scene = Scene { quirks, ..Scene::plain(Size::Reduced, kind, draw * 5 + 2) };
            let calm = FaultPlan { scene, seed: draw, faults: Vec::new(), policy: None };
            let baseline = run(&calm, &Mutant::NONE, Keep { classes: true, ..Keep::default() }, None);
            assert_eq!(baseline.violation, None);
            for (at, (phase, class)) in baseline.classes.iter().enumerate() {
                if !fault.fits(*class) {
                    continue;
                }
                let at = u32::try_from(at).unwrap();
                let plan = FaultPlan { faults: vec![Planned { at, fault }], ..calm.clone() };
                let report = run(&plan, &Mutant::NONE, Keep::default(), None);
                assert_eq!(
                    report.violation, None,
                    "{fault:?} at action {at} ({class:?} in {phase:?}), {scene:?}"
                );
                runs += 1;
            }
        }
    }
    runs
}

#[test]
fn a_crash_before_and_after_every_action_recovers() {
    assert!(at_every_action(Fault::CrashBefore) > 300);
    assert!(at_every_action(Fault::CrashAfter) > 300);
}

#[test]
fn a_crash_between_effect_and_entry_recovers() {
    assert!(at_every_action(Fault::CrashDuring) > 5);
}

#[test]
fn every_effect_twice_is_harmless() {
    // The answer is lost after the effect, or the effect comes late: either leads to one more Reconcile.
    assert!(at_every_action(Fault::LostReply) > 50);
    assert!(at_every_action(Fault::LateEffect) > 5);
    assert!(at_every_action(Fault::Duplicate) > 50);
}

#[test]
fn a_failure_at_every_effect_unwinds_or_is_finished_by_a_person() {
    assert!(at_every_action(Fault::Failed) > 50);
    assert!(at_every_action(Fault::FailedForGood) > 50);
}

#[test]
fn an_abort_at_any_moment_leads_back_or_is_refused() {
    assert!(at_every_action(Fault::Abort) > 300);
}

#[test]
fn a_paced_roll_goes_on_after_a_crash_a_pause_or_a_restart_at_any_moment() {
    let paced = |fault| at_every_action_with(fault, Quirks::staged());
    assert!(paced(Fault::CrashAfter) > 300);
    assert!(paced(Fault::Pause) > 300);
    assert!(paced(Fault::Restart) > 300);
}

#[test]
fn a_unit_of_a_paced_roll_that_fails_is_rolled_back_alone_or_with_all_others() {
    let paced = |fault| at_every_action_with(fault, Quirks::staged());
    assert!(paced(Fault::FailedForGood) > 50);
    assert!(paced(Fault::Trouble) > 300);
}

#[test]
fn whatever_another_party_does_at_the_source_of_truth_the_rotation_ends() {
    let with_a_source = |fault| at_every_action_with(fault, Quirks::truth());
    assert!(with_a_source(Fault::TruthChanged) > 300);
    assert!(with_a_source(Fault::TruthAway) > 300);
}

#[test]
fn an_effect_at_the_source_of_truth_that_is_lost_or_cut_short_is_found() {
    let with_a_source = |fault| at_every_action_with(fault, Quirks::truth());
    assert!(with_a_source(Fault::LostReply) > 20);
    assert!(with_a_source(Fault::CrashAfter) > 300);
}

#[test]
fn whenever_a_host_goes_away_or_is_waived_the_rotation_ends() {
    let from_hosts = |fault| at_every_action_with(fault, Quirks::away());
    assert!(from_hosts(Fault::HostAway) > 300);
    assert!(from_hosts(Fault::HostWaived) > 300);
}

#[test]
fn a_rotation_over_pods_goes_on_after_a_crash_or_a_restart_at_any_moment() {
    let over_pods = |fault| at_every_action_with(fault, Quirks::pods());
    assert!(over_pods(Fault::CrashAfter) > 300);
    assert!(over_pods(Fault::Restart) > 300);
    let scene = Scene { quirks: Quirks::pods(), ..Scene::plain(Size::Full, Kind::Independent, 1) };
    let plan = FaultPlan { scene, seed: 1, faults: Vec::new(), policy: None };
    let report = run(&plan, &Mutant::NONE, Keep { log: true, ..Keep::default() }, None);
    assert_eq!(report.violation, None);
    for life in ["Container { pod: ", "Process { boot: "] {
        assert!(report.log.iter().any(|line| line.contains(life)), "no look showed a {life}");
    }
}

#[test]
fn a_waiver_that_outlasts_its_host_is_found_by_the_key_that_ends_and_by_the_rotation_that_stands_still() {
    let stands = keyroll_sim::MUTANTS.iter().find(|it| it.name == "waiver outlasts absence").unwrap();
    let broken = |seed| run(&FaultPlan::of(seed), stands, Keep::default(), None).violation;
    let rules: Vec<_> = (1_600..4_000).filter_map(broken).map(|violation| violation.rule).collect();
    assert!(rules.contains(&"I7"));
    assert!(rules.iter().any(|rule| ["I1", "I4"].contains(rule)), "{rules:?}");
}
