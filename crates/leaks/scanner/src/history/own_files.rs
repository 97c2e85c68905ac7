//! Scans git's own files of a repository: nothing of them is in any commit, and its configuration may have the login of
//! an address or a header.

use std::path::Path;

use ignore::WalkBuilder;
use keyroll_history::History;
use keyroll_leak::is_read_in_git;

use crate::Scan;
use crate::error_text::{ignore_error_text, why};
use crate::git_files::scan_git_file;
use crate::regular_file::open;
use crate::scan::{Location, Worker};

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
