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
    /// The roll is paced: in waves, a canary that is watched, so many hosts at the same time, and pauses.
    Staged = 1 << 12,
    /// Hosts go away, and the issuer is asked from each host at all of its endpoints.
    Away = 1 << 13,
    /// Links to hosts fail with orders in them, and hosts are put back from snapshots; there are up to five hosts.
    Links = 1 << 14,
    /// What runs on a host with an odd number is a container of a pod.
    Pods = 1 << 15,
}

impl Quirk {
    /// Those that are drawn one after the other; [`Self::Staged`], [`Self::Away`], [`Self::Links`] and [`Self::Pods`] have
    /// draws of their own.
    const DRAWN: [Self; 12] = [
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
/// Draws whether the roll of a seed is paced.
const STAGED: u64 = 0x57_a6ed;

/// The seeds before this one have no paced roll: their recordings show that a plan of protocol 9 and before, which says
/// nothing about the pace, is carried out as it was.
const STAGED_FROM: u64 = 1_200;

/// Draws whether hosts of a seed go away.
const AWAY: u64 = 0xa3_a1e5;

/// The seeds before this one have no such host: their recordings show that a rotation of protocol 10 and before is carried
/// out as it was.
const AWAY_FROM: u64 = 1_600;

/// Draws whether links of a seed fail.
const LINKS: u64 = 0x11_4c55;

/// The seeds before this one have no such link: what they record stays as it was.
const LINKS_FROM: u64 = 2_000;

/// Draws whether a seed has pods.
const PODS: u64 = 0x90_d500;

/// The seeds before this one have no pods: what they record stays as it was.
const PODS_FROM: u64 = 2_400;

impl Quirks {
    /// Half of all seeds have none of the quirks that are drawn one after the other; in the others each of them is drawn.
    /// Beside that, one of four seeds has a paced roll, in one of four hosts go away, in one of four of the others links
    /// fail, and one of four has pods.
    pub(crate) fn of(seed: u64) -> Self {
        let staged = seed >= STAGED_FROM && Rng::new(seed ^ STAGED).one_in(4);
        let pace = if staged { Self::staged() } else { Self::default() };
        let away = seed >= AWAY_FROM && Rng::new(seed ^ AWAY).one_in(4);
        let pace = if away { pace.with(Quirk::Away) } else { pace };
        let links = seed >= LINKS_FROM && !away && Rng::new(seed ^ LINKS).one_in(4);
        let pace = if links { pace.with(Quirk::Links) } else { pace };
        let pods = seed >= PODS_FROM && Rng::new(seed ^ PODS).one_in(4);
        let pace = if pods { pace.with(Quirk::Pods) } else { pace };
        let mut rng = Rng::new(seed ^ DRAW);
        if rng.one_in(2) {
            return pace;
        }
        Quirk::DRAWN.into_iter().filter(|_| rng.one_in(4)).fold(pace, Self::with)
    }

    /// The quirk of consumers that are served, alone.
    pub(crate) fn served() -> Self {
        Self::default().with(Quirk::Served)
    }

    /// The quirk of a source of truth, alone.
    pub fn truth() -> Self {
        Self::default().with(Quirk::Truth)
    }

    /// The quirk of a paced roll, alone.
    pub fn staged() -> Self {
        Self::default().with(Quirk::Staged)
    }

    /// Every consumer reads its files.
    pub(crate) fn unserved(self) -> Self {
        Self(self.0 & !(Quirk::Served as u16))
    }

    /// The quirk of hosts that go away, alone.
    pub fn away() -> Self {
        Self::default().with(Quirk::Away)
    }

    /// The quirk of links that fail, alone.
    pub fn links() -> Self {
        Self::default().with(Quirk::Links)
    }

    /// The quirk of pods, alone.
    pub fn pods() -> Self {
        Self::default().with(Quirk::Pods)
    }

    /// No host goes away, and no link fails.
    pub(crate) fn there(self) -> Self {
        Self(self.0 & !(Quirk::Away as u16 | Quirk::Links as u16))
    }

    /// Nothing is said about the pace of the roll.
    pub(crate) fn unstaged(self) -> Self {
        Self(self.0 & !(Quirk::Staged as u16))
    }

    fn with(self, quirk: Quirk) -> Self {
        Self(self.0 | quirk as u16)
    }

    pub(crate) fn has(self, quirk: Quirk) -> bool {
        self.0 & quirk as u16 != 0
    }
}
