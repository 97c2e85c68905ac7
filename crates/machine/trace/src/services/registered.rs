use keyroll_manager::{MANAGERS, Surveyed};

use super::context::Context;
use super::source::{Kept, Origin, Read, Source};

/// The services of every manager that finds its services itself.
pub(super) fn kept(context: &mut Context<'_>) -> Vec<Kept> {
    let found =
        MANAGERS.iter().filter_map(|manager| manager.survey).flat_map(|survey| survey(context.listing));
    found.map(|one| service(context, one)).collect()
}

const AGAIN: &str = "each start sets it anew, and nothing shows from where";

/// One service. Its program takes its variables from the environment that it was started with; the next start makes that
/// anew.
fn service(context: &Context<'_>, one: Surveyed) -> Kept {
    let main = one.main;
    let environment = main.and_then(|main| Some((main, context.start(&main)?)));
    let sources = environment.into_iter().map(|(main, variables)| {
        let what = format!("the environment that process {} was started with", main.pid);
        let source = Source::new(what, Origin::Start(main)).holding(variables);
        let source = Source { applies: one.declaration.restart.clone(), ..source };
        source.not_by(&one.not_applied_by).read(Read::Perhaps(AGAIN))
    });
    let (name, sources) = (one.declaration.consumer.clone(), sources.collect());
    let processes = main.map(|main| context.tree(main)).unwrap_or_default();
    Kept { sources, main, project: one.folder, ..Kept::of(one.declaration, name, processes) }
}
