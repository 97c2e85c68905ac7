use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, IssuerShown};
use keyroll_app::problem::Problem;
use keyroll_app::reports::issuers::{Issuers, issuer, issuers};
use keyroll_config::IssuerRef;

use crate::args::IssuersCommand;
use crate::context::Context;
use crate::ui::Table;

/// Shows the known issuers and their capabilities, without a call to any.
pub(super) fn run(command: &IssuersCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        IssuersCommand::List => list(context),
        IssuersCommand::Show(args) => show(&args.name, context),
    }
    .map(|()| Exit::Done)
}

fn list(context: &mut Context) -> Result<(), Problem> {
    let Issuers { known, unread } = issuers(&context.installation)?;
    unread.iter().for_each(|problem| context.ui.problem(problem));
    if context.ui.look.json {
        known.into_iter().for_each(|one| context.ui.event(Event::Issuer(one)));
        return Ok(());
    }
    let mut table = Table::new(["ISSUER", "MADE BY", "AT A TIME", "ENDED BY"]);
    for one in known {
        let made_by = one.made_by.split(',').next().unwrap_or_default().to_owned();
        table.row([one.name, made_by, one.keys, one.ended_by]);
    }
    context.ui.lines(&table.lines().join("\n"));
    let words = IssuerRef::server_words().join(", ");
    context.ui.note(format!("also: {words}, with two alternating logins (docs/guides)"));
    context.ui.note("for details: keyroll issuers show NAME");
    Ok(())
}

fn show(name: &str, context: &mut Context) -> Result<(), Problem> {
    let one = issuer(name, &context.installation)?;
    match context.ui.look.json {
        true => context.ui.event(Event::Issuer(one)),
        false => context.ui.lines(&card(&one)),
    }
    Ok(())
}

fn card(one: &IssuerShown) -> String {
    let mut lines = vec![
        format!("{}: {}", one.name, one.title),
        format!("makes a key: {}", one.made_by),
        format!("keys at once: {}", one.keys),
        format!("revokes the old key: {}", one.ended_by),
    ];
    let lists = [
        ("can", &one.can),
        ("cannot, according to the spec", &one.cannot),
        ("fields of a credential", &one.fields),
        ("credentials are sent to", &one.reach),
        ("by hand", &one.by_hand),
        ("assumed, not documented", &one.assumed),
        ("taken from", &one.sources),
    ];
    for (what, all) in lists.into_iter().filter(|(_, all)| !all.is_empty()) {
        lines.push(format!("{what}:"));
        lines.extend(all.iter().map(|one| format!("  {one}")));
    }
    lines.push(format!("read on: {}", one.checked));
    lines.push(format!("tried: {}", one.tried));
    lines.join("\n")
}
