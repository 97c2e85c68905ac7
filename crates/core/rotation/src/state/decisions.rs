use crate::{Emergency, Seq, Stamp};

/// A consent, and the entry that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) digest: u64,
    pub(crate) seq: Seq,
}

/// Decisions of the operator. The point of no return is undone only where its mint was never carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decisions {
    consent: Option<Consent>,
    decided: Option<Stamp>,
    emergency: Option<Emergency>,
}

impl Decisions {
    pub(crate) fn consent(&self) -> Option<Consent> {
        self.consent
    }

    /// When the point of no return was passed.
    pub(crate) fn decided_at(&self) -> Option<Stamp> {
        self.decided
    }

    pub(crate) fn emergency(&self) -> Option<Emergency> {
        self.emergency
    }

    pub(crate) fn give_consent(&mut self, digest: u64, seq: Seq) {
        self.consent = Some(Consent { digest, seq });
    }

    pub(crate) fn drop_consent(&mut self) {
        self.consent = None;
    }

    pub(crate) fn decide(&mut self, now: Stamp) {
        self.decided = Some(now);
    }

    pub(crate) fn undecide(&mut self) {
        self.decided = None;
    }

    /// After the point of no return a later emergency cannot withdraw *revoke now*. The consent is dropped: it was for
    /// another course.
    pub(crate) fn escalate(&mut self, mode: Emergency) {
        if self.emergency != Some(Emergency::RevokeNow) || self.decided.is_none() {
            self.emergency = Some(mode);
        }
        self.drop_consent();
    }
}
