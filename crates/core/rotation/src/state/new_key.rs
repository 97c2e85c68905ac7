//! The version that replaces the old one, from its choice to its promotion or deletion.

use crate::{CredId, Seq};

/// The version that replaces the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The intent that made it: its value is kept under this number.
    pub mint: Seq,
    /// The issuer's id.
    pub credential: CredId,
}

/// The new version. What was begun before it was abandoned says nothing about the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewKey {
    chosen: Option<Seq>,
    version: Option<NewVersion>,
    staged: bool,
    checked: bool,
    promoted: bool,
    /// A Promote's outcome is unknown: a rollback demotes anyway.
    promote_in_doubt: bool,
    retired: bool,
    deleted: bool,
    /// The deletion of the credential, or of its sealed value, was begun: neither is ever relied on again.
    deleting: bool,
    /// Credentials of abandoned versions that are still to be deleted.
    abandoned: Vec<CredId>,
    /// The entry that abandoned the last version; 0 = none.
    abandoned_at: Seq,
    /// The choice that was abandoned with it: its mint may still turn out to have been carried out.
    abandoned_choice: Option<Seq>,
    /// Mints that were closed as never made.
    closed_mints: Vec<Seq>,
    /// A mint that exchanges was lost: the operator makes the next value.
    by_hand: bool,
}

impl NewKey {
    pub(crate) fn chosen(&self) -> Option<Seq> {
        self.chosen
    }

    /// The choice that a mint belongs to, perhaps one that was abandoned since.
    pub(crate) fn chosen_for(&self, mint: Seq) -> Option<Seq> {
        if self.is_abandoned(mint) { self.abandoned_choice } else { self.chosen }
    }

    /// The version, also after its deletion.
    pub(crate) fn version(&self) -> Option<&NewVersion> {
        self.version.as_ref()
    }

    /// The version, once it is made and until it is deleted.
    pub(crate) fn living(&self) -> Option<&NewVersion> {
        self.version.as_ref().filter(|_| !self.deleted)
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    pub(crate) fn is_promoted(&self) -> bool {
        self.promoted
    }

    /// It is current in the store, or may be.
    pub(crate) fn may_be_promoted(&self) -> bool {
        self.promoted || self.promote_in_doubt
    }

    /// What is sealed of the version that lost is dropped.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.deleting
    }

    pub(crate) fn is_made_by_hand(&self) -> bool {
        self.by_hand
    }

    pub(crate) fn abandoned(&self) -> &[CredId] {
        &self.abandoned
    }

    pub(crate) fn closed_mints(&self) -> &[Seq] {
        &self.closed_mints
    }

    pub(crate) fn has_abandoned(&self) -> bool {
        self.abandoned_at > 0
    }

    /// Whether an intent was about a version that was abandoned since.
    pub(crate) fn is_abandoned(&self, intent: Seq) -> bool {
        intent < self.abandoned_at
    }

    /// Whether anything of it is sealed.
    pub(crate) fn is_sealed(&self) -> bool {
        self.staged || self.chosen.is_some() || self.version.is_some()
    }

    pub(crate) fn choose(&mut self, intent: Seq) {
        self.chosen = Some(intent);
    }

    /// The version is there. Nothing was done with it yet, and in a slot it replaces what was abandoned there.
    pub(crate) fn make(&mut self, mint: Seq, credential: &CredId) {
        self.forget_abandoned(credential);
        self.version = Some(NewVersion { mint, credential: credential.clone() });
        (self.staged, self.checked, self.deleted, self.retired) = (false, false, false, false);
    }

    /// The same of a mint of ours. A credential of an abandoned version, or a second one, is only deleted. Returns whether
    /// it is the new version.
    pub(crate) fn made(&mut self, mint: Seq, credential: &CredId) -> bool {
        if self.is_abandoned(mint) || self.living().is_some() {
            self.forget_abandoned(credential);
            self.abandoned.push(credential.clone());
            return false;
        }
        self.make(mint, credential);
        self.deleting = false;
        true
    }

    pub(crate) fn stage(&mut self) {
        self.staged = true;
    }

    pub(crate) fn check(&mut self, sound: bool) {
        self.checked = sound;
    }

    /// Whether it is current is known now.
    pub(crate) fn promote(&mut self, promoted: bool) {
        (self.promoted, self.promote_in_doubt) = (promoted, false);
    }

    pub(crate) fn doubt_promotion(&mut self) {
        self.promote_in_doubt = true;
    }

    pub(crate) fn begin_deletion(&mut self) {
        self.deleting = true;
    }

    pub(crate) fn delete(&mut self) {
        self.deleted = true;
    }

    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    pub(crate) fn close_mint(&mut self, mint: Seq) {
        self.closed_mints.push(mint);
    }

    pub(crate) fn make_by_hand(&mut self) {
        self.by_hand = true;
    }

    pub(crate) fn forget_abandoned(&mut self, credential: &CredId) {
        self.abandoned.retain(|held| held != credential);
    }

    /// Gives the version up at this entry; the next one begins with nothing.
    pub(crate) fn abandon(&mut self, seq: Seq) {
        if let Some(version) = self.version.take()
            && !self.deleted
        {
            self.abandoned.push(version.credential);
        }
        *self = Self {
            abandoned: std::mem::take(&mut self.abandoned),
            abandoned_at: seq,
            abandoned_choice: self.chosen.take(),
            closed_mints: std::mem::take(&mut self.closed_mints),
            by_hand: self.by_hand,
            ..Self::default()
        };
    }
}
