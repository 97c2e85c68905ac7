//! What earlier calls of one process saw.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use keyroll_port::{Evidence, FailingCheck, Failure, Holder, Proving};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, PATHS_MAX, Proof, Which};
use keyroll_secret::Fingerprint;
use tokio::sync::OnceCell;

/// A Secret by its name and its uid: one that was made anew has another uid.
pub(super) type Identity = (String, String);

/// What this process has seen of the namespace so far; nothing of it outlives the process.
#[derive(Default)]
pub(super) struct Memo {
    /// First halves of evidence, until the second half is asked for.
    pub(super) halves: BTreeMap<(ConsumerId, Option<u8>), Half>,
    /// What is said of the holders of the last look.
    pub(super) described: BTreeMap<Incarnation, Holder>,
    /// What probes showed.
    pub(super) checked: Checked,
    /// In which order sessions and pods were seen.
    pub(super) sights: Sights,
    /// The Secrets that a whole look showed as the first ones of their names.
    pub(super) firsts: BTreeSet<Identity>,
    /// The fingerprints of what each key holds with the old version and with the new one.
    versions: BTreeMap<FileId, [Fingerprint; 2]>,
    /// Since when a roll-out goes on.
    going: BTreeMap<(ConsumerId, Which), u64>,
    /// What showed nothing yet.
    waits: BTreeMap<(ConsumerId, Which), Waits>,
    /// Remarks that were in no answer yet.
    remarks: Vec<(ConsumerId, Failure)>,
    /// The remarks that were made: each is reported once.
    said: BTreeSet<(ConsumerId, Which, String)>,
}

/// A look at a consumer that showed nothing for a version, on no path.
struct Waits {
    /// When it began.
    since_ms: u64,
    proofs: Vec<Proof>,
}

/// How long what showed nothing is the answer, milliseconds. It can only delay evidence: it proves nothing, and nothing
/// speaks against the version.
const WAITS_MS: u64 = 1_000;

/// How long a roll-out goes on at most before a remark says what it waits for, milliseconds: most are done by then.
const GOING_MS: u64 = 60_000;

/// Into how many parts that time divides the time limit of a consumer: the remark has to come well before it.
const GOING_PARTS: u64 = 4;

impl Memo {
    /// What a look just now showed, if that was nothing. A consumer that is watched is always looked at: it may lose what it
    /// has shown.
    pub(super) fn waiting(&self, of: Proving<'_>, now_ms: u64) -> Option<Evidence> {
        let waits = self.waits.get(&(of.consumer, of.which))?;
        let just_now = now_ms.saturating_sub(waits.since_ms) < WAITS_MS;
        (just_now && !of.watched).then(|| Evidence { proofs: waits.proofs.clone(), against: false })
    }

    /// Keeps a look that showed nothing.
    pub(super) fn note_waiting(&mut self, of: Proving<'_>, since_ms: u64, seen: &Result<Evidence, Failure>) {
        let at = (of.consumer, of.which);
        self.waits.remove(&at);
        let Ok(Evidence { proofs, against: false }) = seen else { return };
        if proofs.iter().all(|proof| proof.paths == [Kinds::NONE; PATHS_MAX]) {
            self.waits.insert(at, Waits { since_ms, proofs: proofs.clone() });
        }
    }

    /// Keeps what a key holds with each version.
    pub(super) fn note_versions(&mut self, file: FileId, prints: [Fingerprint; 2]) {
        self.versions.insert(file, prints);
    }

    /// What a key holds with each version; `None`: no call has said it.
    pub(super) fn versions_of(&self, file: FileId) -> Option<[Fingerprint; 2]> {
        self.versions.get(&file).copied()
    }

    /// Whether a roll-out, which goes on or not, has gone on for long now, of a consumer with this time limit.
    pub(super) fn goes_on_for_long(
        &mut self,
        of: Proving<'_>,
        is_going: bool,
        now_ms: u64,
        limit_ms: u64,
    ) -> bool {
        let at = (of.consumer, of.which);
        if !is_going {
            self.going.remove(&at);
            return false;
        }
        let long_ms = GOING_MS.min(limit_ms / GOING_PARTS);
        now_ms.saturating_sub(*self.going.entry(at).or_insert(now_ms)) > long_ms
    }

    /// Keeps a remark for the next answer, unless it was made before.
    pub(super) fn remark(&mut self, consumer: ConsumerId, which: Which, failure: Failure) {
        let cause = failure.source().map(ToString::to_string).unwrap_or_default();
        if self.said.insert((consumer, which, format!("{}: {cause}", failure.attempted))) {
            self.remarks.push((consumer, failure));
        }
    }

    /// The remarks about a consumer. They are given out once.
    pub(super) fn take_remarks(&mut self, consumer: ConsumerId) -> Vec<Failure> {
        let all = std::mem::take(&mut self.remarks);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(of, _)| *of == consumer);
        self.remarks = others;
        own.into_iter().map(|(_, failure)| failure).collect()
    }
}

/// A pod by its uid, with one of its addresses.
pub(super) type Addressed = (String, IpAddr);

/// In which look each session, and each pod with its address, was seen first. The issuer does not say when a session began.
#[derive(Default)]
pub(super) struct Sights {
    /// The number of the last look.
    look: u64,
    /// By the issuer's handle of the session.
    sessions: BTreeMap<String, u64>,
    pods: BTreeMap<Addressed, u64>,
}

impl Sights {
    /// Notes all that a look showed. What it did not show is forgotten.
    pub(super) fn note(&mut self, sessions: &BTreeSet<String>, pods: &BTreeSet<Addressed>) {
        self.look = self.look.saturating_add(1);
        keep(&mut self.sessions, sessions, self.look);
        keep(&mut self.pods, pods, self.look);
    }

    /// Whether a session may be of a pod: one that was seen before the pod had its address was opened by somebody else.
    pub(super) fn may_be_of(&self, session: &str, pod: &Addressed) -> bool {
        let (session, pod) = (self.sessions.get(session), self.pods.get(pod));
        session.zip(pod).is_some_and(|(session, pod)| pod <= session)
    }
}

/// Keeps when each of these was seen first.
fn keep<K: Ord + Clone>(first: &mut BTreeMap<K, u64>, now: &BTreeSet<K>, look: u64) {
    first.retain(|key, _| now.contains(key));
    for key in now {
        first.entry(key.clone()).or_insert(look);
    }
}

/// The first half of the evidence for a version, in which everything is done.
pub(super) struct Half {
    pub(super) number: u64,
    pub(super) which: Which,
    pub(super) seen: Result<Evidence, Failure>,
}

/// What probes showed.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) runs: BTreeMap<(ConsumerId, u8, Which), Run>,
    /// Whether the Jobs that a keyroll before this one left were deleted.
    pub(super) cleared: Arc<OnceCell<()>>,
}

/// What the last probe of a path showed.
pub(super) struct Run {
    /// What the key held.
    pub(super) content: Fingerprint,
    /// What its pod was made of: another image or environment may show something else.
    pub(super) made_of: Fingerprint,
    pub(super) at_ms: u64,
    pub(super) kinds: Kinds,
    /// Another one would show the same.
    pub(super) settled: bool,
    /// How the check fails.
    pub(super) fails: Option<String>,
}

impl Run {
    /// Whether it ran with this content, in a pod that was made of this. Of a workload that is gone, such as a Job some time
    /// after its end, nothing was edited.
    pub(super) fn is_of(&self, content: Fingerprint, made_of: Option<Fingerprint>) -> bool {
        self.content == content && made_of.is_none_or(|made_of| self.made_of == made_of)
    }
}

impl Checked {
    /// Forgets what the main check of a consumer showed with a version, unless it counts: it runs again.
    pub(super) fn forget_failed(&mut self, consumer: ConsumerId, which: Which) {
        let at = (consumer, 0, which);
        if self.runs.get(&at).is_some_and(|run| !run.kinds.has(Kinds::CHECKED)) {
            self.runs.remove(&at);
        }
    }

    /// How the checks of a consumer fail now.
    pub(super) fn failing(&self, consumer: ConsumerId, which: Which) -> Vec<FailingCheck> {
        let own = self.runs.iter().filter(|((of, _, version), _)| *of == consumer && *version == which);
        let failing = |((_, path, _), run): (&(ConsumerId, u8, Which), &Run)| {
            Some(FailingCheck { path: *path, what: run.fails.clone()? })
        };
        own.filter_map(failing).collect()
    }
}
