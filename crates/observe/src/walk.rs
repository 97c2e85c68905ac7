use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::NotVisible;
use crate::files::{Choice, FileLimits, FilesReport, Kind, leave};
use crate::reading::{Read, read_regular};
use crate::worker::start_counted;

/// How deep folders are followed.
const DEPTH_MAX: usize = 64;

/// How many threads read: the disk and the kernel's caches serve two well, and the machine has other work.
const THREADS: usize = 2;

/// How many answers wait to be taken; one may be a whole file.
const ANSWERS_MAX: usize = 8;

/// How long nothing may come before it is asked who is stuck, milliseconds.
const QUIET_MS_MAX: u64 = 20;

/// File systems that hold no files of anybody: /proc, /sys, control groups, debugfs, tracefs, devpts, BPF, securityfs,
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

/// What is done with the bytes of one file, on the thread that read them.
pub type Look<T> = Arc<dyn Fn(&Path, Zeroizing<Vec<u8>>) -> T + Send + Sync>;

/// Reads the regular files below the roots (a root may be a file) on several threads, only those that `choose` accepts,
/// and hands what `look` made of each to `take`, in no order. A folder that is not accepted is not entered.
///
/// Links, FIFOs, sockets and devices below a root are never opened; a root that is a link is followed. Files that vanish
/// meanwhile are passed over in silence. One that does not answer is named, and the others go on. The report has no hits.
pub fn look_at_files<T: Send + 'static>(
    roots: &[PathBuf],
    choose: fn(&Path, Kind) -> Choice,
    limits: FileLimits,
    look: &Look<T>,
    take: &mut dyn FnMut(&Path, T),
) -> FilesReport {
    let mut report = FilesReport::default();
    let deadline = Instant::now() + limits.wait;
    let (sender, answers) = sync_channel(ANSWERS_MAX);
    let pool = Arc::new(Pool {
        limits,
        choose,
        look: Arc::clone(look),
        state: Mutex::default(),
        more: Condvar::new(),
    });
    let tasks = roots.iter().rev().map(|root| Task::Root(root.clone()));
    pool.lock().tasks.extend(tasks);
    pool.lock().roots.extend(roots.iter().cloned());
    for _ in 0..THREADS {
        if let Err(reason) = Pool::start(&pool, sender.clone()) {
            leave(&mut report, roots.first().cloned().unwrap_or_default(), format!("everything: {reason}"));
            break;
        }
    }
    let mut told = Telling { report: &mut report, take };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            pool.lock().over = true;
            told.rest(&answers);
            for path in pool.unreached() {
                told.left(path, format!("this and everything behind it: {}", NotVisible::OutOfTime));
            }
            break;
        }
        match answers.recv_timeout(left.min(Duration::from_millis(QUIET_MS_MAX))) {
            Ok(answer) => told.tell(answer),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                for path in pool.abandon(limits.step) {
                    told.left(path, NotVisible::Stuck.to_string());
                    if let Err(reason) = Pool::start(&pool, sender.clone()) {
                        told.left(PathBuf::from("/"), format!("files that were not reached: {reason}"));
                    }
                }
                if pool.finished() {
                    told.rest(&answers);
                    break;
                }
            }
        }
    }
    pool.more.notify_all();
    report
}

/// What a thread tells.
enum Told<T> {
    Looked(PathBuf, T),
    Left(PathBuf, String),
    LeftOut(&'static str),
}

struct Telling<'a, T> {
    report: &'a mut FilesReport,
    take: &'a mut dyn FnMut(&Path, T),
}

impl<T> Telling<'_, T> {
    fn tell(&mut self, answer: Told<T>) {
        match answer {
            Told::Looked(path, seen) => {
                self.report.files += 1;
                (self.take)(&path, seen);
            }
            Told::Left(path, reason) => self.left(path, reason),
            Told::LeftOut(reason) => *self.report.left_out.entry(reason).or_default() += 1,
        }
    }

    fn left(&mut self, path: PathBuf, reason: String) {
        leave(self.report, path, reason);
    }

    /// What was told before the last thread ended.
    fn rest(&mut self, answers: &Receiver<Told<T>>) {
        while let Ok(answer) = answers.try_recv() {
            self.tell(answer);
        }
    }
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

#[derive(Default)]
struct State {
    /// The last is the next: what was found deep is done first, so that few wait.
    tasks: Vec<Task>,
    /// What each thread is at, and since when. One that is not here was left behind, or has nothing to do.
    at: BTreeMap<u64, (PathBuf, Instant)>,
    threads: u64,
    /// Folders that were visited: roots may overlap, and mounts may form rings.
    folders: HashSet<(u64, u64)>,
    /// The roots as they were given: one that is a file may stand below another too.
    roots: BTreeSet<PathBuf>,
    /// Roots that are files and were met.
    root_files: BTreeSet<PathBuf>,
    files: usize,
    /// There are as many files as are read: no folder is entered any more.
    full: bool,
    /// Nothing more is begun.
    over: bool,
}

struct Pool<T> {
    limits: FileLimits,
    choose: fn(&Path, Kind) -> Choice,
    look: Look<T>,
    state: Mutex<State>,
    more: Condvar,
}

impl<T: Send + 'static> Pool<T> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(pool: &Arc<Self>, answers: SyncSender<Told<T>>) -> Result<(), NotVisible> {
        let id = {
            let mut state = pool.lock();
            state.threads += 1;
            state.threads
        };
        let pool = Arc::clone(pool);
        start_counted(move || {
            let thread = Thread { id, pool: &pool, answers };
            while let Some(task) = thread.next() {
                let told = thread.carry_out(task);
                if !thread.done() || !told {
                    break;
                }
            }
        })
    }

    /// What the threads are at, and the folders of what waits behind it.
    fn unreached(&self) -> BTreeSet<PathBuf> {
        let state = self.lock();
        let waiting = state.tasks.iter().map(|task| match task {
            Task::Root(path) | Task::Folder { path, .. } => path.clone(),
            Task::File(path) => path.parent().unwrap_or(path).to_owned(),
        });
        state.at.values().map(|(path, _)| path.clone()).chain(waiting).collect()
    }

    /// Leaves the threads behind that have been at one thing for longer than a step.
    fn abandon(&self, step: Duration) -> Vec<PathBuf> {
        let mut state = self.lock();
        let stuck: Vec<u64> =
            state.at.iter().filter(|(_, (_, since))| since.elapsed() > step).map(|(id, _)| *id).collect();
        stuck.into_iter().filter_map(|id| state.at.remove(&id)).map(|(path, _)| path).collect()
    }

    fn finished(&self) -> bool {
        let state = self.lock();
        state.at.is_empty() && (state.tasks.is_empty() || state.over)
    }
}

struct Thread<'a, T> {
    id: u64,
    pool: &'a Pool<T>,
    answers: SyncSender<Told<T>>,
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
            if state.at.is_empty() {
                self.pool.more.notify_all();
                return None;
            }
            state = self.pool.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// `false` = this thread was left behind.
    fn done(&self) -> bool {
        let mut state = self.pool.lock();
        let mine = state.at.remove(&self.id).is_some();
        if state.at.is_empty() && state.tasks.is_empty() {
            self.pool.more.notify_all();
        }
        mine
    }

    /// `false` = nobody takes the answers any more, or this thread was left behind and another has its place.
    fn tell(&self, told: Told<T>) -> bool {
        let mine = self.goes_on();
        mine && self.answers.send(told).is_ok()
    }

    /// Says that this thread is not stuck; `false` = it was taken for stuck, and left behind.
    fn goes_on(&self) -> bool {
        let mut state = self.pool.lock();
        let mine = state.at.get_mut(&self.id);
        mine.is_some_and(|(_, since)| {
            *since = Instant::now();
            true
        })
    }

    fn left(&self, path: &Path, reason: impl Into<String>) -> bool {
        self.tell(Told::Left(path.to_owned(), reason.into()))
    }

    fn carry_out(&self, task: Task) -> bool {
        match task {
            Task::Root(_) | Task::Folder { .. } if self.pool.lock().full => true,
            Task::Root(path) => match std::fs::canonicalize(&path) {
                Ok(path) => self.meet(path, 0, None),
                Err(error) => self.left(&path, error.to_string()),
            },
            Task::Folder { path, depth, device } => self.folder(&path, depth, device),
            Task::File(path) => self.file(&path),
        }
    }

    /// Asks what is at a path, and puts down what is to be done with it.
    fn meet(&self, path: PathBuf, depth: usize, device: Option<u64>) -> bool {
        if !self.goes_on() {
            return false;
        }
        let data = match std::fs::symlink_metadata(&path) {
            Ok(data) => data,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && depth > 0 => return true,
            Err(error) => return self.left(&path, error.to_string()),
        };
        let kind = data.file_type();
        if !(kind.is_file() || kind.is_dir()) {
            // Links are no copies of their own: what they lead to is found where it stands, if it is searched.
            return true;
        }
        let chosen = if kind.is_file() { Kind::File(data.len()) } else { Kind::Folder };
        match (self.pool.choose)(&path, chosen) {
            Choice::Look => {}
            Choice::Pass | Choice::LeaveOut(_) | Choice::Name(_) if depth == 0 => {}
            Choice::Pass => return true,
            Choice::LeaveOut(reason) => return self.tell(Told::LeftOut(reason)),
            Choice::Name(reason) => return self.left(&path, reason),
        }
        let mut state = self.pool.lock();
        if kind.is_dir() {
            if !state.folders.insert((data.dev(), data.ino())) {
                return true;
            }
            drop(state);
            if device != Some(data.dev()) && kernel_file_system(&path) {
                return self.left(&path, "a file system of the kernel");
            }
            self.put(Task::Folder { path, depth, device: data.dev() });
            return true;
        }
        let known =
            if depth == 0 { !state.root_files.insert(path.clone()) } else { state.roots.contains(&path) };
        if known {
            return true;
        }
        if state.files == self.pool.limits.files_max {
            let first = !state.full;
            state.full = true;
            drop(state);
            return !first || self.left(&path, "this and everything behind it: more files than the limit");
        }
        state.files += 1;
        drop(state);
        self.put(Task::File(path));
        true
    }

    fn put(&self, task: Task) {
        self.pool.lock().tasks.push(task);
        self.pool.more.notify_one();
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
        for entry in entries {
            let told = match entry {
                Ok(entry) => self.meet(entry.path(), depth + 1, Some(device)),
                Err(error) => self.left(path, error.to_string()),
            };
            if !told {
                return false;
            }
            let state = self.pool.lock();
            if state.full || state.over {
                return true;
            }
        }
        true
    }

    fn file(&self, path: &Path) -> bool {
        match read_regular(path, self.pool.limits.file_bytes_max) {
            Ok(Read { bytes, changing }) => {
                let seen = (self.pool.look)(path, bytes);
                self.tell(Told::Looked(path.to_owned(), seen))
                    && (!changing || self.left(path, "it changed while it was read, twice"))
            }
            Err(NotVisible::Vanished) => true,
            Err(reason) => self.left(path, reason.to_string()),
        }
    }
}

fn kernel_file_system(path: &Path) -> bool {
    let kind = rustix::fs::statfs(path).map(|data| data.f_type);
    kind.is_ok_and(|kind| {
        u64::try_from(kind).is_ok_and(|kind| KERNEL_FILE_SYSTEMS.contains(&(kind & 0xffff_ffff)))
    })
}
