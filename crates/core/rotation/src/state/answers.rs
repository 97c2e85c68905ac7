use crate::{EndpointId, Seq, Stamp};

/// Answers in a row at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// How many.
    pub count: u8,
    /// When the first of them came.
    pub since: Option<Stamp>,
}

impl Streak {
    fn count(&mut self, hit: bool, now: Stamp) {
        if !hit {
            *self = Self::default();
            return;
        }
        self.count = self.count.saturating_add(1);
        self.since = self.since.or(Some(now));
    }
}

/// The issuer's answers about a credential. Answers in a row are counted per endpoint, for one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    preflight: Option<bool>,
    /// Acceptances of the new version.
    accepted_new: Vec<Streak>,
    /// Acceptances of the old one.
    alive: Vec<Streak>,
    /// Refusals of the old one.
    dead: Vec<Streak>,
    /// The entry at which every consumer was restored and the old key had to be seen alive once more.
    alive_asked: Seq,
}

impl Answers {
    pub(super) fn open(endpoints: usize) -> Self {
        let streaks = vec![Streak::default(); endpoints];
        Self {
            preflight: None,
            accepted_new: streaks.clone(),
            alive: streaks.clone(),
            dead: streaks,
            alive_asked: 0,
        }
    }

    pub(crate) fn preflight(&self) -> Option<bool> {
        self.preflight
    }

    pub(crate) fn accepted_new(&self) -> &[Streak] {
        &self.accepted_new
    }

    pub(crate) fn alive(&self) -> &[Streak] {
        &self.alive
    }

    pub(crate) fn dead(&self) -> &[Streak] {
        &self.dead
    }

    pub(crate) fn alive_asked(&self) -> Seq {
        self.alive_asked
    }

    pub(crate) fn judge_preflight(&mut self, passed: bool) {
        self.preflight = Some(passed);
    }

    /// Counts an answer to the new version.
    pub(crate) fn count_new(&mut self, endpoint: EndpointId, accepted: bool, now: Stamp) {
        if let Some(streak) = self.accepted_new.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
    }

    /// Counts an answer about the old version. `dead`: true for a refusal that counts, false for an acceptance, `None`
    /// for any other answer.
    pub(crate) fn count_old(&mut self, endpoint: EndpointId, accepted: bool, dead: Option<bool>, now: Stamp) {
        if let Some(streak) = self.alive.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
        if let (Some(streak), Some(dead)) = (self.dead.get_mut(endpoint.index()), dead) {
            streak.count(dead, now);
        }
    }

    pub(super) fn forget_new(&mut self) {
        self.accepted_new.fill(Streak::default());
    }

    pub(crate) fn forget_old(&mut self) {
        self.alive.fill(Streak::default());
        self.dead.fill(Streak::default());
    }

    /// From this entry on the old key must be seen alive once more.
    pub(crate) fn ask_alive(&mut self, seq: Seq) {
        self.alive_asked = seq;
        self.alive.fill(Streak::default());
    }
}
