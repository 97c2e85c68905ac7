//! Fault plans that broke the protocol once are replayed for ever.

use keyroll_sim::{FaultPlan, Keep, Mutant, run};

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
