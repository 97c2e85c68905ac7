use keyroll_manager::{MANAGERS, Surveyed};

use super::around::Around;
use super::source::{Kept, Origin, Source};
use super::{Handle, Keeper};

/// The services of every manager that finds its services itself.
pub(super) fn kept(around: &mut Around<'_>) -> Vec<Kept> {
    let found =
        MANAGERS.iter().filter_map(|manager| manager.survey).flat_map(|survey| survey(around.listing));
    found.map(|one| service(around, one)).collect()
}

/// One service. Its program takes its variables from the environment that the manager started it with.
fn service(around: &Around<'_>, one: Surveyed) -> Kept {
    let main = one.main;
    let environment = main.and_then(|main| Some((main, around.start(&main)?)));
    let sources = environment.into_iter().map(|(main, variables)| {
        let what = format!("the environment that process {} was started with", main.pid);
        let source = Source::new(what, Origin::Start(main)).holding(variables);
        source.applied_by(&one.applied_by).not_by(&one.not_applied_by)
    });
    Kept {
        keeper: Keeper::Registered(one.identity.manager),
        name: one.identity.name.clone(),
        sources: sources.collect(),
        processes: main.map(|main| around.tree(main)).unwrap_or_default(),
        main,
        project: one.folder,
        handle: Handle::Registered { identity: one.identity, runs: one.runs },
    }
}
