//! Whether the commands of a consumer can be carried out at all: told before anything is made, not at its restart.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyroll_config::{Apply, Consumer, Find, Manager, Runs, Secret, Start};
use keyroll_manager::{Pm2, Run};

use super::trusted::INTERPRETERS;
use crate::problem::Problem;

/// Where a bare name is looked for if PATH is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that cannot be carried out.
pub(crate) struct Missing {
    /// Which of the consumer's commands: `restart`, `check`, `fetch`, `manager`, `adapter`.
    pub(crate) what: &'static str,
    pub(crate) why: String,
    pub(crate) help: String,
}

/// Refuses a secret with a command whose program is not there or may not be run.
pub(crate) fn refuse_missing(secret: &Secret) -> Result<(), Problem> {
    secret.consumers.iter().try_for_each(refuse_missing_of)
}

/// The same for one consumer.
pub(crate) fn refuse_missing_of(consumer: &Consumer) -> Result<(), Problem> {
    let all = missing(consumer);
    let Some(first) = all.first() else { return Ok(()) };
    let problem = Problem::new("K0853", format!("run the {} of {}", first.what, consumer.name));
    let problem = all.iter().fold(problem, |problem, one| problem.because(one.why.clone()));
    Err(problem.help(first.help.clone()))
}

/// Every command of a consumer that cannot be carried out.
pub(crate) fn missing(consumer: &Consumer) -> Vec<Missing> {
    let restart = match &consumer.runs {
        Runs::Process { apply: Apply::Restart(argv), .. }
        | Runs::Container { apply: Some(Apply::Restart(argv)), .. } => Some(("restart", argv)),
        Runs::Managed { by: Manager::Exec(argv), .. } => Some(("adapter", argv)),
        Runs::Managed { by: Manager::OpenClaw { start: Some(Start::Command(argv)), .. }, .. } => {
            Some(("restart", argv))
        }
        Runs::Process { .. }
        | Runs::Unit { .. }
        | Runs::Compose { .. }
        | Runs::Container { .. }
        | Runs::Managed { .. }
        | Runs::Timer { .. }
        | Runs::AtRest => None,
    };
    let checks = consumer.check.iter().chain(consumer.paths.iter().map(|path| &path.check));
    let checks = checks.filter_map(|check| Some(("check", check.command()?)));
    let manager = match &consumer.runs {
        Runs::Managed { by, .. } => by.program(),
        Runs::Process { .. } | Runs::Unit { .. } | Runs::Timer { .. } | Runs::AtRest => None,
        Runs::Compose { .. } | Runs::Container { .. } => None,
    };
    let manager = manager.and_then(|program| of_words("manager", &[program.to_owned()]));
    let generators = consumer.reads.iter().filter_map(|copy| Some(("generated", copy.generated.as_ref()?)));
    let checks = generators.chain(checks);
    let all = restart.into_iter().chain(consumer.fetch.iter().map(|argv| ("fetch", argv))).chain(checks);
    let all = all.filter_map(|(what, argv)| of_words(what, &argv.fill("", None, None)));
    manager.into_iter().chain(all).collect()
}

fn of_words(what: &'static str, words: &[String]) -> Option<Missing> {
    let (program, arguments) = words.split_first()?;
    if !program.contains('/') {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let found = std::env::split_paths(&path).any(|folder| fault(&folder.join(program), true).is_none());
        if !found {
            let why = format!("{program}: no program of this name is in the PATH");
            return Some(Missing { what, why, help: "install it, or write its whole path".to_owned() });
        }
    } else if let Some((why, help)) = fault(Path::new(program), true) {
        return Some(Missing { what, why, help });
    }
    let name = Path::new(program).file_name().unwrap_or_default();
    let script = arguments
        .first()
        .filter(|word| INTERPRETERS.iter().any(|known| name == *known) && word.contains('/'));
    // Commands run in the configuration's folder: of a relative script only that folder knows.
    let script = script.map(Path::new).filter(|script| script.is_absolute());
    let (why, help) = script.and_then(|script| fault(script, false))?;
    Some(Missing { what, why, help })
}

/// What is wrong with a file that is to be run, and what mends it.
fn fault(path: &Path, executable: bool) -> Option<(String, String)> {
    let shown = path.display();
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some((
            format!("{shown} is not there"),
            "correct the path in keyroll.toml, or write the file".to_owned(),
        )),
        Err(error) => Some((format!("{shown}: {error}"), "correct the path in keyroll.toml".to_owned())),
        Ok(meta) if !meta.is_file() => {
            Some((format!("{shown} is no file"), "correct the path in keyroll.toml".to_owned()))
        }
        Ok(meta) if executable && meta.permissions().mode() & 0o111 == 0 => {
            let mode = meta.permissions().mode() & 0o7777;
            Some((format!("{shown} is not executable (mode {mode:04o})"), format!("chmod +x {shown}")))
        }
        Ok(_) => None,
    }
}

/// What a manager keeps where others may read it: whole environments.
pub(crate) fn dumps_in_sight(secret: &Secret) -> Vec<String> {
    let mut notes = Vec::new();
    for consumer in &secret.consumers {
        let Runs::Managed { by: Manager::Pm2 { ecosystem, app, home }, .. } = &consumer.runs else {
            continue;
        };
        for path in Run::Pm2(Pm2::new(ecosystem, app.clone(), home.clone())).kept() {
            let mode = path.metadata().map_or(0, |meta| meta.permissions().mode());
            if mode & 0o044 != 0 {
                let shown = path.display();
                notes.push(format!(
                    "{}: its manager keeps the value in {shown}, where others may read it (mode {:04o}): chmod 600 {shown}",
                    consumer.name,
                    mode & 0o7777
                ));
            }
        }
    }
    notes
}

/// Files that should hold a process id and are not there: nothing of such a consumer can be found running.
pub(crate) fn pid_files_missing(secret: &Secret) -> Vec<String> {
    let mut notes = Vec::new();
    for consumer in &secret.consumers {
        let Runs::Process { find: Find::PidFile(file), instances, .. } = &consumer.runs else { continue };
        for instance in instances {
            let path = file.fill(instance.name.as_str(), instance.port, None);
            if !Path::new(&path).exists() {
                notes.push(format!(
                    "{}: its pid file {path} is not there: nothing of it is found running",
                    consumer.name
                ));
            }
        }
    }
    notes
}
