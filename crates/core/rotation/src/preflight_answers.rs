//! What the answers of all endpoints say together before anything is changed.

use crate::{Answer, PreflightSeen};

/// The answers of the endpoints to a deliberately wrong credential and to the current value. While every endpoint answers
/// as expected, these are `Dead` and `Alive`; otherwise the last other answer.
#[derive(Debug, Clone, Copy)]
pub struct PreflightAnswers {
    control: Answer,
    current: Answer,
}

/// Why the answers do not show that the issuer's checks can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreflightDefect {
    /// The wrong credential was accepted.
    WrongAccepted,
    /// The answer to the wrong credential says neither.
    WrongUnclear,
    /// The answer to the current value says neither.
    CurrentUnclear,
}

impl Default for PreflightAnswers {
    fn default() -> Self {
        Self { control: Answer::Dead, current: Answer::Alive }
    }
}

impl PreflightAnswers {
    /// Adds the answers of one endpoint.
    pub fn add(&mut self, control: Answer, current: Answer) {
        if control != Answer::Dead {
            self.control = control;
        }
        if current != Answer::Alive {
            self.current = current;
        }
    }

    /// What the operator is told of the answers. The phase judges a refused current value.
    pub fn defects(&self) -> &'static [PreflightDefect] {
        match (self.control, self.current) {
            (Answer::Alive | Answer::Denied, Answer::Unknown) => {
                &[PreflightDefect::WrongAccepted, PreflightDefect::CurrentUnclear]
            }
            (Answer::Alive | Answer::Denied, Answer::Alive | Answer::Denied | Answer::Dead) => {
                &[PreflightDefect::WrongAccepted]
            }
            (Answer::Unknown, _) => &[PreflightDefect::WrongUnclear],
            (Answer::Dead, Answer::Unknown) => &[PreflightDefect::CurrentUnclear],
            (Answer::Dead, Answer::Alive | Answer::Denied | Answer::Dead) => &[],
        }
    }

    /// The observation. `clear`: nothing else blocks the rotation.
    pub fn seen(self, clear: bool) -> PreflightSeen {
        PreflightSeen { clear, control: self.control, current: self.current }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoints: &[(Answer, Answer)]) -> PreflightAnswers {
        let mut answers = PreflightAnswers::default();
        endpoints.iter().for_each(|(control, current)| answers.add(*control, *current));
        answers
    }

    #[test]
    fn one_endpoint_that_answers_otherwise_is_enough() {
        let expected = (Answer::Dead, Answer::Alive);
        let seen = |endpoints: &[(Answer, Answer)]| {
            let seen = of(endpoints).seen(true);
            (seen.control, seen.current)
        };
        assert_eq!(seen(&[expected, expected]), expected);
        for other in [Answer::Alive, Answer::Denied, Answer::Unknown] {
            assert_eq!(seen(&[expected, (other, Answer::Alive), expected]), (other, Answer::Alive));
        }
        for other in [Answer::Dead, Answer::Denied, Answer::Unknown] {
            assert_eq!(seen(&[(Answer::Dead, other), expected]), (Answer::Dead, other));
        }
        assert!(!of(&[]).seen(false).clear);
    }

    #[test]
    fn the_operator_is_told_of_every_answer_that_shows_nothing() {
        use PreflightDefect::{CurrentUnclear, WrongAccepted, WrongUnclear};
        assert_eq!(of(&[(Answer::Dead, Answer::Alive)]).defects(), []);
        assert_eq!(of(&[(Answer::Dead, Answer::Dead)]).defects(), [], "the phase judges a refused value");
        assert_eq!(of(&[(Answer::Alive, Answer::Alive)]).defects(), [WrongAccepted]);
        assert_eq!(of(&[(Answer::Denied, Answer::Unknown)]).defects(), [WrongAccepted, CurrentUnclear]);
        assert_eq!(of(&[(Answer::Unknown, Answer::Unknown)]).defects(), [WrongUnclear]);
        assert_eq!(of(&[(Answer::Dead, Answer::Unknown)]).defects(), [CurrentUnclear]);
    }
}
