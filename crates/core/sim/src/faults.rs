//! The one table of everything that can go wrong. A fault happens at the n-th action that drivers ask for.

use keyroll_engine::Action;
use keyroll_rotation::{Op, Query};
use serde::{Deserialize, Serialize};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// The driver dies before the action.
    CrashBefore,
    /// The driver dies after the effect of the action, before it learns of it.
    CrashAfter,
    /// The driver dies while a request is on its way; the request reaches the issuer later.
    CrashDuring,
    /// The machine restarts: every process too, and monotonic time begins anew.
    Reboot,
    /// A second driver takes over while the first one goes on.
    Zombie,
    /// The operation had its effect, the answer is lost.
    LostReply,
    /// The operation never arrived, the answer is missing.
    LostRequest,
    /// The caller saw no answer; the operation has its effect later.
    LateEffect,
    /// A call to a host blocks longer than anybody waits for it, and has its effect then.
    Stuck,
    /// A new credential is made far later than the issuer says.
    SlowBirth,
    /// Certainly not carried out; it may work later (429, 5xx).
    Failed,
    /// Certainly not carried out; it will not work later either.
    FailedForGood,
    /// The same answer comes twice.
    Duplicate,
    /// The call takes so long that later calls overtake it.
    Slow,
    /// The look saw nothing (429, 5xx, a time-out).
    Blind,
    /// The look saw only a part, and says so.
    Partial,
    /// A list that is read in pages misses the old key, and says that it is complete.
    Skipped,
    /// The journal cannot be written for a while.
    JournalDown,
    /// The entry was written; the answer is lost.
    CommitLost,
    /// The entry was not written, and the driver does not know that.
    CommitUnsure,
    /// The witness cannot be written.
    WitnessDown,
    /// A host does not answer for a while.
    HostDown,
    /// Configuration management writes the old value back into a file.
    Drift,
    /// Another party writes another content into a file.
    ForeignEdit,
    /// An instance restarts by itself.
    Restart,
    /// A further instance of a consumer starts from a value that its parent cached.
    LateInstance,
    /// An undeclared process starts from a cached value.
    Holder,
    /// A process that no look can see for a while uses the old key.
    Hidden,
    /// The old value appears in a place outside the plan.
    Stranger,
    /// The issuer ends the old key by itself.
    OldRevoked,
    /// The issuer's wall clock jumps by a year.
    WallClock,
    /// An operator aborts.
    Abort,
    /// An operator pauses, and resumes later.
    Pause,
    /// An operator says `retry`.
    Retry,
    /// An emergency: move first.
    RollFirst,
    /// An emergency: end the old key now.
    RevokeNow,
    /// An emergency: the new value leaked as well.
    PendingLeaked,
    /// An operator waives everything that is not visible about the first consumer, or about one that reads a source of truth
    /// again by itself.
    Waive,
    /// A host's disk is full for a while: nothing can be written there.
    HostFull,
    /// The disk under the journal and its witness is full for a while.
    JournalFull,
    /// The journal is put back from a backup that is older than its witness.
    Restored,
    /// The journal is damaged.
    Damaged,
    /// The logs of a consumer show trouble for a while.
    Trouble,
    /// For a while, the memory of an instance does not show which values it holds.
    Masked,
    /// The next value that is made is one that the files' formats cannot carry.
    Uncarried,
    /// A rotation of another secret begins; one of its files and one of its consumers belong to this rotation too.
    Neighbour,
    /// Another party makes an edit that a restart of a consumer would activate.
    Edit,
    /// A credential appears at the issuer under a label that the journal does not know.
    StrangeLabel,
    /// A backup from before the rotation replaces the store alone; the right store comes back later.
    StoreRestored,
    /// The issuer says that it did what it did not do.
    Ignored,
    /// One endpoint answers for a while that it does not know.
    Unclear,
    /// One endpoint denies for a while what the key asks for.
    Denied,
    /// For a while, lists of keys are incomplete.
    NeverWhole,
    /// Another party enables the old key.
    EnabledByOthers,
    /// Another party disables the old key.
    DisabledByOthers,
    /// Another party ends the new key, which consumers were moved to.
    NewEnded,
    /// A colleague makes a key of their own in the same account.
    Colleague,
    /// A session on the old key whose process nobody finds, for a while.
    LooseSession,
    /// A pool of connections opens sessions on the old key again until it is restarted.
    Pool,
    /// A process that we restart goes on using its former value on its last path, until it is restarted again.
    TwoVersions,
    /// An operator says something wrong.
    WrongWord,
    /// An instance executes its program again in the same process.
    Exec,
    /// The memory of a process is not searched for a while.
    Unsearched,
    /// Another party changes what the source of truth gives out, or stages a version there.
    TruthChanged,
    /// The source of truth does not answer for a while.
    TruthAway,
    /// A host goes away, for good or for a while.
    HostAway,
    /// An operator says that a host is gone, and it may be there.
    HostWaived,
    /// An order arrives twice at a host.
    OrderTwice,
    /// The link to a host stands still with an order in it; nobody waits for the answer any more, and the order arrives later.
    OrderLate,
    /// The same, and the driver dies meanwhile.
    OrderOfDead,
    /// A host is put back from a snapshot of before the rotation: its files, and what it remembers of the drivers.
    HostRestored,
    /// The command that restarts a consumer always fails.
    RestartNever,
    /// A consumer never makes a call.
    IdleForever,
    /// A file cannot be read.
    FileUnread,
    /// An undeclared process holds the old value or the new one, and cannot be ended.
    HolderLegit,
    /// A host is gone.
    HostGone,
    /// Lists of keys are never complete.
    ListNeverWhole,
    /// The issuer never enables a key.
    EnableNever,
    /// The issuer never ends a key.
    DeleteNever,
    /// The store is never written.
    StoreNever,
    /// A consumer is gone: nothing of it runs, and its restart always fails.
    InstanceGone,
    /// Another party's edit of a file stays.
    FileForeignKept,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 82] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashDuring,
        Self::Reboot,
        Self::Zombie,
        Self::LostReply,
        Self::LostRequest,
        Self::LateEffect,
        Self::Stuck,
        Self::SlowBirth,
        Self::Failed,
        Self::FailedForGood,
        Self::Duplicate,
        Self::Slow,
        Self::Blind,
        Self::Partial,
        Self::Skipped,
        Self::JournalDown,
        Self::CommitLost,
        Self::CommitUnsure,
        Self::WitnessDown,
        Self::HostDown,
        Self::Drift,
        Self::ForeignEdit,
        Self::Restart,
        Self::LateInstance,
        Self::Holder,
        Self::Hidden,
        Self::Stranger,
        Self::OldRevoked,
        Self::WallClock,
        Self::Abort,
        Self::Pause,
        Self::Retry,
        Self::RollFirst,
        Self::RevokeNow,
        Self::PendingLeaked,
        Self::Waive,
        Self::HostFull,
        Self::JournalFull,
        Self::Restored,
        Self::Damaged,
        Self::Trouble,
        Self::Masked,
        Self::Uncarried,
        Self::Neighbour,
        Self::Edit,
        Self::StrangeLabel,
        Self::StoreRestored,
        Self::Ignored,
        Self::Unclear,
        Self::Denied,
        Self::NeverWhole,
        Self::EnabledByOthers,
        Self::DisabledByOthers,
        Self::Colleague,
        Self::LooseSession,
        Self::Pool,
        Self::TwoVersions,
        Self::WrongWord,
        Self::Exec,
        Self::Unsearched,
        Self::NewEnded,
        Self::TruthChanged,
        Self::TruthAway,
        Self::HostAway,
        Self::HostWaived,
        Self::OrderTwice,
        Self::OrderLate,
        Self::OrderOfDead,
        Self::HostRestored,
        Self::RestartNever,
        Self::IdleForever,
        Self::FileUnread,
        Self::HolderLegit,
        Self::HostGone,
        Self::ListNeverWhole,
        Self::EnableNever,
        Self::DeleteNever,
        Self::StoreNever,
        Self::InstanceGone,
        Self::FileForeignKept,
    ];

    /// Those that last until an operator ends them, by a way that the rotation names.
    pub const LASTING: [Self; 11] = [
        Self::RestartNever,
        Self::IdleForever,
        Self::FileUnread,
        Self::HolderLegit,
        Self::HostGone,
        Self::ListNeverWhole,
        Self::EnableNever,
        Self::DeleteNever,
        Self::StoreNever,
        Self::InstanceGone,
        Self::FileForeignKept,
    ];

    /// So many of them are drawn for every seed.
    pub(crate) const DRAWN: u64 = 65;

    /// Those that are drawn in addition where hosts go away.
    pub(crate) const OF_HOSTS: [Self; 3] = [Self::HostAway, Self::HostAway, Self::HostWaived];

    /// Those that are drawn in addition where links to hosts fail.
    pub(crate) const OF_LINKS: [Self; 4] =
        [Self::OrderTwice, Self::OrderLate, Self::OrderOfDead, Self::HostRestored];

    /// Whether it happens to an order to a host.
    pub(crate) fn is_of_order(self) -> bool {
        matches!(self, Self::OrderTwice | Self::OrderLate | Self::OrderOfDead)
    }

    /// Whether it lasts: it is only for schedules whose operator does what the rotation names.
    pub(crate) fn lasts(self) -> bool {
        Self::LASTING.contains(&self)
    }

    /// Those that are over after a while.
    pub(crate) fn passing() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|fault| !fault.lasts())
    }

    /// Whether the fault can happen to this action. A fault of the world can happen to any action.
    pub fn fits(self, class: Class) -> bool {
        let is_append = class == Class::Append;
        let is_carry = matches!(class, Class::Carry(_));
        let is_look = matches!(class, Class::Look(_));
        match self {
            Self::LostReply | Self::LostRequest | Self::Failed | Self::FailedForGood => is_carry,
            Self::LateEffect | Self::CrashDuring | Self::Ignored => class.at_issuer(),
            Self::Stuck | Self::OrderTwice | Self::OrderLate | Self::OrderOfDead => {
                matches!(class, Class::Carry(3..=5))
            }
            Self::SlowBirth => class == Class::Carry(1),
            Self::Duplicate | Self::Slow => is_carry || is_look,
            Self::Blind => is_look,
            Self::Partial => class.partial(),
            Self::Skipped => class == Class::Look(3),
            Self::JournalDown | Self::CommitLost | Self::CommitUnsure => is_append,
            Self::WitnessDown => class == Class::Witness,
            _ => true,
        }
    }
}

/// The kind of an action, for classes of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// An entry of the journal.
    Append,
    /// The journal is read again.
    Reload,
    /// The witness.
    Witness,
    /// An operation, by its place in the list of operations.
    Carry(u8),
    /// A look, by its place in the list of looks.
    Look(u8),
}

impl Class {
    /// The class of an action.
    pub fn of(action: &Action) -> Self {
        match action {
            Action::Append { .. } => Self::Append,
            Action::Reload => Self::Reload,
            Action::Witness { .. } => Self::Witness,
            Action::Carry { effect, .. } => Self::Carry(op_number(&effect.op)),
            Action::Look { query, .. } => Self::Look(query_number(query)),
        }
    }

    /// Mint, Disable, Enable, Revoke, EndSessions and the deletions.
    fn at_issuer(self) -> bool {
        matches!(self, Self::Carry(1 | 8..=14))
    }

    /// Looks that can be partial and say so: all except looks at one single thing.
    fn partial(self) -> bool {
        matches!(self, Self::Look(0 | 2 | 3 | 4 | 5 | 8))
    }
}

fn op_number(op: &Op) -> u8 {
    match op {
        Op::Choose => 0,
        Op::Mint => 1,
        Op::Stage => 2,
        Op::Deliver(..) => 3,
        Op::Fetch(_) => 4,
        Op::Apply(..) => 5,
        Op::Promote => 6,
        Op::Demote => 7,
        Op::Disable => 8,
        Op::Enable => 9,
        Op::Revoke => 10,
        Op::EndSessions => 11,
        Op::DeleteNew => 12,
        Op::DeleteOrphan(_) => 13,
        Op::DeleteAbandoned(_) => 14,
        Op::Retire(_) => 15,
    }
}

fn query_number(query: &Query) -> u8 {
    match query {
        Query::Preflight => 0,
        Query::StageCheck => 1,
        Query::Probe(..) => 2,
        Query::List => 3,
        Query::Enumerate => 4,
        Query::Prove(..) => 5,
        Query::LastUsed => 6,
        Query::Refusals => 7,
        Query::Reconcile(_) => 8,
        Query::Sweep => 9,
    }
}
