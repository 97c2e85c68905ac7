use std::fmt;

use crate::{BystanderId, ConsumerId, FileId, HostId, Which};

/// The most paths that one consumer may have; a plan with more is refused.
pub const PATHS_MAX: usize = 8;

/// A set of kinds of evidence. None is ever inferred from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// No evidence.
    pub const NONE: Self = Self(0);
    /// Read back in the consumer's own mount namespace.
    pub const DELIVERED: Self = Self(1);
    /// This process opened the file after the write.
    pub const READ: Self = Self(1 << 1);
    /// The value is in the process's environment, by an exec after the write, or in its memory.
    pub const LOADED: Self = Self(1 << 2);
    /// The process itself reports that it uses the version.
    pub const REPORTED: Self = Self(1 << 3);
    /// A separate process with the same user, environment and files succeeded, and was seen to fail with a wrong value.
    pub const CHECKED: Self = Self(1 << 4);
    /// The issuer accepted this version from this instance, in this incarnation, after its Apply.
    pub const EXERCISED: Self = Self(1 << 5);
    /// The process said over keyroll's socket, at whose other end the kernel names it, that it loaded the version or that
    /// a call with it succeeded; or it was given no other version in its life.
    pub const TOLD: Self = Self(1 << 6);

    /// Every kind with its name, in the order of their strength as the documents list them.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::DELIVERED, "delivered"),
        (Self::READ, "read"),
        (Self::LOADED, "loaded"),
        (Self::REPORTED, "reported"),
        (Self::TOLD, "told"),
        (Self::CHECKED, "checked"),
        (Self::EXERCISED, "exercised"),
    ];

    /// Both sets together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is here.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as bits, for persisted forms.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// A set from bits; unknown bits are refused.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits < 1 << 7).then_some(Self(bits))
    }

    /// The names in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(kind, _)| self.has(*kind)).map(|(_, name)| name)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// One life of one instance. A restart begins another incarnation and voids the evidence about the former one; so does
/// the execution of another program in the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Where it is.
    pub host: HostId,
    /// What it is.
    pub life: InstanceIdentity,
}

/// The identity that distinguishes an incarnation from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceIdentity {
    /// A process: boot, pid and start time together are unique.
    Process {
        /// Digest of the boot id.
        boot: u64,
        /// Process id.
        pid: u32,
        /// Start time in clock ticks since boot.
        start_ticks: u64,
        /// A number that the execution of another program changes; 0 where it is not visible, and in journals of protocol
        /// 4 and before.
        program: u64,
    },
    /// A consumer with nothing running.
    AtRest(ConsumerId),
    /// A container of a pod; in no journal of protocol 11 and before.
    Container {
        /// Digest of the pod's uid.
        pod: u64,
        /// Digest of the container's name, start and restart count.
        run: u64,
    },
}

impl InstanceIdentity {
    /// Whether something runs, which may still use what it was given before.
    pub fn runs(self) -> bool {
        match self {
            Self::Process { .. } | Self::Container { .. } => true,
            Self::AtRest(_) => false,
        }
    }

    /// Whether it is a container of a cluster.
    pub fn is_container(self) -> bool {
        matches!(self, Self::Container { .. })
    }
}

impl Incarnation {
    /// Its process id; `None` for one at rest, and for a container.
    pub fn pid(self) -> Option<u32> {
        match self.life {
            InstanceIdentity::Process { pid, .. } => Some(pid),
            InstanceIdentity::AtRest(_) | InstanceIdentity::Container { .. } => None,
        }
    }

    /// Whether these may be the same life: a program that is not visible may be any program.
    pub fn may_be(self, other: Self) -> bool {
        self.host == other.host
            && match (self.life, other.life) {
                (
                    InstanceIdentity::Process { program: one, boot, pid, start_ticks },
                    InstanceIdentity::Process { program: two, .. },
                ) => {
                    let known = InstanceIdentity::Process { program: two, boot, pid, start_ticks };
                    known == other.life && (one == two || one == 0 || two == 0)
                }
                (one, two) => one == two,
            }
    }
}

/// What is known about something that may not be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// ObservedInstance.
    Yes,
    /// Looked at and not found. For memory this never proves that the value is absent.
    No,
    /// Could not be looked at.
    NotVisible,
}

/// How a holder was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundBy {
    /// The configuration names it.
    Configured,
    /// Its environment holds the value.
    Environment,
    /// Its memory holds the value.
    Memory,
    /// A session at the issuer leads to its socket.
    Session,
}

/// One instance or holder, as an enumeration saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObservedInstance {
    /// Which life.
    pub who: Incarnation,
    /// The consumer that it belongs to; `None` = undeclared.
    pub consumer: Option<ConsumerId>,
    /// Which of the consumer's slots.
    pub slot: u8,
    /// The old value was seen in it.
    pub old: Visibility,
    /// The new value was seen in it.
    pub new: Visibility,
    /// How it was found.
    pub by: FoundBy,
}

/// What a file holds now, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    /// The old version, in every copy.
    Old,
    /// The new version, in every copy.
    New,
    /// Neither, or both: another party's edit.
    Other,
    /// It could not be read.
    Unreadable,
}

impl Holds {
    /// The content of a file that holds this version.
    pub fn of(which: Which) -> Self {
        match which {
            Which::Old => Self::Old,
            Which::New => Self::New,
        }
    }
}

/// A session at the issuer that was opened with the credential being retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionSeen {
    /// The process at its other end, where it was found.
    pub who: Option<Incarnation>,
    /// A caller is using it: to end it now would make the call fail.
    pub busy: bool,
}

/// Why the memory of a process was not searched completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SearchLimit {
    /// It is larger than a search may read.
    Size,
    /// The time of the search was over before, or the process did not answer in time.
    Time,
}

/// A process whose memory a look did not search completely, because a limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unsearched {
    /// Which process.
    pub who: Incarnation,
    /// The limit.
    pub limit: SearchLimit,
}

/// A process that a look found to be as a declaration says, in all that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BystanderSeen {
    /// Which process.
    pub who: Incarnation,
    /// The declaration.
    pub id: BystanderId,
}

/// One complete look at all instances, holders, files and sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Enumeration {
    /// Everything that had to be looked at was, but for the hosts that did not answer. An incomplete enumeration proves
    /// nothing.
    pub complete: bool,
    /// The hosts that did not answer: nothing is known of what is on them, and their files are not in `files`. Unless each of
    /// them was waived, the enumeration is incomplete. None in journals of protocol 10 and before.
    pub absent: Vec<HostId>,
    /// How long the look took, in milliseconds. The driver measures it; a host says 0, and so do journals of protocol 3
    /// and before.
    pub took_ms: u64,
    /// Instances of consumers, and undeclared holders.
    pub instances: Vec<ObservedInstance>,
    /// What each of the plan's files holds.
    pub files: Vec<(FileId, Holds)>,
    /// Sessions on the credential that the rotation is about to end; `None` = not visible.
    pub sessions: Option<Vec<SessionSeen>>,
    /// Copies outside the plan of the value that the rotation is about to end, by a digest of the place.
    pub strangers: Vec<u64>,
    /// Processes whose memory was not searched completely; none in journals of protocol 4 and before.
    pub unsearched: Vec<Unsearched>,
    /// The undeclared processes that a declaration of the plan fits; none in journals of protocol 13 and before.
    pub bystanders: Vec<BystanderSeen>,
}

impl Enumeration {
    /// The declaration of a bystander that fits a process of this look.
    pub fn bystander(&self, who: Incarnation) -> Option<BystanderId> {
        self.bystanders.iter().find(|seen| seen.who == who).map(|seen| seen.id)
    }

    /// The consumer that an instance of this look belongs to.
    pub fn consumer_of(&self, who: Incarnation) -> Option<ConsumerId> {
        self.instances.iter().find(|instance| instance.who == who)?.consumer
    }
}

/// What was seen of one incarnation: evidence per path, for one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proof {
    /// Which life.
    pub who: Incarnation,
    /// Which slot of its consumer.
    pub slot: u8,
    /// The version that this is evidence for.
    pub version: Which,
    /// The kinds per path; path 0 is the consumer's main flow.
    pub paths: [Kinds; PATHS_MAX],
    /// It has a session on the other version.
    pub other_session: Visibility,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_visible_may_be_any_program() {
        let life = |pid, program| InstanceIdentity::Process { boot: 1, pid, start_ticks: 2, program };
        let of = |life| Incarnation { host: HostId(0), life };
        let (first, second, hidden) = (of(life(7, 3)), of(life(7, 4)), of(life(7, 0)));
        assert!(first.may_be(first) && first.may_be(hidden) && hidden.may_be(second));
        assert!(!first.may_be(second) && !of(life(8, 0)).may_be(first));
        assert!(!Incarnation { host: HostId(1), ..first }.may_be(first));
        let rest = of(InstanceIdentity::AtRest(ConsumerId(1)));
        assert!(
            rest.may_be(rest)
                && !rest.may_be(hidden)
                && !rest.may_be(of(InstanceIdentity::AtRest(ConsumerId(2))))
        );
    }

    #[test]
    fn a_container_that_was_restarted_or_replaced_is_another_life() {
        let of = |pod, run| Incarnation { host: HostId(1), life: InstanceIdentity::Container { pod, run } };
        let one = of(7, 3);
        assert!(one.may_be(one) && one.life.runs() && one.pid().is_none());
        for other in [of(7, 4), of(8, 3), Incarnation { host: HostId(2), ..one }] {
            assert!(!one.may_be(other), "{other:?}");
        }
        let process = InstanceIdentity::Process { boot: 7, pid: 3, start_ticks: 0, program: 0 };
        assert!(process.runs() && !one.may_be(Incarnation { life: process, ..one }));
        assert!(!InstanceIdentity::AtRest(ConsumerId(1)).runs());
    }
}
