//! The parts of a night: what each runs, and what the test of a change leaves to it.

use crate::run::{named_tests, run};
use crate::{dist, parts, rings, sdk, sim};

/// Seeds of the simulation for a night.
const SEEDS: &str = "4000000";

/// One part of a night.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What it tests.
    pub(crate) what: &'static str,
    /// The test modules that it runs, by the beginning of their names (`crate/module`), with all of their tests; of a module
    /// that several parts share, the tests that begin so (`crate/module::…`).
    pub(crate) units: &'static [&'static str],
    /// Tests of these modules that the test of a change does not run, by the beginning of their names
    /// (`crate/module::…`).
    pub(crate) only: &'static [&'static str],
    /// Those of them that the test of a change runs all the same, named in the same way.
    pub(crate) kept: &'static [&'static str],
    /// A variable that extends the tests.
    pub(super) variable: Option<(&'static str, &'static str)>,
    /// What it runs besides tests.
    pub(super) chore: Option<fn() -> Result<(), String>>,
    /// Whether it carries out whole rotations: what they pass is then among its rooms and files.
    pub(super) rotates: bool,
    /// The rooms that it is for: a change to one of them, or to what they import, touches the part.
    pub(super) rooms: &'static [&'static str],
    /// Files that it is for, besides those of its tests, by the beginnings of their paths.
    pub(super) files: &'static [&'static str],
}

/// The tests that look at clusters, and those of a Secret as a store. Other parts rotate in clusters.
const LOOKS_AT_CLUSTERS: [&str; 10] = [
    "cli/kubernetes::a_",
    "cli/kubernetes::an_",
    "cli/kubernetes::copies_",
    "cli/kubernetes::every_way_",
    "cli/kubernetes::external",
    "cli/kubernetes::manifests",
    "cli/kubernetes::what_",
    "testkit/external_secrets",
    "testkit/kubernetes",
    "truth/kubernetes_real",
];

/// A part without anything.
const NONE: Part = Part {
    name: "",
    what: "",
    units: &[],
    only: &[],
    kept: &[],
    variable: None,
    chore: None,
    rotates: false,
    rooms: &[],
    files: &[],
};

/// Every part.
pub(crate) const PARTS: [Part; 29] = [
    Part {
        name: "issuers",
        what: "whole rotations with every shipped spec, with faults and in emergencies",
        units: &["cli/issuers", "cli/iam", "aws/"],
        only: &["cli/iam::a_killed_"],
        variable: Some(("KEYROLL_ISSUERS", "all")),
        rotates: true,
        rooms: &["issuer", "aws"],
        files: &["issuers/"],
        ..NONE
    },
    Part {
        name: "servers",
        what: "PostgreSQL, Redis, MariaDB, RabbitMQ: rotations under load, killed and rolled back at each moment",
        units: &["cli/postgres", "cli/servers", "logins/"],
        only: &[
            "cli/postgres::",
            "cli/servers::a_killed_",
            "cli/servers::a_mariadb_",
            "cli/servers::a_rabbitmq_",
            "cli/servers::a_redis_rotation_goes_back_from_the_last_moment",
            "cli/servers::a_redis_rotation_killed_at_any_moment",
            "cli/servers::mariadb_",
            "cli/servers::rabbitmq_",
        ],
        kept: &[
            "cli/postgres::a_driver_killed_during_a_restart",
            "cli/postgres::a_rotation_goes_back_half_way",
        ],
        rotates: true,
        rooms: &["logins"],
        ..NONE
    },
    Part {
        name: "vault",
        what: "the real Vault: secrets in its key/value engine, and static roles of its database engine on PostgreSQL",
        units: &["truth/vault_real", "logins/static_roles_real"],
        only: &["truth/vault_real::", "logins/static_roles_real::"],
        rooms: &["logins", "truth"],
        ..NONE
    },
    Part {
        name: "kubernetes",
        what: "what a cluster has: real Kubernetes 1.33 with pods that take Secrets, and External Secrets 0.20; a Secret as a store; the manifests and the chart",
        units: &LOOKS_AT_CLUSTERS,
        only: &LOOKS_AT_CLUSTERS,
        kept: &["cli/kubernetes::manifests::the_chart_has_the_kind_of_the_base"],
        rotates: true,
        rooms: &["cluster", "kube", "truth"],
        files: &[
            "crates/front/cli/tests/kubernetes.rs",
            "crates/front/cli/tests/kubernetes/scene",
            "crates/front/cli/tests/stores",
            "deploy/kubernetes/",
        ],
        ..NONE
    },
    Part {
        name: "kubernetes-rotate",
        what: "rotations of secrets that pods use: every way of taking them, every kind of workload, under load, and on bad days",
        units: &["cli/kubernetes::bad_days_in_clusters", "cli/kubernetes::rotate", "cli/kubernetes::scaled"],
        only: &[
            "cli/kubernetes::bad_days_in_clusters::",
            "cli/kubernetes::rotate::",
            "cli/kubernetes::scaled::",
        ],
        rotates: true,
        rooms: &["cluster", "kube"],
        files: &["crates/front/cli/tests/stores"],
        ..NONE
    },
    Part {
        name: "kubernetes-served",
        what: "the server in a cluster: what its objects ask for, its rights, killed at any moment, two servers, and in a pod",
        units: &["cli/kubernetes::served"],
        only: &["cli/kubernetes::served::", "cli/kubernetes::served_pod::"],
        rotates: true,
        rooms: &["cluster", "controller", "kube"],
        files: &[
            "crates/front/cli/tests/kubernetes/rotate_scene",
            "crates/front/server/",
            "deploy/kubernetes/",
        ],
        ..NONE
    },
    Part {
        name: "stores",
        what: "sources of truth and Vault's static roles: what somebody else changed, killed at each step, forward and back",
        units: &["cli/stores", "cli/static_roles", "truth/exec_kit"],
        only: &["cli/static_roles::", "cli/stores::", "truth/exec_kit::each_broken_rule_"],
        kept: &[
            "cli/static_roles::somebody_who_uses_the_idle_login_",
            "cli/static_roles::two_static_roles_take_turns_",
            "cli/stores::a_file_the_recipe_",
            "cli/stores::a_pending_version_of_somebody_else_",
            "cli/stores::compose_the_recipe_",
            "cli/stores::killed_at_each_step_forward",
            "cli/stores::programs_that_read_the_store_forward",
            "cli/stores::the_recipe_by_hand_",
            "cli/stores::vault_the_recipe_",
        ],
        rotates: true,
        rooms: &["logins", "manager", "truth"],
        ..NONE
    },
    Part {
        name: "managers",
        what: "every row of the page of managers, under load, killed and rolled back",
        units: &[
            "cli/bad_days",
            "cli/docker",
            "cli/managers",
            "cli/matrix",
            "cli/units",
            "manager/",
            "observe/logs",
        ],
        only: &[
            "cli/bad_days::managers::a_manager_that_ends_in_the_middle",
            "cli/bad_days::units::units_on_bad_days",
            "cli/docker::",
            "cli/managers::",
            "cli/units::",
            "manager/adapter::each_broken_rule_",
            "manager/docker::",
            "manager/litellm::",
            "manager/pm2::",
            "manager/supervisor::",
            "observe/logs::the_journal_of_a_unit_",
        ],
        kept: &[
            "cli/docker::services_are_moved_although_the_driver_is_killed",
            "cli/docker::services_are_moved_one_by_one_",
            "cli/docker::services_go_back_with_an_abort",
            "cli/managers::master::workers_of_gunicorn_",
            "cli/managers::pm2::edits_of_an_app_",
            "manager/docker::a_recreation_that_was_ended_in_the_middle_",
            "manager/docker::an_engine_that_cannot_be_talked_to_",
            "manager/docker::only_a_container_that_was_made_anew_",
            "manager/pm2::only_the_ecosystem_file_",
            "manager/supervisor::restart_keeps_the_old_environment_",
        ],
        variable: Some(("KEYROLL_MATRIX", "full")),
        rotates: true,
        rooms: &["manager"],
        files: &["deploy/systemd/"],
        ..NONE
    },
    Part {
        name: "served",
        what: "emergencies, incidents and rotations through the server: attacked, forged, stopped and killed",
        units: &["cli/emergency", "cli/incidents", "cli/metrics", "cli/operated", "cli/values"],
        only: &[
            "cli/emergency::",
            "cli/incidents::",
            "cli/metrics::a_real_prometheus_",
            "cli/metrics::the_alert_rules_",
            "cli/metrics::the_series_follow_an_incident",
            "cli/operated::",
            "cli/values::",
        ],
        kept: &[
            "cli/emergency::a_leaked_key_is_dead_",
            "cli/emergency::a_server_that_is_killed_",
            "cli/emergency::an_open_rotation_becomes_",
            "cli/emergency::each_refusal_has_its_status",
            "cli/emergency::equal_requests_at_once_",
            "cli/emergency::two_curl_lines_",
            "cli/incidents::an_alert_with_the_stored_value_",
            "cli/incidents::by_hand::revoke_now_needs_its_own_consent",
            "cli/incidents::forged::",
            "cli/incidents::sources::each_source_is_believed_",
            "cli/incidents::without_consent_",
            "cli/operated::an_operator_rotates_",
            "cli/operated::audit::what_cannot_be_recorded_",
            "cli/operated::bodies::",
            "cli/operated::roles::",
            "cli/operated::two_persons_consent_",
            "cli/values::a_killed_server_",
            "cli/values::a_word_that_is_not_trusted_",
            "cli/values::access::",
            "cli/values::programs_take_a_new_key_",
            "cli/values::replaced::a_program_that_fails_",
            "cli/values::replaced::a_program_that_reads_its_key_once_",
        ],
        rotates: true,
        rooms: &["issuer", "scanner", "served"],
        files: &["crates/front/server/", "deploy/systemd/"],
        ..NONE
    },
    Part {
        name: "debian",
        what: "a Debian host with PostgreSQL behind PgBouncer, Redis, units, cron, compose and workers by hand: back, forward, adopted wrongly and killed",
        units: &["cli/debian"],
        only: &["cli/debian::a_debian_host_", "cli/debian::adoptions_"],
        rotates: true,
        rooms: &["draft", "logins", "manager"],
        files: &["crates/front/cli/tests/postgres/", "crates/front/cli/tests/servers/"],
        ..NONE
    },
    Part {
        name: "hostile",
        what: "bad input and bad days of machine, issuer and operator, and one key per consumer",
        units: &["cli/hostile", "cli/split"],
        only: &["cli/hostile::", "cli/split::"],
        kept: &[
            "cli/hostile::an_edit_made_meanwhile_",
            "cli/hostile::disks_that_fail",
            "cli/hostile::input_that_cannot_be",
            "cli/hostile::the_way_back",
            "cli/hostile::values_inside_structured_files",
            "cli/split::each_consumer_gets_",
            "cli/split::killed_in_the_middle_",
        ],
        rotates: true,
        rooms: &["issuer"],
        ..NONE
    },
    Part {
        name: "discovery",
        what: "what a process was started with, by its chain of systemd, supervisord, pm2 and containers; `why` and `init` on it",
        units: &["cli/init", "cli/scenes", "trace/chains"],
        only: &[
            "cli/init::kept::",
            "cli/scenes::",
            "trace/chains::containers::",
            "trace/chains::pm2::",
            "trace/chains::supervisord::supervisord_starts_",
            "trace/chains::systemd::",
        ],
        kept: &[
            "cli/scenes::a_rotation_that_meets_a_cause_",
            "trace/chains::containers::a_service_of_compose_",
            "trace/chains::pm2::an_app_that_a_shell_started_",
            "trace/chains::systemd::a_job_of_cron_",
        ],
        rotates: true,
        rooms: &["draft", "inventory", "manager", "observe", "trace"],
        ..NONE
    },
    Part {
        name: "fleet",
        what: "hosts by ssh: each as keyroll says that runs inside of it, no value in a frame, refused, cut and interrupted; rotations over them",
        units: &["cli/fleet"],
        only: &[
            "cli/fleet::ended::",
            "cli/fleet::init::",
            "cli/fleet::recipe::a_host_that_",
            "cli/fleet::refused::",
            "cli/fleet::secrecy::",
            "cli/fleet::six::",
            "cli/fleet::an_operator_sees_",
            "cli/fleet::rotated::a_host_that_",
            "cli/fleet::rotated::an",
            "cli/fleet::rotated::bystander::a_host_without_a_consumer_that_goes_away_",
            "cli/fleet::rotated::cannot_be_used::",
            "cli/fleet::rotated::clock::",
            "cli/fleet::rotated::cut::",
            "cli/fleet::rotated::drivers::",
            "cli/fleet::rotated::interrupted::",
            "cli/fleet::rotated::killed::",
        ],
        kept: &["cli/fleet::rotated::cut::garbage_", "cli/fleet::rotated::interrupted::ctrl_c_"],
        rooms: &["draft", "fleet", "inventory", "link", "onhost", "setup", "ssh", "trace"],
        files: &[
            "crates/front/app/src/hosts",
            "crates/front/app/src/scaffold",
            "crates/front/cli/src/bin/",
            "crates/front/cli/src/commands/hosts.rs",
            "crates/front/cli/src/commands/inspect_hosts.rs",
        ],
        ..NONE
    },
    Part {
        name: "leaks",
        what: "the scanner and the redaction on large and on hostile input: bombs, whole histories, every cut",
        units: &["history/", "leak/", "needle/", "redact/", "scanner/"],
        only: &[
            "history/oracle::a_packed_history_has_the_hits_",
            "history/provenance::every_blob_has_the_origins_",
            "redact/prefixed_keys::a_key_without_end_",
            "redact/rules_stream::a_long_value_that_is_held_back_",
            "redact/shipped::",
            "scanner/packed::what_asks_for_much_memory_",
            "scanner/trees::a_bomb_",
        ],
        // Nothing else is built with this feature.
        chore: Some(|| {
            named_tests(&["-p", "keyroll-redact", "--features", "tracing", "--test", "suite"], "log::")
        }),
        rooms: &["history", "leak", "needle", "redact", "scanner"],
        files: &["rules/"],
        ..NONE
    },
    Part {
        name: "readers",
        what: "what the readers of files read, of thousands of drawn files: shells, libraries, systemd, supervisord, docker",
        units: &["copy/"],
        only: &[
            "copy/dialects::dotenv_of_npm_",
            "copy/dialects::dotenv_of_ruby_",
            "copy/dialects::node_",
            "copy/readers::places::readers_agree_",
            "copy/readers::python_dotenv_agrees_",
            "copy/readers::supervisor::supervisord_agrees_",
        ],
        rooms: &["copy"],
        ..NONE
    },
    Part {
        name: "litellm",
        what: "the LiteLLM proxy with every source of its keys",
        units: &["cli/litellm"],
        only: &["cli/litellm::"],
        variable: Some(("KEYROLL_AGENTS", "full")),
        rotates: true,
        rooms: &["agents", "manager"],
        ..NONE
    },
    Part {
        name: "openclaw",
        what: "OpenClaw with every source of its keys",
        units: &["cli/openclaw"],
        only: &["cli/openclaw::"],
        variable: Some(("KEYROLL_AGENTS", "full")),
        rotates: true,
        rooms: &["agents", "manager"],
        ..NONE
    },
    Part {
        name: "waits",
        what: "what happens after a deadline of a minute",
        units: &["cli/gate"],
        only: &["cli/gate::a_rate_that_nobody_can_tell_"],
        rotates: true,
        ..NONE
    },
    Part {
        name: "kill",
        what: "keyroll killed at 1000 drawn system calls, with the released program",
        units: &[],
        chore: Some(|| crate::kill::kill(&[])),
        rotates: true,
        files: &["crates/front/cli/tests/kill"],
        ..NONE
    },
    Part {
        name: "aimed",
        what: "keyroll killed before and after each kind of effect, and at 200 drawn system calls",
        units: &["cli/aimed", "cli/kill"],
        only: &["cli/aimed::killed_", "cli/kill::killed_anywhere_"],
        rotates: true,
        ..NONE
    },
    Part {
        name: "disk",
        what: "every fault and every power failure of journal, witness, lock and store",
        units: &["journal/faulty_vfs"],
        variable: Some(("KEYROLL_FAULTS", "all")),
        rooms: &["journal", "store"],
        ..NONE
    },
    Part {
        name: "pairs",
        what: "the simulation: every pair of faults; the model with two disturbances and a crash",
        units: &["model/exhaustive"],
        only: &["model/exhaustive::two_disturbances_"],
        chore: Some(|| sim::sim(&["--exhaustive", "2", "--helpful", "5"].map(str::to_owned))),
        rooms: &["sim", "model"],
        ..NONE
    },
    Part {
        name: "full-pairs",
        what: "the simulation: pairs of faults in the full world, and triples",
        chore: Some(|| sim::sim(&["--full-pairs".to_owned(), "--triples".to_owned()])),
        rooms: &["sim"],
        ..NONE
    },
    Part {
        name: "seeds",
        what: "the simulation: drawn schedules, and every mutant",
        chore: Some(|| sim::sim(&["--seeds".to_owned(), SEEDS.to_owned(), "--mutants".to_owned()])),
        rooms: &["sim"],
        ..NONE
    },
    Part {
        name: "release",
        what: "the demo of the release build, and the examples in documentation",
        chore: Some(|| {
            rings::released_demo()?;
            run("cargo", &["test", "--quiet", "--workspace", "--doc"])
        }),
        rooms: &["demo"],
        files: &["Cargo.toml"],
        ..NONE
    },
    Part {
        name: "dist",
        what: "the packages: installed in clean hosts with systemd, unpacked, and started as a container; the demo from each",
        units: &["cli/dist"],
        only: &["cli/dist::"],
        variable: Some(dist::TESTED),
        chore: Some(dist::of_debug_build),
        rooms: &["demo"],
        files: &[
            "crates/front/cli/src/",
            "crates/front/server/",
            "deploy/debian/",
            "deploy/systemd/",
            "xtask/src/dist",
        ],
        ..NONE
    },
    Part {
        name: "python",
        what: "the Python package as it is published, with each Python of this machine, and its types",
        chore: Some(sdk::python_built),
        files: &["rules/", "sdk/python/"],
        ..NONE
    },
    Part {
        name: "libraries",
        what: "the Python package with the libraries that it serves, on PostgreSQL, Redis and moto",
        units: &["cli/values::two_hundred_tasks_"],
        only: &["cli/values::two_hundred_tasks_"],
        chore: Some(sdk::libraries),
        files: &["sdk/python/"],
        ..NONE
    },
    Part {
        name: "licences",
        what: "licences, bans and sources of all packages, by cargo-deny",
        chore: Some(parts::deny),
        files: &["Cargo.lock", "deny.toml"],
        ..NONE
    },
];
