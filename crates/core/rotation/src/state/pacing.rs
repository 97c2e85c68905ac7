use crate::Stamp;

/// How far a paced roll has come: whether the canary has passed, and when something arrived last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pacing {
    /// So many consumers were there when the roll was begun. One that is adopted later is never the canary.
    first: usize,
    answered: bool,
    passed: bool,
    /// It passed while nobody was there to be the canary.
    unwatched: bool,
    last: Option<Stamp>,
}

impl Pacing {
    pub(super) fn open(consumers: usize) -> Self {
        Self { first: consumers, answered: false, passed: false, unwatched: false, last: None }
    }

    /// The consumers of which one is the canary.
    pub(crate) fn consumers(&self) -> usize {
        self.first
    }

    /// The operator lets the canary pass, once it is seen to work.
    pub(crate) fn answer(&mut self) {
        self.answered = true;
    }

    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// The canary has passed: the others may begin.
    pub(crate) fn passed(&self) -> bool {
        self.passed
    }

    pub(crate) fn pass(&mut self, now: Stamp) {
        (self.passed, self.last) = (true, Some(now));
    }

    /// Nobody is there to be the canary: the others may begin.
    pub(crate) fn pass_without(&mut self, now: Stamp) {
        self.pass(now);
        self.unwatched = true;
    }

    /// Somebody is there again to be the canary: without one nobody was watched. `anew`: also if one had passed before.
    pub(crate) fn recall(&mut self, anew: bool) {
        if anew || self.unwatched {
            (self.passed, self.answered, self.unwatched) = (false, false, false);
        }
    }

    /// A unit failed: what the operator said was about a canary that worked.
    pub(super) fn fail(&mut self) {
        self.withdraw_answer();
    }

    /// What the operator said was about another canary.
    pub(crate) fn withdraw_answer(&mut self) {
        self.answered = false;
    }

    /// A unit arrived.
    pub(crate) fn arrived(&mut self, now: Stamp) {
        self.last = Some(now);
    }

    /// When a unit arrived last, or the canary passed.
    pub(crate) fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// A new driver cannot measure durations from before its start: a pause begins anew.
    pub(super) fn driver_started(&mut self, now: Stamp) {
        self.last = self.last.map(|_| now);
    }
}
