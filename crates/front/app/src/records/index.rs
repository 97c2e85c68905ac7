//! The rotations that have not ended, each read from the journal once.

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, JournalError, Recorded, RotationId};
use keyroll_rotation::State;

use super::recorded::state_of;
use super::saved_plan::{Family, Saved};

/// Newest first.
pub struct Index(Vec<OpenRotation>);

/// A rotation that has not ended: it holds its secret.
pub struct OpenRotation {
    /// Its journal.
    pub recorded: Recorded,
    /// None if it cannot be read; it holds its secret all the same.
    pub state: Option<State>,
    /// None if the plan cannot be read.
    pub saved: Option<Saved>,
}

impl Index {
    /// Reads every rotation that has not ended.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn read(journal: &SqliteJournal) -> Result<Self, JournalError> {
        let mut all = Vec::new();
        for one in journal.list().await?.into_iter().filter(|one| one.open) {
            let recorded = journal.load(&one.id).await?;
            let state = state_of(&recorded).ok();
            // Its driver was killed before it could close it.
            if state.as_ref().is_some_and(State::ended) {
                continue;
            }
            let saved = Saved::of(&recorded).ok();
            all.push(OpenRotation { recorded, state, saved });
        }
        Ok(Self(all))
    }

    /// All rotations, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &OpenRotation> {
        self.0.iter()
    }

    /// The rotation of this secret itself.
    pub fn own(&self, secret: &str) -> Option<&OpenRotation> {
        self.0.iter().find(|one| one.secret() == secret)
    }

    /// The rotations that give a consumer of the secret a key of its own.
    pub fn members(&self, secret: &str) -> impl Iterator<Item = &OpenRotation> {
        self.0.iter().filter(move |one| one.takes_from(secret))
    }

    /// The rotation of the secret itself, or one that gives a consumer of it a key of its own.
    pub fn of(&self, secret: &str) -> Option<&OpenRotation> {
        self.0.iter().find(|one| one.secret() == secret || one.takes_from(secret))
    }
}

impl OpenRotation {
    /// The id of the rotation.
    pub fn id(&self) -> &RotationId {
        &self.recorded.id
    }

    /// The name of its secret.
    pub fn secret(&self) -> &str {
        &self.recorded.opening.secret
    }

    fn takes_from(&self, secret: &str) -> bool {
        let family = self.saved.as_ref().and_then(|saved| saved.family.as_ref());
        matches!(family, Some(Family::Member { from, .. }) if from == secret)
    }
}
