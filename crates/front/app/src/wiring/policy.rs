//! The counts, windows and deadlines by which a rotation is driven.

use std::time::Duration;

use keyroll_config::{Canary, EvidenceKind, OnFailure, Roll, Secret};
use keyroll_rotation::{self as rotation, Kinds, Policy, RollPolicy};

/// Equal answers in a row that prove a value alive or dead.
const PROBES: u8 = 3;

/// How old the look behind an effect that ends a key may be, beyond the time that a look takes.
const LOOK_AGE_MS_MAX: u64 = 10_000;

/// The counts, windows and deadlines of a rotation, from the configuration.
pub fn policy(secret: &Secret) -> Policy {
    Policy {
        on_failure: match secret.on_failure {
            OnFailure::Rollback => rotation::OnFailure::Rollback,
            OnFailure::Pause => rotation::OnFailure::Pause,
        },
        parallel_max: u16::try_from(secret.max_parallel).unwrap_or(u16::MAX),
        probes_alive: PROBES,
        probes_dead: PROBES,
        idle_ms: millis(secret.revoke.old_idle_for),
        soak_ms: millis(secret.revoke.soak),
        phase_ms_max: millis(secret.deadlines.phase),
        unit_ms_max: millis(secret.deadlines.unit),
        look_age_ms_max: LOOK_AGE_MS_MAX,
        require: secret.revoke.require.iter().fold(Kinds::NONE, |all, kind| all.and(evidence(*kind))),
        standing_consent: secret.unattended && secret.revoke.decide == keyroll_config::Decide::Standing,
        roll: Some(paced(&secret.roll)),
    }
}

/// How a roll is paced, from the configuration.
pub(crate) fn paced(roll: &Roll) -> RollPolicy {
    RollPolicy {
        canary: match roll.canary {
            Canary::Instance => rotation::Canary::Instance,
            Canary::Consumer => rotation::Canary::Consumer,
            Canary::Host => rotation::Canary::Host,
        },
        bake_ms: millis(roll.bake),
        ask: roll.ask,
        pause_ms: millis(roll.pause_between),
        hosts_max: roll.hosts_at_once,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn evidence(kind: EvidenceKind) -> Kinds {
    match kind {
        EvidenceKind::Delivered => Kinds::DELIVERED,
        EvidenceKind::Read => Kinds::READ,
        EvidenceKind::Loaded => Kinds::LOADED,
        EvidenceKind::Reported => Kinds::REPORTED,
        EvidenceKind::Checked => Kinds::CHECKED,
        EvidenceKind::Exercised => Kinds::EXERCISED,
    }
}
