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
    /// The test that shows the row.
    pub test: &'static str,
}

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
    },
    ManagerFact {
        manager: "`signal`",
        source: "a file that is read on the signal",
        verb: "the signal",
        wrong: "-",
        gap: "none",
        proof: "memory and connections; the environment is of before",
        test: "signals_have_names_and_numbers",
    },
    ManagerFact {
        manager: "`rereads`",
        source: "a file that is read again when it changes",
        verb: "nothing: writing the file",
        wrong: "writing in place where it looks at the inode",
        gap: "none",
        proof: "memory and connections; the environment is of before",
        test: "what_needs_nothing_does_nothing",
    },
    ManagerFact {
        manager: "`unit`",
        source: "`LoadCredential=`",
        verb: "`systemctl restart`; with `user`, by that user's own manager",
        wrong: "`systemctl reload`: what was given stays until the restart",
        gap: "until the new process is ready",
        proof: "its credentials as it was given them, environment, memory and connections",
        test: "credentials_a_users_manager_and_a_timer",
    },
    ManagerFact {
        manager: "`timer`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`; a job that runs right now is waited for",
        test: "credentials_a_users_manager_and_a_timer",
    },
    ManagerFact {
        manager: "`at_rest`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`, which must fail on a wrong copy",
        test: "two_secrets_in_one_file",
    },
    ManagerFact {
        manager: "`compose`",
        source: "`env_file:`, a mounted file",
        verb: "`docker compose up --detach --no-deps --no-build --pull never --force-recreate SERVICE`",
        wrong: "`docker compose restart`: the environment of before",
        gap: "until the new container is well; none with two services behind a front",
        proof: OF_PROCESS,
        test: "only_a_container_that_was_made_anew_has_the_new_value",
    },
    ManagerFact {
        manager: "`container`",
        source: "a mounted file",
        verb: "`docker restart`",
        wrong: "a renamed file behind a mount of that file alone: the inode of before",
        gap: "until it is well",
        proof: OF_PROCESS,
        test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
    },
    ManagerFact {
        manager: "`container`",
        source: "its environment",
        verb: "the command that makes it anew (`restart`)",
        wrong: "`docker restart`: the environment of before",
        gap: "until it is well",
        proof: OF_PROCESS,
        test: "a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command",
    },
    ManagerFact {
        manager: "`unit`",
        source: "`EnvironmentFile=`",
        verb: "`systemctl restart`, after `daemon-reload` where the unit changed",
        wrong: "`systemctl reload`",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "units_are_moved_under_load",
    },
    ManagerFact {
        manager: "`supervisor`",
        source: "`environment=` in the configuration",
        verb: "`supervisorctl reread`, `update NAME`",
        wrong: "`supervisorctl restart`: the environment of before",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
    },
    ManagerFact {
        manager: "`supervisor`",
        source: "a file that the command reads",
        verb: "`supervisorctl restart NAME:*`",
        wrong: "`supervisorctl update`: nothing changed for it",
        gap: "until the new process is ready",
        proof: OF_PROCESS,
        test: "restart_keeps_the_old_environment_and_update_applies_the_new_one",
    },
    ManagerFact {
        manager: "`pm2`",
        source: "a file that the ecosystem file reads, or the ecosystem file",
        verb: "`pm2 restart ECOSYSTEM --only APP --update-env`, then `pm2 save` twice where there is a dump",
        wrong: "`pm2 restart APP`: the daemon's environment; with `--update-env`: the shell's",
        gap: "until the new process is ready",
        proof: "each process's own environment, memory and connections; the dumps, by value",
        test: "only_the_ecosystem_file_with_update_env_applies_a_value",
    },
    ManagerFact {
        manager: "`master`",
        source: "a file that a worker reads when it is forked",
        verb: "`HUP` (or `USR1`, `USR2`) to the master; or worker by worker",
        wrong: "the same with a program that is loaded before the fork (`preload_app`)",
        gap: "none with `HUP` or `TTIN`; one worker at a time with `workers`",
        proof: "each worker's memory and connections; none of before may be left",
        test: "every_worker_is_replaced_however_the_master_is_told",
    },
    ManagerFact {
        manager: "`master`",
        source: "the program that the master has loaded, or its environment",
        verb: "none: restart the master (`restart`, `unit`)",
        wrong: "`HUP`: new workers with the old value",
        gap: "-",
        proof: "its workers show the old value, and the master is a holder",
        test: "workers_of_a_preloading_gunicorn_are_not_believed",
    },
    ManagerFact {
        manager: "`cron`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        gap: "none",
        proof: "its `check`; a job that runs right now is waited for",
        test: "a_job_of_cron_that_runs_is_seen_and_one_that_does_not_is_at_rest",
    },
    ManagerFact {
        manager: "`exec`",
        source: "what the adapter knows",
        verb: "what the adapter does",
        wrong: "-",
        gap: "what the adapter makes",
        proof: "the same as for any process, of those that it names",
        test: "a_service_behind_an_adapter_is_moved_and_comes_back",
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

/// The page docs/reference/managers.md.
pub fn managers_markdown() -> String {
    let rows = MANAGER_FACTS.iter().map(|row| {
        let cells = [row.manager, row.source, row.verb, row.wrong, row.gap, row.proof];
        format!("| {} | `{}` |\n", cells.join(" | "), row.test)
    });
    HEAD.to_owned() + &rows.collect::<String>() + TAIL
}
