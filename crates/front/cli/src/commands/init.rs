use keyroll_app::exit::Exit;
use keyroll_app::hosts::chosen;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::scaffold::{InitRequest, Joined, Scaffold, ScaffoldOfHosts, Written, of_hosts};

use super::doctor;
use super::inspect_hosts::{not_searched, not_visible};
use crate::args::{DoctorArgs, InitArgs};
use crate::context::Context;

/// What to do when nothing has to be filled in.
const NEXT: &str = "next: keyroll secret import --all, then keyroll doctor";

/// The same of hosts: no value comes from them.
const NEXT_OF_HOSTS: &str =
    "next: keyroll hosts accept HOST, keyroll secret add NAME < FILE_WITH_ITS_VALUE, then keyroll plan NAME";

/// Writes keyroll.toml and its schema from the secrets found, or adds new ones to an existing file, whose bytes stay as
/// they are. Then checks the file as doctor does.
pub(super) fn run(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    if args.empty {
        return empty(args, context);
    }
    if args.hosts.any() {
        return on_hosts(args, context);
    }
    let request = InitRequest { roots: &args.roots, secrets: &args.secrets, limits: args.look.limits() };
    let scaffold = Scaffold::of(&request, &context.installation, &mut context.ui)?;
    add(&scaffold, args.dry_run, NEXT, context)
}

/// Adds what is found on hosts. One that cannot be searched is named, and its problem is the one that the command ends with.
fn on_hosts(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = InitRequest { roots: &args.roots, secrets: &args.secrets, limits: args.look.limits() };
    let Context { installation, ui, .. } = &mut *context;
    let chosen = chosen(&args.hosts.named, args.hosts.all_hosts, installation)?;
    let ScaffoldOfHosts { scaffold, seen, failed } = of_hosts(&request, chosen, installation, ui)?;
    for one in &seen {
        context.ui.of_host(Some(one.host.clone()));
        one.scans.iter().for_each(|scan| context.ui.event(Event::Scan(scan.clone())));
        not_visible(one, context);
        context.ui.of_host(None);
    }
    let first = failed.first().map(|(_, problem)| problem.clone());
    for (at, (host, problem)) in failed.into_iter().enumerate() {
        not_searched(host, problem, at == 0, context);
    }
    if !seen.is_empty() {
        // It was read before anything was added to it.
        context.installation = context.installation.read_anew();
        add(&scaffold, args.dry_run, NEXT_OF_HOSTS, context)?;
    }
    first.map_or(Ok(Exit::Done), Err)
}

/// Writes what was found, and checks the file; or only shows it.
fn add(scaffold: &Scaffold, dry_run: bool, next: &str, context: &mut Context) -> Result<Exit, Problem> {
    omitted(&scaffold.left_out, context);
    if dry_run {
        would_write(scaffold, context);
        tell(&scaffold.joined, context);
        context.ui.note("nothing was written");
        return Ok(Exit::Done);
    }
    write(scaffold, context)?;
    tell(&scaffold.joined, context);
    check(next, context)
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

/// Names every secret that is left out, those with one reason in one line.
fn omitted(left_out: &[String], context: &mut Context) {
    for (why, names) in by_reason(left_out) {
        context.ui.note(format!("omitted: {}: {why}", names.join(", ")));
    }
    if !left_out.is_empty() {
        context.ui.note("to write an omitted secret, name it with --secret NAME");
    }
}

/// The names of `NAME: reason`, by reason, in the order in which the reasons first occur.
fn by_reason(left_out: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in left_out {
        let (name, why) = one.split_once(": ").unwrap_or((one.as_str(), ""));
        match all.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => all.push((why, vec![name])),
        }
    }
    all
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
fn check(next: &str, context: &mut Context) -> Result<Exit, Problem> {
    let exit = doctor::run(&DoctorArgs { accept_journal: false, moved_here: false }, context)?;
    let configured = context.installation.config().is_ok_and(|config| !config.secrets.is_empty());
    context.ui.note(match (exit == Exit::Findings, configured) {
        (true, _) => "fill in what is missing, then: keyroll doctor",
        (false, true) => next,
        (false, false) => "next: keyroll init --secret NAME, or keyroll secret add NAME --issuer SPEC",
    });
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::by_reason;

    #[test]
    fn every_omitted_secret_is_named_with_its_reason() {
        let mut all: Vec<String> = (1..=12).map(|at| format!("s{at}: no known service uses it")).collect();
        all.insert(
            3,
            "store: openclaw (a session): a row of a database: keyroll does not write it".to_owned(),
        );
        let told = by_reason(&all);
        let names: Vec<&str> = told.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(names.len(), 13);
        assert_eq!(
            told[1],
            ("openclaw (a session): a row of a database: keyroll does not write it", vec!["store"])
        );
    }
}
