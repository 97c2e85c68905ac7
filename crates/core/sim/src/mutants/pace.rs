//! Mutants that roll faster than the plan says.

use keyroll_rotation::{Canary, Plan, RollPolicy};

use crate::mutant::Mutant;

/// A wave begins beside the one before it.
pub(super) const ONE_WAVE: Mutant = Mutant {
    name: "one wave",
    sentence: "P-168",
    plan: |plan| plan.consumers.iter_mut().for_each(|consumer| consumer.wave = 0),
    ..Mutant::NONE
};

fn paced(plan: &mut Plan, change: fn(&mut RollPolicy)) {
    plan.policy.roll.iter_mut().for_each(change);
}

/// The canary passes as soon as it is proven.
pub(super) const CANARY_UNWATCHED: Mutant = Mutant {
    name: "canary unwatched",
    sentence: "P-169",
    plan: |plan| paced(plan, |roll| (roll.bake_ms, roll.ask) = (0, false)),
    ..Mutant::NONE
};

/// The canary is the first consumer, also where it is to be an instance or a host.
pub(super) const CANARY_IS_CONSUMER: Mutant = Mutant {
    name: "canary is consumer",
    sentence: "P-169",
    plan: |plan| paced(plan, |roll| roll.canary = Canary::Consumer),
    ..Mutant::NONE
};

/// Any number of hosts is moved at the same time.
pub(super) const HOSTS_AT_ONCE: Mutant = Mutant {
    name: "hosts at once",
    sentence: "P-170",
    plan: |plan| paced(plan, |roll| roll.hosts_max = u16::MAX),
    ..Mutant::NONE
};

/// The next one begins as soon as the one before it is proven.
pub(super) const PAUSE_UNWAITED: Mutant = Mutant {
    name: "pause unwaited",
    sentence: "P-171",
    plan: |plan| paced(plan, |roll| roll.pause_ms = 0),
    ..Mutant::NONE
};
