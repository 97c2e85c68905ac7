use crate::{BystanderId, Capabilities, FileId, Holds, HostId, Kinds, Overlap, PATHS_MAX};

/// The most instances (slots) of one consumer that are rolled one by one; the protocol refuses a plan with more.
pub const SLOTS_MAX: u8 = 32;

/// What to do when a host's step fails before the point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Undo everything, in reverse.
    Rollback,
    /// Roll the failed host back to the previous version and pause.
    Pause,
}

/// Counts, windows and deadlines of one rotation. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What happens after a failed step.
    pub on_failure: OnFailure,
    /// Units that are rolled at the same time, after the canary.
    pub parallel_max: u16,
    /// Accepted calls in a row, per endpoint, before the new value counts as alive.
    pub probes_alive: u8,
    /// Refused calls in a row, per endpoint, before the old value counts as dead.
    pub probes_dead: u8,
    /// How long the old key must be unused, where the issuer shows its last use.
    pub idle_ms: u64,
    /// How long the old key stays disabled before it is revoked.
    pub soak_ms: u64,
    /// How long a phase may last before its policy applies.
    pub phase_ms_max: u64,
    /// How long one unit may take to prove an instance.
    pub unit_ms_max: u64,
    /// How old the look behind an effect that ends a key may be. `u64::MAX` in journals of protocol 3 and before, which
    /// did not bound it.
    pub look_age_ms_max: u64,
    /// Evidence that the gate requires in addition to its own rules.
    pub require: Kinds,
    /// The configuration consents beforehand; counts only with zero waivers and an overlap.
    pub standing_consent: bool,
    /// How the roll is paced. `None` in journals of protocol 9 and before.
    pub roll: Option<RollPolicy>,
}

/// What is moved first, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Canary {
    /// The first instance of the first consumer.
    Instance,
    /// The first consumer.
    Consumer,
    /// The consumers of the first one's host, as far as they are of its wave and get the value in the same way.
    Host,
}

/// How a roll is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RollPolicy {
    /// What is moved first, alone.
    pub canary: Canary,
    /// How long the canary is watched once it is proven, milliseconds.
    pub bake_ms: u64,
    /// Whether the operator is asked before anything else is moved.
    pub ask: bool,
    /// After an instance or a consumer was proven, nothing further begins for so many milliseconds.
    pub pause_ms: u64,
    /// How many hosts are moved at the same time.
    pub hosts_max: u16,
}

/// What a rotation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aim {
    /// The old key is replaced for every consumer, and ended.
    Replace,
    /// The plan's consumers get a key of their own; the old one is shared with others, and kept.
    Part,
    /// The old key is ended and none is made: the consumers that shared it have keys of their own.
    End,
}

impl Aim {
    /// Whether the rotation makes a key and moves the consumers to it; otherwise each consumer has a key of its own
    /// already.
    pub const fn makes_new(self) -> bool {
        match self {
            Self::Replace | Self::Part => true,
            Self::End => false,
        }
    }

    /// Whether the rotation ends the old key; otherwise it keeps the key, because others use it.
    pub const fn ends_old(self) -> bool {
        match self {
            Self::Replace | Self::End => true,
            Self::Part => false,
        }
    }

    /// What every copy holds when the rotation begins.
    pub const fn begins_on(self) -> Holds {
        if self.makes_new() { Holds::Old } else { Holds::New }
    }
}

/// Who moves the value to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// We write its copies.
    Push,
    /// The consumer fetches from the store on command; its generated copies are read back, never written.
    Fetch,
    /// The consumer follows the store by itself.
    Follow,
}

/// How a consumer loads a delivered value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReloadMode {
    /// A verb makes the consumer load the value: restart or signal, one slot after the other.
    Verb,
    /// The consumer re-reads the value by itself.
    Rereads,
    /// Nothing runs: a job at rest.
    AtRest,
}

/// One consumer on one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// Where it runs.
    pub host: HostId,
    /// Who moves the value.
    pub delivery: Delivery,
    /// How it loads the value.
    pub uptake: ReloadMode,
    /// The files that hold its copies.
    pub files: Vec<FileId>,
    /// Instances that are moved one by one; at least 1, at most [`SLOTS_MAX`].
    pub slots: u8,
    /// Paths that must work, each proven on its own; at least 1, at most [`PATHS_MAX`].
    pub paths: u8,
    /// The issuer or a proxy can attribute a call to its processes: `exercised` can be seen and is demanded.
    pub attributable: bool,
    /// The operator trusts the word of its processes. False in journals of protocol 5 and before.
    pub own_word: bool,
    /// The wave in which it is moved. 0 in journals of protocol 9 and before.
    pub wave: u8,
}

impl Consumer {
    /// The bits of all of its slots.
    pub(crate) fn all_slots(&self) -> u32 {
        u32::MAX.checked_shr(32 - u32::from(self.slots)).unwrap_or(0)
    }

    /// Whether keyroll itself writes the consumer's files.
    pub(crate) fn is_pushed(&self) -> bool {
        self.delivery == Delivery::Push
    }

    /// Whether keyroll does not write its files, and its wave: the order in which consumers are moved.
    pub(crate) fn turn(&self) -> (bool, u8) {
        (!self.is_pushed(), self.wave)
    }

    /// Whether it is moved in the turn of another one, on the same host.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        (self.host, self.turn()) == (other.host, other.turn())
    }

    /// Whether its processes read the store again by themselves: what they hold changes with no step of keyroll's.
    pub fn follows_live(&self) -> bool {
        self.delivery == Delivery::Follow && self.uptake == ReloadMode::Rereads
    }
}

/// Everything that the operator consented to. Only [`crate::Fact::Adopted`] changes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What the issuer can do.
    pub capabilities: Capabilities,
    /// Counts, windows, deadlines.
    pub policy: Policy,
    /// The host of each (host, endpoint) pair that presents the value.
    pub endpoints: Vec<HostId>,
    /// The host of each file.
    pub files: Vec<HostId>,
    /// The consumers in the order in which they are rolled; the first is the canary.
    pub consumers: Vec<Consumer>,
    /// The processes that may hold a value although they are no consumers. None in journals of protocol 13 and before.
    pub bystanders: Vec<BystanderId>,
    /// The current value is bound to exactly one id at the issuer; else the operator revokes it.
    pub bound: bool,
    /// The issuer answers `denied` to the current value while it is alive: a probe can only show that this credential
    /// authenticates.
    pub denied_is_alive: bool,
    /// The current value was dead when the plan was made: the rotation is forward only, and the plan stated the outage.
    pub recovery: bool,
    /// What the rotation is for.
    pub aim: Aim,
    /// The protocol that opened the rotation: what an entry does changes only from one on. 1 in openings that do not say it.
    pub protocol: u32,
}

/// Why this protocol cannot carry out a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanDefect {
    /// No endpoint to probe: no probe could show a key alive or dead.
    NoEndpoint,
    /// A consumer has no path, or more than [`PATHS_MAX`].
    Paths,
    /// A consumer has no slot, or more than [`SLOTS_MAX`].
    Slots,
    /// A consumer or endpoint names a file or host that the plan does not have.
    Dangling,
    /// A count of the policy is zero: such a check would check nothing.
    ZeroCount,
    /// The plan splits a shared key, or ends it without a new one, but its keys cannot exist beside each other without
    /// a limit of two.
    Shared,
    /// The old value would die before every consumer can have been moved.
    GraceTooShort {
        /// The longest time of the roll, milliseconds.
        roll_ms: u64,
        /// The part of the grace that the roll may use, milliseconds.
        fits_ms: u64,
    },
    /// A consumer that fetches the value or follows the store is in an earlier wave than one whose files keyroll writes:
    /// it gets the value only after those.
    Waves,
    /// The operator is asked after the canary, while the grace of the old value runs out.
    CanaryAsks,
}

impl std::fmt::Display for PlanDefect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("no endpoint is named where a key could be shown alive or dead"),
            Self::Paths => write!(f, "a consumer has no path that must work, or more than {PATHS_MAX}"),
            Self::Slots => write!(f, "a consumer has no instance, or more than {SLOTS_MAX}"),
            Self::Dangling => f.write_str("a consumer names a file or a host that is not in the plan"),
            Self::ZeroCount => {
                f.write_str("a count of the policy is zero, so that a check would ask for nothing")
            }
            Self::Shared => {
                f.write_str("the issuer does not let several keys live beside each other for good")
            }
            Self::GraceTooShort { roll_ms, fits_ms } => write!(
                f,
                "moving everybody may take {} s, and {} s of the grace may be used",
                roll_ms / 1_000,
                fits_ms / 1_000
            ),
            Self::Waves => f.write_str(
                "a consumer that fetches its value, or follows the store, is in an earlier wave than one whose files keyroll \
                 writes: it gets the value after all of those",
            ),
            Self::CanaryAsks => f.write_str(
                "the roll waits for an operator after the canary, while the issuer's grace for the old value runs out",
            ),
        }
    }
}

/// The share of a grace that a planned roll may take, in tenths.
pub(crate) const GRACE_TENTHS: u64 = 9;

impl Plan {
    /// The host of a file.
    pub(crate) fn host_of_file(&self, file: FileId) -> Option<HostId> {
        self.files.get(file.index()).copied()
    }

    /// Refuses a plan that the protocol cannot carry out.
    pub fn check(&self) -> Result<(), PlanDefect> {
        if self.endpoints.is_empty() {
            return Err(PlanDefect::NoEndpoint);
        }
        let policy = &self.policy;
        if policy.probes_alive == 0 || policy.probes_dead == 0 || policy.parallel_max == 0 {
            return Err(PlanDefect::ZeroCount);
        }
        if self.aim != Aim::Replace && !matches!(self.capabilities.overlap, Overlap::Independent { .. }) {
            return Err(PlanDefect::Shared);
        }
        if policy.roll.is_some_and(|roll| roll.hosts_max == 0) {
            return Err(PlanDefect::ZeroCount);
        }
        let waves = |pushed: bool| {
            self.consumers.iter().filter(move |it| it.is_pushed() == pushed).map(|consumer| consumer.wave)
        };
        let late =
            waves(true).max().zip(waves(false).min()).is_some_and(|(written, pulled)| pulled < written);
        if policy.roll.is_some() && late {
            return Err(PlanDefect::Waves);
        }
        self.consumers.iter().try_for_each(|consumer| self.check_consumer(consumer))
    }

    /// Refuses a grace that is too short to move every consumer with a margin of a tenth. Called before a rotation is
    /// opened, and never for an open one, which can only continue.
    pub fn fits(&self) -> Result<(), PlanDefect> {
        let Overlap::Grace { ms } = self.capabilities.overlap else { return Ok(()) };
        if self.policy.roll.is_some_and(|roll| roll.ask) {
            return Err(PlanDefect::CanaryAsks);
        }
        let (roll_ms, fits_ms) = (self.roll_ms_max(), ms / 10 * GRACE_TENTHS);
        if roll_ms > fits_ms { Err(PlanDefect::GraceTooShort { roll_ms, fits_ms }) } else { Ok(()) }
    }

    /// The longest time in which the new value can be seen accepted and every consumer be moved: every stage of every
    /// unit up to its limit, the canary alone. A unit is delivered once; each of its slots is applied, where that takes
    /// a verb, and proven. A paced roll takes its waves one after the other, and is watched and pauses.
    pub fn roll_ms_max(&self) -> u64 {
        match self.policy.roll {
            Some(roll) => self.capabilities.birth_ms_max.saturating_add(self.paced_ms_max(roll)),
            None => self.unpaced_ms_max(),
        }
    }

    /// The longest that one consumer may take.
    fn unit_limit(&self, consumer: &Consumer) -> u64 {
        let delivered = u64::from(consumer.delivery != Delivery::Follow);
        let slots = if consumer.uptake == ReloadMode::Verb { 2 * u64::from(consumer.slots) } else { 1 };
        self.policy.unit_ms_max.saturating_mul(delivered + slots)
    }

    /// The same, where nobody waits for a wave, a watch or a pause.
    pub(crate) fn unpaced_ms_max(&self) -> u64 {
        let (birth_ms, limit) = (self.capabilities.birth_ms_max, |it: &Consumer| self.unit_limit(it));
        let canary = self.consumers.first().map_or(0, limit);
        let rest = self.consumers.iter().skip(1).map(limit).fold(0u64, u64::saturating_add);
        let longest = self.consumers.iter().skip(1).map(limit).max().unwrap_or(0);
        let shared = rest.div_ceil(u64::from(self.policy.parallel_max.max(1))).max(longest);
        birth_ms.saturating_add(canary).saturating_add(shared)
    }

    /// The longest time of a paced roll. It may have as few units at once as it may have hosts, and a canary of a whole host
    /// goes one unit at a time.
    fn paced_ms_max(&self, roll: RollPolicy) -> u64 {
        let one_host =
            self.consumers.iter().all(|it| Some(it.host) == self.consumers.first().map(|it| it.host));
        let parallel = self.policy.parallel_max;
        let at_once = u64::from(if one_host { parallel } else { parallel.min(roll.hosts_max) }.max(1));
        let limit = |(_, it): (usize, &Consumer)| self.unit_limit(it);
        // What goes alone, before the others share their time.
        let first = self.consumers.iter().enumerate().min_by_key(|(at, it)| (it.turn(), *at));
        let is_canary = |at: usize, it: &Consumer| {
            first.is_some_and(|(first, canary)| match roll.canary {
                Canary::Instance | Canary::Consumer => at == first,
                Canary::Host => it.goes_with(canary),
            })
        };
        let (alone, others): (Vec<_>, Vec<_>) =
            self.consumers.iter().enumerate().partition(|(at, it)| is_canary(*at, it));
        let mut sum = alone.into_iter().map(limit).fold(0u64, u64::saturating_add);
        let mut turns: Vec<(bool, u8)> = others.iter().map(|(_, it)| it.turn()).collect();
        turns.sort_unstable();
        turns.dedup();
        for turn in turns {
            let of = || others.iter().copied().filter(|(_, it)| it.turn() == turn).map(limit);
            let longest = of().max().unwrap_or(0);
            sum = sum.saturating_add(of().fold(0u64, u64::saturating_add).div_ceil(at_once).max(longest));
        }
        let steps = self.consumers.iter().map(|it| u64::from(it.slots)).fold(0u64, u64::saturating_add);
        sum.saturating_add(roll.bake_ms).saturating_add(roll.pause_ms.saturating_mul(steps))
    }

    pub(crate) fn check_consumer(&self, consumer: &Consumer) -> Result<(), PlanDefect> {
        if consumer.paths == 0 || usize::from(consumer.paths) > PATHS_MAX {
            return Err(PlanDefect::Paths);
        }
        if consumer.slots == 0 || consumer.slots > SLOTS_MAX {
            return Err(PlanDefect::Slots);
        }
        let known = |file: &FileId| file.index() < self.files.len();
        if consumer.files.iter().all(known) { Ok(()) } else { Err(PlanDefect::Dangling) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{LastUsed, MintedBy, Refusals};

    /// A plan of so many equal consumers on one host.
    pub(crate) fn plan(overlap: Overlap, consumers: usize, parallel_max: u16) -> Plan {
        let consumer = Consumer {
            host: HostId(0),
            delivery: Delivery::Push,
            uptake: ReloadMode::Verb,
            files: vec![FileId(0)],
            slots: 2,
            paths: 1,
            attributable: false,
            own_word: false,
            wave: 0,
        };
        Plan {
            capabilities: Capabilities {
                minted_by: MintedBy::Api,
                overlap,
                disable: false,
                label: true,
                mint_replaces: false,
                list: true,
                last_used: LastUsed::NotVisible,
                refusals: Refusals::NotVisible,
                sessions: false,
                attributes: false,
                birth_ms_max: 1_000,
                death_ms_max: 1_000,
                request_ms_max: 1_000,
            },
            policy: Policy {
                on_failure: OnFailure::Pause,
                parallel_max,
                probes_alive: 2,
                probes_dead: 2,
                idle_ms: 0,
                soak_ms: 0,
                phase_ms_max: 10_000,
                unit_ms_max: 4_000,
                look_age_ms_max: 10_000,
                require: Kinds::NONE,
                standing_consent: false,
                roll: None,
            },
            endpoints: vec![HostId(0)],
            files: vec![HostId(0)],
            consumers: vec![consumer; consumers],
            bystanders: Vec::new(),
            bound: true,
            denied_is_alive: false,
            recovery: false,
            aim: Aim::Replace,
            protocol: crate::PROTOCOL,
        }
    }

    #[test]
    fn a_grace_that_the_roll_does_not_fit_into_is_refused() {
        // Four consumers, one after the other: 1 s until the new key works; each consumer is delivered once, and each
        // of its two slots is applied and proven.
        let needed = 1_000 + 4 * 5 * 4_000;
        assert_eq!(plan(Overlap::TwoSlots, 4, 1).roll_ms_max(), needed);
        let refused = |ms, parallel| plan(Overlap::Grace { ms }, 4, parallel).fits().is_err();
        assert!(refused(needed, 1), "a margin of a tenth is kept");
        assert!(refused(89_990, 1));
        assert!(!refused(90_000, 1));
        // Two at a time after the canary: 20 s, then 30 s.
        assert!(!refused(56_670, 2));
        assert!(plan(Overlap::None, 40, 1).fits().is_ok(), "nothing runs out where nothing overlaps");
    }
}
