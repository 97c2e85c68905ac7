//! The world: hosts, instances, files, the issuer, the store. It is what is true, whatever a driver believes.

use std::collections::VecDeque;

use keyroll_rotation::{
    ConsumerId, CredId, Delivery, Effect, FileId, HostId, Kinds, Op, Outcome, PATHS_MAX, Plan, Seq, State,
    Uptake, Which,
};

use crate::issuer::{FOREIGN, Issuer, OLD, Value};
use crate::rng::Rng;
use crate::scene::Scene;

/// A process, or a job at rest.
#[derive(Debug, Clone)]
pub(crate) struct Proc {
    pub(crate) consumer: Option<ConsumerId>,
    pub(crate) slot: u8,
    pub(crate) host: HostId,
    pub(crate) pid: u32,
    pub(crate) born: u64,
    pub(crate) at_rest: bool,
    /// What it loaded. At rest: what it would load, kept in step with its file.
    pub(crate) loaded: Value,
    /// Since when, and whether it was our doing.
    pub(crate) since: u64,
    pub(crate) by_us: bool,
    /// Still in its memory.
    pub(crate) residue: Option<Value>,
    /// Workers are forked from a master that loaded this before.
    pub(crate) master: Option<Value>,
    /// A session opened with this value, busy until then.
    pub(crate) session: Option<(Value, u64)>,
    /// What was shown of its present value, per path: the truth behind the evidence.
    pub(crate) shown: [Kinds; PATHS_MAX],
    /// Its evidence is for this value.
    pub(crate) shown_for: Value,
    /// Uses the key all the time; a sleeper only now and then.
    pub(crate) active: bool,
    /// Cannot be seen by an enumeration until then.
    pub(crate) hidden_until: u64,
    /// A person explained it away.
    pub(crate) waived: bool,
}

/// The source of truth for values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    /// Sealed under an intent, before anybody else learned of it.
    pub(crate) kept: Vec<(Seq, Value, Option<CredId>)>,
    pub(crate) pending: Option<Value>,
    pub(crate) current: Value,
    pub(crate) old_retired: bool,
}

impl Store {
    pub(crate) fn kept(&self, seq: Seq) -> Option<&(Seq, Value, Option<CredId>)> {
        self.kept.iter().find(|kept| kept.0 == seq)
    }

    pub(crate) fn keep(&mut self, seq: Seq, value: Value, id: Option<CredId>) {
        if self.kept(seq).is_none() {
            self.kept.push((seq, value, id));
        }
    }
}

/// A look that told everything, and when it was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) epoch: u64,
    pub(crate) at: u64,
}

/// Uses of the old key that are remembered: more than the issuer's lag needs.
const USES_MAX: usize = 40;
/// Uses closer to each other than this are one.
const USES_APART_MS: u64 = 30;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) boot: u64,
    pub(crate) boot_at: u64,
    pub(crate) issuer: Issuer,
    pub(crate) store: Store,
    pub(crate) files: Vec<Value>,
    pub(crate) procs: Vec<Proc>,
    pub(crate) host_down_until: [u64; 3],
    pub(crate) host_epoch: [u64; 3],
    pub(crate) strangers: Vec<u64>,
    pub(crate) strangers_waived: Vec<u64>,
    pub(crate) wall_jump: u64,
    /// The last complete look that was answered.
    pub(crate) look: Option<Told>,
    /// The last complete look of each driver.
    pub(crate) looks: Vec<Told>,
    /// Uses of the old key that were refused and that the driver was told of since it was switched off.
    pub(crate) refusals_told: u32,
    /// Made at the console, and not yet said.
    /// Uses of the old key, by anybody, of the last second.
    pub(crate) old_uses: VecDeque<u64>,
    /// When the issuer last said when the old key was used, and to which driver.
    pub(crate) asked_use: Option<(u64, u64)>,
    /// When a complete list was last read.
    pub(crate) listed_at: u64,
    /// When the way back was taken.
    pub(crate) rolling_since: u64,
    /// An outage in which everything is refused, per host.
    pub(crate) refused_until: [u64; 3],
    /// New values that were declared compromised.
    pub(crate) leaked: Vec<Value>,
    pub(crate) hand_made: Option<CredId>,
    values: Value,
    pids: u32,
    pub(crate) rng: Rng,
    /// Exercising succeeds on the whole path at once, in this share of looks (1 in n fails).
    pub(crate) quiet: u64,
}

impl World {
    pub(crate) fn new(scene: Scene) -> Self {
        let plan = scene.plan();
        let mut world = Self {
            scene,
            now: 1_000,
            boot: 1,
            boot_at: 0,
            issuer: Issuer::new(scene.kind, plan.capabilities.label, scene.draw ^ 0x155),
            store: Store::default(),
            files: vec![OLD; plan.files.len()],
            procs: Vec::new(),
            host_down_until: [0; 3],
            host_epoch: [0; 3],
            strangers: Vec::new(),
            strangers_waived: Vec::new(),
            wall_jump: 0,
            look: None,
            looks: Vec::new(),
            refusals_told: 0,
            old_uses: VecDeque::with_capacity(USES_MAX),
            asked_use: None,
            listed_at: 0,
            rolling_since: 0,
            refused_until: [0; 3],
            leaked: Vec::new(),
            hand_made: None,
            values: OLD,
            pids: 100,
            rng: Rng::new(scene.draw ^ 0x77),
            quiet: 3,
            plan,
        };
        for at in 0..world.plan.consumers.len() {
            world.start_consumer(at);
        }
        world
    }

    fn start_consumer(&mut self, at: usize) {
        let Some(consumer) = self.plan.consumers.get(at).cloned() else { return };
        let Ok(id) = u16::try_from(at).map(ConsumerId) else { return };
        let forked = consumer.uptake == Uptake::Verb && at == 2;
        for slot in 0..consumer.slots {
            let proc = self.process(Some(id), slot, consumer.host, OLD);
            if let Some(proc) = self.procs.get_mut(proc) {
                proc.at_rest = consumer.uptake == Uptake::AtRest;
                proc.active = !proc.at_rest;
                proc.master = forked.then_some(OLD);
            }
        }
    }

    /// Starts a process that holds a value; returns its place.
    pub(crate) fn process(
        &mut self,
        consumer: Option<ConsumerId>,
        slot: u8,
        host: HostId,
        value: Value,
    ) -> usize {
        self.pids += 1;
        self.procs.push(Proc {
            consumer,
            slot,
            host,
            pid: self.pids,
            born: self.now,
            at_rest: false,
            loaded: value,
            since: self.now,
            by_us: false,
            residue: None,
            master: None,
            session: None,
            shown: [Kinds::NONE; PATHS_MAX],
            shown_for: value,
            active: true,
            hidden_until: 0,
            waived: false,
        });
        self.procs.len() - 1
    }

    pub(crate) fn fresh_value(&mut self) -> Value {
        self.values = self.values.saturating_add(1);
        self.values
    }

    pub(crate) fn mono(&self) -> u64 {
        self.now - self.boot_at
    }

    pub(crate) fn down(&self, host: HostId) -> bool {
        self.host_down_until.get(host.index()).is_some_and(|until| self.now < *until)
    }

    pub(crate) fn file(&self, file: FileId) -> Value {
        self.files.get(file.index()).copied().unwrap_or(FOREIGN)
    }

    /// The value behind a version, as the shell finds it: by the intent that it is kept under.
    pub(crate) fn value_of(&self, which: Which, state: &State) -> Option<Value> {
        match which {
            Which::Old => Some(OLD),
            Which::New => {
                let seq = state.new_version().map(|new| new.mint).or(state.chosen())?;
                self.store.kept(seq).map(|kept| kept.1)
            }
        }
    }

    /// Sets what a file holds, and what follows from it for those that re-read it.
    pub(crate) fn write(&mut self, file: FileId, value: Value, by_us: bool) {
        if let Some(holds) = self.files.get_mut(file.index()) {
            *holds = value;
        }
        for at in 0..self.procs.len() {
            let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { continue };
            let rereads =
                self.plan.consumers.get(id.index()).is_some_and(|consumer| {
                    consumer.files.contains(&file) && consumer.uptake != Uptake::Verb
                });
            if rereads {
                self.load(at, value, by_us);
            }
        }
    }

    /// A process takes a value up in place.
    pub(crate) fn load(&mut self, at: usize, value: Value, by_us: bool) {
        let now = self.now;
        if let Some(proc) = self.procs.get_mut(at)
            && proc.loaded != value
        {
            proc.residue = Some(proc.loaded);
            proc.loaded = value;
            (proc.since, proc.by_us) = (now, by_us);
            proc.shown = [Kinds::NONE; PATHS_MAX];
            proc.shown_for = value;
        }
    }

    /// The store moved: whoever follows it moves too.
    pub(crate) fn set_current(&mut self, value: Value, by_us: bool) {
        self.store.current = value;
        for at in 0..self.procs.len() {
            let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { continue };
            let follows =
                self.plan.consumers.get(id.index()).is_some_and(|it| it.delivery == Delivery::Follow);
            if follows {
                self.load(at, value, by_us);
            }
        }
    }

    /// Restarts one process: another incarnation, which holds what its files hold now.
    pub(crate) fn restart(&mut self, at: usize, by_us: bool) {
        let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { return };
        let Some(consumer) = self.plan.consumers.get(id.index()) else { return };
        let value = consumer.files.first().map_or(self.store.current, |file| self.file(*file));
        let now = self.now;
        self.pids += 1;
        let pid = self.pids;
        if let Some(proc) = self.procs.get_mut(at) {
            // A worker that is forked from a preloaded master holds the master's value once more.
            let loaded = match proc.master {
                Some(held) if held != value && by_us => {
                    proc.master = None;
                    held
                }
                Some(_) | None => value,
            };
            if proc.loaded != loaded {
                (proc.since, proc.by_us) = (now, by_us);
            }
            (proc.pid, proc.born, proc.loaded) = (pid, now, loaded);
            (proc.residue, proc.session) = (None, None);
            proc.shown = [Kinds::NONE; PATHS_MAX];
            proc.shown_for = loaded;
            proc.hidden_until = 0;
        }
    }

    /// Everybody uses what they hold: the issuer notes it, or refuses it.
    pub(crate) fn use_keys(&mut self) {
        let now = self.now;
        let mut used = false;
        for proc in &mut self.procs {
            if !proc.active {
                continue;
            }
            let Some(cred) = self.issuer.creds.iter_mut().rev().find(|cred| cred.value == proc.loaded) else {
                continue;
            };
            let over = |at: Option<u64>, late: u64| at.is_some_and(|at| now >= at.saturating_add(late));
            if over(cred.off, cred.death_ms) || over(cred.ended, cred.death_ms) {
                cred.refused = cred.refused.saturating_add(1);
            } else {
                if proc.loaded == OLD {
                    used = true;
                }
                cred.last_used = Some(now);
                if self.plan.capabilities.sessions && proc.session.is_none() {
                    proc.session = Some((proc.loaded, now + 150));
                }
            }
            // A session on a value that is no longer loaded is drained when its work is done.
            if proc.session.is_some_and(|(value, busy)| value != proc.loaded && now >= busy) {
                proc.session = None;
            }
        }
        if used {
            self.note_use();
        }
    }

    /// Somebody used the old key.
    pub(crate) fn note_use(&mut self) {
        if self.old_uses.back().is_some_and(|last| self.now < last + USES_APART_MS) {
            return;
        }
        if self.old_uses.len() == USES_MAX {
            self.old_uses.pop_front();
        }
        self.old_uses.push_back(self.now);
    }

    /// Carries an operation out. What is true afterwards is true whatever is reported.
    pub(crate) fn carry(&mut self, effect: &Effect, state: &State, epoch: u64) -> Outcome {
        if let Some(host) = self.host_of(&effect.op) {
            if self.down(host) {
                return Outcome::Failed { retry: true };
            }
            let seen = self.host_epoch.get_mut(host.index());
            if let Some(seen) = seen {
                if *seen > epoch {
                    return Outcome::Failed { retry: false };
                }
                *seen = epoch;
            }
        }
        let old = self.old_id();
        let now = self.now;
        match &effect.op {
            Op::Choose => {
                let value = self.fresh_value();
                self.store.keep(effect.intent, value, None);
            }
            Op::Mint => return self.mint(effect, state),
            Op::Stage => match self.value_of(Which::New, state) {
                Some(value) => self.store.pending = Some(value),
                None => return Outcome::Failed { retry: false },
            },
            Op::Deliver(file, which) => return self.deliver(*file, *which, state),
            Op::Fetch(consumer) => self.fetch(*consumer),
            Op::Apply(consumer, slot, _) => self.apply(*consumer, *slot),
            Op::Promote | Op::Demote => return self.promote(effect.op == Op::Promote, state),
            Op::Disable | Op::Enable => {
                if !self.issuer.switch(&old, effect.op == Op::Enable, now) {
                    return Outcome::Failed { retry: false };
                }
                self.refusals_told = 0;
            }
            Op::Revoke => self.issuer.end(&old, now),
            Op::EndSessions => {
                for proc in &mut self.procs {
                    if proc.session.is_some_and(|(value, busy)| value == OLD && now >= busy) {
                        proc.session = None;
                    }
                }
            }
            Op::DeleteNew => {
                if let Some(new) = state.new_version() {
                    self.issuer.end(&new.credential.clone(), now);
                }
            }
            Op::DeleteOrphan(credential) | Op::DeleteAbandoned(credential) => {
                self.issuer.end(credential, now);
            }
            Op::Retire(Which::Old) => self.store.old_retired = true,
            Op::Retire(Which::New) => self.store.pending = None,
        }
        Outcome::Done(None)
    }

    pub(crate) fn old_id(&self) -> CredId {
        self.issuer.creds.first().map_or_else(|| CredId::new("none"), |cred| cred.id.clone())
    }

    fn host_of(&self, op: &Op) -> Option<HostId> {
        match op {
            Op::Deliver(file, _) => self.plan.files.get(file.index()).copied(),
            Op::Fetch(consumer) | Op::Apply(consumer, ..) => {
                self.plan.consumers.get(consumer.index()).map(|consumer| consumer.host)
            }
            Op::Choose
            | Op::Mint
            | Op::Stage
            | Op::Promote
            | Op::Demote
            | Op::Disable
            | Op::Enable
            | Op::Revoke
            | Op::EndSessions
            | Op::DeleteNew
            | Op::DeleteOrphan(_)
            | Op::DeleteAbandoned(_)
            | Op::Retire(_) => None,
        }
    }

    fn mint(&mut self, effect: &Effect, state: &State) -> Outcome {
        let proposed = state.chosen().and_then(|seq| self.store.kept(seq)).map(|kept| kept.1);
        let value = proposed.unwrap_or_else(|| self.fresh_value());
        let id = self.issuer.mint(value, effect.intent, self.now);
        self.store.keep(effect.intent, value, Some(id.clone()));
        Outcome::Done(Some(id))
    }

    fn deliver(&mut self, file: FileId, which: Which, state: &State) -> Outcome {
        let Some(value) = self.value_of(which, state) else { return Outcome::Failed { retry: false } };
        if self.file(file) == FOREIGN {
            // Compare-and-swap: somebody else's edit is never overwritten.
            return Outcome::Failed { retry: false };
        }
        self.write(file, value, true);
        Outcome::Done(None)
    }

    fn fetch(&mut self, consumer: ConsumerId) {
        let files = self.plan.consumers.get(consumer.index()).map(|it| it.files.clone()).unwrap_or_default();
        let current = self.store.current;
        for file in files {
            self.write(file, current, true);
        }
    }

    fn apply(&mut self, consumer: ConsumerId, slot: u8) {
        for at in 0..self.procs.len() {
            let hit = self
                .procs
                .get(at)
                .is_some_and(|proc| proc.consumer == Some(consumer) && proc.slot == slot && !proc.at_rest);
            if hit {
                self.restart(at, true);
            }
        }
    }

    fn promote(&mut self, forward: bool, state: &State) -> Outcome {
        let Some(new) = self.value_of(Which::New, state) else { return Outcome::Failed { retry: false } };
        let (from, to) = if forward { (OLD, new) } else { (new, OLD) };
        if self.store.current == to {
            return Outcome::Done(None);
        }
        // Compare-and-swap on the expected current. A version that was abandoned may still be current.
        let abandoned = forward && self.store.current != new;
        if self.store.current != from && !abandoned {
            return Outcome::Failed { retry: false };
        }
        self.set_current(to, true);
        Outcome::Done(None)
    }
}
