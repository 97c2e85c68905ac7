use std::time::Duration;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::period::{format_period, read_period_within};

/// The default time that one instance has to show its new value.
const UNIT_DEFAULT: Duration = Duration::from_secs(180);
/// The default time that one phase has to end.
const PHASE_DEFAULT: Duration = Duration::from_secs(600);
/// A shorter deadline would fail services that only start slowly.
const DEADLINE_MIN: Duration = Duration::from_secs(5);
/// A longer deadline would be none: a rotation that waits this long needs the operator.
const DEADLINE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How long a rotation waits until it considers a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For one instance to show its new value.
    pub unit: Duration,
    /// For one phase; at least [`Self::unit`].
    pub phase: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { unit: UNIT_DEFAULT, phase: PHASE_DEFAULT }
    }
}

impl Deadlines {
    /// Reads both deadlines, or their defaults. A phase never gets less time than one instance in it.
    pub(crate) fn read(
        unit: Option<&At<String>>,
        phase: Option<&At<String>>,
        otherwise: Self,
    ) -> Result<Self, Mistake> {
        let read = Self {
            unit: within("unit_deadline", unit, otherwise.unit)?,
            phase: within("phase_deadline", phase, otherwise.phase)?,
        };
        if read.phase < read.unit {
            let why = format!(
                "`phase_deadline` ({}) is shorter than `unit_deadline` ({})",
                format_period(read.phase),
                format_period(read.unit)
            );
            let fault =
                Mistake::new(Kind::BadCombination, why).help("write a `phase_deadline` that is longer");
            return Err([phase, unit].into_iter().flatten().fold(fault, |fault, text| fault.at(&text.span)));
        }
        Ok(read)
    }
}

fn within(key: &str, text: Option<&At<String>>, otherwise: Duration) -> Result<Duration, Mistake> {
    read_period_within(key, text, otherwise, DEADLINE_MIN..=DEADLINE_MAX)
}
