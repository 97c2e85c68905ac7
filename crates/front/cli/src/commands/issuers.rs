use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, IssuerShown, PageShown, SpecWarningShown};
use keyroll_app::problem::Problem;
use keyroll_app::quantity::quantity;
use keyroll_app::reports::issuers::{Issuers, issuer, issuers, shipped_text};
use keyroll_app::reports::lint::{Linted, lint_specs};
use keyroll_app::wall_clock;
use keyroll_config::IssuerRef;

use crate::args::{IssuersCommand, IssuersLintArgs, IssuersShowArgs};
use crate::context::Context;
use crate::ui::Table;

/// Shows the known issuers and their capabilities, and judges specs, without a call to any issuer.
pub(super) fn run(command: &IssuersCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        IssuersCommand::List => list(context).map(|()| Exit::Done),
        IssuersCommand::Show(args) => show(args, context).map(|()| Exit::Done),
        IssuersCommand::Lint(args) => lint(args, context),
    }
}

/// Prints the warnings about specs; what is refused comes last.
fn lint(args: &IssuersLintArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Linted { judged, warnings, refused } =
        lint_specs(&args.specs, &context.installation, wall_clock::now().date())?;
    let warned = !warnings.is_empty();
    let counts = format!("{}, {}", quantity(judged, "spec"), quantity(warnings.len(), "warning"));
    for warning in warnings {
        match context.ui.look.json {
            true => context.ui.event(Event::SpecWarning(warning)),
            false => context.ui.lines(&in_lines(&warning)),
        }
    }
    if judged > 0 || refused.is_empty() {
        context.ui.note(counts);
    }
    refused.iter().for_each(|problem| context.ui.problem(problem));
    Ok(match (refused.is_empty(), args.strict && warned) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Findings,
        (true, false) => Exit::Done,
    })
}

/// A warning in the form that editors and CI systems find the place by.
fn in_lines(warning: &SpecWarningShown) -> String {
    let SpecWarningShown { file, line, column, message, help, .. } = warning;
    format!("{file}:{line}:{column}: warning: {message}\n  help: {help}")
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
    let aws = IssuerRef::aws_word();
    context.ui.note(format!("also: {aws}, the access keys of an IAM user (docs/guides)"));
    context.ui.note("for details: keyroll issuers show NAME");
    Ok(())
}

fn show(args: &IssuersShowArgs, context: &mut Context) -> Result<(), Problem> {
    if args.text {
        context.ui.lines(shipped_text(&args.name)?.trim_end());
        return Ok(());
    }
    let one = issuer(&args.name, &context.installation)?;
    match context.ui.look.json {
        true => context.ui.event(Event::Issuer(one)),
        false => context.ui.lines(&card(&one)),
    }
    Ok(())
}

fn card(one: &IssuerShown) -> String {
    let pages: Vec<String> = one.pages.iter().flat_map(page).collect();
    let mut lines = vec![
        format!("{}: {}", one.name, one.title),
        format!("makes a key: {}", one.made_by),
        format!("keys at once: {}", one.keys),
        format!("revokes the old key: {}", one.ended_by),
    ];
    let lists = [
        ("can", &one.can),
        ("cannot, according to the spec", &one.cannot),
        ("needs in keyroll.toml", &one.needs),
        ("fields of a credential", &one.fields),
        ("credentials are sent to", &one.reach),
        ("by hand", &one.by_hand),
        ("assumed, not documented", &one.assumed),
        ("taken from", &pages),
    ];
    for (what, all) in lists.into_iter().filter(|(_, all)| !all.is_empty()) {
        lines.push(format!("{what}:"));
        lines.extend(all.iter().map(|one| format!("  {one}")));
    }
    lines.push(format!("read on: {}", one.checked));
    lines.push(format!("tried: {}", one.tried));
    lines.join("\n")
}

/// A page with what it states, in one line or two.
fn page(page: &PageShown) -> Vec<String> {
    let PageShown { at, says, checked } = page;
    let states = (!says.is_empty()).then(|| format!("  states {}; read on {checked}", says.join(", ")));
    std::iter::once(at.clone()).chain(states).collect()
}
