//! Runs schedules.
use keyroll_sim::{Coverage, FaultPlan, Keep, Mutant, Scene, run, shrink};
use std::collections::BTreeMap;

fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(0);
    let to: u64 = args.next().and_then(|it| it.parse().ok()).unwrap_or(100);
    let calm = std::env::var_os("CALM").is_some();
    let mut coverage = Coverage::default();
    let begun = std::time::Instant::now();
    let (mut steps, mut bad) = (0u64, 0);
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for seed in from..to {
        let plan = if calm {
            FaultPlan { scene: Scene::of(seed), seed, faults: Vec::new() }
        } else {
            FaultPlan::of(seed)
        };
        let report = run(&plan, &Mutant::NONE, Keep::default(), Some(&mut coverage));
        steps += report.steps;
        if let Some(violation) = report.violation {
            bad += 1;
            if bad > 400 {
                continue;
            }
            let small = shrink(&plan, &Mutant::NONE);
            let found = run(&small, &Mutant::NONE, Keep { log: true, classes: false }, None);
            let v = found.violation.unwrap_or(violation);
            let head: String = v.what.chars().take(60).filter(|c| !c.is_ascii_digit()).collect();
            let n = kinds.entry(format!("{} {head}", v.rule)).or_default();
            *n += 1;
            if *n <= 2 || to - from == 1 {
                let faults: Vec<_> = small.faults.iter().map(|f| (f.at, f.fault)).collect();
                println!(
                    "seed {seed} {:?} {:?} {} {faults:?} {}",
                    small.scene.size, small.scene.kind, v.rule, v.what
                );
            }
            if to - from == 1 {
                println!("{:?}", small.scene.plan());
                for line in found.log {
                    println!("{line}");
                }
            }
        }
    }
    for (kind, n) in kinds {
        println!("{n:>5} {kind}");
    }
    println!("{bad} bad, {steps} steps, {:.0}/s", steps as f64 / begun.elapsed().as_secs_f64());
}
