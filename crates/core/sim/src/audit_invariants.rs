//! The invariants that are judged by what the simulation itself saw, never by what a core says that it saw.

use keyroll_engine::Core;
use keyroll_port::Probe;
use keyroll_rotation::{
    Effect, Emergency, Event, Fact, Hold, LastUsed, OldKey, Op, Outcome, Phase, Query, Reason, Reconciled,
    Seq, Stamp, State, Waived, Which,
};

use crate::audit::{Answers, Consent, Row, Shown};
use crate::away_checks::left_after;
use crate::calls::{Call, CallResult, DriverRequest, Scope};
use crate::issuer::{OLD, Value};
use crate::ports::DECOY;
use crate::quirks::Quirk;
use crate::scene::{DEATH_MS_MAX, Family, REQUEST_MS_MAX};
use crate::schedule::Run;
use crate::sequence::is_revoke_now;

/// After so many accepted probes in a row the word of an operator is undone: the first may still be under way.
const UNDONE_BY: usize = 3;

impl Run {
    /// A look got this answer from the world.
    pub(crate) fn note_answer(&mut self, at: usize, scope: &Scope, call: &Call, answer: &CallResult) {
        let DriverRequest::Look(query) = &scope.asked else { return };
        match (call, answer) {
            (Call::Probe { endpoint, value }, CallResult::Probe(probe)) => {
                self.note_probe(at, scope, query, (*endpoint, *value), probe);
            }
            (Call::List, CallResult::Listing(listing)) => {
                if listing.complete && *query == Query::List {
                    self.audit.listed.retain(|it| it.0 != scope.epoch);
                    self.audit.listed.push((scope.epoch, self.world.now));
                }
                let old = self.world.old_id();
                let shows = |entry: &keyroll_port::Listed| {
                    entry.id.as_str() == old.as_str() && entry.last_used_unix_ms.is_some()
                };
                if *query == Query::LastUsed && listing.entries.iter().any(shows) {
                    self.audit.read_use = Some(scope.epoch);
                }
            }
            (Call::ReadTruth, CallResult::GivenOut(gives)) => self.note_truth(scope, query, *gives),
            (Call::Enumerate { .. }, CallResult::Looked(seen)) if *query == Query::Enumerate => {
                if let Some(slot) = self.slots.get_mut(scope.slot) {
                    slot.looking = seen.complete.then(|| Shown::of(seen));
                }
            }
            _ => {}
        }
    }

    fn note_probe(
        &mut self,
        at: usize,
        scope: &Scope,
        query: &Query,
        (endpoint, value): (usize, Value),
        probe: &Probe,
    ) {
        let now = self.world.now;
        let accepted = match probe {
            Probe::Alive => true,
            Probe::Denied => self.world.plan.denied_is_alive,
            Probe::Dead | Probe::Unknown(_) => false,
        };
        let about_old = matches!(query, Query::Probe(_, Which::Old));
        let Some(row) = self.audit.row(endpoint, value, scope.epoch) else { return };
        if accepted {
            row.accepted.add(now);
            row.refused = Row::default();
        } else {
            row.accepted = Row::default();
        }
        let refused = *probe == Probe::Dead;
        if refused && !(about_old && value == OLD) {
            row.refused.add(now);
        }
        // A refusal counts once the control beside it is accepted.
        if about_old && value == OLD {
            let asked = self.scopes.get_mut(at);
            asked.into_iter().for_each(|it| it.refused_at = refused.then_some(now));
        } else if about_old
            && accepted
            && let Some(refused_at) = self.scopes.get(at).and_then(|it| it.refused_at)
            && let Some(row) = self.audit.row(endpoint, OLD, scope.epoch)
        {
            row.refused.add(refused_at);
        }
    }

    /// The rotation is in this phase now, on evidence of the driver with this epoch.
    pub(crate) fn note_phase(&mut self, at: usize, phase: Phase, epoch: u64) {
        let Some(slot) = self.slots.get(at).filter(|slot| slot.epoch == self.ledger.epoch) else { return };
        let state = keyroll_engine::Drive::snapshot(&slot.driver);
        let (from, _) = self.audit.phase.unwrap_or((Phase::Preflight, 0));
        if phase == from && self.audit.phase.is_some() {
            return;
        }
        // A phase begins at the time of its entry, which a journal that cannot be written may hold back.
        let begun = self.ledger.entries.last().map_or(0, |event| event.at.ms);
        let since = self.world.now.min(self.world.boot_at + begun);
        self.audit.phase = Some((phase, since));
        if phase == Phase::ConfirmDead {
            self.audit.confirming_since = since;
            self.audit.confirming_from = state.seq();
        }
        let what = match (from, phase) {
            (Phase::Preflight, Phase::Mint | Phase::Decide | Phase::Quiesce) => self.unchecked(&state),
            (Phase::Probe, Phase::Roll) => self.unaccepted(&state, epoch),
            (Phase::Quiesce, Phase::Disable | Phase::Decide) => self.use_unread(&state, epoch),
            // A new driver begins the soak anew.
            (Phase::Soak, Phase::Decide) => {
                let began = self.slots.iter().rev().find(|slot| slot.epoch == epoch);
                self.unsoaked(&state, began.map_or(0, |slot| slot.started_at))
            }
            _ => None,
        };
        if let Some(what) = what {
            self.violate("I4", what);
        }
    }

    /// Preflight was passed: at every endpoint a wrong value was refused, and the current one was as planned.
    fn unchecked(&self, state: &State) -> Option<String> {
        if state.emergency().is_some() {
            return None;
        }
        self.own_pairs().into_iter().find_map(|endpoint| {
            // What an earlier driver asked counts too: the answers are in the journal.
            let asked = |value| {
                let all = self.audit.answers.iter();
                all.filter(move |it| (it.endpoint, it.value) == (endpoint, value))
            };
            let refuses = asked(DECOY).any(|it| it.refused.since(0).0 > 0);
            let planned = asked(OLD).any(|it| {
                let expected = if self.world.plan.recovery { &it.refused } else { &it.accepted };
                expected.since(0).0 > 0
            });
            let what = format!("Preflight was passed, and endpoint {endpoint} did not answer as it must");
            (!refuses || !planned).then_some(what)
        })
    }

    /// Roll begins: every endpoint accepted the new value as often in a row as the policy says.
    fn unaccepted(&self, state: &State, epoch: u64) -> Option<String> {
        let new = self.world.value_of(Which::New, state).filter(|_| !self.world.store_is_older())?;
        let need = usize::from(self.world.plan.policy.probes_alive);
        self.own_pairs().into_iter().find_map(|endpoint| {
            let seen = self.audit.of(endpoint, new, epoch).map_or(0, |it| it.accepted.since(0).0);
            (seen < need)
                .then(|| format!("Roll begins, and endpoint {endpoint} accepted the value {seen} times"))
        })
    }

    /// The old value is dropped: every endpoint refused it so often in a row, to one driver, for the issuer's own time.
    fn undead(&self) -> Option<String> {
        let need = usize::from(self.world.plan.policy.probes_dead);
        let lasts = self.world.plan.capabilities.death_ms_max;
        let from = self.audit.confirming_since.saturating_sub(2 * REQUEST_MS_MAX);
        self.own_pairs().into_iter().find_map(|endpoint| {
            let asked = self.audit.answers.iter().filter(|it| (it.endpoint, it.value) == (endpoint, OLD));
            let dead = |it: &Answers| {
                let (count, first) = it.refused.since(from);
                count >= need && self.world.now.saturating_sub(first) >= lasts
            };
            let what =
                format!("the old value is dropped, and endpoint {endpoint} did not refuse it long enough");
            (!asked.into_iter().any(dead)).then_some(what)
        })
    }

    /// Where the last use of the old key is visible, Quiesce ends only after it was read from the key's own entry.
    fn use_unread(&self, state: &State, epoch: u64) -> Option<String> {
        let shown = matches!(self.world.plan.capabilities.last_used, LastUsed::PerKey { .. });
        let judged = shown && state.emergency().is_none() && self.world.issuer.stands(OLD);
        let judged = judged && !self.use_is_waived();
        let unread = judged && self.audit.read_use != Some(epoch);
        unread.then(|| "Quiesce ended although no list showed when the old key was used".to_owned())
    }

    /// The operator is asked for a consent, and sees what the last complete look showed.
    pub(crate) fn note_question(&mut self, at: usize, digest: u64) {
        let Some(slot) = self.slots.get(at) else { return };
        let shown = self.with_waivers(slot.shown.clone().unwrap_or_default());
        self.audit.asked.retain(|(asked, _)| *asked != digest);
        self.audit.asked.push((digest, shown));
    }

    /// Probes of this driver found the key accepted after an operator had said that it was revoked, and after the issuer's
    /// own delay: the word is undone.
    pub(crate) fn is_word_undone(&self, epoch: u64) -> bool {
        self.is_found_accepted(self.audit.word_since, epoch)
    }

    /// The issuer said that it had enabled the key, and did not; another party enabled it once it had been seen dead, and probes of
    /// this driver have not found it accepted since.
    pub(crate) fn is_enabled_unheard(&self, epoch: u64) -> bool {
        let at = self.audit.enabled_at;
        let unheard = !self.is_found_accepted(at.max(self.audit.word_since), epoch);
        self.audit.ignored_enable && at > 0 && unheard
    }

    /// Probes of this driver found the old key accepted, longer after that than the issuer's own delay.
    fn is_found_accepted(&self, since: u64, epoch: u64) -> bool {
        let from = since + DEATH_MS_MAX + REQUEST_MS_MAX;
        (0..self.world.plan.endpoints.len()).any(|endpoint| {
            let answers = self.audit.of(endpoint, OLD, epoch);
            answers.is_some_and(|it| it.accepted.since(from).0 >= UNDONE_BY)
        })
    }

    fn with_waivers(&self, mut shown: Shown) -> Shown {
        let left = self.left();
        shown.waived.extend(left.into_iter().map(Waived::Host));
        for event in &self.ledger.entries {
            if let Fact::Waived(what) = &event.fact
                && !shown.waived.contains(what)
                && self.is_standing(what)
            {
                shown.waived.push(*what);
            }
        }
        shown
    }

    /// An entry about a consent, or about the keys at the issuer, is durable.
    pub(crate) fn note_entry(&mut self, at: usize, event: &Event) {
        self.check_truth_decides(at, event);
        self.note_demote_found(event);
        match &event.fact {
            Fact::Consented(digest) => {
                let asked = self.audit.asked.iter().find(|(asked, _)| asked == digest);
                let Some(shown) = asked.map(|(_, shown)| shown.clone()) else {
                    return self.violate("I4", "a consent that no operator was asked for".into());
                };
                self.audit.consent = Some(Consent { shown, at: self.world.now });
            }
            // A new driver measures the issuer's own delay anew.
            Fact::HandRevoked | Fact::DriverStarted => self.audit.word_since = self.world.now,
            Fact::Adopted { .. } => self.audit.consent = None,
            // The operator says that the cause is removed: the next list shows whether it is.
            Fact::Retried => {
                self.audit.unexplained = false;
                self.settle_mint(at);
            }
            Fact::Listed { complete, labelled, .. } => {
                self.audit.unexplained = labelled.iter().any(|found| !self.gave(found.intent));
                let read = self.slots.get(at).and_then(|slot| slot.listed_at).filter(|_| *complete);
                self.world.listed_at = read.unwrap_or(self.world.listed_at);
            }
            Fact::Decided(_) => {
                self.check_question(at, "decided", None);
                if let Some(what) = self.undecidable(at) {
                    self.violate("I4", what);
                }
            }
            Fact::Reconciled { intent, found: Reconciled::Executed(_) | Reconciled::Absent }
                if self.world.store_is_older()
                    && *intent <= self.audit.older_from
                    && self.drops_old(*intent) =>
            {
                self.violate("I9", format!("the outcome of entry {intent} is taken from an older store"));
            }
            Fact::Intended(op) => {
                self.check_question(at, &format!("{op:?} is intended"), Some(op));
                self.check_labels(at, op);
                if matches!(op, Op::Retire(_)) {
                    self.audit.look_before_drop = self.world.look;
                }
                // An issuer that is slower than it declares refuses and accepts the key in turn.
                if *op == Op::Retire(Which::Old)
                    && !self.world.scene.quirks.has(Quirk::SlowIssuer)
                    && let Some(what) = self.undead()
                {
                    self.violate("I5", what);
                }
            }
            _ => {}
        }
    }

    /// Whether this entry drops the old value: only the store knows its outcome.
    fn drops_old(&self, seq: Seq) -> bool {
        self.entry(seq).is_some_and(|event| event.fact == Fact::Intended(Op::Retire(Which::Old)))
    }

    /// Whether this entry gave a label to a credential: it is the intent of a mint.
    fn gave(&self, seq: Seq) -> bool {
        let made = |event: &Event| matches!(event.fact, Fact::Intended(Op::Mint) | Fact::HandMinted(_));
        self.entry(seq).is_some_and(made)
    }

    /// An entry of the journal by its number, also one that a restored journal lost.
    pub(crate) fn entry(&self, seq: Seq) -> Option<&Event> {
        let at = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.ledger.ever().get(at)
    }

    /// Whether one driver did not know the outcome of this entry for as long as a phase may take; of a mint, for as long as its key
    /// may take to appear.
    fn was_long_in_doubt(&self, seq: Seq) -> bool {
        let plan = &self.world.plan;
        let mints = self.entry(seq).is_some_and(|event| event.fact == Fact::Intended(Op::Mint));
        let appears_ms = plan.capabilities.request_ms_max + plan.capabilities.birth_ms_max;
        let long_ms = if mints { appears_ms } else { plan.policy.phase_ms_max };
        let mut since: Option<Stamp> = None;
        (1..).zip(&self.ledger.entries).skip_while(|(one, _)| *one <= seq).any(|(_, event)| {
            match &event.fact {
                Fact::DriverStarted => since = Some(event.at),
                Fact::Ended { intent, outcome: Outcome::Unknown } if *intent == seq => since = Some(event.at),
                _ => {}
            }
            since.is_some_and(|since| event.at.at_least(long_ms, since))
        })
    }

    /// Nothing is begun while the outcome of an earlier operation is unknown. A revoke that an operator asked for at once
    /// waits only for the outcome of an earlier one.
    fn check_question(&mut self, at: usize, what: &str, begun: Option<&Op>) {
        // Where nothing shows the outcome for so long that only the operator can say it, a key that may be disabled is enabled.
        let hold = self.snapshot(at).and_then(|state| state.hold());
        if begun == Some(&Op::Enable)
            && let Some(Hold::Stuck(Reason::Unclear(seq))) = hold
            && self.was_long_in_doubt(seq)
        {
            return;
        }
        let mut open: Vec<(Seq, &Op, bool)> = Vec::new();
        let last = self.ledger.entries.len().saturating_sub(1);
        let mut left = Vec::new();
        for (seq, event) in (1..).zip(self.ledger.entries.iter().take(last)) {
            match &event.fact {
                Fact::Intended(op) => open.push((seq, op, false)),
                Fact::Ended { intent, outcome: Outcome::Unknown } => {
                    open.iter_mut().filter(|it| it.0 == *intent).for_each(|it| it.2 = true);
                }
                Fact::Ended { intent, .. } => open.retain(|it| it.0 != *intent),
                Fact::Reconciled { found: Reconciled::Unclear, .. } => {}
                Fact::Reconciled { intent, .. } => open.retain(|it| it.0 != *intent),
                Fact::DriverStarted => open.iter_mut().for_each(|it| it.2 = true),
                // The operator knows what became of an operation of which nothing else is known.
                Fact::Retried => open.retain(|it| !it.2),
                _ => {}
            }
            // The outcome of an operation on a host that has left is not asked for.
            left_after(&mut left, &event.fact);
            let there = |op: &Op| self.world.place_of_op(op).is_some_and(|host| left.contains(&host));
            open.retain(|it| !it.2 || !there(it.1));
        }
        if begun == Some(&Op::Revoke) && self.ledger.entries.iter().any(is_revoke_now) {
            open.retain(|it| *it.1 == Op::Revoke);
        }
        if let Some((_, op, _)) = open.into_iter().find(|it| it.2) {
            let what = format!("{what} while the outcome of {op:?} is unknown");
            self.violate("order", what);
        }
    }

    /// An entry of a paced roll is durable. What it begins, its wave, its canary, its host and its pause must allow; beside a
    /// unit that is rolled back alone nothing begins.
    pub(crate) fn check_begun(&mut self, state: &State, event: &Event) {
        if self.world.plan.policy.roll.is_none() {
            return;
        }
        if let Fact::Intended(op) = &event.fact
            && let Some(early) = self.audit.pace.early(&self.world.plan, state, op)
        {
            let what = format!("{op:?} is intended {early}");
            self.violate("order", what);
        }
        self.audit.pace.left = self.left();
        self.audit.pace.gone = self.gone();
        if let Ok((after, _)) = self.core.step(state, event) {
            self.audit.pace.take_in(&self.world.plan, event, state, &after);
        }
    }

    fn check_labels(&mut self, at: usize, op: &Op) {
        let now = self.slots.get(at).map(|slot| slot.driver.state().emergency());
        let now = now.flatten() == Some(Emergency::RevokeNow);
        if self.audit.unexplained && !now && matches!(op, Op::Disable | Op::Revoke) {
            self.violate("I4", format!("{op:?} is intended beside a key under a label of nobody"));
        }
        let plan = &self.world.plan;
        let since = self.audit.phase.map_or(0, |(_, since)| since);
        let waited = self.world.now.saturating_sub(since) >= plan.policy.phase_ms_max;
        if *op == Op::Disable && plan.capabilities.list && self.never_listed() && !waited {
            self.violate("I4", "the old key is disabled without a complete list of keys".to_owned());
        }
    }

    /// No complete list was read, since the operator said that the cause of a hold is removed.
    fn never_listed(&self) -> bool {
        let entries = self.ledger.ever();
        let from = entries.iter().rposition(|event| event.fact == Fact::Retried).unwrap_or(0);
        let whole = |event: &Event| matches!(event.fact, Fact::Listed { complete: true, .. });
        !entries.iter().skip(from).any(whole)
    }

    /// Why the point of no return may not be passed now, if it may not.
    fn undecidable(&self, at: usize) -> Option<String> {
        let slot = self.slots.get(at)?;
        let (plan, state) = (&self.world.plan, slot.driver.state());
        if !self.has_standing_consent() {
            let Some(consent) = &self.audit.consent else {
                return Some("decided without a consent".to_owned());
            };
            let looked = self.look_of(slot.epoch);
            if looked.is_none_or(|look| look.at <= consent.at) {
                return Some("decided without a whole look since the consent".to_owned());
            }
            let shown = self.with_waivers(slot.shown.clone().unwrap_or_default());
            if shown != consent.shown {
                return Some(format!("consented to {:?}, decided on {shown:?}", consent.shown));
            }
        }
        if self.audit.unexplained {
            return Some("decided beside a key under a label of nobody".to_owned());
        }
        let since = self.audit.phase.map_or(0, |(_, since)| since);
        let listed = self.audit.listed.iter().any(|it| it.0 == slot.epoch && it.1 + REQUEST_MS_MAX >= since);
        // Where the issuer never gave one, it was waited for before the old key was disabled.
        let before = matches!(state.old_key(), OldKey::Off(_)) && self.never_listed();
        let waited = before || self.world.now.saturating_sub(since) >= plan.policy.phase_ms_max;
        if plan.capabilities.list && !listed && !waited {
            return Some("decided without a complete list of keys".to_owned());
        }
        self.unsoaked(state, 0)
    }

    /// The old key has been off for the time of the soak, since `started_at` at the latest.
    fn unsoaked(&self, state: &State, started_at: u64) -> Option<String> {
        let plan = &self.world.plan;
        let soaks = plan.capabilities.disable
            && state.emergency().is_none()
            && self.world.scene.family != Family::Part;
        let old = self.world.issuer.creds.first().filter(|cred| soaks && cred.ended.is_none())?;
        match old.off {
            // The key was off longer by our own doing than by theirs.
            Some(_) if self.audit.disabled_by_others => None,
            Some(off) => {
                let ms = self.world.now.saturating_sub(off.max(started_at));
                (ms < plan.policy.soak_ms).then(|| format!("decided after a soak of {ms} ms"))
            }
            // What another party did is seen by the next list.
            None if self.audit.enabled_at > 0 || self.audit.ignored => None,
            None => Some("decided although the old key was not disabled".to_owned()),
        }
    }

    /// A consumer is moved back only to a key that every endpoint accepted since the rollback began.
    pub(crate) fn check_accepted(&mut self, effect: &Effect, state: &State, epoch: u64) {
        let op = &effect.op;
        let back = state.phase() == Phase::RollingBack
            && matches!(op, Op::Deliver(_, Which::Old) | Op::Apply(_, _, Which::Old) | Op::Demote);
        if !back {
            return;
        }
        let need = usize::from(self.world.plan.policy.probes_alive);
        // Answers that were under way when the rollback was asked for count, and those that came before its entry was durable.
        let from = self.audit.back_asked.saturating_sub(2 * REQUEST_MS_MAX);
        let doubted = self.own_pairs().into_iter().find(|endpoint| {
            self.audit.of(*endpoint, OLD, epoch).is_none_or(|it| it.accepted.since(from).0 < need)
        });
        if let Some(endpoint) = doubted {
            self.violate("I5", format!("{op:?} although endpoint {endpoint} did not accept the old key"));
        }
    }
}
