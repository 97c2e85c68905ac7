use std::sync::Arc;

use crate::{FileId, Holds, Which};

/// What each file of the plan is known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Copied only by the state that changes it.
    holds: Arc<Vec<Holds>>,
}

impl Files {
    pub(super) fn open(holds: Vec<Holds>) -> Self {
        Self { holds: Arc::new(holds) }
    }

    pub(crate) fn all(&self) -> &[Holds] {
        &self.holds
    }

    pub(crate) fn get(&self, id: FileId) -> Holds {
        self.holds.get(id.index()).copied().unwrap_or(Holds::Unreadable)
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
