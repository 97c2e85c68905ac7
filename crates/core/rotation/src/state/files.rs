use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{FileId, Holds, Which};

/// What each file of the plan is known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Copied only by the state that changes it.
    holds: Arc<Vec<Holds>>,
    written: Arc<Vec<Written>>,
    /// Those of consumers that have gone, and that could not be restored.
    given_up: Arc<BTreeSet<FileId>>,
}

/// Whether the new version was ever written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Never,
    /// Its first write is under way.
    Perhaps,
    Yes,
}

impl Files {
    pub(super) fn open(holds: Vec<Holds>) -> Self {
        let written = vec![Written::Never; holds.len()];
        Self { holds: Arc::new(holds), written: Arc::new(written), given_up: Arc::default() }
    }

    pub(crate) fn all(&self) -> &[Holds] {
        &self.holds
    }

    pub(crate) fn get(&self, id: FileId) -> Holds {
        self.holds.get(id.index()).copied().unwrap_or(Holds::Unreadable)
    }

    /// The new version may have been in the file at some time.
    pub(crate) fn had_new(&self, id: FileId) -> bool {
        self.written.get(id.index()).is_none_or(|written| *written != Written::Never)
    }

    /// The new version is being written to the file.
    pub(crate) fn begin_new(&mut self, id: FileId) {
        self.mark(id, |written| if written == Written::Never { Written::Perhaps } else { written });
    }

    /// That write has certainly changed nothing.
    pub(crate) fn fail_new(&mut self, id: FileId) {
        self.mark(id, |written| if written == Written::Perhaps { Written::Never } else { written });
    }

    /// That write may have changed the file.
    pub(crate) fn end_new(&mut self, id: FileId) {
        self.mark(id, |_| Written::Yes);
    }

    fn mark(&mut self, id: FileId, mark: impl FnOnce(Written) -> Written) {
        if let Some(written) = Arc::make_mut(&mut self.written).get_mut(id.index()) {
            *written = mark(*written);
        }
    }

    /// A version was written to the file.
    pub(crate) fn deliver(&mut self, id: FileId, which: Which) {
        self.set(id, Holds::of(which));
    }

    /// The file was read. Returns whether it was believed to hold something else.
    pub(crate) fn read(&mut self, id: FileId, holds: Holds) -> bool {
        let moved = self.get(id) != holds;
        self.set(id, holds);
        moved
    }

    /// The file could not be restored, and is tried no more.
    pub(crate) fn give_up(&mut self, id: FileId) {
        Arc::make_mut(&mut self.given_up).insert(id);
    }

    pub(crate) fn is_given_up(&self, id: FileId) -> bool {
        self.given_up.contains(&id)
    }

    /// The file is tried again.
    pub(crate) fn try_again(&mut self, id: FileId) {
        if self.is_given_up(id) {
            Arc::make_mut(&mut self.given_up).remove(&id);
        }
    }

    /// Another party edited the file.
    pub(crate) fn find_foreign(&mut self, id: FileId) {
        self.set(id, Holds::Other);
    }

    /// The present content of the file is unknown.
    pub(crate) fn doubt(&mut self, id: FileId) {
        self.set(id, Holds::Unreadable);
    }

    /// Files of an adopted consumer.
    pub(super) fn adopt(&mut self, count: usize) {
        self.change().extend(std::iter::repeat_n(Holds::Old, count));
        Arc::make_mut(&mut self.written).extend(std::iter::repeat_n(Written::Never, count));
    }

    /// The new version was abandoned: every file is written anew.
    pub(super) fn abandon(&mut self) {
        self.change().fill(Holds::Old);
    }

    fn set(&mut self, id: FileId, holds: Holds) {
        if let Some(known) = self.change().get_mut(id.index()) {
            *known = holds;
        }
    }

    fn change(&mut self) -> &mut Vec<Holds> {
        Arc::make_mut(&mut self.holds)
    }
}
