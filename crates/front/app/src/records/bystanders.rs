//! The declared bystanders of a rotation, as the operator reads them.

use keyroll_rotation::{BystanderId, Incarnation, State};

use super::plan_names::Called;

/// The declared bystanders that were seen to hold a value, each with the reason of its declaration.
pub(super) fn kept(called: &Called, state: &State) -> Vec<(String, Option<String>)> {
    let one = |(id, processes): (BystanderId, Vec<Incarnation>)| {
        let known = called.bystanders.get(&id);
        let name = known.map_or_else(|| "NAME".to_owned(), |(name, _)| name.clone());
        let shown: Vec<String> = processes.iter().map(|who| process(called, *who)).collect();
        let shown = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) };
        (format!("the declared bystander {name}{shown}"), known.map(|(_, reason)| reason.clone()))
    };
    state.bystanders().into_iter().map(one).collect()
}

fn process(called: &Called, who: Incarnation) -> String {
    called
        .running_elsewhere(who)
        .or_else(|| who.pid().map(|pid| format!("process {pid}")))
        .unwrap_or_else(|| "a process".to_owned())
}
