//! The world: hosts, instances, files, the issuer, the store. It is the truth, whatever a driver believes.

use std::collections::VecDeque;

use keyroll_rotation::{
    ConsumerId, CredId, Delivery, Difference, FileId, HostId, Kinds, PATHS_MAX, Plan, ReloadMode, State,
    Which,
};

use crate::absence::Absence;
use crate::connections::{Instead, LooseSession};
use crate::issuer::{FOREIGN, Issuer, OLD, OWN, Value};
use crate::lasting::Lasting;
use crate::link_record::LinkRecord;
use crate::look::WholeLook;
use crate::mutant::Mutation;
use crate::process::{Memory, Proc};
use crate::quirks::Quirk;
use crate::rng::Rng;
use crate::scene::{Family, HOSTS, HOSTS_MAX, Kind, SESSION_MS, Scene};
use crate::shared::Shared;
use crate::store::Store;
use crate::truth::Truth;

/// How many uses of keys are remembered: more than the issuer's lag needs.
const USES_MAX: usize = 80;
/// Uses that are closer to each other than this count as one.
const USES_APART_MS: u64 = 30;

/// The longest time between two calls of a process that calls rarely.
const CALLS_APART_MS_MAX: u64 = 6_000;

/// The issuer's wall clock jumps by this, in either direction.
pub(crate) const YEAR_MS: i64 = 365 * 86_400_000;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) boot: u64,
    pub(crate) boot_at: u64,
    pub(crate) issuer: Issuer,
    pub(crate) store: Store,
    /// The source of truth that consumers fetch from; `None` = the store.
    pub(crate) truth: Option<Truth>,
    /// The right store, while an older one is in its place.
    pub(crate) store_whole: Option<Store>,
    /// The evidence about each process before the older store came, and the value that it was for.
    pub(crate) shown_before: Vec<(u32, Value, [Kinds; PATHS_MAX])>,
    pub(crate) files: Vec<Value>,
    /// The files in which a new value ever was.
    pub(crate) had_new: Vec<FileId>,
    /// Whether keyroll ever gave out the new value, or took it back where another party did.
    pub(crate) gave_new: bool,
    /// When another party last wrote each file.
    pub(crate) edited: Vec<u64>,
    /// When a debt was last retried, or a Revoke failed: an earlier look does not count.
    pub(crate) look_since: u64,
    pub(crate) procs: Vec<Proc>,
    pub(crate) host_down_until: [u64; HOSTS_MAX],
    pub(crate) host_epoch: [u64; HOSTS_MAX],
    /// The hosts that are away.
    pub(crate) away: [Option<Absence>; HOSTS_MAX],
    /// The links to the hosts.
    pub(crate) links: LinkRecord,
    /// Copies outside the plan, each with the time at which it appeared and its value.
    pub(crate) strangers: Vec<(u64, Value)>,
    pub(crate) strangers_waived: Vec<u64>,
    pub(crate) wall_jump: i64,
    /// Until when nothing can be written on each host.
    pub(crate) host_full_until: [u64; HOSTS_MAX],
    /// A consumer whose logs show trouble, and until when.
    pub(crate) trouble: (usize, u64),
    /// Another party's edits that the next restart of a consumer activates.
    pub(crate) edits: Vec<(ConsumerId, Difference)>,
    /// A restart activated an edit that was not accepted.
    pub(crate) brought: bool,
    /// Values that the files' formats cannot carry.
    pub(crate) uncarried: Vec<Value>,
    /// When we last moved something, and when the old key was last seen accepted by a probe of ours.
    pub(crate) moved_at: u64,
    pub(crate) alive_at: u64,
    /// The ends of the records of refused uses before a Disable: the issuer's own mark, and the host's.
    pub(crate) marked: Option<(Option<String>, u32)>,
    /// A look at the refusals reported none, although there were some.
    pub(crate) refusals_missed: bool,
    /// The last complete look that was answered.
    pub(crate) look: Option<WholeLook>,
    /// Every complete look that was written, the last one last.
    pub(crate) looks: Vec<WholeLook>,
    /// Refused uses of the old key that the driver learned of since the key was disabled.
    pub(crate) refusals_told: u32,
    /// Uses of the old key during the last second.
    pub(crate) uses: VecDeque<(Value, u64)>,
    /// When the issuer was last asked for the last use of the old key, and by which driver.
    pub(crate) asked_use: Option<(u64, u64)>,
    /// Until when lists miss the old key.
    pub(crate) skips_until: u64,
    /// When the last complete list was read that is in the journal. A driver drops some: one that does not show the old key is
    /// believed only if the next one does not either, and that is not asked for in each phase.
    pub(crate) listed_at: u64,
    /// When the rollback began.
    pub(crate) rolling_since: u64,
    /// An outage in which everything is refused, per host.
    pub(crate) refused_until: [u64; HOSTS_MAX],
    /// New values that were declared compromised.
    pub(crate) leaked: Vec<Value>,
    pub(crate) hand_made: Option<CredId>,
    values: Value,
    pids: u32,
    pub(crate) rng: Rng,
    /// What this rotation shares with a rotation of another secret.
    pub(crate) shared: Option<Shared>,
    /// What a mutant omits.
    pub(crate) mutation: Mutation,
    /// What one endpoint answers instead.
    pub(crate) instead: Option<Instead>,
    /// Until when lists of keys are incomplete.
    pub(crate) partial_until: u64,
    pub(crate) lasting: Lasting,
    /// Sessions on the old key whose processes nobody finds.
    pub(crate) loose: Vec<LooseSession>,
    /// The next process that we restart keeps its former value on its last path, if it has more than one.
    pub(crate) next_keeps_old: bool,
    /// Draws what scenes with quirks do besides.
    pub(crate) quirk_rng: Rng,
    /// Exercising succeeds on the whole path at once, in this share of looks (1 in n fails).
    pub(crate) quiet: u64,
}

impl World {
    pub(crate) fn new(scene: Scene, now: u64) -> Self {
        let plan = scene.plan();
        let mut world = Self {
            scene,
            now,
            boot: 1,
            boot_at: 0,
            issuer: Issuer::new(scene.kind, &plan.capabilities, scene.draw ^ 0x155),
            store: Store::new(CredId::new("none")),
            truth: Truth::of(&scene),
            store_whole: None,
            shown_before: Vec::new(),
            files: vec![OLD; plan.files.len()],
            had_new: Vec::new(),
            gave_new: false,
            edited: vec![0; plan.files.len()],
            look_since: 0,
            procs: Vec::new(),
            host_down_until: [0; HOSTS_MAX],
            host_epoch: [0; HOSTS_MAX],
            away: [None; HOSTS_MAX],
            links: LinkRecord::default(),
            strangers: Vec::new(),
            strangers_waived: Vec::new(),
            // The issuer's clock differs from ours: a year behind, the same, or a year ahead.
            wall_jump: YEAR_MS * [-1, 0, 1].get(usize::try_from(scene.draw % 3).unwrap_or(1)).unwrap_or(&0),
            host_full_until: [0; HOSTS_MAX],
            trouble: (0, 0),
            edits: Vec::new(),
            brought: false,
            uncarried: Vec::new(),
            moved_at: 0,
            alive_at: 0,
            marked: None,
            refusals_missed: false,
            look: None,
            looks: Vec::new(),
            refusals_told: 0,
            uses: VecDeque::with_capacity(USES_MAX),
            asked_use: None,
            skips_until: 0,
            listed_at: 0,
            rolling_since: 0,
            refused_until: [0; HOSTS_MAX],
            leaked: Vec::new(),
            hand_made: None,
            values: OLD,
            pids: 100,
            rng: Rng::new(scene.draw ^ 0x77),
            shared: None,
            mutation: Mutation::None,
            instead: None,
            partial_until: 0,
            lasting: Lasting::default(),
            loose: Vec::new(),
            next_keeps_old: false,
            quirk_rng: Rng::new(scene.draw ^ 0x9_0177),
            quiet: 3,
            plan,
        };
        // Where a mint exchanges the values, nothing but the declared times says what became of a lost one.
        let beside = matches!(scene.kind, Kind::Independent | Kind::TwoSlots);
        if scene.quirks.has(Quirk::SlowIssuer) && beside {
            world.issuer.slow_down();
        }
        world.store = Store::new(world.old_id());
        world.share();
        world.start_all();
        world
    }

    fn start_all(&mut self) {
        for at in 0..self.plan.consumers.len() {
            self.start_consumer(at);
        }
        self.start_served();
    }

    /// Ends an old key that is dead already. Sets up a shared one: its other users, or its consumers' own key.
    fn share(&mut self) {
        if self.scene.recovery {
            self.issuer.creds.iter_mut().take(1).for_each(|cred| cred.ended = Some(0));
        }
        match self.scene.family {
            Family::None => {}
            // Others hold the old key, in memory and in files, and go on using it.
            Family::Part => {
                self.process(None, 0, HostId(0), OLD);
                self.strangers.push((0, OLD));
            }
            Family::End => {
                let own = self.fresh_value();
                self.issuer.before(own);
                self.files.fill(own);
                self.store.add_own();
            }
        }
    }

    /// The value that the plan's consumers begin with.
    pub(crate) fn first_value(&self) -> Value {
        if self.scene.family == Family::End { OWN } else { OLD }
    }

    fn start_consumer(&mut self, at: usize) {
        let Some(consumer) = self.plan.consumers.get(at).cloned() else { return };
        let Ok(id) = u16::try_from(at).map(ConsumerId) else { return };
        let forked = consumer.uptake == ReloadMode::Verb && at == 2;
        let first = self.first_value();
        for slot in 0..consumer.slots {
            let proc = self.process(Some(id), slot, consumer.host, first);
            if let Some(proc) = self.procs.get_mut(proc) {
                proc.at_rest = consumer.uptake == ReloadMode::AtRest;
                proc.active = !proc.at_rest;
                proc.master = forked.then_some(first);
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
            program: 1,
            began: self.now,
            at_rest: false,
            loaded: value,
            since: self.now,
            by_us: false,
            residue: None,
            master: None,
            session: None,
            shown: [Kinds::NONE; PATHS_MAX],
            shown_for: value,
            renews_at: None,
            reads_at: None,
            calls_at: 0,
            pool: None,
            also: None,
            active: true,
            hidden_until: 0,
            masked_until: 0,
            waived: false,
            memory: Memory::default(),
            served: None,
        });
        self.procs.len() - 1
    }

    /// No format can carry the next value that is made.
    pub(crate) fn next_is_uncarried(&mut self) {
        self.uncarried.push(self.values.saturating_add(1));
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

    /// The value of a version, as the shell finds it: by the intent under which it is sealed.
    pub(crate) fn value_of(&self, which: Which, state: &State) -> Option<Value> {
        match which {
            Which::Old => Some(OLD),
            Which::New if self.scene.family == Family::End => Some(OWN),
            Which::New => {
                let seq = state.new_version().map(|new| new.mint).or(state.chosen())?;
                self.store.kept(seq).map(|kept| kept.1)
            }
        }
    }

    /// Whether the new value may have reached a consumer, as far as keyroll can know: it was in one of its files, or was given
    /// out to those that read the store, or the consumer fetches.
    pub(crate) fn is_reached(&self, id: ConsumerId) -> bool {
        self.plan.consumers.get(id.index()).is_some_and(|it| match it.delivery {
            Delivery::Push => it.files.iter().any(|file| self.had_new.contains(file)),
            Delivery::Fetch => true,
            Delivery::Follow => self.gave_new,
        })
    }

    /// Sets what a file holds, and lets the processes that re-read it load the value.
    pub(crate) fn write(&mut self, file: FileId, value: Value, by_us: bool) {
        if self.is_file_off(file) {
            return;
        }
        if let Some(holds) = self.files.get_mut(file.index()) {
            *holds = value;
        }
        if value != OLD && value != FOREIGN && !self.had_new.contains(&file) {
            self.had_new.push(file);
        }
        if let Some(edited) = self.edited.get_mut(file.index()).filter(|_| !by_us) {
            *edited = self.now;
        }
        for at in 0..self.procs.len() {
            let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { continue };
            let rereads = self.plan.consumers.get(id.index()).is_some_and(|consumer| {
                consumer.files.contains(&file) && consumer.uptake != ReloadMode::Verb
            });
            let runs = self.procs.get(at).is_some_and(|proc| !proc.at_rest);
            if rereads && runs && self.is_served(id) {
                self.offer(at, value, by_us);
            } else if rereads {
                self.load(at, value, by_us);
            }
        }
    }

    /// A process loads a value without a restart.
    pub(crate) fn load(&mut self, at: usize, value: Value, by_us: bool) {
        let now = self.now;
        if let Some(proc) = self.procs.get_mut(at)
            && proc.loaded != value
        {
            proc.residue = Some(proc.loaded);
            proc.loaded = value;
            (proc.since, proc.by_us) = (now, by_us);
            // No look sees an edit that is undone between two looks: earlier evidence still counts.
            if value != FOREIGN && value != proc.shown_for {
                proc.shown = [Kinds::NONE; PATHS_MAX];
                proc.shown_for = value;
            }
        }
    }

    /// Refused uses are counted from here on.
    pub(crate) fn watch(&mut self, issuer: Option<String>) {
        self.marked = Some((issuer, self.refused()));
        (self.refusals_told, self.refusals_missed) = (0, false);
    }

    /// Uses of the old key that were ever refused.
    pub(crate) fn refused(&self) -> u32 {
        self.issuer.creds.first().map_or(0, |cred| cred.refused)
    }

    /// Restarts one process: another incarnation, which loads what its files hold now.
    pub(crate) fn restart(&mut self, at: usize, by_us: bool) {
        let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { return };
        let there = self.plan.consumers.get(id.index()).filter(|_| !self.runs_nowhere(at));
        let Some(consumer) = there else { return };
        let value = consumer.files.first().map_or(self.given_out(), |file| self.file(*file));
        let now = self.now;
        self.pids += 1;
        let pid = self.pids;
        if let Some(proc) = self.procs.get_mut(at) {
            // A worker that is forked from a preloaded master holds the master's value again. What starts by itself, as after a
            // host was put back, starts with its master.
            let loaded = match proc.master {
                Some(held) if held != value => {
                    proc.master = None;
                    if by_us { held } else { value }
                }
                Some(_) | None => value,
            };
            let held = proc.loaded;
            if held != loaded {
                (proc.since, proc.by_us) = (now, by_us);
            }
            (proc.pid, proc.born, proc.loaded) = (pid, now, loaded);
            proc.begin(1, now);
            if by_us && consumer.paths > 1 && held != loaded && std::mem::take(&mut self.next_keeps_old) {
                proc.also = Some((consumer.paths - 1, held));
            }
            proc.shown = [Kinds::NONE; PATHS_MAX];
            proc.shown_for = loaded;
            proc.hidden_until = 0;
        }
        self.begin_served(at, value);
    }

    /// Every process uses the value that it holds: the issuer records the use, or refuses it.
    pub(crate) fn use_keys(&mut self) {
        self.renew();
        self.read_due();
        self.serve_due();
        let now = self.now;
        let (mut used, off) = (Vec::new(), HOSTS.map(|host| self.is_off(host)));
        let rare = self.scene.quirks.has(Quirk::RareCalls);
        for proc in &mut self.procs {
            let off = off.get(proc.host.index()).is_some_and(|off| *off);
            if !proc.active || now < proc.calls_at || off {
                continue;
            }
            if rare {
                proc.calls_at = now + self.quirk_rng.between(300, CALLS_APART_MS_MAX);
            }
            let Some(cred) = self.issuer.creds.iter_mut().rev().find(|cred| cred.value == proc.loaded) else {
                continue;
            };
            let over = |at: Option<u64>, late: u64| at.is_some_and(|at| now >= at.saturating_add(late));
            if over(cred.off, cred.death_ms) || over(cred.ended, cred.death_ms) {
                cred.refused = cred.refused.saturating_add(1);
                cred.suffered = cred.suffered.saturating_add(1);
            } else {
                if !used.contains(&proc.loaded) {
                    used.push(proc.loaded);
                }
                cred.last_used = Some(now);
                if self.plan.capabilities.sessions && proc.session.is_none() {
                    proc.session = Some((proc.loaded, now + SESSION_MS));
                }
            }
            // A pool opens a session on its own value again while the issuer accepts it.
            if let Some(value) =
                proc.pool.filter(|_| self.plan.capabilities.sessions && proc.session.is_none())
                && self.issuer.accepts(value, now)
            {
                proc.session = Some((value, now + SESSION_MS));
            }
            // A session on a value that is no longer loaded closes when its work is done.
            if proc.session.is_some_and(|(value, busy)| value != proc.loaded && now >= busy) {
                proc.session = None;
            }
        }
        used.into_iter().for_each(|value| self.note_use(value));
    }

    /// Ends the slow restarts that are due.
    fn renew(&mut self) {
        for at in 0..self.procs.len() {
            let due = |proc: &Proc| proc.renews_at.is_some_and(|at| at <= self.now);
            if self.procs.get(at).is_some_and(due) && !self.runs_nowhere(at) {
                self.restart(at, true);
            }
        }
    }

    /// The key with this value was used.
    pub(crate) fn note_use(&mut self, value: Value) {
        if self.uses_of(value).last().is_some_and(|last| self.now < last + USES_APART_MS) {
            return;
        }
        if self.uses.len() == USES_MAX {
            self.uses.pop_front();
        }
        self.uses.push_back((value, self.now));
    }

    /// When the key with this value was used, the last time last.
    pub(crate) fn uses_of(&self, value: Value) -> impl DoubleEndedIterator<Item = u64> {
        self.uses.iter().filter(move |used| used.0 == value).map(|used| used.1)
    }
}
