use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_manager::{Docker, Unit};
use keyroll_observe::{Process, ProcessId, called, is_shell};

use crate::{ManagedBy, Survey};

/// A user of a secret: a service, or the processes of one name that no manager runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its manager.
    pub managed_by: ManagedBy,
    /// Its name at the manager; without a manager, the name of the program.
    pub name: String,
    /// Its processes.
    pub processes: Vec<ProcessId>,
    /// Which of the survey's services it is.
    pub service: Option<usize>,
}

/// All users of secrets, each process once.
pub(crate) fn users(survey: &Survey) -> Vec<User> {
    let mut all: Vec<User> = (0..)
        .zip(&survey.services)
        .map(|(at, one)| User {
            managed_by: one.managed_by,
            name: one.name.clone(),
            processes: one.processes.clone(),
            service: Some(at),
        })
        .collect();
    let kept: BTreeSet<ProcessId> = all.iter().flat_map(|user| user.processes.clone()).collect();
    let mut others: BTreeMap<(ManagedBy, String), Vec<ProcessId>> = BTreeMap::new();
    for process in survey.listing.seen.iter().filter(|one| !kept.contains(&one.id)) {
        others.entry(by_group(process)).or_default().push(process.id);
    }
    let others = others.into_iter().map(|((managed_by, name), processes)| User {
        managed_by,
        name,
        processes,
        service: None,
    });
    all.extend(others);
    all
}

/// The manager of a process, by its control group alone.
fn by_group(process: &Process) -> (ManagedBy, String) {
    let of_user = process.cgroup.as_deref().is_some_and(|group| group.contains("/user.slice/"));
    let unit = process.unit().unwrap_or_default();
    if let Some(id) = unit.strip_prefix("docker-").and_then(|id| id.strip_suffix(".scope")) {
        return (ManagedBy::Manager(Docker::NAME), id.chars().take(Docker::ID_DIGITS).collect());
    }
    match unit.strip_suffix(".service").filter(|name| !name.starts_with("user@")) {
        Some(name) if of_user => (ManagedBy::Manager(Unit::OF_USER), name.to_owned()),
        Some(name) => (ManagedBy::Manager(Unit::SYSTEM), name.to_owned()),
        None if is_shell(Path::new(&process.name)) => (ManagedBy::Session, process.name.clone()),
        None => (ManagedBy::Unmanaged, called(process)),
    }
}
