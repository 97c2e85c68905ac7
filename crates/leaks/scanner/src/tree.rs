pub(crate) mod ignore_files;

use std::ffi::OsStr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use ignore::{DirEntry, WalkBuilder, WalkState};
use keyroll_leak::{below_git, is_read_in_git};
use rustix::fs::{FsWord, PROC_SUPER_MAGIC, statfs};
use serde::{Deserialize, Serialize};

use crate::Scan;
use crate::error_text::{ignore_error_text, why};
use crate::git_files::scan_git_file;
use crate::regular_file::open;
use crate::scan::{Location, Worker};
use crate::tree::ignore_files::{BadRules, ExcludeRules, ExcludeStack};

/// The most threads that read files.
const THREADS_MAX: usize = 16;

/// For a path that was named and is not a file.
const NO_FILE: &str = "it is not a file: pipe it in with --stdin";

/// The number of sysfs (magic.h of Linux).
const SYSFS_MAGIC: FsWord = 0x6265_6572;

const BAD_RULES: &str = "its ignore file is too large, or not a regular file";

/// Files and folders to scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The paths; folders with everything below them. Links are followed only if they are named here.
    pub paths: Vec<PathBuf>,
    /// Whether `.gitignore`, `.ignore` and `.keyrollignore` apply: those in the scanned folders, and above them up to
    /// the top of the repository.
    pub ignored_left_out: bool,
}

impl Scan<'_> {
    /// Scans files and folders.
    pub fn tree(&self, tree: &Tree) {
        tree.walk(self);
    }
}

impl Tree {
    fn walk(&self, scan: &Scan<'_>) {
        let mut paths = self.paths.iter();
        let Some(first) = paths.next() else { return };
        let mut walk = WalkBuilder::new(first);
        paths.for_each(|path| {
            walk.add(path);
        });
        let told = |folder: &Path, line: Option<String>| {
            let why = line.unwrap_or_else(|| format!("{BAD_RULES}: nothing is ignored"));
            scan.skip(folder.display().to_string(), why);
        };
        let rules = self.ignored_left_out.then(|| ExcludeRules::of(&self.paths, told));
        walk.standard_filters(false).follow_links(false).threads(threads());
        walk.build_parallel().run(|| {
            let mut worker = Worker::new(scan);
            let mut way = rules.as_ref().map(ExcludeStack::new);
            Box::new(move |entry| match entry {
                Ok(entry) => visit(&mut worker, way.as_mut(), &entry),
                Err(error) => {
                    let (what, why) = not_entered(&error);
                    worker.skip_named(what, why);
                    WalkState::Continue
                }
            })
        });
        let mut way = rules.as_ref().map(ExcludeStack::new);
        scan.linked_files(&self.paths, &mut |git| {
            way.as_mut().is_some_and(|way| way.leaves_out(git, 1, false, true))
        });
    }
}

/// What could not be entered, and why.
fn not_entered(error: &ignore::Error) -> (String, String) {
    if let ignore::Error::WithDepth { err, .. } = error {
        return not_entered(err);
    }
    if let ignore::Error::WithPath { path, err } = error {
        return (path.display().to_string(), ignore_error_text(err));
    }
    (String::new(), ignore_error_text(error))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

fn visit(worker: &mut Worker<'_>, way: Option<&mut ExcludeStack<'_>>, entry: &DirEntry) -> WalkState {
    let (path, depth) = (entry.path(), entry.depth());
    let at = Location { source: None, path: Some(path), inside: &[] };
    let kind = entry.file_type();
    let is_folder = kind.is_some_and(|kind| kind.is_dir());
    if is_folder && depth > 0 && begins_kernels(path) {
        worker.passed_over().kernel += 1;
        return WalkState::Skip;
    }
    let below_git = below_git(path, depth);
    if !is_entered(worker, path, below_git, is_folder, depth) {
        return WalkState::Skip;
    }
    if let Some(way) = way {
        if way.leaves_out(path, depth, is_folder, below_git.is_some()) {
            worker.passed_over().ignored += 1;
            return WalkState::Skip;
        }
        let entered = if is_folder { way.enter(path, depth) } else { Ok(Vec::new()) };
        match entered {
            // A malformed line ignores nothing.
            Ok(lines) => lines.into_iter().for_each(|line| worker.skip(at, line)),
            Err(BadRules) => {
                worker.skip(at, format!("{BAD_RULES} (--no-ignore scans it)"));
                return WalkState::Skip;
            }
        }
    }
    let named = depth == 0;
    let looked = kind.is_some_and(|kind| kind.is_file() || named && kind.is_symlink());
    if looked {
        match open(path, named) {
            Ok(Some(file)) => match below_git {
                Some(below) => scan_git_file(worker, at, below, file),
                None => worker.file(at, file),
            },
            Ok(None) if named && !path.is_dir() => worker.skip(at, NO_FILE),
            Ok(None) => {}
            Err(error) => worker.skip(at, why(&error)),
        }
    } else if named && !is_folder {
        worker.skip(at, NO_FILE);
    } else if kind.is_some_and(|kind| kind.is_symlink()) {
        worker.passed_over().links += 1;
    } else if !is_folder {
        worker.passed_over().devices += 1;
    }
    WalkState::Continue
}

/// Whether the files of the kernel begin at this folder (`/proc`, `/sys`). They are no files on a disk: some have no end, and
/// `/proc/kcore` is the whole memory.
fn begins_kernels(path: &Path) -> bool {
    let is_kernels = |path: &Path| {
        statfs(path).is_ok_and(|system| [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&system.f_type))
    };
    is_kernels(path) && path.parent().is_some_and(|above| !is_kernels(above))
}

/// Whether a file or folder is no part of a git history, which `--git` scans. Counts the histories.
fn is_entered(
    worker: &mut Worker<'_>,
    path: &Path,
    below_git: Option<&Path>,
    is_folder: bool,
    depth: usize,
) -> bool {
    match below_git {
        Some(below) => {
            let is_git = below.as_os_str().is_empty();
            worker.passed_over().histories += u64::from(is_git);
            // In a linked working tree `.git` is a file that names the folder.
            is_git || is_read_in_git(below, is_folder)
        }
        // A bare repository, or one whose own folder was named.
        None if depth > 0 && is_folder && path.file_name() == Some(OsStr::new("objects")) => {
            let is_bare = path.with_file_name("HEAD").is_file() && path.with_file_name("refs").is_dir();
            worker.passed_over().histories += u64::from(is_bare);
            !is_bare
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_begin_where_they_are_mounted() {
        let begins = |path: &str| begins_kernels(Path::new(path));
        assert!(begins("/proc"));
        // Everything below was entered only because it was named.
        assert!(!begins("/proc/self") && !begins("/proc/self/fd"));
        assert!(!begins("/usr") && !begins("/none"));
    }
}
