//! What a call changes in the world, and the answer to it. Every answer is true at that moment.

use keyroll_port::{Applied, Class, Label, Listed, Listing, PendingChange, Probe, Session};
use keyroll_rotation::{
    ConsumerId, CredId, Difference, Enumeration, FileId, FoundBy, Holds, HostId, Incarnation, LastUsed,
    ObservedInstance, Query, Reconciled, SessionSeen, Visibility, Which,
};
use keyroll_secret::CredentialId;

use crate::calls::{Call, CallResult, Lens};
use crate::connections::LooseSession;
use crate::issuer::{FOREIGN, OLD, STRANGE, Value};
use crate::mutant::Mutation;
use crate::process::Proc;
use crate::quirks::Quirk;
use crate::scene::{GRAIN_MS, LAG_MS, ROTATION};
use crate::world::World;

/// The longest time in which a restarted process keeps its old value.
const GENERATION_MS_MAX: u64 = 4_000;

/// How long, and how often, an issuer does not show the last use.
const HIDES_MS: u64 = 6_000;
const HIDES_APART_MS: u64 = 9_000;

/// The issuer's wall clock at the beginning: it can jump in both directions.
pub(crate) const WALL_MS: u64 = 100 * 365 * 86_400_000;

impl World {
    /// Makes the change of a call. `epoch`: the driver's epoch, by which a host recognises an older driver.
    pub(crate) fn change(&mut self, call: &Call, epoch: u64) -> CallResult {
        let lost = self.loses_answer(call);
        let answer = self.changed(call, epoch);
        if lost { CallResult::Failed(Class::Unknown) } else { answer }
    }

    fn changed(&mut self, call: &Call, epoch: u64) -> CallResult {
        if let Some(refused) = self.unreachable(call, epoch) {
            return refused;
        }
        if self.lasting.refuses(call) {
            return CallResult::Failed(Class::Permanent);
        }
        let now = self.now;
        let done = |done: bool| if done { CallResult::Done } else { CallResult::Failed(Class::Permanent) };
        match call {
            Call::Keep { seq, value, id } => done(self.store.keep(*seq, *value, id.clone())),
            Call::PutPending { seq, value, id } => match self.store.put_pending(*seq, *value, id.clone()) {
                Some(number) => CallResult::Number(number),
                None => CallResult::Failed(Class::Permanent),
            },
            Call::Promote { expected, next } => {
                self.moved_at = now;
                let promoted = self.store.make_current(*expected, *next, Label::Previous);
                self.follow(true);
                done(promoted)
            }
            Call::Demote { before, next } => {
                self.moved_at = now;
                let demoted = self.store.make_current(*next, *before, Label::Pending);
                self.follow(true);
                done(demoted)
            }
            Call::Retire { number } => done(self.store.retire(*number)),
            Call::StageTruth { .. } | Call::GiveOut { .. } | Call::Withdraw { .. } => self.at_truth(call),
            Call::Mint { label, value } => {
                let value = value.unwrap_or_else(|| self.fresh_value());
                CallResult::Made(self.issuer.mint(value, *label, now), value)
            }
            Call::Switch { id, on } => {
                if !self.issuer.switch(id, *on, now) {
                    return CallResult::Failed(Class::Permanent);
                }
                if *on {
                    (self.refusals_told, self.refusals_missed) = (0, false);
                }
                CallResult::Done
            }
            Call::Revoke(id) => {
                self.issuer.end(id, now);
                CallResult::Done
            }
            Call::EndSessions { id, pids } => CallResult::Count(self.end_sessions(id, pids)),
            Call::Deliver { file, goal, new } => self.deliver(*file, *goal, *new),
            Call::Fetch(consumer) => self.fetch(*consumer),
            Call::Apply { consumer, slot, accepted } => self.apply(*consumer, *slot, accepted.as_deref()),
            Call::Delivered { .. }
            | Call::ReadTruth
            | Call::AwaitEnd { .. }
            | Call::List
            | Call::Probe { .. }
            | Call::Sessions(_)
            | Call::Enumerate { .. }
            | Call::Prove { .. }
            | Call::Refusals { .. }
            | Call::Trial
            | Call::Carries(_) => self.see(call, None, Lens::Clear),
        }
    }

    /// Why a host does nothing now: it does not answer, its disk is full, or a newer driver has it.
    fn unreachable(&mut self, call: &Call, epoch: u64) -> Option<CallResult> {
        let (host, writes) = match call {
            Call::Deliver { file, .. } => (self.host_of_file(*file), true),
            Call::Fetch(consumer) => (self.host_of(*consumer), true),
            Call::Apply { consumer, .. } => (self.host_of(*consumer), false),
            _ => return None,
        };
        self.moved_at = self.now;
        let host = host?;
        if let Some(unheard) = self.unheard(host) {
            return Some(unheard);
        }
        let full = self.host_full_until.get(host.index()).is_some_and(|until| self.now < *until);
        if self.down(host) || (full && writes) {
            return Some(CallResult::Failed(Class::Retryable));
        }
        let seen = self.host_epoch.get_mut(host.index())?;
        if *seen > epoch && self.mutation != Mutation::HostsUnfenced {
            return Some(CallResult::Failed(Class::Permanent));
        }
        *seen = epoch;
        None
    }

    pub(crate) fn host_of(&self, consumer: ConsumerId) -> Option<HostId> {
        self.plan.consumers.get(consumer.index()).map(|it| it.host)
    }

    pub(crate) fn host_of_file(&self, file: FileId) -> Option<HostId> {
        self.plan.files.get(file.index()).copied()
    }

    pub(crate) fn old_id(&self) -> CredId {
        self.issuer.creds.first().map_or_else(|| CredId::new("none"), |cred| cred.id.clone())
    }

    fn end_sessions(&mut self, id: &CredId, pids: &[u32]) -> u32 {
        let now = self.now;
        let values: Vec<Value> = self.issuer.values_of(id).collect();
        let mut ended = 0;
        for proc in self.procs.iter_mut().filter(|proc| pids.contains(&proc.pid)) {
            if proc.session.is_some_and(|(value, busy)| values.contains(&value) && now >= busy) {
                proc.session = None;
                ended += 1;
            }
        }
        if values.contains(&OLD) {
            let hit = |it: &&mut LooseSession| pids.contains(&it.handle) && now < it.until;
            for session in self.loose.iter_mut().filter(hit) {
                session.until = now;
                ended += 1;
            }
        }
        ended
    }

    fn deliver(&mut self, file: FileId, goal: Option<Value>, new: Option<Value>) -> CallResult {
        let Some(value) = goal else { return CallResult::Failed(Class::Permanent) };
        if self.file(file) == FOREIGN && self.mutation != Mutation::BlindWrite {
            // Compare-and-swap: another party's edit is never overwritten.
            return CallResult::Failed(Class::Permanent);
        }
        if new.is_none() && self.file(file) != OLD {
            // The file cannot be compared with a value that is not in the store.
            return CallResult::Failed(Class::Permanent);
        }
        if self.shared.as_mut().is_some_and(|shared| !shared.may_write(file)) {
            // The whole file is compared: meanwhile another rotation wrote its own value into it.
            return CallResult::Failed(Class::Retryable);
        }
        self.write(file, value, true);
        CallResult::Done
    }

    fn fetch(&mut self, consumer: ConsumerId) -> CallResult {
        let files = self.plan.consumers.get(consumer.index()).map(|it| it.files.clone()).unwrap_or_default();
        if self.truth.as_ref().is_some_and(|truth| truth.is_away(self.now)) {
            return CallResult::Failed(Class::Retryable);
        }
        let current = self.given_out();
        for file in files {
            self.write(file, current, true);
        }
        CallResult::Done
    }

    fn apply(&mut self, consumer: ConsumerId, slot: u8, accepted: Option<&[Difference]>) -> CallResult {
        let edits = self.edits.iter().filter(|(of, _)| *of == consumer).map(|(_, edit)| edit.clone());
        let strange: Vec<PendingChange> = edits
            .filter(|edit| !accepted.unwrap_or_default().contains(edit))
            .map(|difference| PendingChange { difference, what: String::new(), since_unix_ms: None })
            .collect();
        if !strange.is_empty() && accepted.is_some() {
            if self.mutation != Mutation::EditsUnseen {
                return CallResult::Applied(Applied::Refused(strange));
            }
            self.brought = true;
        }
        self.edits.retain(|(of, _)| *of != consumer);
        for at in 0..self.procs.len() {
            let hit = |proc: &Proc| proc.consumer == Some(consumer) && proc.slot == slot && !proc.at_rest;
            if self.procs.get(at).is_some_and(hit) {
                self.take_new_value(at);
                if let Some(shared) = &mut self.shared {
                    shared.restarted(consumer, slot);
                }
            }
        }
        CallResult::Applied(Applied::Done(strange))
    }

    /// Restarts a process. A slow one keeps its old value for a while.
    fn take_new_value(&mut self, at: usize) {
        let slow = self.scene.quirks.has(Quirk::SlowGenerations) && self.quirk_rng.one_in(2);
        let until = self.now + self.quirk_rng.between(200, GENERATION_MS_MAX);
        match self.procs.get_mut(at) {
            Some(proc) if slow => proc.renews_at = Some(until),
            _ => self.restart(at, true),
        }
    }

    /// Answers a look. `query`: what the driver wants to learn from it.
    pub(crate) fn see(&mut self, call: &Call, query: Option<&Query>, lens: Lens) -> CallResult {
        match call {
            Call::List => CallResult::Listing(self.list(lens)),
            Call::Probe { endpoint, value } => {
                CallResult::Probe(self.probe_at(*endpoint, *value, query, lens))
            }
            Call::Sessions(id) => CallResult::Sessions(self.sessions(id)),
            Call::Enumerate { new, stays, sessions } => {
                let mut seen = self.enumerate(*new, *stays, lens);
                seen.sessions = sessions.as_ref().map(|sessions| self.joined(sessions, lens));
                CallResult::Looked(seen)
            }
            Call::Prove { consumer, slot, which, value, others, watched } => {
                if self.host_of(*consumer).is_none_or(|host| self.down(host) || self.is_away(host)) {
                    return CallResult::Failed(Class::Retryable);
                }
                let (of, others) = ((*consumer, *watched), others.as_deref());
                self.prove(of, *slot, *which, *value, others, lens)
            }
            Call::Refusals { since } => {
                let cred = self.issuer.creds.first();
                let count = cred.map_or(0, |cred| cred.refused).saturating_sub(*since);
                self.refusals_missed = count == 0 && cred.is_some_and(|cred| cred.suffered > 0);
                self.refusals_told = self.refusals_told.saturating_add(count);
                CallResult::Count(count)
            }
            Call::Delivered { file, goal, new } => self.delivered(*file, *goal, *new),
            Call::ReadTruth => self.at_truth(call),
            Call::Carries(value) if self.uncarried.contains(value) => CallResult::Failed(Class::Permanent),
            // Children of a dead driver were ended or awaited.
            Call::AwaitEnd { .. } | Call::Carries(_) | Call::Trial => CallResult::Done,
            Call::Keep { .. }
            | Call::PutPending { .. }
            | Call::Promote { .. }
            | Call::Demote { .. }
            | Call::Retire { .. }
            | Call::StageTruth { .. }
            | Call::GiveOut { .. }
            | Call::Withdraw { .. }
            | Call::Mint { .. }
            | Call::Switch { .. }
            | Call::Revoke(_)
            | Call::EndSessions { .. }
            | Call::Deliver { .. }
            | Call::Fetch(_)
            | Call::Apply { .. } => self.change(call, 0),
        }
    }

    fn delivered(&self, file: FileId, goal: Option<Value>, new: Option<Value>) -> CallResult {
        let unreached = |host: &HostId| self.down(*host) || self.is_away(*host);
        if self.plan.files.get(file.index()).is_some_and(unreached) || new.is_none() {
            // A value that is not in the store cannot be compared with.
            return CallResult::Failed(Class::Retryable);
        }
        CallResult::Reconciled(match self.file(file) {
            FOREIGN => Reconciled::Foreign,
            value if Some(value) == goal => Reconciled::Executed(None),
            _ => Reconciled::Absent,
        })
    }

    fn probe_at(&mut self, endpoint: usize, value: Value, query: Option<&Query>, lens: Lens) -> Probe {
        let now = self.now;
        let host = self.plan.endpoints.get(endpoint).copied().unwrap_or(HostId(0));
        if self.is_away(host) {
            return Probe::Unknown(String::new());
        }
        // Where each endpoint is asked from one machine alone, each fails for itself.
        let pairs = self.scene.quirks.has(Quirk::Away);
        let host = if pairs { host } else { HostId(u16::try_from(endpoint).unwrap_or_default()) };
        let version = match query {
            Some(Query::Probe(_, which)) => *which,
            Some(_) if lens == Lens::Partial => return Probe::Unknown(String::new()),
            Some(_) | None => return self.probe(endpoint, value),
        };
        if let Some(answer) = self.answers_instead(endpoint).filter(|_| self.issuer.accepts(value, now)) {
            return answer;
        }
        if self.down(host) {
            return Probe::Unknown(String::new());
        }
        // An outage that refuses everything, for a while.
        let outage = self.refused_until.get_mut(host.index()).is_some_and(|until| {
            if lens == Lens::Partial {
                *until = now + 4_000;
            }
            now < *until
        });
        let answer = if outage { Probe::Dead } else { self.probe(endpoint, value) };
        let accepted = matches!(answer, Probe::Alive | Probe::Denied);
        if version == Which::Old && value == OLD && accepted {
            self.alive_at = now;
        }
        answer
    }

    /// Our own probe changes the last-used time, as every use does.
    fn probe(&mut self, endpoint: usize, value: Value) -> Probe {
        let now = self.now;
        let last = self.plan.endpoints.len().saturating_sub(1);
        let unequal = self.scene.quirks.has(Quirk::UnequalEndpoints);
        let accepted = if unequal {
            self.issuer.accepts_at((endpoint, last), value, now)
        } else {
            self.issuer.accepts(value, now)
        };
        // While an end spreads, one call is refused and the next one accepted.
        let spreads = self.issuer.by_value(value).and_then(|cred| cred.ended).is_some_and(|at| now >= at);
        if (spreads && self.rng.one_in(3)) || !accepted {
            return Probe::Dead;
        }
        if let Some(cred) = self.issuer.by_value_mut(value) {
            cred.last_used = Some(now);
            self.note_use(value);
        }
        if self.scene.quirks.has(Quirk::Denies) && self.quirk_rng.one_in(3) {
            return Probe::Denied;
        }
        Probe::Alive
    }

    fn list(&self, lens: Lens) -> Listing {
        let old_id = self.old_id();
        let partial = lens == Lens::Partial;
        let mut entries = Vec::new();
        for (at, cred) in self.issuer.listed(self.now).enumerate() {
            let old = cred.id == old_id && cred.value == OLD;
            if (lens == Lens::Skips && old) || (partial && at % 2 == 0) {
                continue;
            }
            let label = cred.label.map(|label| {
                let rotation = if label >= STRANGE { "unknown" } else { ROTATION };
                format!("keyroll/{rotation}/{label}")
            });
            entries.push(Listed {
                id: CredentialId::new(cred.id.as_str()),
                label,
                // A list shows a disabled key as late as the issuer obeys the Disable.
                disabled: cred.off.is_some_and(|at| self.now >= at + cred.death_ms),
                last_used_unix_ms: self.last_used(cred.value),
                hint: None,
            });
        }
        Listing { entries, complete: !partial, incomplete: None }
    }

    fn last_used(&self, value: Value) -> Option<u64> {
        let LastUsed::PerKey { .. } = self.plan.capabilities.last_used else { return None };
        // One issuer never shows it, another one shows it now and then.
        let hides = self.scene.draw.is_multiple_of(2) || self.now % HIDES_APART_MS < HIDES_MS;
        if self.scene.quirks.has(Quirk::HidesUse) && hides {
            return None;
        }
        let used = self.uses_of(value).rev().find(|at| *at + LAG_MS <= self.now);
        // The time appears late and is coarse; the issuer's wall clock may jump.
        used.map(|at| (WALL_MS + at / GRAIN_MS * GRAIN_MS).saturating_add_signed(self.wall_jump))
    }

    fn sessions(&self, id: &CredId) -> Vec<Session> {
        let of = |value: Value| self.issuer.creds.iter().any(|cred| cred.id == *id && cred.value == value);
        let held = self.procs.iter().filter_map(|proc| proc.session.map(|session| (proc, session)));
        held.filter(|(_, (value, _))| of(*value))
            .map(|(proc, (_, busy))| Session {
                client: None,
                pid: Some(proc.pid),
                busy: self.now < busy,
                handle: proc.pid.to_string(),
                calls: None,
            })
            .chain(self.loose_sessions(self.now).filter(|_| *id == self.old_id()).map(loose))
            .collect()
    }

    /// The identity of a process as an enumeration shows it.
    pub(crate) fn incarnation(&self, proc: &Proc) -> Incarnation {
        proc.who(self.boot, self.scene.quirks)
    }

    pub(crate) fn holds(&self, file: FileId, new: Option<Value>) -> Holds {
        match self.file(file) {
            OLD => Holds::Old,
            FOREIGN => Holds::Other,
            value if Some(value) == new => Holds::New,
            _ => Holds::Other,
        }
    }

    fn enumerate(&self, new: Option<Value>, stays: Which, lens: Lens) -> Enumeration {
        let goes = if stays == Which::Old { new } else { Some(OLD) };
        let mut complete = lens == Lens::Clear;
        let mut instances = Vec::new();
        for (at, proc) in self.procs.iter().enumerate() {
            if self.is_away(proc.host) {
                continue;
            }
            let skipped = lens == Lens::Partial && at % 2 == 0;
            if self.down(proc.host) || skipped {
                complete = false;
                continue;
            }
            if self.now < proc.hidden_until || self.is_blind_to(proc) {
                continue;
            }
            let seen = |value: Option<Value>| {
                let also = proc.also.map(|(_, value)| value);
                let there =
                    value.is_some_and(|it| [Some(proc.loaded), proc.residue, also].contains(&Some(it)));
                if there { Visibility::Yes } else { Visibility::No }
            };
            let by = if proc.consumer.is_some() { FoundBy::Configured } else { FoundBy::Environment };
            let masked = self.now < proc.masked_until;
            let seen = ObservedInstance {
                who: self.incarnation(proc),
                consumer: proc.consumer,
                slot: proc.slot,
                old: if masked { Visibility::No } else { seen(Some(OLD)) },
                new: seen(new),
                by,
            };
            if proc.consumer.is_some() || seen.old == Visibility::Yes || seen.new == Visibility::Yes {
                instances.push(seen);
            }
        }
        let mut files = Vec::new();
        for (at, host) in self.plan.files.iter().enumerate().filter(|(_, host)| !self.is_away(**host)) {
            let Ok(file) = u16::try_from(at).map(FileId) else { continue };
            let unread = self.down(*host) || self.lasting.unread == Some(file);
            let holds = if unread { Holds::Unreadable } else { self.holds(file, new) };
            complete &= !self.down(*host);
            files.push((file, holds));
        }
        let strangers = self.strangers.iter().filter(|(_, held)| Some(*held) == goes);
        let strangers = strangers.map(|(place, _)| *place).collect();
        let unsearched = self.not_searched();
        Enumeration {
            complete,
            took_ms: 0,
            instances,
            files,
            sessions: None,
            absent: self.absent(),
            strangers,
            unsearched,
            bystanders: Vec::new(),
        }
    }

    /// The sessions whose processes a host finds, by process id. The process of a hidden session is not found.
    fn joined(&self, sessions: &[Session], lens: Lens) -> Vec<SessionSeen> {
        let mut joined = Vec::new();
        for (at, proc) in self.procs.iter().enumerate() {
            if self.is_away(proc.host) {
                joined.extend(self.unclaimed(proc, sessions));
                continue;
            }
            let skipped = lens == Lens::Partial && at % 2 == 0;
            let unseen = self.down(proc.host) || skipped || self.now < proc.hidden_until;
            if let Some(session) = sessions.iter().find(|it| it.pid == Some(proc.pid) && !unseen) {
                joined.push(SessionSeen { who: Some(self.incarnation(proc)), busy: session.busy });
            }
        }
        let loose = sessions.iter().filter(|it| it.pid.is_none());
        joined.extend(loose.map(|it| SessionSeen { who: None, busy: it.busy }));
        joined
    }
}

fn loose(session: &LooseSession) -> Session {
    Session { client: None, pid: None, busy: false, handle: session.handle.to_string(), calls: None }
}
