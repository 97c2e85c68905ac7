use keyroll_app::exit::Exit;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::reports::waivers::waivers;
use keyroll_app::session::waive::{WaiveRequest, waive, withdraw};

use crate::args::{WaiveArgs, WaiversArgs};
use crate::context::Context;
use crate::ui::Table;

/// Waives a process, a copy or a consumer that is not visible, or withdraws the waiver of a copy.
pub(super) fn run(args: &WaiveArgs, context: &mut Context) -> Result<Exit, Problem> {
    let (holder, secret) = (args.holder.as_str(), args.secret.as_deref());
    let Some(reason) = &args.reason else {
        let withdrawn = withdraw(holder, secret, &context.installation)?;
        context.ui.note(format!(
            "withdrew the waiver for {}: the next rotation asks about {} again",
            withdrawn.secret, withdrawn.holder
        ));
        return Ok(Exit::Done);
    };
    let waived = waive(&WaiveRequest { holder, secret, reason }, &context.installation)?;
    let (name, holder) = (&waived.secret, &waived.holder);
    let goes = if waived.back { "new" } else { "old" };
    context.ui.note(match &waived.rotation {
        Some(id) => format!(
            "waived for {name}: {holder}; it may keep the {goes} value. keyroll status {id} lists it, and later \
             keyroll history {id}"
        ),
        None => format!(
            "waived for the next rotation of {name}: {holder}; it may keep the old value. keyroll consumer \
             waivers lists it"
        ),
    });
    Ok(Exit::Done)
}

/// Lists the waivers that count.
pub(super) fn list(args: &WaiversArgs, context: &mut Context) -> Result<Exit, Problem> {
    let all = waivers(args.secret.as_deref(), &context.installation)?;
    if all.is_empty() {
        context.ui.note("no waiver counts for an open or the next rotation");
        return Ok(Exit::Done);
    }
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Waiver(one)));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["SECRET", "WAIVED", "COUNTS FOR", "REASON"]);
    for one in all {
        let counts = one.rotation.map_or_else(|| "next rotation".to_owned(), |id| format!("rotation {id}"));
        table.row([one.secret, one.holder, counts, one.reason.unwrap_or_else(|| "-".to_owned())]);
    }
    context.ui.data(&table.lines().join("\n"));
    Ok(Exit::Done)
}
