use std::collections::BTreeMap;

use keyroll_app::exit::Exit;
use keyroll_app::inventory::{TraceReport, look, search_memory, secret, tell_missed};
use keyroll_app::operator::{CopyShown, Event, FoundShown, InstanceShown, ValueShown};
use keyroll_app::problem::Problem;

use crate::args::TraceArgs;
use crate::context::Context;
use crate::ui::Table;

/// Shows every copy of one secret, and every process that uses it with what is known of it. Read-only.
pub(super) fn run(args: &TraceArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    // A wrong name is reported before the memory is searched.
    secret(&seen, &args.secret)?;
    search_memory(&mut seen, &args.look.limits(), &mut context.ui);
    let found = secret(&seen, &args.secret)?;
    // A program that reads the events gets the evidence in any case.
    let report = seen.trace(found, true);
    shown(&report, args.evidence, context);
    tell_missed(report.missed, report.refused, &mut context.ui);
    Ok(Exit::Done)
}

/// Shows one secret: its copies, and the processes that use it; with `evidence`, all observations of each.
pub(crate) fn shown(report: &TraceReport, evidence: bool, context: &mut Context) {
    let TraceReport { found: shown, instances, nobody, .. } = report;
    if context.ui.look.json {
        context.ui.event(Event::Found(shown.clone()));
        instances.iter().for_each(|one| context.ui.event(Event::Instance(one.clone())));
        return;
    }
    let values: Vec<String> = shown.values.iter().map(ValueShown::text).collect();
    context.ui.lines(&format!("{}: {}", shown.secret, values.join(", ")));
    let on_host = !context.ui.host_flag().is_empty();
    context.ui.lines(&kind(shown, on_host));
    for user in &shown.used_by {
        if let Some(applies) = &user.applies {
            context.ui.lines(&format!("to apply a change to {}: {applies}", user.name));
        }
    }
    shown.risks.iter().for_each(|risk| context.ui.lines(&format!("  risk: {risk}")));
    let mut table = Table::new(["VALUE", "COPY", "NAME"]);
    // Of equal ones the first.
    let order: BTreeMap<&str, usize> =
        values.iter().enumerate().rev().map(|(at, text)| (text.as_str(), at)).collect();
    let mut copies: Vec<&CopyShown> = shown.copies.iter().collect();
    copies.sort_by_key(|copy| order.get(copy.value.as_str()));
    for copy in copies {
        let form = if copy.form == "plain" { String::new() } else { format!(" ({})", copy.form) };
        let name = copy.name.clone().unwrap_or_else(|| "-".to_owned());
        table.row([format!("{}{form}", copy.value), copy.place.clone(), name]);
    }
    context.ui.data("");
    context.ui.table(&table);
    if instances.is_empty() {
        context.ui.data(&format!("\n{nobody}"));
        return;
    }
    let mut table = Table::new(["INSTANCE", "STARTED", "ENVIRONMENT", "MEMORY", "NEXT", "VERDICT"]);
    instances.iter().for_each(|one| table.row(row(one)));
    context.ui.data("");
    context.ui.table(&table);
    for one in instances.iter().filter(|_| evidence) {
        context.ui.lines(&format!("\n{}: {}", one.who(), one.verdict));
        one.evidence.iter().for_each(|line| context.ui.lines(&format!("  {line}")));
    }
}

/// True if a change concerns several users.
fn kind(shown: &FoundShown, on_host: bool) -> String {
    match shown.used_by.len() {
        0 => "no process was seen to use it".to_owned(),
        several if shown.shared => {
            format!("shared by {several}: one rotation moves all of them")
        }
        _ if on_host => "one consumer".to_owned(),
        _ => "local: one consumer".to_owned(),
    }
}

fn row(one: &InstanceShown) -> [String; 6] {
    let all = |values: &[String]| if values.is_empty() { "-".to_owned() } else { values.join(", ") };
    let memory = match (&*one.memory.searched, one.memory.values.as_slice()) {
        ("whole", values) => all(values),
        (how, []) => how.to_owned(),
        (how, values) => format!("{} ({how})", values.join(", ")),
    };
    [
        format!("{} {}", one.program, one.pid),
        one.started.clone().unwrap_or_else(|| "-".to_owned()),
        one.start.as_ref().map_or_else(|| "not visible".to_owned(), |values| all(values)),
        memory,
        one.next.clone().unwrap_or_else(|| "not known".to_owned()),
        one.verdict.to_string(),
    ]
}
