use std::path::{Path, PathBuf};

use keyroll_app::exit::Exit;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::records::resolve_target::meant;
use keyroll_app::session::adopt::{Adoption, refuse_open};
use keyroll_app::{config_file, shell_words};
use keyroll_codes::Code;
use keyroll_config::{
    Config, Copy, Name, NewApply, NewConsumer, Place, Secret, Signal, Source, WriteMode, add_consumer,
    replace_consumer,
};
use keyroll_manager::{Find, Reread};

use super::{check_adapter, waive};
use crate::args::{AdoptArgs, ConsumerCommand};
use crate::context::Context;

/// Adopts or waives a process or a copy.
pub(super) fn run(command: &ConsumerCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        ConsumerCommand::Adopt(args) => adopt(args, context),
        ConsumerCommand::Waive(args) => waive::run(args, context),
        ConsumerCommand::Waivers(args) => waive::list(args, context),
        ConsumerCommand::CheckAdapter(args) => Ok(check_adapter::run(args, context)),
    }
}

/// Writes the consumer into keyroll.toml, then adds it to the open rotation.
fn adopt(args: &AdoptArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let secret = meant(&config, args.secret.as_deref(), &args.holder, &context.installation.places()?)?;
    let new = described(args, &config, secret)?;
    let path = context.installation.config_path();
    let text = config_file::read(&path)?;
    let file = path.display().to_string();
    let known = secret.consumer(new.name.as_str()).is_some();
    let edited = match (known, args.replace) {
        (true, false) => return Err(known_already(&new)),
        (true, true) => {
            refuse_open(&context.installation.places()?, &new)?;
            replace_consumer(&text, &file, &new)?
        }
        (false, _) => add_consumer(&text, &file, &new)?,
    };
    refuse_useless(&edited, &path, &new)?;
    let places = context.installation.places()?;
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let adoption = Adoption { new: &new, holder: &args.holder, config_file: &absolute, config_text: &edited };
    let mut write = || {
        config_file::replace(&path, &text, &edited)?;
        context.ui.event(written(&new, known, &path));
        Ok(())
    };
    let open = match known {
        true => {
            adoption.write_alone(&places, &mut write)?;
            None
        }
        false => adoption.carry_out(&places, &mut write)?,
    };
    if names_no_copy(args) {
        context.ui.note(assumed(&new, open.is_some()));
    }
    if let Some(id) = open {
        context.ui.note(format!("added to the open rotation; to continue: keyroll resume {id}"));
    }
    Ok(Exit::Done)
}

/// Whether the flags name no copy of a process, so that the copy is derived from the other consumers.
fn names_no_copy(args: &AdoptArgs) -> bool {
    args.holder.parse::<u32>().is_ok() && args.env_file.is_none() && args.file.is_none()
}

/// Shows which copy was chosen, why, and how to name another one.
fn assumed(new: &NewConsumer, open: bool) -> String {
    let copies: Vec<String> = new.reads.iter().map(|copy| copy.place.to_string()).collect();
    let (name, copies) = (&new.name, copies.join(" and "));
    let other = match open {
        false => {
            "repeat the command with --replace --env-file FILE --variable NAME, or --replace --file FILE"
                .to_owned()
        }
        true => format!(
            "keyroll consumer waive {name} --reason WHY, then adopt the process under another --name with \
             --env-file FILE --variable NAME, or --file FILE"
        ),
    };
    format!(
        "no copy was named, so keyroll assumes that {name} starts from {copies}, which every other consumer of {} reads\n  if \
         it starts from another copy: {other}",
        new.secret
    )
}

/// What was written, and how to undo that.
fn written(new: &NewConsumer, known: bool, path: &Path) -> Event {
    let (what, with) = match known {
        true => ("replaced", "restore its previous table".to_owned()),
        false => ("adopted", format!("remove its [[secrets.{}.consumers]] table", new.secret)),
    };
    let what = format!("{what} {} as a consumer of {} in {}", new.name, new.secret, path.display());
    Event::Undo { what, with }
}

fn known_already(new: &NewConsumer) -> Problem {
    adopting()
        .because(format!("{} already has a consumer {}", new.secret, new.name))
        .help("replace it with --replace, or choose another --name")
}

/// Refuses a consumer whose commands cannot run, or that can never prove the new value: it would only pause the
/// rotation.
fn refuse_useless(edited: &str, path: &Path, new: &NewConsumer) -> Result<(), Problem> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let config = Config::parse(edited, &path.display().to_string())?;
    let secret = keyroll_app::configured::secret(&config, new.secret.as_str())?;
    secret.consumer(new.name.as_str()).map_or(Ok(()), keyroll_app::wiring::programs::refuse_missing_of)?;
    // `plan` reports an issuer that cannot be built.
    let (Ok(issuer), Some(consumer)) =
        (keyroll_app::wiring::issuer(secret), secret.consumer(new.name.as_str()))
    else {
        return Ok(());
    };
    keyroll_app::wiring::provable::provable(consumer, issuer.capabilities().attributes).map_err(|problem| {
        problem.help(
            "add --check \"COMMAND {copy}\", a command that succeeds only with a working key in that copy",
        )
    })
}

/// The process or copy as a consumer.
fn described(args: &AdoptArgs, config: &Config, secret: &Secret) -> Result<NewConsumer, Problem> {
    let name = Name::new(args.name.as_str())
        .ok_or_else(|| adopting().because("--name is 1 to 64 of a-z 0-9 . _ -").exits(Exit::Usage))?;
    let apply = match (&args.restart, &args.signal) {
        (Some(command), _) => Some(NewApply::Restart(
            shell_words::split(command)
                .ok_or_else(|| adopting().because("--restart is empty or has an unclosed quote"))?,
        )),
        (None, Some(signal)) => Some(NewApply::Signal(Signal::parse(signal).ok_or_else(|| {
            adopting()
                .because(format!(
                    "--signal must be one of: {}",
                    Signal::NAMES.map(|(name, _)| name).join(", ")
                ))
                .exits(Exit::Usage)
        })?)),
        (None, None) => None,
    };
    let check = match &args.check {
        Some(command) => Some(
            shell_words::split(command)
                .ok_or_else(|| adopting().because("--check is empty or has an unclosed quote"))?,
        ),
        None => None,
    };
    let Ok(pid) = args.holder.parse::<u32>() else {
        return adopted_file(args, secret, name, apply, check);
    };
    if args.format.is_some() && args.file.is_none() {
        return Err(adopting()
            .because("--format describes a file: name it with --file FILE")
            .exits(Exit::Usage));
    }
    let apply = apply.ok_or_else(|| {
        adopting()
            .because("keyroll must know how to make the process load the new key")
            .help("add --restart COMMAND, or --signal NAME if the process reloads its copy on a signal")
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

/// A path: a copy without a process, unless the flags say how to move one.
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

/// The whole file, or the position in it that the flags name.
fn place(args: &AdoptArgs, path: PathBuf) -> Result<Place, Problem> {
    let (Some(format), Some(at)) = (&args.format, &args.at) else { return Ok(Place::File { path }) };
    let known = || keyroll_copy::Format::NAMED.map(|(name, _)| name).join(", ");
    let format = keyroll_copy::Format::named(format).ok_or_else(|| {
        adopting().because(format!("--format must be one of: {}", known())).exits(Exit::Usage)
    })?;
    let part = format.has_entries().then_some(keyroll_copy::Part::Password);
    Ok(Place::Inside { path, format, at: at.clone(), part })
}

/// Without a flag: the copies of the secret, if all consumers read the same ones.
fn only_copies(config: &Config, secret: &Secret) -> Result<Vec<Copy>, Problem> {
    let mut kinds = config.secrets.get(&secret.name).into_iter().flat_map(|secret| &secret.consumers);
    let first = kinds.next().map(|consumer| consumer.reads.clone());
    match first {
        Some(reads) if kinds.all(|consumer| consumer.reads == reads) => Ok(reads),
        Some(_) | None => Err(adopting()
            .because("the copy that the process starts from is unknown")
            .help(
                "name it with --env-file FILE --variable NAME, --file FILE --format FORMAT --at POSITION, or \
             --file FILE",
            )
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

/// The executable of a process, and its script if it is an interpreter. No other word of its command line is stored,
/// because it may be a value.
fn executable(pid: u32) -> Result<(String, Option<String>), Problem> {
    let problem = || adopting().help("name a file with its process id: --pid-file FILE");
    if pid <= 1 || pid == std::process::id() {
        return Err(adopting().because("this process cannot be a consumer"));
    }
    let folder = PathBuf::from(format!("/proc/{pid}"));
    if !folder.exists() {
        return Err(adopting()
            .because(format!("there is no process {pid}"))
            .help("keyroll resume inspects again and names the present holders"));
    }
    let path = std::fs::read_link(folder.join("exe")).map_err(|error| {
        problem().because(format!("the executable of process {pid} is not visible")).because_of(&error)
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

/// Refuses a rule that matches several processes.
fn refuse_wide(rule: &(String, Option<String>)) -> Result<(), Problem> {
    let find = Find::Executable { exe: PathBuf::from(&rule.0), argument: rule.1.clone() };
    let run = Reread { instances: Vec::new(), find };
    let mains = keyroll_manager::instances(&run)?.into_iter().filter(|process| process.main).count();
    if mains <= 1 {
        return Ok(());
    }
    Err(adopting()
        .because(format!(
            "{mains} processes run {}: after a restart keyroll could not tell this one from the others",
            rule.0
        ))
        .help("name the file to which its restart writes the process id: --pid-file FILE"))
}

fn real_file(path: &Path) -> Result<PathBuf, Problem> {
    let real = path.canonicalize().map_err(|error| {
        adopting()
            .because(format!("{} cannot be resolved", path.display()))
            .because_of(&error)
            .help("name an existing file; relative paths start from the current folder")
    })?;
    match real.is_file() {
        true => Ok(real),
        false => Err(adopting().because(format!("{} is not a regular file", real.display()))),
    }
}

fn adopting() -> Problem {
    Problem::new(Code::ConsumerNotAdopted, "adopt the consumer")
}
