//! The page docs/reference/managers.md, made from the facts of every manager.

use crate::facts::Notice::{Away, Job, NoneFails};
use crate::facts::{ManagerFact, ServiceFact};
use crate::registry::manager_facts;

const HEAD: &str = "# Managers\n\n\
    Generated from the rows in each file of `crates/machine/manager/src`; do not edit by hand.\n\n\
    Which command applies a new value depends on the manager and on the source of the value. The success of that command \
    proves nothing: keyroll takes its evidence from the processes. The last column names the test of the row.\n\n\
    | `runs` | source of the value | what applies it | what does not apply it | downtime | evidence | test |\n\
    |---|---|---|---|---|---|---|\n";

const TAIL: &str = "\nAfter a restart keyroll waits until the processes have stayed the same for two seconds, because a process \
    may die shortly after its start. keyroll does not start a manager that is stopped, and it talks to another user's manager only as that \
    user.\n\n\
    The daemons supervisord and pm2 keep the environment of the processes that they start in their own memory. keyroll does \
    not count these daemons as undeclared processes, because they never send the value to an issuer; it inspects each process \
    that they start. pm2 writes whole environments into `dump.pm2` and `dump.pm2.bak`, by default with mode 0644. The \
    plan reports this, and keyroll does not revoke the old key while one of these files contains it.\n";

const CARRIED_OUT: &str = "\n## Rotations in the tests\n\n\
    The test `every_manager_moves_its_service_under_load` runs a real service under each manager, and carries out three \
    rotations: one that completes; one that is rolled back at the last step that allows it; and one in which keyroll is \
    killed while it applies the value, and the next keyroll process completes the rotation. During the rotations the test \
    sends requests to the service without a pause (a job runs every few seconds).\n\n\
    *0 failed*: no request of the three rotations failed; only a worker of uvicorn may, when it ends, close connections \
    whose requests it has not read. *announced and measured*: only one instance runs, so there is downtime; the plan announces \
    it, keyroll measures it, and `history --json` has both. *each*: `cargo xtask test` completes one rotation. `--full`: \
    `cargo xtask test --full` carries out all three rotations of all services.\n\n\
    | `runs` | source of the value | service | under load | rolled back | keyroll killed | tested by |\n\
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
