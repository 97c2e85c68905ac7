use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use keyroll_history::{
    Blob, Bounds, History, Hit, HitSink, Inspector, ObjectId, OpenError, SkipReason, SkippedItem,
};

use crate::Scan;
use crate::history::git_names::as_path;
use crate::regular_file::open;
use crate::scan::{Location, Worker};
use crate::tree::ignore_files::{IGNORE_FILE, RULES_BYTES_MAX};

/// The source of a finding in the index.
const STAGED: &str = "staged";

/// Scans each object under its staged paths.
struct StagedInspector<'s> {
    paths: BTreeMap<ObjectId, Vec<PathBuf>>,
    worker: Mutex<Worker<'s>>,
    may_stay: Gitignore,
}

impl Scan<'_> {
    /// Scans the staged files: those of the index, or of the one that git names to its hooks, that HEAD does not
    /// have. Each is scanned as a file, with archives opened.
    ///
    /// A hook must not pass a file that nobody has scanned: files that could not be scanned, or only in part, count
    /// in [`Report::unread`](crate::Report::unread), unless the repository's `.keyrollignore` names their path.
    ///
    /// # Errors Those of [`Self::history`], and an index that cannot be read completely.
    pub fn staged(&self, path: &Path, index: Option<&Path>) -> Result<(), OpenError> {
        let history = History::open(path)?;
        let staging = history.staged(index)?;
        let mut paths = BTreeMap::<ObjectId, Vec<PathBuf>>::new();
        for entry in &staging.entries {
            paths.entry(entry.id).or_default().push(as_path(&entry.path));
        }
        let ids: Vec<ObjectId> = paths.keys().copied().collect();
        let worker = Mutex::new(Worker::new(self));
        let staged = StagedInspector { paths, worker, may_stay: may_stay(path) };
        let seen = history.scan_objects(&ids, &staged, &staged, &Bounds::default());
        let name = path.display().to_string();
        self.skipped(&name, &staging.skipped);
        let unseen = staging.skipped.named.iter().filter(|one| one.why != SkipReason::Submodule);
        let unseen = unseen.filter_map(|one| match &one.what {
            SkippedItem::Path(path) => Some(as_path(path)),
            SkippedItem::Object(_)
            | SkippedItem::Entry { .. }
            | SkippedItem::File(_)
            | SkippedItem::History => None,
        });
        let (allowed, unseen): (Vec<_>, Vec<_>) = unseen.partition(|path| staged.may_stay(path));
        self.allowed(allowed.len() as u64);
        self.unread(unseen.len() as u64 + staging.skipped.more);
        for one in &seen.skipped.named {
            let id = match &one.what {
                SkippedItem::Object(id) | SkippedItem::Entry { id, .. } => Some(id),
                SkippedItem::Path(_) | SkippedItem::File(_) | SkippedItem::History => None,
            };
            let there = id.and_then(|id| staged.paths.get(id));
            if there.is_none() {
                self.skip(format!("{name}: {}", one.what), one.why.to_string());
                self.unread(1);
            }
            for path in there.into_iter().flatten() {
                self.skip(format!("{STAGED} › {}", path.display()), one.why.to_string());
                let may_stay = staged.may_stay(path);
                self.allowed(u64::from(may_stay));
                self.unread(u64::from(!may_stay));
            }
        }
        self.unread(seen.skipped.more);
        Ok(())
    }
}

impl StagedInspector<'_> {
    /// Whether the repository's `.keyrollignore` names a path.
    fn may_stay(&self, path: &Path) -> bool {
        // Git writes no absolute paths; such a path is never exempt.
        !path.has_root() && self.may_stay.matched_path_or_any_parents(path, false).is_ignore()
    }
}

impl Inspector for StagedInspector<'_> {
    fn inspect(&self, blob: &Blob<'_>, _: &mut Vec<Hit>) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        for path in self.paths.get(&blob.id).into_iter().flatten() {
            let before = worker.skips();
            worker.whole(Location { source: Some(STAGED), path: Some(path), inside: &[] }, blob.bytes, None);
            let skipped = worker.skips().saturating_sub(before);
            match (worker.missed(), self.may_stay(path)) {
                (_, true) => worker.allowed(skipped),
                (true, false) => worker.unread(),
                (false, false) => {}
            }
        }
    }
}

impl HitSink for StagedInspector<'_> {
    fn found(&self, _: &Blob<'_>, _: &[Hit]) {}
}

/// The `.keyrollignore` at the top of the working tree; empty if it cannot be read.
fn may_stay(path: &Path) -> Gitignore {
    let real = path.canonicalize().unwrap_or_default();
    let Some(top) = real.ancestors().find(|folder| folder.join(".git").exists()) else {
        return Gitignore::empty();
    };
    let mut text = String::new();
    if let Ok(Some(file)) = open(&top.join(IGNORE_FILE), false) {
        // A truncated file, or invalid UTF-8, exempts nothing.
        if file.take(RULES_BYTES_MAX).read_to_string(&mut text).is_err() {
            text.clear();
        }
    }
    // Paths in an index are relative to the top.
    let mut rules = GitignoreBuilder::new("");
    for line in text.lines() {
        let _ = rules.add_line(None, line);
    }
    rules.build().unwrap_or_else(|_| Gitignore::empty())
}
