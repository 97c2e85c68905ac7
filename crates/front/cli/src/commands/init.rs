use keyroll_app::exit::Exit;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::scaffold::{InitRequest, Joined, Scaffold, Written};

use super::doctor;
use crate::args::{DoctorArgs, InitArgs};
use crate::context::Context;

/// The most omitted secrets that are named one by one.
const NAMED_MAX: usize = 8;

/// Writes keyroll.toml and its schema from the secrets found, or adds new ones to an existing file, whose bytes stay as
/// they are. Then checks the file as doctor does.
pub(super) fn run(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    if args.empty {
        return empty(args, context);
    }
    let request = InitRequest { roots: &args.roots, secrets: &args.secrets, limits: args.look.limits() };
    let scaffold = Scaffold::of(&request, &context.installation, &mut context.ui)?;
    omitted(&scaffold.left_out, context);
    if args.dry_run {
        would_write(&scaffold, context);
        tell(&scaffold.joined, context);
        context.ui.note("nothing was written");
        return Ok(Exit::Done);
    }
    write(&scaffold, context)?;
    tell(&scaffold.joined, context);
    check(context)
}

fn empty(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let scaffold = Scaffold::empty(&context.installation);
    if args.dry_run {
        would_write(&scaffold, context);
        return Ok(Exit::Done);
    }
    write(&scaffold, context)?;
    context.ui.note("next: keyroll secret add NAME --issuer SPEC --admin file:./FILE");
    Ok(Exit::Done)
}

fn omitted(left_out: &[String], context: &mut Context) {
    for one in left_out.iter().take(NAMED_MAX) {
        context.ui.note(format!("omitted: {one}"));
    }
    if !left_out.is_empty() {
        let more = left_out.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!("and {more} more; ") } else { String::new() };
        context.ui.note(format!("{more}to write an omitted secret, name it with --secret NAME"));
    }
}

fn write(scaffold: &Scaffold, context: &mut Context) -> Result<(), Problem> {
    let path = scaffold.path.display();
    match scaffold.write()? {
        Written::Nothing => {
            context.ui.note(format!("{path} already has everything that was found: nothing was changed"));
        }
        Written::Added => context.ui.event(Event::Undo {
            what: format!("added to {path}: {}", scaffold.joined.added.join(", ")),
            with: "remove those tables".to_owned(),
        }),
        Written::New(schema) => {
            context.ui.note(format!("wrote {path} and {}", schema.display()));
            context.ui.note(format!("to undo: rm {path} {}", schema.display()));
        }
    }
    Ok(())
}

fn tell(joined: &Joined, context: &mut Context) {
    let Joined { refused, gone, open, .. } = joined;
    for (what, all) in [("not added:", refused), ("kept in the file, but", gone), ("fill in", open)] {
        all.iter().for_each(|one| context.ui.note(format!("{what} {one}")));
    }
}

/// Shows the text that would be written; with `--json` as one event.
fn would_write(scaffold: &Scaffold, context: &mut Context) {
    let (path, text) = (scaffold.path.display().to_string(), &scaffold.joined.text);
    match context.ui.look.json {
        true => context.ui.event(Event::Draft { path, text: text.clone() }),
        false => context.ui.data(text.trim_end_matches('\n')),
    }
}

/// Shows what doctor finds. Parts that the operator has to fill in are not a failure of this command.
fn check(context: &mut Context) -> Result<Exit, Problem> {
    let exit = doctor::run(&DoctorArgs { accept_journal: false, moved_here: false }, context)?;
    let configured = context.installation.config().is_ok_and(|config| !config.secrets.is_empty());
    context.ui.note(match (exit == Exit::Findings, configured) {
        (true, _) => "fill in what is missing, then: keyroll doctor",
        (false, true) => "next: keyroll secret import --all, then keyroll doctor",
        (false, false) => "next: keyroll init --secret NAME, or keyroll secret add NAME --issuer SPEC",
    });
    Ok(Exit::Done)
}
