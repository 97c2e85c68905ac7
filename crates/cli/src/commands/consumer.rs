use std::path::{Path, PathBuf};

use keyroll_config::{
    Config, Copy, EntryPart, FileFormat, Name, NewApply, NewConsumer, Place, Secret, Signal, Source,
    WriteMode, add_consumer, replace_consumer,
};

use super::{check_adapter, waive};
use keyroll_manager::{Find, Reread, Run};

use crate::args::{AdoptArgs, ConsumerCommand};
use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::meant::meant;
use crate::ui::Event;
use crate::words;

/// Names what holds a secret.
pub(super) fn run(command: &ConsumerCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        ConsumerCommand::Adopt(args) => adopt(args, context),
        ConsumerCommand::Waive(args) => waive::run(args, context),
        ConsumerCommand::CheckAdapter(args) => Ok(check_adapter::run(args, context)),
    }
}

/// Writes the holder into keyroll.toml, then tells the open rotation, which rolls it at Deliver.
fn adopt(args: &AdoptArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = meant(&config, args.secret.as_deref(), &args.holder, &context.places()?)?;
    let new = described(args, &config, secret)?;
    let path = context.config_path();
    let text = config_file::read(&path)?;
    let file = path.display().to_string();
    let known = secret.consumer(new.name.as_str()).is_some();
    let edited = match (known, args.replace) {
        (true, false) => return Err(known_already(&new)),
        (true, true) => {
            crate::driving::adopt::refuse_open(&context.places()?, &new)?;
            replace_consumer(&text, &file, &new)?
        }
        (false, _) => add_consumer(&text, &file, &new)?,
    };
    refuse_useless(&edited, &path, &new)?;
    config_file::replace(&path, &text, &edited)?;
    let (what, with) = match known {
        true => ("replaced", "put its table back as it was".to_owned()),
        false => ("adopted", format!("remove its [[secrets.{}.consumers]] table", new.secret)),
    };
    context.ui.event(Event::Undo {
        what: format!("{what} {} as a consumer of {} in {}", new.name, new.secret, path.display()),
        with,
    });
    let (places, path) = (context.places()?, std::path::absolute(&path).unwrap_or(path));
    crate::driving::adopt::grant(&places, &new, &path, &edited)?;
    if known {
        return Ok(Exit::Done);
    }
    if let Some(id) = crate::driving::adopt::adopted(&places, &new, &args.holder, &path, &edited)? {
        context.ui.note(format!("the open rotation knows it now: keyroll resume {id}"));
    }
    Ok(Exit::Done)
}

fn known_already(new: &NewConsumer) -> Problem {
    adopting()
        .because(format!("{} has a consumer {} already", new.secret, new.name))
        .help("the same command with --replace puts this in its place, or choose another --name")
}

/// A holder whose commands cannot be run, or that could never show the new value, would only stand the rotation still.
fn refuse_useless(edited: &str, path: &Path, new: &NewConsumer) -> Result<(), Problem> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let config = Config::parse(edited, &path.display().to_string())?;
    let secret = crate::context::secret(&config, new.secret.as_str())?;
    secret.consumer(new.name.as_str()).map_or(Ok(()), crate::wiring::programs::refuse_missing_of)?;
    // An issuer that cannot be had is `plan`'s to tell.
    let (Ok(issuer), Some(consumer)) = (crate::wiring::issuer(secret), secret.consumer(new.name.as_str()))
    else {
        return Ok(());
    };
    crate::wiring::provable::provable(consumer, issuer.capabilities().attributes).map_err(|problem| {
        problem.help("give it --check \"COMMAND {copy}\", a command that succeeds only with a working key in that copy")
    })
}

/// The holder as a consumer.
fn described(args: &AdoptArgs, config: &Config, secret: &Secret) -> Result<NewConsumer, Problem> {
    let name = Name::new(args.name.as_str())
        .ok_or_else(|| adopting().because("--name is 1 to 64 of a-z 0-9 . _ -").exits(Exit::Usage))?;
    let apply = match (&args.restart, &args.signal) {
        (Some(command), _) => Some(NewApply::Restart(
            words::split(command)
                .ok_or_else(|| adopting().because("--restart has a quote that is not closed, or no word"))?,
        )),
        (None, Some(signal)) => Some(NewApply::Signal(Signal::parse(signal).ok_or_else(|| {
            adopting()
                .because(format!("--signal must be one of: {}", Signal::NAMES.join(", ")))
                .exits(Exit::Usage)
        })?)),
        (None, None) => None,
    };
    let check = match &args.check {
        Some(command) => Some(
            words::split(command)
                .ok_or_else(|| adopting().because("--check has a quote that is not closed, or no word"))?,
        ),
        None => None,
    };
    let Ok(pid) = args.holder.parse::<u32>() else {
        return adopted_file(args, secret, name, apply, check);
    };
    if args.format.is_some() && args.file.is_none() {
        return Err(adopting().because("--format is of a file: name it with --file FILE").exits(Exit::Usage));
    }
    let apply = apply.ok_or_else(|| {
        adopting()
            .because("a process has to be told to load the new key")
            .help("add --restart COMMAND, or --signal NAME where it reads its copy again on a signal")
            .exits(Exit::Usage)
    })?;
    let process = match &args.pid_file {
        Some(_) => None,
        None => Some(executable(pid)?),
    };
    let reads = match named_copy(args, secret)? {
        Some(copy) => vec![copy],
        None => only_copies(config, secret)?,
    };
    Ok(NewConsumer {
        secret: secret.name.clone(),
        name,
        apply,
        process,
        pid_file: args.pid_file.clone(),
        reads,
        check,
    })
}

/// A path: a copy without a process, unless the flags say how one is moved.
fn adopted_file(
    args: &AdoptArgs,
    secret: &Secret,
    name: Name,
    apply: Option<NewApply>,
    check: Option<Vec<String>>,
) -> Result<NewConsumer, Problem> {
    let path = real_file(Path::new(&args.holder))?;
    let copy = match named_copy(args, secret)? {
        Some(copy) => copy,
        None => Copy {
            place: place(args, path)?,
            source: only_field(secret)?,
            write: WriteMode::Rename,
            generated: None,
        },
    };
    Ok(NewConsumer {
        secret: secret.name.clone(),
        name,
        apply: apply.unwrap_or(NewApply::AtRest),
        process: None,
        pid_file: args.pid_file.clone(),
        reads: vec![copy],
        check,
    })
}

/// The copy that the flags name.
fn named_copy(args: &AdoptArgs, secret: &Secret) -> Result<Option<Copy>, Problem> {
    let place = match (&args.env_file, &args.variable, &args.file) {
        (Some(path), Some(variable), _) => {
            Place::EnvFile { path: real_file(path)?, variable: variable.clone() }
        }
        (_, _, Some(path)) => place(args, real_file(path)?)?,
        (_, _, None) => return Ok(None),
    };
    Ok(Some(Copy { place, source: only_field(secret)?, write: WriteMode::Rename, generated: None }))
}

/// The whole of a file, or the place in it that the flags name.
fn place(args: &AdoptArgs, path: PathBuf) -> Result<Place, Problem> {
    let (Some(format), Some(at)) = (&args.format, &args.at) else { return Ok(Place::File { path }) };
    let known = || FileFormat::ALL.map(|(name, _)| name).join(", ");
    let format = FileFormat::named(format).ok_or_else(|| {
        adopting().because(format!("--format must be one of: {}", known())).exits(Exit::Usage)
    })?;
    let part = format.has_entries().then_some(EntryPart::Password);
    Ok(Place::Inside { path, format, at: at.clone(), part })
}

/// Where no flag says what it starts from: the copies of the secret, if all consumers start from the same.
fn only_copies(config: &Config, secret: &Secret) -> Result<Vec<Copy>, Problem> {
    let mut kinds = config.secrets.get(&secret.name).into_iter().flat_map(|secret| &secret.consumers);
    let first = kinds.next().map(|consumer| consumer.reads.clone());
    match first {
        Some(reads) if kinds.all(|consumer| consumer.reads == reads) => Ok(reads),
        Some(_) | None => Err(adopting()
            .because("it is not clear which copy it starts from")
            .help("name it with --env-file FILE --variable NAME, --file FILE --format FORMAT --at PLACE, or --file FILE")
            .exits(Exit::Usage)),
    }
}

fn only_field(secret: &Secret) -> Result<Source, Problem> {
    let mut names = secret.fields.iter().filter(|(_, spec)| spec.secret).map(|(name, _)| name);
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(Source::Field(name.clone())),
        _ => Err(adopting()
            .because("the secret has several secret fields")
            .help("write the consumer into keyroll.toml by hand, with `field`")),
    }
}

/// The executable of a process, and the script that it runs where it is an interpreter. No other word of its command
/// line is written down: a value may stand there.
fn executable(pid: u32) -> Result<(String, Option<String>), Problem> {
    let problem = || adopting().help("name a file with its process id: --pid-file FILE");
    if pid <= 1 || pid == std::process::id() {
        return Err(adopting().because("this process cannot be a consumer"));
    }
    let folder = PathBuf::from(format!("/proc/{pid}"));
    if !folder.exists() {
        return Err(adopting()
            .because(format!("no process has the number {pid}"))
            .help("keyroll resume looks again, and names what holds the value"));
    }
    let path = std::fs::read_link(folder.join("exe")).map_err(|error| {
        problem().because(format!("the executable of process {pid} cannot be seen")).because_of(&error)
    })?;
    let path = path.to_str().filter(|path| !path.ends_with(" (deleted)"));
    let path = path.ok_or_else(|| problem().because("its executable was deleted or replaced"))?;
    let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    let script = line.split(|byte| *byte == 0).nth(1).and_then(|word| std::str::from_utf8(word).ok());
    let here = std::fs::read_link(folder.join("cwd")).unwrap_or_default();
    let script =
        script.filter(|word| !word.is_empty() && !word.starts_with('-') && here.join(word).is_file());
    let rule = (path.to_owned(), script.map(str::to_owned));
    refuse_wide(&rule)?;
    Ok(rule)
}

/// A rule that fits several processes would take others for this one.
fn refuse_wide(rule: &(String, Option<String>)) -> Result<(), Problem> {
    let find = Find::Executable { exe: PathBuf::from(&rule.0), argument: rule.1.clone() };
    let run = Run::Reread(Reread { instances: Vec::new(), find });
    let mains = keyroll_manager::instances(&run)?.into_iter().filter(|process| process.main).count();
    if mains <= 1 {
        return Ok(());
    }
    Err(adopting()
        .because(format!(
            "{mains} processes run {}: after a restart it could not be told from the others",
            rule.0
        ))
        .help("name a file that its restart writes its process id to: --pid-file FILE"))
}

fn real_file(path: &Path) -> Result<PathBuf, Problem> {
    let real = path.canonicalize().map_err(|error| {
        adopting()
            .because(format!("{} cannot be resolved", path.display()))
            .because_of(&error)
            .help("name a file that is there; relative paths stand on the folder that you are in")
    })?;
    match real.is_file() {
        true => Ok(real),
        false => Err(adopting().because(format!("{} is not a regular file", real.display()))),
    }
}

fn adopting() -> Problem {
    Problem::new("K0811", "adopt the consumer")
}
