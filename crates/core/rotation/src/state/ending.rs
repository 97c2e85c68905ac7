use crate::phase::Debt;
use crate::{Seq, Stamp};

/// How far the end of the old key has come, and the debt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ending {
    /// The entry at which a Revoke failed. Before it is sent again, instances that started since are looked for.
    revoke_failed: Option<(Seq, Stamp)>,
    sessions_ended: Option<Seq>,
    debt: Option<Debt>,
    /// Copies of the old value that the last search could not remove.
    residues: Option<u32>,
}

impl Ending {
    pub(crate) fn revoke_failed(&self) -> Seq {
        self.revoke_failed.map_or(0, |(seq, _)| seq)
    }

    pub(crate) fn revoke_failed_at(&self) -> Option<Stamp> {
        self.revoke_failed.map(|(_, at)| at)
    }

    pub(crate) fn sessions_ended(&self) -> Option<Seq> {
        self.sessions_ended
    }

    pub(crate) fn debt(&self) -> Option<Debt> {
        self.debt
    }

    pub(crate) fn residues(&self) -> Option<u32> {
        self.residues
    }

    pub(crate) fn fail_revoke(&mut self, seq: Seq, at: Stamp) {
        self.revoke_failed = Some((seq, at));
    }

    pub(crate) fn end_sessions(&mut self, seq: Seq) {
        self.sessions_ended = Some(seq);
    }

    /// Sessions must be ended once more.
    pub(crate) fn reopen_sessions(&mut self) {
        self.sessions_ended = None;
    }

    pub(crate) fn owe(&mut self, debt: Debt) {
        self.debt = Some(debt);
    }

    /// The old key was seen dead: there is no debt.
    pub(crate) fn confirm(&mut self) {
        self.debt = None;
    }

    pub(crate) fn sweep(&mut self, residues: u32) {
        self.residues = Some(residues);
    }

    /// A debt is retried: the old key is ended again, and its copies are searched again.
    pub(crate) fn retry(&mut self) {
        (self.debt, self.residues) = (None, None);
    }
}
