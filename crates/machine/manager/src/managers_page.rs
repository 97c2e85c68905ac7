//! The page docs/reference/managers.md, made from the facts of every manager.

use crate::facts::Notice::{Away, Job, NoneFails};
use crate::facts::{ManagerFact, ServiceFact};
use crate::registry::manager_facts;

const HEAD: &str = "# Managers\n\n\
    Generated from the rows in each file of `crates/machine/manager/src`; do not edit by hand.\n\n\
    Which command applies a new value depends on the manager and on where the value stands. Success of that command proves \
    nothing: keyroll takes its evidence from the processes. Each row names the test that shows it.\n\n\
    | `runs` | where the value stands | what applies it | what does not apply it | downtime | evidence | test |\n\
    |---|---|---|---|---|---|---|\n";

const TAIL: &str = "\nAfter a restart the processes must stay the same for two seconds, because a process may die a second \
    after its start. keyroll does not start a manager that is stopped, and it talks to another user's manager only as that \
    user.\n\n\
    supervisord and pm2's daemon hold in their own memory the environment with which they start other processes. keyroll does \
    not count them as undeclared processes, because they never present the value to an issuer; it inspects the processes that \
    they start one by one. pm2 writes whole environments into `dump.pm2` and `dump.pm2.bak`, by default with mode 0644: the \
    plan says so, and keyroll does not revoke the old key while one of these files holds it.\n";

const CARRIED_OUT: &str = "\n## Rotations in the tests\n\n\
    Each service below is real and runs under its manager. It is called at its own address without a pause (a job runs every \
    few seconds) during three rotations: one that completes, one that is rolled back at the last step that allows it, and one \
    whose keyroll process is killed while it applies the value and which the next keyroll process completes. *0 failed*: of \
    all requests in all three; a worker of uvicorn that ends may reset one connection whose request it has not read. \
    *measured*: only one instance runs; the plan announces the downtime, keyroll measures it, and \
    `history --json` has both. The test is `every_manager_moves_its_service_under_load`; `cargo xtask test` completes one \
    rotation of the services marked *each*, `cargo xtask test --full` carries out all of them.\n\n\
    | `runs` | where the value stands | service | under load | rolled back | keyroll killed | tested by |\n\
    |---|---|---|---|---|---|---|\n";

/// The page docs/reference/managers.md.
pub fn managers_markdown() -> String {
    let rows = manager_facts().map(|row| {
        let cells = [row.manager, row.source, row.verb, row.wrong, row.downtime, row.evidence];
        format!("| {} | `{}` |\n", cells.join(" | "), row.test)
    });
    let carried = manager_facts().flat_map(|row| row.services.iter().map(move |one| carried_out(row, one)));
    HEAD.to_owned() + &rows.collect::<String>() + TAIL + CARRIED_OUT + &carried.collect::<String>()
}

fn carried_out(row: &ManagerFact, one: &ServiceFact) -> String {
    let load = match one.notice {
        NoneFails => "0 failed",
        Away => "downtime: announced and measured",
        Job => "0 runs failed",
    };
    let by = if one.daily { "each" } else { "`--full`" };
    format!(
        "| {} | {} | `{}` | {load} | on the old value again | completed by the next process | {by} |\n",
        row.manager, row.source, one.name
    )
}
