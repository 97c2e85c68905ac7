//! What this process has counted since it started. A restart begins at 0, as Prometheus expects of a counter.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_app::incidents::Source;
use keyroll_app::wall_clock;

/// The most recipients of notices that are counted: their names come from the configuration, which may change.
const RECIPIENTS_MAX: usize = 100;
/// The source of an alert whose address names none.
pub(crate) const UNKNOWN: &str = "unknown";

/// Why a request was refused before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It has no valid token, and an alert no valid token or signature.
    NoToken,
    /// Its token has another role.
    NoRole,
    /// Too many had no valid token.
    TooMany,
    /// The file of the tokens cannot be used.
    TokensUnreadable,
    /// Its `Host` is not this machine.
    Host,
    /// It comes from a page of another site.
    Origin,
}

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alerted {
    /// It was read, and its incidents are opened.
    Taken,
    /// Its sender is not believed, or it is not in the form of its source.
    Refused,
    /// keyroll could not read it.
    Failed,
}

/// The counters of one process.
pub(crate) struct Counters {
    /// When it was started, Unix seconds.
    pub(crate) started_s: u64,
    counts: Mutex<Counts>,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// By reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// By source and result.
    pub(crate) alerts: BTreeMap<(&'static str, &'static str), u64>,
    /// Attempts to deliver a notice, by recipient and result.
    pub(crate) notices: BTreeMap<(String, &'static str), u64>,
    /// Notices that wait, by recipient.
    pub(crate) pending: BTreeMap<String, u64>,
}

impl Reason {
    const ALL: [Self; 6] =
        [Self::NoToken, Self::NoRole, Self::TooMany, Self::TokensUnreadable, Self::Host, Self::Origin];

    fn word(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::NoRole => "no_role",
            Self::TooMany => "too_many",
            Self::TokensUnreadable => "tokens_unreadable",
            Self::Host => "host",
            Self::Origin => "origin",
        }
    }
}

impl Alerted {
    const ALL: [Self; 3] = [Self::Taken, Self::Refused, Self::Failed];

    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Counters {
    /// Counters of a process that starts now. A counter that is not there before its first event would hide that event
    /// from `increase()`, so all of them begin at 0.
    pub(crate) fn new() -> Self {
        let known = Source::ALL.into_iter().map(|(_, name)| name);
        let alerts = known.flat_map(|source| Alerted::ALL.map(|result| ((source, result.word()), 0)));
        let counts = Counts {
            refused: Reason::ALL.into_iter().map(|reason| (reason.word(), 0)).collect(),
            alerts: alerts.chain([((UNKNOWN, Alerted::Refused.word()), 0)]).collect(),
            ..Counts::default()
        };
        let started_s = u64::try_from(wall_clock::now().timestamp().as_second()).unwrap_or_default();
        Self { started_s, counts: Mutex::new(counts) }
    }

    /// A request was refused.
    pub(crate) fn refused(&self, reason: Reason) {
        *self.lock().refused.entry(reason.word()).or_default() += 1;
    }

    /// An alert came. `source`: its name, or [`UNKNOWN`].
    pub(crate) fn alert(&self, source: &'static str, result: Alerted) {
        *self.lock().alerts.entry((source, result.word())).or_default() += 1;
    }

    /// A notice was sent to this recipient, or could not be.
    pub(crate) fn notice(&self, recipient: &str, sent: bool) {
        let mut counts = self.lock();
        if counts.has_room(recipient) {
            let result = if sent { SENT } else { FAILED };
            *counts.notices.entry((recipient.to_owned(), result)).or_default() += 1;
        }
    }

    /// So many notices wait for this recipient.
    pub(crate) fn pending(&self, recipient: &str, notices: usize) {
        let mut counts = self.lock();
        if !counts.has_room(recipient) {
            return;
        }
        for result in [SENT, FAILED] {
            counts.notices.entry((recipient.to_owned(), result)).or_default();
        }
        counts.pending.insert(recipient.to_owned(), u64::try_from(notices).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    pub(crate) fn counted(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SENT: &str = "sent";
const FAILED: &str = "failed";

impl Counts {
    /// Whether this recipient is counted, or can be.
    fn has_room(&self, recipient: &str) -> bool {
        let is_counted = |result| self.notices.contains_key(&(recipient.to_owned(), result));
        is_counted(SENT) || is_counted(FAILED) || self.notices.len() < RECIPIENTS_MAX * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_begins_at_zero_and_recipients_are_bounded() {
        let counters = Counters::new();
        let counts = counters.counted();
        assert!(counts.refused.values().chain(counts.alerts.values()).all(|count| *count == 0));
        assert_eq!((counts.refused.len(), counts.alerts.len()), (6, Source::ALL.len() * 3 + 1));
        counters.refused(Reason::Host);
        counters.alert("github", Alerted::Taken);
        for recipient in 0..RECIPIENTS_MAX * 2 {
            counters.pending(&recipient.to_string(), recipient);
            counters.notice(&recipient.to_string(), false);
        }
        let counts = counters.counted();
        assert_eq!((counts.refused["host"], counts.alerts[&("github", "taken")]), (1, 1));
        assert_eq!((counts.pending.len(), counts.notices.len()), (RECIPIENTS_MAX, RECIPIENTS_MAX * 2));
        assert_eq!(counts.notices[&("7".to_owned(), "failed")], 1);
    }
}
