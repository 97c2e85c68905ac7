//! Runs schedules.
use keyroll_sim::{Coverage, FaultPlan, Keep, Mutant, Scene, run};

fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(0);
    let to: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(100);
    let mut coverage = Coverage::default();
    let begun = std::time::Instant::now();
    let (mut steps, mut bad) = (0u64, 0);
    for seed in from..to {
        let plan = FaultPlan { scene: Scene::of(seed), seed, faults: Vec::new() };
        let report =
            run(&plan, &Mutant::NONE, Keep { log: to - from == 1, classes: false }, Some(&mut coverage));
        steps += report.steps;
        for line in &report.log {
            println!("{line}");
        }
        if let Some(violation) = report.violation {
            bad += 1;
            if bad < 30 {
                println!("seed {seed} {:?} {violation:?}", plan.scene.kind);
            }
        }
    }
    println!("{bad} bad, {steps} steps, {:.0}/s", steps as f64 / begun.elapsed().as_secs_f64());
}
