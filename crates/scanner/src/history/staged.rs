use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use keyroll_history::{Blob, Bounds, History, Hit, Look, ObjectId, Refused, Take, What, Why};

use crate::Scan;
use crate::history::as_path;
use crate::scan::{At, Worker};
use crate::tree::ignored::{IGNORE_FILE, RULES_BYTES_MAX};
use crate::tree::open;

/// What a place in an index is called.
const STAGED: &str = "staged";

/// Every object under the paths that it is staged under.
struct Staged<'s> {
    paths: BTreeMap<ObjectId, Vec<PathBuf>>,
    worker: Mutex<Worker<'s>>,
    may_stay: Gitignore,
}

impl Scan<'_> {
    /// What is about to be committed: the files of the index, or of the one that git tells its hooks of, that the last commit
    /// does not have so. Each is looked at as a file of a tree is, with what is packed in it.
    ///
    /// Who goes by it must not pass what nobody has seen: what was not looked at, or not wholly, counts in
    /// [`Report::unread`](crate::Report::unread), unless the repository's `.keyrollignore` names its path.
    ///
    /// # Errors
    /// As of [`Self::history`]; and an index that cannot be read whole.
    pub fn staged(&self, path: &Path, index: Option<&Path>) -> Result<(), Refused> {
        let history = History::open(path)?;
        let staging = history.staged(index)?;
        let mut paths = BTreeMap::<ObjectId, Vec<PathBuf>>::new();
        for entry in &staging.entries {
            paths.entry(entry.id).or_default().push(as_path(&entry.path));
        }
        let ids: Vec<ObjectId> = paths.keys().copied().collect();
        let worker = Mutex::new(Worker::new(self));
        let staged = Staged { paths, worker, may_stay: may_stay(path) };
        let seen = history.look_at(&ids, &staged, &staged, &Bounds::default());
        let name = path.display().to_string();
        self.skipped(&name, &staging.skipped);
        let unseen = staging.skipped.named.iter().filter(|one| one.why != Why::Submodule);
        let unseen = unseen.filter_map(|one| match &one.what {
            What::Path(path) => Some(as_path(path)),
            What::Object(_) | What::Entry { .. } | What::File(_) | What::History => None,
        });
        self.unread(unseen.filter(|path| !staged.may_stay(path)).count() as u64 + staging.skipped.more);
        for one in &seen.skipped.named {
            let id = match &one.what {
                What::Object(id) | What::Entry { id, .. } => Some(id),
                What::Path(_) | What::File(_) | What::History => None,
            };
            let there = id.and_then(|id| staged.paths.get(id));
            if there.is_none() {
                self.skip(format!("{name}: {}", one.what), one.why.to_string());
                self.unread(1);
            }
            for path in there.into_iter().flatten() {
                self.skip(format!("{STAGED} › {}", path.display()), one.why.to_string());
                self.unread(u64::from(!staged.may_stay(path)));
            }
        }
        self.unread(seen.skipped.more);
        Ok(())
    }
}

impl Staged<'_> {
    /// Whether the repository says of a path that nobody needs to look at it.
    fn may_stay(&self, path: &Path) -> bool {
        // Git writes none that begins with a slash; who does is not let through.
        !path.has_root() && self.may_stay.matched_path_or_any_parents(path, false).is_ignore()
    }
}

impl Look for Staged<'_> {
    fn look(&self, blob: &Blob<'_>, _: &mut Vec<Hit>) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        for path in self.paths.get(&blob.id).into_iter().flatten() {
            worker.whole(At { source: Some(STAGED), path: Some(path), inside: &[] }, blob.bytes, None);
            if worker.missed() && !self.may_stay(path) {
                worker.unread();
            }
        }
    }
}

impl Take for Staged<'_> {
    fn found(&self, _: &Blob<'_>, _: &[Hit]) {}
}

/// The rules of the working tree for what is not looked at: those at its top. None where they cannot be read.
fn may_stay(path: &Path) -> Gitignore {
    let real = path.canonicalize().unwrap_or_default();
    let Some(top) = real.ancestors().find(|folder| folder.join(".git").exists()) else {
        return Gitignore::empty();
    };
    let mut text = String::new();
    if let Ok(Some(file)) = open(&top.join(IGNORE_FILE), false) {
        // What is cut off, or is no UTF-8, allows nothing.
        if file.take(RULES_BYTES_MAX).read_to_string(&mut text).is_err() {
            text.clear();
        }
    }
    // Paths of an index begin at the top.
    let mut rules = GitignoreBuilder::new("");
    for line in text.lines() {
        let _ = rules.add_line(None, line);
    }
    rules.build().unwrap_or_else(|_| Gitignore::empty())
}
