use keyroll_app::exit::Exit;
use keyroll_app::operator::{DriftShown, Event};
use keyroll_app::problem::Problem;
use keyroll_app::reports::drift::drift;

use crate::args::SecretDriftArgs;
use crate::context::Context;
use crate::ui::Table;

/// Shows what each store gives out, the stored versions, and which version each process holds. Exits with 3 if something
/// differs or is not visible.
pub(super) fn run(args: &SecretDriftArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Context { installation, ui, .. } = context;
    let all = drift(args.name.as_deref(), &args.look.limits(), installation, ui)?;
    let differs = all.iter().any(DriftShown::is_finding);
    if all.is_empty() {
        context.ui.note("the source of truth is keyroll's own store: keyroll secret list shows its versions");
    }
    for shown in all {
        if context.ui.look.json {
            context.ui.event(Event::Drift(shown));
            continue;
        }
        show(&shown, context);
    }
    Ok(if differs { Exit::Findings } else { Exit::Done })
}

fn show(shown: &DriftShown, context: &mut Context) {
    context.ui.lines(&format!("{}: {}", shown.secret, shown.store));
    let dash = || "-".to_owned();
    let mut table = Table::new(["WHERE", "VERSION", "MADE", "FINGERPRINT"]);
    if let Some(given) = &shown.given_out {
        let version = given.version.map_or_else(|| "not keyroll's".to_owned(), |number| format!("v{number}"));
        let made = given.made.clone().unwrap_or_else(dash);
        let print = given.fingerprint.clone().unwrap_or_else(dash);
        table.row([format!("given out: {}", given.id), version, made, print]);
    }
    for there in &shown.there {
        let labels = if there.labels.is_empty() { dash() } else { there.labels.join(", ") };
        let made = there.made.clone().unwrap_or_else(dash);
        table.row([format!("store: {}", there.id), labels, made, dash()]);
    }
    for version in &shown.versions {
        let number = format!("v{} {}", version.version, version.label);
        table.row(["keyroll".to_owned(), number, dash(), version.fingerprint.clone()]);
    }
    for process in &shown.processes {
        let who = format!("process {} (pid {})", process.name, process.pid);
        table.row([who, process.holds.to_owned(), dash(), dash()]);
    }
    context.ui.table(&table);
    let there = &shown.hosts_not_visible;
    match (shown.processes.is_empty(), there.is_empty()) {
        (true, true) => context.ui.lines("no process was seen to use it"),
        (true, false) => context.ui.lines("no process of this machine was seen to use it"),
        (false, _) => {}
    }
    if !there.is_empty() {
        context.ui.lines(&format!("its processes elsewhere: not visible here: {}", there.join(", ")));
    }
    if let Some(why) = &shown.why {
        context.ui.lines(&format!("  {why}"));
    }
    if let Some(help) = &shown.help {
        context.ui.lines(&format!("  help: {help}"));
    }
}
