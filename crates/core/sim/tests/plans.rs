//! Fault plans that once broke the protocol are replayed for ever.

use keyroll_rotation::{MintedBy, Overlap};
use keyroll_sim::{Fault, FaultPlan, Keep, Mutant, Planned, run};

#[test]
fn kept_plans_break_nothing() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan: FaultPlan = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let report = run(&plan, &Mutant::NONE, Keep::default(), None);
        assert_eq!(report.violation, None, "{}", path.display());
        replayed += 1;
    }
    assert!(replayed > 10, "the kept plans are gone");
}

#[test]
fn a_seed_is_the_same_run_twice() {
    for seed in 0..40 {
        let plan = FaultPlan::of(seed);
        let one = run(&plan, &Mutant::NONE, Keep::default(), None);
        let two = run(&plan, &Mutant::NONE, Keep::default(), None);
        assert_eq!((one.trace, one.steps, one.phase), (two.trace, two.steps, two.phase));
    }
}

#[test]
fn a_lost_mint_without_labels_is_found_by_comparing_lists() {
    let scenes = (0..4_000).map(FaultPlan::of).filter(|plan| {
        let plan = plan.scene.plan();
        let can = &plan.capabilities;
        let beside = matches!(can.overlap, Overlap::Independent { .. });
        can.minted_by == MintedBy::Us && beside && can.list && !can.label && !plan.recovery
    });
    let mut found = 0;
    for mut plan in scenes {
        // One of the first actions carries out the mint.
        for at in 0..20 {
            plan.faults = vec![Planned { at, fault: Fault::LostReply }];
            let report = run(&plan, &Mutant::NONE, Keep { log: true, ..Keep::default() }, None);
            assert_eq!(report.violation, None, "seed {}, action {at}", plan.seed);
            found += report.log.iter().filter(|line| line.contains("Executed(Some(")).count();
        }
    }
    assert!(found > 20, "only {found} lost mints were found");
}
