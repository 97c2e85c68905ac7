//! Scans git's own files of a repository: nothing of them is in any commit, and its configuration may have the login of
//! an address or a header.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use keyroll_history::{History, linked_folders};
use keyroll_leak::is_read_in_git;

use crate::Scan;
use crate::error_text::{ignore_error_text, why};
use crate::git_files::scan_git_file;
use crate::regular_file::open;
use crate::scan::{Location, Worker};
use crate::tree::ignore_files::trusted_owners;

/// For a repository that somebody else's `.git` names, or that belongs to somebody else.
const OF_ANOTHER: &str =
    "the repository that it names belongs to another user: scan its folder by its own path";

impl Scan<'_> {
    /// Scans the small files of the repository that contains `named`, by their names; no object.
    pub(crate) fn own_files(&self, history: &History, named: &Path) {
        // A linked working tree names the folder that all share from its own.
        let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let [shared, own] = history.folders().map(real);
        let mut worker = Worker::new(self);
        own_files_of(&shared, named, &mut worker);
        // Its files are usually below those.
        if !own.starts_with(&shared) {
            own_files_of(&own, named, &mut worker);
        }
    }

    /// Scans the small files of the repositories of named folders whose `.git` leads elsewhere, as in a linked working
    /// tree and in a submodule. That of a folder further below is not followed: what belongs to the named folder is
    /// below it anyway. Files that others can replace must not lead to any folder, as with ignore files.
    pub(crate) fn linked_files(&self, named: &[PathBuf], leaves_out: &mut dyn FnMut(&Path) -> bool) {
        // Sorted: a folder comes before those below it.
        let mut linked: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        for path in named {
            let git = path.join(".git");
            let Some(folders) = linked_folders(path).filter(|_| !leaves_out(&git)) else { continue };
            let owners = trusted_owners(path).unwrap_or_default();
            let counts = |uid: Option<u32>| uid.is_some_and(|uid| owners.contains(&uid));
            let is_ours = counts(git.symlink_metadata().ok().map(|meta| meta.uid()))
                && folders.iter().all(|folder| counts(folder.metadata().ok().map(|meta| meta.uid())));
            if !is_ours {
                self.skip(git.display().to_string(), OF_ANOTHER);
                continue;
            }
            let real = folders.iter().filter_map(|folder| folder.canonicalize().ok());
            linked.extend(real.map(|folder| (folder, path.as_path())));
        }
        if linked.is_empty() {
            return;
        }
        let mut worker = Worker::new(self);
        // What is below a named folder was scanned with it.
        let mut scanned: Vec<PathBuf> = named.iter().filter_map(|path| path.canonicalize().ok()).collect();
        for (folder, path) in linked {
            if !scanned.iter().any(|known| folder.starts_with(known)) {
                own_files_of(&folder, path, &mut worker);
                scanned.push(folder);
            }
        }
    }
}

fn own_files_of(folder: &Path, named: &Path, worker: &mut Worker<'_>) {
    let real = named.canonicalize().unwrap_or_default();
    let top = folder.to_owned();
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(false).follow_links(false);
    walk.filter_entry(move |entry| {
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.path().strip_prefix(&top).is_ok_and(|below| is_read_in_git(below, is_folder))
    });
    for entry in walk.build() {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                // As the operator named it.
                let shown = entry.path().strip_prefix(&real).map(|below| named.join(below));
                let shown = shown.unwrap_or_else(|_| entry.path().to_owned());
                let at = Location { source: None, path: Some(&shown), inside: &[] };
                match open(entry.path(), false) {
                    Ok(Some(file)) => {
                        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                        scan_git_file(worker, at, below, file);
                    }
                    Ok(None) => {}
                    Err(error) => worker.skip(at, why(&error)),
                }
            }
            Ok(_) => {}
            Err(error) => worker.skip_named(String::new(), ignore_error_text(&error)),
        }
    }
}
