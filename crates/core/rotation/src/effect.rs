use crate::{ConsumerId, CredId, EndpointId, FileId, Seq, Which};

/// A write to the outside. Each is journaled as an intent before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// Choose the next value ourselves and seal it, before the issuer hears of it.
    Choose,
    /// Make the second credential, under the label of this intent.
    Mint,
    /// Seal the new version into the store as pending.
    Stage,
    /// Write one version into one file.
    Deliver(FileId, Which),
    /// Make a pull consumer fetch.
    Fetch(ConsumerId),
    /// Make one slot of a consumer load the version that its files hold.
    Apply(ConsumerId, u8, Which),
    /// Make the new version current: compare-and-swap on the expected one.
    Promote,
    /// Make the old version current again.
    Demote,
    /// Disable the old credential, reversibly.
    Disable,
    /// Enable it again.
    Enable,
    /// End the old credential for good.
    Revoke,
    /// End idle sessions of the credential that was just revoked.
    EndSessions,
    /// End the new credential, during a rollback.
    DeleteNew,
    /// End a credential that carries the label of an open mint intent and is no version.
    DeleteOrphan(CredId),
    /// End a version that was abandoned in an emergency.
    DeleteAbandoned(CredId),
    /// Drop what is sealed of the version that lost, and close the store's labels.
    Retire(Which),
}

impl Op {
    /// Whether files, instances or the store are moved by it.
    pub fn moves(&self) -> bool {
        match self {
            Self::Deliver(..) | Self::Fetch(_) | Self::Apply(..) | Self::Promote | Self::Demote => true,
            Self::Choose
            | Self::Mint
            | Self::Stage
            | Self::Disable
            | Self::Enable
            | Self::Revoke
            | Self::EndSessions
            | Self::DeleteNew
            | Self::DeleteOrphan(_)
            | Self::DeleteAbandoned(_)
            | Self::Retire(_) => false,
        }
    }

    /// Whether the witness is brought forward before it: what changes the issuer, and what changes which value the
    /// store gives out or still has.
    pub fn witnessed(&self) -> bool {
        self.at_issuer() || matches!(self, Self::Promote | Self::Demote | Self::Retire(_))
    }

    /// Whether the issuer is changed by it.
    pub fn at_issuer(&self) -> bool {
        match self {
            Self::Mint
            | Self::Disable
            | Self::Enable
            | Self::Revoke
            | Self::EndSessions
            | Self::DeleteNew
            | Self::DeleteOrphan(_)
            | Self::DeleteAbandoned(_) => true,
            Self::Choose
            | Self::Stage
            | Self::Deliver(..)
            | Self::Fetch(_)
            | Self::Apply(..)
            | Self::Promote
            | Self::Demote
            | Self::Retire(_) => false,
        }
    }
}

/// A look at the outside that changes nothing there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// The writing part of Preflight: trial files, negative control, the current value alive.
    Preflight,
    /// The staged version read back and asked of every format.
    StageCheck,
    /// Present a version at an endpoint, on a new connection. For the old version the new one is presented beside it.
    Probe(EndpointId, Which),
    /// List credentials at the issuer.
    List,
    /// Look at all instances, holders, files and sessions.
    Enumerate,
    /// Evidence for a version in one consumer's slot, or in all of them.
    Prove(ConsumerId, Option<u8>, Which),
    /// When the old key was last used.
    LastUsed,
    /// Refused uses of the old key since it was disabled.
    Refusals,
    /// The outcome of an intent, where it is unknown.
    Reconcile(Seq),
    /// The last search for the old value.
    Sweep,
}

/// A step that only the operator can take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Person {
    /// Consent to revoking, bound to this digest.
    Consent(u64),
    /// Make the new credential at the issuer's console and hand it over.
    MintByHand,
    /// Revoke the old credential at the issuer's console.
    RevokeByHand,
}

/// What the protocol would have done next. The driver chooses when and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Want {
    /// Journal the intent, then carry it out.
    Do(Op),
    /// Look, and report what was seen.
    Ask(Query),
    /// Append [`crate::Fact::Decided`] with this digest.
    Decide(u64),
    /// Look at the clock again in this many milliseconds.
    Wait(u64),
    /// The operator's step.
    Person(Person),
}

/// An operation whose intent is in the journal and that may now be carried out. Its id is `(rotation, intent)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Effect {
    /// The intent's place in the journal.
    pub intent: Seq,
    /// What to carry out.
    pub op: Op,
}
