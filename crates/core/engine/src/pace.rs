use keyroll_rotation::{ConsumerId, Op, Query, SharedList, Unit};

/// How often the driver looks, and how long it lets a call last. All in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Between two presentations of a value at one endpoint.
    pub probe_ms: u64,
    /// Between two looks for evidence in one consumer.
    pub prove_ms: u64,
    /// Between two looks at a consumer that is proven and is watched. Its checks run each time.
    pub watch_ms: u64,
    /// Between two enumerations.
    pub enumerate_ms: u64,
    /// Between two lists, last-used or refusal look-ups at the issuer.
    pub issuer_ms: u64,
    /// Between two attempts to reconcile an intent.
    pub reconcile_ms: u64,
    /// Before a failed operation is tried again; doubled at each failure up to [`BACKOFF_MS_MAX`].
    pub retry_ms: u64,
    /// The longest silence in the journal while something is waited for.
    pub clock_ms: u64,
    /// The longest a look at the issuer may last.
    pub look_ms_max: u64,
    /// The longest a look at hosts may last. It is more than all the limits of a host's own questions together.
    pub host_look_ms_max: u64,
    /// The longest an operation may last before its outcome counts as unknown. What moves a consumer may last half as long
    /// again as the plan gives a unit, if that is more.
    pub carry_ms_max: u64,
    /// How long a driver that was asked to leave goes on trying to enable the old key, or to write the journal.
    pub leave_ms_max: u64,
}

/// How many times as often is looked in an emergency.
const URGENCY: u64 = 4;

/// The longest pause between two attempts of a failed operation.
const BACKOFF_MS_MAX: u64 = 30_000;

impl Default for Pace {
    fn default() -> Self {
        Self {
            probe_ms: 500,
            prove_ms: 300,
            watch_ms: 5_000,
            enumerate_ms: 2_000,
            issuer_ms: 2_000,
            reconcile_ms: 1_000,
            retry_ms: 1_000,
            clock_ms: 2_000,
            look_ms_max: 120_000,
            host_look_ms_max: 600_000,
            carry_ms_max: 180_000,
            leave_ms_max: 30_000,
        }
    }
}

impl Pace {
    /// How long to wait between two looks of one kind. In an emergency a second is worth more than a request.
    pub(crate) fn between(&self, query: &Query, units: &SharedList<Unit>, emergency: bool) -> u64 {
        let ms = self.calm(query, units);
        if emergency { ms.div_ceil(URGENCY) } else { ms }
    }

    fn calm(&self, query: &Query, units: &SharedList<Unit>) -> u64 {
        let watched = |consumer: &ConsumerId| units.get(consumer.index()).is_some_and(|unit| unit.watched);
        match query {
            Query::Prove(consumer, ..) if watched(consumer) => self.watch_ms,
            Query::Probe(..) | Query::Preflight | Query::StageCheck => self.probe_ms,
            Query::Prove(..) => self.prove_ms,
            Query::Enumerate | Query::Sweep => self.enumerate_ms,
            Query::List | Query::LastUsed | Query::Refusals => self.issuer_ms,
            Query::Reconcile(_) => self.reconcile_ms,
        }
    }

    /// How long to wait after so many failures of one operation.
    pub(crate) fn backoff(&self, failures: u32) -> u64 {
        self.retry_ms.saturating_mul(1 << failures.min(10)).min(BACKOFF_MS_MAX)
    }

    /// The longest that carrying out an operation may last, where a unit may take so many milliseconds.
    pub(crate) fn limit(&self, op: &Op, unit_ms_max: u64) -> u64 {
        let moves_ms = if op.on_host() { unit_ms_max.saturating_add(unit_ms_max / 2) } else { 0 };
        self.carry_ms_max.max(moves_ms)
    }

    /// The longest that a look may last.
    pub(crate) fn look_limit(&self, query: &Query) -> u64 {
        match query {
            Query::Probe(..) | Query::List | Query::LastUsed => self.look_ms_max,
            // A host reads the refusals in the logs of its consumers.
            Query::Refusals
            | Query::Preflight
            | Query::StageCheck
            | Query::Enumerate
            | Query::Prove(..)
            | Query::Reconcile(_)
            | Query::Sweep => self.host_look_ms_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::Which;

    use super::*;

    #[test]
    fn in_an_emergency_one_looks_more_often() {
        let pace = Pace::default();
        assert_eq!(pace.between(&Query::Enumerate, &SharedList::default(), false), pace.enumerate_ms);
        assert_eq!(pace.between(&Query::Enumerate, &SharedList::default(), true), pace.enumerate_ms / 4);
        assert!(Pace { prove_ms: 1, ..pace }.between(&Query::Reconcile(1), &SharedList::default(), true) > 0);
    }

    #[test]
    fn what_moves_a_consumer_has_more_time_than_its_unit() {
        let pace = Pace::default();
        let apply = Op::Apply(ConsumerId(0), 0, Which::New);
        assert_eq!(pace.limit(&apply, 5_000), pace.carry_ms_max);
        assert_eq!(pace.limit(&apply, 600_000), 900_000);
        assert_eq!(pace.limit(&Op::Mint, 600_000), pace.carry_ms_max);
        assert!(pace.look_limit(&Query::Enumerate) > pace.look_limit(&Query::List));
    }
}
