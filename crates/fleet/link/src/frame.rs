//! The frames. Unknown fields are ignored, so that a later version can add some; unknown variants are errors.

use keyroll_inventory::{
    ChainShown, CopyShown, DraftShown, FoundShown, InstanceShown, Missed, ScanShown, StoreShown,
};
use serde::{Deserialize, Serialize};

use crate::leak_call::{LeakItem, LeaksCall, LeaksEnd};
use crate::order::{Order, Reply};

/// One frame, of either side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The first frame of each side.
    Hello(Hello),
    /// What the driver asks.
    Call {
        /// The driver counts its calls.
        id: u64,
        /// The question.
        call: Call,
    },
    /// A part of the host's answer.
    Answer {
        /// The call that is answered.
        id: u64,
        /// The next items of the answer.
        items: Vec<Item>,
        /// How the call ended; `None` if more frames follow.
        end: Option<End>,
    },
    /// The driver waits no longer: the host's program ends.
    Cancel {
        /// The call that is not waited for.
        id: u64,
    },
    /// What the host says while it works.
    Note {
        /// The call that it works on.
        id: u64,
        /// What it says.
        note: Note,
    },
}

/// The first frame. Its form is the same in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hello {
    /// The driver's.
    Driver {
        /// The versions of this protocol that it speaks.
        versions: Vec<u32>,
        /// The key of the digests that identify the host, 64 hex digits.
        key: String,
    },
    /// The host's answer to it.
    Host(HostHello),
}

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHello {
    /// The version of this protocol that it speaks.
    pub version: u32,
    /// The version of its program.
    pub keyroll: String,
    /// The keyed digest of its machine-id; `None` if it has none.
    pub machine: Option<String>,
    /// The keyed digest of its firmware's id; `None` if it has none, or may not read it.
    pub hardware: Option<String>,
    /// Which boot of the machine this is, 16 hex digits; empty if /proc does not tell.
    pub boot: String,
    /// Its time of day, milliseconds since 1970.
    pub now_unix_ms: u64,
    /// Its program runs as root.
    pub root: bool,
    /// The user that its program runs as.
    pub user: String,
    /// The public key to which values are sealed for this process of the host, in hex digits: a new one for each process.
    pub seal: String,
}

/// What the driver asks. Every question but `check`, `leaks` and `order` is about what the last `look` saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// What this user may inspect there.
    Check,
    /// Inspects processes, environments and files. The answer has the fingerprint of each value.
    Look {
        /// The key of the fingerprints, 64 hex digits.
        key: String,
        /// The folders to search; empty = where settings are kept.
        roots: Vec<String>,
        /// How long it may take, seconds.
        wait_s: u64,
    },
    /// Says what values of the host are called, and under which digits they are shown.
    Name {
        /// The secrets of which the host has values.
        managed: Vec<ManagedHere>,
        /// Values, with the digits of their labels.
        digits: Vec<(u32, String)>,
    },
    /// Searches the memory of processes. The answer has the values that were found only there.
    Memory {
        /// How much memory is searched at most, GiB.
        gib: u64,
        /// How long it may take, seconds.
        wait_s: u64,
    },
    /// All secrets.
    Scan,
    /// Which copy wins, and why.
    Why {
        /// A name, a process or a path, as it was typed.
        what: String,
    },
    /// Everything about one secret.
    Trace {
        /// Its name, as it was typed.
        secret: String,
        /// With all observations.
        evidence: bool,
    },
    /// Secrets and consumers as they would be written to keyroll.toml.
    Draft {
        /// The folder there that relative paths of consumers begin in, absolute.
        folder: String,
        /// Folders that must contain a copy; empty = anywhere.
        roots: Vec<String>,
        /// The names of secrets, as they were typed; empty = all that a service or process uses.
        secrets: Vec<String>,
    },
    /// Scans for leaks. It is not about the last `look`.
    Leaks(Box<LeaksCall>),
    /// An order of a rotation. It is not about the last `look`.
    Order {
        /// When it was sent, by the driver's monotonic clock.
        sent_ms: u64,
        /// The order.
        order: Box<Order>,
    },
}

/// A secret of the driver's store of which the host has values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedHere {
    /// Its name in the configuration.
    pub name: String,
    /// The versions that the host has.
    pub versions: Vec<VersionHere>,
}

/// One version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionHere {
    /// v1, v2 …
    pub number: u32,
    /// `pending`, `current`, `previous`, `retired`, `leaked`.
    pub state: String,
    /// Its values, by the host's numbers.
    pub values: Vec<u32>,
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A value that the host has.
    Value {
        /// Its number there.
        id: u32,
        /// Its keyed fingerprint, 64 hex digits.
        print: String,
    },
    /// What a stage of the search covered.
    Scan(ScanShown),
    /// A secret.
    Found {
        /// It, without the fields below.
        shown: FoundShown,
        /// Its risks in few words.
        risk: String,
        /// What runs at each of its users, in their order.
        programs: Vec<String>,
    },
    /// More copies of a secret that came before.
    Copies {
        /// The secret's name.
        secret: String,
        /// The copies.
        copies: Vec<CopyShown>,
    },
    /// A process that uses a secret.
    Instance {
        /// It, without the fields below.
        shown: Box<InstanceShown>,
        /// Why it uses this version, without commands.
        sentence: String,
        /// When it was started, clock ticks since the boot.
        started_ticks: u64,
    },
    /// An encrypted store.
    Store(StoreShown),
    /// A secret as it would be written to keyroll.toml.
    Draft(Box<DraftShown>),
    /// A secret that would not be written, and why.
    LeftOut(String),
    /// An answer of `why`.
    Why(WhyItem),
    /// A sentence: why no process is shown.
    Sentence(String),
    /// The secret that is used, and of which copies differ.
    Differs(String),
    /// Something that could not be inspected.
    Missed(Missed),
    /// A user with more rights would see more.
    Refused,
    /// Something that was checked.
    Fact(Fact),
    /// A leaked secret.
    Leak(Box<LeakItem>),
    /// The identity of a wanted leak under the other key, and under the key.
    Picked(String, String),
    /// How a scan for leaks ended.
    LeaksEnd(LeaksEnd),
    /// The answer to an order.
    Reply(Box<Reply>),
}

/// What is known of one secret about the target of `why`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyItem {
    /// Answers of one sentence.
    pub sentences: Vec<String>,
    /// The processes that use the secret: items of that kind.
    pub instances: Vec<Item>,
    /// If the copies hold different values: each value, and where it is.
    pub differing: Vec<(String, Vec<String>)>,
    /// The copies that each service and process could read, in order of precedence.
    pub chains: Vec<ChainShown>,
}

/// Something that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What was checked, in a word.
    pub what: String,
    /// Nothing has to be done about it.
    pub good: bool,
    /// What was seen.
    pub detail: String,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The answer is whole.
    Done,
    /// It failed, and changed nothing.
    Failed {
        /// The number of the error's page.
        code: String,
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        causes: Vec<String>,
        /// What to do.
        help: Option<String>,
    },
}

/// What a host says while it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// What it does now.
    Progress(String),
    /// What takes a while.
    Waiting {
        /// What is waited for.
        what: String,
        /// How long at most, seconds.
        seconds_max: u64,
    },
    /// It still works.
    Alive,
}
