//! The rotations that have not ended, each read from the journal once.

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, JournalError, Recorded, RotationId};
use keyroll_rotation::State;

use super::recorded::state_of;
use super::saved::{Family, Saved};

/// Newest first.
pub(crate) struct Index(Vec<Standing>);

/// One that has not ended: it holds its secret.
pub(crate) struct Standing {
    pub(crate) recorded: Recorded,
    /// None of one that cannot be read: that is a person's, and holds.
    pub(crate) state: Option<State>,
    /// None of one whose plan cannot be read.
    pub(crate) saved: Option<Saved>,
}

impl Index {
    pub(crate) async fn read(journal: &SqliteJournal) -> Result<Self, JournalError> {
        let mut all = Vec::new();
        for one in journal.list().await?.into_iter().filter(|one| one.open) {
            let recorded = journal.load(&one.id).await?;
            let state = state_of(&recorded).ok();
            // Its driver was killed before it could close it.
            if state.as_ref().is_some_and(State::ended) {
                continue;
            }
            let saved = Saved::of(&recorded).ok();
            all.push(Standing { recorded, state, saved });
        }
        Ok(Self(all))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Standing> {
        self.0.iter()
    }

    /// The rotation of this very secret.
    pub(crate) fn own(&self, secret: &str) -> Option<&Standing> {
        self.0.iter().find(|one| one.secret() == secret)
    }

    /// Those that give a consumer of it a key of its own.
    pub(crate) fn members(&self, secret: &str) -> impl Iterator<Item = &Standing> {
        self.0.iter().filter(move |one| one.takes_from(secret))
    }

    /// Either.
    pub(crate) fn of(&self, secret: &str) -> Option<&Standing> {
        self.0.iter().find(|one| one.secret() == secret || one.takes_from(secret))
    }
}

impl Standing {
    pub(crate) fn id(&self) -> &RotationId {
        &self.recorded.id
    }

    pub(crate) fn secret(&self) -> &str {
        &self.recorded.opening.secret
    }

    fn takes_from(&self, secret: &str) -> bool {
        let family = self.saved.as_ref().and_then(|saved| saved.family.as_ref());
        matches!(family, Some(Family::Member { from, .. }) if from == secret)
    }
}
