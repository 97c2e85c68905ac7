//! Refuses files and commands that another user can change.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{Consumer, Secret};
use keyroll_manager::search_path;
use keyroll_observe::{PathStep, path_steps, writer_by_access_list};
use keyroll_port::{Class, Failure};

use super::causes::because_all;
use super::commands::consumer_commands;
use super::reached::{By, Reached, Surroundings, reached, unseen};

/// Write permission of the group and of everybody.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// How many files beside a program are looked at. A folder of the system has more, and only root can change those.
const BESIDE_MAX: usize = 256;

/// The sticky bit: in such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Refuses commands of consumers if another user can change a file that they name, or a folder above it: that user's
/// commands would run with this user's rights. They run in `folder`, that of the configuration.
///
/// Root trusts only root's files. Any other user also trusts own files that the group can write. A command that goes on
/// as another user may run that user's files.
///
/// # Errors
/// `K0860`: every such file and folder, with what to do.
pub fn refuse_untrusted(folder: &Path, secret: &Secret) -> Result<(), Failure> {
    trusted_commands(Vec::new(), folder, &secret.consumers)
}

/// The same for the named files together with the commands of some consumers.
///
/// # Errors
/// As [`refuse_untrusted`].
pub fn trusted_commands<'a>(
    files: Vec<PathBuf>,
    folder: &Path,
    consumers: impl IntoIterator<Item = &'a Consumer>,
) -> Result<(), Failure> {
    let mut all: Vec<Reached> = files.into_iter().map(Reached::file).collect();
    all.extend(consumers.into_iter().flat_map(|consumer| run_by(folder, consumer)));
    refuse(&all)
}

/// The same for the named files.
///
/// # Errors
/// As [`refuse_untrusted`].
pub fn trusted_files(files: Vec<PathBuf>) -> Result<(), Failure> {
    let all: Vec<Reached> = files.into_iter().map(Reached::file).collect();
    refuse(&all)
}

/// The same for a program that is given values, and for what is beside it: programs load modules from their own folder.
///
/// # Errors
/// As [`refuse_untrusted`].
pub fn trusted_program(program: &Path) -> Result<(), Failure> {
    let mut all = vec![Reached::file(program.to_owned())];
    let folder = program.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
    if let Some(folder) = folder {
        let beside = std::fs::read_dir(&folder).into_iter().flatten().flatten().take(BESIDE_MAX);
        let files = beside.map(|entry| entry.path()).filter(|path| path.is_file());
        all.extend(files.map(Reached::file));
        all.push(Reached { path: folder, by: By::Loads, as_user: None });
    }
    refuse(&all)
}

/// Notes on parts of commands that name files which only a shell can find. `folder`: that of the configuration.
pub fn unseen_words(folder: &Path, secret: &Secret) -> Vec<String> {
    let mut notes = Vec::new();
    for consumer in &secret.consumers {
        for command in consumer_commands(consumer) {
            let words = unseen(&command.words, folder);
            notes.extend(words.into_iter().map(|word| {
                format!(
                    "{}: which file its {} reaches by `{word}` is not visible, nor who can change that file",
                    consumer.name, command.key
                )
            }));
        }
    }
    notes
}

/// Whether a file of this owner is another user's: neither root's nor that of the user who runs keyroll.
pub fn is_foreign(owner: u32) -> bool {
    ![0, rustix::process::geteuid().as_raw()].contains(&owner)
}

fn refuse(all: &[Reached]) -> Result<(), Failure> {
    let wrong = faults(all, rustix::process::geteuid().as_raw());
    let Some(first) = wrong.first() else { return Ok(()) };
    let attempted = format!("trust {}", first.path.display());
    let failure = Failure::new(Class::Permanent, Code::OpenToOtherUsers, attempted);
    let causes = wrong.iter().map(|fault| format!("{}: {}", fault.path.display(), fault.why));
    let ways: BTreeSet<&str> = wrong.iter().map(|fault| fault.way.as_str()).collect();
    let ways: Vec<&str> = ways.into_iter().collect();
    Err(because_all(failure, causes).help(format!("check its content, then: {}", ways.join(" && "))))
}

/// What is wrong with the files and folders, and with what leads to them, for one user.
fn faults(all: &[Reached], user: u32) -> BTreeSet<UnsafePath> {
    let mut wrong = BTreeSet::new();
    for reached in all {
        let steps = path_steps(&reached.path);
        let last = steps.len().saturating_sub(1);
        wrong.extend(steps.iter().enumerate().filter_map(|(at, step)| {
            let by = if reached.by == By::Loads && at != last { By::Word } else { reached.by };
            fault((step, at == last), by, [0, user, reached.as_user.unwrap_or(user)])
        }));
    }
    wrong
}

/// Every file and folder that a consumer's commands run or read, as far as their words name it.
fn run_by(folder: &Path, consumer: &Consumer) -> Vec<Reached> {
    let copies: Vec<PathBuf> =
        consumer.reads.iter().filter_map(|copy| folder.join(copy.place.path()).canonicalize().ok()).collect();
    let search = search_path();
    let of = Surroundings { folder, copies: &copies, search: &search };
    let instances = consumer.runs.instances().iter();
    let mut all: Vec<Reached> =
        instances.flat_map(|one| one.workload.trusted_files()).map(Reached::file).collect();
    all.extend(consumer_commands(consumer).iter().flat_map(|command| reached(&command.words, &of)));
    all
}

/// What is wrong with one file or folder, and how to correct that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnsafePath {
    path: PathBuf,
    why: String,
    way: String,
}

/// `users` may change it: root, the user who runs keyroll, and the one as whom the command goes on. `is_last`: it is what
/// the command reaches, and not on the way there.
fn fault((step, is_last): (&PathStep, bool), by: By, users: [u32; 3]) -> Option<UnsafePath> {
    let (path, shown) = (&step.path, step.path.display());
    let (owner, mode) = (step.meta.uid(), step.meta.mode());
    let [_, user, _] = users;
    let unsafe_path = |why: String, way: String| Some(UnsafePath { path: path.clone(), why, way });
    let move_out = || format!("move what keyroll uses out of {shown}, and correct keyroll.toml");
    let is_dir = step.meta.is_dir();
    if step.meta.is_symlink() {
        // Elsewhere, only who may write its folder can make it lead to another file.
        if users.contains(&owner) || !step.in_sticky {
            return None;
        }
        let why = format!("it is a link of user {owner}, who chooses where it leads");
        return unsafe_path(why, format!("chown -h {user} {shown}"));
    }
    if !users.contains(&owner) {
        let why = format!("it belongs to user {owner}, who can change it");
        let way = match by {
            // Its owner may live in the folder.
            By::Word | By::Loads | By::RunCopy if is_dir => move_out(),
            By::SearchPath if is_dir => format!("take {shown} out of PATH, or write the program's full path"),
            By::RunCopy => format!("read {shown} as data instead of running it as a script"),
            By::Word if path.extension().is_some_and(|end| end == "pid") => {
                format!("use `signal` and `pid_file = \"{shown}\"`: keyroll checks whose process it names")
            }
            By::Word | By::Loads | By::SearchPath => format!("chown {user} {shown}"),
        };
        return unsafe_path(why, way);
    }
    let forbidden = if owner == 0 { GROUP_WRITES | OTHERS_WRITE } else { OTHERS_WRITE };
    let (who, class) = if mode & OTHERS_WRITE == 0 { ("its group", "g") } else { ("everybody", "go") };
    let open = mode & forbidden != 0;
    if is_dir && mode & STICKY != 0 {
        let why = format!(
            "{who} can add files to it (mode {:04o}), and a command loads files from it",
            mode & 0o7777
        );
        let loads = is_last && matches!(by, By::Loads | By::SearchPath);
        return if open && loads { unsafe_path(why, move_out()) } else { None };
    }
    // Of a file with an access list, the mode shows as the group's what anybody in the list may do.
    if let Some(who) = writer_by_access_list(path, &users) {
        return unsafe_path(format!("{who} can change it by an access list"), format!("setfacl -b {shown}"));
    }
    if open {
        let why = format!("{who} can change it (mode {:04o})", mode & 0o7777);
        return unsafe_path(why, format!("chmod {class}-w {shown}"));
    }
    None
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests;
