//! Refuses a plan that the protocol cannot carry out.

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_rotation::{Plan, PlanDefect};

use crate::problem::Problem;

/// Refuses a plan that the protocol cannot carry out, and one whose old value would expire before every consumer has moved.
pub(crate) fn refuse_unsound(secret: &Secret, plan: &Plan) -> Result<(), Problem> {
    plan.check().and_then(|()| plan.fits()).map_err(|defect| unsound(secret, defect))
}

fn unsound(secret: &Secret, defect: PlanDefect) -> Problem {
    let name = &secret.name;
    let help = match defect {
        PlanDefect::GraceTooShort { .. } => return too_slow(secret, defect),
        PlanDefect::CanaryAsks => format!(
            "remove `ask` from [secrets.{name}.roll] in keyroll.toml: `bake` alone watches the canary, and the rotation then \
             goes on by itself"
        ),
        PlanDefect::Waves => format!(
            "in [secrets.{name}] of keyroll.toml, give each consumer with `fetch` or `reads = \"store\"` a `wave` that is no \
             lower than that of the others"
        ),
        PlanDefect::NoEndpoint
        | PlanDefect::Paths
        | PlanDefect::Slots
        | PlanDefect::Dangling
        | PlanDefect::ZeroCount
        | PlanDefect::Shared => format!("correct [secrets.{name}] in keyroll.toml, or its issuer's spec"),
    };
    Problem::new(Code::NotPlannable, "make a plan from the configuration")
        .because(defect.to_string())
        .help(help)
}

fn too_slow(secret: &Secret, defect: PlanDefect) -> Problem {
    let name = &secret.name;
    let problem = Problem::new(Code::GraceTooShort, format!("plan a rotation of {name} within its grace"));
    let problem = problem.because(defect.to_string());
    let waits = !(secret.roll.bake.is_zero() && secret.roll.pause_between.is_zero());
    let paced = if waits { ", or shorten `bake` and `pause_between`" } else { "" };
    let hosts =
        if secret.ssh_hosts().is_empty() { "" } else { ", on more hosts at once (roll.hosts_at_once)" };
    problem.help(format!(
        "let more consumers move at once (max_parallel){hosts}{paced}, then: keyroll plan {name}"
    ))
}
