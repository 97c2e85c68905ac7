//! What the world answers when a driver looks. Everything told is true at the moment of the look.

use keyroll_rotation::{
    Answer, ConsumerId, CredId, Enumeration, Fact, FileId, Found, FoundBy, Holds, HostId, Incarnation, Kinds,
    Labelled, LastUsed, Life, MintedBy, Op, PATHS_MAX, Phase, PreflightSeen, Proof, Query, Seen, Seq,
    SessionSeen, Sight, Standing, State, Which,
};

use crate::issuer::{FOREIGN, OLD, Value};
use crate::mutant::Lapse;
use crate::scene::{GRAIN_MS, LAG_MS};
use crate::world::{Proc, Told, World};

/// What the issuer's wall clock shows when the world begins: room for jumps in both directions.
pub(crate) const WALL_MS: u64 = 100 * 365 * 86_400_000;

/// How a look can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lens {
    /// It sees everything.
    Clear,
    /// Part of it is missing, and it says so.
    Partial,
    /// The old key is missing, and nothing says so.
    Skips,
}

impl World {
    pub(crate) fn see(&mut self, query: &Query, state: &State, epoch: u64, lens: Lens) -> Option<Fact> {
        Some(match query {
            Query::Preflight => Fact::Preflight(PreflightSeen {
                clear: true,
                control: if lens == Lens::Partial { Answer::Unknown } else { Answer::Dead },
                current: self.answer(OLD),
            }),
            Query::StageCheck => {
                let new = self.value_of(Which::New, state);
                let carried = new.is_none_or(|new| !self.uncarried.contains(&new));
                Fact::StageChecked { intact: new.is_some() && self.store.pending == new, carried }
            }
            Query::Probe(endpoint, which) => {
                let host = self.plan.endpoints.get(endpoint.index()).copied().unwrap_or(HostId(0));
                if self.down(host) {
                    return None;
                }
                let new = self.value_of(Which::New, state);
                let value = self.value_of(*which, state);
                // An outage that refuses everything, for a while.
                let now = self.now;
                let outage = self.refused_until.get_mut(host.index()).is_some_and(|until| {
                    if lens == Lens::Partial {
                        *until = now + 4_000;
                    }
                    now < *until
                });
                let mut ask = |value| if outage { Answer::Dead } else { self.probe(value) };
                let answer = value.map_or(Answer::Unknown, &mut ask);
                // A new version whose value is not here is no control.
                let unsealed = state.new_version().map(|_| Answer::Unknown);
                let control = new.map(&mut ask).or(unsealed).filter(|_| *which == Which::Old);
                if *which == Which::Old && answer == Answer::Alive {
                    self.alive_at = now;
                }
                Fact::Probed { endpoint: *endpoint, version: *which, answer, control }
            }
            Query::List => {
                if lens == Lens::Clear {
                    self.listed_at = self.now;
                }
                self.list(lens)
            }
            // As the engine does it: no look counts beside a store that does not hold what was promoted.
            Query::Enumerate if self.store_lies(state) => return None,
            Query::Enumerate => self.enumerate(state, epoch, lens),
            Query::Prove(consumer, slot, which) => {
                let host = self.plan.consumers.get(consumer.index()).map(|it| it.host);
                if host.is_none_or(|host| self.down(host)) {
                    return None;
                }
                self.prove(*consumer, *slot, *which, state, lens)
            }
            Query::LastUsed => {
                self.asked_use = Some((epoch, self.now));
                self.last_used()
            }
            Query::Refusals => {
                let count = self.issuer.creds.first().map_or(0, |cred| cred.refused);
                let suffered = self.issuer.creds.first().map_or(0, |cred| cred.suffered);
                self.refusals_missed = count == 0 && suffered > 0;
                self.refusals_told = self.refusals_told.saturating_add(count);
                Fact::Refusals { count }
            }
            Query::Reconcile(intent) => return self.reconcile(*intent, state, lens),
            Query::Sweep => Fact::Swept { residues: 0 },
        })
    }

    fn store_lies(&self, state: &State) -> bool {
        let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
        state.promoted() && !moving && self.store.current == OLD && self.lapse != Lapse::StoreUnasked
    }

    fn answer(&self, value: Value) -> Answer {
        if self.issuer.accepts(value, self.now) { Answer::Alive } else { Answer::Dead }
    }

    /// A probe of ours moves the last-used time as anybody's use does.
    fn probe(&mut self, value: Value) -> Answer {
        let now = self.now;
        // While an end spreads, one call is refused and the next one accepted.
        let spreads = self.issuer.by_value(value).and_then(|cred| cred.ended).is_some_and(|at| now >= at);
        let answer = if spreads && self.rng.one_in(3) { Answer::Dead } else { self.answer(value) };
        if answer == Answer::Alive
            && let Some(cred) = self.issuer.by_value_mut(value)
        {
            cred.last_used = Some(now);
            if value == OLD {
                self.note_use();
            }
        }
        answer
    }

    fn list(&self, lens: Lens) -> Fact {
        let old_id = self.old_id();
        let partial = lens == Lens::Partial;
        let mut labelled = Vec::new();
        let mut old = if partial { Standing::NotVisible } else { Standing::Gone };
        for (at, cred) in self.issuer.listed(self.now).enumerate() {
            let skipped = lens == Lens::Skips && cred.id == old_id && cred.value == OLD;
            if skipped || (partial && at % 2 == 0) {
                continue;
            }
            if cred.id == old_id && cred.value == OLD {
                // The list lags behind a switch as long as the switch itself does.
                let off = cred.off.is_some_and(|at| self.now >= at + cred.death_ms);
                old = if off { Standing::Off } else { Standing::On };
            }
            if let Some(intent) = cred.label {
                labelled.push(Labelled { intent, credential: cred.id.clone() });
            }
        }
        Fact::Listed { complete: !partial, labelled, old }
    }

    fn who(proc: &Proc, boot: u64) -> Incarnation {
        let life = match (proc.at_rest, proc.consumer) {
            (true, Some(consumer)) => Life::AtRest(consumer),
            _ => Life::Process { boot, pid: proc.pid, start_ticks: proc.born / 10 },
        };
        Incarnation { host: proc.host, life }
    }

    /// The identity of a process as an enumeration shows it.
    pub(crate) fn incarnation(&self, proc: &Proc) -> Incarnation {
        Self::who(proc, self.boot)
    }

    pub(crate) fn holds(&self, file: FileId, new: Option<Value>) -> Holds {
        match self.file(file) {
            OLD => Holds::Old,
            FOREIGN => Holds::Other,
            value if Some(value) == new => Holds::New,
            _ => Holds::Other,
        }
    }

    fn enumerate(&mut self, state: &State, epoch: u64, lens: Lens) -> Fact {
        let new = self.value_of(Which::New, state);
        let goes = if state.phase() == Phase::RollingBack { new } else { Some(OLD) };
        let mut complete = lens == Lens::Clear;
        let mut instances = Vec::new();
        let mut sessions = Vec::new();
        for (at, proc) in self.procs.iter().enumerate() {
            let skipped = lens == Lens::Partial && at % 2 == 0;
            if self.down(proc.host) || skipped {
                complete = false;
                continue;
            }
            if self.now < proc.hidden_until {
                continue;
            }
            let who = self.incarnation(proc);
            let seen = |value: Option<Value>| {
                let there = value.is_some_and(|it| proc.loaded == it || proc.residue == Some(it));
                if there { Sight::Yes } else { Sight::No }
            };
            let by = if proc.consumer.is_some() { FoundBy::Configured } else { FoundBy::Environment };
            let masked = self.now < proc.masked_until;
            let seen = Seen {
                who,
                consumer: proc.consumer,
                slot: proc.slot,
                old: if masked { Sight::No } else { seen(Some(OLD)) },
                new: seen(new),
                by,
            };
            if proc.consumer.is_some() || seen.old == Sight::Yes || seen.new == Sight::Yes {
                instances.push(seen);
            }
            if let Some((value, busy)) = proc.session
                && Some(value) == goes
            {
                sessions.push(SessionSeen { who: Some(who), busy: self.now < busy });
            }
        }
        let mut files = Vec::new();
        for (at, host) in self.plan.files.iter().enumerate() {
            let Ok(file) = u16::try_from(at).map(FileId) else { continue };
            let holds = if self.down(*host) { Holds::Unreadable } else { self.holds(file, new) };
            complete &= !self.down(*host);
            files.push((file, holds));
        }
        if complete {
            let told = Told { epoch, at: self.now };
            self.look = Some(told);
            self.looks.retain(|look| look.epoch != epoch);
            self.looks.push(told);
        }
        Fact::Enumerated(Enumeration {
            complete,
            instances,
            files,
            sessions: self.plan.capabilities.sessions.then_some(sessions),
            strangers: self.copies(goes),
        })
    }

    /// Copies of one value in places that the plan does not have.
    fn copies(&self, of: Option<Value>) -> Vec<u64> {
        self.strangers.iter().filter(|(_, held)| Some(*held) == of).map(|(place, _)| *place).collect()
    }

    fn prove(
        &mut self,
        consumer: ConsumerId,
        slot: Option<u8>,
        which: Which,
        state: &State,
        lens: Lens,
    ) -> Fact {
        let (now, boot) = (self.now, self.boot);
        let value = self.value_of(which, state);
        let paths = self.plan.consumers.get(consumer.index()).map_or(1, |it| it.paths);
        let attributable = self.plan.consumers.get(consumer.index()).is_some_and(|it| it.attributable);
        let mut proofs = Vec::new();
        for proc in &mut self.procs {
            if proc.consumer != Some(consumer) || slot.is_some_and(|slot| proc.slot != slot) {
                continue;
            }
            if now < proc.hidden_until {
                continue;
            }
            let right = Some(proc.loaded) == value && self.issuer.accepts(proc.loaded, now);
            let mut kinds = [Kinds::NONE; PATHS_MAX];
            for (path, kind) in kinds.iter_mut().enumerate().take(usize::from(paths)) {
                let idle = path > 0 && self.rng.one_in(self.quiet);
                if !right || idle || lens == Lens::Partial {
                    continue;
                }
                *kind = Kinds::DELIVERED.and(Kinds::LOADED).and(Kinds::CHECKED);
                if attributable {
                    *kind = Kinds::DELIVERED.and(Kinds::EXERCISED);
                }
                if proc.at_rest {
                    *kind = Kinds::DELIVERED.and(Kinds::CHECKED);
                }
                if let Some(shown) = proc.shown.get_mut(path) {
                    *shown = shown.and(*kind);
                }
            }
            let other = match (self.plan.capabilities.sessions, proc.session) {
                (false, _) => Sight::NotVisible,
                (true, Some((held, _))) if Some(held) != value => Sight::Yes,
                (true, _) => Sight::No,
            };
            proofs.push(Proof {
                who: Self::who(proc, boot),
                slot: proc.slot,
                version: which,
                paths: kinds,
                other_session: other,
            });
        }
        let trouble = self.trouble.0 == consumer.index() && now < self.trouble.1;
        Fact::Proved { consumer, proofs, trouble }
    }

    fn last_used(&self) -> Fact {
        let LastUsed::PerKey { .. } = self.plan.capabilities.last_used else { return Fact::LastUsed(None) };
        let used = self.old_uses.iter().rev().find(|at| *at + LAG_MS <= self.now);
        // It appears late and is coarse; the issuer's wall clock may jump.
        let shown = used.map(|at| (WALL_MS + at / GRAIN_MS * GRAIN_MS).saturating_add_signed(self.wall_jump));
        Fact::LastUsed(shown)
    }

    /// As the engine does it: list, read back, probe; never a blind retry.
    fn reconcile(&mut self, intent: Seq, state: &State, lens: Lens) -> Option<Fact> {
        let op = state.intents().iter().find(|open| open.seq == intent)?.op.clone();
        let found = match &op {
            Op::Choose if self.store.kept(intent).is_some() => Found::Executed(None),
            Op::Mint => self.find_mint(intent, state, lens),
            Op::Deliver(..) | Op::Promote | Op::Demote if state.new_version().is_none() => Found::Absent,
            Op::Deliver(file, which) => {
                if self.plan.files.get(file.index()).is_some_and(|host| self.down(*host)) {
                    return None;
                }
                // A value that is not in the store cannot be compared with.
                self.value_of(Which::New, state)?;
                let goal = self.value_of(*which, state);
                match self.file(*file) {
                    FOREIGN => Found::Foreign,
                    value if Some(value) == goal => Found::Executed(None),
                    _ => Found::Absent,
                }
            }
            Op::Disable if self.shows_off(lens) => Found::Executed(None),
            Op::Promote | Op::Demote => {
                let new = self.value_of(Which::New, state);
                let goal = if op == Op::Promote { new } else { Some(OLD) };
                if new.is_none() {
                    return Some(Fact::Reconciled { intent, found: Found::Unclear });
                }
                if Some(self.store.current) == goal { Found::Executed(None) } else { Found::Absent }
            }
            Op::Choose
            | Op::Apply(..)
            | Op::Stage
            | Op::Fetch(_)
            | Op::Disable
            | Op::Enable
            | Op::Revoke
            | Op::EndSessions
            | Op::DeleteNew
            | Op::DeleteOrphan(_)
            | Op::DeleteAbandoned(_)
            | Op::Retire(_) => Found::Absent,
        };
        Some(Fact::Reconciled { intent, found })
    }

    /// Whether a list shows the old key switched off.
    fn shows_off(&self, lens: Lens) -> bool {
        let off = self.issuer.creds.first().and_then(|cred| cred.off.map(|at| at + cred.death_ms));
        self.plan.capabilities.list && lens == Lens::Clear && off.is_some_and(|at| self.now >= at)
    }

    fn find_mint(&mut self, intent: Seq, state: &State, lens: Lens) -> Found {
        if let Some((_, _, Some(id))) = self.store.kept(intent) {
            return Found::Executed(Some(id.clone()));
        }
        let chosen = state.chosen_for(intent);
        let proposed = chosen.and_then(|seq| self.store.kept(seq)).map(|kept| kept.1);
        let capabilities = &self.plan.capabilities;
        if capabilities.list && capabilities.label {
            let entry = self.issuer.listed(self.now).find(|cred| cred.label == Some(intent));
            let entry = entry.map(|cred| (cred.id.clone(), cred.value));
            return match (entry, proposed) {
                (Some((id, value)), Some(proposed)) if value == proposed => {
                    self.accepted_as(intent, proposed, &id)
                }
                (Some((id, _)), _) => Found::ValueLost(id),
                (None, _) if lens == Lens::Clear => Found::Absent,
                (None, _) => Found::Unclear,
            };
        }
        if let (Some(proposed), MintedBy::Us) = (proposed, capabilities.minted_by) {
            let id = self.issuer.by_value(proposed).map(|cred| cred.id.clone());
            if let Some(id) = id
                && self.issuer.accepts(proposed, self.now)
            {
                return self.accepted_as(intent, proposed, &id);
            }
        }
        let unsealed = proposed.is_none() && chosen.is_some();
        if self.issuer.accepts(OLD, self.now) && !unsealed { Found::Absent } else { Found::Unclear }
    }

    /// The label is there, but the value may not be: only an accepted call shows that it is.
    fn accepted_as(&mut self, intent: Seq, value: Value, id: &CredId) -> Found {
        if !self.issuer.accepts(value, self.now) {
            return Found::Unclear;
        }
        self.store.keep(intent, value, Some(id.clone()));
        Found::Executed(Some(id.clone()))
    }
}
