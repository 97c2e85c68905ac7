use std::io;
use std::path::Path;

use keyroll_config::{Config, SCHEMA_FILE_NAME};

use super::doctor;
use crate::args::{DoctorArgs, InitArgs};
use crate::config_file;
use crate::context::Context;
use crate::drafted::{Joined, Wanted, drafts, join};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::seen::{folders, look, secret, tell_missed};
use crate::ui::Event;

/// What stands at the top of a new file. It is accepted as it is.
const HEAD: &str = "\
#:schema ./keyroll.schema.json
# Which secrets there are, who accepts them, and who uses them. Never a value: see docs/reference/config.md.
version = 1

[defaults]
max_parallel = 1
on_failure = \"rollback\"
";

/// What stands below it where nothing was looked at.
const EXAMPLE: &str = "
# [secrets.openrouter]
# issuer = \"openrouter\"
# admin  = \"file:./openrouter-admin.key\"
#
# [[secrets.openrouter.consumers]]
# name  = \"api\"
# runs  = { restart = [\"./restart.sh\"], pid_file = \"./run/api.pid\" }
# reads = { env_file = \"./api.env\", variable = \"OPENROUTER_API_KEY\" }
# check = { exec = [\"./probe.sh\", \"{copy}\"] }
";

/// How many secrets that were left out are named one by one.
const NAMED_MAX: usize = 8;

/// Writes a keyroll.toml from what was found, or adds to the one that is there what is new; its schema beside it. What stands
/// there stays byte by byte. Then looks at every line of it, as doctor does.
pub(super) fn run(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let path = context.config_path();
    if args.empty {
        return empty(args, &path, context);
    }
    let before = before(&path)?;
    let joined = found(args, &path, before.as_deref(), context)?;
    if args.dry_run {
        would_write(&path, joined.text.clone(), context);
        tell(&joined, context);
        context.ui.note("nothing was written");
        return Ok(Exit::Done);
    }
    match &before {
        Some(old) if *old == joined.text => {
            context.ui.note(format!("{} has all that was found: nothing was changed", path.display()));
        }
        Some(old) => {
            config_file::replace(&path, old, &joined.text)?;
            context.ui.event(Event::Undo {
                what: format!("added to {}: {}", path.display(), joined.added.join(", ")),
                with: "take those tables out again".to_owned(),
            });
        }
        None => write_new(&path, &joined.text, context)?,
    }
    tell(&joined, context);
    looked_at(context)
}

/// The text that is there; an error where it is not one that could be added to.
fn before(path: &Path) -> Result<Option<String>, Problem> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    let refused = |problem: Problem| {
        let mut refused = Problem::new("K0920", format!("add to {}", path.display()));
        refused.causes = problem.causes;
        let help = problem.help.unwrap_or_else(|| "correct it".to_owned());
        refused.help(format!("{help}; or name another with --config FILE. nothing was changed"))
    };
    let text = config_file::read(path).map_err(refused)?;
    match Config::parse(&text, &path.display().to_string()) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(refused(Problem::from(error))),
    }
}

/// The text with what was found, and what is to be said of it.
fn found(
    args: &InitArgs,
    path: &Path,
    before: Option<&str>,
    context: &mut Context,
) -> Result<Joined, Problem> {
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let roots = folders(&args.roots)?;
    let mut seen = look(&roots, &args.look, context)?;
    seen.memory(&args.look, context);
    let named = args.secrets.iter().map(|word| secret(&seen, word)).collect::<Result<Vec<_>, _>>()?;
    let all = if named.is_empty() { seen.found.iter().collect() } else { named };
    let wanted = Wanted {
        survey: &seen.survey,
        roots,
        folder: file.parent().unwrap_or(Path::new("/")),
        named: !args.secrets.is_empty(),
    };
    let (drafts, left_out) = drafts(&wanted, &all);
    let text = before.unwrap_or(HEAD);
    let joined = join(text, &file.display().to_string(), &drafts, &seen.survey)?;
    tell_missed(&seen.survey, context);
    for one in left_out.iter().take(NAMED_MAX) {
        context.ui.note(format!("left out: {one}"));
    }
    if !left_out.is_empty() {
        let more = left_out.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!("and {more} more; ") } else { String::new() };
        context.ui.note(format!("{more}with --secret NAME one that was left out is written too"));
    }
    Ok(joined)
}

fn tell(joined: &Joined, context: &mut Context) {
    for one in &joined.refused {
        context.ui.note(format!("not added: {one}"));
    }
    for one in &joined.gone {
        context.ui.note(format!("it stands in the file and is left there, but {one}"));
    }
    for one in &joined.open {
        context.ui.note(format!("fill in {one}"));
    }
}

/// The text that would be written: of a stream for machines one event.
fn would_write(path: &Path, text: String, context: &mut Context) {
    match context.ui.look.json {
        true => context.ui.event(Event::Draft { path: path.display().to_string(), text }),
        false => context.ui.data(text.trim_end_matches('\n')),
    }
}

/// What doctor says of every line. What a person has to fill in is no failure of this command.
fn looked_at(context: &mut Context) -> Result<Exit, Problem> {
    let exit = doctor::run(&DoctorArgs { accept_journal: false, moved_here: false }, context)?;
    context.ui.note(match exit == Exit::Findings {
        true => "fill in what is missing, then: keyroll doctor",
        false => "next: keyroll secret import --all, then keyroll doctor",
    });
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str, context: &mut Context) -> Result<(), Problem> {
    config_file::create(path, text, "--config")?;
    let schema = path.with_file_name(SCHEMA_FILE_NAME);
    let form = format!("{:#}\n", keyroll_config::schema());
    // An older schema is ours to renew; the configuration is not.
    match schema.exists() {
        true => config_file::replace(&schema, &config_file::read(&schema)?, &form)?,
        false => config_file::create(&schema, &form, "--config")?,
    }
    Config::load(path)?;
    context.ui.note(format!("wrote {} and {}", path.display(), schema.display()));
    context.ui.note(format!("to undo: rm {} {}", path.display(), schema.display()));
    Ok(())
}

fn empty(args: &InitArgs, path: &Path, context: &mut Context) -> Result<Exit, Problem> {
    let text = format!("{HEAD}{EXAMPLE}");
    if args.dry_run {
        would_write(path, text, context);
        return Ok(Exit::Done);
    }
    write_new(path, &text, context)?;
    context.ui.note("next: keyroll secret add NAME --issuer SPEC --admin file:./FILE");
    Ok(Exit::Done)
}
