use crate::mutant::Mutant;
use crate::schedule::Keep;
use crate::simulate::run;
use crate::{FaultPlan, Scene};

/// The smallest schedule that still breaks the same invariant: fewer faults, earlier, in a smaller world.
pub fn shrink(plan: &FaultPlan, mutant: &'static Mutant) -> FaultPlan {
    let broken = |plan: &FaultPlan| run(plan, mutant, Keep::default(), None).violation.map(|it| it.rule);
    let rule = broken(plan);
    let mut best = plan.clone();
    if rule.is_none() {
        return best;
    }
    let mut at = 0;
    while at < best.faults.len() {
        let mut less = best.clone();
        less.faults.remove(at);
        if broken(&less) == rule {
            best = less;
        } else {
            at += 1;
        }
    }
    let smaller = FaultPlan { scene: Scene { size: crate::Size::Reduced, ..best.scene }, ..best.clone() };
    if broken(&smaller) == rule {
        best = smaller;
    }
    best
}
