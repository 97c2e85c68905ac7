use keyroll_rotation as own;
use serde::{Deserialize, Serialize};

use super::evidence::{Enumeration, Incarnation, Proof};
use super::form::{Form, forms, is_zero};
use super::op::Op;
use super::plan::Consumer;
use super::words::{Emergency, ListedState, ProbeResult, Which};
use crate::wire::WireError;

/// The last use alone, or with the time that its answer took.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum LastUse {
    /// In answers of protocol 4 and before.
    Used(Option<u64>),
    Measured(MeasuredUse),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MeasuredUse {
    used: Option<u64>,
    took_ms: u64,
}

impl Form<own::LastUse> for LastUse {
    fn of(own: &own::LastUse) -> Self {
        let own::LastUse { used, took_ms } = *own;
        if took_ms == 0 { Self::Used(used) } else { Self::Measured(MeasuredUse { used, took_ms }) }
    }

    fn own(self) -> Result<own::LastUse, WireError> {
        Ok(match self {
            Self::Used(used) => own::LastUse { used, took_ms: 0 },
            Self::Measured(MeasuredUse { used, took_ms }) => own::LastUse { used, took_ms },
        })
    }
}

forms! {
    struct Stamp {
        ms: u64,
        boot: u64,
        epoch: u64,
    }

    enum Outcome {
        Done(id: Option<String>),
        Failed { retry: bool },
        Unknown,
        Refused(all: Vec<Difference>),
        ChangedElsewhere,
    }

    struct Difference {
        name: String,
        digest: u64,
    }

    enum Reconciled {
        Executed(id: Option<String>),
        ValueLost(id: String),
        Absent,
        Unclear,
        Foreign,
    }

    enum TruthValue {
        Old,
        New,
        Other,
    }

    struct Labelled {
        intent: u64,
        credential: String,
    }

    struct PreflightSeen {
        clear: bool,
        control: ProbeResult,
        current: ProbeResult,
    }

    enum Waived {
        Holder(who: Incarnation),
        Copy(place: u64),
        NotVisible(consumer: u16),
        BusySessions,
        LastUse,
        Host(host: u16),
        Gone(consumer: u16),
        File(file: u16),
    }

    enum Adoptee {
        Holder(who: Incarnation),
        Copy(place: u64),
    }

    enum Fact {
        DriverStarted,
        Clock,
        Intended(op: Op),
        Ended { intent: u64, outcome: Outcome },
        Reconciled { intent: u64, found: Reconciled },
        Preflight(seen: PreflightSeen),
        StageChecked { intact: bool, carried: bool },
        Probed { endpoint: u16, version: Which, answer: ProbeResult, control: Option<ProbeResult> },
        Listed { complete: bool, labelled: Vec<Labelled>, old: ListedState },
        Enumerated(seen: Enumeration),
        Proved { consumer: u16, proofs: Vec<Proof>, trouble: bool },
        LastUsed(seen: LastUse),
        Refusals {
            count: u32,
            /// Absent in answers of protocol 4 and before.
            #[serde(default, skip_serializing_if = "is_zero")]
            took_ms: u64,
        },
        TruthRead(gives: TruthValue),
        Swept { residues: u32 },
        Consented(digest: u64),
        Decided(digest: u64),
        Adopted { consumer: Consumer, files: Vec<u16>, explains: Adoptee, names: String },
        Corrected { consumers: Vec<u16>, names: String },
        Waived(waived: Waived),
        PauseAsked,
        Resumed,
        AbortAsked,
        Retried,
        Escalated { mode: Emergency, pending_compromised: bool },
        HandMinted(id: String),
        HandRevoked,
        Unanswered,
        Accepted(difference: Difference),
    }
}
