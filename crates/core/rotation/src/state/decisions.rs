//! What the operator said: consent, the point of no return, an emergency, waivers, accepted differences.

use crate::{Difference, Emergency, Seq, Stamp, Waived};

/// Decisions of the operator. The point of no return is taken back only where the mint that it was made for never was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decisions {
    /// The digest that was consented to, and the entry that said so.
    consent: Option<(u64, Seq)>,
    decided: Option<(u64, Stamp)>,
    emergency: Option<Emergency>,
    waived: Vec<Waived>,
    /// Differences that a restart may make live too.
    accepted: Vec<Difference>,
    /// Differences that a restart was refused for since the rotation was last resumed.
    refused: Vec<Difference>,
}

impl Decisions {
    pub(crate) fn consent(&self) -> Option<(u64, Seq)> {
        self.consent
    }

    /// When the point of no return was passed.
    pub(crate) fn decided_at(&self) -> Option<Stamp> {
        self.decided.map(|(_, at)| at)
    }

    pub(crate) fn emergency(&self) -> Option<Emergency> {
        self.emergency
    }

    pub(crate) fn waived(&self) -> &[Waived] {
        &self.waived
    }

    pub(crate) fn accepted(&self) -> &[Difference] {
        &self.accepted
    }

    pub(crate) fn refused(&self) -> &[Difference] {
        &self.refused
    }

    pub(crate) fn give_consent(&mut self, digest: u64, seq: Seq) {
        self.consent = Some((digest, seq));
    }

    pub(crate) fn drop_consent(&mut self) {
        self.consent = None;
    }

    pub(crate) fn decide(&mut self, digest: u64, now: Stamp) {
        self.decided = Some((digest, now));
    }

    pub(crate) fn undecide(&mut self) {
        self.decided = None;
    }

    /// Once the old key is being ended now, that stays so.
    pub(crate) fn escalate(&mut self, mode: Emergency) {
        if self.emergency != Some(Emergency::RevokeNow) || self.decided.is_none() {
            self.emergency = Some(mode);
        }
    }

    pub(crate) fn waive(&mut self, what: Waived) {
        if !self.waived.contains(&what) {
            self.waived.push(what);
        }
    }

    /// Accepts one difference by its name; another digest under the same name replaces it.
    pub(crate) fn accept(&mut self, difference: &Difference) {
        replace(&mut self.accepted, difference);
    }

    pub(crate) fn refuse(&mut self, difference: &Difference) {
        replace(&mut self.refused, difference);
    }

    pub(crate) fn clear_refused(&mut self) {
        self.refused.clear();
    }
}

fn replace(all: &mut Vec<Difference>, difference: &Difference) {
    all.retain(|known| known.name != difference.name);
    all.push(difference.clone());
}
