use std::time::Duration;

use crate::at::At;
use crate::mistake::Mistake;
use crate::period::{format_period, read_period_within};
use crate::shape::SecretKeys;
use crate::{Consumer, Kind};

/// The default time that one instance has to show its new value.
const UNIT_DEFAULT: Duration = Duration::from_secs(180);
/// The default time that one phase has to end.
const PHASE_DEFAULT: Duration = Duration::from_secs(600);
/// The same where consumers are in a cluster.
const UNIT_IN_CLUSTER: Duration = Duration::from_secs(600);
const PHASE_IN_CLUSTER: Duration = Duration::from_secs(1_800);
/// A roll-out begins 30 s after the Secret is written.
const UNIT_OF_ROLL_OUT_MIN: Duration = Duration::from_secs(60);
/// A node has two minutes to refresh a mounted file.
const UNIT_OF_FILE_MIN: Duration = Duration::from_secs(150);
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
    /// The defaults of a secret, if it is `free` to have longer ones. A roll-out in a cluster replaces all pods of a workload, and has ten minutes there as well:
    /// <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds>.
    fn of_consumers(self, consumers: &[Consumer], free: bool) -> Self {
        let in_cluster = consumers.iter().any(|consumer| consumer.in_cluster.is_some());
        match in_cluster && free && self == Self::default() {
            true => Self { unit: UNIT_IN_CLUSTER, phase: PHASE_IN_CLUSTER },
            false => self,
        }
    }

    /// Those of a secret, or the usual ones of its consumers.
    pub(crate) fn of_secret(
        shape: &SecretKeys,
        consumers: &[Consumer],
        otherwise: Self,
    ) -> Result<Self, Mistake> {
        let (unit, phase) = (shape.unit_deadline.as_ref(), shape.phase_deadline.as_ref());
        let read = Self::read(unit, phase, otherwise.of_consumers(consumers, phase.is_none()))?;
        read.refuse_too_short(unit, consumers)?;
        Ok(read)
    }

    /// Refuses a time in which no consumer in a cluster can show its new value. `unit`: where it is written.
    fn refuse_too_short(self, unit: Option<&At<String>>, consumers: &[Consumer]) -> Result<(), Mistake> {
        let all = consumers.iter().filter_map(|consumer| {
            let (least, why) = least_in_cluster(consumer)?;
            (self.unit < least).then_some((consumer, least, why))
        });
        // The one that needs most, so that one correction is enough.
        let Some((consumer, least, why)) = all.max_by_key(|it| it.1) else { return Ok(()) };
        let (name, unit_is, least) = (&consumer.name, format_period(self.unit), format_period(least));
        let why =
            format!("`unit_deadline` ({unit_is}) is too short for `{name}` in `{}`: {why}", consumer.host);
        let mistake = Mistake::new(Kind::BadCombination, why)
            .help(format!("write `unit_deadline = \"{least}\"` or more for this secret"));
        Err(unit.into_iter().fold(mistake, |mistake, text| mistake.at(&text.span)))
    }

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

/// The shortest time in which a consumer in a cluster can show its new value, and why; none: no time limits that.
fn least_in_cluster(consumer: &Consumer) -> Option<(Duration, &'static str)> {
    let pods = consumer.in_cluster.as_ref()?;
    match (pods.rereads, consumer.trusts_word) {
        (true, true) => Some((UNIT_OF_FILE_MIN, "a node has two minutes to refresh the file")),
        (false, _) if !pods.versioned && !pods.is_job() => {
            Some((UNIT_OF_ROLL_OUT_MIN, "a roll-out begins 30 s after the Secret is written"))
        }
        (true, false) | (false, _) => None,
    }
}

fn within(key: &str, text: Option<&At<String>>, otherwise: Duration) -> Result<Duration, Mistake> {
    read_period_within(key, text, otherwise, DEADLINE_MIN..=DEADLINE_MAX)
}
