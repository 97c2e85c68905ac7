use std::path::{Path, PathBuf};

use keyroll_config::{Config, Copy, Name, NewApply, NewConsumer, Place, Secret, Signal, Source, WriteMode};

use super::executable::{adopting, executable};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::shell_words;

/// What to adopt, how it takes a new value, and which copy it starts from.
pub struct AdoptRequest<'a> {
    /// A process id, or the path of a file that holds the value.
    pub holder: &'a str,
    /// The consumer's name.
    pub name: &'a str,
    /// The secret that it holds; none = the only one.
    pub secret: Option<&'a str>,
    /// The command that restarts the process.
    pub restart: Option<&'a str>,
    /// The signal on which the process loads a new value.
    pub signal: Option<&'a str>,
    /// The file with the process id; none = the process is found by its executable.
    pub pid_file: Option<&'a str>,
    /// The env file that it starts from, with the variable.
    pub env_file: Option<(&'a Path, &'a str)>,
    /// The file that it starts from.
    pub file: Option<&'a Path>,
    /// The format of the file, with the position of the value in it; none = the file is the value.
    pub within: Option<(&'a str, &'a str)>,
    /// A command that succeeds only with a working key.
    pub check: Option<&'a str>,
    /// Replace the consumer of this name.
    pub replace: bool,
}

impl AdoptRequest<'_> {
    /// Whether it names no copy of a process, so that the copy is derived from the other consumers.
    pub(super) fn names_no_copy(&self) -> bool {
        self.holder.parse::<u32>().is_ok() && self.env_file.is_none() && self.file.is_none()
    }

    /// The process or copy as a consumer. A path is a copy without a process, unless the request says how to move one.
    pub(super) fn consumer(&self, config: &Config, secret: &Secret) -> Result<NewConsumer, Problem> {
        let name = Name::new(self.name)
            .ok_or_else(|| adopting().because("--name is 1 to 64 of a-z 0-9 . _ -").exits(Exit::Usage))?;
        let apply = self.apply()?;
        let check = self.check.map(|command| words("--check", command)).transpose()?;
        let (apply, process, reads) = match self.holder.parse::<u32>() {
            Ok(pid) => {
                let apply = self.apply_of_process(apply)?;
                let process = if self.pid_file.is_some() { None } else { Some(executable(pid)?) };
                let reads = match self.named_copy(secret)? {
                    Some(copy) => vec![copy],
                    None => only_copies(config, secret)?,
                };
                (apply, process, reads)
            }
            Err(_) => {
                let path = real_file(Path::new(self.holder))?;
                let copy = match self.named_copy(secret)? {
                    Some(copy) => copy,
                    None => copy(self.place(path)?, secret)?,
                };
                (apply.unwrap_or(NewApply::AtRest), None, vec![copy])
            }
        };
        let pid_file = self.pid_file.map(str::to_owned);
        Ok(NewConsumer { secret: secret.name.clone(), name, apply, process, pid_file, reads, check })
    }

    fn apply(&self) -> Result<Option<NewApply>, Problem> {
        Ok(match (self.restart, self.signal) {
            (Some(command), _) => Some(NewApply::Restart(words("--restart", command)?)),
            (None, Some(signal)) => Some(NewApply::Signal(Signal::parse(signal).ok_or_else(|| {
                let names = Signal::NAMES.map(|(name, _)| name).join(", ");
                adopting().because(format!("--signal must be one of: {names}")).exits(Exit::Usage)
            })?)),
            (None, None) => None,
        })
    }

    fn apply_of_process(&self, apply: Option<NewApply>) -> Result<NewApply, Problem> {
        if self.within.is_some() && self.file.is_none() {
            return Err(adopting()
                .because("--format describes a file: name it with --file FILE")
                .exits(Exit::Usage));
        }
        apply.ok_or_else(|| {
            adopting()
                .because("keyroll must know how to make the process load the new key")
                .help("add --restart COMMAND, or --signal NAME if the process reloads its copy on a signal")
                .exits(Exit::Usage)
        })
    }

    /// The copy that the request names.
    fn named_copy(&self, secret: &Secret) -> Result<Option<Copy>, Problem> {
        let place = match (self.env_file, self.file) {
            (Some((path, variable)), _) => {
                Place::EnvFile { path: real_file(path)?, variable: variable.to_owned() }
            }
            (None, Some(path)) => self.place(real_file(path)?)?,
            (None, None) => return Ok(None),
        };
        copy(place, secret).map(Some)
    }

    /// The whole file, or the position in it that the request names.
    fn place(&self, path: PathBuf) -> Result<Place, Problem> {
        let Some((format, at)) = self.within else { return Ok(Place::File { path }) };
        let format = keyroll_copy::Format::named(format).ok_or_else(|| {
            let known = keyroll_copy::Format::NAMED.map(|(name, _)| name).join(", ");
            adopting().because(format!("--format must be one of: {known}")).exits(Exit::Usage)
        })?;
        let part = format.has_entries().then_some(keyroll_copy::Part::Password);
        Ok(Place::Inside { path, format, at: at.to_owned(), part })
    }
}

/// The words of the command of a flag.
fn words(flag: &str, command: &str) -> Result<Vec<String>, Problem> {
    shell_words::split(command)
        .ok_or_else(|| adopting().because(format!("{flag} is empty or has an unclosed quote")))
}

fn copy(place: Place, secret: &Secret) -> Result<Copy, Problem> {
    Ok(Copy { place, source: only_field(secret)?, write: WriteMode::Rename, generated: None })
}

/// Without a flag: the copies of the secret on this machine, if all its consumers here read the same ones.
fn only_copies(config: &Config, secret: &Secret) -> Result<Vec<Copy>, Problem> {
    let all = config.secrets.get(&secret.name).into_iter().flat_map(|secret| &secret.consumers);
    let mut kinds = all.filter(|consumer| consumer.is_here);
    let first = kinds.next().map(|consumer| consumer.reads.clone());
    match first.filter(|reads| !reads.is_empty()) {
        Some(reads) if kinds.all(|consumer| consumer.reads == reads) => Ok(reads),
        Some(_) | None => {
            let follows = secret.consumers.iter().any(|consumer| consumer.follows);
            let by_hand = if follows {
                "; a program that reads the store itself is written into keyroll.toml by hand, with `reads = \"store\"`"
            } else {
                ""
            };
            Err(adopting()
                .because("the copy that the process starts from is unknown")
                .help(format!(
                    "name it with --env-file FILE --variable NAME, --file FILE --format FORMAT --at POSITION, or \
                     --file FILE{by_hand}"
                ))
                .exits(Exit::Usage))
        }
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
