//! Shows a rotation while it is driven: a projection of its entries, never the journal's own form.

mod asked;
mod away;
mod consent;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use keyroll_engine::{Command, DriverState, Note, Observer, ObserverReply};
use keyroll_port::{FailingCheck, FailureKind, Recorded, RotationId};
use keyroll_rotation::{
    ConsumerId, Event as Entry, Fact, Hold, HostId, Incarnation, InstanceIdentity, Kinds, Next, OldKey, Op,
    Outcome as Ended, Person, Phase, Reason, Seq, State, unsearched,
};
use tokio::sync::mpsc;

use self::asked::Asked;
use self::waits::Waits;
use super::manual_steps::Steps;
use super::options::DriveOptions;
use crate::operator;
use crate::operator::{DowntimeShown, Event, Grade, HostStep, OpenQuestion, Operator, Residue, StepState};
use crate::plans::pending_changes;
use crate::problem::Problem;
use crate::records::blockers;
use crate::records::downtimes::Downtimes;
use crate::records::next_words::command;
use crate::records::plan_names::Called;
use crate::records::unseen::Unseen;
use crate::records::waivers::Waivers;

/// Why a rotation began to roll back.
const NO_WAY_BACK: &str = "the old key no longer works, so a rollback is impossible: the rotation continues forward with the new key";

/// The old key turned out to exist.
const STILL_THERE: &str =
    "the issuer still has the old key, which was taken for revoked: the rotation looks at everything again";

/// Shows a rotation, and answers with the consent that the operator gave in advance.
pub(crate) struct Watch<'a> {
    operator: &'a mut dyn Operator,
    rotation: String,
    secret: String,
    /// The name of each consumer, and of its slots.
    names: Vec<Vec<String>>,
    called: Called,
    waivers: Waivers,
    confirmed: bool,
    until: Option<Phase>,
    tell: mpsc::Sender<Command>,
    phase: Option<Phase>,
    ops: BTreeMap<Seq, Op>,
    shown: BTreeSet<(Incarnation, u8, u8)>,
    /// The name of each process, and how it was found.
    holders: BTreeMap<(HostId, u32), (String, String)>,
    told: BTreeSet<String>,
    asked: Asked,
    steps: Steps,
    waits: Waits,
    blocked: Option<String>,
    residues: Vec<Residue>,
    downtime: Option<std::time::Duration>,
    downtimes: Downtimes,
    hold: Option<Hold>,
    /// The hosts that were waived and are away.
    left: Vec<HostId>,
    /// The consumers that were let go, and do not run.
    gone: Vec<ConsumerId>,
    /// The old key was taken for revoked.
    ended: bool,
    /// The consent that the operator is being asked for.
    asking: Option<(u64, OpenQuestion)>,
    /// When no answer is a no: the deadline of the phase that asks with the old key disabled.
    answer_until: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        operator: &'a mut dyn Operator,
        rotation: &RotationId,
        secret: &str,
        names: Vec<Vec<String>>,
        called: Called,
        options: DriveOptions,
        tell: mpsc::Sender<Command>,
    ) -> Self {
        let DriveOptions { confirmed, until, first: _, waivers, steps, downtimes } = options;
        Self {
            operator,
            rotation: rotation.to_string(),
            secret: secret.to_owned(),
            names,
            called,
            waivers,
            confirmed,
            until,
            tell,
            phase: None,
            ops: BTreeMap::new(),
            shown: BTreeSet::new(),
            holders: BTreeMap::new(),
            told: BTreeSet::new(),
            asked: Asked::default(),
            steps,
            waits: Waits::new(),
            blocked: None,
            residues: Vec::new(),
            downtime: None,
            downtimes,
            hold: None,
            left: Vec::new(),
            gone: Vec::new(),
            ended: false,
            asking: None,
            answer_until: None,
        }
    }

    /// Goes on with what is recorded, and does not show again why the rotation was paused: everything is inspected anew.
    pub(crate) fn goes_on_from(&mut self, recorded: &Recorded, hold: Option<Hold>) {
        self.waits.begin(recorded);
        self.hold = hold;
    }

    pub(crate) fn residues(&self) -> Vec<Residue> {
        self.residues.clone()
    }

    /// The longest downtime, in seconds to the millisecond.
    pub(crate) fn downtime_s(&self) -> Option<f64> {
        self.downtime.map(|downtime| std::time::Duration::from_millis(millis(downtime)).as_secs_f64())
    }

    /// The announced and the measured downtimes.
    pub(crate) fn downtimes(&self) -> Vec<DowntimeShown> {
        self.downtimes.shown()
    }

    /// Whether the last entry could not be written.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.waits.is_unwritten()
    }

    pub(crate) fn blocked_by(&self) -> Option<String> {
        self.blocked.clone()
    }

    fn consumer(&self, at: usize) -> String {
        self.names
            .get(at)
            .and_then(|names| names.first())
            .cloned()
            .unwrap_or_else(|| format!("consumer {at}"))
    }

    fn instance(&self, at: usize, slot: u8) -> Option<String> {
        self.names.get(at).and_then(|names| names.get(usize::from(slot) + 1)).cloned()
    }

    /// The consumers that read these files.
    fn readers(&self, state: &State, op: &Op) -> Vec<usize> {
        let Op::Deliver(file, _) = op else { return Vec::new() };
        let consumers = state.plan().consumers.iter().enumerate();
        consumers.filter(|(_, consumer)| consumer.files.contains(file)).map(|(at, _)| at).collect()
    }

    fn step(&mut self, at: usize, slot: Option<u8>, step: HostStep, state: StepState) {
        let instance = slot.and_then(|slot| self.instance(at, slot));
        let consumer = self.consumer(at);
        self.operator.event(Event::HostStep {
            host: self.called.host_of(at).to_owned(),
            consumer,
            instance,
            step,
            state,
            detail: None,
        });
    }

    fn downtime(&mut self, downtime: keyroll_port::Downtime) {
        self.downtime = self.downtime.max(Some(downtime.length));
        let consumer = self.consumer(downtime.consumer.index());
        let measured = self.downtimes.measured(&consumer, downtime.length, downtime.back);
        let detail = measured.map_or_else(
            || format!("downtime {:.2} s", downtime.length.as_secs_f64()),
            |measured| measured.text(),
        );
        self.operator.event(Event::HostStep {
            host: self.called.host_of(downtime.consumer.index()).to_owned(),
            consumer,
            instance: None,
            step: HostStep::Applied,
            state: StepState::Done,
            detail: Some(detail),
        });
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a projection: most operations are not shown")]
    fn carried(&mut self, op: &Op, outcome: &Ended, state: &State) {
        let how = match outcome {
            Ended::Done(_) => StepState::Done,
            Ended::Failed { .. } | Ended::ChangedElsewhere => StepState::Failed,
            Ended::Unknown => StepState::Waiting,
            Ended::Refused(_) => StepState::Skipped,
        };
        match op {
            Op::Deliver(..) => {
                for at in self.readers(state, op) {
                    self.step(at, None, HostStep::Delivered, how);
                }
            }
            Op::Apply(consumer, slot, _) => self.step(consumer.index(), Some(*slot), HostStep::Applied, how),
            Op::Promote if how == StepState::Done => {
                self.operator.event(Event::Phase { phase: operator::Phase::Promote })
            }
            _ => {}
        }
    }

    fn proved(&mut self, consumer: usize, proofs: &[keyroll_rotation::Proof]) {
        for proof in proofs {
            for (path, kinds) in (0u8..).zip(proof.paths) {
                for (kind, _) in Kinds::ALL.into_iter().filter(|(kind, _)| kinds.has(*kind)) {
                    if self.shown.insert((proof.who, path, kind.bits())) {
                        self.evidence(consumer, proof, path, kind);
                    }
                }
            }
        }
    }

    fn evidence(&mut self, consumer: usize, proof: &keyroll_rotation::Proof, path: u8, kind: Kinds) {
        let grade = [
            (Kinds::DELIVERED, Grade::Delivered),
            (Kinds::READ, Grade::Read),
            (Kinds::LOADED, Grade::Loaded),
            (Kinds::REPORTED, Grade::Reported),
            (Kinds::TOLD, Grade::Told),
            (Kinds::CHECKED, Grade::Checked),
            (Kinds::EXERCISED, Grade::Exercised),
        ];
        let Some((_, grade)) = grade.into_iter().find(|(of, _)| *of == kind) else { return };
        let instance = match proof.who.life {
            InstanceIdentity::Process { pid, .. } => match self.called.host(proof.who.host) {
                Some(host) => format!("pid {pid} on {host}"),
                None => format!("pid {pid}"),
            },
            InstanceIdentity::AtRest(_) => "at rest".to_owned(),
            InstanceIdentity::Container { .. } => self.called.pod(proof.who),
        };
        let path = (path > 0).then(|| format!("path {path}"));
        let observer = self.called.host_of(consumer).to_owned();
        let consumer = self.consumer(consumer);
        self.operator.event(Event::Evidence { consumer, instance, path, grade, observer });
    }

    fn entered(&mut self, state: &State) {
        let phase = state.phase();
        if self.phase == Some(phase) {
            return;
        }
        if self.phase == Some(Phase::RollingBack) && phase != Phase::RolledBack && state.emergency().is_none()
        {
            self.operator.note(NO_WAY_BACK);
        }
        self.phase = Some(phase);
        self.answer_until = None;
        self.downtimes.turn(matches!(phase, Phase::RollingBack | Phase::RolledBack));
        if let Some(shown) = operator::Phase::of(phase) {
            self.operator.event(Event::Phase { phase: shown });
        }
        if self.until == Some(phase) {
            // A full channel means that another event is pending already.
            let _ = self.tell.try_send(Command::Tell(Fact::PauseAsked));
        }
    }

    /// Probes or a list undid what the operator or an earlier list said.
    fn old_key(&mut self, state: &State) {
        let ended = state.old_key() == OldKey::Ended;
        if self.ended && !ended && !state.ended() {
            let back = match Next::Abort.is_possible(state) {
                true => format!("; {} rolls back", command(&self.called, state, Next::Abort).command),
                false => String::new(),
            };
            self.operator.note(format!("{STILL_THERE}{back}"));
        }
        self.ended = ended;
    }

    fn held(&mut self, state: &State) {
        if self.hold == state.hold() {
            return;
        }
        self.hold = state.hold();
        if let Some(Hold::Paused(Reason::Holder(who))) = self.hold
            && who.life.runs()
        {
            let mut holder = blockers::unexplained(&self.called, who, state);
            let all = self.waits.blocking(&self.called, state);
            let others: Vec<_> = all.into_iter().filter(|one| !blockers::is_same(one, &holder)).collect();
            let seen = who.pid().and_then(|pid| self.holders.get(&(who.host, pid)));
            if let Some((name, found_by)) = seen {
                (holder.name, holder.found_by) = (name.clone(), found_by.clone());
            }
            self.blocked = Some(holder.name.clone());
            // During a rollback the new key is blocked; otherwise Disable is next.
            let back = state.phase() == Phase::RollingBack;
            let gate = if back { operator::Phase::RollingBack } else { operator::Phase::Disable };
            self.operator.event(Event::Blocked { gate, holder });
            for holder in others {
                self.operator.event(Event::Blocked { gate, holder });
            }
        } else if self.hold.is_some() {
            let gate = self.phase.and_then(operator::Phase::of).unwrap_or(operator::Phase::Disable);
            for holder in self.waits.blocking(&self.called, state) {
                self.operator.event(Event::Blocked { gate, holder });
            }
        }
    }

    /// Shows the output of each failing check once, so that the wait for a consumer is explained.
    fn check_fails(&mut self, consumer: ConsumerId, check: &FailingCheck) {
        let name = self.consumer(consumer.index());
        let on = if check.path == 0 { String::new() } else { format!(" on path {}", check.path) };
        let text = format!("the check of {name}{on} fails: {}", check.what);
        self.once(text.clone(), Event::Note { text });
    }

    /// Something uses the old key while it is disabled.
    fn uses(&mut self, holder: keyroll_port::Holder) {
        let shown = blockers::user(&self.called, &holder);
        self.blocked.get_or_insert_with(|| shown.name.clone());
        let event = Event::Blocked { gate: operator::Phase::Soak, holder: shown };
        let it = holder.pid.map_or(holder.name, |pid| pid.to_string());
        self.once(format!("user {} {it}", holder.host.0), event);
    }

    fn once(&mut self, text: String, event: Event) {
        if self.told.insert(text) {
            self.operator.event(event);
        }
    }
}

impl Observer for Watch<'_> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "a projection: most entries are not shown")]
    fn appended(&mut self, seq: Seq, event: &Entry, state: &State) {
        match &event.fact {
            Fact::Intended(op) => drop(self.ops.insert(seq, op.clone())),
            Fact::Ended { intent, outcome } => {
                if let Some(op) = self.ops.remove(intent) {
                    self.carried(&op, outcome, state);
                }
            }
            Fact::Proved { consumer, proofs, .. } => self.proved(consumer.index(), proofs),
            Fact::Decided(_) => {
                let instances = state.look().map_or(0, |look| look.seen.instances.len());
                let instances = u64::try_from(instances).unwrap_or(u64::MAX);
                let waivers = u64::try_from(state.waived().len()).unwrap_or(u64::MAX);
                let all = state.look().is_none_or(|look| unsearched(state, look).is_empty());
                let nobody = waivers == 0 && all && !self.confirmed;
                let standing = state.plan().policy.standing_consent && nobody;
                let by = if standing { "the standing consent in keyroll.toml" } else { "this command" };
                self.operator.event(Event::Decided { by: by.to_owned(), instances, waivers });
            }
            _ => {}
        }
        self.waits.see(event, state);
        self.waits(state);
        self.hosts_back(state);
        self.consumers_back(state);
        // The cause of a phase is shown before the phase.
        self.old_key(state);
        self.entered(state);
        self.held(state);
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Failed(failure) => {
                let kind = failure.kind;
                let problem = Problem::from(failure);
                let causes = problem.causes.join(": ");
                let past = self.way_past(problem.code, kind, &problem.attempted);
                let help = match &self.steps.back {
                    Some(back) if kind == FailureKind::StaysAlive => {
                        let id = &self.rotation;
                        format!("\n{back}\nthen: keyroll retry {id}")
                    }
                    Some(_) | None => {
                        problem.help.as_ref().map(|help| format!("; help: {help}")).unwrap_or_default()
                    }
                };
                let text =
                    format!("could not {} ({}): {causes}{help}{past}", problem.attempted, problem.code);
                self.once(text.clone(), Event::Note { text });
            }
            Note::NotVisible(all) => {
                for line in all {
                    let unseen = Unseen::of(&line, &|name| self.called.has_host(name));
                    // Processes come and go: each kind of missing visibility is shown once for each machine, not at each
                    // inspection.
                    let kind = unseen.what.split(" of ").next().unwrap_or_default();
                    let key =
                        format!("{} {kind}: {}", unseen.host.as_deref().unwrap_or_default(), unseen.why);
                    self.once(key, Event::NotVisible { what: unseen.named(), why: unseen.why });
                }
            }
            Note::AskedFrom { host, endpoint, what } => {
                if self.asked.is_first(host, &endpoint, self.phase) {
                    let from = self.called.host(host).map(|host| format!(" from {host}")).unwrap_or_default();
                    self.operator.event(Event::Note { text: format!("{endpoint}{from}: {what}") });
                }
            }
            Note::Holder(holder) => {
                // A container has its name from the journal.
                if let Some(pid) = holder.pid {
                    self.holders.insert((holder.host, pid), (holder.name, holder.found_by));
                }
            }
            Note::Names(names) => self.called.learn(names),
            Note::User(holder) => self.uses(holder),
            Note::Refused(who) => {
                let text = format!("the issuer refused a call with the old key by {who}");
                self.once(text.clone(), Event::Note { text });
            }
            Note::Stranger(place) => {
                let text = format!("{place} holds the old value and is not a declared copy");
                self.once(text.clone(), Event::Note { text });
            }
            Note::Residues(all) => {
                self.residues =
                    all.into_iter().map(|one| Residue { place: one.place, reason: one.reason }).collect();
            }
            Note::PendingChanges { live, refused } => {
                live.iter().for_each(|one| self.operator.event(pending_changes::event(one, refused)))
            }
            Note::CheckFails { consumer, check } => self.check_fails(consumer, &check),
            Note::Downtime(downtime) => self.downtime(downtime),
            Note::Rejected(illegal) => self.operator.note(format!("refused: {}", illegal.why)),
            Note::Journal(text) => {
                self.waits.see_unwritten(&text);
                self.once(text.clone(), Event::Note { text: format!("journal: {text}") });
            }
        }
    }

    fn standing(&mut self, standing: &DriverState, state: &State) -> ObserverReply {
        self.waits(state);
        self.held(state);
        let DriverState::Person(people) = standing else { return ObserverReply::Nobody };
        for person in people {
            match person {
                Person::Consent(digest) => return self.consent(*digest, state),
                Person::MintByHand if self.steps.prompted => {}
                Person::MintByHand => self.operator.note(self.steps.mint.clone()),
                Person::RevokeByHand => self.operator.note(self.steps.revoke.clone()),
            }
        }
        ObserverReply::Nobody
    }

    fn waits(&mut self, state: &State) -> Option<u64> {
        self.waits.asks(self.asking.is_some());
        self.waits.show(&self.called, state, self.operator)
    }
}

fn millis(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
