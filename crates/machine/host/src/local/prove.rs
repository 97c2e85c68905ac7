//! Evidence from the instances of one consumer. No kind is inferred from another.

use std::hash::{BuildHasher as _, RandomState};

use keyroll_codes::Code;
use keyroll_needle::Needles;
use keyroll_observe::{MemoryLimits, ProcessId, Sockets, environment_holds, memory_holds, variables_holding};
use keyroll_port::{Class, Evidence, Failure, Prepared, Proving, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Kinds, PATHS_MAX, Proof, Visibility, Which};
use keyroll_secret::Fields;

use super::checks::{ProofRequest, ask, may_repeat};
use super::copies::holds_version;
use super::find::needle;
use super::followers::{Shows, took};
use super::halves::{Begun, BegunProcess, Half};
use super::inside::{Inside, read_inside};
use super::not_loaded::Loaded;
use super::running::Running;
use super::served::below;
use super::session_calls::{calls, connections, open_sessions};
use super::{CheckSetup, Local, SlotSetup};
use crate::read;

impl Local {
    /// Everything but what the sessions show after the requests of the checks, which are sent here.
    pub(super) fn begin_proof(&self, of: Proving<'_>, before: &Sessions) -> Result<Begun, Failure> {
        let Proving { consumer: id, slot, which, values, .. } = of;
        let consumer = self.consumer_setup(id)?;
        self.ledger_is_read()?;
        self.remark_unserved(id, which);
        let all = self.running_until(id)?;
        let mine: Vec<Running> = all
            .into_iter()
            .filter(|one| one.consumer == id && slot.is_none_or(|slot| slot == one.slot))
            .collect();
        let job = consumer.slots.iter().all(|one| one.run.is_job());
        let serves = !mine.is_empty() && !job;
        // A service that was told to restart and did not come back is no job at rest: there is no evidence.
        let told = consumer.slots.iter().any(|one| one.run.needs_reload());
        let one_of_several = consumer.slots.len() > 1 && slot.is_some();
        if !serves && (told || one_of_several) {
            return Ok(Begun::default());
        }
        let none = mine.is_empty();
        let sockets = if none { Sockets::default() } else { connections(before, &self.setup.servers)? };
        let at_rest = if serves { None } else { Some(self.prove_at_rest(id, which, values)?) };
        let mut processes = Vec::new();
        for one in &mine {
            if serves && self.is_covered(one, which, values)? {
                continue;
            }
            processes.push(self.begin_process(one, &mine, of, (before, &sockets))?);
        }
        let needed = processes.iter().any(|one| one.is_new || one.asked.is_some());
        let reads_again = needed && before.of(which).is_some();
        Ok(Begun { serves, at_rest, mine, processes, reads_again, sockets })
    }

    /// The evidence, with what the sessions show now.
    pub(super) fn end_proof(
        &self,
        number: u64,
        of: Proving<'_>,
        after: &Sessions,
    ) -> Result<Evidence, Failure> {
        let Begun { serves, at_rest, mine, processes, reads_again, sockets } = self.take_half(number, of)?;
        self.ledger_is_read()?;
        let sockets = if reads_again { connections(after, &self.setup.servers)? } else { sockets };
        let mut proofs = Vec::from_iter(at_rest);
        for begun in &processes {
            let proof = self.end_process(begun, &mine, of, (after, &sockets))?;
            // A job that began before the change is not waited for here: it is a holder until it ends.
            if serves || proof.paths.iter().any(|kinds| kinds.has(Kinds::LOADED)) {
                proofs.push(proof);
            }
        }
        let against = serves && self.speaks_against(&mine, of)?;
        Ok(Evidence { proofs, against })
    }

    /// Whether a log, a program's own word or the error rate speaks against the version.
    fn speaks_against(&self, mine: &[Running], of: Proving<'_>) -> Result<bool, Failure> {
        let Proving { consumer: id, which, values, .. } = of;
        let slots: std::collections::BTreeSet<u8> = mine.iter().map(|one| one.slot).collect();
        let refused = which == Which::New && slots.into_iter().any(|slot| self.log_lines(id, slot).1 > 0);
        let refused = refused || mine.iter().any(|one| self.is_refused(one, which, values));
        Ok(refused || (which == Which::New && self.too_many_errors()?))
    }

    fn prove_at_rest(&self, id: ConsumerId, which: Which, values: Values<'_>) -> Result<Proof, Failure> {
        let (_, setup) = self.slot_setup(id, 0)?;
        let who = self.at_rest(id);
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

    fn begin_process(
        &self,
        one: &Running,
        mine: &[Running],
        of: Proving<'_>,
        (before, sockets): (&Sessions, &Sockets),
    ) -> Result<BegunProcess, Failure> {
        let Proving { which, values, .. } = of;
        let who = self.life_of(one);
        let (_, setup) = self.slot_setup(one.consumer, one.slot)?;
        let (paths, calls) = (Vec::new(), calls(before, which, sockets, &one.process));
        let mut begun =
            BegunProcess { one: *one, who, is_new: false, loaded: false, paths, calls, asked: None };
        self.note_all_sessions(one, mine, (before, sockets));
        let shows = self.has_to_show(one.consumer, who, which)?;
        if shows == Some(Shows::Nothing) || self.is_old_generation(one, setup, which)? {
            return Ok(begun);
        }
        let base = self.base_kinds(one, who, of, shows)?;
        // A process that does not report that it is ready has given no evidence, whatever it holds.
        if !is_ready(setup)? {
            return Ok(begun);
        }
        begun.is_new = !self.memo().shown.contains_key(&(one.consumer, who, 0, which));
        begun.loaded = base.has(Kinds::LOADED);
        for (path, _) in (0u8..).zip(&setup.checks).take(PATHS_MAX) {
            let known = self.memo().shown.get(&(one.consumer, who, path, which)).copied().unwrap_or_default();
            // What a process says last counts, and not what it said before.
            let mut now = known.without(Kinds::TOLD).and(base).and(self.told(one, path, which, values));
            // The process's own report: a line in its log that shows an accepted credential since the change.
            if path == 0 && self.reported(one, who) {
                now = now.and(Kinds::REPORTED);
            }
            if path == 0 && !begun.is_new && self.has_called(&begun, mine, which, now) {
                now = now.and(Kinds::EXERCISED);
            }
            begun.paths.push(now);
        }
        if base.has(Kinds::DELIVERED) || self.follows_store(one.consumer) {
            let request = ProofRequest {
                instance: one,
                slot: setup,
                which,
                values,
                sessions: before,
                watched: of.watched,
            };
            self.ask_paths(&mut begun, request)?;
        }
        Ok(begun)
    }

    /// What a process shows on every path.
    fn base_kinds(
        &self,
        one: &Running,
        who: Incarnation,
        of: Proving<'_>,
        shows: Option<Shows>,
    ) -> Result<Kinds, Failure> {
        let Proving { which, values, .. } = of;
        let mut base = Kinds::NONE;
        if self.delivered_to(one.consumer, Some(&one.process), which, values) {
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
            self.has_loaded(one, which, values, shows)?
        } {
            Loaded::Yes => base = base.and(Kinds::LOADED),
            Loaded::No => {}
            Loaded::Other(variables) => self.remark_other(one, which, &variables),
        }
        Ok(base)
    }

    /// Runs the checks of a process. While calls are counted, one check runs at each look: after two of them, a call would be
    /// evidence of the other path too. Of a life that no earlier look saw, only the main path is asked: the calls that were
    /// counted before may be of the program that ran before.
    fn ask_paths(&self, begun: &mut BegunProcess, of: ProofRequest<'_>) -> Result<(), Failure> {
        let ProofRequest { instance: one, slot, which, sessions, .. } = of;
        let counts = sessions.of(which).is_some();
        let mut asked = Vec::new();
        for ((path, check), known) in (0u8..).zip(&slot.checks).zip(&begun.paths) {
            let Some(check) = check else { continue };
            let failed = (one.consumer, begun.who, path);
            let again = may_repeat(check) && (of.watched || self.memo().failed_watch.contains(&failed));
            if again || self.would_run(one.consumer, path, check, *known, sessions) {
                asked.push((path, check, again));
            }
        }
        if counts {
            let may_ask = |path: &u8| *path == 0 || !begun.is_new;
            let paths: Vec<u8> = asked.iter().map(|(path, ..)| *path).filter(may_ask).collect();
            let turn = self.next_to_ask(begun.who, &paths);
            asked.retain(|(path, ..)| turn == Some(*path));
        }
        for (path, check, again) in asked {
            let Some(kinds) = begun.paths.get_mut(usize::from(path)) else { continue };
            if again {
                *kinds = kinds.without(Kinds::CHECKED).without(Kinds::REPORTED);
            }
            let answered = self.check_path(of, path, check)?;
            let failed = (one.consumer, begun.who, path);
            if again && answered.kinds == Kinds::NONE {
                self.memo().failed_watch.insert(failed);
            } else if again {
                self.memo().failed_watch.remove(&failed);
            }
            *kinds = kinds.and(answered.kinds);
            if counts && answered.asked {
                // Kept only with its calls: otherwise it might not be asked again.
                begun.asked = Some(path);
            } else if self.life_of(one) == begun.who {
                self.memo().shown.insert((one.consumer, begun.who, path, which), *kinds);
            }
        }
        Ok(())
    }

    /// Which of these paths of a process is asked now: they take turns.
    fn next_to_ask(&self, who: Incarnation, sending: &[u8]) -> Option<u8> {
        let mut memo = self.memo();
        let last = memo.asked.get(&who).copied();
        let later = sending.iter().find(|path| last.is_none_or(|last| **path > last));
        let next = later.or(sending.first()).copied()?;
        memo.asked.insert(who, next);
        Some(next)
    }

    fn end_process(
        &self,
        begun: &BegunProcess,
        mine: &[Running],
        of: Proving<'_>,
        (after, sockets): (&Sessions, &Sockets),
    ) -> Result<Proof, Failure> {
        let Proving { which, values, .. } = of;
        let BegunProcess { one, who, .. } = begun;
        let (_, setup) = self.slot_setup(one.consumer, one.slot)?;
        self.note_all_sessions(one, mine, (after, sockets));
        let other_session = self.other_session(one, which, values, (after, sockets));
        let mut paths = [Kinds::NONE; PATHS_MAX];
        for ((path, kinds), shown) in (0u8..).zip(&mut paths).zip(&begun.paths) {
            let mut now = *shown;
            if path == 0 && self.has_called(begun, mine, which, now) {
                now = now.and(Kinds::EXERCISED);
                self.downtime_shown(one.consumer, setup);
            }
            // The request went to this process: the issuer has since seen a call from it with this version.
            if begun.asked == Some(path) && calls(after, which, sockets, &one.process) > begun.calls {
                now = now.and(Kinds::EXERCISED);
            }
            if self.life_of(one) == *who {
                self.memo().shown.insert((one.consumer, *who, path, which), now);
            }
            let failed = self.memo().failed_watch.contains(&(one.consumer, *who, path));
            // What it holds is known still, and that it works is not.
            let works = Kinds::CHECKED.and(Kinds::REPORTED).and(Kinds::EXERCISED).and(Kinds::TOLD);
            *kinds = if failed { now.without(works) } else { now };
        }
        // Another program began meanwhile: some of this evidence may be of that one.
        if self.life_of(one) != *who {
            paths = [Kinds::NONE; PATHS_MAX];
        }
        Ok(Proof { who: *who, slot: one.slot, version: which, paths, other_session })
    }

    /// Remembers the sessions of a process and of those below it.
    fn note_all_sessions(&self, one: &Running, mine: &[Running], (sessions, sockets): (&Sessions, &Sockets)) {
        std::iter::once(one).chain(below(one, mine)).for_each(|it| self.note_sessions(it, sessions, sockets));
    }

    /// Whether the sessions of the last look show a call of this process, or below it where its word counts.
    fn has_called(&self, begun: &BegunProcess, mine: &[Running], which: Which, now: Kinds) -> bool {
        let one = &begun.one;
        let called_below = || now.has(Kinds::TOLD) && self.called_below(one, mine, which);
        self.called(one, which, begun.loaded) || called_below()
    }

    /// Keeps a first half, in the place of the one before.
    pub(super) fn keep_half(&self, of: Proving<'_>, seen: Result<Begun, Failure>) -> Prepared {
        // Drawn, so that a number of a keyroll that ran before this one is unknown here.
        let number = RandomState::new().hash_one((of.consumer.0, of.slot));
        let reads_again = seen.as_ref().is_ok_and(|begun| begun.reads_again);
        let half = Half { number, which: of.which, seen };
        self.memo().halves.insert((of.consumer, of.slot), half);
        Prepared { number, reads_again }
    }

    /// The first half with this number. It is given out once.
    pub(super) fn take_half(&self, number: u64, of: Proving<'_>) -> Result<Begun, Failure> {
        let key = (of.consumer, of.slot);
        let mut memo = self.memo();
        let is_this = |half: &Half| half.number == number && half.which == of.which;
        if !memo.halves.get(&key).is_some_and(is_this) {
            return Err(unknown());
        }
        memo.halves.remove(&key).map_or_else(|| Err(unknown()), |half| half.seen)
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
        match sessions.of(which.other()) {
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

fn unknown() -> Failure {
    Failure::new(Class::Retryable, Code::OtherDriver, "finish a look at who uses the value")
        .because("another look was begun since, the value was changed, or keyroll was started anew")
        .help("the look is made again")
}
