//! Checks that the programs of a consumer's commands exist and may be run, before a rotation starts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Consumer, FILL_IN, Secret};
use keyroll_manager::{Find, search_path};
use keyroll_observe::is_interpreter;
use keyroll_port::{Class, Failure};

use super::causes::because_all;
use super::commands::{ConsumerCommand, consumer_commands};

/// A command whose program does not exist or may not be run, or a pid file that was never named.
pub struct Missing {
    /// Which of the consumer's commands: `restart`, `check`, `fetch`, `generated`, `manager`, `adapter`; or `pid_file`.
    pub what: &'static str,
    /// What is wrong with its program.
    pub why: String,
    /// The next step.
    pub help: String,
}

/// What is missing of a consumer whose pid file has the name that `init` wrote.
const PID_FILE: &str = "pid_file";

/// Refuses a secret with a command whose program is not there or may not be run.
///
/// # Errors
/// As [`refuse_missing_of`], for the first such consumer.
pub fn refuse_missing(secret: &Secret) -> Result<(), Failure> {
    secret.consumers.iter().try_for_each(refuse_missing_of)
}

/// The same for one consumer.
///
/// # Errors
/// `K0404`: every such command.
pub fn refuse_missing_of(consumer: &Consumer) -> Result<(), Failure> {
    let all = missing(consumer);
    let Some(first) = all.first() else { return Ok(()) };
    let attempted = match first.what {
        PID_FILE => format!("find the processes of {}", consumer.name),
        what => format!("run the {what} of {}", consumer.name),
    };
    let failure = Failure::new(Class::Permanent, Code::ProgramNotStarted, attempted);
    Err(because_all(failure, all.iter().map(|one| one.why.clone())).help(first.help.clone()))
}

/// Every command of a consumer that cannot be run, and its pid file if that must still be filled in.
pub fn missing(consumer: &Consumer) -> Vec<Missing> {
    let manager = consumer.runs.workload().manager_command();
    let manager =
        manager.map(|program| ConsumerCommand { key: "manager", words: vec![program.display().to_string()] });
    manager
        .into_iter()
        .chain(consumer_commands(consumer))
        .filter_map(|command| missing_of(&command))
        .chain(to_fill_in(consumer))
        .collect()
}

/// The pid file that `init` could not name: none of the processes would ever be found.
fn to_fill_in(consumer: &Consumer) -> Option<Missing> {
    let path = absent_pid_files(consumer).find(|path| is_placeholder(path))?;
    Some(Missing {
        what: PID_FILE,
        why: format!("{} must still be filled in", path.display()),
        help: "replace it in keyroll.toml by the file to which its start writes the process id".to_owned(),
    })
}

/// The pid files of a consumer's instances that do not exist.
fn absent_pid_files(consumer: &Consumer) -> impl Iterator<Item = &Path> {
    let files = consumer.runs.instances().iter().filter_map(|instance| match instance.workload.find()? {
        Find::PidFile { path, .. } => Some(path.as_path()),
        Find::Executable { .. } => None,
    });
    files.filter(|path| !path.exists())
}

fn is_placeholder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(FILL_IN.as_bytes()))
}

fn missing_of(command: &ConsumerCommand) -> Option<Missing> {
    let (program, arguments) = command.words.split_first()?;
    let missing = |why, help| Some(Missing { what: command.key, why, help });
    if !program.contains('/') {
        let found =
            std::env::split_paths(&search_path()).any(|folder| fault(&folder.join(program), true).is_none());
        if !found {
            let why = format!("{program}: no program of this name is in the PATH");
            return missing(why, "install it, or write its full path".to_owned());
        }
    } else if let Some((why, help)) = fault(Path::new(program), true) {
        return missing(why, help);
    }
    let script = arguments.first().filter(|word| is_interpreter(Path::new(program)) && word.contains('/'));
    // Commands run in the configuration's folder, so a relative script cannot be checked here.
    let script = script.map(Path::new).filter(|script| script.is_absolute());
    let (why, help) = script.and_then(|script| fault(script, false))?;
    missing(why, help)
}

/// What is wrong with a file that is to be run, and how to correct it.
fn fault(path: &Path, executable: bool) -> Option<(String, String)> {
    let shown = path.display();
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some((
            format!("{shown} does not exist"),
            "correct the path in keyroll.toml, or write the file".to_owned(),
        )),
        Err(error) => Some((format!("{shown}: {error}"), "correct the path in keyroll.toml".to_owned())),
        Ok(meta) if !meta.is_file() => {
            Some((format!("{shown} is not a regular file"), "correct the path in keyroll.toml".to_owned()))
        }
        Ok(meta) if executable && meta.permissions().mode() & 0o111 == 0 => {
            let mode = meta.permissions().mode() & 0o7777;
            Some((format!("{shown} is not executable (mode {mode:04o})"), format!("chmod +x {shown}")))
        }
        Ok(_) => None,
    }
}

/// Notes on files of managers that store whole environments and that other users can read.
pub fn dumps_in_sight(secret: &Secret) -> Vec<String> {
    let mut notes = Vec::new();
    for consumer in &secret.consumers {
        for path in consumer.runs.workload().kept_files() {
            let mode = path.metadata().map_or(0, |meta| meta.permissions().mode());
            if mode & 0o044 != 0 {
                let shown = path.display();
                notes.push(format!(
                    "{}: its manager stores the value in {shown}, where other users can read it (mode \
                     {:04o}): chmod 600 {shown}",
                    consumer.name,
                    mode & 0o7777
                ));
            }
        }
    }
    notes
}

/// Notes on pid files that do not exist: no process of such a consumer is found. Those that must still be filled in are
/// [`missing`].
pub fn pid_files_missing(secret: &Secret) -> Vec<String> {
    let mut notes = Vec::new();
    for consumer in &secret.consumers {
        for path in absent_pid_files(consumer).filter(|path| !is_placeholder(path)) {
            notes.push(format!(
                "{}: its pid file {} does not exist: none of its processes is found",
                consumer.name,
                path.display()
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    /// What is wrong with a consumer that is found by this pid file, by kind; and the notes on its pid file.
    fn of(pid_file: &str) -> (Vec<&'static str>, usize) {
        let text = format!(
            "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n\
             runs = {{ restart = [\"/bin/sh\"], pid_file = \"{pid_file}\" }}\nreads = {{ file = \"./key\" }}\n\
             check = {{ exec = [\"/bin/true\", \"{{copy}}\"] }}\n"
        );
        let config = Config::parse(&text, "/nowhere/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        (missing(&secret.consumers[0]).iter().map(|one| one.what).collect(), pid_files_missing(secret).len())
    }

    /// A program that does not run now may write its pid file when it starts; nobody writes the one that `init` could not name.
    #[test]
    fn a_pid_file_that_must_still_be_filled_in_is_missing_and_another_one_is_only_noted() {
        assert_eq!(of("./FILL-IN-api.pid"), (vec![PID_FILE], 0));
        assert_eq!(of("./api.pid"), (vec![], 1));
    }
}
