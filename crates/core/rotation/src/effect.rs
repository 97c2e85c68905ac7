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
    /// End idle sessions of the revoked credential.
    EndSessions,
    /// End the new credential, during a rollback.
    DeleteNew,
    /// Delete a credential that has the label of an open mint intent and is no version.
    DeleteOrphan(CredId),
    /// Delete a version that was abandoned in an emergency.
    DeleteAbandoned(CredId),
    /// Drop the sealed values of the version that goes, and close the store's labels.
    Retire(Which),
}

impl Op {
    /// Whether a host carries the operation out, and nobody else.
    pub fn on_host(&self) -> bool {
        matches!(self, Self::Deliver(..) | Self::Fetch(_) | Self::Apply(..))
    }

    /// Whether the operation changes files, instances or the store.
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

    /// Whether the witness is advanced before the operation: it changes the issuer, or it changes which value the store
    /// gives out or holds.
    pub fn witnessed(&self) -> bool {
        self.at_issuer() || matches!(self, Self::Promote | Self::Demote | Self::Retire(_))
    }

    /// Whether the operation changes the issuer.
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// The writing part of Preflight: write trial files, present the negative control, see the current value alive.
    Preflight,
    /// Read the staged version back, and ask every format whether it can carry it.
    StageCheck,
    /// Present a version at an endpoint, on a new connection. With the old version, present the new one there too.
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
    /// The outcome of an intent whose outcome is unknown.
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

/// What the protocol would do next. The driver chooses when and in which order.
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

/// An operation that may now be carried out: its intent is in the journal. Its id is `(rotation, intent)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Effect {
    /// The intent's place in the journal.
    pub intent: Seq,
    /// What to carry out.
    pub op: Op,
    /// Where it ends a key: when the look behind it is too old, by the monotonic time of this driver. From then on it
    /// must not begin.
    pub until_ms: Option<u64>,
}

impl Effect {
    /// Whether the look behind it is too old at this time.
    pub fn is_aged(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| now_ms > until_ms)
    }
}
