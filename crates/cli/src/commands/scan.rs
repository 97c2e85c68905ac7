use keyroll_trace::{Found, Risks};

use crate::args::ScanArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::seen::{Seen, look, tell_missed};
use crate::ui::{Event, FoundShown, InstanceShown, Table};

/// How many names stand in one cell.
const NAMES_SHOWN_MAX: usize = 3;

/// Shows what secrets live on this machine, who runs on them, and what could not be seen. Read-only.
pub(super) fn run(args: &ScanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look, context)?;
    let mut risks = Risks::default();
    let first: Vec<FoundShown> = seen.found.iter().map(|one| seen.secret(one, &mut risks)).collect();
    show(&first, context);
    if seen.memory(&args.look, context) {
        let news: Vec<FoundShown> = seen.found.iter().map(|one| seen.secret(one, &mut risks)).collect();
        let news: Vec<FoundShown> = news.into_iter().filter(|one| !first.contains(one)).collect();
        if !news.is_empty() {
            context.ui.note("the memory of processes holds more:");
            show(&news, context);
        }
    }
    instances(&seen, context);
    tell_missed(&seen.survey.unseen, context);
    if let Some(one) = seen.found.first() {
        context.ui.note(format!("keyroll why {} tells which copy wins and who runs on what", one.name));
    }
    Ok(Exit::Done)
}

fn show(all: &[FoundShown], context: &mut Context) {
    if context.ui.look.json {
        all.iter().for_each(|one| context.ui.event(Event::Found(one.clone())));
        return;
    }
    let mut table = Table::new(["SECRET", "VALUES", "COPIES", "USED BY", "RISK"]);
    for one in all {
        table.row([
            one.secret.clone(),
            some(one.values.iter().map(|value| value.text()).collect()),
            one.copies.len().to_string(),
            some(one.used_by.iter().map(named).collect()),
            one.risks.join("; "),
        ]);
    }
    match all {
        [] => context.ui.data("no secret was found"),
        _ => context.ui.table(&table),
    }
}

/// `api`, `mailer ×4`.
fn named(user: &crate::ui::UserShown) -> String {
    match user.processes.len() {
        0 => format!("{} (at rest)", user.name),
        1 => user.name.clone(),
        several => format!("{} ×{several}", user.name),
    }
}

/// Whoever does not run on what a new start would take, or holds more than that.
fn instances(seen: &Seen, context: &mut Context) {
    let all = |found: &Found| seen.instances(found);
    let all: Vec<InstanceShown> = seen.found.iter().flat_map(all).collect();
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Instance(one)));
        return;
    }
    let count = |verdict: &str| all.iter().filter(|one| one.verdict == verdict).count();
    let verdicts =
        ["current", "stale", "mixed", "unknown"].map(|verdict| format!("{} {verdict}", count(verdict)));
    if !all.is_empty() {
        context.ui.note(format!("{} uses of secrets by processes: {}", all.len(), verdicts.join(", ")));
    }
    let behind: Vec<&InstanceShown> =
        all.iter().filter(|one| matches!(one.verdict, "stale" | "mixed")).collect();
    if behind.is_empty() {
        return;
    }
    let mut table = Table::new(["INSTANCE", "SECRET", "VERDICT", "WHY"]);
    for one in behind {
        let instance = format!("{} (pid {})", one.used_by, one.pid);
        table.row([instance, one.secret.clone(), one.verdict.to_owned(), one.cause.clone()]);
    }
    context.ui.table(&table);
}

fn some(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMES_SHOWN_MAX);
    let shown = all.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}
