use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::NotVisible;
use crate::files::{Choice, FileLimits, PathKind};
use crate::look::Look;
use crate::pieces::Pieces;
use crate::reading::{Read, open_regular, read_opened};
use crate::worker::start_counted;

/// How deep folders are followed.
const DEPTH_MAX: usize = 64;

/// How many entries of a folder a thread collects before it gives them to all threads.
const MET_AT_ONCE: usize = 64;

/// How long a thread waits for space before it checks whether the caller still takes answers, milliseconds.
const ROOM_MS_MAX: u64 = 100;

/// File systems of the kernel: /proc, /sys, control groups, debugfs, tracefs, devpts, BPF, securityfs,
/// pstore, configfs, selinuxfs. Source: include/uapi/linux/magic.h.
const KERNEL_FILE_SYSTEMS: [u64; 12] = [
    0x9fa0,
    0x6265_6572,
    0x27e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x1cd1,
    0xcafe_4a11,
    0x7363_6673,
    0x6165_676c,
    0x6265_6570,
    0xf97c_ff8c,
];

/// What a thread reports of one path.
pub(crate) enum PathResult<T> {
    Searched(PathBuf, T),
    /// It could not be read, and why.
    Unread(PathBuf, String),
    /// The search leaves it out, and why.
    LeftOut(&'static str),
}

enum Task {
    Root(PathBuf),
    Folder { path: PathBuf, depth: usize, device: u64 },
    File(PathBuf),
}

impl Task {
    fn path(&self) -> &Path {
        match self {
            Self::Root(path) | Self::Folder { path, .. } | Self::File(path) => path,
        }
    }
}

/// What was found in a folder, or at a root.
enum Met<T> {
    Folder { path: PathBuf, depth: usize, device: u64, inode: u64 },
    File { path: PathBuf, root: bool },
    Result(PathResult<T>),
}

struct State<T> {
    /// The last task is next: deep folders are finished first, so that few tasks wait.
    tasks: Vec<Task>,
    results: Vec<PathResult<T>>,
    /// The present task of each thread, and since when. A thread that is not listed was abandoned, or is idle.
    at: BTreeMap<u64, (PathBuf, Instant)>,
    threads: u64,
    /// How many threads wait for a task.
    idle: usize,
    /// Folders that were visited: roots may overlap, and mounts may form rings.
    folders: HashSet<(u64, u64)>,
    /// The roots as they were given: a root that is a file may also be below another root.
    roots: BTreeSet<PathBuf>,
    /// Roots that are files and were found.
    root_files: BTreeSet<PathBuf>,
    files: usize,
    /// The limit of files is reached: no further folder is searched.
    full: bool,
    /// The walk is over: no task is begun, and no answer is accepted.
    over: bool,
}

/// The threads of one walk, their tasks and their answers.
pub(crate) struct Pool<T> {
    limits: FileLimits,
    choose: fn(&Path, PathKind) -> Choice,
    look: Look<T>,
    /// How much may still be read of large files, bytes.
    large: AtomicU64,
    state: Mutex<State<T>>,
    more: Condvar,
    has_results: Condvar,
    room: Condvar,
}

impl<T: Send + 'static> Pool<T> {
    pub(crate) fn new(
        roots: &[PathBuf],
        choose: fn(&Path, PathKind) -> Choice,
        limits: FileLimits,
        look: Look<T>,
    ) -> Self {
        let state = State {
            tasks: roots.iter().rev().map(|root| Task::Root(root.clone())).collect(),
            results: Vec::new(),
            at: BTreeMap::new(),
            threads: 0,
            idle: 0,
            folders: HashSet::new(),
            roots: roots.iter().cloned().collect(),
            root_files: BTreeSet::new(),
            files: 0,
            full: false,
            over: false,
        };
        Self {
            limits,
            choose,
            look,
            large: AtomicU64::new(limits.large_bytes_max),
            state: Mutex::new(state),
            more: Condvar::new(),
            has_results: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more thread.
    pub(crate) fn start(pool: &Arc<Self>) -> Result<(), NotVisible> {
        let id = {
            let mut state = pool.lock();
            state.threads += 1;
            state.threads
        };
        let pool = Arc::clone(pool);
        start_counted(move || {
            let thread = Thread { id, pool: &pool };
            while let Some(task) = thread.next() {
                let reported = thread.carry_out(task);
                if !thread.done() || !reported {
                    break;
                }
            }
        })
    }

    /// The answers so far; `true` = the wait timed out with few of them.
    pub(crate) fn answers(&self, wait: Duration) -> (Vec<PathResult<T>>, bool) {
        let few = |state: &mut State<T>| state.results.len() < self.look.answers_max;
        let waited = self.has_results.wait_timeout_while(self.lock(), wait, few);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let results = std::mem::take(&mut state.results);
        drop(state);
        if !waited.timed_out() {
            self.room.notify_all();
        }
        (results, waited.timed_out())
    }

    /// Abandons the threads that have worked on one task for longer than a step.
    pub(crate) fn abandon(&self, step: Duration) -> Vec<PathBuf> {
        let mut state = self.lock();
        let stuck: Vec<u64> =
            state.at.iter().filter(|(_, (_, since))| since.elapsed() > step).map(|(id, _)| *id).collect();
        stuck.into_iter().filter_map(|id| state.at.remove(&id)).map(|(path, _)| path).collect()
    }

    /// Whether all tasks are done and all answers taken.
    pub(crate) fn finished(&self) -> bool {
        let mut state = self.lock();
        let finished = state.at.is_empty() && state.tasks.is_empty() && state.results.is_empty();
        state.over |= finished;
        drop(state);
        if finished {
            self.more.notify_all();
        }
        finished
    }

    /// Ends the walk. Returns the folders that were not finished, none of them below another.
    pub(crate) fn give_up(&self) -> Vec<PathBuf> {
        let mut state = self.lock();
        state.over = true;
        let folder = |task: Task| match task {
            Task::File(path) => path.parent().map(Path::to_owned).unwrap_or(path),
            Task::Root(path) | Task::Folder { path, .. } => path,
        };
        let waiting: Vec<PathBuf> = std::mem::take(&mut state.tasks).into_iter().map(folder).collect();
        let all: BTreeSet<PathBuf> = state.at.values().map(|(path, _)| path.clone()).chain(waiting).collect();
        drop(state);
        self.more.notify_all();
        self.room.notify_all();
        let below = |path: &&PathBuf| path.ancestors().skip(1).any(|above| all.contains(above));
        all.iter().filter(|path| !below(path)).cloned().collect()
    }
}

struct Thread<'a, T> {
    id: u64,
    pool: &'a Pool<T>,
}

impl<T: Send + 'static> Thread<'_, T> {
    /// The next task; `None` = there will be none.
    fn next(&self) -> Option<Task> {
        let mut state = self.pool.lock();
        loop {
            if state.over {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.at.insert(self.id, (task.path().to_owned(), Instant::now()));
                return Some(task);
            }
            state.idle += 1;
            state = self.pool.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// `false` = this thread was abandoned.
    fn done(&self) -> bool {
        self.pool.lock().at.remove(&self.id).is_some()
    }

    /// Reports that this thread is not stuck; `false` = it was abandoned as stuck, and another thread replaces it.
    fn goes_on(&self) -> bool {
        goes_on(&mut self.pool.lock(), self.id)
    }

    /// `false` = the caller takes no more answers, or this thread was abandoned.
    fn report(&self, result: PathResult<T>) -> bool {
        self.put(&mut vec![Met::Result(result)])
    }

    fn left(&self, path: &Path, reason: impl Into<String>) -> bool {
        self.report(PathResult::Unread(path.to_owned(), reason.into()))
    }

    fn carry_out(&self, task: Task) -> bool {
        match task {
            Task::Root(_) | Task::Folder { .. } if self.pool.lock().full => true,
            Task::Root(path) => match std::fs::canonicalize(&path) {
                Ok(path) => self.root(path),
                Err(error) => self.left(&path, error.to_string()),
            },
            Task::Folder { path, depth, device } => self.folder(&path, depth, device),
            Task::File(path) => self.file(&path),
        }
    }

    /// A root is searched whatever the choice for the paths below it.
    fn root(&self, path: PathBuf) -> bool {
        match std::fs::symlink_metadata(&path) {
            Err(error) => self.left(&path, error.to_string()),
            Ok(data) if data.is_dir() => self.put(&mut vec![folder(path, 0, None, &data)]),
            Ok(data) if data.is_file() => self.put(&mut vec![Met::File { path, root: true }]),
            Ok(_) => true,
        }
    }

    /// Decides about an entry of a folder. A link is no copy of its own: its target is found at its own place, if that
    /// is searched.
    fn meet(&self, entry: &DirEntry, depth: usize, device: u64) -> Option<Met<T>> {
        let path = entry.path();
        let failed = |path: PathBuf, error: std::io::Error| {
            let gone = error.kind() == std::io::ErrorKind::NotFound;
            (!gone).then(|| Met::Result(PathResult::Unread(path, error.to_string())))
        };
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_file() => PathKind::File,
            Ok(kind) if kind.is_dir() => PathKind::Folder,
            Ok(_) => return None,
            Err(error) => return failed(path, error),
        };
        match (self.pool.choose)(&path, kind) {
            Choice::Pass => None,
            Choice::LeaveOut(reason) => Some(Met::Result(PathResult::LeftOut(reason))),
            Choice::Name(reason) => Some(Met::Result(PathResult::Unread(path, reason.to_owned()))),
            Choice::Look if kind == PathKind::File => Some(Met::File { path, root: false }),
            Choice::Look => match entry.metadata() {
                Ok(data) => Some(folder(path, depth, Some(device), &data)),
                Err(error) => failed(path, error),
            },
        }
    }

    /// Gives the collected entries to all threads; `false` = this thread was abandoned, or the walk is over.
    fn put(&self, met: &mut Vec<Met<T>>) -> bool {
        let mut state = self.pool.lock();
        loop {
            if state.over || !goes_on(&mut state, self.id) {
                return false;
            }
            if state.results.len() < self.pool.look.answers_max {
                break;
            }
            let wait = Duration::from_millis(ROOM_MS_MAX);
            let waited = self.pool.room.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
        for one in met.drain(..) {
            self.put_one(&mut state, one);
        }
        let (wake, full) =
            (state.idle.min(state.tasks.len()), state.results.len() >= self.pool.look.answers_max);
        drop(state);
        for _ in 0..wake {
            self.pool.more.notify_one();
        }
        if full {
            self.pool.has_results.notify_one();
        }
        true
    }

    fn put_one(&self, state: &mut State<T>, met: Met<T>) {
        match met {
            Met::Result(result) => state.results.push(result),
            Met::Folder { path, depth, device, inode } => {
                if state.folders.insert((device, inode)) {
                    state.tasks.push(Task::Folder { path, depth, device });
                }
            }
            Met::File { path, root } => {
                let known =
                    if root { !state.root_files.insert(path.clone()) } else { state.roots.contains(&path) };
                if known {
                } else if state.files < self.pool.limits.files_max {
                    state.files += 1;
                    state.tasks.push(Task::File(path));
                } else if !std::mem::replace(&mut state.full, true) {
                    let reason = "this and all further files: more than the limit".to_owned();
                    state.results.push(PathResult::Unread(path, reason));
                }
            }
        }
    }

    fn folder(&self, path: &Path, depth: usize, device: u64) -> bool {
        if depth == DEPTH_MAX {
            return self.left(path, "folders nested too deep");
        }
        if path.ends_with(".git/objects") {
            return self.left(path, "the history of a git repository is compressed");
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
            Err(error) => return self.left(path, error.to_string()),
        };
        let mut met = Vec::with_capacity(MET_AT_ONCE);
        for (number, entry) in (1..).zip(entries) {
            met.extend(match entry {
                Ok(entry) => self.meet(&entry, depth + 1, device),
                Err(error) => Some(Met::Result(PathResult::Unread(path.to_owned(), error.to_string()))),
            });
            if number % MET_AT_ONCE == 0 && !self.put(&mut met) {
                return false;
            }
            if number % MET_AT_ONCE == 0 && self.pool.lock().full {
                return true;
            }
        }
        self.put(&mut met)
    }

    fn file(&self, path: &Path) -> bool {
        let limits = &self.pool.limits;
        let read = open_regular(path).and_then(|(file, data)| {
            let large = usize::try_from(data.len()).map_or(true, |length| length > limits.file_bytes_max);
            match self.pool.look.pieces.as_ref().filter(|_| large && limits.large_file_bytes_max > 0) {
                Some(look) => {
                    let goes_on = || self.goes_on();
                    let max = limits.large_file_bytes_max;
                    let mut pieces = Pieces::new(file, data.len(), max, &self.pool.large, &goes_on);
                    Ok((look(path, &mut pieces), pieces.finish(&data)))
                }
                None => {
                    let Read { bytes, changing } = read_opened(file, data, limits.file_bytes_max)?;
                    let seen = (self.pool.look.whole)(path, bytes);
                    Ok((seen, changing.then(|| "it changed while it was read, twice".to_owned())))
                }
            }
        });
        match read {
            Ok((seen, unseen)) => {
                let mut results = vec![Met::Result(PathResult::Searched(path.to_owned(), seen))];
                results.extend(unseen.map(|reason| Met::Result(PathResult::Unread(path.to_owned(), reason))));
                self.put(&mut results)
            }
            Err(NotVisible::Vanished) => true,
            Err(reason) => self.left(path, reason.to_string()),
        }
    }
}

fn goes_on<T>(state: &mut State<T>, id: u64) -> bool {
    state.at.get_mut(&id).is_some_and(|(_, since)| {
        *since = Instant::now();
        true
    })
}

/// The task for a folder that was found.
fn folder<T>(path: PathBuf, depth: usize, above: Option<u64>, data: &std::fs::Metadata) -> Met<T> {
    if above != Some(data.dev()) && kernel_file_system(&path) {
        return Met::Result(PathResult::Unread(path, "a file system of the kernel".to_owned()));
    }
    Met::Folder { path, depth, device: data.dev(), inode: data.ino() }
}

fn kernel_file_system(path: &Path) -> bool {
    let kind = rustix::fs::statfs(path).map(|data| data.f_type);
    kind.is_ok_and(|kind| {
        u64::try_from(kind).is_ok_and(|kind| KERNEL_FILE_SYSTEMS.contains(&(kind & 0xffff_ffff)))
    })
}
