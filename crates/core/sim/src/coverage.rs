//! Which phase changes, faults and waits, in which phases, the runs had; and which they should have had.

use std::collections::BTreeMap;

use keyroll_rotation::Phase;

use crate::faults::{Class, Fault};

/// Counts over many runs.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Phase changes.
    pub transitions: BTreeMap<(Phase, Phase), u64>,
    /// Faults by the phase that they happened in.
    pub faults: BTreeMap<(Phase, Fault), u64>,
    /// Waits by the phase that they began in.
    pub waits: BTreeMap<(Phase, &'static str), u64>,
}

/// The phase changes of the protocol that the runs must have had.
const TRANSITIONS: &[(Phase, Phase)] = &[
    (Phase::Preflight, Phase::Mint),
    (Phase::Preflight, Phase::Decide),
    (Phase::Preflight, Phase::RolledBack),
    (Phase::Mint, Phase::Stage),
    (Phase::Mint, Phase::Decide),
    (Phase::Mint, Phase::RollingBack),
    (Phase::Stage, Phase::Probe),
    (Phase::Stage, Phase::RollingBack),
    (Phase::Probe, Phase::Roll),
    (Phase::Probe, Phase::RollingBack),
    (Phase::Roll, Phase::Quiesce),
    (Phase::Roll, Phase::ConfirmDead),
    (Phase::Roll, Phase::RollingBack),
    (Phase::Roll, Phase::Revoke),
    (Phase::Quiesce, Phase::Roll),
    (Phase::Quiesce, Phase::Disable),
    (Phase::Quiesce, Phase::Decide),
    (Phase::Quiesce, Phase::Revoke),
    (Phase::Quiesce, Phase::ConfirmDead),
    (Phase::Quiesce, Phase::RollingBack),
    (Phase::Disable, Phase::Soak),
    (Phase::Disable, Phase::Quiesce),
    (Phase::Disable, Phase::ConfirmDead),
    (Phase::Disable, Phase::RollingBack),
    (Phase::Soak, Phase::Decide),
    (Phase::Soak, Phase::Quiesce),
    (Phase::Soak, Phase::RollingBack),
    (Phase::Decide, Phase::Revoke),
    (Phase::Decide, Phase::Mint),
    (Phase::Decide, Phase::Quiesce),
    (Phase::Decide, Phase::ConfirmDead),
    (Phase::Decide, Phase::RollingBack),
    (Phase::Revoke, Phase::ConfirmDead),
    (Phase::Revoke, Phase::Quiesce),
    (Phase::Revoke, Phase::Sweep),
    (Phase::Revoke, Phase::Mint),
    (Phase::ConfirmDead, Phase::Sweep),
    (Phase::Sweep, Phase::Done),
    (Phase::Sweep, Phase::Roll),
    (Phase::Done, Phase::Revoke),
    (Phase::RollingBack, Phase::RolledBack),
    (Phase::RollingBack, Phase::Probe),
];

/// What drivers ask for in a phase of a run without faults. The faults that fit must have happened there.
const ASKED: &[(Phase, &[Class])] = &[
    (Phase::Preflight, &[Class::Append, Class::Look(0)]),
    (Phase::Mint, &[Class::Append, Class::Witness, Class::Carry(1)]),
    (Phase::Stage, &[Class::Append, Class::Carry(2), Class::Look(1)]),
    (Phase::Probe, &[Class::Append, Class::Look(2)]),
    (Phase::Roll, &[Class::Append, Class::Carry(3), Class::Look(5)]),
    (Phase::Quiesce, &[Class::Append, Class::Look(4)]),
    (Phase::Disable, &[Class::Append, Class::Witness, Class::Carry(8), Class::Look(4)]),
    (Phase::Soak, &[Class::Append, Class::Look(3)]),
    (Phase::Decide, &[Class::Append, Class::Look(4)]),
    (Phase::Revoke, &[Class::Append, Class::Witness, Class::Carry(10), Class::Look(4)]),
    (Phase::ConfirmDead, &[Class::Append, Class::Look(2)]),
    (Phase::Sweep, &[Class::Append, Class::Carry(15), Class::Look(4)]),
    (Phase::RollingBack, &[Class::Append, Class::Witness, Class::Carry(12), Class::Look(4)]),
];

/// The waits for an operator that so many seeds must have had: those that ten or more of 12,000 seeds meet.
const WAITS: &[(Phase, &[&str])] = &[
    (Phase::Mint, &["pause", "failure", "unclear outcome", "key by hand"]),
    (Phase::Stage, &["pause", "failure"]),
    (Phase::Probe, &["pause", "deadline"]),
    (
        Phase::Roll,
        &[
            "pause",
            "unit",
            "stuck unit",
            "failure",
            "canary",
            "pending change",
            "foreign file",
            "unclear outcome",
        ],
    ),
    (
        Phase::Quiesce,
        &["pause", "holder", "copy", "unsearched", "foreign file", "unit", "deadline", "last use"],
    ),
    (Phase::Disable, &["pause", "failure", "new key refused"]),
    (Phase::Soak, &["refused use", "unknown label"]),
    (
        Phase::Decide,
        &[
            "pause",
            "consent",
            "no consent",
            "holder",
            "copy",
            "deadline",
            "refused use",
            "new key refused",
            "stuck failure",
            "unknown label",
        ],
    ),
    (Phase::Revoke, &["end by hand", "deadline"]),
    (Phase::ConfirmDead, &["pause"]),
    (Phase::Sweep, &["pause", "failure", "deadline", "unit", "changed elsewhere", "unknown label"]),
    (Phase::RollingBack, &["pause", "copy", "stuck failure", "foreign file", "stuck deadline", "stuck unit"]),
];

/// The waits that only faults which last lead to.
const HELPED_WAITS: &[(Phase, &str)] = &[(Phase::Quiesce, "unreadable file")];

/// How many seeds meet every one of these waits.
pub const SEEDS_OF_WAITS: u64 = 12_000;

impl Coverage {
    pub(crate) fn transition(&mut self, from: Phase, to: Phase) {
        *self.transitions.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, phase: Phase, fault: Fault) {
        *self.faults.entry((phase, fault)).or_default() += 1;
    }

    pub(crate) fn wait(&mut self, phase: Phase, what: &'static str) {
        *self.waits.entry((phase, what)).or_default() += 1;
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.transitions {
            *self.transitions.entry(*key).or_default() += count;
        }
        for (key, count) in &other.faults {
            *self.faults.entry(*key).or_default() += count;
        }
        for (key, count) in &other.waits {
            *self.waits.entry(*key).or_default() += count;
        }
    }

    /// What the runs should have had and did not, readably.
    pub fn uncovered(&self) -> Vec<String> {
        let transitions = TRANSITIONS
            .iter()
            .filter(|key| !self.transitions.contains_key(key))
            .map(|(from, to)| format!("{from:?} -> {to:?}"));
        let faults = ASKED.iter().flat_map(|(phase, asked)| {
            Fault::passing()
                .filter(|fault| asked.iter().any(|class| fault.fits(*class)))
                .filter(|fault| !self.faults.contains_key(&(*phase, *fault)))
                .map(move |fault| format!("{fault:?} in {phase:?}"))
        });
        transitions.chain(faults).collect()
    }

    /// The waits that so many seeds should have met and did not, readably.
    pub fn unmet_waits(&self) -> Vec<String> {
        let all = WAITS.iter().flat_map(|(phase, waits)| waits.iter().map(move |what| (*phase, *what)));
        let unmet = all.filter(|key| !self.waits.contains_key(key));
        unmet.map(|(phase, what)| format!("the wait {what:?} in {phase:?}")).collect()
    }

    /// What schedules with a helpful operator should have had and did not, readably: the faults that last, and the waits that they
    /// alone lead to.
    pub fn unhelped(&self) -> Vec<String> {
        let had = |fault: &Fault| self.faults.keys().any(|(_, had)| had == fault);
        let missing = Fault::LASTING.iter().filter(|fault| !had(fault));
        let faults = missing.map(|fault| format!("{fault:?} before a helpful operator"));
        let unmet = HELPED_WAITS.iter().filter(|key| !self.waits.contains_key(*key));
        faults.chain(unmet.map(|(phase, what)| format!("the wait {what:?} in {phase:?}"))).collect()
    }
}
