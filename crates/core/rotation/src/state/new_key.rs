use crate::{CredId, Op, Seq, Which};

/// The version that replaces the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The intent that made the version: its value is sealed under this number.
    pub mint: Seq,
    /// The issuer's id.
    pub credential: CredId,
}

/// Whether the new version is current in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Promotion {
    #[default]
    No,
    /// The first Promote that may have an effect is under way: its outcome decides.
    Begun,
    /// It may have had an effect: a rollback demotes anyway.
    InDoubt,
    Yes,
}

/// The deletion of the credential, or of its sealed value. Once a deletion is begun, neither is ever relied on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Deletion {
    #[default]
    No,
    Begun,
    Done,
}

/// The version that replaces the old one, from the moment that it is made. Nothing that was done with one version
/// counts for the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewKey {
    version: Option<NewVersion>,
    staged: bool,
    checked: bool,
    promotion: Promotion,
    /// Its value was written, fetched or given out, or may have been: anybody may have taken it.
    given_out: bool,
    deletion: Deletion,
    /// Its last use was waited for before its deletion was begun, and nothing was restored since.
    waited_for: bool,
    /// The sealed values of the version that goes were dropped.
    retired: bool,
}

impl NewKey {
    /// The version, also after its deletion.
    pub(crate) fn version(&self) -> Option<&NewVersion> {
        self.version.as_ref()
    }

    /// The version, once it is made and until it is deleted.
    pub(crate) fn living(&self) -> Option<&NewVersion> {
        self.version.as_ref().filter(|_| self.deletion != Deletion::Done)
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.checked
    }

    pub(crate) fn is_promoted(&self) -> bool {
        self.promotion == Promotion::Yes
    }

    /// The version is current in the store, or may be.
    pub(crate) fn may_be_promoted(&self) -> bool {
        self.promotion != Promotion::No
    }

    /// A Promote that has ended made the version current, or may have.
    pub(crate) fn may_have_been_promoted(&self) -> bool {
        matches!(self.promotion, Promotion::InDoubt | Promotion::Yes)
    }

    /// Anybody may have the value: it was written, fetched or given out, or may have been.
    pub(crate) fn was_given_out(&self) -> bool {
        self.given_out
    }

    /// Its last use was waited for before its deletion was begun, and nothing was restored since.
    pub(crate) fn was_waited_for(&self) -> bool {
        self.waited_for
    }

    /// A phase begins. What was waited for so far may have been the other key.
    pub(super) fn enter(&mut self, other_key: bool) {
        self.waited_for &= !other_key;
    }

    /// Something is restored: something unseen may have taken it meanwhile.
    pub(crate) fn wait_anew(&mut self) {
        self.waited_for = false;
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.deletion != Deletion::No
    }

    /// The version exists; no step was taken with it yet.
    pub(super) fn make(&mut self, mint: Seq, credential: &CredId) {
        self.version = Some(NewVersion { mint, credential: credential.clone() });
        (self.staged, self.checked, self.retired) = (false, false, false);
        (self.deletion, self.waited_for) = (Deletion::No, false);
    }

    pub(crate) fn stage(&mut self) {
        self.staged = true;
    }

    pub(crate) fn check(&mut self, sound: bool) {
        self.checked = sound;
    }

    /// An operation begins, and may have its effect from now on.
    pub(crate) fn begin(&mut self, op: &Op) {
        if matches!(op, Op::DeleteNew | Op::Retire(Which::New)) && self.deletion == Deletion::No {
            self.deletion = Deletion::Begun;
        }
        self.waited_for |= *op == Op::DeleteNew;
        self.given_out |= matches!(
            op,
            Op::Deliver(_, Which::New) | Op::Apply(_, _, Which::New) | Op::Fetch(_) | Op::Promote
        );
    }

    pub(crate) fn promote(&mut self) {
        self.promotion = Promotion::Yes;
    }

    pub(crate) fn demote(&mut self) {
        self.promotion = Promotion::No;
    }

    pub(crate) fn begin_promotion(&mut self) {
        if self.promotion == Promotion::No {
            self.promotion = Promotion::Begun;
        }
    }

    /// A Promote has ended, and may have had an effect.
    pub(crate) fn end_promotion(&mut self) {
        if self.promotion == Promotion::Begun {
            self.promotion = Promotion::InDoubt;
        }
    }

    /// A Promote was certainly not carried out. Returns whether no earlier one may have been.
    pub(crate) fn undo_promotion(&mut self) -> bool {
        let only = self.promotion == Promotion::Begun;
        if only {
            self.promotion = Promotion::No;
        }
        only
    }

    pub(crate) fn doubt_promotion(&mut self) {
        // Another party may have given it out.
        self.given_out = true;
        if matches!(self.promotion, Promotion::No | Promotion::Begun) {
            self.promotion = Promotion::InDoubt;
        }
    }

    /// Another party changed what is given out: it is promoted, or demoted, once more.
    pub(crate) fn promote_again(&mut self) {
        self.promotion = Promotion::InDoubt;
    }

    pub(crate) fn delete(&mut self) {
        self.deletion = Deletion::Done;
    }

    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    /// Abandons the version. Returns its credential, unless that is deleted.
    pub(super) fn abandon(&mut self) -> Option<CredId> {
        let credential = self.living().map(|version| version.credential.clone());
        *self = Self::default();
        credential
    }
}
