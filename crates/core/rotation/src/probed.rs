//! What the answers of the issuer show together: whether a value is accepted, whether a lost mint was executed, and
//! whether a deleted key is dead.

use crate::{CredId, ProbeResult, Reconciled};

/// Whether an endpoint accepts a value: it may deny what the value asks for, and still know the value.
pub fn is_accepted(answer: ProbeResult) -> bool {
    matches!(answer, ProbeResult::Alive | ProbeResult::Denied)
}

/// Without labels: what became of a mint whose answer was lost. The new value accepted, or the current one refused, shows
/// that it was executed.
pub fn find_mint_by_probes(new_accepted: bool, id: Option<CredId>, old_accepted: bool) -> Reconciled {
    match (new_accepted, id) {
        (true, Some(id)) => Reconciled::Executed(Some(id)),
        (true, None) => Reconciled::Unclear,
        (false, _) if old_accepted => Reconciled::Absent,
        (false, _) => Reconciled::Unclear,
    }
}

/// The answers of one endpoint about a key that an operator deleted.
#[derive(Debug, Clone, Copy)]
pub struct DeletedAnswers {
    /// To the deleted key.
    pub deleted: ProbeResult,
    /// To the key that stays.
    pub stays: ProbeResult,
    /// To a deliberately wrong key.
    pub wrong: ProbeResult,
}

/// Why one endpoint does not show that a deleted key is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDead {
    /// It still accepts the key.
    Accepted,
    /// Its answer says neither.
    Unclear,
    /// It does not accept the key that stays: an endpoint that refuses everything shows nothing.
    RefusesAll,
    /// It does not refuse a wrong key in this way: its refusal has another reason.
    RefusesOtherwise,
}

impl DeletedAnswers {
    /// Whether the endpoint refuses the deleted key as it refuses a wrong one, and goes on accepting the key that stays.
    pub fn show_dead(&self) -> Result<(), NotDead> {
        match (self.deleted, self.stays, self.wrong) {
            (ProbeResult::Alive | ProbeResult::Denied, ..) => Err(NotDead::Accepted),
            (ProbeResult::Unknown, ..) => Err(NotDead::Unclear),
            (ProbeResult::Dead, ProbeResult::Dead | ProbeResult::Unknown, _) => Err(NotDead::RefusesAll),
            (ProbeResult::Dead, ProbeResult::Alive | ProbeResult::Denied, ProbeResult::Dead) => Ok(()),
            (ProbeResult::Dead, ProbeResult::Alive | ProbeResult::Denied, _) => {
                Err(NotDead::RefusesOtherwise)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ProbeResult; 4] =
        [ProbeResult::Alive, ProbeResult::Denied, ProbeResult::Dead, ProbeResult::Unknown];

    #[test]
    fn only_a_refusal_beside_an_accepted_and_a_refused_key_shows_a_dead_one() {
        let mut dead = 0;
        for deleted in ALL {
            for stays in ALL {
                for wrong in ALL {
                    dead += usize::from(DeletedAnswers { deleted, stays, wrong }.show_dead().is_ok());
                }
            }
        }
        assert_eq!(dead, 2);
        let answers = DeletedAnswers {
            deleted: ProbeResult::Dead,
            stays: ProbeResult::Denied,
            wrong: ProbeResult::Dead,
        };
        assert_eq!(answers.show_dead(), Ok(()));
    }

    #[test]
    fn a_lost_mint_is_absent_only_while_the_old_value_is_accepted() {
        let id = || Some(CredId::new("key-2"));
        assert_eq!(find_mint_by_probes(true, id(), false), Reconciled::Executed(id()));
        assert_eq!(find_mint_by_probes(true, None, true), Reconciled::Unclear);
        assert_eq!(find_mint_by_probes(false, None, true), Reconciled::Absent);
        assert_eq!(find_mint_by_probes(false, None, false), Reconciled::Unclear);
        assert_eq!(ALL.map(is_accepted), [true, true, false, false]);
    }
}
