use std::sync::Arc;

use crate::{Emergency, Seq, Stamp, Unsearched};

/// A consent, and the entry that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) digest: u64,
    pub(crate) seq: Seq,
    pub(crate) at: Stamp,
}

/// Decisions of the operator. The point of no return is undone only where its mint was never carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decisions {
    consent: Option<Consent>,
    decided: Option<Stamp>,
    emergency: Option<Emergency>,
    /// The undeclared processes whose memory was not searched, as far as the last consent counted them.
    unsearched: Arc<Vec<Unsearched>>,
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

    /// What the last consent counted, also if something else made it out of date.
    pub(crate) fn unsearched(&self) -> &[Unsearched] {
        &self.unsearched
    }

    pub(crate) fn give_consent(&mut self, digest: u64, seq: Seq, at: Stamp, unsearched: Vec<Unsearched>) {
        self.consent = Some(Consent { digest, seq, at });
        self.unsearched = Arc::new(unsearched);
    }

    /// The consent was for another set of instances. What it counted, the next one counts too: a process that is searched
    /// at one look and not at the next is asked about once.
    pub(crate) fn outdate_consent(&mut self) {
        self.consent = None;
    }

    pub(crate) fn drop_consent(&mut self) {
        self.consent = None;
        self.unsearched = Arc::default();
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
