use crate::{CredId, Op, Reconciled, Seq, Stamp};

/// What is known about an intent that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentStatus {
    /// It is being carried out.
    Running,
    /// Its outcome is unknown, and complete looks did not find its effect.
    Unknown {
        /// Since when this driver has been looking.
        since: Stamp,
        /// How many complete looks did not find its effect.
        absent: u8,
    },
    /// A mint whose value is lost: its credential must be deleted.
    Orphan(CredId),
}

/// An intent that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its place in the journal.
    pub seq: Seq,
    /// The operation.
    pub op: Op,
    /// What is known about its outcome.
    pub status: IntentStatus,
}

impl Intent {
    /// Whether a request of this operation may still be under way, sent by a driver that was replaced.
    pub fn may_arrive(&self, now_ms: u64, request_ms_max: u64) -> bool {
        match &self.status {
            IntentStatus::Unknown { since, absent: _ } => now_ms < since.ms.saturating_add(request_ms_max),
            IntentStatus::Running | IntentStatus::Orphan(_) => true,
        }
    }

    /// What became of a drop of the old value. Once the value is dropped no further look is possible: a drop that may
    /// still be under way is not absent.
    pub fn find_drop(&self, is_dropped: bool, now_ms: u64, request_ms_max: u64) -> Reconciled {
        match is_dropped {
            true => Reconciled::Executed(None),
            false if self.may_arrive(now_ms, request_ms_max) => Reconciled::Unclear,
            false => Reconciled::Absent,
        }
    }
}

/// The intents that have not ended, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OpenIntents {
    all: Vec<Intent>,
}

impl OpenIntents {
    pub(crate) fn all(&self) -> &[Intent] {
        &self.all
    }

    pub(crate) fn find(&self, seq: Seq) -> Option<&Intent> {
        self.all.iter().find(|open| open.seq == seq)
    }

    pub(crate) fn begin(&mut self, seq: Seq, op: &Op) {
        self.all.push(Intent { seq, op: op.clone(), status: IntentStatus::Running });
    }

    /// A mint that was closed as never made was carried out after all.
    pub(crate) fn reopen_mint(&mut self, seq: Seq, credential: &CredId) {
        self.all.push(Intent { seq, op: Op::Mint, status: IntentStatus::Orphan(credential.clone()) });
    }

    pub(crate) fn close(&mut self, seq: Seq) {
        self.all.retain(|open| open.seq != seq);
    }

    /// The outcome of this intent is unknown since `since`, and `absent` complete looks did not find its effect.
    pub(crate) fn doubt(&mut self, seq: Seq, since: Stamp, absent: u8) {
        self.set(seq, IntentStatus::Unknown { since, absent });
    }

    /// A mint was carried out, and its value is lost.
    pub(crate) fn orphan(&mut self, seq: Seq, credential: &CredId) {
        self.set(seq, IntentStatus::Orphan(credential.clone()));
    }

    /// An orphan was deleted. Returns the mints that made it.
    pub(crate) fn close_orphan(&mut self, credential: &CredId) -> Vec<Seq> {
        let is_it = |open: &Intent| matches!(&open.status, IntentStatus::Orphan(of) if of == credential);
        let mints = self.all.iter().filter(|open| is_it(open)).map(|open| open.seq).collect();
        self.all.retain(|open| !is_it(open));
        mints
    }

    fn set(&mut self, seq: Seq, status: IntentStatus) {
        if let Some(open) = self.all.iter_mut().find(|open| open.seq == seq) {
            open.status = status;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Which;

    #[test]
    fn a_drop_is_absent_only_when_no_request_of_it_can_arrive_any_more() {
        let since = Stamp { ms: 1_000, boot: 1, epoch: 1 };
        let with = |status| Intent { seq: 1, op: Op::Retire(Which::Old), status };
        let unknown = with(IntentStatus::Unknown { since, absent: 0 });
        assert_eq!(unknown.find_drop(false, 1_499, 500), Reconciled::Unclear);
        assert_eq!(unknown.find_drop(false, 1_500, 500), Reconciled::Absent);
        assert_eq!(unknown.find_drop(true, 1_000, 500), Reconciled::Executed(None));
        assert_eq!(with(IntentStatus::Running).find_drop(false, u64::MAX, 500), Reconciled::Unclear);
    }
}
