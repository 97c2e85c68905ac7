//! The counts, windows and deadlines by which a rotation is driven.

use std::time::Duration;

use keyroll_config::{Canary, EvidenceKind, OnFailure, Roll, Secret};
use keyroll_rotation::{self as rotation, Capabilities, Kinds, LastUsed, Policy, RollPolicy};

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

/// The same for this issuer. A soak lasts at least until its record shows calls that were refused meanwhile, `refused_ms`; the
/// old key is unused for at least as long as its list takes to show a use, or that wait could end in no time.
pub(crate) fn fitted(policy: Policy, capabilities: &Capabilities, refused_ms: u64) -> Policy {
    let shown_ms = match capabilities.last_used {
        LastUsed::PerKey { lag_ms, granularity_ms } => lag_ms.saturating_add(granularity_ms),
        LastUsed::NotVisible | LastUsed::PerPrincipal => 0,
    };
    Policy { idle_ms: policy.idle_ms.max(shown_ms), soak_ms: policy.soak_ms.max(refused_ms), ..policy }
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

#[cfg(test)]
mod tests {
    use keyroll_rotation::{MintedBy, Overlap, Refusals};

    use super::*;

    #[test]
    fn a_key_is_unused_for_as_long_as_its_issuer_takes_to_show_a_use() {
        let capabilities = |last_used| Capabilities {
            minted_by: MintedBy::Api,
            overlap: Overlap::Independent { max: 0 },
            disable: true,
            label: true,
            mint_replaces: false,
            list: true,
            last_used,
            refusals: Refusals::NotVisible,
            sessions: false,
            attributes: false,
            birth_ms_max: 0,
            death_ms_max: 0,
            request_ms_max: 100,
        };
        let policy = Policy {
            on_failure: rotation::OnFailure::Pause,
            parallel_max: 1,
            probes_alive: 1,
            probes_dead: 1,
            idle_ms: 1_000,
            soak_ms: 2_000,
            phase_ms_max: 60_000,
            unit_ms_max: 10_000,
            look_age_ms_max: LOOK_AGE_MS_MAX,
            require: Kinds::NONE,
            standing_consent: false,
            roll: None,
        };
        let of = |last_used, refused_ms| {
            let fitted = fitted(policy.clone(), &capabilities(last_used), refused_ms);
            (fitted.idle_ms, fitted.soak_ms)
        };
        let daily = LastUsed::PerKey { lag_ms: 3_600_000, granularity_ms: 86_400_000 };
        assert_eq!(of(daily, 5_000), (90_000_000, 5_000));
        assert_eq!(of(LastUsed::PerKey { lag_ms: 1, granularity_ms: 0 }, 0), (1_000, 2_000));
        assert_eq!(of(LastUsed::NotVisible, 0), (1_000, 2_000));
    }
}
