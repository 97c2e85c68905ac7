//! Refuses a configuration, issuer specs and commands that another user can change.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{IssuerRef, Secret};

use super::consumer_commands::{consumer_commands, is_interpreter};
use super::open::folder_of;
use crate::problem::Problem;

/// Write permission of the group and of everybody.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// The sticky bit: in such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Refuses a configuration if another user can change it, a file that it names, or a folder above one of them: that
/// user's commands would run with this user's rights, or credentials would go to hosts of that user's choice.
///
/// Root trusts only root's files. Any other user also trusts own files that the group can write.
pub fn trusted(config_file: &Path, secret: &Secret) -> Result<(), Problem> {
    trusted_files(files(config_file, secret))
}

/// The same for the named files.
pub fn trusted_files(files: Vec<PathBuf>) -> Result<(), Problem> {
    let user = rustix::process::geteuid().as_raw();
    let mut wrong = BTreeSet::new();
    for file in files {
        wrong.extend(above(&file).into_iter().filter_map(|path| {
            let meta = path.metadata().ok()?;
            fault(&path, &meta, user)
        }));
    }
    let Some(first) = wrong.first() else { return Ok(()) };
    let problem = Problem::new(Code::OpenToOtherUsers, format!("trust {}", first.path.display()));
    let problem = wrong
        .iter()
        .fold(problem, |problem, fault| problem.because(format!("{}: {}", fault.path.display(), fault.why)));
    let commands: Vec<&str> = wrong.iter().map(|fault| fault.command.as_str()).collect();
    Err(problem.help(format!("check its content, then: {}", commands.join(" && "))))
}

fn files(config_file: &Path, secret: &Secret) -> Vec<PathBuf> {
    let folder = folder_of(config_file);
    let mut files = vec![config_file.to_owned()];
    match &secret.issuer {
        IssuerRef::SpecFile(path) => files.push(folder.join(path)),
        IssuerRef::Shipped(_) | IssuerRef::Server(_) => {}
    }
    files.extend(secret.consumers.iter().flat_map(|consumer| consumer.runs.workload().trusted_files()));
    for command in secret.consumers.iter().flat_map(consumer_commands) {
        let Some((program, arguments)) = command.words.split_first() else { continue };
        // A program without a slash is found in the PATH of the user who runs keyroll.
        files.extend(program.contains('/').then(|| folder.join(program)));
        if is_interpreter(program) {
            let script = arguments.iter().find(|word| !word.starts_with('-'));
            files.extend(script.map(|script| folder.join(script)));
        }
    }
    files
}

/// A file and the folders above it, by its path as given and by its path with links resolved.
fn above(file: &Path) -> BTreeSet<PathBuf> {
    let real = file.canonicalize().ok();
    let ways = [Some(file), real.as_deref()];
    // The ancestor `folder/.` of `folder/./restart.sh` counts as `folder`.
    let all = ways.into_iter().flatten().flat_map(Path::ancestors);
    all.filter(|path| !path.as_os_str().is_empty()).map(|path| path.components().collect()).collect()
}

/// What is wrong with one file or folder, and the command that corrects that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnsafePath {
    path: PathBuf,
    why: String,
    command: String,
}

fn fault(path: &Path, meta: &Metadata, user: u32) -> Option<UnsafePath> {
    let shown = path.display();
    let (owner, mode) = (meta.uid(), meta.mode());
    if owner != 0 && owner != user {
        return Some(UnsafePath {
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
    Some(UnsafePath {
        path: path.to_owned(),
        why: format!("{who} can change it (mode {:04o})", mode & 0o7777),
        command: format!("chmod {class}-w {shown}"),
    })
}
