use std::sync::Arc;

use crate::{EndpointId, Seq, SharedList, Stamp};

/// Answers in a row at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// How many.
    pub count: u8,
    /// When the first of them came.
    pub since: Option<Stamp>,
    /// When the last of them came.
    pub last: Option<Stamp>,
}

impl Streak {
    fn count(&mut self, hit: bool, now: Stamp) {
        if !hit {
            *self = Self::default();
            return;
        }
        self.count = self.count.saturating_add(1);
        self.since = self.since.or(Some(now));
        self.last = Some(now);
    }
}

/// Answers in a row, counted per endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Streaks {
    /// Acceptances of the new version.
    accepted_new: SharedList<Streak>,
    /// Acceptances of the old one.
    alive: SharedList<Streak>,
    /// Refusals of the old one.
    dead: SharedList<Streak>,
}

/// The issuer's answers about a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    preflight: Option<bool>,
    /// Copied only by the state that changes it.
    streaks: Arc<Streaks>,
    /// The entry at which every consumer was restored and the old key had to be seen alive once more.
    alive_asked: Seq,
}

impl Answers {
    pub(super) fn open(endpoints: usize) -> Self {
        let none = SharedList::filled(&Streak::default(), endpoints);
        let streaks = Streaks { accepted_new: none.clone(), alive: none.clone(), dead: none };
        Self { preflight: None, streaks: Arc::new(streaks), alive_asked: 0 }
    }

    pub(crate) fn preflight(&self) -> Option<bool> {
        self.preflight
    }

    pub(crate) fn accepted_new(&self) -> &SharedList<Streak> {
        &self.streaks.accepted_new
    }

    pub(crate) fn alive(&self) -> &SharedList<Streak> {
        &self.streaks.alive
    }

    pub(crate) fn dead(&self) -> &SharedList<Streak> {
        &self.streaks.dead
    }

    pub(crate) fn alive_asked(&self) -> Seq {
        self.alive_asked
    }

    pub(crate) fn judge_preflight(&mut self, passed: bool) {
        self.preflight = Some(passed);
    }

    /// Counts an answer to the new version.
    pub(crate) fn count_new(&mut self, endpoint: EndpointId, accepted: bool, now: Stamp) {
        if let Some(streak) = self.change().accepted_new.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
    }

    /// Counts an answer about the old version. `dead`: true for a refusal that counts, false for an acceptance, `None`
    /// for any other answer.
    pub(crate) fn count_old(&mut self, endpoint: EndpointId, accepted: bool, dead: Option<bool>, now: Stamp) {
        let streaks = self.change();
        if let Some(streak) = streaks.alive.get_mut(endpoint.index()) {
            streak.count(accepted, now);
        }
        if let (Some(streak), Some(dead)) = (streaks.dead.get_mut(endpoint.index()), dead) {
            streak.count(dead, now);
        }
    }

    pub(super) fn forget_new(&mut self) {
        forget(&mut self.change().accepted_new);
    }

    pub(crate) fn forget_old(&mut self) {
        let streaks = self.change();
        forget(&mut streaks.alive);
        forget(&mut streaks.dead);
    }

    /// From this entry on the old key must be seen alive once more.
    pub(crate) fn ask_alive(&mut self, seq: Seq) {
        self.alive_asked = seq;
        forget(&mut self.change().alive);
    }

    fn change(&mut self) -> &mut Streaks {
        Arc::make_mut(&mut self.streaks)
    }
}

/// The answers at every endpoint are counted anew.
fn forget(streaks: &mut SharedList<Streak>) {
    *streaks = SharedList::filled(&Streak::default(), streaks.len());
}
