use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use zeroize::Zeroizing;

use crate::proc::read_bounded;
use crate::worker::Worker;
use crate::{NotVisible, Search};

/// How deep folders are followed.
const DEPTH_MAX: usize = 64;

/// How many places that were not searched are named one by one.
const NOT_SEARCHED_MAX: usize = 10_000;

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

/// Limits of a search through files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// The largest file that is searched, bytes.
    pub file_bytes_max: usize,
    /// The most files that are searched.
    pub files_max: usize,
    /// The most hits that are told.
    pub hits_max: usize,
    /// The longest time for the whole search.
    pub wait: Duration,
    /// The longest time for one file or folder.
    pub step: Duration,
}

/// 8 MiB a file, 200 000 files, 10 000 hits, 60 seconds, 5 seconds.
impl Default for FileLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 8 << 20,
            files_max: 200_000,
            hits_max: 10_000,
            wait: Duration::from_secs(60),
            step: Duration::from_secs(5),
        }
    }
}

/// One value in one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileHit {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1 on; where a match spans lines, the first.
    pub line: u64,
    /// Which value.
    pub id: u32,
}

/// One place that was not searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSearched {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// What a search through files found, and what it did not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// Each value once per line.
    pub hits: Vec<FileHit>,
    /// What was left out, and why.
    pub not_searched: Vec<NotSearched>,
    /// How many files were searched.
    pub files: usize,
}

/// What the walking thread tells.
enum Found {
    File(PathBuf, Zeroizing<Vec<u8>>),
    Left(PathBuf, String),
}

/// Searches regular files below the roots (a root may be a file). Links, FIFOs, sockets and devices below a root are
/// never opened; a root that is a link is followed. Files that vanish meanwhile are passed over in silence.
pub fn search_files(roots: &[PathBuf], needles: &dyn Search, limits: FileLimits) -> FilesReport {
    let mut hits = FilesReport::default();
    let mut report = visit_files(roots, |_, _| true, limits, &mut |path, bytes| {
        note_hits(path, bytes, needles, limits.hits_max, &mut hits);
    });
    report.hits = hits.hits;
    report.not_searched.extend(hits.not_searched);
    report
}

/// What is there at a path, for whoever chooses what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File(u64),
    /// A folder.
    Folder,
}

/// Reads the regular files below the roots as [`search_files`] does, but only what `choose` accepts; a folder that it
/// does not accept is not entered. The report has no hits.
pub fn visit_files(
    roots: &[PathBuf],
    choose: fn(&Path, Kind) -> bool,
    limits: FileLimits,
    visit: &mut dyn FnMut(&Path, &[u8]),
) -> FilesReport {
    let mut report = FilesReport::default();
    let owned = roots.to_vec();
    let worker = Worker::start(move |found| {
        Walk { limits, choose, found, seen: BTreeSet::new(), files: 0 }.roots(&owned)
    });
    let deadline = Instant::now() + limits.wait;
    let mut last = roots.first().cloned().unwrap_or_default();
    let ended = match worker {
        Err(reason) => Err(reason),
        Ok(worker) => loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Err(NotVisible::OutOfTime);
            }
            match worker.next(limits.step.min(left)) {
                Ok(Some(Found::File(path, bytes))) => {
                    report.files += 1;
                    visit(&path, &bytes);
                    last = path;
                }
                Ok(Some(Found::Left(path, reason))) => leave(&mut report, path, reason),
                Ok(None) => break Ok(()),
                Err(reason) => break Err(reason),
            }
        },
    };
    if let Err(reason) = ended {
        leave(&mut report, last, format!("everything behind it: {reason}"));
    }
    report
}

fn leave(report: &mut FilesReport, path: PathBuf, reason: String) {
    match report.not_searched.len().cmp(&NOT_SEARCHED_MAX) {
        std::cmp::Ordering::Less => report.not_searched.push(NotSearched { path, reason }),
        std::cmp::Ordering::Equal => {
            report.not_searched.push(NotSearched { path, reason: "this and more places, not named".into() });
        }
        std::cmp::Ordering::Greater => {}
    }
}

fn note_hits(path: &Path, bytes: &[u8], needles: &dyn Search, hits_max: usize, report: &mut FilesReport) {
    let mut found = BTreeSet::new();
    needles.find(bytes, &mut |id, offset| {
        found.insert((offset, id));
    });
    let (mut line, mut counted, mut told) = (1, 0, BTreeSet::new());
    for (offset, id) in found {
        let between = bytes.get(counted..offset).unwrap_or_default();
        line += between.iter().filter(|&&byte| byte == b'\n').count() as u64;
        counted = offset;
        if !told.insert((line, id)) {
            continue;
        }
        if report.hits.len() == hits_max {
            return leave(report, path.to_owned(), "more hits than are told".into());
        }
        report.hits.push(FileHit { path: path.to_owned(), line, id });
    }
}

struct Walk<'a> {
    limits: FileLimits,
    choose: fn(&Path, Kind) -> bool,
    found: &'a SyncSender<Found>,
    /// Folders and files that were visited: roots may overlap, and mounts may form rings.
    seen: BTreeSet<(u64, u64)>,
    files: usize,
}

impl Walk<'_> {
    fn roots(&mut self, roots: &[PathBuf]) {
        for root in roots {
            let told = match std::fs::canonicalize(root) {
                Ok(path) => self.enter(&path, 0, None),
                Err(error) => self.left(root, error.to_string()),
            };
            if !told {
                return;
            }
        }
    }

    /// `false` = nobody takes the answers any more.
    fn left(&self, path: &Path, reason: impl Into<String>) -> bool {
        self.found.send(Found::Left(path.to_owned(), reason.into())).is_ok()
    }

    fn enter(&mut self, path: &Path, depth: usize, device: Option<u64>) -> bool {
        let data = match std::fs::symlink_metadata(path) {
            Ok(data) => data,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && depth > 0 => return true,
            Err(error) => return self.left(path, error.to_string()),
        };
        let kind = data.file_type();
        if !(kind.is_file() || kind.is_dir()) {
            // Links are no copies of their own: what they lead to is found where it stands, if it is searched.
            return true;
        }
        let chosen = if kind.is_file() { Kind::File(data.len()) } else { Kind::Folder };
        if (depth > 0 && !(self.choose)(path, chosen)) || !self.seen.insert((data.dev(), data.ino())) {
            return true;
        }
        if kind.is_file() { self.file(path) } else { self.folder(path, depth, device, data.dev()) }
    }

    fn folder(&mut self, path: &Path, depth: usize, device: Option<u64>, own: u64) -> bool {
        if device != Some(own) && kernel_file_system(path) {
            return self.left(path, "a file system of the kernel");
        }
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
                Ok(entry) => self.enter(&entry.path(), depth + 1, Some(own)),
                Err(error) => self.left(path, error.to_string()),
            };
            if !told {
                return false;
            }
        }
        true
    }

    fn file(&mut self, path: &Path) -> bool {
        if self.files == self.limits.files_max {
            self.left(path, "this and everything behind it: more files than the limit");
            return false;
        }
        self.files += 1;
        match read_regular(path, self.limits.file_bytes_max) {
            Ok(bytes) => self.found.send(Found::File(path.to_owned(), bytes)).is_ok(),
            Err(NotVisible::Vanished) => true,
            Err(reason) => self.left(path, reason.to_string()),
        }
    }
}

/// The kind is asked again of what was opened: the name may lead to something else by then.
fn read_regular(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(NotVisible::of)?;
    let mut file = File::from(file);
    let data = file.metadata().map_err(|error| NotVisible::of_io(&error))?;
    if !data.is_file() {
        return Err(NotVisible::Vanished);
    }
    if usize::try_from(data.len()).map_or(true, |length| length > bytes_max) {
        return Err(NotVisible::TooLarge);
    }
    read_bounded(&mut file, bytes_max).map(Zeroizing::new)
}

fn kernel_file_system(path: &Path) -> bool {
    let kind = rustix::fs::statfs(path).map(|data| data.f_type);
    kind.is_ok_and(|kind| {
        u64::try_from(kind).is_ok_and(|kind| KERNEL_FILE_SYSTEMS.contains(&(kind & 0xffff_ffff)))
    })
}

/// A path for people: whoever may name files must not be able to write lines of output with one.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}
