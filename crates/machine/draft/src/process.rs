use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyroll_config::{FILL_IN, Name, Said};
use keyroll_manager::{Find, Reread, instances};
use keyroll_observe::{ProcessId, Sockets, image, working_folder};
use keyroll_trace::{Survey, User};

use crate::consumer_draft::{Context, RunDraft};
use crate::copy::written_plain;

/// The largest file that can be a pid file, bytes.
const PID_BYTES_MAX: u64 = 32;

/// Where programs write their pid files: below their working folder, and in a folder for all programs.
const PID_FOLDERS: [&str; 4] = [".", "run", "tmp", "pids"];
const PID_FOLDERS_OF_ALL: [&str; 1] = ["/run"];

/// How many files of one folder are read.
const FILES_MAX: usize = 256;

/// Programs whose master replaces its workers on HUP.
const MASTERS: [&str; 2] = ["gunicorn", "uvicorn"];

/// Drafts the keys of `runs`. The restart command cannot be guessed, so a script that does not exist is named.
pub(crate) fn run_draft(around: &Context<'_>, user: &User, name: &Name) -> RunDraft {
    let (survey, folder) = (around.survey, around.folder);
    let main = main_of(survey, user);
    let pid_file = main.as_ref().and_then(pid_file);
    let master = main.filter(|main| {
        let of = |process: &ProcessId| {
            survey.instances.get(process).and_then(|one| one.worker).is_some_and(|worker| worker.of == *main)
        };
        user.processes.iter().any(of) && runs(main, &MASTERS)
    });
    if let (Some(_), Some(path)) = (master, pid_file.as_deref().and_then(|path| written_plain(path, folder)))
    {
        let notes = vec!["its master replaces its workers on HUP".to_owned()];
        let runs = vec![("master", Said::Text(path)), ("reload", Said::Text("HUP".to_owned()))];
        return RunDraft { notes, ..RunDraft::by(runs) };
    }
    let restart = Said::Words(vec![format!("./{FILL_IN}-restart-{name}.sh")]);
    let mut draft = RunDraft {
        notes: vec![
            "it has no manager. fill in `restart`, the command that restarts it; or replace that with \
             signal = \"HUP\" or rereads = true if it loads a new value that way"
                .to_owned(),
        ],
        open: vec![format!("{name}: `restart`, the command that restarts it")],
        ..RunDraft::by(vec![("restart", restart)])
    };
    if let Some(path) = pid_file.as_deref().and_then(|path| written_plain(path, folder)) {
        draft.runs.push(("pid_file", Said::Text(path)));
        return draft;
    }
    if let Some((path, arg)) = main.and_then(|main| only(&main)) {
        draft.runs.push(("process", Said::Text(path)));
        draft.runs.extend(arg.map(|arg| ("arg", Said::Text(keyroll_template::escape(&arg)))));
        return draft;
    }
    draft.notes.push(format!(
        "other processes run the same program: fill in `pid_file`, the file to which its start writes the \
         process id ({} now)",
        numbers(user)
    ));
    draft.open.push(format!("{name}: `pid_file`, a file with its process id"));
    draft.runs.push(("pid_file", Said::Text(format!("./{FILL_IN}-{name}.pid"))));
    draft
}

fn numbers(user: &User) -> String {
    let all: Vec<String> = user.processes.iter().map(|one| one.pid.to_string()).collect();
    all.join(", ")
}

/// The process that started the others.
pub(crate) fn main_of(survey: &Survey, user: &User) -> Option<ProcessId> {
    let of = |process: &&ProcessId| {
        let parent = survey.instances.get(process).and_then(|one| one.parent);
        !parent.is_some_and(|parent| user.processes.contains(&parent))
    };
    user.processes.iter().find(of).or(user.processes.first()).copied()
}

fn runs(process: &ProcessId, programs: &[&str]) -> bool {
    let Ok(image) = image(process) else { return false };
    let paths = [Some(image.program.path), image.script.map(|script| script.path)];
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| programs.iter().any(|one| name == *one));
    paths.iter().flatten().any(named)
}

/// The pid file of a process, if it is in one of the usual folders.
fn pid_file(process: &ProcessId) -> Option<PathBuf> {
    let own = working_folder(process).ok().filter(|folder| folder.parent().is_some());
    let own = own.iter().flat_map(|folder| PID_FOLDERS.iter().map(|name| folder.join(name)));
    let folders = own.chain(PID_FOLDERS_OF_ALL.iter().map(PathBuf::from));
    let number = process.pid.to_string();
    let holds = |path: &PathBuf| {
        let small = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= PID_BYTES_MAX);
        small && std::fs::read_to_string(path).is_ok_and(|text| text.trim() == number)
    };
    let mut found = folders.flat_map(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    });
    found.find(holds).map(|path| path.components().collect())
}

/// The executable of a process and the script that it runs, if no other process has the same two. No other word of its
/// command line is written to the file: it may be a value.
fn only(process: &ProcessId) -> Option<(String, Option<String>)> {
    let image = image(process).ok().filter(|image| !image.replaced)?;
    let path = image.program.path.to_str()?.to_owned();
    let script = match image.script {
        Some(script) => Some(word_of(process, &script.path)?),
        None => None,
    };
    let find = Find::Executable { exe: PathBuf::from(&path), argument: script.clone() };
    let run = Reread { instances: Vec::new(), find };
    let mains = instances(&run).ok()?.into_iter().filter(|process| process.main).count();
    let readable = !path.contains(char::is_control) && path.starts_with('/');
    (mains == 1 && readable).then_some((path, script))
}

/// The word of a command line that names a script, unchanged.
fn word_of(process: &ProcessId, script: &Path) -> Option<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
    let folder = working_folder(process).ok()?;
    let words = line.split(|byte| *byte == 0).skip(1).filter_map(|word| std::str::from_utf8(word).ok());
    let names = |word: &&str| !word.is_empty() && folder.join(word).components().eq(script.components());
    words.into_iter().find(names).filter(|word| !word.contains(char::is_control)).map(str::to_owned)
}

/// The addresses at which its processes listen: a hint for `ready`.
pub(crate) fn listening(sockets: Option<&Sockets>, user: &User) -> Vec<SocketAddr> {
    let of = |process| sockets.map(|sockets| sockets.listening_of(process)).unwrap_or_default();
    let mut all: Vec<SocketAddr> = user.processes.iter().flat_map(of).collect();
    all.sort();
    all.dedup();
    all
}
