//! Evidence from the instances of one consumer. No kind is inferred from another.

use keyroll_needle::Needles;
use keyroll_observe::{MemoryLimits, ProcessId, Sockets, environment_holds, memory_holds, variables_holding};
use keyroll_port::{Evidence, Failure, SessionSource, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Kinds, PATHS_MAX, Proof, Visibility, Which};
use keyroll_secret::Fields;
use tokio::task::block_in_place;

use super::checks::{ProofRequest, ask};
use super::deliver::holds_version;
use super::enumerate::Running;
use super::find::{at_rest, needle};
use super::followers::{Shows, took};
use super::inside::{Inside, read_inside};
use super::not_loaded::Loaded;
use super::served::below;
use super::session_calls::{connections, open_sessions};
use super::{CheckSetup, Local, SlotSetup};
use crate::read;

impl Local {
    pub(super) async fn prove_slot(
        &self,
        id: ConsumerId,
        slot: Option<u8>,
        which: Which,
        values: Values<'_>,
        source: &dyn SessionSource,
    ) -> Result<Evidence, Failure> {
        let consumer = block_in_place(|| self.consumer_setup(id))?;
        block_in_place(|| self.ledger_is_read())?;
        block_in_place(|| self.remark_unserved(id, which));
        let all = block_in_place(|| self.running_until(id))?;
        let mine: Vec<Running> = all
            .into_iter()
            .filter(|one| one.consumer == id && slot.is_none_or(|slot| slot == one.slot))
            .collect();
        let job = consumer.slots.iter().all(|one| one.run.is_job());
        if mine.is_empty() || job {
            // A service that was told to restart and did not come back is no job at rest: there is no evidence.
            let told = consumer.slots.iter().any(|one| one.run.needs_reload());
            let one_of_several = consumer.slots.len() > 1 && slot.is_some();
            let proofs = if told || one_of_several {
                Vec::new()
            } else {
                let mut proofs = vec![block_in_place(|| self.prove_at_rest(id, which, values))?];
                for one in &mine {
                    let proof = self.prove_process(one, &mine, which, values, source).await?;
                    // A job that began before the change is not waited for here: it is a holder until it ends.
                    if proof.paths.iter().any(|kinds| kinds.has(Kinds::LOADED)) {
                        proofs.push(proof);
                    }
                }
                proofs
            };
            return Ok(Evidence { proofs, against: false });
        }
        let mut proofs = Vec::new();
        for one in &mine {
            if block_in_place(|| self.is_covered(one, which, values))? {
                continue;
            }
            proofs.push(self.prove_process(one, &mine, which, values, source).await?);
        }
        let slots: std::collections::BTreeSet<u8> = mine.iter().map(|one| one.slot).collect();
        let refused = which == Which::New
            && slots.into_iter().any(|slot| block_in_place(|| self.log_lines(id, slot)).1 > 0);
        let refused =
            refused || mine.iter().any(|one| block_in_place(|| self.is_refused(one, which, values)));
        let against = refused || (which == Which::New && block_in_place(|| self.too_many_errors())?);
        Ok(Evidence { proofs, against })
    }

    fn prove_at_rest(&self, id: ConsumerId, which: Which, values: Values<'_>) -> Result<Proof, Failure> {
        let (_, setup) = self.slot_setup(id, 0)?;
        let who = at_rest(id);
        let delivered = self.delivered_to(id, None, which, values);
        // What the store gives out was compared before the call for evidence.
        let given = delivered || self.follows_store(id);
        let mut paths = [Kinds::NONE; PATHS_MAX];
        for (at, kinds) in paths.iter_mut().enumerate().take(setup.checks.len()) {
            if delivered && self.is_served(id) {
                *kinds = Kinds::DELIVERED;
            }
            let Some(Some(setup)) = setup.checks.get(at) else { continue };
            let path = u8::try_from(at).unwrap_or(u8::MAX);
            *kinds = match setup {
                CheckSetup::Exec { .. } if given => self.exec_check(id, path, setup, which, values)?,
                CheckSetup::Exec { .. } | CheckSetup::Http(_) | CheckSetup::LiteLlm(_) => Kinds::NONE,
            };
            if delivered {
                *kinds = kinds.and(Kinds::DELIVERED);
            }
        }
        Ok(Proof { who, slot: 0, version: which, paths, other_session: Visibility::No })
    }

    async fn prove_process(
        &self,
        one: &Running,
        mine: &[Running],
        which: Which,
        values: Values<'_>,
        source: &dyn SessionSource,
    ) -> Result<Proof, Failure> {
        let who = block_in_place(|| self.life_of(one));
        let (_, setup) = block_in_place(|| self.slot_setup(one.consumer, one.slot))?;
        let before = source.now().await?;
        let sockets = block_in_place(|| connections(&before, &self.setup.servers))?;
        std::iter::once(one).chain(below(one, mine)).for_each(|it| self.note_sessions(it, &before, &sockets));
        let other_session = self.other_session(one, which, values, (&before, &sockets));
        let shows = block_in_place(|| self.has_to_show(one.consumer, who, which))?;
        if shows == Some(Shows::Nothing) || block_in_place(|| self.is_old_generation(one, setup, which))? {
            let paths = [Kinds::NONE; PATHS_MAX];
            return Ok(Proof { who, slot: one.slot, version: which, paths, other_session });
        }
        let mut base = Kinds::NONE;
        if block_in_place(|| self.delivered_to(one.consumer, Some(&one.process), which, values)) {
            base = base.and(Kinds::DELIVERED);
        }
        if self.read_all(one.consumer, &one.process, which) {
            base = base.and(Kinds::READ);
        }
        // If the value was seen in this incarnation before, it was loaded: the memory is not searched again.
        let before_now = self.memo().shown.get(&(one.consumer, who, 0, which)).copied().unwrap_or_default();
        match if before_now.has(Kinds::LOADED) {
            Loaded::Yes
        } else {
            block_in_place(|| self.has_loaded(one, which, values, shows))?
        } {
            Loaded::Yes => base = base.and(Kinds::LOADED),
            Loaded::No => {}
            Loaded::Other(variables) => self.remark_other(one, which, &variables),
        }
        let mut paths = [Kinds::NONE; PATHS_MAX];
        // A process that does not report that it is ready has given no evidence, whatever it holds.
        let ready = block_in_place(|| is_ready(setup))?;
        for (path, kinds) in (0u8..).zip(&mut paths).take(setup.checks.len()).filter(|_| ready) {
            let known = self.memo().shown.get(&(one.consumer, who, path, which)).copied().unwrap_or_default();
            // What a process says last counts, and not what it said before.
            let mut now = known.without(Kinds::TOLD).and(base).and(self.told(one, path, which, values));
            // The process's own report: a line in its log that shows an accepted credential since the change.
            if path == 0 && block_in_place(|| self.reported(one, who)) {
                now = now.and(Kinds::REPORTED);
            }
            let called_below = || now.has(Kinds::TOLD) && self.called_below(one, mine, which);
            if path == 0 && (self.called(one, which, base.has(Kinds::LOADED)) || called_below()) {
                now = now.and(Kinds::EXERCISED);
                self.downtime_shown(one.consumer, setup);
            }
            if let Some(Some(check)) = setup.checks.get(usize::from(path))
                && (base.has(Kinds::DELIVERED) || self.follows_store(one.consumer))
            {
                let of = ProofRequest { instance: one, slot: setup, which, values, sessions: source };
                now = now.and(self.check_path(of, path, check, now).await?);
            }
            if self.life_of(one) == who {
                self.memo().shown.insert((one.consumer, who, path, which), now);
            }
            *kinds = now;
        }
        // Another program began meanwhile: some of this evidence may be of that one.
        if self.life_of(one) != who {
            paths = [Kinds::NONE; PATHS_MAX];
        }
        Ok(Proof { who, slot: one.slot, version: which, paths, other_session })
    }

    /// Whether its environment or its memory shows the version.
    fn has_loaded(
        &self,
        one: &Running,
        which: Which,
        values: Values<'_>,
        shows: Option<Shows>,
    ) -> Result<Loaded, Failure> {
        let (_, setup) = self.slot_setup(one.consumer, one.slot)?;
        let limits = self.setup.search.of_one();
        let needles = self.needles(values)?;
        Ok(match shows {
            Some(shows) if took(&one.process, which, &needles, shows, limits) => Loaded::Yes,
            Some(shows) => {
                self.remark_kept(one, which, shows);
                Loaded::No
            }
            None => loaded(&one.process, which, &needles, setup.run.starts_new_process(), limits),
        })
    }

    /// Whether it has a session with the other version, or says that it presents that.
    fn other_session(
        &self,
        one: &Running,
        which: Which,
        values: Values<'_>,
        (sessions, sockets): (&Sessions, &Sockets),
    ) -> Visibility {
        let of_other = match which {
            Which::New => &sessions.old,
            Which::Old => &sessions.new,
        };
        match of_other {
            _ if self.says_other(one, which, values) => Visibility::Yes,
            None => Visibility::NotVisible,
            Some(_) if open_sessions(sessions, which.other(), sockets, &one.process) => Visibility::Yes,
            Some(_) => Visibility::No,
        }
    }

    pub(super) fn follows_store(&self, id: ConsumerId) -> bool {
        self.setup.consumer(id).is_some_and(|consumer| consumer.follows)
    }

    /// Reads the files back in the consumer's own mount namespace. A consumer that reads the store has none.
    fn delivered_to(
        &self,
        id: ConsumerId,
        process: Option<&ProcessId>,
        which: Which,
        values: Values<'_>,
    ) -> bool {
        let Some(consumer) = self.setup.consumer(id) else { return false };
        if let Some(served) = &consumer.served {
            return self.is_given(served, &consumer.name, process, which, values);
        }
        let Some(fields) = values.of(which) else { return false };
        let without = Self::leaves(which, values);
        !consumer.follows
            && consumer.files.iter().all(|file| self.reads_back(*file, process, fields, without))
    }

    /// `process`: in whose mount namespace; `None` = this machine's own view.
    pub(super) fn reads_back(
        &self,
        file: FileId,
        process: Option<&ProcessId>,
        fields: &Fields,
        without: Option<&Fields>,
    ) -> bool {
        let Some(setup) = self.setup.file(file) else { return false };
        let bytes = match process.map_or(Inside::Outside, |process| read_inside(process, &setup.path)) {
            Inside::Holds(bytes) => Some(bytes),
            Inside::Other => None,
            // Its root is not visible, or nothing runs: only this machine's own view is available.
            Inside::Outside => {
                self.resolved(setup).and_then(|resolved| read(&resolved)).ok().map(|content| content.bytes)
            }
        };
        bytes.is_some_and(|bytes| holds_version(setup, bytes.expose(), fields, without))
    }
}

/// Whether its environment or its memory holds the version. Memory never proves that the other version is gone. A
/// process that was `restarted` with the other version in its environment may use that one, whatever else it has read.
fn loaded(
    process: &ProcessId,
    which: Which,
    needles: &Needles,
    restarted: bool,
    limits: MemoryLimits,
) -> Loaded {
    let (id, other) = (needle(which), needle(which.other()));
    let started_with = environment_holds(process, needles).unwrap_or_default();
    if restarted && started_with.contains(&other) {
        return Loaded::Other(variables_holding(process, needles, other).unwrap_or_default());
    }
    if started_with.contains(&id) {
        return Loaded::Yes;
    }
    let memory = memory_holds(process, needles, limits);
    match (memory.count(id), memory.count(other)) {
        (1.., _) => Loaded::Yes,
        (0, 1..) if restarted => Loaded::Other(Vec::new()),
        (0, _) => Loaded::No,
    }
}

/// Whether an instance reports that it is ready, if it has a readiness address.
fn is_ready(slot: &SlotSetup) -> Result<bool, Failure> {
    slot.ready.as_ref().map_or(Ok(true), |ready| ask(ready, slot.instance.as_deref()))
}
