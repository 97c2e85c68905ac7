//! What this process has observed on the machine so far; nothing of it outlives the process.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use keyroll_needle::Needles;
use keyroll_observe::{LogFollower, OpenWatch, ProcessId, WrittenAt};
use keyroll_port::{Back, Downtime, Failure};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, Seq, Which};
use keyroll_served::{Consumers, Known};

use super::given_out::GivenOut;
use super::halves::Half;
use crate::Digest;

/// How often one call reads on in a log that has more.
const LOOKS_MAX: usize = 16;

/// The observations of this process, so that a check is not repeated for evidence that it has given.
#[derive(Default)]
pub(super) struct Memo {
    /// Per (consumer, path): whether the check was seen to fail.
    pub(super) controls: HashMap<(u16, u8), bool>,
    /// Per (consumer, path): how the check fails now, with its last output.
    pub(super) failing_checks: BTreeMap<(u16, u8), String>,
    /// The evidence about one incarnation of a consumer, per path, for a version.
    pub(super) shown: HashMap<(ConsumerId, Incarnation, u8, Which), Kinds>,
    /// The paths whose check failed while their process was watched: they show nothing until it succeeds again.
    pub(super) failed_watch: HashSet<(ConsumerId, Incarnation, u8)>,
    /// Per (consumer, slot): the first half of evidence whose second half was not asked for yet.
    pub(super) halves: HashMap<(ConsumerId, Option<u8>), Half>,
    /// Per incarnation: the last path whose check sent a request while calls were counted.
    pub(super) asked: HashMap<Incarnation, u8>,
    /// Per incarnation of a consumer and version the sessions at the last look, by handle, with their calls.
    pub(super) sessions: HashMap<(ConsumerId, Incarnation, Which), HashMap<String, Option<u64>>>,
    /// The same sessions, as last seen before the value was changed.
    pub(super) before: HashMap<(ConsumerId, Incarnation, Which), HashMap<String, Option<u64>>>,
    /// Per (consumer, slot): its log, from before its value was changed.
    pub(super) logs: HashMap<(u16, u8), Arc<Mutex<LogWatch>>>,
    /// The same logs, followed since the old key was disabled.
    pub(super) refusals: HashMap<(u16, u8), Arc<Mutex<LogWatch>>>,
    /// Which processes opened the files since they were written.
    pub(super) reads: Reads,
    /// The last change of what the store gives out, where programs read it by themselves.
    pub(super) given_out: Option<GivenOut>,
    /// The downtimes of single instances.
    pub(super) downtimes: Downtimes,
    /// How each holder was found, as a clause.
    pub(super) found_by: HashMap<Incarnation, String>,
    /// Per (consumer, path, version): the evidence of each worker of a proxy.
    pub(super) workers: HashMap<(u16, u8, Which), Shows>,
    /// The search for the last known values, also to redact them from the output of commands, with a digest of them.
    pub(super) needles: Option<(Digest, Arc<Needles>)>,
    /// Per (consumer, slot): when the verb was last carried out.
    pub(super) applied: HashMap<(u16, u8), WrittenAt>,
    /// Processes about which a remark was made that they use the other version.
    pub(super) remarked: HashSet<(Incarnation, Which)>,
    /// Processes about which a remark was made that they have not begun anew.
    pub(super) awaited: HashSet<(Incarnation, Which)>,
    /// Remarks that were in no answer yet.
    pub(super) remarks: Vec<Failure>,
    /// The last observation of the error rate.
    pub(super) gate: Gate,
    /// The ledger of what is served, with inode, size and time of the last change of its file.
    pub(super) ledger: Option<([u64; 4], Arc<Consumers>)>,
    /// By consumer: what that ledger says of it.
    pub(super) known: HashMap<String, Arc<Known>>,
    /// Processes that were seen to be the issuer's own server, until they end.
    pub(super) servers: HashSet<Incarnation>,
    /// The last incarnation of each instance that was asked for evidence, and its slot.
    pub(super) lives: HashMap<ProcessId, (Incarnation, u8)>,
}

/// A log, and the lines that were seen in it since the watch began.
pub(super) struct LogWatch {
    pub(super) tail: LogFollower,
    /// Lines that show an accepted credential.
    pub(super) accepted: u64,
    /// Lines that show a refused credential.
    pub(super) refused: u64,
    /// Lines were lost for good at some look.
    pub(super) lost: bool,
    /// How many lines showed an accepted credential when an incarnation was last looked at.
    pub(super) seen: HashMap<Incarnation, u64>,
    /// How many of these are of the programs that the incarnation's process ran before.
    pub(super) earlier: HashMap<Incarnation, u64>,
}

impl LogWatch {
    pub(super) fn shared(tail: LogFollower) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            tail,
            accepted: 0,
            refused: 0,
            lost: false,
            seen: HashMap::new(),
            earlier: HashMap::new(),
        }))
    }

    /// Reads to the log's end, or as much as one look may read. Returns whether every line since the watch began was
    /// seen. A lost line stays lost, whatever later looks show.
    pub(super) fn look(&mut self) -> Result<bool, Failure> {
        for _ in 0..LOOKS_MAX {
            let counts = self.tail.look()?;
            self.accepted = self.accepted.saturating_add(counts.successes);
            self.refused = self.refused.saturating_add(counts.failures);
            self.lost |= counts.gap;
            if !counts.more {
                return Ok(!self.lost && !counts.absent);
            }
        }
        Ok(false)
    }
}

/// The last observation of the error rate.
#[derive(Default)]
pub(super) struct Gate {
    /// Since when the rate is unknown.
    pub(super) unknown_since: Option<Instant>,
    /// Whether the operator was told that it is too high.
    pub(super) told: bool,
}

/// Downtimes that were in no answer yet: measured, or still open. A consumer has at most one open downtime.
pub(super) type Downtimes = Vec<(ConsumerId, Arc<Mutex<DowntimeWatch>>)>;

/// What was seen of one downtime so far.
#[derive(Default)]
pub(super) struct DowntimeWatch {
    pub(super) exited: Option<Instant>,
    pub(super) back: Option<(Instant, Back)>,
    /// A thread follows its processes.
    pub(super) is_followed: bool,
    /// What was measured so far was in an answer.
    pub(super) is_given: bool,
    /// Another restart is followed instead.
    pub(super) is_replaced: bool,
}

impl DowntimeWatch {
    /// A process ended. `false`: that is another downtime.
    pub(super) fn ended(&mut self) -> bool {
        if self.is_replaced {
            return false;
        }
        self.exited.get_or_insert_with(Instant::now);
        self.back = None;
        true
    }

    /// A process works.
    pub(super) fn is_back(&mut self, by: Back) {
        (self.back, self.is_given) = (Some((Instant::now(), by)), false);
    }

    /// Another restart begins. Whether this downtime is still to be handed over.
    pub(super) fn replaced(&mut self, consumer: ConsumerId) -> bool {
        self.is_replaced = true;
        !self.is_given && self.downtime(consumer).is_some()
    }

    /// What was measured since the last answer: once more, and longer, if the process that ended it did not stay.
    pub(super) fn measured(&mut self, consumer: ConsumerId) -> Option<Downtime> {
        let downtime = self.downtime(consumer).filter(|_| !self.is_given)?;
        self.is_given = true;
        Some(downtime)
    }

    pub(super) fn downtime(&self, consumer: ConsumerId) -> Option<Downtime> {
        let (exited, (at, back)) = (self.exited?, self.back?);
        Some(Downtime { consumer, length: at.saturating_duration_since(exited), back })
    }
}

pub(super) fn locked<T>(watched: &Mutex<T>) -> MutexGuard<'_, T> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Per file: the version that was written into it, and the processes that opened it since. Only this driver's own
/// writes are watched; opens under an earlier driver are not visible.
pub(super) type Reads = HashMap<FileId, (Which, OpenWatch)>;

/// The evidence of each worker for a version; `Err` says what it showed instead.
pub(super) type Shows = BTreeMap<ProcessId, Result<(), String>>;

/// The intents whose effects are running.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<BTreeSet<Seq>>);

impl UnderWay {
    pub(super) fn intents(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
