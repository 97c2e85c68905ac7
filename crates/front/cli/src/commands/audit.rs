use keyroll_app::exit::Exit;
use keyroll_app::operator::{ActShown, Event};
use keyroll_app::problem::Problem;
use keyroll_app::reports::audit::{AuditRequest, audit};

use crate::args::AuditArgs;
use crate::context::Context;
use crate::ui::Table;

/// Shows who asked for what, the newest first.
pub(super) fn run(args: &AuditArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = AuditRequest { about: args.about.as_deref(), all: args.all };
    let Some(audit) = audit(&request, &context.installation)? else {
        context.ui.note("nothing was asked for yet: there is no journal");
        return Ok(Exit::Done);
    };
    if context.ui.look.json {
        audit.rows.into_iter().for_each(|row| context.ui.event(Event::Act(row)));
    } else if audit.rows.is_empty() {
        context.ui.note("nothing was asked for");
    } else {
        show(&audit.rows, context);
    }
    if audit.older {
        context.ui.note("there are older ones: keyroll audit --all");
    }
    audit.doubt.map_or(Ok(Exit::Done), Err)
}

fn show(rows: &[ActShown], context: &mut Context) {
    let mut table = Table::new(["WHEN", "WHO", "WHAT", "SECRET", "ABOUT"]);
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for row in rows {
        table.row([row.asked_at.clone(), row.who(), row.what.clone(), or(&row.secret), or(&row.about)]);
    }
    let mut lines = table.lines().into_iter();
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (line, row) in lines.zip(rows) {
        text.push(line);
        text.extend(row.detail.as_ref().map(|detail| format!("  {detail}")));
        text.extend(row.refused.as_ref().map(|why| format!("  refused: {why}")));
    }
    context.ui.lines(&text.join("\n"));
}
