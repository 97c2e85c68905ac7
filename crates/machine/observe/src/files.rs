use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most places that are listed one by one as not searched.
const NOT_SEARCHED_MAX: usize = 10_000;

/// Limits of a search through files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// The largest file that is searched, bytes.
    pub file_bytes_max: usize,
    /// How much of a larger file is read piece by piece, bytes; 0 = nothing.
    pub large_file_bytes_max: u64,
    /// The same for all such files together.
    pub large_bytes_max: u64,
    /// The most files that are searched.
    pub files_max: usize,
    /// The most hits that are reported.
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
    /// The value.
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

/// What a search through files found, and what it did not search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// Each value once per line.
    pub hits: Vec<FileHit>,
    /// What was not searched, and why.
    pub not_searched: Vec<NotSearched>,
    /// How many files were searched.
    pub files: usize,
    /// How many files and folders were omitted by choice, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// The kind of a path, by which the search chooses what to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// What the search does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A file is read, a folder is searched.
    Look,
    /// It cannot contain what the search looks for.
    Pass,
    /// It may contain it, and is omitted for this reason; counted.
    LeaveOut(&'static str),
    /// It is omitted for this reason, and listed by its path.
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

/// A path for display: control characters are escaped, so that a file's name cannot add lines to the output.
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
