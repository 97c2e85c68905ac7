use std::time::Duration;

/// How long an order may take beyond the time in which it may begin, milliseconds.
const END_MS: u64 = 15_000;

/// How long an order may take that searches memory or files, or runs checks.
const SEARCH_MAX: Duration = Duration::from_secs(15 * 60);

/// How long any other order may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What a driver has to know of an order that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderKind {
    /// Its word, for which its values are sealed: the name by which a frame begins it.
    pub(crate) word: &'static str,
    /// What it attempts.
    pub(crate) attempts: &'static str,
    /// How long its answer is awaited.
    pub(crate) limit: Duration,
    /// Without an answer, its effect is unknown. Any other order is harmless to give again.
    pub(crate) changes: bool,
}

impl OrderKind {
    /// An order that is answered soon.
    pub(crate) const fn short(word: &'static str, attempts: &'static str) -> Self {
        Self { word, attempts, limit: ANSWER_MAX, changes: false }
    }

    /// An order that searches.
    pub(crate) const fn search(word: &'static str, attempts: &'static str) -> Self {
        Self { word, attempts, limit: SEARCH_MAX, changes: false }
    }

    /// The same with an effect: what the host remembers for the rotation.
    pub(crate) const fn with_effect(self) -> Self {
        Self { changes: true, ..self }
    }

    /// An order with an effect that may begin for so long.
    pub(crate) const fn changing(word: &'static str, attempts: &'static str, left_ms: u64) -> Self {
        let limit = Duration::from_millis(left_ms.saturating_add(END_MS));
        Self { word, attempts, limit, changes: true }
    }
}
