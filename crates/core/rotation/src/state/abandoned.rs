use crate::{CredId, Seq};

/// Versions that were abandoned. An operation for one of them says nothing about the next version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Abandoned {
    /// Credentials that are still to be deleted, each once.
    credentials: Vec<CredId>,
    /// The entry that abandoned the last version; 0 = none.
    at: Seq,
    /// The choice that was abandoned with the version. Its mint may still turn out to have been carried out.
    choice: Option<Seq>,
    /// A version was abandoned because the issuer refuses it.
    refused: bool,
}

impl Abandoned {
    pub(crate) fn credentials(&self) -> &[CredId] {
        &self.credentials
    }

    pub(crate) fn choice(&self) -> Option<Seq> {
        self.choice
    }

    pub(crate) fn any(&self) -> bool {
        self.at > 0
    }

    /// Whether an intent was about a version that was abandoned since.
    pub(crate) fn covers(&self, intent: Seq) -> bool {
        intent < self.at
    }

    /// Abandons the version that was made or chosen up to this entry.
    pub(super) fn abandon(&mut self, seq: Seq, credential: Option<CredId>, choice: Option<Seq>) {
        (self.at, self.choice) = (seq, choice);
        self.credentials.extend(credential);
    }

    /// The last version was abandoned because the issuer refuses it: whoever was moved to it is refused.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }

    /// A credential that is not a version, or not any more, must be deleted.
    pub(super) fn add(&mut self, credential: &CredId) {
        self.forget(credential);
        self.credentials.push(credential.clone());
    }

    /// A credential is deleted, or the new version took its place.
    pub(crate) fn forget(&mut self, credential: &CredId) {
        self.credentials.retain(|held| held != credential);
    }
}
