//! The mutants, by what they break.

mod evidence;
mod issuer;
mod order;
mod people;

use crate::mutant::Mutant;

/// Every mutant.
pub const ALL: &[Mutant] = &[
    evidence::KIND_FROM_KIND,
    evidence::PATH_FROM_PATH,
    evidence::AT_REST_UNCHECKED,
    evidence::PARTIAL_IS_COMPLETE,
    evidence::HOLDER_UNSEEN,
    evidence::COPY_UNSEEN,
    evidence::SESSION_UNSEEN,
    evidence::DRIFT_UNSEEN,
    evidence::RESTART_KEEPS_EVIDENCE,
    evidence::LATE_INSTANCE_UNSEEN,
    evidence::IDLE_UNASKED,
    evidence::IDLE_FORGED,
    evidence::REFUSALS_UNREAD,
    issuer::UNBORN_IS_ALIVE,
    issuer::DEAD_AT_ONCE,
    issuer::OUTAGE_IS_DEATH,
    issuer::GONE_IS_ALIVE,
    issuer::ABSENT_AT_ONCE,
    issuer::LABELS_UNREAD,
    issuer::PARTIAL_LIST_IS_COMPLETE,
    issuer::GRACE_AS_INDEPENDENT,
    issuer::NONE_AS_INDEPENDENT,
    order::EFFECT_WITHOUT_INTENT,
    order::NO_WITNESS,
    order::FENCE_IGNORED,
    order::UNSURE_IS_FAILURE,
    order::LOST_IS_FAILURE,
    order::LOST_IS_DONE,
    order::RECONCILE_ASSUMES_ABSENT,
    order::RECONCILE_ASSUMES_DONE,
    order::DRIVERS_ARE_ONE,
    order::NO_CANARY,
    order::ENABLE_FORGOTTEN,
    order::LATE_REQUESTS_UNAWAITED,
    people::CONSENT_ASSUMED,
    people::CONSENT_STANDS_ALWAYS,
    people::LEAK_IGNORED,
    people::EMERGENCY_IGNORED,
    people::WAIVED_UNASKED,
    people::LEFT_SWITCHED_OFF,
];
