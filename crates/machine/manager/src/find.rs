use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_observe::{
    Listing, PathStep, Process, WrittenAt, descendants, own_tree, path_steps, process, processes,
    writer_by_access_list,
};
use keyroll_port::{Class, Failure};
use rustix::fs::OFlags;
use rustix::param::clock_ticks_per_second;
use rustix::process::geteuid;

use crate::InstanceProcess;
use crate::instance::{PLACEHOLDER, filled};

/// How long a listing of the processes may take, milliseconds.
pub(crate) const LISTING_MS_MAX: u64 = 10_000;

/// The longest pid file, bytes.
const PID_FILE_BYTES_MAX: u64 = 64;

/// Write permission for others, and for a file's group.
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;

/// In such a folder only the owner of a file may rename it.
const STICKY: u32 = 0o1000;

/// How much younger than its pid file a process may be, before its id counts as reused: start times
/// are in ticks, and a file system may round its times to two seconds.
const RECYCLED_MARGIN_MS: Duration = Duration::from_millis(5_000);

/// How the processes of a consumer are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// A file that holds the main process's id; `{instance}` stands for the instance's name.
    PidFile {
        /// The file.
        path: PathBuf,
        /// What the process must run, so that a stale file is noticed.
        exe: Option<PathBuf>,
    },
    /// Every process that runs this executable.
    Executable {
        /// By path, or by file name where it has no folder.
        exe: PathBuf,
        /// One argument that it must have, whole; `{instance}` stands for the instance's name. Needed for scripts,
        /// where the executable is the interpreter.
        argument: Option<String>,
    },
}

impl Find {
    /// The running processes of all named instances, or of the single one. Workers that a process forked and that
    /// run the same executable are included, whatever their arguments became.
    pub(crate) fn instances(&self, names: &[String]) -> Result<Vec<InstanceProcess>, Failure> {
        let listing = list()?;
        self.instances_in(&listing, names)
    }

    /// The main process, in words.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::PidFile { path, .. } => format!("the process in {}", path.display()),
            Self::Executable { exe, .. } => format!("the main process of {}", exe.display()),
        }
    }

    /// Whether it distinguishes the instances.
    fn names_instances(&self) -> bool {
        match self {
            Self::PidFile { path, .. } => path.to_string_lossy().contains(PLACEHOLDER),
            Self::Executable { argument, .. } => {
                argument.as_deref().is_some_and(|text| text.contains(PLACEHOLDER))
            }
        }
    }

    pub(crate) fn instances_in(
        &self,
        listing: &Listing,
        names: &[String],
    ) -> Result<Vec<InstanceProcess>, Failure> {
        if names.len() > 1 && !self.names_instances() {
            return Err(Failure::new(
                Class::Permanent,
                Code::ConfigInvalid,
                format!("tell the instances {} apart", names.join(", ")),
            )
            .because(format!("neither pid file nor argument holds {PLACEHOLDER}"))
            .help(format!("put {PLACEHOLDER} into `runs.pid_file` or `runs.arg`")));
        }
        let mut found = Vec::new();
        let mut taken = BTreeSet::new();
        let all: Vec<Option<&str>> = if names.is_empty() {
            vec![None]
        } else {
            names.iter().map(|name| Some(name.as_str())).collect()
        };
        for instance in all {
            let mains = match self {
                Self::PidFile { path, exe } => by_pid_file(listing, path, exe.as_deref(), instance)?,
                Self::Executable { exe, argument } => {
                    by_executable(listing, exe, argument.as_deref(), instance)?
                }
            };
            for main in &mains {
                let workers = descendants(listing, main.id);
                let alike =
                    |worker: &&&Process| worker.forked || (worker.exe.is_some() && worker.exe == main.exe);
                let workers = workers.iter().filter(alike).copied();
                // A match that was forked by another match is its worker.
                let forked = main.forked && mains.iter().any(|other| other.id.pid == main.ppid);
                for (process, is_main) in
                    std::iter::once((*main, !forked)).chain(workers.map(|one| (one, false)))
                {
                    if taken.insert(process.id) {
                        let instance = instance.map(str::to_owned);
                        found.push(InstanceProcess { process: process.id, instance, main: is_main });
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The processes that a manager names by process id, with the workers that each forked; without those that have ended.
///
/// # Errors
/// `K0411`: one of them may be there and is not visible.
pub(crate) fn with_workers(listing: &Listing, pids: &[u32]) -> Result<Vec<InstanceProcess>, Failure> {
    let mut found: Vec<InstanceProcess> = Vec::new();
    for pid in pids {
        if let Some(hidden) = listing.hidden.iter().find(|hidden| hidden.pid.is_none_or(|it| it == *pid)) {
            return Err(Failure::new(
                Class::Retryable,
                Code::ProcessesHidden,
                format!("look at process {pid}"),
            )
            .because(hidden.reason.clone())
            .help("run keyroll as root or as the consumer's user"));
        }
        let Some(main) = listing.seen.iter().find(|process| process.id.pid == *pid) else { continue };
        let workers = descendants(listing, main.id);
        let alike = |worker: &&&Process| worker.forked || (worker.exe.is_some() && worker.exe == main.exe);
        let workers = workers.iter().filter(alike).map(|worker| (worker.id, false));
        for (process, is_main) in std::iter::once((main.id, true)).chain(workers) {
            if !found.iter().any(|known| known.process == process) {
                found.push(InstanceProcess { process, instance: None, main: is_main });
            }
        }
    }
    Ok(found)
}

pub(crate) fn list() -> Result<Listing, Failure> {
    let listing = processes(Duration::from_millis(LISTING_MS_MAX));
    listing.map_err(|reason| {
        Failure::new(Class::Retryable, Code::ProcessesHidden, "list the processes").because(reason)
    })
}

fn by_executable<'a>(
    listing: &'a Listing,
    exe: &Path,
    argument: Option<&str>,
    instance: Option<&str>,
) -> Result<Vec<&'a Process>, Failure> {
    let argument = argument.map(|text| filled(text, instance)).transpose()?;
    // A configured path may be a link (/usr/bin/python3): the kernel shows what it leads to.
    let exe = match exe.components().count() {
        1 => exe.to_owned(),
        _ => std::fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned()),
    };
    if let Some(hidden) = listing.hidden.first() {
        return Err(Failure::new(
            Class::Retryable,
            Code::ProcessesHidden,
            format!("find the processes that run {}", exe.display()),
        )
        .because(hidden.reason.clone())
        .help("run keyroll as root or as the consumer's user"));
    }
    let own = own_tree(listing);
    let is_it = |process: &&Process| {
        process.runs(&exe)
            && !own.contains(&process.id.pid)
            && argument.as_deref().is_none_or(|text| process.args.holds(OsStr::new(text)))
    };
    // If the executable of another user's process is not visible, the name that it was started under still is. Such a
    // process is neither found nor certainly absent.
    let may_be = |process: &&Process| {
        process.exe.is_none()
            && process.args.program().and_then(Path::file_name) == exe.file_name()
            && argument.as_deref().is_none_or(|text| process.args.holds(OsStr::new(text)))
    };
    if let Some(process) = listing.seen.iter().find(may_be) {
        return Err(
            not_listed(&exe).because(format!("the program of process {} is not visible", process.id.pid))
        );
    }
    Ok(listing.seen.iter().filter(is_it).collect())
}

fn not_listed(exe: &Path) -> Failure {
    Failure::new(
        Class::Retryable,
        Code::ProcessesHidden,
        format!("find the processes that run {}", exe.display()),
    )
    .help("run keyroll as root or as the consumer's user")
}

fn by_pid_file<'a>(
    listing: &'a Listing,
    path: &Path,
    exe: Option<&Path>,
    instance: Option<&str>,
) -> Result<Vec<&'a Process>, Failure> {
    let path = PathBuf::from(filled(&path.to_string_lossy(), instance)?);
    let Some((pid, meta)) = read_pid(&path)? else { return Ok(Vec::new()) };
    let process = listing.seen.iter().find(|process| process.id.pid == pid);
    if let Some(failure) = process.and_then(|process| disbelieved(process, &meta, &path)) {
        return Err(failure);
    }
    if let (Some(process), Some(exe)) = (process, exe) {
        let exe = std::fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned());
        if !process.runs(&exe) {
            return Err(wrong_pid_file(&path, Class::Permanent)
                .because(format!("process {pid} does not run {}: the file is out of date", exe.display())));
        }
    }
    Ok(process.into_iter().collect())
}

/// Why a pid file finds no process, as every look at the processes is refused because of it: it holds no process id (retryable), or
/// may not be believed. `None`: it names a process that may be the one, or nothing runs.
pub fn pid_file_refused(path: &Path) -> Option<Failure> {
    match read_pid(path) {
        Ok(found) => {
            let (pid, meta) = found?;
            disbelieved(&process(pid).ok()?, &meta, path)
        }
        Err(failure) => Some(failure),
    }
}

fn disbelieved(process: &Process, meta: &Metadata, path: &Path) -> Option<Failure> {
    let why = unbelievable(process, meta).or_else(|| movable(process, path))?;
    let named = format!("it names process {} ({}), but {why}", process.id.pid, process.name);
    let attempted = format!("believe {}", path.display());
    let failure = Failure::new(Class::Permanent, Code::ProcessNotFound, attempted).because(named);
    Some(
        failure.help(
            "see who wrote it, then restart the service so that it writes its own; or name `runs.process`",
        ),
    )
}

/// Why a file cannot have been written by or for the process with that number. The writer of a pid file chooses which
/// process keyroll signals with its own rights; and a number is reused after its process has ended.
fn unbelievable(process: &Process, file: &Metadata) -> Option<String> {
    let owner = file.uid();
    if file.mode() & OTHERS_WRITE != 0 {
        return Some(format!("every user may write the file (mode {:04o})", file.mode() & 0o7777));
    }
    let root = geteuid().is_root();
    let trusted = owner == 0 || owner == geteuid().as_raw();
    // A file of another user may name that user's processes only, whichever group member wrote it.
    if root && trusted && file.mode() & GROUP_WRITE != 0 {
        let (group, mode) = (file.gid(), file.mode() & 0o7777);
        return Some(format!(
            "every member of group {group} may write the file, which is root's (mode {mode:04o})"
        ));
    }
    if let Some(user) = process.uid.filter(|user| !trusted && *user != owner) {
        return Some(format!("the file belongs to user {owner}, and the process to user {user}"));
    }
    // Each age is a difference on one clock. A file that seems to come from the future shows nothing.
    let written = file.modified().ok()?.elapsed().ok()?;
    let ticks = WrittenAt::now().ok()?.ticks.checked_sub(process.id.start_ticks)?;
    let ran = Duration::from_secs(ticks / clock_ticks_per_second().max(1));
    let younger = ran + RECYCLED_MARGIN_MS < written;
    younger.then(|| {
        "it started after the file was written: the process id was given to another process".to_owned()
    })
}

/// Why a pid file may be another file by now: whoever may write a folder on its way may rename what is in it, and whoever
/// is in an access list may write what it is for.
fn movable(process: &Process, file: &Path) -> Option<String> {
    let user = process.uid?;
    let steps = path_steps(file);
    let last = steps.len().saturating_sub(1);
    steps.iter().enumerate().find_map(|(at, step)| {
        let listed = writer_by_access_list(&step.path, &[geteuid().as_raw(), user]);
        let listed = listed.filter(|_| !step.meta.is_symlink());
        if at == last {
            return listed.map(|who| format!("{who} may write the file by an access list"));
        }
        changed_by(user, step).or_else(|| {
            let who = listed.filter(|_| step.meta.mode() & STICKY == 0)?;
            Some(format!("{who} may replace it in {} by an access list", step.path.display()))
        })
    })
}

/// Who else may change where a step on the way to the file of this user's process leads.
fn changed_by(user: u32, step: &PathStep) -> Option<String> {
    let (owner, me, mode) = (step.meta.uid(), geteuid().as_raw(), step.meta.mode());
    let shown = step.path.display();
    // A user's own processes only: nobody is given more than that user has.
    let foreign = owner != 0 && owner != me && owner != user;
    if step.meta.is_symlink() {
        return (foreign && step.in_sticky)
            .then(|| format!("{shown} is a link of user {owner}, and the process is of user {user}"));
    }
    if owner != 0 && owner != me {
        return foreign.then(|| format!("{shown} belongs to user {owner}, and the process to user {user}"));
    }
    if mode & STICKY != 0 {
        return None;
    }
    let bits = mode & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Some(format!("every user may replace it in {shown} (mode {bits:04o})"));
    }
    // The file of a group's service may name a process of that service, and none of root's.
    (geteuid().is_root() && user == 0 && mode & GROUP_WRITE != 0).then(|| {
        format!("every member of group {} may replace it in {shown} (mode {bits:04o})", step.meta.gid())
    })
}

fn wrong_pid_file(path: &Path, class: Class) -> Failure {
    Failure::new(class, Code::ProcessNotFound, format!("find a process by {}", path.display()))
        .help("correct `runs.pid_file`, or name `runs.process` instead")
}

/// The number and its file; `None` = there is no such file: the instance does not run.
#[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
fn read_pid(path: &Path) -> Result<Option<(u32, Metadata)>, Failure> {
    let unread = |error| wrong_pid_file(path, Class::Permanent).because(error);
    let name = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unread(error)),
        Ok(name) => name,
    };
    if name.is_symlink() && ![0, geteuid().as_raw()].contains(&name.uid()) {
        return Err(Failure::new(
            Class::Permanent,
            Code::ProcessNotFound,
            format!("believe {}", path.display()),
        )
        .because(format!("it is a link of user {}, who chooses where it leads", name.uid()))
        .help("let the service write a file of its own, or name `runs.process`"));
    }
    // The open file is checked and read: its name may lead to another file, or to a pipe, by now.
    let follow = if name.is_symlink() { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = (OFlags::NONBLOCK | follow).bits().cast_signed();
    let file = match std::fs::File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unread)?,
    };
    let meta = file.metadata().map_err(unread)?;
    if !meta.is_file() {
        return Err(wrong_pid_file(path, Class::Permanent).because("it is not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(PID_FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| wrong_pid_file(path, Class::Retryable).because(error))?;
    let pid = text.lines().next().unwrap_or("").trim().parse::<u32>();
    match pid {
        Ok(pid) if pid > 0 => Ok(Some((pid, meta))),
        _ => Err(wrong_pid_file(path, Class::Retryable).because("it holds no process id")),
    }
}
