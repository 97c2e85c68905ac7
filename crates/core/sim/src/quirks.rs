//! What issuers, consumers and operators of a scene do that plain ones do not.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Quirk {
    /// Each endpoint obeys the end of a key at another time.
    UnequalEndpoints = 1,
    /// An endpoint denies what a known value asks for, now and then; this counts as accepted.
    Denies = 1 << 1,
    /// The kinds of evidence of a path come one by one.
    PartialEvidence = 1 << 2,
    /// The policy requires a further kind of evidence.
    Requires = 1 << 3,
    /// Windows are longer or shorter than the pace of looks.
    Windows = 1 << 4,
    /// The issuer takes longer than it declares until it obeys an end.
    SlowIssuer = 1 << 5,
    /// Processes call rarely.
    RareCalls = 1 << 6,
    /// A restarted process keeps its old value for a while, and already reports that it is ready.
    SlowGenerations = 1 << 7,
    /// The operator says something wrong now and then.
    WrongWords = 1 << 8,
    /// Some consumers take their value from keyroll's socket, and say themselves which one they use.
    Served = 1 << 9,
    /// The list of keys shows no last use for a while, or never.
    HidesUse = 1 << 10,
    /// Consumers fetch from a source of truth beside keyroll's own store, or read it again after a while.
    Truth = 1 << 11,
}

impl Quirk {
    pub(crate) const ALL: [Self; 12] = [
        Self::UnequalEndpoints,
        Self::Denies,
        Self::PartialEvidence,
        Self::Requires,
        Self::Windows,
        Self::SlowIssuer,
        Self::RareCalls,
        Self::SlowGenerations,
        Self::WrongWords,
        Self::Served,
        Self::HidesUse,
        Self::Truth,
    ];
}

/// The quirks of a scene; none in a plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quirks(u16);

/// Draws the quirks of a seed.
const DRAW: u64 = 0x90_12c5;

impl Quirks {
    /// Half of all seeds have a plain scene; in the others each quirk is drawn.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ DRAW);
        if rng.one_in(2) {
            return Self::default();
        }
        Quirk::ALL.into_iter().filter(|_| rng.one_in(4)).fold(Self::default(), Self::with)
    }

    /// The quirk of consumers that are served, alone.
    pub(crate) fn served() -> Self {
        Self::default().with(Quirk::Served)
    }

    /// The quirk of a source of truth, alone.
    pub fn truth() -> Self {
        Self::default().with(Quirk::Truth)
    }

    /// Every consumer reads its files.
    pub(crate) fn unserved(self) -> Self {
        Self(self.0 & !(Quirk::Served as u16))
    }

    fn with(self, quirk: Quirk) -> Self {
        Self(self.0 | quirk as u16)
    }

    pub(crate) fn has(self, quirk: Quirk) -> bool {
        self.0 & quirk as u16 != 0
    }
}
