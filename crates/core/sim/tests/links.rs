//! Links to hosts that fail with orders in them, and hosts that are put back from snapshots.

use keyroll_sim::{Class, Fault, FaultPlan, Keep, Kind, Mutant, Planned, Quirks, Report, Scene, Size, run};

/// A rotation over links in which nothing goes wrong yet.
fn calm(kind: Kind, draw: u64) -> FaultPlan {
    let scene = Scene { quirks: Quirks::links(), ..Scene::plain(Size::Reduced, kind, draw) };
    FaultPlan { scene, seed: draw, faults: Vec::new(), policy: None }
}

/// The schedule with this fault at this action; it breaks no invariant.
fn with(plan: &FaultPlan, at: u32, fault: Fault) -> Report {
    let plan = FaultPlan { faults: vec![Planned { at, fault }], ..plan.clone() };
    let report = run(&plan, &Mutant::NONE, Keep { log: true, ..Keep::default() }, None);
    assert_eq!(report.violation, None, "{:?} draw {}, {fault:?} at {at}", plan.scene.kind, plan.seed);
    report
}

#[test]
fn an_order_that_comes_late_or_twice_is_refused_or_comes_in_its_time_for_the_first_time() {
    const FAULTS: [Fault; 3] = [Fault::OrderTwice, Fault::OrderLate, Fault::OrderOfDead];
    let (mut refused, mut carried) = ([0; FAULTS.len()], 0);
    for plan in (0..12).map(|draw| calm(Kind::Independent, draw)) {
        let keep = Keep { classes: true, ..Keep::default() };
        let classes = run(&plan, &Mutant::NONE, keep, None).classes;
        let on_hosts = (0..).zip(&classes).filter(|(_, (_, class))| matches!(class, Class::Carry(3..=5)));
        for (at, _) in on_hosts {
            for (fault, refused) in FAULTS.into_iter().zip(&mut refused) {
                let log = with(&plan, at, fault).log;
                let arrives = |says: &str| {
                    log.iter().filter(|line| line.contains("an order arrives") && line.contains(says)).count()
                };
                *refused += arrives("refused: true");
                carried += arrives("refused: false");
            }
        }
    }
    assert!(
        refused.iter().all(|count| *count > 0) && carried > 0,
        "{refused:?} refused, {carried} carried out"
    );
}

#[test]
fn a_host_that_is_put_back_from_a_snapshot_is_moved_again_or_its_rotation_is_rolled_back() {
    let mut put_back = 0;
    for plan in Kind::ALL.into_iter().map(|kind| calm(kind, 3)) {
        let actions = run(&plan, &Mutant::NONE, Keep::default(), None).actions;
        for at in (0..actions).step_by(3) {
            let log = with(&plan, at, Fault::HostRestored).log;
            put_back += log.iter().filter(|line| line.contains("is put back from a snapshot")).count();
        }
    }
    assert!(put_back > 0, "no host was put back");
}
