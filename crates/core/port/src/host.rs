use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_rotation::{
    ConsumerId, Difference, Enumeration, FileId, HostId, Incarnation, Proof, Reconciled, Seq, Which,
};
use keyroll_secret::Fields;

use crate::{Failure, Probe, Session};

/// The plan's numbers of one host's consumers and files, each by the host's own number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of the consumers.
    pub consumers: Vec<ConsumerId>,
    /// Of the files.
    pub files: Vec<FileId>,
}

/// The values that a host compares with, for as long as one call lasts.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The version that is being replaced.
    pub old: &'a Fields,
    /// The version that replaces it, once it is made.
    pub new: Option<&'a Fields>,
    /// Whether the old version was ended for good. Its entry beside the new version's entry may then be removed.
    pub old_ended: bool,
}

impl<'a> Values<'a> {
    /// The fields of a version; `None` = the new one was not made yet.
    pub fn of(&self, which: Which) -> Option<&'a Fields> {
        match which {
            Which::Old => Some(self.old),
            Which::New => self.new,
        }
    }
}

/// Which intent an effect belongs to, and until when it may begin.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The intent's number in the journal.
    pub intent: Seq,
    /// The time limit, by [`crate::Clock::monotonic_ms`]. After it nobody waits for the answer, the outcome counts as
    /// unknown, and no part of the effect may begin.
    pub until_ms: u64,
}

/// What an effect was about, by which the host that carried it out is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// One consumer.
    Consumer(ConsumerId),
    /// One file.
    File(FileId),
    /// Every file.
    All,
}

/// Live sessions at the issuer, per version; `None` = not visible.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    /// On the old version.
    pub old: Option<Vec<Session>>,
    /// On the new version.
    pub new: Option<Vec<Session>>,
}

impl Sessions {
    /// Those on a version; `None` = not visible.
    pub fn of(&self, which: Which) -> Option<&[Session]> {
        match which {
            Which::Old => self.old.as_deref(),
            Which::New => self.new.as_deref(),
        }
    }
}

/// Which evidence a host is asked for. Both halves of a call for evidence get the same.
#[derive(Clone, Copy)]
pub struct Proving<'a> {
    /// The consumer.
    pub consumer: ConsumerId,
    /// One of its slots; `None` = all of them.
    pub slot: Option<u8>,
    /// The version.
    pub which: Which,
    /// The values of both versions.
    pub values: Values<'a>,
    /// The consumer was proven and is watched: checks that cost nothing run again, and one that fails now takes away what its
    /// path has shown, until it succeeds again.
    pub watched: bool,
}

/// What the first half of a call for evidence left at the host.
#[derive(Debug, Clone, Copy)]
pub struct Prepared {
    /// Its number, by which the second half finds it.
    pub number: u64,
    /// The sessions must be read again for the second half.
    pub reads_again: bool,
}

/// A name behind a digest, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The digest that the journal uses.
    pub digest: u64,
    /// A path or a process's description; never a value.
    pub name: String,
}

/// The result of one inspection of a host.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What the protocol uses of it.
    pub enumeration: Enumeration,
    /// The names behind its digests.
    pub names: Vec<Named>,
    /// What could not be searched, by name and reason: `memory of pid 4711: permission denied`.
    pub not_visible: Vec<String>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<Downtime>,
}

/// The result of a call for evidence.
#[derive(Debug)]
pub struct Proved {
    /// The evidence, or why the host could not take it.
    pub evidence: Result<Evidence, Failure>,
    /// For the operator: why the evidence does not prove more. The engine does not act on a remark. Each remark is
    /// reported once; a remark of a call that ran out of time comes with the next answer.
    pub remarks: Vec<Failure>,
    /// The checks of this consumer that fail now, in every answer as long as they fail.
    pub failing_checks: Vec<FailingCheck>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<Downtime>,
}

/// A check of a consumer that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingCheck {
    /// The number of the path that it checks.
    pub path: u8,
    /// How it ended, with its last output; never a value.
    pub what: String,
}

/// Evidence from the instances of a consumer.
#[derive(Debug)]
pub struct Evidence {
    /// What each instance has shown.
    pub proofs: Vec<Proof>,
    /// Something speaks against the version: a refused use in a log, too many errors.
    pub against: bool,
}

/// The result of the last search.
#[derive(Debug)]
pub struct Swept {
    /// Places that still hold the old value.
    pub residues: Vec<Residue>,
    /// What could not be searched, by name and reason.
    pub not_visible: Vec<String>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<Downtime>,
}

/// Which pending changes a restart may activate.
#[derive(Debug, Clone, Copy)]
pub enum AllowedChanges<'a> {
    /// Only these, which were accepted. With any other pending change the host does not restart.
    Accepted(&'a [Difference]),
    /// Every pending change: the host reports them and restarts.
    Anything,
}

/// A pending change: an edit of another variable, a script or a unit that a restart activates together with the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// The change's name, and the keyed digest of its content.
    pub difference: Difference,
    /// What it is, for people: `LOG_LEVEL in /srv/api.env differs from what is running`. Never a value.
    pub what: String,
    /// When the file was last changed, milliseconds since 1970, where that shows when the edit was made.
    pub since_unix_ms: Option<u64>,
}

/// The outcome of an apply, with the pending changes that it activated or would have activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The verb was carried out. These changes went live with it although nobody had accepted them.
    Done(Vec<PendingChange>),
    /// Nothing was done: nobody accepted these changes.
    Refused(Vec<PendingChange>),
}

/// A description of an undeclared process or container, for the operator who has to decide about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The host that it runs on.
    pub host: HostId,
    /// Process id; `None` for a container.
    pub pid: Option<u32>,
    /// Executable or command name, never arguments; of a container `pod/POD/CONTAINER`.
    pub name: String,
    /// How it was found, as a clause: `its memory holds v1 (3 copies)`, `socket 127.0.0.1:40112 is a session of …`.
    pub found_by: String,
    /// How to move it, as a command or a sentence.
    pub how_to_move: String,
}

/// A downtime: how long a consumer with one instance was absent during a restart, from the end of the old process to
/// the first sign that the new process serves. It is reported where it can be measured, and once more, with its whole length, if
/// that process ended soon after it was `ready`. The host watches for the end of a downtime while it makes other calls; the next
/// answer reports it. A downtime that an earlier driver saw is
/// not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The length of the downtime.
    pub length: Duration,
    /// What showed the end of the downtime.
    pub back: Back,
}

/// What showed that a process serves again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Its `ready` address answered.
    Ready,
    /// An instance was seen using the value that it was moved to: the downtime was at most this long.
    Proven,
}

/// Uses of the old key that were refused, as the consumers' logs and their error rate show them.
#[derive(Debug, Default)]
pub struct RefusedCalls {
    /// How many; an error rate that is too high counts as one.
    pub count: u32,
    /// What the operator should read about them. The engine does not act on a remark.
    pub remarks: Vec<Failure>,
}

/// A copy of the old value that is left at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    /// Path, process or store.
    pub place: String,
    /// Why it is still there.
    pub reason: String,
}

/// A call that presents a credential to the issuer.
pub type Probing<'a> = Pin<Box<dyn Future<Output = Probe> + Send + 'a>>;

/// Files, service managers, processes and checks of one machine. A host names its consumers and files by the plan's
/// numbers. One attempt per call; a host decides nothing.
#[async_trait]
pub trait Host: Send + Sync {
    /// The writing part of Preflight: writes a real temporary file beside each target, and compares with the plan's
    /// digests. Each entry of the result is one obstacle to the rotation. `values.new` is a version that the rotation
    /// could make, if one is known: the host checks that its name is free.
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure>;

    /// From now on these hosts, and no others, may be away: what is asked of all hosts is answered without them, and an
    /// inspection names them as absent. A machine that is one host alone has no use for it.
    fn may_be_away(&self, _hosts: &[HostId]) {}

    /// Carries out a call of the issuer's so that its connections leave from this host: what a consumer there would reach.
    /// A machine that is one host alone makes them itself.
    async fn call_from(&self, _host: HostId, call: Probing<'_>) -> Probe {
        call.await
    }

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

    /// The outcome of a delivery: the file holds the planned bytes, ours, or another party's. Removes the intent's
    /// temporary file. Fails while the delivery is still running; the caller asks again.
    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Reconciled, Failure>;

    /// Takes what stands for the new version beside the old one out of every file: that version was ended for good. What
    /// somebody else wrote there stays. The same call again is harmless.
    async fn remove_superseded(&self, _values: Values<'_>, _asked: Asked) -> Result<(), Failure> {
        Ok(())
    }

    /// Called right before the source of truth gives out a version. What programs that read it again by themselves hold
    /// of that version, and which sessions they have with it, is remembered, durably: it shows nothing of what they read
    /// afterwards.
    async fn before_given_out(
        &self,
        _which: Which,
        _values: Values<'_>,
        _sessions: &Sessions,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs a pull consumer's fetch, and reads its copies back. Fails if one of them does not hold the version afterwards: the
    /// consumer would be restarted with another one.
    async fn fetch(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure>;

    /// Makes one slot load what its files hold, with the verb that applies it. Right before a restart the host compares
    /// the pending changes with what runs.
    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure>;

    /// Returns once nothing of this fetch, apply or removal goes on any more: it ends or awaits the command that a dead
    /// driver left. While the effect itself still goes on, that is a failure, and is asked again. Afterwards the effect can
    /// be carried out once more. True: it is on record that it was carried out, and nothing needs to be done again.
    async fn await_end(&self, of: Touched, intent: Seq) -> Result<bool, Failure>;

    /// Reads all instances, holders and files, and matches sessions to processes by their sockets. `stays` is the
    /// version that stays; the other version is about to end.
    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure>;

    /// The first half of the evidence for a version in one consumer's slot, or in all: everything but what the issuer's
    /// sessions show afterwards. It sends the requests of the checks. `before` are the sessions, read right before this call.
    ///
    /// A session proves a use only if the issuer shows it after the request that the host sends to a process, and did not
    /// show it before. Only the host knows whether it sends a request, but it does not call the issuer itself: the caller
    /// reads the sessions on both sides of this call. The host keeps at most one first half for each consumer and slot.
    async fn prepare(&self, of: Proving<'_>, before: &Sessions) -> Result<Prepared, Failure>;

    /// The second half, and the evidence of both. `after` are the sessions, read after [`Self::prepare`] returned; the same
    /// as `before` if they need not be read again. A first half that the host does not have, or no longer has, is a
    /// retryable failure: the caller begins with [`Self::prepare`] again.
    async fn go(&self, prepared: Prepared, of: Proving<'_>, after: &Sessions) -> Proved;

    /// Describes a holder; `None` if its process has ended.
    async fn describe(&self, who: Incarnation) -> Option<Holder>;

    /// Stores, durably, the mark from which refused uses are counted; called right before the old key is disabled.
    /// `issuer` is the issuer's own mark, stored together with the marks in the logs.
    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure>;

    /// The issuer's mark that this or an earlier driver stored; `None` where the issuer had none. This may fail before
    /// the first [`Self::watch_refusals`].
    async fn refusals_mark(&self) -> Result<Option<String>, Failure>;

    /// Uses of the old key that were refused since it was disabled, as the consumers' logs show them.
    async fn refusals(&self) -> Result<RefusedCalls, Failure>;

    /// The process at the client's end of a connection to the issuer, if it still runs on this machine.
    async fn caller(&self, client: SocketAddr) -> Option<Holder>;

    /// The last search for the old value.
    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure>;
}
