use keyroll_app::exit::Exit;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::reports::waivers::waivers;
use keyroll_app::session::waive::{Said, WaiveRequest, WaivedShown, waive, withdraw};

use crate::args::{AcceptFileArgs, LetGoArgs, WaiveArgs, WaiversArgs};
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
    let request = WaiveRequest { said: Said::MayKeep, holder, secret, reason };
    say(&request, context, |waived| {
        let (name, holder) = (&waived.secret, &waived.holder);
        let goes = if waived.back { "new" } else { "old" };
        match &waived.rotation {
            Some(id) if waived.before => {
                format!(
                    "{holder} is already waived for {name}: nothing was changed. keyroll status {id} lists it"
                )
            }
            None if waived.before => format!(
                "{holder} is already waived for the next rotation of {name}: nothing was changed. keyroll consumer \
                 waivers lists it"
            ),
            Some(id) => format!(
                "waived for {name}: {holder}; it may keep the {goes} value. keyroll status {id} lists it, and later \
                 keyroll history {id}"
            ),
            None => format!(
                "waived for the next rotation of {name}: {holder}; it may keep the old value. keyroll consumer \
                 waivers lists it"
            ),
        }
    })
}

/// Lets a consumer go that is gone.
pub(super) fn let_go(args: &LetGoArgs, context: &mut Context) -> Result<Exit, Problem> {
    let (holder, secret) = (args.consumer.as_str(), args.secret.as_deref());
    let request = WaiveRequest { said: Said::IsGone, holder, secret, reason: &args.reason };
    say(&request, context, |waived| {
        let id = waived.rotation.as_deref().unwrap_or_default();
        format!(
            "{holder} of {} counts as gone: nothing is asked of it until it runs again. keyroll status {id} \
             lists it",
            waived.secret
        )
    })
}

/// Accepts a file as it stands.
pub(super) fn accept_file(args: &AcceptFileArgs, context: &mut Context) -> Result<Exit, Problem> {
    let (holder, secret) = (args.file.as_str(), args.secret.as_deref());
    let request = WaiveRequest { said: Said::StaysAsIs, holder, secret, reason: &args.reason };
    say(&request, context, |waived| {
        let id = waived.rotation.as_deref().unwrap_or_default();
        format!(
            "accepted for {}: {}; keyroll neither writes nor restores it, and what reads it next loses access if it has the {} \
             key. keyroll status {id} lists it",
            waived.secret,
            waived.holder,
            if waived.back { "new" } else { "old" }
        )
    })
}

/// Records what was said of a holder, and notes what that means.
fn say(
    request: &WaiveRequest<'_>,
    context: &mut Context,
    note: impl FnOnce(&WaivedShown) -> String,
) -> Result<Exit, Problem> {
    let waived = waive(request, &context.installation, &mut context.ui)?;
    context.ui.note(note(&waived));
    waived.next.into_iter().for_each(|next| context.ui.note(next));
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
