//! The guards of the protocol, each with a switch. A model without one of them must break an invariant.

/// One guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Guard {
    /// A control that any endpoint accepts ends Preflight with a refusal.
    PreflightRefusalCounts,
    /// The intent of a mint is journaled before the request is sent.
    IntentFirst,
    /// The journal refuses an entry of a driver that was replaced.
    JournalFence,
    /// The witness refuses a driver that was replaced, right before the issuer is called.
    WitnessFence,
    /// A host refuses an operation of a driver that was replaced.
    HostFence,
    /// Nothing of an operation on a host begins after its deadline.
    HostDeadline,
    /// The new key is seen accepted before a consumer gets it.
    AcceptedFirst,
    /// An instance passes the gate only with evidence of its present process.
    EvidenceOfThisProcess,
    /// A look that an operation overlaps is made again, and the gate is shut while anything is moved.
    NothingMoves,
    /// A look that misses a host is no look.
    CompleteLook,
    /// What ends a key rests on a young look when its intent is written.
    YoungLook,
    /// A request that ends a key is not sent once its look is old.
    AgedIsNotSent,
    /// No look of another driver counts.
    LookOfThisDriver,
    /// Disable waits for the gate.
    GateBeforeDisable,
    /// Decide waits for the gate.
    GateBeforeDecide,
    /// Revoke waits for the gate, also after Decide.
    GateBeforeRevoke,
    /// Evidence that was lost after the look of Decide shuts the gate of Revoke.
    EvidenceStillThere,
    /// The deletion of the new key waits for the gate.
    GateBeforeDeletion,
    /// Decide waits for a consent.
    ConsentAsked,
    /// A consent is bound to the set of instances that it was given for.
    ConsentBound,
    /// Between the consent and Decide lies a look.
    LookAfterConsent,
    /// The soak lasts as long as the policy says.
    SoakLasts,
    /// A window that another driver began does not count.
    WindowsBeginAnew,
    /// A refused call pauses the rotation.
    RefusedCallPauses,
    /// A list that shows the disabled key as enabled pauses the rotation, also in Decide.
    ListShowsEnabled,
    /// Refused calls are read once more after the last look before Decide.
    RefusalsReadLast,
    /// During a hold the old key is enabled.
    EnabledUnderHold,
    /// Nobody there to consent: the rotation holds, and enables the key.
    UnansweredHolds,
    /// After a Disable without an outcome the key counts as perhaps disabled.
    PerhapsDisabled,
    /// A rollback waits for a Disable under way.
    RollbackWaitsForDisable,
    /// A rollback sees the old key alive before it restores a consumer.
    AliveFirst,
    /// A rollback sees the old key alive once more before it deletes the new one.
    AliveOnceMore,
    /// A rollback whose old key is dead turns forward.
    TurnsForward,
    /// A new key whose deletion was begun is never relied on again.
    DeletionIsFinal,
    /// After Decide nothing aborts.
    NoAbortAfterDecide,
    /// In an emergency nothing aborts: the old value is compromised.
    NoAbortInEmergency,
    /// An operation without an answer may have had its effect.
    UnknownIsNotFailed,
    /// An operation without an answer may have had no effect.
    UnknownIsNotDone,
    /// Absence counts only after the time that a request may take.
    AbsenceAfterSettling,
    /// *Revoke now* does not wait for the outcome of something else.
    RevokeNowWaitsForNothing,
    /// *Revoke now* ends the key before anything else.
    RevokeNowIsNow,
    /// A later emergency does not withdraw *revoke now*.
    RevokeNowStays,
    /// A debt is paid only after a new look.
    DebtNeedsLook,
    /// The operator's statement does not end a key.
    StatementIsNoProof,
    /// The late outcome of a Disable does not make an ended key a disabled one.
    EndedStaysEnded,
    /// A refusal counts as death only beside an accepted control.
    ControlBeside,
    /// Refusals must last for the issuer's propagation time.
    DeathLasts,
    /// An acceptance during Sweep begins `ConfirmDead` again.
    AcceptanceInSweep,
    /// Sweep enumerates before the old value is dropped.
    SweepLooks,
    /// With a debt the old value is kept.
    DebtKeepsValue,
    /// After a hold, only a new look counts.
    LookAfterHold,
}

use Guard as G;

impl Guard {
    /// Every guard.
    pub(crate) const ALL: [Self; 51] = [
        G::PreflightRefusalCounts,
        G::IntentFirst,
        G::JournalFence,
        G::WitnessFence,
        G::HostFence,
        G::HostDeadline,
        G::AcceptedFirst,
        G::EvidenceOfThisProcess,
        G::NothingMoves,
        G::CompleteLook,
        G::YoungLook,
        G::AgedIsNotSent,
        G::LookOfThisDriver,
        G::GateBeforeDisable,
        G::GateBeforeDecide,
        G::GateBeforeRevoke,
        G::EvidenceStillThere,
        G::GateBeforeDeletion,
        G::ConsentAsked,
        G::ConsentBound,
        G::LookAfterConsent,
        G::SoakLasts,
        G::WindowsBeginAnew,
        G::RefusedCallPauses,
        G::ListShowsEnabled,
        G::RefusalsReadLast,
        G::EnabledUnderHold,
        G::UnansweredHolds,
        G::PerhapsDisabled,
        G::RollbackWaitsForDisable,
        G::AliveFirst,
        G::AliveOnceMore,
        G::TurnsForward,
        G::DeletionIsFinal,
        G::NoAbortAfterDecide,
        G::NoAbortInEmergency,
        G::UnknownIsNotFailed,
        G::UnknownIsNotDone,
        G::AbsenceAfterSettling,
        G::RevokeNowWaitsForNothing,
        G::RevokeNowIsNow,
        G::RevokeNowStays,
        G::DebtNeedsLook,
        G::StatementIsNoProof,
        G::EndedStaysEnded,
        G::ControlBeside,
        G::DeathLasts,
        G::AcceptanceInSweep,
        G::SweepLooks,
        G::DebtKeepsValue,
        G::LookAfterHold,
    ];
}

/// Which guards are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Guards(u64);

impl Guards {
    /// All of them.
    pub(crate) const ON: Self = Self(u64::MAX);

    /// All but one.
    pub(crate) fn without(guard: Guard) -> Self {
        Self::ON.and_without(guard)
    }

    /// And without this one.
    pub(crate) fn and_without(self, guard: Guard) -> Self {
        Self(self.0 & !(1 << guard as u8))
    }

    /// Whether this one is on.
    pub(crate) fn has(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u8) != 0
    }
}
