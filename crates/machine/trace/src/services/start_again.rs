//! What ends a process and starts its program again with the new value: a command to be pasted into a shell, or where
//! that could do something else, a sentence.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_manager::{Variables, home_of, user_names};
use keyroll_observe::{
    Listing, Process, ProcessId, Streams, descendants, environment_names, has_other_files, own_tree, parents,
    passes_on, plain_ids, process, runs_shell, shown, streams_of, working_folder,
};
use rustix::process::geteuid;

use super::allowed_words::{allowed_words, shown_word};
use super::assignments::{assignments, is_same_for_shells};
use super::cron::is_daemon;
use super::shell_command::{ShellCommand, is_interactive};
use super::source::word;

/// The longest command that is shown, bytes: nobody reads a longer one before pasting it.
const COMMAND_BYTES_MAX: usize = 1_000;

/// The most processes that one command ends.
const ENDS_MAX: usize = 16;

/// The most shells around a program.
const SHELLS_MAX: usize = 8;

/// How long the next start waits for the end of the one before, seconds.
const END_WAIT_S: u32 = 30;

/// The folders in which every shell finds programs.
const USUAL: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Variables of a session, by the beginnings of their names: the operator's shell has its own.
const OF_SESSIONS: [&str; 47] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_",
    "TZ",
    "USER",
    "SHELL",
    "TERM",
    "PWD",
    "LOGNAME",
    "HOSTNAME",
    "OLDPWD",
    "SHLVL",
    "_",
    "XDG_",
    "SSH_",
    "TMUX",
    "STY",
    "WINDOW",
    "DBUS_",
    "GPG_",
    "LESS",
    "LS_",
    "DISPLAY",
    "WAYLAND_",
    "COLOR",
    "NO_COLOR",
    "VTE_",
    "PYENV_",
    "NVM_",
    "MAIL",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "HIST",
    "PS1",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_",
    "MANAGERPID",
    "TMPDIR",
    "NOTIFY_SOCKET",
    "MEMORY_PRESSURE_",
    "SUDO_",
    "BASH_",
    "DEBIAN_FRONTEND",
    "CONDA_",
];

/// What reads the new value at the next start.
#[derive(Clone, Copy)]
pub(crate) enum Reads<'r> {
    /// The program, or the script, by itself.
    Itself,
    /// Nobody: a shell has to read this file before.
    Sourced(&'r Path),
}

/// The variables that a process was started with, if they are visible.
pub(crate) type StartOf<'s> = &'s dyn Fn(&ProcessId) -> Option<Variables>;

/// What starts the program of a process again. A script that started it comes first: it may start it again with the old
/// value.
pub(crate) fn start_again(listing: &Listing, start: StartOf<'_>, of: &Process, reads: Reads<'_>) -> String {
    let (mut of, mut reads) = (of, reads);
    for _ in 0..SHELLS_MAX {
        let Some(parent) = parent_of(listing, of) else { break };
        if is_daemon(parent) {
            let pid = of.id.pid;
            return format!(
                "end process {pid} and what it started; the next run of its line reads the file again"
            );
        }
        if parent.id.pid <= 1 || !runs_shell(parent) || is_interactive(parent) {
            break;
        }
        (of, reads) = (parent, Reads::Itself);
    }
    command(listing, start, of, reads).unwrap_or_else(|| in_words(of, reads))
}

/// The process that started another one, if it still runs.
pub(crate) fn parent_of<'l>(listing: &'l Listing, of: &Process) -> Option<&'l Process> {
    listing.seen.iter().find(|one| one.id.pid == of.ppid)
}

/// The same as a sentence. It begins with no command, because it may be pasted all the same.
fn in_words(of: &Process, reads: Reads<'_>) -> String {
    let pid = of.id.pid;
    match (reads, ShellCommand::of(of)) {
        (_, Some(ShellCommand::Script(script))) => {
            let script = word(shown(&script.path));
            format!("end process {pid} and everything that it started, then run {script} again")
        }
        (_, Some(ShellCommand::Text(_))) => {
            format!("end process {pid} and everything that it started, then run its command again")
        }
        (Reads::Sourced(file), None) => {
            format!("end process {pid}, then start it again from a shell that reads {} anew", shown(file))
        }
        (Reads::Itself, None) => format!("end process {pid}, then start it again as before"),
    }
}

fn command(listing: &Listing, start: StartOf<'_>, of: &Process, reads: Reads<'_>) -> Option<String> {
    let ends = ends(listing, of)?;
    let (uid, _) = plain_ids(&of.id)?;
    let folder = working_folder(&of.id).ok().filter(|folder| folder.is_dir())?;
    if has_other_files(&of.id).unwrap_or(true) {
        return None;
    }
    let own = start(&of.id)?;
    let (before, names) = match reads {
        Reads::Itself => (String::new(), BTreeSet::new()),
        Reads::Sourced(file) => {
            let good = is_same_for_shells(file) && belongs_to(uid, file);
            (sourcing(file, &folder).filter(|_| good)?, assignments(file).into_keys().collect())
        }
    };
    if loses_variables(&own, &names) {
        return None;
    }
    let program = program_of(of, &own, &folder)?;
    // What others can change is not started for root again.
    if uid == 0 && !(belongs_to(0, &folder) && of.exe.as_deref().is_some_and(|exe| belongs_to(0, exe))) {
        return None;
    }
    let (stays, to) = match streams_of(&of.id)? {
        Streams::Terminal => ("", String::new()),
        Streams::File(path) if path != Path::new("/dev/null") && uid == 0 && !belongs_to(0, &path) => {
            return None;
        }
        // The file is opened by the program's user: the operator may be root.
        Streams::File(path) => ("nohup ", format!(" </dev/null >>{} 2>&1 &", shown_word(path.to_str()?)?)),
    };
    let inner = format!("cd {} && {before}exec {stays}{program}{to}", shown_word(folder.to_str()?)?);
    let run = if uid == geteuid().as_raw() {
        // In a shell of its own, so that the operator's shell exports nothing.
        format!("({inner})")
    } else {
        let (user, home) = (user_names().remove(&uid)?, home_of(uid)?);
        let (user, home) = (shown_word(&user)?, shown_word(home.to_str()?)?);
        format!("runuser -u {user} -- env HOME={home} sh -c {}", word(inner))
    };
    let text = format!("{} && {run}", ended(&ends)?);
    (text.len() <= COMMAND_BYTES_MAX).then_some(text)
}

/// Ends processes, of which the first one has to be there, and waits until all of them have ended: a second start beside
/// one that still runs would keep the old value in use.
fn ended(ends: &[u32]) -> Option<String> {
    let (first, others) = ends.split_first()?;
    let texts =
        |all: &[u32], form: &dyn Fn(&u32) -> String| all.iter().map(form).collect::<Vec<_>>().join(" ");
    let status = texts(ends, &|pid| format!("/proc/{pid}/status"));
    let wait =
        format!("timeout {END_WAIT_S} sh -c 'while grep -qs \"^State:.[^ZX]\" {status}; do sleep 0.1; done'");
    Some(match others {
        [] => format!("kill {first} && {wait}"),
        others => {
            let others = texts(others, &u32::to_string);
            format!("kill {first} && {{ kill {others} 2>/dev/null; {wait}; }}")
        }
    })
}

/// A process and everything that it started. `None` = something else would start it again, or a part of it is another
/// user's, a shell in which somebody works, or keyroll.
fn ends(listing: &Listing, of: &Process) -> Option<Vec<u32>> {
    let below = descendants(listing, of.id);
    let (own, all) = (own_tree(listing), || std::iter::once(of).chain(below.iter().copied()));
    let around = process(std::process::id()).ok()?;
    let above: BTreeSet<u32> = parents(listing, &around).iter().map(|one| one.id.pid).collect();
    let started = |parent: &Process| {
        let systemd = parent.exe.as_deref().and_then(Path::file_name).is_some_and(|name| name == "systemd");
        parent.id.pid <= 1 || systemd || is_interactive(parent)
    };
    let good = |one: &Process| {
        one.id.pid > 1
            && one.uid == of.uid
            && !passes_on(one)
            && !is_interactive(one)
            && !own.contains(&one.id.pid)
            && !above.contains(&one.id.pid)
    };
    let alone = parent_of(listing, of).is_none_or(started) && all().all(good);
    let ends: Vec<u32> = all().map(|one| one.id.pid).collect();
    (alone && ends.len() <= ENDS_MAX).then_some(ends)
}

/// Whether the next start would lack a variable: one that neither the file nor the operator's shell has.
fn loses_variables(own: &Variables, file: &BTreeSet<String>) -> bool {
    let here = own_names();
    let session = |name: &str| OF_SESSIONS.iter().any(|begin| name.starts_with(begin));
    own.keys().any(|name| !file.contains(name) && !session(name) && !here.contains(name))
}

/// The names of the variables that the operator's shell gave to keyroll.
pub(super) fn own_names() -> BTreeSet<String> {
    process(std::process::id()).and_then(|own| environment_names(&own.id)).unwrap_or_default()
}

/// `set -a && . ./.env && set +a && `
fn sourcing(file: &Path, folder: &Path) -> Option<String> {
    let path = match file.strip_prefix(folder) {
        Ok(below) if folder != Path::new("/") => format!("./{}", below.to_str()?),
        Ok(_) | Err(_) => file.to_str()?.to_owned(),
    };
    Some(format!("set -a && . {} && set +a && ", shown_word(&path)?))
}

/// Whether only root and this user can change what stands under a name: the file, where a link leads, and the folders
/// above both.
pub(super) fn belongs_to(uid: u32, path: &Path) -> bool {
    let good = |meta: &Metadata| {
        let others = meta.mode() & 0o022 != 0;
        // In a folder like /tmp nobody can replace the file of another user.
        let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        [0, uid].contains(&meta.uid()) && (!others || sticky || meta.is_symlink())
    };
    let each =
        |path: &Path| path.ancestors().all(|part| part.symlink_metadata().is_ok_and(|meta| good(&meta)));
    path.canonicalize().is_ok_and(|real| each(path) && each(&real))
}

/// The program with its words, as a shell takes them.
fn program_of(of: &Process, own: &Variables, folder: &Path) -> Option<String> {
    if of.args.overwritten() || of.exe_deleted {
        return None;
    }
    let words = of.args.words()?;
    let (name, rest) = words.split_first()?;
    let exe = of.exe.as_deref()?;
    let mut program = match ShellCommand::of(of) {
        Some(ShellCommand::Text(_)) => return None,
        Some(ShellCommand::Script(script)) => return script_of(&script.path, exe, rest, folder),
        None => vec![named(name, exe, own, folder)?],
    };
    program.extend(allowed_words(rest, folder)?);
    Some(program.join(" "))
}

/// A script with its words. It is named whole: its shell may have changed its folder.
fn script_of(script: &Path, exe: &Path, words: &[impl AsRef<str>], folder: &Path) -> Option<String> {
    let named = |word: &str| !word.starts_with('-') && script.ends_with(word.trim_start_matches("./"));
    let at = words.iter().position(|word| named(word.as_ref()))?;
    let (options, rest) = words.split_at_checked(at).map(|(options, rest)| (options, rest.get(1..)))?;
    if !options.is_empty() {
        return None;
    }
    // Without a `./` in it.
    let script: PathBuf = script.components().collect();
    let executable = rustix::fs::access(&script, rustix::fs::Access::EXEC_OK).is_ok();
    let mut all = Vec::new();
    if !executable {
        all.push(shown_word(exe.to_str()?)?);
    }
    all.push(shown_word(script.to_str()?)?);
    all.extend(allowed_words(rest?, folder)?);
    Some(all.join(" "))
}

/// The name of a program as a shell finds the same program by it.
fn named(name: &str, exe: &Path, own: &Variables, folder: &Path) -> Option<String> {
    let leads = |path: PathBuf| path.canonicalize().is_ok_and(|path| path == exe);
    if name.contains('/') {
        return leads(folder.join(name)).then(|| shown_word(name))?;
    }
    let path = own.get("PATH").and_then(|path| std::str::from_utf8(path.expose()).ok())?;
    let found = path.split(':').find(|one| one.starts_with('/') && leads(Path::new(one).join(name)))?;
    // A virtual environment is found by its own programs alone.
    if USUAL.contains(&found) { shown_word(name) } else { shown_word(Path::new(found).join(name).to_str()?) }
}
