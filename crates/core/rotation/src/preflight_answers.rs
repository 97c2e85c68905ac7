//! What the answers of all endpoints say together before anything is changed.

use crate::{PreflightSeen, ProbeResult};

/// The answers of the endpoints to a deliberately wrong credential and to the current value. While every endpoint answers
/// as expected, these are `Dead` and `Alive`; otherwise the last other answer.
#[derive(Debug, Clone, Copy)]
pub struct PreflightAnswers {
    control: ProbeResult,
    current: ProbeResult,
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
        Self { control: ProbeResult::Dead, current: ProbeResult::Alive }
    }
}

impl PreflightAnswers {
    /// Adds the answers of one endpoint.
    pub fn add(&mut self, control: ProbeResult, current: ProbeResult) {
        if control != ProbeResult::Dead {
            self.control = control;
        }
        if current != ProbeResult::Alive {
            self.current = current;
        }
    }

    /// What the operator is told of the answers. The phase judges a refused current value.
    pub fn defects(&self) -> &'static [PreflightDefect] {
        match (self.control, self.current) {
            (ProbeResult::Alive | ProbeResult::Denied, ProbeResult::Unknown) => {
                &[PreflightDefect::WrongAccepted, PreflightDefect::CurrentUnclear]
            }
            (
                ProbeResult::Alive | ProbeResult::Denied,
                ProbeResult::Alive | ProbeResult::Denied | ProbeResult::Dead,
            ) => &[PreflightDefect::WrongAccepted],
            (ProbeResult::Unknown, _) => &[PreflightDefect::WrongUnclear],
            (ProbeResult::Dead, ProbeResult::Unknown) => &[PreflightDefect::CurrentUnclear],
            (ProbeResult::Dead, ProbeResult::Alive | ProbeResult::Denied | ProbeResult::Dead) => &[],
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

    fn of(endpoints: &[(ProbeResult, ProbeResult)]) -> PreflightAnswers {
        let mut answers = PreflightAnswers::default();
        endpoints.iter().for_each(|(control, current)| answers.add(*control, *current));
        answers
    }

    #[test]
    fn one_endpoint_that_answers_otherwise_is_enough() {
        let expected = (ProbeResult::Dead, ProbeResult::Alive);
        let seen = |endpoints: &[(ProbeResult, ProbeResult)]| {
            let seen = of(endpoints).seen(true);
            (seen.control, seen.current)
        };
        assert_eq!(seen(&[expected, expected]), expected);
        for other in [ProbeResult::Alive, ProbeResult::Denied, ProbeResult::Unknown] {
            assert_eq!(seen(&[expected, (other, ProbeResult::Alive), expected]), (other, ProbeResult::Alive));
        }
        for other in [ProbeResult::Dead, ProbeResult::Denied, ProbeResult::Unknown] {
            assert_eq!(seen(&[(ProbeResult::Dead, other), expected]), (ProbeResult::Dead, other));
        }
        assert!(!of(&[]).seen(false).clear);
    }

    #[test]
    fn the_operator_is_told_of_every_answer_that_shows_nothing() {
        use PreflightDefect::{CurrentUnclear, WrongAccepted, WrongUnclear};
        assert_eq!(of(&[(ProbeResult::Dead, ProbeResult::Alive)]).defects(), []);
        assert_eq!(
            of(&[(ProbeResult::Dead, ProbeResult::Dead)]).defects(),
            [],
            "the phase judges a refused value"
        );
        assert_eq!(of(&[(ProbeResult::Alive, ProbeResult::Alive)]).defects(), [WrongAccepted]);
        assert_eq!(
            of(&[(ProbeResult::Denied, ProbeResult::Unknown)]).defects(),
            [WrongAccepted, CurrentUnclear]
        );
        assert_eq!(of(&[(ProbeResult::Unknown, ProbeResult::Unknown)]).defects(), [WrongUnclear]);
        assert_eq!(of(&[(ProbeResult::Dead, ProbeResult::Unknown)]).defects(), [CurrentUnclear]);
    }
}
