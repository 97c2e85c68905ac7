//! Every manager, one line each.

use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::ManagerFact;
use crate::{
    adapter, at_rest, compose, container, cron, litellm, openclaw, pm2, prefork_master, process, reread,
    runit, supervisor, systemd,
};

/// The managers, in the order of the pages.
pub static MANAGERS: &[&Manager] = &[
    &process::RESTART,
    &process::SIGNAL,
    &reread::REREADS,
    &systemd::UNIT,
    &at_rest::TIMER,
    &compose::COMPOSE,
    &container::CONTAINER,
    &at_rest::AT_REST,
    &supervisor::SUPERVISOR,
    &pm2::PM2,
    &runit::RUNIT,
    &adapter::EXEC,
    &prefork_master::MASTER,
    &cron::CRON,
    &litellm::LITELLM,
    &openclaw::OPENCLAW,
];

/// Keys that several managers share.
pub static COMMON_KEYS: &[Key] = &[
    Key::new(
        "user",
        KeyForm::Text,
        "With `unit` or `timer`: the user whose service manager runs it (`systemctl --user`). Default: the system's service manager.",
    ),
    Key::new(
        "instances",
        KeyForm::Names,
        "The names of the instances, for `{instance}`: 1 to 32. keyroll moves them one at a time. Default: one instance.",
    ),
    Key::new(
        "ports",
        KeyForm::Ports,
        "For `{port}`: the port of each instance, in the order of `instances`.",
    ),
    Key::new(
        "pid_file",
        KeyForm::TemplatePath,
        "The file that contains the process id of the instance: `./run/api-{instance}.pid`. Workers that this process forked, or that run the same executable, belong to the instance; a child that runs another program counts as an undeclared process.",
    ),
    Key::new(
        "process",
        KeyForm::Executable,
        "Instead of `pid_file`: the path of the executable that the instance runs.",
    ),
    Key::new(
        "arg",
        KeyForm::Template,
        "With `process`: an argument that the process must have, as a whole: the script, if the executable is an interpreter.",
    ),
    Key::new(
        "ready",
        KeyForm::Text,
        "An `http://` address on loopback that answers with a status of 200 to 299 when the instance is ready: `http://127.0.0.1:{port}/ready`. Without it, an instance counts as ready when it runs.",
    ),
    Key::new(
        "drain",
        KeyForm::Text,
        "How long an instance takes at most to finish its current work before it ends. keyroll uses it only to estimate the downtime in `plan`. Default 10s.",
    ),
];

/// The keys under `runs`, each with the managers that it goes with.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    MANAGERS.iter().flat_map(|manager| manager.keys).chain(COMMON_KEYS)
}

/// Every row, in the order of the registry.
pub fn manager_facts() -> impl Iterator<Item = &'static ManagerFact> {
    MANAGERS.iter().flat_map(|manager| manager.facts)
}
