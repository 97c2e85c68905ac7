//! Whether anybody else can change what keyroll goes by: its configuration, issuer specs and the commands they name.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_config::{Apply, Check, Consumer, IssuerRef, Manager, Runs, Secret, Start};

use super::open::folder_of;
use super::project::files_of;
use crate::problem::Problem;

/// Programs that carry out the file that their first word names.
pub(crate) const INTERPRETERS: [&str; 9] =
    ["sh", "bash", "dash", "zsh", "ksh", "python3", "perl", "ruby", "node"];

/// Write permission of the group and of everybody.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// In such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Refuses files that another user can change, by themselves or by a folder above them. What another user writes
/// there would be carried out with this user's rights, or would send credentials where he likes.
///
/// Root goes by root's files alone. For anybody else his own files are his own, whatever his group may do with them.
pub(crate) fn trusted(config_file: &Path, secret: &Secret) -> Result<(), Problem> {
    trusted_files(files(config_file, secret))
}

/// The same of files that were named.
pub(crate) fn trusted_files(files: Vec<PathBuf>) -> Result<(), Problem> {
    let user = rustix::process::geteuid().as_raw();
    let mut wrong = BTreeSet::new();
    for file in files {
        wrong.extend(above(&file).into_iter().filter_map(|path| {
            let meta = path.metadata().ok()?;
            fault(&path, &meta, user)
        }));
    }
    let Some(first) = wrong.first() else { return Ok(()) };
    let problem = Problem::new("K0860", format!("go by {}", first.path.display()));
    let problem = wrong
        .iter()
        .fold(problem, |problem, fault| problem.because(format!("{}: {}", fault.path.display(), fault.why)));
    let commands: Vec<&str> = wrong.iter().map(|fault| fault.command.as_str()).collect();
    Err(problem.help(format!("look at what stands in it, then: {}", commands.join(" && "))))
}

/// Every command of a consumer, as its words.
pub(crate) fn commands(consumer: &Consumer) -> Vec<Vec<String>> {
    let checks = consumer.check.iter().chain(consumer.paths.iter().map(|path| &path.check));
    let restart = match &consumer.runs {
        Runs::Process { apply: Apply::Restart(argv), .. }
        | Runs::Container { apply: Some(Apply::Restart(argv)), .. } => Some(argv),
        Runs::Managed { by: Manager::Exec(argv), .. } => Some(argv),
        Runs::Managed { by: Manager::OpenClaw { start: Some(Start::Command(argv)), .. }, .. } => Some(argv),
        Runs::Process { .. }
        | Runs::Unit { .. }
        | Runs::Compose { .. }
        | Runs::Container { .. }
        | Runs::Managed { .. }
        | Runs::Timer { .. }
        | Runs::AtRest => None,
    };
    let execs = checks.filter_map(Check::command);
    let generators = consumer.reads.iter().filter_map(|copy| copy.generated.as_ref());
    let all = restart.into_iter().chain(consumer.fetch.iter()).chain(generators).chain(execs);
    all.map(|argv| argv.fill("", None, None)).collect()
}

fn files(config_file: &Path, secret: &Secret) -> Vec<PathBuf> {
    let folder = folder_of(config_file);
    let mut files = vec![config_file.to_owned()];
    match &secret.issuer {
        IssuerRef::SpecFile(path) => files.push(folder.join(path)),
        IssuerRef::Shipped(_) | IssuerRef::Postgres | IssuerRef::Server(_) => {}
    }
    // Whoever writes a project of compose chooses what runs on this machine, and as whom.
    for consumer in &secret.consumers {
        if let Runs::Compose { place, .. } = &consumer.runs {
            files.extend(files_of(place));
        }
    }
    files.extend(secret.consumers.iter().filter_map(|consumer| of_manager(&consumer.runs)));
    for words in secret.consumers.iter().flat_map(commands) {
        let Some((program, words)) = words.split_first() else { continue };
        let name = Path::new(program).file_name().unwrap_or_default();
        // A program without a slash is found in the PATH of whoever runs keyroll.
        files.extend(program.contains('/').then(|| folder.join(program)));
        if INTERPRETERS.iter().any(|known| name == *known) {
            files.extend(words.iter().find(|word| !word.starts_with('-')).map(|script| folder.join(script)));
        }
    }
    files
}

/// The file of a manager that is carried out with this user's rights: both may name programs of their own.
fn of_manager(runs: &Runs) -> Option<PathBuf> {
    let Runs::Managed { by, .. } = runs else { return None };
    match by {
        Manager::Supervisor { config, .. } => Some(config.clone()),
        // A command is looked at with the others; the others carry nothing out.
        Manager::Exec(_) | Manager::Master { .. } | Manager::Cron(_) | Manager::LiteLlm(_) => None,
        // It is run as the user whose installation it is, and so is its program.
        Manager::OpenClaw { state, program, .. } => {
            let owner = state.metadata().ok()?.uid();
            program.clone().filter(|_| owner == rustix::process::geteuid().as_raw())
        }
        // It is run as the user whose pm2 it is.
        Manager::Pm2 { ecosystem, home, .. } => {
            let owner = home.as_ref().unwrap_or(ecosystem).metadata().ok()?.uid();
            (owner == rustix::process::geteuid().as_raw()).then(|| ecosystem.clone())
        }
    }
}

/// A file and the folders above it: above its name, and above what it leads to.
fn above(file: &Path) -> BTreeSet<PathBuf> {
    let real = file.canonicalize().ok();
    let ways = [Some(file), real.as_deref()];
    // A name like `./restart.sh` below a folder is looked at as the folder itself.
    let all = ways.into_iter().flatten().flat_map(Path::ancestors);
    all.filter(|path| !path.as_os_str().is_empty()).map(|path| path.components().collect()).collect()
}

/// What is wrong with one file or folder, and the command that mends it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    path: PathBuf,
    why: String,
    command: String,
}

fn fault(path: &Path, meta: &Metadata, user: u32) -> Option<Fault> {
    let shown = path.display();
    let (owner, mode) = (meta.uid(), meta.mode());
    if owner != 0 && owner != user {
        return Some(Fault {
            path: path.to_owned(),
            why: format!("it belongs to user {owner}, who can change it"),
            command: format!("chown {user} {shown}"),
        });
    }
    let forbidden = if user == 0 || owner != user { GROUP_WRITES | OTHERS_WRITE } else { OTHERS_WRITE };
    let guarded = meta.is_dir() && mode & STICKY != 0;
    if mode & forbidden == 0 || guarded {
        return None;
    }
    let (who, class) = if mode & OTHERS_WRITE == 0 { ("its group", "g") } else { ("everybody", "go") };
    Some(Fault {
        path: path.to_owned(),
        why: format!("{who} can change it (mode {:04o})", mode & 0o7777),
        command: format!("chmod {class}-w {shown}"),
    })
}
