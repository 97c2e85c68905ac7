//! A rotation from its journal: how it ended, and how long its parts took.

use keyroll_port::Recorded;
use keyroll_rotation::{
    ConsumerId, Event, Fact, HostId, OldKey, Op, Outcome as Seen, Phase, State, Which, step,
};

use super::old_key;
use super::saved_plan::Saved;
use crate::operator::{EmergencyShown, Outcome};

/// How a rotation ended and how long it took, by the wall clock.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Its state; none if an entry contradicts those before it.
    pub state: Option<State>,
    /// From its opening to its last event, seconds.
    pub all_s: Option<f64>,
    /// From the first mint intent, or the key that the operator entered, to the last consumer that settled on the new
    /// version, seconds; none after a rollback began.
    pub mint_to_last_moved_s: Option<f64>,
    /// From the first mint intent until the old key was seen dead, seconds.
    pub mint_to_dead_s: Option<f64>,
    /// The times of an emergency.
    pub emergency: Option<EmergencyShown>,
    /// The time from which its emergency counts, milliseconds since the Unix epoch.
    pub alerted_unix_ms: Option<u64>,
    /// When the last consumer settled on the new version, milliseconds since the Unix epoch; none before that, and after
    /// a rollback began.
    pub moved_unix_ms: Option<u64>,
    /// When the old key was seen dead, milliseconds since the Unix epoch.
    pub dead_unix_ms: Option<u64>,
}

impl Past {
    /// Reads the rotation from its journal.
    pub fn of(recorded: &Recorded) -> Self {
        let Ok(mut state) = State::open(recorded.opening.plan.clone(), recorded.opening.at) else {
            return Self::default();
        };
        let (mut minted, mut moved, mut dead) = (None, None, None);
        let mut clock = Clock::default();
        for (event, unix_ms) in recorded.events.iter().zip(&recorded.unix_ms) {
            let before = moved_units(&state);
            let Ok((next, _)) = step(&state, event) else {
                return Self::default();
            };
            if matches!(event.fact, Fact::Intended(Op::Mint) | Fact::HandMinted(_)) && minted.is_none() {
                minted = Some(*unix_ms);
            }
            if moved_units(&next) > before {
                moved = Some(*unix_ms);
            }
            let over = matches!(next.phase(), Phase::Sweep | Phase::Done) && next.debt().is_none();
            if over && next.old_key() == OldKey::Ended && dead.is_none() {
                dead = Some(*unix_ms);
            }
            clock.see(&state, event, *unix_ms);
            state = next;
        }
        // The last consumer is known only when all have moved. One on a host that is away is not waited for.
        let moved = moved.filter(|_| moved_units(&state) + left_units(&state) == state.units().len());
        Self {
            emergency: clock.shown(recorded, moved, dead),
            alerted_unix_ms: clock.alerted(recorded),
            all_s: seconds(Some(recorded.opening.unix_ms), recorded.unix_ms.last().copied()),
            // A rollback gives moved consumers the old value again, so nothing was finished.
            mint_to_last_moved_s: seconds(minted, moved).filter(|_| !goes_back(&state)),
            mint_to_dead_s: seconds(minted, dead),
            moved_unix_ms: moved.filter(|_| !goes_back(&state)),
            dead_unix_ms: dead,
            state: Some(state),
        }
    }
}

/// When the steps of an emergency were done.
#[derive(Default)]
struct Clock {
    declared: Option<u64>,
    made: Option<u64>,
    stored: Option<u64>,
}

impl Clock {
    fn see(&mut self, before: &State, event: &Event, unix_ms: u64) {
        if matches!(event.fact, Fact::Escalated { .. }) && self.declared.is_none() {
            self.declared = Some(unix_ms);
        }
        if matches!(event.fact, Fact::HandMinted(_)) {
            self.made = Some(unix_ms);
        }
        let Fact::Ended { intent, outcome: Seen::Done(_) } = &event.fact else { return };
        let op = before.intents().iter().find(|one| one.seq == *intent).map(|one| &one.op);
        if matches!(op, Some(Op::Mint)) {
            self.made = Some(unix_ms);
        } else if matches!(op, Some(Op::Deliver(_, Which::New))) {
            self.stored = Some(unix_ms);
        }
    }

    /// The time that its operator told, or that of the beginning.
    fn alerted(&self, recorded: &Recorded) -> Option<u64> {
        let declared = self.declared?;
        Some(Saved::of(recorded).ok().and_then(|saved| saved.alerted_unix_ms).unwrap_or(declared))
    }

    fn shown(&self, recorded: &Recorded, moved: Option<u64>, dead: Option<u64>) -> Option<EmergencyShown> {
        let alerted = self.alerted(recorded)?;
        let since = |at: Option<u64>| seconds(Some(alerted), at);
        Some(EmergencyShown {
            alerted: old_key::clock(alerted),
            alert_to_minted_s: since(self.made),
            alert_to_stored_s: since(self.stored),
            alert_to_moved_s: since(moved),
            alert_to_dead_s: since(dead),
        })
    }
}

fn seconds(from: Option<u64>, to: Option<u64>) -> Option<f64> {
    let millis = to?.saturating_sub(from?);
    Some(std::time::Duration::from_millis(millis).as_secs_f64())
}

fn goes_back(state: &State) -> bool {
    matches!(state.phase(), Phase::RollingBack | Phase::RolledBack)
}

/// The consumers that are on the new version. One that has gone, or whose host was waived and is away, is not counted: nothing
/// shows it.
pub fn moved_units(state: &State) -> usize {
    let units = state.units().iter().zip(hosts(state));
    units.filter(|(unit, (id, host))| unit.has_arrived() && !is_let_go(state, *id, *host)).count()
}

/// The consumers that have gone, and those on hosts that were waived and are away.
fn left_units(state: &State) -> usize {
    hosts(state).filter(|(id, host)| is_let_go(state, *id, *host)).count()
}

/// Each consumer with its host.
fn hosts(state: &State) -> impl Iterator<Item = (ConsumerId, HostId)> {
    (0..).map(ConsumerId).zip(state.plan().consumers.iter().map(|consumer| consumer.host))
}

fn is_let_go(state: &State, id: ConsumerId, host: HostId) -> bool {
    state.has_left(host) || state.has_gone(id)
}

/// How the rotation ended; none while it is open.
pub fn outcome(state: &State) -> Option<Outcome> {
    if state.debt().is_some() {
        return Some(Outcome::Debt);
    }
    let ended = [(Phase::Done, Outcome::Done), (Phase::RolledBack, Outcome::RolledBack)];
    ended.into_iter().find(|(phase, _)| *phase == state.phase()).map(|(_, outcome)| outcome)
}
