//! Why a rotation rolled back, or why a consumer did not take the value, in one line from the journal: the attempt,
//! the observation, and the time.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_port::Recorded;
use keyroll_rotation::{
    Consumer, ConsumerId, Debt, Event, Fact, Hold, InstanceIdentity, Kinds, Op, Outcome, Phase, ProbeResult,
    Proof, Reason, State, UnitStep, Want, Which, step, wants,
};

use super::old_key::clock;
use super::plan_names::Called;

/// The cause of a rollback, or of a pause at a consumer.
pub fn of(recorded: &Recorded, called: &Called) -> Option<String> {
    let mut state = State::open(recorded.opening.plan.clone(), recorded.opening.at).ok()?;
    let mut told = Observations::default();
    for (event, unix_ms) in recorded.events.iter().zip(&recorded.unix_ms) {
        told.see(event);
        let (next, _) = step(&state, event).ok()?;
        told.step(called, (&state, &next), event, *unix_ms);
        state = next;
    }
    match (state.phase(), state.hold()) {
        // What keeps it from its end stands beside why it began.
        (Phase::RollingBack, Some(Hold::Stuck(Reason::Unit(consumer)))) => {
            let stuck = told.units.remove(&consumer).filter(|stuck| told.back.as_ref() != Some(stuck));
            let both: Vec<String> = told.back.into_iter().chain(stuck).collect();
            (!both.is_empty()).then(|| both.join("; now "))
        }
        (Phase::RollingBack | Phase::RolledBack, _) => told.back,
        (_, Some(Hold::Paused(Reason::Unit(consumer)) | Hold::Stuck(Reason::Unit(consumer)))) => {
            told.units.get(&consumer).cloned()
        }
        (_, None) if state.debt() == Some(Debt::NotRevoked) && revoke_failed(recorded) => {
            called.failure(Phase::Revoke).map(str::to_owned)
        }
        (_, _) => None,
    }
}

/// Whether the last attempt to revoke the old key failed: else the issuer said that it was revoked, and goes on listing it.
fn revoke_failed(recorded: &Recorded) -> bool {
    let (mut sent, mut failed) = (BTreeSet::new(), false);
    for (seq, event) in (1..).zip(&recorded.events) {
        if event.fact == Fact::Intended(Op::Revoke) {
            sent.insert(seq);
        }
        if let Fact::Ended { intent, outcome } = &event.fact
            && sent.contains(intent)
        {
            failed = matches!(outcome, Outcome::Failed { .. });
        }
    }
    failed
}

/// The observations so far.
#[derive(Default)]
pub(crate) struct Observations {
    /// The last observation of each consumer, and whether its log or error rate showed a failure.
    proofs: BTreeMap<ConsumerId, (Vec<Proof>, bool)>,
    /// The issuer's last answer about the new key.
    answer: Option<ProbeResult>,
    /// Why each consumer last failed to take the value.
    units: BTreeMap<ConsumerId, String>,
    /// Why the rotation rolled back.
    back: Option<String>,
}

impl Observations {
    #[allow(clippy::wildcard_enum_match_arm, reason = "a projection: most entries say nothing of why")]
    pub(crate) fn see(&mut self, event: &Event) {
        match &event.fact {
            Fact::Intended(Op::Apply(consumer, ..)) => drop(self.proofs.remove(consumer)),
            Fact::Proved { consumer, proofs, trouble } => {
                self.proofs.insert(*consumer, (proofs.clone(), *trouble));
            }
            Fact::Probed { version: Which::New, answer, .. } => self.answer = Some(*answer),
            _ => {}
        }
    }

    fn step(&mut self, called: &Called, (before, next): (&State, &State), event: &Event, unix_ms: u64) {
        let at = clock(unix_ms);
        let mut unit = None;
        for (id, consumer) in (0..).map(ConsumerId).zip(&next.plan().consumers) {
            let Some(how) = self.unit(id, consumer, (before, next), event) else { continue };
            let why = format!("{} {how}, at {at}", called.consumer(id));
            unit = Some(why.clone());
            self.units.insert(id, why);
        }
        let goes_back = |state: &State| matches!(state.phase(), Phase::RollingBack | Phase::RolledBack);
        match (goes_back(before), goes_back(next)) {
            (false, true) => {
                let why = || format!("{}, at {at}", self.other(called, before, event));
                self.back = Some(unit.unwrap_or_else(why));
            }
            (true, false) => self.back = None,
            (false, false) | (true, true) => {}
        }
    }

    /// The failure of a consumer that this entry records, if any.
    #[allow(clippy::wildcard_enum_match_arm, reason = "a projection: most operations are no consumer's")]
    fn unit(
        &self,
        id: ConsumerId,
        consumer: &Consumer,
        (before, next): (&State, &State),
        event: &Event,
    ) -> Option<String> {
        let (was, is) = (before.units().get(id.index())?, next.units().get(id.index())?);
        let given_up = is.stage == UnitStep::Failed
            || (was.toward, is.toward) == (Which::New, Which::Old)
            || (matches!(is.stage, UnitStep::Applying(_)) && is_asked_instead(before, next, event));
        if !was.stage.is_moving() || !given_up || matches!(event.fact, Fact::AbortAsked) {
            return None;
        }
        let key = if was.toward == Which::New { "new" } else { "old" };
        if let Some(op) = failed(before, event) {
            return match op {
                Op::Deliver(file, _) if consumer.files.contains(file) => {
                    Some(format!("did not get the {key} key: its file could not be written"))
                }
                Op::Fetch(of) if *of == id => {
                    Some(format!("did not get the {key} key: its `fetch` failed, or did not write that key"))
                }
                Op::Apply(of, ..) if *of == id => {
                    let times = if was.failures == 0 { "" } else { " each time" };
                    Some(format!("did not load the {key} key: its restart or reload failed{times}"))
                }
                // Another consumer failed, and all roll back.
                _ => None,
            };
        }
        if matches!(event.fact, Fact::Proved { consumer: of, trouble: true, .. } if of == id) {
            let seen = self.seen(id, consumer, was.toward);
            let failed = if was.watched { "used" } else { "was given" };
            let when = if was.watched { " while it was watched" } else { "" };
            return Some(format!("{failed} the {key} key, and failed{when}: {seen}"));
        }
        let limit = next.plan().policy.unit_ms_max;
        if !next.now().at_least(limit, was.since) {
            return None;
        }
        let limit = crate::operator::duration(limit / 1_000);
        let tries = if was.failures == 0 { "" } else { ": each attempt failed" };
        Some(match was.stage {
            UnitStep::Delivering => format!("did not get the {key} key within {limit}{tries}"),
            UnitStep::Applying(_) => format!("was not restarted with the {key} key within {limit}{tries}"),
            UnitStep::Waiting | UnitStep::Proving(_) | UnitStep::Settled | UnitStep::Failed => {
                format!("did not prove the {key} key within {limit}: {}", self.seen(id, consumer, was.toward))
            }
        })
    }

    /// The evidence that a consumer has not given yet; none if it was not observed.
    pub(crate) fn lacking(&self, state: &State, id: ConsumerId, toward: Which) -> Option<String> {
        let consumer = state.plan().consumers.get(id.index())?;
        let seen = self.proofs.contains_key(&id).then(|| self.seen(id, consumer, toward));
        seen.filter(|seen| !seen.is_empty())
    }

    /// Whether nothing but a call is missing: the issuer shows the calls of a consumer's processes, each of which has the
    /// version, and none by one of them.
    pub(crate) fn lacks_a_call(&self, state: &State, id: ConsumerId, toward: Which) -> bool {
        let consumer = state.plan().consumers.get(id.index()).filter(|consumer| consumer.attributable);
        let (Some(consumer), Some((proofs, false))) = (consumer, self.proofs.get(&id)) else { return false };
        let has = |proof: &Proof| proof.version == toward && proof.who.life.runs();
        proofs.iter().all(has) && proofs.iter().any(|proof| missing(consumer, proof, toward).is_some())
    }

    /// The observation of a consumer that was to prove a version.
    fn seen(&self, id: ConsumerId, consumer: &Consumer, toward: Which) -> String {
        // No answer says neither that it runs nor that it does not.
        let Some((proofs, trouble)) = self.proofs.get(&id) else {
            return "keyroll saw nothing of it".to_owned();
        };
        let mut all: Vec<String> =
            proofs.iter().filter_map(|proof| missing(consumer, proof, toward)).collect();
        // What several pods lack alike is said once.
        all.dedup();
        if proofs.is_empty() {
            all.push("no process of it was running".to_owned());
        }
        if *trouble {
            // Nothing of a container is read but its state.
            let is_pods = proofs.iter().any(|proof| proof.who.life.is_container());
            let why = match is_pods {
                true => "its new pods fail",
                false => "its log shows refused calls, or its error rate rose",
            };
            all.push(why.to_owned());
        }
        all.join("; ")
    }

    /// Why the rotation rolled back, if no consumer is the cause.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "a projection: most entries never turn a rotation round"
    )]
    fn other(&self, called: &Called, before: &State, event: &Event) -> String {
        // The last failure of that phase is the one that turned the rotation round.
        let with_cause = |what: &str| match called.failure(before.phase()) {
            Some(why) => format!("{what}: {why}"),
            None => what.to_owned(),
        };
        match &event.fact {
            Fact::AbortAsked => "the operator asked for it (keyroll abort or undo)".to_owned(),
            Fact::Preflight(seen) if seen.control == ProbeResult::Alive => {
                "the issuer accepted a deliberately wrong key".to_owned()
            }
            Fact::Preflight(seen) if seen.clear => {
                format!("the issuer did not accept the present key: {}", answered(seen.current))
            }
            Fact::Preflight(_) => "preflight refused it".to_owned(),
            _ if before.phase() == Phase::Probe => {
                let answer = self.answer.map_or("nothing", answered);
                format!("the issuer did not accept the new key often enough; its last answer: {answer}")
            }
            _ => match failed(before, event) {
                Some(Op::Choose | Op::Mint) => with_cause("the new key could not be made"),
                Some(Op::Stage) => with_cause("the new key could not be sealed"),
                Some(Op::Promote) => with_cause("the store did not make the new key current"),
                _ => {
                    let word = crate::operator::Phase::of(before.phase())
                        .map_or("its end", crate::operator::Phase::word);
                    format!("{word} failed")
                }
            },
        }
    }
}

/// A rollback does not restart a consumer again: it is asked whether it ever left the old key.
fn is_asked_instead(before: &State, next: &State, event: &Event) -> bool {
    let restart = failed(before, event).filter(|op| matches!(op, Op::Apply(_, _, Which::Old)));
    let is_open = |op: &Op| next.intents().iter().any(|open| open.op == *op);
    restart.is_some_and(|op| !is_open(op) && !wants(next).contains(&Want::Do(op.clone())))
}

/// The operation whose failure this entry records.
fn failed<'a>(before: &'a State, event: &Event) -> Option<&'a Op> {
    let (Fact::Ended { intent, outcome: Outcome::Failed { .. } } | Fact::Reconciled { intent, .. }) =
        &event.fact
    else {
        return None;
    };
    before.intents().iter().find(|one| one.seq == *intent).map(|one| &one.op)
}

/// The missing evidence of a process: for each path the kinds that were seen, and the missing one.
fn missing(consumer: &Consumer, proof: &Proof, toward: Which) -> Option<String> {
    let who = match proof.who.life {
        InstanceIdentity::Process { pid, .. } => format!("process {pid}"),
        InstanceIdentity::AtRest(_) => "the job at rest".to_owned(),
        // The consumer stands before this.
        InstanceIdentity::Container { .. } => "a pod of it".to_owned(),
    };
    if proof.version != toward {
        return Some(format!("{who} uses the other key"));
    }
    let runs = proof.who.life.runs();
    if runs && consumer.own_word && !consumer.attributable && !proof.who.life.is_container() {
        return untold(consumer, proof, toward).map(|what| format!("{who} {what}"));
    }
    let lacks = |kinds: Kinds| wanted(consumer, runs, kinds).without(kinds);
    if !runs && consumer.own_word {
        let all =
            proof.paths.iter().take(usize::from(consumer.paths)).all(|kinds| lacks(*kinds) == Kinds::NONE);
        return (!all).then(|| "keyroll serve does not give it out yet; does one run?".to_owned());
    }
    let paths = (0..consumer.paths).zip(proof.paths).filter_map(|(path, kinds)| {
        let lacks: Vec<&str> = lacks(kinds).names().collect();
        let seen: Vec<&str> = kinds.names().collect();
        let seen = if seen.is_empty() { String::new() } else { format!(", only {}", seen.join(", ")) };
        let path = if path == 0 { String::new() } else { format!(" on path {path}") };
        (!lacks.is_empty()).then(|| format!("not {}{path}{seen}", lacks.join(", not ")))
    });
    let paths: Vec<String> = paths.collect();
    (!paths.is_empty()).then(|| format!("{who} was seen {}", paths.join("; ")))
}

/// The kinds that a path of a process, or of a job at rest, must show; those that it has besides them may replace them.
fn wanted(consumer: &Consumer, runs: bool, kinds: Kinds) -> Kinds {
    match runs {
        false if consumer.own_word && kinds.has(Kinds::CHECKED) => Kinds::NONE,
        false if consumer.own_word => Kinds::DELIVERED,
        false => Kinds::CHECKED,
        true if consumer.attributable => Kinds::EXERCISED,
        true if kinds.has(Kinds::EXERCISED) => Kinds::NONE,
        // One in a cluster, whose program is trusted to read its file again.
        true if consumer.own_word => Kinds::DELIVERED.and(Kinds::CHECKED),
        true => Kinds::LOADED.and(Kinds::CHECKED),
    }
}

/// On which paths a process whose word counts has said nothing of the version.
fn untold(consumer: &Consumer, proof: &Proof, toward: Which) -> Option<String> {
    let shown = |kinds: Kinds| {
        [Kinds::TOLD, Kinds::EXERCISED, Kinds::LOADED.and(Kinds::CHECKED)].iter().any(|one| kinds.has(*one))
    };
    let silent: Vec<u8> = (0..consumer.paths)
        .zip(proof.paths)
        .filter(|(_, kinds)| !shown(*kinds))
        .map(|(path, _)| path)
        .collect();
    let version = if toward == Which::New { "new" } else { "old" };
    match silent.as_slice() {
        [] => None,
        [0] => Some(format!("has not said that it uses the {version} version")),
        paths => {
            let paths: Vec<String> = paths.iter().map(u8::to_string).collect();
            Some(format!("has not said that it uses the {version} version on path {}", paths.join(", ")))
        }
    }
}

fn answered(answer: ProbeResult) -> &'static str {
    match answer {
        ProbeResult::Alive => "accepted",
        ProbeResult::Denied => "accepted, but not permitted",
        ProbeResult::Dead => "refused",
        ProbeResult::Unknown => "inconclusive",
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Delivery, FileId, HostId, Incarnation, PATHS_MAX, ReloadMode, Visibility};

    use super::*;

    #[test]
    fn what_speaks_against_a_value_in_pods_is_their_state_and_no_log() {
        let consumer = Consumer {
            host: HostId(1),
            delivery: Delivery::Push,
            uptake: ReloadMode::Verb,
            files: vec![FileId(0)],
            slots: 1,
            paths: 1,
            attributable: false,
            own_word: false,
            wave: 0,
        };
        let seen = |life: InstanceIdentity| {
            let proof = Proof {
                who: Incarnation { host: HostId(1), life },
                slot: 0,
                version: Which::New,
                paths: [Kinds::NONE; PATHS_MAX],
                other_session: Visibility::No,
            };
            let mut told = Observations::default();
            told.proofs.insert(ConsumerId(0), (vec![proof], true));
            told.seen(ConsumerId(0), &consumer, Which::New)
        };
        let pods = seen(InstanceIdentity::Container { pod: 7, run: 1 });
        assert!(pods.ends_with("; its new pods fail"), "{pods}");
        let process = seen(InstanceIdentity::Process { boot: 1, pid: 7, start_ticks: 1, program: 1 });
        assert!(process.ends_with("; its log shows refused calls, or its error rate rose"), "{process}");
    }
}
