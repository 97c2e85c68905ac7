//! The simulated source of truth that consumers fetch from, beside the sealed store.

use keyroll_port::FailureKind;
use keyroll_rotation::Seq;

use crate::calls::CallResult;
use crate::issuer::{OLD, Value};
use crate::quirks::Quirk;
use crate::scene::{Family, Scene};

/// The source of truth.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    /// The value that it gives out.
    pub(crate) gives: Value,
    /// A version beside it that it gives out to nobody, with the mint that it is of; `None` = of another party.
    pub(crate) pending: Option<(Option<Seq>, Value)>,
    /// When another party last changed what it gives out.
    pub(crate) changed_at: u64,
    pub(crate) away_until: u64,
    /// What keyroll did to another party's version.
    pub(crate) harm: Option<&'static str>,
}

impl Truth {
    /// The source of truth of a scene that has one.
    pub(crate) fn of(scene: &Scene) -> Option<Self> {
        let has = scene.quirks.has(Quirk::Truth) && scene.family == Family::None;
        has.then_some(Self { gives: OLD, pending: None, changed_at: 0, away_until: 0, harm: None })
    }

    pub(crate) fn is_away(&self, now: u64) -> bool {
        now < self.away_until
    }

    pub(crate) fn stage(&mut self, by: Seq, old: Value, new: Value) -> CallResult {
        if self.gives != old {
            return CallResult::Elsewhere(FailureKind::ChangedElsewhere);
        }
        if self.pending.is_some_and(|(mint, _)| mint != Some(by)) {
            return CallResult::Elsewhere(FailureKind::PendingElsewhere);
        }
        self.pending = Some((Some(by), new));
        CallResult::Done
    }

    pub(crate) fn give_out(&mut self, before: Value, after: Value, blindly: bool) -> CallResult {
        if ![before, after].contains(&self.gives) {
            if !blindly {
                return CallResult::Elsewhere(FailureKind::ChangedElsewhere);
            }
            self.harm = Some("gives out a value instead of another party's");
        }
        self.gives = after;
        // What is given out is pending no more.
        self.pending = self.pending.filter(|(mint, value)| mint.is_none() || *value != after);
        CallResult::Done
    }

    pub(crate) fn withdraw(&mut self, by: Seq, any: bool) -> CallResult {
        let Some((mint, _)) = self.pending else { return CallResult::Done };
        if mint == Some(by) || any {
            self.pending = None;
            if mint.is_none() {
                self.harm = Some("withdraws another party's pending version");
            }
        }
        CallResult::Done
    }
}
