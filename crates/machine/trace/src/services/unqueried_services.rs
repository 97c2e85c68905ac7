use std::collections::{BTreeMap, BTreeSet};

use keyroll_manager::{Docker, Unit};
use keyroll_observe::{Process, ProcessId};

use super::context::Context;
use super::source::Kept;
use crate::ManagedBy;

/// The services of managers that did not answer or are not queried: their processes belong to no session, and the
/// sources of their values are unknown.
pub(super) fn kept(context: &Context<'_>, taken: &BTreeSet<ProcessId>) -> Vec<Kept> {
    let own = context.process(std::process::id());
    let here = |one: &Process| own.is_some_and(|own| own.container() == one.container());
    let mut of_name: BTreeMap<(&str, String), Vec<ProcessId>> = BTreeMap::new();
    for one in context.listing.seen.iter().filter(|one| !taken.contains(&one.id)) {
        let service = one.unit().filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"));
        let kept = match (one.container().filter(|_| !here(one)), service) {
            (Some(id), _) => {
                (Docker::NAME, format!("container {}", id.get(..Docker::ID_DIGITS).unwrap_or(id)))
            }
            (None, Some(unit)) => (Unit::SYSTEM, unit.to_owned()),
            (None, None) => continue,
        };
        of_name.entry(kept).or_default().push(one.id);
    }
    let kept = |((manager, name), processes)| Kept::untold(ManagedBy::Manager(manager), name, processes);
    of_name.into_iter().map(kept).collect()
}
