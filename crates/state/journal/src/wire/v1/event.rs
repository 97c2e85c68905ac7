use super::evidence::{Enumeration, Incarnation, Proof};
use super::form::{Form, forms};
use super::op::Op;
use super::plan::Consumer;
use super::words::{Emergency, ListedState, ProbeResult, Which};

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
        LastUsed(used: Option<u64>),
        Refusals { count: u32 },
        Swept { residues: u32 },
        Consented(digest: u64),
        Decided(digest: u64),
        Adopted { consumer: Consumer, files: Vec<u16>, explains: Adoptee, names: String },
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
