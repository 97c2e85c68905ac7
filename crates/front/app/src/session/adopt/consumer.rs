use std::path::{Component, Path, PathBuf};

use keyroll_config::{Config, Copy, Name, NewApply, NewConsumer, Place, Secret, Signal, Source, WriteMode};

use super::executable::{adopting, executable};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::session::holder_on_host::HolderOnHost;
use crate::shell_words;

/// What to adopt, how it takes a new value, and which copy it starts from.
pub struct AdoptRequest<'a> {
    /// A process id, or the path of a file that holds the value; on another host `web-2:4711`, or `web-2:/srv/old.env`.
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
    /// The executable of a process on another host.
    pub process: Option<&'a str>,
    /// The unit of a process on another host, in place of a command or a signal.
    pub unit: Option<&'a str>,
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

    /// The process or copy as a consumer. A path is a copy without a process, unless the request says how to move one. `again`
    /// says how the operator looks again, where there is no such process.
    pub(super) fn consumer(
        &self,
        config: &Config,
        secret: &Secret,
        there: Option<&HolderOnHost>,
        again: &dyn Fn() -> String,
    ) -> Result<NewConsumer, Problem> {
        let name = Name::new(self.name)
            .ok_or_else(|| adopting().because("--name is 1 to 64 of a-z 0-9 . _ -").exits(Exit::Usage))?;
        let check = self.check.map(|command| words("--check", command)).transpose()?;
        let Moved { apply, process, reads } = match there {
            Some(there) => self.there(there, secret)?,
            None => self.here(config, secret, again)?,
        };
        let host = there.and_then(|there| Name::new(there.host.as_str()));
        let (pid_file, secret) = (self.pid_file.map(str::to_owned), secret.name.clone());
        Ok(NewConsumer { secret, name, host, apply, process, pid_file, reads, check })
    }

    /// Of this machine: what is not named is found.
    fn here(&self, config: &Config, secret: &Secret, again: &dyn Fn() -> String) -> Result<Moved, Problem> {
        if self.unit.is_some() || self.process.is_some() {
            return Err(adopting()
                .because("--unit and --process are for a process on another host: keyroll finds how one of this machine runs")
                .exits(Exit::Usage));
        }
        let apply = self.apply()?;
        let Ok(pid) = self.holder.parse::<u32>() else {
            let path = real_file(Path::new(self.holder))?;
            let copy = match self.named_copy(secret, real_file)? {
                Some(copy) => copy,
                None => copy(self.place(path)?, secret)?,
            };
            let apply = apply.unwrap_or(NewApply::AtRest);
            return Ok(Moved { apply, process: None, reads: vec![copy] });
        };
        let apply = self.apply_of_process(apply)?;
        let process = if self.pid_file.is_some() { None } else { Some(executable(pid, again)?) };
        let reads = match self.named_copy(secret, real_file)? {
            Some(copy) => vec![copy],
            None => only_copies(config, secret)?,
        };
        Ok(Moved { apply, process, reads })
    }

    /// Of another host: everything is named, because nothing there is found from here.
    fn there(&self, there: &HolderOnHost, secret: &Secret) -> Result<Moved, Problem> {
        let apply = self.apply()?;
        let process = self.process.map(|path| (path.to_owned(), None));
        let copy = match (self.named_copy(secret, file_there)?, &there.what) {
            (Some(copy), _) => copy,
            (None, Err(path)) => copy(self.place(file_there(Path::new(path))?)?, secret)?,
            (None, Ok(_)) => {
                return Err(adopting()
                    .because(format!("the copy that the process starts from on {} is unknown", there.host))
                    .help(
                        "name it with --env-file FILE --variable NAME, --file FILE --format FORMAT --at POSITION, or \
                         --file FILE",
                    )
                    .exits(Exit::Usage));
            }
        };
        let apply = match &there.what {
            Ok(_) => self.apply_of_process(apply)?,
            Err(_) => apply.unwrap_or(NewApply::AtRest),
        };
        let found = process.is_some() || self.pid_file.is_some();
        if !found && matches!(apply, NewApply::Restart(_) | NewApply::Signal(_)) {
            return Err(adopting()
                .because(format!("keyroll must know how to find the process on {}", there.host))
                .help("add --unit UNIT in place of --restart and --signal, or --pid-file FILE, or --process EXECUTABLE")
                .exits(Exit::Usage));
        }
        Ok(Moved { apply, process, reads: vec![copy] })
    }

    fn apply(&self) -> Result<Option<NewApply>, Problem> {
        if let Some(unit) = self.unit {
            return Ok(Some(NewApply::Unit(unit.to_owned())));
        }
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
                .help(
                    "add --restart COMMAND, or --signal NAME if the process reloads its copy on a signal, or --unit UNIT for a \
                     process on another host",
                )
                .exits(Exit::Usage)
        })
    }

    /// The copy that the request names; `file` checks a path.
    fn named_copy(
        &self,
        secret: &Secret,
        file: fn(&Path) -> Result<PathBuf, Problem>,
    ) -> Result<Option<Copy>, Problem> {
        let place = match (self.env_file, self.file) {
            (Some((path, variable)), _) => {
                Place::EnvFile { path: file(path)?, variable: variable.to_owned() }
            }
            (None, Some(path)) => self.place(file(path)?)?,
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

/// How a consumer takes a new value, how its process is found, and what it reads.
struct Moved {
    /// How a new value takes effect.
    apply: NewApply,
    /// The executable of its process, and one word of its command line.
    process: Option<(String, Option<String>)>,
    /// What it reads.
    reads: Vec<Copy>,
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

/// A path on another host, where keyroll resolves it.
fn file_there(path: &Path) -> Result<PathBuf, Problem> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    match path.is_absolute() && !climbs {
        true => Ok(path.to_owned()),
        false => Err(adopting()
            .because(format!("{} is not an absolute path", path.display()))
            .help("name the file as it is called on the host, such as /srv/app/api.env")
            .exits(Exit::Usage)),
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
