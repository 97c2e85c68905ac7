use std::io;
use std::path::Path;

use keyroll_app::config_file;
use keyroll_app::exit::Exit;
use keyroll_app::inventory::{folders, look, secret, tell_missed};
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::scaffold::{Joined, Wanted, drafts, join};
use keyroll_codes::Code;
use keyroll_config::{Config, SCHEMA_FILE_NAME};

use super::doctor;
use crate::args::{DoctorArgs, InitArgs};
use crate::context::Context;

/// The head of a new file; a valid configuration by itself.
const HEAD: &str = "\
#:schema ./keyroll.schema.json
# Which secrets there are, who accepts them, and who uses them. Never a value: see docs/reference/config.md.
version = 1

[defaults]
max_parallel = 1
on_failure = \"rollback\"
";

/// The example below it for `--empty`.
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

/// The most omitted secrets that are named one by one.
const NAMED_MAX: usize = 8;

/// Writes keyroll.toml and its schema from the secrets found, or adds new ones to an existing file, whose bytes stay as
/// they are. Then checks the file as doctor does.
pub(super) fn run(args: &InitArgs, context: &mut Context) -> Result<Exit, Problem> {
    let path = context.installation.config_path();
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
            context.ui.note(format!(
                "{} already has everything that was found: nothing was changed",
                path.display()
            ));
        }
        Some(old) => {
            config_file::replace(&path, old, &joined.text)?;
            context.ui.event(Event::Undo {
                what: format!("added to {}: {}", path.display(), joined.added.join(", ")),
                with: "remove those tables".to_owned(),
            });
        }
        None => write_new(&path, &joined.text, context)?,
    }
    tell(&joined, context);
    check(context)
}

/// The text of an existing file; an error if nothing can be added to it.
fn before(path: &Path) -> Result<Option<String>, Problem> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    let refused = |problem: Problem| {
        let mut refused = Problem::new(Code::ConfigNotWritten, format!("add to {}", path.display()));
        refused.causes = problem.causes;
        let help = problem.help.unwrap_or_else(|| "correct it".to_owned());
        refused.help(format!("{help}; or name another file with --config FILE. nothing was changed"))
    };
    let text = config_file::read(path).map_err(refused)?;
    match Config::parse(&text, &path.display().to_string()) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(refused(Problem::from(error))),
    }
}

/// The text with the secrets found, and the notes on it.
fn found(
    args: &InitArgs,
    path: &Path,
    before: Option<&str>,
    context: &mut Context,
) -> Result<Joined, Problem> {
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let roots = folders(&args.roots)?;
    let mut seen = look(&roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    seen.memory(&args.look.limits(), &mut context.ui);
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
    tell_missed(&seen.survey, &mut context.ui);
    for one in left_out.iter().take(NAMED_MAX) {
        context.ui.note(format!("omitted: {one}"));
    }
    if !left_out.is_empty() {
        let more = left_out.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!("and {more} more; ") } else { String::new() };
        context.ui.note(format!("{more}to write an omitted secret, name it with --secret NAME"));
    }
    Ok(joined)
}

fn tell(joined: &Joined, context: &mut Context) {
    for one in &joined.refused {
        context.ui.note(format!("not added: {one}"));
    }
    for one in &joined.gone {
        context.ui.note(format!("kept in the file, but {one}"));
    }
    for one in &joined.open {
        context.ui.note(format!("fill in {one}"));
    }
}

/// Shows the text that would be written; with `--json` as one event.
fn would_write(path: &Path, text: String, context: &mut Context) {
    match context.ui.look.json {
        true => context.ui.event(Event::Draft { path: path.display().to_string(), text }),
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

fn write_new(path: &Path, text: &str, context: &mut Context) -> Result<(), Problem> {
    config_file::create(path, text, "--config")?;
    let schema = path.with_file_name(SCHEMA_FILE_NAME);
    let form = format!("{:#}\n", keyroll_config::schema());
    // An older schema is replaced; an existing configuration is not.
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
