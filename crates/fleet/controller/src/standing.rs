//! What keyroll knows of one object's secret at one moment: all that its status is made of.

use std::collections::BTreeMap;

use crate::object::{Asked, Ended, Pods, RotationStatus};
use crate::way::Way;

/// What became of an object's `spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It counts.
    Yes,
    /// It cannot be used, and the one that was accepted last counts.
    Former(String),
    /// It cannot be used, and none was before.
    No(String),
}

/// What keyroll knows of one object's secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Now, RFC 3339.
    pub now: String,
    /// What became of its `spec`.
    pub accepted: Accepted,
    /// The consumers of the configuration that counts: name and workload, `deployment/agent`.
    pub consumers: Vec<(String, String)>,
    /// The current version; or why there is none.
    pub value: Result<Value, String>,
    /// The open rotation.
    pub open: Option<Open>,
    /// The one that ended last.
    pub last: Option<Ended>,
    /// By workload, `deployment/agent`; none: not looked at yet, or why that failed.
    pub pods: Option<Result<BTreeMap<String, Pods>, String>>,
    /// What its Secrets hold, as it was seen while no rotation was open; none: not looked at yet, or why that failed.
    pub held: Option<Result<Held, String>>,
    /// A rotation that the object shows as open and that the journal does not have.
    pub lost: Option<String>,
    /// What was asked for, as far as it was dealt with.
    pub asked: Asked,
    /// What was asked for, or is due, and waits for its turn or is about to begin; a sentence.
    pub queued: Option<String>,
    /// Why the base file does not count as it is now.
    pub base: Option<String>,
    /// Where keyroll runs, for its commands; none outside of a cluster.
    pub pod: Option<Pod>,
}

/// The pod that keyroll runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its number.
    pub version: u32,
    /// When it was added, RFC 3339.
    pub since: Option<String>,
    /// When it is due, RFC 3339.
    pub due: Option<String>,
    /// It is due now; why it does not begin by itself, if it does not.
    pub overdue: Option<Option<String>>,
}

/// What the keys of Secrets that its consumers take hold, beside the current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The current version when that was seen.
    pub version: u32,
    /// Each key.
    pub keys: Vec<HeldKey>,
    /// How a value that somebody else wrote becomes the current version.
    pub take_over: TakeOver,
}

/// A key of a Secret, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The name of the Secret.
    pub secret: String,
    /// The key.
    pub key: String,
    /// What it holds.
    pub holds: Holds,
}

/// What a key of a Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// The current version.
    Current,
    /// Another version, and the word for it.
    Version(u32, String),
    /// A value that keyroll does not know.
    Other,
    /// Nothing: there is no such Secret, or it does not have the key.
    Absent,
    /// It could not be read, and why.
    NotVisible(String),
}

/// How a value that somebody else wrote becomes the current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeOver {
    /// In place of the first version, by this command of keyroll, which reads the value from stdin.
    AsFirst(String),
    /// As what a store outside of keyroll gives out.
    FromStore,
    /// Not under this name.
    Never,
}

/// The open rotation.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// As it is shown, without the commands.
    pub shown: RotationStatus,
    /// The ways past what it waits for, the best first; while it is driven, what can be done meanwhile.
    pub forward: Vec<Way>,
    /// The ways to roll it back; none where that is impossible.
    pub back: Vec<Way>,
    /// It is rolled back.
    pub rolls_back: bool,
    /// It waits for the consent to the end of the old key.
    pub consent: bool,
    /// What the annotation must say for this consent: the id, and a digest of the waivers if there are any.
    pub confirm: String,
    /// It is paused or stuck, and why.
    pub held: Option<String>,
    /// It is stuck: only another attempt goes on.
    pub stuck: bool,
    /// What keeps its old key alive.
    pub blockers: Vec<Blocking>,
    /// By consumer: how far it is.
    pub stages: BTreeMap<String, String>,
}

/// Something that keeps the old key alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocking {
    /// What it is.
    pub what: String,
    /// How it was found.
    pub why: String,
    /// The ways past it, the best first.
    pub ways: Vec<Way>,
}

impl Accepted {
    /// Why it cannot be used; empty if it counts.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Yes => "",
            Self::Former(why) | Self::No(why) => why,
        }
    }
}

impl HeldKey {
    /// As it is shown: `secret/credentials api-key`.
    pub(crate) fn shown(&self) -> String {
        format!("secret/{} {}", self.secret, self.key)
    }

    /// Whether it holds something, and that is not the current version.
    pub(crate) fn is_another_value(&self) -> bool {
        match self.holds {
            Holds::Version(..) | Holds::Other => true,
            Holds::Current | Holds::Absent | Holds::NotVisible(_) => false,
        }
    }
}

impl Open {
    /// It ends only when a person acts.
    pub fn needs_person(&self) -> bool {
        self.consent || self.held.is_some() || self.shown.waits.as_ref().is_some_and(|waits| waits.person)
    }
}
