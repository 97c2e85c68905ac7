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

/// Keys that are no manager's own.
pub static COMMON_KEYS: &[Key] = &[
    Key::new(
        "user",
        KeyForm::Text,
        "With `unit` or `timer`: the user whose own service manager has it (`systemctl --user`).",
    ),
    Key::new(
        "instances",
        KeyForm::Names,
        "The names of its instances, for `{instance}`. They are moved one by one.",
    ),
    Key::new("ports", KeyForm::Ports, "The port of each instance in the order of `instances`, for `{port}`."),
    Key::new(
        "pid_file",
        KeyForm::TemplatePath,
        "A file with the process id of an instance: `./run/api-{instance}.pid`.",
    ),
    Key::new("process", KeyForm::Executable, "Instead of `pid_file`: the path of its executable."),
    Key::new("arg", KeyForm::Template, "With `process`: an argument that one of its words must equal."),
    Key::new(
        "ready",
        KeyForm::Text,
        "An address that answers 200 when an instance is ready: `http://127.0.0.1:{port}/ready`.",
    ),
    Key::new(
        "drain",
        KeyForm::Text,
        "How long an instance may take to finish what it is doing. Default 10s.",
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
