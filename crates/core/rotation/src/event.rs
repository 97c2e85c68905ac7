use std::sync::Arc;

use crate::{
    Consumer, ConsumerId, CredId, EndpointId, Enumeration, FileId, HostId, Incarnation, Op, Proof, Seq,
    Stamp, Which,
};

/// One entry of the journal: a fact and when, where and by which driver it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it was seen.
    pub at: Stamp,
    /// What was seen.
    pub fact: Fact,
}

/// What an issuer answered to a presented credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeResult {
    /// Accepted.
    Alive,
    /// Authenticated, not permitted.
    Denied,
    /// Refused as a credential.
    Dead,
    /// An unclear answer, or none.
    Unknown,
}

/// How an operation ended, as far as the driver saw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The driver saw the effect. A mint names the credential.
    Done(Option<CredId>),
    /// The operation certainly had no effect. `retry`: it may succeed later.
    Failed {
        /// Whether trying again can help.
        retry: bool,
    },
    /// The operation may have had its effect.
    Unknown,
    /// An apply was not carried out: a restart would activate these pending changes too, and nobody accepted them.
    Refused(Vec<Difference>),
    /// The operation certainly had no effect: another party changed, or is changing, what the source of truth gives out.
    /// In no entry of protocol 7 and before.
    ChangedElsewhere,
}

/// A pending change: an earlier edit that goes live with the restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Difference {
    /// The name by which the operator accepts it; it begins with the consumer's name. Never a value.
    pub name: Arc<str>,
    /// A keyed digest of the change: another edit under the same name has another digest.
    pub digest: u64,
}

/// What Reconcile found about an intent whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reconciled {
    /// The effect exists. A mint names the credential, whose value is sealed.
    Executed(Option<CredId>),
    /// A credential with this intent's label exists, but its value is lost.
    ValueLost(CredId),
    /// The effect does not exist; for a mint, according to a complete list.
    Absent,
    /// The outcome is still unknown.
    Unclear,
    /// A file holds neither the planned value nor the one that we would have written; or the source of truth gives out a
    /// value that keyroll did not write, in no entry of protocol 7 and before.
    Foreign,
}

/// What the source of truth gives out, where that is not keyroll's own store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TruthValue {
    /// The version that this rotation replaces.
    Old,
    /// The new version.
    New,
    /// Neither.
    Other,
}

/// A credential at the issuer that carries a label of this rotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labelled {
    /// The intent that the label names.
    pub intent: Seq,
    /// The credential.
    pub credential: CredId,
}

/// The state of the old credential in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListedState {
    /// Listed and enabled.
    On,
    /// Listed and disabled.
    Off,
    /// Not in a complete list.
    Gone,
    /// The issuer does not show it.
    NotVisible,
}

/// A waiver of the operator or the configuration, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waived {
    /// A running holder.
    Holder(Incarnation),
    /// A copy outside the plan, by the digest of its place.
    Copy(u64),
    /// Everything about one consumer that is not visible.
    NotVisible(ConsumerId),
    /// Busy sessions on the revoked credential.
    BusySessions,
    /// The last use of the old key, which the issuer does not show. In no entry of protocol 6 and before.
    LastUse,
    /// A host that is gone: nothing is asked of what is on it, until a look shows that it is there. In no entry of protocol 10
    /// and before.
    Host(HostId),
    /// A consumer that is gone: its files are kept right, and nothing else is asked of it, until a look shows that an instance of
    /// it runs. In no entry of protocol 12 and before.
    Gone(ConsumerId),
    /// A file is accepted as it stands: it is neither written nor restored, and what it holds blocks nothing. In no entry of
    /// protocol 12 and before.
    File(FileId),
}

/// What the operator adopted as a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adoptee {
    /// A running holder.
    Holder(Incarnation),
    /// A copy outside the plan, by the digest of its place.
    Copy(u64),
}

/// How an emergency is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emergency {
    /// Move every consumer first, in parallel after one canary, without a soak.
    RollFirst,
    /// Revoke the old key now, with a stated outage, and move the consumers afterwards.
    RevokeNow,
}

/// What the writing part of Preflight saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreflightSeen {
    /// Nothing blocks the rotation: the rights suffice, the trial files were written, and the plan is still true.
    pub clear: bool,
    /// The answer to the deliberately wrong credential.
    pub control: ProbeResult,
    /// The answer to the current value.
    pub current: ProbeResult,
}

/// What the issuer shows about the last use of the key that the phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LastUse {
    /// When the key was last used, by the issuer's clock. An answer without a time is no answer: `None` is only in
    /// journals of protocol 6 and before, where the same answer twice closed the window, and in rollbacks of protocol 17: somebody
    /// else has ended the new key.
    pub used: Option<u64>,
    /// How long the answer was waited for, milliseconds. The driver measures it; 0 in journals of protocol 4 and before.
    pub took_ms: u64,
}

/// Everything that can be in a rotation's journal after its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A driver took over the rotation; its epoch is in the stamp.
    DriverStarted,
    /// The driver read the clock.
    Clock,
    /// An operation is about to be carried out; this entry's seq is its id.
    Intended(Op),
    /// An operation ended.
    Ended {
        /// The intent.
        intent: Seq,
        /// What was seen.
        outcome: Outcome,
    },
    /// Reconcile looked for the outcome of an intent.
    Reconciled {
        /// The intent.
        intent: Seq,
        /// What was found.
        found: Reconciled,
    },
    /// The writing part of Preflight was carried out.
    Preflight(PreflightSeen),
    /// The staged version was read back, and every format was asked about it.
    StageChecked {
        /// The version that was read back is the one that was staged.
        intact: bool,
        /// Every copy's format can carry it.
        carried: bool,
    },
    /// A version was presented at an endpoint. `control`: the new version at the same time and place.
    Probed {
        /// Where.
        endpoint: EndpointId,
        /// Which version.
        version: Which,
        /// The answer.
        answer: ProbeResult,
        /// The answer to the new version at the same endpoint, when the old one is expected to be dead.
        control: Option<ProbeResult>,
    },
    /// Credentials at the issuer.
    Listed {
        /// All of them were read.
        complete: bool,
        /// Those with a label of this rotation.
        labelled: Vec<Labelled>,
        /// The old credential.
        old: ListedState,
    },
    /// All instances, holders, files and sessions.
    Enumerated(Enumeration),
    /// Evidence from the instances of one consumer. `trouble`: its log shows refused credentials, or its errors rose.
    Proved {
        /// Whose.
        consumer: ConsumerId,
        /// The instances that run now, and what was seen of each.
        proofs: Vec<Proof>,
        /// Something is evidence against the version.
        trouble: bool,
    },
    /// The issuer's answer about the last use of the old key.
    LastUsed(LastUse),
    /// Uses of the old key, except our own, that were refused since it was disabled.
    Refusals {
        /// How many.
        count: u32,
        /// How long the answer was waited for, milliseconds. The driver measures it; 0 in journals of protocol 4 and
        /// before.
        took_ms: u64,
    },
    /// A look found that the source of truth does not give out what it should. In no journal of protocol 7 and before.
    TruthRead(TruthValue),
    /// The last search for the old value; how many copies are left.
    Swept {
        /// Copies that could not be removed.
        residues: u32,
    },
    /// The operator or the configuration consents to exactly what the digest stands for.
    Consented(u64),
    /// The point of no return, bound to the enumeration's digest.
    Decided(u64),
    /// An undeclared holder or copy became a consumer.
    Adopted {
        /// The new consumer; it gets the next id.
        consumer: Consumer,
        /// The hosts of the files that it adds; the files get the next ids.
        files: Vec<HostId>,
        /// The holder or copy that it explains.
        explains: Adoptee,
        /// The shell's own document about it, in the form of the rotation's opening. Never a value.
        names: Arc<str>,
    },
    /// The commands of these consumers were wrong, and are replaced; what the plan says of them stays. In no entry of protocol
    /// 12 and before.
    Corrected {
        /// The consumers: one, or one on each of its hosts.
        consumers: Vec<ConsumerId>,
        /// The shell's own document about the rotation with the new commands, in the form of its opening. Never a value.
        names: Arc<str>,
    },
    /// The operator or the configuration waives something, by name.
    Waived(Waived),
    /// The rotation needs consent, no operator is there, and the driver ends: no key stays disabled.
    Unanswered,
    /// The operator accepts that a restart activates this change too.
    Accepted(Difference),
    /// The operator pauses the rotation.
    PauseAsked,
    /// The operator resumes it.
    Resumed,
    /// The operator aborts it: everything is rolled back.
    AbortAsked,
    /// The operator removed the cause of a *stuck* hold.
    Retried,
    /// An emergency; `pending_compromised`: the new value leaked too.
    Escalated {
        /// How it is handled.
        mode: Emergency,
        /// The new value must be abandoned.
        pending_compromised: bool,
    },
    /// The operator made the credential at the console, and its value is sealed.
    HandMinted(CredId),
    /// The operator revoked the old credential at the console.
    HandRevoked,
}
