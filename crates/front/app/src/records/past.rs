//! A rotation from its journal: how it ended, and how long its parts took.

use std::collections::BTreeSet;

use keyroll_port::Recorded;
use keyroll_rotation::{
    ConsumerId, Event, Fact, HostId, OldKey, Op, Outcome as Seen, Phase, Reconciled, State, Unit, Waived,
    Which, step,
};

use super::old_key;
use super::plan_names::Called;
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
        let (mut clock, mut proven) = (Clock::default(), Proven::default());
        let only_said = is_only_said(recorded);
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
            if over && !only_said && next.old_key() == OldKey::Ended && dead.is_none() {
                dead = Some(*unix_ms);
            }
            clock.see(&state, &next, event, *unix_ms);
            proven.see(&state, &next);
            state = next;
        }
        // The last consumer is known only when all have moved. One on a host that is away is not waited for.
        let moved = moved.filter(|_| moved_units(&state) + left_units(&state) == state.units().len());
        // While a consumer is still being moved, nobody lacks a proof.
        let over = moved.is_some() || state.phase() == Phase::Done;
        let unproven = if over { proven.missing(&state) } else { Vec::new() };
        Self {
            emergency: clock.shown(recorded, (&state, unproven.as_slice()), moved, dead),
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

    /// With what was not visible to the drivers of an emergency: the names beside the journal have it, and not its entries.
    pub(crate) fn with_outside(mut self, not_visible: Vec<String>) -> Self {
        if let Some(shown) = &mut self.emergency {
            shown.not_visible = not_visible;
        }
        self
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
    fn see(&mut self, before: &State, next: &State, event: &Event, unix_ms: u64) {
        if matches!(event.fact, Fact::Escalated { .. }) && self.declared.is_none() {
            self.declared = Some(unix_ms);
        }
        // Another key than before was taken, or is to be made: where the one before was written says nothing of it.
        if before.minted() != next.minted() {
            (self.made, self.stored) = (next.minted().map(|_| unix_ms), None);
        }
        let (Fact::Ended { intent, outcome: Seen::Done(_) }
        | Fact::Reconciled { intent, found: Reconciled::Executed(_) }) = &event.fact
        else {
            return;
        };
        let op = before.intents().iter().find(|one| one.seq == *intent).map(|one| &one.op);
        // A write that began before the key was there wrote the one before it.
        let of_this = next.minted().is_some_and(|minted| *intent > minted);
        if of_this && matches!(op, Some(Op::Deliver(_, Which::New))) {
            self.stored = Some(unix_ms);
        }
    }

    /// The time that its operator told, or that of the beginning.
    fn alerted(&self, recorded: &Recorded) -> Option<u64> {
        let declared = self.declared?;
        Some(Saved::of(recorded).ok().and_then(|saved| saved.alerted_unix_ms).unwrap_or(declared))
    }

    /// `unproven`: the consumers that nothing proved on the new version.
    fn shown(
        &self,
        recorded: &Recorded,
        (state, unproven): (&State, &[ConsumerId]),
        moved: Option<u64>,
        dead: Option<u64>,
    ) -> Option<EmergencyShown> {
        let alerted = self.alerted(recorded)?;
        let since = |at: Option<u64>| seconds(Some(alerted), at);
        let consumers = state.units().len();
        let moved = moved.filter(|_| unproven.len() < consumers);
        let called = (!unproven.is_empty()).then(|| Called::of(recorded));
        let named = |called: &Called| -> Vec<String> {
            unproven.iter().map(|id| unproven_text(called, state, *id)).collect()
        };
        Some(EmergencyShown {
            alerted: old_key::clock(alerted),
            alert_to_minted_s: since(self.made),
            alert_to_stored_s: since(self.stored),
            alert_to_moved_s: since(moved),
            alert_to_dead_s: since(dead),
            consumers,
            not_proved: called.as_ref().map(named).unwrap_or_default(),
            not_visible: Vec::new(),
        })
    }
}

/// The consumers that were proven on the new version when they settled on it. One whose evidence was waived by then, that had
/// gone, or whose host was waived and away settles without a proof.
#[derive(Default)]
struct Proven(BTreeSet<ConsumerId>);

impl Proven {
    fn see(&mut self, before: &State, next: &State) {
        for ((id, host), unit) in hosts(next).zip(next.units().iter()) {
            let had_arrived = before.units().get(id.index()).is_some_and(Unit::has_arrived);
            match (had_arrived, unit.has_arrived()) {
                (false, true) if !is_waived(next, id) && !is_let_go(next, id, host) => {
                    self.0.insert(id);
                }
                (_, false) => {
                    self.0.remove(&id);
                }
                (true, true) | (false, true) => {}
            }
        }
    }

    /// The others.
    fn missing(&self, state: &State) -> Vec<ConsumerId> {
        hosts(state).map(|(id, _)| id).filter(|id| !self.0.contains(id)).collect()
    }
}

/// A consumer that was not proven, with the reason.
fn unproven_text(called: &Called, state: &State, id: ConsumerId) -> String {
    let host = state.plan().consumers.get(id.index()).map(|consumer| consumer.host);
    let why = if state.has_gone(id) {
        "it is gone"
    } else if host.is_some_and(|host| state.has_left(host)) {
        "its host is waived, and away"
    } else if is_waived(state, id) {
        "its evidence was waived"
    } else {
        "no proof was seen when it was moved"
    };
    format!("{}: {why}", called.consumer(id))
}

/// The operator waived what is not visible of a consumer.
fn is_waived(state: &State, id: ConsumerId) -> bool {
    state.waived().contains(&Waived::NotVisible(id))
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

/// Whether the old key, which others use, ended by an operator's word alone: no phase of a rotation that keeps it looks whether it
/// is dead.
pub(crate) fn is_only_said(recorded: &Recorded) -> bool {
    let kept = !recorded.opening.plan.aim.ends_old();
    kept && recorded.events.iter().any(|event| event.fact == Fact::HandRevoked)
}

/// How the rotation ended; none while it is open.
pub fn outcome(state: &State) -> Option<Outcome> {
    if state.debt().is_some() {
        return Some(Outcome::Debt);
    }
    let ended = [(Phase::Done, Outcome::Done), (Phase::RolledBack, Outcome::RolledBack)];
    ended.into_iter().find(|(phase, _)| *phase == state.phase()).map(|(_, outcome)| outcome)
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Aim, CredId, Emergency, Plan};

    use super::super::processes_outside::OUTSIDE;
    use super::super::recorded::of_walk;
    use super::super::walk::{Walk, plan};
    use super::*;
    use crate::operator::clock as text;

    const LAST: ConsumerId = ConsumerId(1);
    const AWAY: HostId = HostId(2);

    /// The consumers on two hosts.
    fn two_hosts() -> Plan {
        let mut plan = plan();
        plan.files = vec![HostId(1), AWAY];
        plan.consumers[0].host = HostId(1);
        plan.consumers[1].host = AWAY;
        plan
    }

    /// An emergency in which no consumer is moved yet.
    fn declared(plan: Plan) -> Walk {
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Roll);
        walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: false });
        walk
    }

    /// An emergency in which this is said before the second consumer is moved; as it stands when nobody is moved any more.
    fn emergency(plan: Plan, said: Option<Waived>) -> EmergencyShown {
        let mut walk = declared(plan);
        assert!(!walk.state.units()[LAST.index()].has_arrived());
        if let Some(what) = said {
            walk.say(Fact::Waived(what));
        }
        let is_over = |state: &State| moved_units(state) + left_units(state) == state.units().len();
        walk.until(is_over);
        read(&walk)
    }

    fn read(walk: &Walk) -> EmergencyShown {
        past(walk).emergency.unwrap()
    }

    fn past(walk: &Walk) -> Past {
        let unix_ms = (1_000..).take(walk.said.len()).collect();
        Past::of(&Recorded { unix_ms, ..of_walk(walk) })
    }

    /// Red where the history of a rotation that keeps the old key has a time at which it was seen dead: an operator said so.
    #[test]
    fn a_shared_key_whose_end_was_only_said_was_not_seen_dead() {
        let ended = |aim: Aim| {
            let mut walk = Walk::of(Plan { aim, ..plan() });
            walk.until(|state| state.phase() == Phase::Quiesce);
            walk.say(Fact::AbortAsked);
            walk.wait(walk.state.plan().policy.phase_ms_max * 2);
            walk.say(Fact::HandRevoked);
            walk.until(State::ended);
            assert_eq!((walk.state.phase(), walk.state.old_key()), (Phase::Done, OldKey::Ended));
            past(&walk)
        };
        let part = ended(Aim::Part);
        assert_eq!((part.dead_unix_ms, part.mint_to_dead_s), (None, None));
        assert!(ended(Aim::Replace).dead_unix_ms.is_some(), "it was probed");
    }

    #[test]
    fn an_emergency_in_which_every_consumer_showed_the_new_key_says_so() {
        let shown = emergency(plan(), None);
        assert!(shown.alert_to_moved_s.is_some());
        assert_eq!((shown.consumers, shown.not_proved.len()), (2, 0));
        assert!(text(&shown).contains("proved by every consumer"), "{}", text(&shown));
    }

    /// Red where the time at which a key was written stands beside the key that is taken instead of it.
    #[test]
    fn a_key_that_is_taken_instead_has_its_own_times() {
        let mut walk = declared(plan());
        walk.until(|state| moved_units(state) > 0);
        let (first, before) = (walk.state.minted(), read(&walk));
        assert!(before.alert_to_stored_s.is_some());
        walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
        let none = read(&walk);
        assert_eq!((none.alert_to_minted_s, none.alert_to_stored_s), (None, None), "it is to be made");
        walk.until(|state| state.new_version().is_some() && state.minted() != first);
        let shown = read(&walk);
        assert!(shown.alert_to_minted_s > before.alert_to_stored_s);
        assert_eq!(shown.alert_to_stored_s, None);
    }

    /// Red where a write of the key before, which ends after another one was asked for, stands as that of the other one.
    #[test]
    fn a_write_that_began_before_the_key_was_made_is_not_of_it() {
        let mut walk = declared(plan());
        walk.until_it_does_something();
        let (first, op) = (walk.state.minted(), walk.first_op().unwrap());
        assert!(matches!(op, Op::Deliver(_, Which::New)), "{op:?}");
        let intent = walk.begin(&op);
        walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
        let mint = walk.begin(&Op::Mint);
        walk.end(mint, Seen::Done(Some(CredId::new("another"))));
        assert!(walk.state.minted().is_some() && walk.state.minted() != first);
        walk.end(intent, Seen::Done(None));
        assert_eq!(read(&walk).alert_to_stored_s, None);
    }

    /// Red where a consumer that settles on a waiver counts as proven.
    #[test]
    fn a_consumer_without_a_proof_is_named_and_does_not_count() {
        let cases = [
            (plan(), Waived::NotVisible(LAST), "consumer 1: its evidence was waived"),
            (plan(), Waived::Gone(LAST), "consumer 1: it is gone"),
            (two_hosts(), Waived::Host(AWAY), "consumer 1: its host is waived, and away"),
        ];
        for (plan, what, named) in cases {
            let shown = emergency(plan, Some(what));
            assert_eq!(shown.not_proved, [named]);
            let said = text(&shown);
            assert!(said.contains("proved by 1 of 2 consumers after"), "{said}");
            assert!(said.contains(&format!("not proved: {named}")), "{said}");
            assert!(!said.contains("every consumer"), "{said}");
        }
    }

    /// Red where a report says that every consumer proved the new key, of a driver that did not see all processes.
    #[test]
    fn of_processes_that_no_driver_saw_nothing_is_claimed() {
        let not_visible = vec![OUTSIDE.to_owned()];
        let said = text(&EmergencyShown { not_visible: not_visible.clone(), ..emergency(plan(), None) });
        assert!(said.contains("proved by all visible") && !said.contains("every consumer"), "{said}");
        assert!(said.contains(&format!("not visible: {OUTSIDE}")), "{said}");
        let gone = emergency(plan(), Some(Waived::Gone(LAST)));
        let said = text(&EmergencyShown { not_visible, ..gone });
        assert!(said.contains("proved by 1 of 2 consumers") && said.contains(OUTSIDE), "{said}");
    }

    /// Red where a waiver of one that had shown the new key takes the proof away.
    #[test]
    fn a_consumer_that_was_proven_before_a_waiver_counts() {
        let mut walk = declared(plan());
        walk.until(|state| state.units().iter().all(Unit::has_arrived));
        walk.say(Fact::Waived(Waived::NotVisible(LAST)));
        assert_eq!(read(&walk).not_proved, [] as [String; 0]);
    }

    /// Red where one that is still being moved is said to lack a proof.
    #[test]
    fn nobody_lacks_a_proof_while_consumers_are_moved() {
        let shown = read(&declared(plan()));
        assert_eq!((shown.alert_to_moved_s, shown.not_proved.len()), (None, 0));
        assert!(text(&shown).contains("proved by every consumer not yet"), "{}", text(&shown));
    }
}
