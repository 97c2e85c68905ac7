use std::sync::Arc;

use crate::{
    Consumer, ConsumerId, CredId, EndpointId, Enumeration, HostId, Incarnation, Op, Proof, Seq, Stamp, Which,
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
pub enum Answer {
    /// Accepted.
    Alive,
    /// Authenticated, not permitted.
    Denied,
    /// Refused as a credential.
    Dead,
    /// An unclear answer, or none.
    Unknown,
}

/// How an operation ended, as far as its caller saw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was seen to have its effect. A mint names the credential.
    Done(Option<CredId>),
    /// It surely had no effect. `retry`: it may succeed later.
    Failed {
        /// Whether trying again can help.
        retry: bool,
    },
    /// It may have had its effect.
    Unknown,
    /// Nothing was done: a restart would activate these changes too, and they are not accepted. Only of an apply.
    Refused(Vec<Difference>),
}

/// A pending change: an earlier edit that goes live with the restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Difference {
    /// The name by which the operator accepts it; it begins with the consumer's name. Never a value.
    pub name: Arc<str>,
    /// A keyed digest of the change: another edit under the same name has another digest.
    pub digest: u64,
}

/// What Reconcile found of an intent without outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Found {
    /// The effect is there. A mint names the credential, whose value is sealed.
    Executed(Option<CredId>),
    /// A credential with this intent's label is there, its value is lost.
    ValueLost(CredId),
    /// The effect is not there; for a mint, in a complete list.
    Absent,
    /// Nothing can be said yet.
    Unclear,
    /// A file holds neither what was planned nor what we would have written.
    Foreign,
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
pub enum Standing {
    /// Listed and enabled.
    On,
    /// Listed and disabled.
    Off,
    /// Not in a complete list.
    Gone,
    /// The issuer does not show it.
    NotVisible,
}

/// What the operator or the configuration waives, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waived {
    /// A running holder.
    Holder(Incarnation),
    /// A copy in a place that the plan does not have, by the digest of the place.
    Copy(u64),
    /// What cannot be seen of one consumer.
    NotVisible(ConsumerId),
    /// Busy sessions on the revoked credential.
    BusySessions,
}

/// What became a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adoptee {
    /// A running holder.
    Holder(Incarnation),
    /// A copy in a place that the plan did not have, by the digest of the place.
    Copy(u64),
}

/// How an emergency is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emergency {
    /// Move everything first, in parallel after one canary, without a soak.
    RollFirst,
    /// End the old key now, with a stated outage, and move everything after.
    RevokeNow,
}

/// What the writing part of Preflight saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreflightSeen {
    /// Nothing stands against the rotation: rights, trial files, plan still true.
    pub clear: bool,
    /// What the deliberately wrong credential read as.
    pub control: Answer,
    /// What the current value read as.
    pub current: Answer,
}

/// Everything that can be in a rotation's journal after its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A driver took the rotation up; its epoch is in the stamp.
    DriverStarted,
    /// The clock was looked at.
    Clock,
    /// An operation is about to be carried out; this entry's seq is its id.
    Intended(Op),
    /// How it ended.
    Ended {
        /// The intent.
        intent: Seq,
        /// What was seen.
        outcome: Outcome,
    },
    /// What was found of an intent without outcome.
    Reconciled {
        /// The intent.
        intent: Seq,
        /// What was found.
        found: Found,
    },
    /// Preflight looked.
    Preflight(PreflightSeen),
    /// The staged version was read back; `carried`: every format can carry it.
    StageChecked {
        /// It reads back as what was staged.
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
        answer: Answer,
        /// The answer to the new version beside it, when the old one is expected dead.
        control: Option<Answer>,
    },
    /// Credentials at the issuer.
    Listed {
        /// All of them were read.
        complete: bool,
        /// Those with a label of this rotation.
        labelled: Vec<Labelled>,
        /// The old credential.
        old: Standing,
    },
    /// All instances, holders, files and sessions.
    Enumerated(Enumeration),
    /// Evidence from the instances of one consumer. `trouble`: its log shows refused credentials, or its errors rose.
    Proved {
        /// Whose.
        consumer: ConsumerId,
        /// The instances that run now, and what was seen of each.
        proofs: Vec<Proof>,
        /// Something speaks against it.
        trouble: bool,
    },
    /// When the old key was last used, by the issuer's clock; `None` = no data.
    LastUsed(Option<u64>),
    /// Refused uses of the old key since it was disabled that are not ours.
    Refusals {
        /// How many.
        count: u32,
    },
    /// The last search for the old value; what is left, by count.
    Swept {
        /// Places that could not be cleaned.
        residues: u32,
    },
    /// The operator or the configuration consents to what this digest binds.
    Consented(u64),
    /// The point of no return, bound to the enumeration's digest.
    Decided(u64),
    /// An undeclared holder or copy became a consumer.
    Adopted {
        /// The new consumer; it gets the next id.
        consumer: Consumer,
        /// The hosts of files that it brings; they get the next ids.
        files: Vec<HostId>,
        /// What it explains.
        explains: Adoptee,
        /// The shell's own document about it, as the one that the rotation was opened with. Never a value.
        names: Arc<str>,
    },
    /// The operator or the configuration waives something, by name.
    Waived(Waived),
    /// No operator is there to consent, and the driver ends: no key stays disabled.
    Unanswered,
    /// The operator accepts that a restart activates this change too.
    Accepted(Difference),
    /// The operator pauses the rotation.
    PauseAsked,
    /// The operator resumes it.
    Resumed,
    /// The operator aborts it: everything is rolled back.
    AbortAsked,
    /// The operator removed what it was stuck on.
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
