//! What the answers of the issuer show together: whether a value is accepted, whether a lost mint was executed, and
//! whether a deleted key is dead.

use crate::{Answer, CredId, Found};

/// Whether an endpoint accepts a value: it may deny what the value asks for, and still know the value.
pub fn is_accepted(answer: Answer) -> bool {
    matches!(answer, Answer::Alive | Answer::Denied)
}

/// Without labels: what became of a mint whose answer was lost. The new value accepted, or the current one refused, shows
/// that it was executed.
pub fn find_mint_by_probes(new_accepted: bool, id: Option<CredId>, old_accepted: bool) -> Found {
    match (new_accepted, id) {
        (true, Some(id)) => Found::Executed(Some(id)),
        (true, None) => Found::Unclear,
        (false, _) if old_accepted => Found::Absent,
        (false, _) => Found::Unclear,
    }
}

/// The answers of one endpoint about a key that an operator deleted.
#[derive(Debug, Clone, Copy)]
pub struct DeletedAnswers {
    /// To the deleted key.
    pub deleted: Answer,
    /// To the key that stays.
    pub stays: Answer,
    /// To a deliberately wrong key.
    pub wrong: Answer,
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
            (Answer::Alive | Answer::Denied, ..) => Err(NotDead::Accepted),
            (Answer::Unknown, ..) => Err(NotDead::Unclear),
            (Answer::Dead, Answer::Dead | Answer::Unknown, _) => Err(NotDead::RefusesAll),
            (Answer::Dead, Answer::Alive | Answer::Denied, Answer::Dead) => Ok(()),
            (Answer::Dead, Answer::Alive | Answer::Denied, _) => Err(NotDead::RefusesOtherwise),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Answer; 4] = [Answer::Alive, Answer::Denied, Answer::Dead, Answer::Unknown];

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
        let answers = DeletedAnswers { deleted: Answer::Dead, stays: Answer::Denied, wrong: Answer::Dead };
        assert_eq!(answers.show_dead(), Ok(()));
    }

    #[test]
    fn a_lost_mint_is_absent_only_while_the_old_value_is_accepted() {
        let id = || Some(CredId::new("key-2"));
        assert_eq!(find_mint_by_probes(true, id(), false), Found::Executed(id()));
        assert_eq!(find_mint_by_probes(true, None, true), Found::Unclear);
        assert_eq!(find_mint_by_probes(false, None, true), Found::Absent);
        assert_eq!(find_mint_by_probes(false, None, false), Found::Unclear);
        assert_eq!(ALL.map(is_accepted), [true, true, false, false]);
    }
}
