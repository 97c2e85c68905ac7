//! An answer that comes late shows what was true when it was asked for.

use keyroll_sim::{Class, Fault, FaultPlan, Keep, Mutant, Planned, Scene, Size, run};

/// Every schedule in which one answer to this look comes late. Returns how many there were.
fn slowed(look: u8) -> usize {
    let mut slow = 0;
    let keep = Keep { classes: true, ..Keep::default() };
    for seed in 0..400 {
        let scene = Scene { size: Size::Reduced, recovery: false, ..Scene::of(seed) };
        let mut plan = FaultPlan { scene, seed, faults: Vec::new(), policy: None };
        let calm = run(&plan, &Mutant::NONE, keep, None);
        let asked = (0..).zip(&calm.classes).filter(|(_, (_, class))| *class == Class::Look(look));
        for (at, _) in asked.take(4) {
            plan.faults = vec![Planned { at, fault: Fault::Slow }];
            let report = run(&plan, &Mutant::NONE, Keep::default(), None);
            assert_eq!(report.violation, None, "seed {seed}, action {at}");
            slow += 1;
        }
    }
    slow
}

#[test]
fn a_late_answer_about_refused_uses_shows_when_it_was_asked_for() {
    assert!(slowed(7) > 100);
}
