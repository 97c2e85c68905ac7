//! What each manager can do with a value, as data: docs/reference/managers.md is made of it, and a test sees that each row
//! names a test that there is.

/// One row: a manager, and a source of the value.
#[derive(Debug, Clone, Copy)]
pub struct ManagerFact {
    /// The manager, as `runs` names it.
    pub manager: &'static str,
    /// Where the value stands.
    pub source: &'static str,
    /// What applies it.
    pub verb: &'static str,
    /// What looks as if it did, and does not.
    pub wrong: &'static str,
    /// How long it is away.
    pub gap: &'static str,
    /// What is seen of it.
    pub proof: &'static str,
    /// The test that shows what applies it, and what does not.
    pub test: &'static str,
    /// The services that are rotated for it.
    pub services: &'static [ServiceFact],
}

/// A service of a row, rotated while it is called: forward, forward and back, and with the driver killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFact {
    /// What the tests call it.
    pub name: &'static str,
    /// What its callers may notice.
    pub notice: Notice,
    /// It is moved forward in each change's tests; the rest is done by those of a night.
    pub daily: bool,
}

/// What callers may notice of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// No request fails at the service's address.
    NoneFails,
    /// One instance is away meanwhile: the plan announces it, and it is measured.
    Away,
    /// A job, which nobody calls: no run of it fails.
    Job,
}

const fn daily(name: &'static str, notice: Notice) -> ServiceFact {
    ServiceFact { name, notice, daily: true }
}

const fn nightly(name: &'static str, notice: Notice) -> ServiceFact {
    ServiceFact { name, notice, daily: false }
}

use Notice::{Away, Job, NoneFails};

const OF_PROCESS: &str = "each process's own environment, memory and connections";

/// Every row, in the order of the page. A manager's rows stand beside each other.
pub const MANAGER_FACTS: &[ManagerFact] = &[
    ManagerFact {
        manager: "`restart`",
        source: "a file that is read at the start",
        verb: "the command",
        wrong: "a signal",
        gap: "until the new process is ready; none with several instances behind a front",
        proof: OF_PROCESS,
        test: "an_edit_made_meanwhile_is_not_made_live",
        services: &[daily("restart-two", NoneFails), nightly("restart-one", Away)],
    },
    ManagerFact {
        manager: "`signal`",
        source: "a file that is read on the signal",
        verb: "the signal",
        wrong: "-",
        gap: "none",
        proof: "memory and connections; the environment is of before",
        test: "signals_have_names_and_numbers",
        services: &[daily("signal", NoneFails)],
    },
    ManagerFact {
        manager: "`rereads`",
        source: "a file that is read again when it changes",
        verb: "nothing: writing the file",
        wrong: "writing in place where it looks at the inode",
        gap: "none",
        proof: "memory and connections; the environment is of before",
        test: "what_needs_nothing_does_nothing",
        services: &[daily("rereads", NoneFails)],
    },
    ManagerFact {
        manager: "`unit`",
        source: "`LoadCredential=`",
        verb: "`systemctl restart`; with `user`, by that user's own manager",
        wrong: "`systemctl reload`: what was given stays until the restart",
        gap: "until the new process is ready",
        proof: "its credentials as it was given them, environment, memory and connections",
        test: "credentials_a_users_manager_and_a_timer",
        services: &[nightly("unit-credential", Away)],
    },
    ManagerFact {
        manager: "`timer`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`; a job that runs right now is waited for",
        test: "credentials_a_users_manager_and_a_timer",
        services: &[nightly("timer", Job)],
    },
    ManagerFact {
        manager: "`at_rest`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`, which must fail on a wrong copy",
        test: "two_secrets_in_one_file",
        services: &[nightly("at-rest", Job)],
    },
    ManagerFact {
        manager: "`compose`",
        source: "`env_file:`, a mounted file",
        verb: "`docker compose up --detach --no-deps --no-build --pull never --force-recreate SERVICE`",
        wrong: "`docker compose restart`: the environment of before",
        gap: "until the new container is well; none with two services behind a front",
        proof: OF_PROCESS,
        test: "only_a_container_that_was_made_anew_has_the_new_value",
        services: &[nightly("compose-two", NoneFails), nightly("compose-one", Away)],
    },
    ManagerFact {
        manager: "`container`",
        source: "a mounted file",
        verb: "`docker restart`",
        wrong: "a renamed file behind a mount of that file alone: the inode of before",
        gap: "until it is well",
        proof: OF_PROCESS,
        test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
        services: &[daily("container-file", Away)],
    },
    ManagerFact {
        manager: "`container`",
        source: "its environment",
        verb: "the command that makes it anew (`restart`)",
        wrong: "`docker restart`: the environment of before",
        gap: "until it is well",
        proof: OF_PROCESS,
        test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
        services: &[nightly("container-environment", Away)],
    },
    ManagerFact {
        manager: "`unit`",
        source: "`EnvironmentFile=`",
        verb: "`systemctl restart`, after `daemon-reload` where the unit changed",
        wrong: "`systemctl reload`",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "units_are_moved_under_load",
        services: &[daily("unit-environment", Away), nightly("unit-user", Away)],
    },
    ManagerFact {
        manager: "`supervisor`",
        source: "`environment=` in the configuration",
        verb: "`supervisorctl reread`, `update NAME`",
        wrong: "`supervisorctl restart`: the environment of before",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
        services: &[nightly("supervisor-environment", Away)],
    },
    ManagerFact {
        manager: "`supervisor`",
        source: "a file that the command reads",
        verb: "`supervisorctl restart NAME:*`",
        wrong: "`supervisorctl update`: nothing changed for it",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
        services: &[daily("supervisor-file", Away)],
    },
    ManagerFact {
        manager: "`pm2`",
        source: "a file that the ecosystem file reads, or the ecosystem file",
        verb: "`pm2 restart ECOSYSTEM --only APP --update-env` in the environment that the app was started in; then its entries in the dumps, where there are any",
        wrong: "`pm2 restart APP`: the daemon's environment; with `--update-env`: the shell's",
        gap: "until the new process is ready",
        proof: "each process's own environment, memory and connections; the dumps, by value",
        test: "only_the_ecosystem_file_with_update_env_applies_a_value",
        services: &[daily("pm2", Away)],
    },
    ManagerFact {
        manager: "`master`",
        source: "a file that a worker reads when it is forked",
        verb: "`HUP` (or `USR1`, `USR2`) to the master; or worker by worker",
        wrong: "the same with a program that is loaded before the fork (`preload_app`)",
        gap: "none with `HUP` or `TTIN` (a driver that is killed between that and `TTOU` leaves one worker more); one worker at a time with `workers`",
        proof: "each worker's memory and connections; none of before may be left",
        test: "every_worker_is_replaced_however_the_master_is_told",
        services: &[
            daily("gunicorn-hup", NoneFails),
            nightly("gunicorn-workers", NoneFails),
            nightly("gunicorn-ttin", NoneFails),
            nightly("prefork-usr2", NoneFails),
            daily("uvicorn-hup", NoneFails),
        ],
    },
    ManagerFact {
        manager: "`master`",
        source: "the program that the master has loaded, or its environment",
        verb: "none: restart the master (`restart`, `unit`)",
        wrong: "`HUP`: new workers with the old value",
        gap: "-",
        proof: "its workers show the old value, and the master is a holder",
        test: "workers_of_a_preloading_gunicorn_are_not_believed",
        services: &[],
    },
    ManagerFact {
        manager: "`cron`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`; a job that runs right now is waited for",
        test: "a_job_of_cron_that_runs_is_seen_and_one_that_does_not_is_at_rest",
        services: &[daily("cron", Job)],
    },
    ManagerFact {
        manager: "`exec`",
        source: "what the adapter knows",
        verb: "what the adapter does",
        wrong: "-",
        gap: "what the adapter makes",
        proof: "the same as for any process, of those that it names",
        test: "a_service_behind_an_adapter_is_moved_and_comes_back",
        services: &[daily("exec", Away)],
    },
];

const HEAD: &str = "# Managers\n\n\
    Generated from `crates/manager/src/facts.rs`; do not edit by hand.\n\n\
    What makes a new value the one that runs depends on the manager and on where the value stands. A verb that ended well \
    proves nothing: evidence comes from the processes. Each row names the test that shows it.\n\n\
    | `runs` | where the value stands | what applies it | what does not | away | what is seen | test |\n\
    |---|---|---|---|---|---|---|\n";

const TAIL: &str = "\nWhatever was restarted must stay the same for two seconds: a process that dies a second after its start \
    is none that runs. keyroll starts no manager that does not run, and a manager of another user only as that user.\n\n\
    A manager's own memory holds what it starts others with (supervisord, pm2's daemon). That makes it no holder, since it \
    never presents it; what it starts is looked at by itself. pm2 writes whole environments into `dump.pm2` and \
    `dump.pm2.bak`, with mode 0644 as it comes: the plan says so, and as long as one of them has the old value the old key \
    is not ended.\n";

const CARRIED_OUT: &str = "\n## Carried out\n\n\
    Each service below is real, runs under its manager, and is called at its own address without a pause (a job runs every \
    few seconds) while a rotation goes forward, while one is taken back at the last step that can be, and while one is \
    carried out whose driver is killed as soon as the service is being told and that the next driver ends. *0 failed*: of \
    all requests, in all three. *measured*: only one instance runs; the plan announces for how long it may be away, \
    keyroll measures it, and `history --json` has both. The test is `every_manager_moves_its_service_under_load`; \
    `cargo xtask test` moves the services marked *each* forward, `cargo xtask test --full` does everything.\n\n\
    | `runs` | where the value stands | service | under load | taken back | driver killed | moved by |\n\
    |---|---|---|---|---|---|---|\n";

/// The page docs/reference/managers.md.
pub fn managers_markdown() -> String {
    let rows = MANAGER_FACTS.iter().map(|row| {
        let cells = [row.manager, row.source, row.verb, row.wrong, row.gap, row.proof];
        format!("| {} | `{}` |\n", cells.join(" | "), row.test)
    });
    let carried =
        MANAGER_FACTS.iter().flat_map(|row| row.services.iter().map(move |one| carried_out(row, one)));
    HEAD.to_owned() + &rows.collect::<String>() + TAIL + CARRIED_OUT + &carried.collect::<String>()
}

fn carried_out(row: &ManagerFact, one: &ServiceFact) -> String {
    let load = match one.notice {
        NoneFails => "0 failed",
        Away => "away: announced and measured",
        Job => "0 runs failed",
    };
    let by = if one.daily { "each" } else { "`--full`" };
    format!(
        "| {} | {} | `{}` | {load} | back on the old value | moved by the next driver | {by} |\n",
        row.manager, row.source, one.name
    )
}
