//! The command that ends a process and starts its program again, to be pasted into a shell.

use std::path::{Path, PathBuf};

use keyroll_leak::Rules;
use keyroll_manager::{Variables, home_of, user_names};
use keyroll_observe::{Output, Process, has_other_files, output_of, passes_on, shown, working_folder};
use keyroll_secret::SecretBytes;
use rustix::process::geteuid;

use super::build::within;
use super::cron::is_daemon;
use super::launcher::{Launcher, is_same_for_shells};
use super::sessions::is_shell;
use super::source::word;

/// The longest command that is shown, bytes: nobody reads a longer one before pasting it.
const COMMAND_BYTES_MAX: usize = 1_000;

/// The folders in which every shell finds programs.
const USUAL: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Files that a shell reads by itself, with the shell and the options with which it does. Source: bash(1), zsh(1).
const PROFILES: [(&str, &str); 7] = [
    (".bashrc", "bash -ic"),
    (".bash_profile", "bash -lc"),
    (".profile", "bash -lc"),
    ("profile", "bash -lc"),
    (".zshenv", "zsh -c"),
    (".zprofile", "zsh -lc"),
    (".zshrc", "zsh -ic"),
];

/// Ends a process and starts its program again, with the variables of a file where its program does not read that by
/// itself. `parent` may be a shell whose text would start the program again with the old value: it is ended first.
/// `None` = a part of it is not visible, may be a secret, or cannot be said in one line.
pub(crate) fn start_again(
    process: &Process,
    own: &Variables,
    parent: Option<&Process>,
    file: Option<&Path>,
) -> Option<String> {
    if parent.is_some_and(is_daemon) {
        return Some(format!("kill {} # the next run of its line reads the file again", process.id.pid));
    }
    // Somebody works in it.
    if passes_on(process) {
        return None;
    }
    let folder = folder_of(process)?;
    let words = words_of(process, own)?;
    let shell = parent.filter(|parent| is_text(parent)).map(|parent| parent.id.pid);
    let ends: Vec<u32> = shell.into_iter().chain([process.id.pid]).collect();
    let profile = file.and_then(Path::file_name).and_then(|name| PROFILES.iter().find(|(of, _)| name == *of));
    let (reads, program) = match (file, profile) {
        (None, _) => (String::new(), words),
        (Some(_), Some((_, shell))) => (String::new(), format!("{shell} {}", word(format!("exec {words}")))),
        (Some(file), None) if is_same_for_shells(file) => (sourcing(file, &folder)?, words),
        (Some(_), None) => return None,
    };
    command(&Start { ends: &ends, of: process, folder: &folder, reads: &reads, program: &program })
}

/// Ends a shell that runs a script, with everything that it started, and runs the script again.
pub(crate) fn run_again(shell: &Process, script: &Path, started: &[u32]) -> Option<String> {
    let folder = folder_of(shell)?;
    let mut words = shell.args.words().filter(|_| !shell.args.overwritten())?.into_iter().skip(1);
    if shell.id.pid <= 1 {
        return None;
    }
    // The options of the shell, and the script as it was named before the shell changed its folder.
    let named = |word: &str| !word.starts_with('-') && script.ends_with(word.trim_start_matches("./"));
    words.find(|word| named(word))?;
    let arguments: Vec<String> = words.map(|one| plain(&one)).collect::<Option<_>>()?;
    // Without a `./` in it.
    let script: PathBuf = script.components().collect();
    let program = plain(script.to_str()?)?;
    let executable = rustix::fs::access(&script, rustix::fs::Access::EXEC_OK).is_ok();
    let interpreter = if executable { None } else { Some(plain(shell.exe.as_deref()?.to_str()?)?) };
    let program: Vec<String> = interpreter.into_iter().chain([program]).chain(arguments).collect();
    let ends = all_of(shell, started);
    command(&Start { ends: &ends, of: shell, folder: &folder, reads: "", program: &program.join(" ") })
}

/// The same for the text of a command line that does not change its folder: nothing shows where it began.
pub(crate) fn run_text_again(shell: &Process, text: &[u8], started: &[u32]) -> Option<String> {
    let moves = |word: &[u8]| matches!(word, b"cd" | b"pushd" | b"popd");
    if shell.id.pid <= 1 || text.split(|byte| !byte.is_ascii_alphanumeric()).any(moves) {
        return None;
    }
    let (folder, words) = (folder_of(shell)?, words_of(shell, &Variables::new())?);
    let ends = all_of(shell, started);
    command(&Start { ends: &ends, of: shell, folder: &folder, reads: "", program: &words })
}

/// A shell and what it started: the same for each of them.
fn all_of(shell: &Process, started: &[u32]) -> Vec<u32> {
    [shell.id.pid].into_iter().chain(started.iter().copied()).collect()
}

/// A shell that runs a text, and is not the first process of this machine or container.
fn is_text(shell: &Process) -> bool {
    shell.id.pid > 1 && is_shell(shell) && Launcher::of(shell).is_some()
}

/// Everything that the command is made of.
struct Start<'s> {
    /// The processes to end. All have to be gone before the next start.
    ends: &'s [u32],
    /// The process whose user and output the next one gets.
    of: &'s Process,
    folder: &'s Path,
    reads: &'s str,
    program: &'s str,
}

/// In a shell of its own, so that the operator's shell exports nothing that another start would inherit.
fn command(start: &Start<'_>) -> Option<String> {
    let Start { ends, of, folder, reads, program } = start;
    let ends: Vec<String> = ends.iter().map(u32::to_string).collect();
    let gone = match ends.as_slice() {
        [only] => format!("tail --pid={only} -f /dev/null"),
        all => format!("for p in {}; do tail --pid=$p -f /dev/null; done", all.join(" ")),
    };
    let folder = plain(folder.to_str()?)?;
    let output = match output_of(&of.id) {
        Output::File(path) if path == Path::new("/dev/null") => Some("/dev/null".to_owned()),
        Output::File(path) => Some(plain(path.to_str()?)?),
        Output::Terminal | Output::Elsewhere => None,
    };
    let stays = if output.is_some() { "nohup " } else { "" };
    let inner = format!("cd {folder} && {reads}exec {stays}{program}");
    let inner = match of.uid {
        Some(uid) if uid == geteuid().as_raw() => format!("({inner})"),
        uid => {
            let uid = uid?;
            let (user, home) = (user_names().remove(&uid)?, home_of(uid)?);
            let (user, home) = (plain(&user)?, plain(home.to_str()?)?);
            format!("runuser -u {user} -- env HOME={home} sh -c {}", word(inner))
        }
    };
    let output = output.map(|path| format!(" </dev/null >>{path} 2>&1 &")).unwrap_or_default();
    let text = format!("kill {} && {gone}; {inner}{output}", ends.join(" "));
    (text.len() <= COMMAND_BYTES_MAX).then_some(text)
}

/// The working folder, where it is the same for the operator's shell.
fn folder_of(process: &Process) -> Option<PathBuf> {
    let same = !has_other_files(&process.id).unwrap_or(true);
    working_folder(&process.id).ok().filter(|folder| same && folder.is_dir())
}

/// `set -a && . ./.env && set +a && `
fn sourcing(file: &Path, folder: &Path) -> Option<String> {
    let path = match file.strip_prefix(folder) {
        Ok(below) if folder != Path::new("/") => format!("./{}", below.to_str()?),
        Ok(_) | Err(_) => file.to_str()?.to_owned(),
    };
    Some(format!("set -a && . {} && set +a && ", plain(&path)?))
}

/// The command line, word by word as a shell takes it.
fn words_of(process: &Process, own: &Variables) -> Option<String> {
    if process.args.overwritten() {
        return None;
    }
    let all = process.args.words()?;
    let (name, rest) = all.split_first()?;
    if name.is_empty() || name.starts_with('-') {
        return None;
    }
    let name = found(name, process.exe.as_deref(), own).unwrap_or_else(|| name.to_string());
    let mut words = vec![plain(&name)?];
    for one in rest {
        words.push(plain(one)?);
    }
    Some(words.join(" "))
}

/// The path of a program that only the process finds by its name: that of a virtual environment.
fn found(name: &str, exe: Option<&Path>, own: &Variables) -> Option<String> {
    if name.contains('/') {
        return None;
    }
    let path = own.get("PATH").and_then(|path| std::str::from_utf8(path.expose()).ok())?;
    let leads_to = |folder: &&str| Path::new(folder).join(name).canonicalize().ok().as_deref() == exe;
    let folder = path.split(':').find(leads_to)?;
    let usual = USUAL.contains(&folder) || !folder.starts_with('/');
    (!usual).then(|| shown(&Path::new(folder).join(name)))
}

/// A word as a shell takes it. `None` = it may be a secret, or moves a cursor.
fn plain(text: &str) -> Option<String> {
    let rules = Rules::shipped().ok()?;
    let secret = || within("", SecretBytes::from(text.to_owned()).expose(), rules).is_some();
    (!text.contains(char::is_control) && !secret()).then(|| word(text))
}
