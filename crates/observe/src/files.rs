use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::Search;
use crate::walk::{Look, look_at_files};

/// How many places that were not searched are named one by one.
const NOT_SEARCHED_MAX: usize = 10_000;

/// Limits of a search through files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// The largest file that is searched, bytes.
    pub file_bytes_max: usize,
    /// How much of one that is larger is read piece by piece, bytes; 0 = nothing.
    pub large_file_bytes_max: u64,
    /// The same of all such files together.
    pub large_bytes_max: u64,
    /// The most files that are searched.
    pub files_max: usize,
    /// The most hits that are told.
    pub hits_max: usize,
    /// The longest time for the whole search.
    pub wait: Duration,
    /// The longest time for one file or folder.
    pub step: Duration,
}

/// 8 MiB a file, nothing of larger ones, 200 000 files, 10 000 hits, 60 seconds, 5 seconds.
impl Default for FileLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 8 << 20,
            large_file_bytes_max: 0,
            large_bytes_max: 0,
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
    /// How many files and folders were left out by choice, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Searches regular files below the roots (a root may be a file). Links, FIFOs, sockets and devices below a root are
/// never opened; a root that is a link is followed. Files that vanish meanwhile are passed over in silence.
pub fn search_files(roots: &[PathBuf], needles: &dyn Search, limits: FileLimits) -> FilesReport {
    let mut hits = FilesReport::default();
    let whole: Look<Zeroizing<Vec<u8>>> = Look::new(|_, bytes| bytes).with_large_answers();
    let mut report = look_at_files(roots, |_, _| Choice::Look, limits, whole, &mut |path, bytes| {
        note_hits(path, &bytes, needles, limits.hits_max, &mut hits);
    });
    report.hits = hits.hits;
    report.hits.sort();
    report.hits.dedup();
    report.not_searched.extend(hits.not_searched);
    report
}

/// What is there at a path, for whoever chooses what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A file is read, a folder entered.
    Look,
    /// It is none of what is looked for.
    Pass,
    /// It may be, and is not looked at, for this reason: counted.
    LeaveOut(&'static str),
    /// The same, and it is named.
    Name(&'static str),
}

pub(crate) fn leave(report: &mut FilesReport, path: PathBuf, reason: String) {
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
