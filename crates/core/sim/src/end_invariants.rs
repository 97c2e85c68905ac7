//! The invariants of a rotation's end.

use keyroll_engine::Drive;
use keyroll_rotation::{Event, Fact, Outcome, Phase, Reconciled, State, Which};

use crate::audit::Answers;
use crate::issuer::{Cred, FOREIGN, OLD, OWN, Value};
use crate::look::WholeLook;
use crate::process::Proc;
use crate::scene::{DEATH_MS_MAX, Family, SESSION_MS};
use crate::schedule::Run;

impl Run {
    /// The end: exactly one live credential, and every consumer uses it.
    pub(crate) fn judge_end(&mut self) {
        let Some(state) = self.slots.last().map(|slot| slot.driver.snapshot()) else { return };
        let now = self.world.now;
        self.check_direction(&state);
        let new = self.world.value_of(Which::New, &state);
        let stays = match (state.phase(), state.debt()) {
            (Phase::Done, None) => new,
            (Phase::Done, Some(debt)) => {
                if self.debts >= 6 {
                    self.violate("I7", format!("a debt is never paid: {debt:?}"));
                }
                return;
            }
            (Phase::RolledBack, _) => Some(OLD),
            (phase, _) => return self.violate("I7", format!("ended in {phase:?}")),
        };
        if stays.is_some_and(|stays| self.world.leaked.contains(&stays)) {
            return self.violate("end", "a value that leaked stays".into());
        }
        let escalated = self.ledger.entries.iter().any(|event| matches!(event.fact, Fact::Escalated { .. }));
        if state.phase() == Phase::RolledBack && escalated && state.minted().is_some() {
            return self.violate("end", "rolled back to a compromised value".into());
        }
        let Some(stays) = stays else { return self.violate("end", "no value stays".into()) };
        let (stays, kept) = (self.stays_with(stays), self.keeps_shared(state.phase()));
        if let Some(what) = self.left_over(stays, kept, &state) {
            return self.violate("I2", what);
        }
        let ended = self.world.issuer.creds.first().is_some_and(|cred| cred.ended.is_some());
        let ended_by_others = stays == OLD && (ended || self.audit.disabled_unknown());
        if !self.world.issuer.accepts(stays, now) && !ended_by_others {
            return self.violate("end", format!("value {stays} stays and is not accepted"));
        }
        if self.world.store.current() != stays {
            return self.violate("end", format!("the store holds {} as current", self.world.store.current()));
        }
        if let Some(what) = self.truth_left(stays) {
            return self.violate("end", what);
        }
        if let Some(what) = self.old_left(kept || stays == OLD, kept) {
            return self.violate("end", what.into());
        }
        if self.leaked_session_lives(stays, &state) {
            return self.violate("end", "a session on the leaked key lives on".into());
        }
        // Where only a key is ended, its consumers may go on with the key if it stays.
        let back = self.world.scene.family == Family::End && state.phase() == Phase::RolledBack;
        if let Some(what) = self.file_behind(stays).filter(|_| !back) {
            return self.violate("end", what);
        }
        let look = self.compared();
        let behind = self.world.procs.iter().find(|proc| {
            let late =
                look.is_none_or(|look| proc.began >= look.at || (proc.since >= look.at && !proc.by_us));
            // The last search sees only what memory shows.
            let masked = look.is_some_and(|look| proc.masked_until >= look.at);
            // It was given another party's value after the look had seen it.
            let followed = !proc.by_us && self.changed_unseen();
            let known = proc.consumer.is_some() && !late && !masked && !followed && !self.excused(proc);
            known && !self.is_unseen(proc) && proc.loaded != stays && proc.loaded != FOREIGN
        });
        if let Some(proc) = behind.filter(|_| !back) {
            let what = format!("consumer {:?} ended on value {}, not {stays}", proc.consumer, proc.loaded);
            self.violate("end", what);
        }
    }

    /// An idle session on a leaked key was not ended, on a host that the last look saw. One that an issuer took later than it
    /// declares was perhaps opened after the key had been seen dead.
    fn leaked_session_lives(&self, stays: Value, state: &State) -> bool {
        let leaked = state.emergency().is_some() && self.world.plan.capabilities.sessions;
        let ends = leaked && !self.audit.ignored && !self.world.plan.capabilities.exchanges();
        let end = self.world.issuer.by_value(OLD).and_then(|cred| cred.ended);
        let late = |busy: u64| {
            let opened = busy.saturating_sub(SESSION_MS);
            end.is_some_and(|at| opened >= at.saturating_add(DEATH_MS_MAX))
        };
        let idle = |(value, busy)| value == OLD && self.world.now >= busy && !late(busy);
        let held = |proc: &Proc| proc.session.is_some_and(idle) && !self.is_unseen(proc);
        ends && stays != OLD && self.world.procs.iter().any(held)
    }

    /// The last look, or the one before a value began to be dropped: nothing can be compared with that value afterwards.
    pub(crate) fn compared(&self) -> Option<WholeLook> {
        self.audit.look_before_drop.or(self.world.look)
    }

    /// The host of a process did not answer that look.
    fn is_unseen(&self, proc: &Proc) -> bool {
        self.compared().is_some_and(|look| look.misses(proc.host))
    }

    /// Where no list shows it, a key that is only disabled looks like one that ended. It is refused like the one that an operator
    /// says was revoked.
    fn takes_disabled_for_ended(&self) -> bool {
        self.audit.disabled_unknown() && self.is_unlisted() || self.audit.said_revoked
    }

    /// There is no list of keys, or it missed one.
    fn is_unlisted(&self) -> bool {
        !self.world.plan.capabilities.list || self.world.skips_until > 0
    }

    /// Another party enabled such a key once it had been seen dead, and nobody asked about it after that: the rotation ends as it
    /// does beside one that stays disabled.
    pub(crate) fn is_enabled_unseen(&self) -> bool {
        let at = self.audit.enabled_at;
        let accepted = |it: &Answers| it.value == OLD && it.accepted.since(at).0 > 0;
        let seen = at <= self.audit.confirming_since || self.audit.answers.iter().any(accepted);
        !seen && self.takes_disabled_for_ended()
    }

    /// A credential that is left although it is neither the value that stays nor somebody else's.
    fn left_over(&self, stays: Value, kept: bool, state: &State) -> Option<String> {
        let now = self.world.now;
        // A deletion that the issuer did not carry out, although it said so, is not looked at again.
        if self.audit.ignored_deletion {
            return None;
        }
        let for_ended = self.takes_disabled_for_ended();
        let unseen_old = self.is_enabled_unseen();
        let left = self.world.issuer.creds.iter().find(|cred| {
            // The check is by credential: one that is made late may have the same value as one that was ended.
            let alive = cred.ended.is_none_or(|at| at > now);
            let unseen = self.unseen(cred.label, cred.shows_from, state)
                || (cred.strange()
                    && (cred.shows_from >= self.world.listed_at || state.phase() == Phase::RolledBack));
            let disabled = (for_ended && cred.off.is_some()) || (unseen_old && cred.value == OLD);
            let theirs = cred.of_colleague() || (kept && cred.value == OLD);
            let nobodys = self.world.issuer.is_replaced_by_a_mint(cred) && !self.was_named(cred);
            cred.value != stays && alive && !unseen && !disabled && !theirs && !nobodys
        });
        left.map(|cred| format!("credential {} is left at the end", cred.id))
    }

    /// An answer named this credential to keyroll. What else a lost mint left in the free slot is nobody's: the server chose its
    /// value, no list shows whose it is, and the next mint replaces it.
    fn was_named(&self, cred: &Cred) -> bool {
        let names = |event: &Event| match &event.fact {
            Fact::Ended { outcome: Outcome::Done(Some(id)), .. }
            | Fact::Reconciled {
                found: Reconciled::Executed(Some(id)) | Reconciled::ValueLost(id), ..
            }
            | Fact::HandMinted(id) => *id == cred.id,
            _ => false,
        };
        self.ledger.ever().iter().any(names)
    }

    /// The value that stays. Consumers of a shared key that was to be ended have a key of their own.
    fn stays_with(&self, stays: Value) -> Value {
        if self.world.scene.family == Family::End { OWN } else { stays }
    }

    /// A rotation that ended in this phase leaves the shared key to others.
    fn keeps_shared(&self, ended: Phase) -> bool {
        match self.world.scene.family {
            Family::None => false,
            Family::Part => true,
            Family::End => ended == Phase::RolledBack,
        }
    }

    /// What is wrong with the old key at the end, where it stays, or where it was shared and ended.
    fn old_left(&self, stays: bool, shared: bool) -> Option<&'static str> {
        let off = |cred: &Cred| cred.ended.is_none() && cred.off.is_some();
        let (dropped, ends) = (self.world.store.old_retired(), self.world.scene.family == Family::End);
        // Where no list shows the key, an operator's wrong word that it ended is not found out.
        let unknown = self.audit.disabled_unknown() || (self.audit.said_revoked && self.is_unlisted());
        if shared && !unknown && self.world.issuer.creds.first().is_some_and(off) {
            return Some("a shared key stays disabled");
        }
        match (stays, dropped) {
            (true, true) => Some("the old value was dropped"),
            (false, false) if ends => Some("the value of the ended key is kept"),
            (true, false) | (false, _) => None,
        }
    }

    /// A file of the plan that does not hold the value that stays, although the last look saw the file that can be compared.
    fn file_behind(&self, stays: Value) -> Option<String> {
        let look = self.compared()?;
        let files = self.world.files.iter().zip(&self.world.edited).enumerate();
        let read = |at: usize| {
            self.world.plan.consumers.iter().any(|it| it.files.iter().any(|file| file.index() == at))
        };
        let there = |at: usize| self.world.plan.files.get(at).is_some_and(|host| !look.misses(*host));
        let mut behind = files.filter(|(at, (value, edited))| {
            let behind = **value != stays && **value != FOREIGN && **edited < look.at;
            there(*at) && behind && read(*at) && !self.may_hold_anything(*at)
        });
        behind.next().map(|(at, (value, _))| format!("file {at} ended with value {value}, not {stays}"))
    }
}
