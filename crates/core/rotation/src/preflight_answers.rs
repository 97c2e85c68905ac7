//! What the answers of all endpoints say together before anything is changed.

use crate::{PreflightSeen, ProbeResult};

/// The answers of the endpoints to a deliberately wrong credential and to the current value. While every endpoint answers
/// as expected, these are `Dead` and the expected answer; otherwise the answer that is farthest from it.
#[derive(Debug, Clone, Copy)]
pub struct PreflightAnswers {
    control: ProbeResult,
    current: ProbeResult,
    expected: ProbeResult,
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

impl PreflightAnswers {
    /// No answer yet. In a recovery every endpoint must refuse the current value; otherwise every one must accept it.
    pub fn new(recovery: bool) -> Self {
        let expected = if recovery { ProbeResult::Dead } else { ProbeResult::Alive };
        Self { control: ProbeResult::Dead, current: expected, expected }
    }

    /// Adds the answers of one endpoint.
    pub fn add(&mut self, control: ProbeResult, current: ProbeResult) {
        self.control = farther(ProbeResult::Dead, self.control, control);
        self.current = farther(self.expected, self.current, current);
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

/// Of two answers the one that is farther from an acceptance, or from a refusal, if that is expected.
fn farther(expected: ProbeResult, one: ProbeResult, other: ProbeResult) -> ProbeResult {
    let from_alive = |answer| match answer {
        ProbeResult::Alive => 0,
        ProbeResult::Denied => 1,
        ProbeResult::Unknown => 2,
        ProbeResult::Dead => 3,
    };
    let is_farther = match expected {
        ProbeResult::Dead => from_alive(other) < from_alive(one),
        ProbeResult::Alive | ProbeResult::Denied | ProbeResult::Unknown => {
            from_alive(other) > from_alive(one)
        }
    };
    if is_farther { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoints: &[(ProbeResult, ProbeResult)]) -> PreflightAnswers {
        let mut answers = PreflightAnswers::new(false);
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
    fn a_refusal_is_not_hidden_by_an_endpoint_that_only_denies() {
        for answers in [[ProbeResult::Dead, ProbeResult::Denied], [ProbeResult::Denied, ProbeResult::Dead]] {
            let seen = of(&answers.map(|current| (ProbeResult::Dead, current))).seen(true);
            assert_eq!(seen.current, ProbeResult::Dead);
            let wrong = of(&answers.map(|control| (control, ProbeResult::Alive))).seen(true);
            assert_eq!(wrong.control, ProbeResult::Denied);
        }
    }

    #[test]
    fn a_recovery_expects_every_endpoint_to_refuse_the_value() {
        let refused = (ProbeResult::Dead, ProbeResult::Dead);
        for other in [ProbeResult::Alive, ProbeResult::Denied, ProbeResult::Unknown] {
            for answers in [[refused, (ProbeResult::Dead, other)], [(ProbeResult::Dead, other), refused]] {
                let mut seen = PreflightAnswers::new(true);
                answers.iter().for_each(|(control, current)| seen.add(*control, *current));
                assert_eq!(seen.seen(true).current, other);
            }
        }
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
