use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_rotation::{ConsumerId, Difference, Enumeration, FileId, Found, Incarnation, Proof, Seq, Which};
use keyroll_secret::Fields;

use crate::{Failure, Session};

/// The values that a host compares with, for as long as one call lasts.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The version that is being replaced.
    pub old: &'a Fields,
    /// The version that replaces it, once it is made.
    pub new: Option<&'a Fields>,
    /// Whether the old version was ended for good, so that its entry beside the new one's may go.
    pub old_ended: bool,
}

/// Which intent an effect belongs to, and until when it may begin.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The intent's number in the journal.
    pub intent: Seq,
    /// By [`crate::Clock::monotonic_ms`]. From then on nobody waits for the answer, the outcome counts as unknown, and
    /// nothing of it may begin any more.
    pub until_ms: u64,
}

/// Live sessions at the issuer, per version; `None` = not visible.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    /// On the old version.
    pub old: Option<Vec<Session>>,
    /// On the new version.
    pub new: Option<Vec<Session>>,
}

/// Looks at live sessions when asked.
///
/// The one call from a host back to the engine. A session proves a use only if the issuer shows it after the request that
/// the host itself sends to one process, and did not show it right before. How many such requests a call for evidence
/// makes, and when, only the host knows; and the issuer is not the host's to ask. Sessions that are handed over with the
/// question would be of before all of them.
#[async_trait]
pub trait SessionSource: Send + Sync {
    /// The sessions now.
    async fn now(&self) -> Result<Sessions, Failure>;
}

/// A name behind a digest, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The digest that the journal uses.
    pub digest: u64,
    /// A path or a process's description; never a value.
    pub name: String,
}

/// One look at a host.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What the protocol needs.
    pub enumeration: Enumeration,
    /// Names of what it saw.
    pub names: Vec<Named>,
    /// What could not be searched, by name and reason: `memory of pid 4711: permission denied`.
    pub not_visible: Vec<String>,
    /// The gaps that ended since the last answer.
    pub gaps: Vec<Gap>,
}

/// What a call for evidence came to.
#[derive(Debug)]
pub struct Proved {
    /// The evidence, or why it could not be taken.
    pub evidence: Result<Evidence, Failure>,
    /// For the operator: why the evidence does not show more. Nothing follows from it. Each is reported once; one that
    /// was found by a call without an answer, because its time was over, is in the next answer.
    pub remarks: Vec<Failure>,
    /// The gaps that ended since the last answer.
    pub gaps: Vec<Gap>,
}

/// Evidence from the instances of a consumer.
#[derive(Debug)]
pub struct Evidence {
    /// What each instance has shown.
    pub proofs: Vec<Proof>,
    /// Something speaks against the version: a refused use in a log, too many errors.
    pub against: bool,
}

/// What the last search left.
#[derive(Debug)]
pub struct Swept {
    /// Places that still hold the old value.
    pub residues: Vec<Residue>,
    /// What could not be searched, by name and reason.
    pub not_visible: Vec<String>,
    /// The gaps that ended since the last answer.
    pub gaps: Vec<Gap>,
}

/// What may become live by a restart beside the value.
#[derive(Debug, Clone, Copy)]
pub enum Brings<'a> {
    /// Nothing but what was accepted: else nothing is done.
    Accepted(&'a [Difference]),
    /// Whatever stands there: it is shown, and holds nothing up.
    Anything,
}

/// Something that a restart makes live beside the value: an edit of another variable, of a script, of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its name and the keyed digest of what would become live.
    pub difference: Difference,
    /// What it is, for people: `LOG_LEVEL in /srv/api.env is not what runs`. Never a value.
    pub what: String,
    /// When the file was last changed, milliseconds since 1970, where that says when the edit was made.
    pub since_unix_ms: Option<u64>,
}

/// What became of an apply, and what beside the value it made live or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The verb was carried out; what else it made live that nobody had accepted.
    Done(Vec<Live>),
    /// Nothing was done: nobody accepted these.
    Refused(Vec<Live>),
}

/// What an unexplained holder is, for a person who has to decide about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Executable or command name; never arguments.
    pub name: String,
    /// How it was found, as a clause: `its memory holds v1 (3 copies)`, `socket 127.0.0.1:40112 is a session of …`.
    pub found_by: String,
    /// How to move it, as a command or a sentence.
    pub how_to_move: String,
}

/// How long a consumer with one instance was not there while it restarted: from the end of the old process to the
/// first sign that the new one serves. It is reported once, where it can be measured: its end is seen beside every call,
/// so whichever look answers next has it. What an earlier driver saw is not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Which.
    pub consumer: ConsumerId,
    /// How long.
    pub length: Duration,
    /// What its end was seen by.
    pub back: Back,
}

/// What showed that a process serves again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Its `ready` address answered.
    Ready,
    /// It was seen on the value that it was moved to: the gap was not longer than that.
    Proven,
}

/// Uses of the old key that were refused, as the consumers' logs and their error rate show them.
#[derive(Debug, Default)]
pub struct RefusedCalls {
    /// How many; an error rate that is too high counts as one.
    pub count: u32,
    /// What people should hear of them. Nothing follows from it.
    pub remarks: Vec<Failure>,
}

/// A place that still holds the old value after everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    /// Path, process or store.
    pub place: String,
    /// Why it is still there.
    pub reason: String,
}

/// What runs on one machine: files, managers, processes, checks. It knows its consumers and files by the plan's
/// numbers. One attempt per call; nothing is decided here.
#[async_trait]
pub trait Host: Send + Sync {
    /// The writing part of Preflight: a real temporary file beside each target, the plan's digests still true.
    /// Each entry is one thing that stands against the rotation. `values.new` is one that could be made, if any is known:
    /// it is for what stands under its name already.
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure>;

    /// Whether every copy's format can carry these values.
    async fn carries(&self, fields: &Fields) -> Result<(), Failure>;

    /// Writes one version into one file: compare-and-swap per value. The temporary file is named after the intent.
    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure>;

    /// What became of a delivery: the planned bytes, ours, or somebody else's. Removes the intent's temporary file. While
    /// the delivery itself still goes on, nobody knows: that is a failure, and is asked again.
    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Found, Failure>;

    /// Takes what stands for the new version beside the old one out of every file: that version was ended for good. What
    /// somebody else wrote there stays. The same call again is harmless.
    async fn strike(&self, _values: Values<'_>, _asked: Asked) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs a pull consumer's fetch.
    async fn fetch(&self, consumer: ConsumerId, asked: Asked) -> Result<(), Failure>;

    /// Makes one slot load what its files hold, by the verb that really applies it. What a restart would make live
    /// beside the value is looked at right before it.
    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: Brings<'_>,
    ) -> Result<Applied, Failure>;

    /// Returns once nothing of this fetch, apply or strike goes on any more: it ends or awaits the command that a dead
    /// driver left. While the effect itself still goes on, that is a failure, and is asked again. Afterwards the effect can
    /// be carried out once more.
    async fn await_end(&self, intent: Seq) -> Result<(), Failure>;

    /// All instances, holders, files; sessions joined to processes by their sockets. `stays` says which version's
    /// sessions and holders are about to lose theirs.
    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure>;

    /// Evidence for a version in one consumer's slot, or in all.
    async fn prove(
        &self,
        consumer: ConsumerId,
        slot: Option<u8>,
        which: Which,
        values: Values<'_>,
        sessions: &dyn SessionSource,
    ) -> Proved;

    /// What a holder is; `None` if it is gone.
    async fn describe(&self, who: Incarnation) -> Option<Holder>;

    /// Remembers, durably, from where on refused uses are counted: called right before the old key is disabled.
    /// `issuer` is the issuer's own mark, kept beside those of the logs.
    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure>;

    /// The issuer's mark as it was kept, by any driver; `None` where it had none. Before the first
    /// [`Self::watch_refusals`] this may fail.
    async fn refusals_mark(&self) -> Result<Option<String>, Failure>;

    /// Uses of the old key that were refused since it was disabled, as the consumers' logs show them.
    async fn refusals(&self) -> Result<RefusedCalls, Failure>;

    /// The process at the client's end of a connection to the issuer, if it is one of this machine and is there still.
    async fn caller(&self, client: SocketAddr) -> Option<Holder>;

    /// The last search for the old value.
    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure>;
}
