//! What this process has seen so far of a machine: nothing of it is kept beyond it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use keyroll_needle::Needles;
use keyroll_observe::{LogFollower, OpenWatch, ProcessId, WrittenAt};
use keyroll_port::{Back, Failure, Gap};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, Seq, Which};

/// How often one look reads on where there is more.
const LOOKS_MAX: usize = 16;

/// What was seen in this process's life, so that a check is not run again for what it has shown.
#[derive(Default)]
pub(super) struct Memo {
    /// Per (consumer, path): the check was shown to be able to fail.
    pub(super) controls: HashMap<(u16, u8), bool>,
    /// What was seen of one incarnation of a consumer, per path, for a version.
    pub(super) shown: HashMap<(ConsumerId, Incarnation, u8, Which), Kinds>,
    /// Per incarnation of a consumer and version the sessions at the last look, by handle, with their calls.
    pub(super) sessions: HashMap<(ConsumerId, Incarnation, Which), HashMap<String, Option<u64>>>,
    /// The same, as last seen before its value was changed.
    pub(super) before: HashMap<(ConsumerId, Incarnation, Which), HashMap<String, Option<u64>>>,
    /// Per (consumer, slot): its log, from before its value was changed.
    pub(super) logs: HashMap<(u16, u8), LogWatch>,
    /// The same, from when the old key was disabled.
    pub(super) refusals: HashMap<(u16, u8), LogWatch>,
    /// Who opened the files since they were written.
    pub(super) reads: Reads,
    /// How long a single instance was not there.
    pub(super) gaps: Gaps,
    /// How each holder was found, as a clause.
    pub(super) found_by: HashMap<Incarnation, String>,
    /// Per (consumer, path, version): what each worker of a proxy showed.
    pub(super) workers: HashMap<(u16, u8, Which), Shows>,
    /// The values that were last told, to be cut out of what commands say.
    pub(super) needles: Option<Arc<Needles>>,
    /// Per (consumer, slot): when the verb was last carried out.
    pub(super) applied: HashMap<(u16, u8), WrittenAt>,
    /// Who was remarked to run with the other version.
    pub(super) remarked: HashSet<(Incarnation, Which)>,
    /// Remarks that no answer had yet.
    pub(super) remarks: Vec<Failure>,
    /// What was last seen of the error rate.
    pub(super) gate: Gate,
    /// Which processes were seen to be the issuer's own server, until they end.
    pub(super) servers: HashSet<ProcessId>,
}

/// A log, and the lines that were seen in it since it is watched.
pub(super) struct LogWatch {
    pub(super) tail: LogFollower,
    /// Lines that show an accepted credential.
    pub(super) accepted: u64,
    /// Lines that show a refused credential.
    pub(super) refused: u64,
    /// Lines are missing for good, since some look.
    pub(super) lost: bool,
}

impl LogWatch {
    pub(super) fn new(tail: LogFollower) -> Self {
        Self { tail, accepted: 0, refused: 0, lost: false }
    }

    /// Reads on to the log's end, or to the most that one look may read; whether every line since it is watched was
    /// seen. A line that is lost stays lost: no later look makes up for it.
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

/// What was last seen of it.
#[derive(Default)]
pub(super) struct Gate {
    /// Since when the rate is not known.
    pub(super) unknown_since: Option<Instant>,
    /// Whether somebody was told that it is too high.
    pub(super) told: bool,
}

/// Gaps that no answer had yet: measured, or still open. A consumer has at most one that is open.
pub(super) type Gaps = Vec<(ConsumerId, Arc<Mutex<GapWatch>>)>;

/// What was seen of one gap so far.
#[derive(Default)]
pub(super) struct GapWatch {
    pub(super) exited: Option<Instant>,
    pub(super) back: Option<(Instant, Back)>,
}

impl GapWatch {
    pub(super) fn gap(&self, consumer: ConsumerId) -> Option<Gap> {
        let (exited, (at, back)) = (self.exited?, self.back?);
        Some(Gap { consumer, length: at.saturating_duration_since(exited), back })
    }
}

pub(super) fn locked(watched: &Mutex<GapWatch>) -> MutexGuard<'_, GapWatch> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Per file the version that was written into it, and who opened it since. Only this driver's own writes are watched:
/// what happened under an earlier one is not visible.
pub(super) type Reads = HashMap<FileId, (Which, OpenWatch)>;

/// What each worker showed of a version; `Err` says what it showed instead.
pub(super) type Shows = BTreeMap<ProcessId, Result<(), String>>;

/// What the checks of consumers say that fail now, in words; by consumer and path.
pub type CheckErrors = Arc<Mutex<BTreeMap<(ConsumerId, u8), String>>>;

/// The intents whose effects are under way.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<BTreeSet<Seq>>);

impl UnderWay {
    pub(super) fn intents(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
