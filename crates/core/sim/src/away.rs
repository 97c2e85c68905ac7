//! Hosts that are away: gone, or only cut off from keyroll; for good, or for a while.

use keyroll_port::{Class, Session};
use keyroll_rotation::{Fact, FileId, Hold, HostId, Op, Reason, SessionSeen, Waived};

use crate::absence::Absence;
use crate::calls::{Call, CallResult};
use crate::process::Proc;
use crate::schedule::{Due, Run};
use crate::world::World;

/// A call that arrives so soon after its host went was carried out, and its answer is lost.
const LAST_CALLS_MS: u64 = 60;

/// The longest time for which a host is away that comes back.
const AWAY_MS_MAX: u64 = 90_000;

/// The longest time until an operator who does not wait for a hold says that a host is gone.
const NOTICED_MS_MAX: u64 = 40_000;

/// After this time an operator who waits for a hold, or was not heard, says so too.
const PATIENCE_MS: u64 = 400_000;

/// After so many words about a rotation an operator no longer waits for a host that is away.
const PATIENT_WORDS: u32 = 10;

impl World {
    /// The absence of a host, if it is away.
    fn absence(&self, host: HostId) -> Option<&Absence> {
        self.away.get(host.index())?.as_ref()
    }

    /// Whether keyroll does not reach a host.
    pub(crate) fn is_away(&self, host: HostId) -> bool {
        self.absence(host).is_some()
    }

    /// Whether nothing runs on a host.
    pub(crate) fn is_off(&self, host: HostId) -> bool {
        self.absence(host).is_some_and(|absence| absence.off)
    }

    /// Whether nothing runs on the host of the process at this place.
    pub(crate) fn runs_nowhere(&self, at: usize) -> bool {
        self.procs.get(at).is_some_and(|proc| self.is_off(proc.host))
    }

    /// Whether nothing runs on the host of a file.
    pub(crate) fn is_file_off(&self, file: FileId) -> bool {
        self.plan.files.get(file.index()).is_some_and(|host| self.is_off(*host))
    }

    /// The hosts that can be away: those that a consumer of the plan runs on, but for the machine of keyroll.
    fn others(&self) -> Vec<HostId> {
        let mut hosts: Vec<HostId> = self.plan.consumers.iter().map(|it| it.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.retain(|host| host.index() > 0 && host.index() < self.away.len());
        hosts
    }

    /// The hosts that are away.
    pub(crate) fn absent(&self) -> Vec<HostId> {
        self.others().into_iter().filter(|host| self.is_away(*host)).collect()
    }

    /// The host that a call is about; `None` = no single one.
    pub(crate) fn place_of(&self, call: &Call) -> Option<HostId> {
        match call {
            Call::Deliver { file, .. } | Call::Delivered { file, .. } => self.host_of_file(*file),
            Call::Fetch(consumer) | Call::Apply { consumer, .. } | Call::Prove { consumer, .. } => {
                self.host_of(*consumer)
            }
            Call::Probe { endpoint, .. } => self.plan.endpoints.get(*endpoint).copied(),
            _ => None,
        }
    }

    /// The host on which an operation is carried out; `None` = on none.
    pub(crate) fn place_of_op(&self, op: &Op) -> Option<HostId> {
        match op {
            Op::Deliver(file, _) => self.host_of_file(*file),
            Op::Fetch(consumer) | Op::Apply(consumer, ..) => self.host_of(*consumer),
            _ => None,
        }
    }

    /// What a change comes to on a host that is away, unless it arrived right after the host went.
    pub(crate) fn unheard(&mut self, host: HostId) -> Option<CallResult> {
        if !self.is_away(host) || self.has_just_gone(host) {
            return None;
        }
        let class = if self.quirk_rng.one_in(2) { Class::Unknown } else { Class::Retryable };
        Some(CallResult::Failed(class))
    }

    /// Whether the answer to a change is lost because its host has just gone.
    pub(crate) fn loses_answer(&self, call: &Call) -> bool {
        self.place_of(call).is_some_and(|host| self.has_just_gone(host))
    }

    fn has_just_gone(&self, host: HostId) -> bool {
        self.absence(host).is_some_and(|absence| self.now < absence.since + LAST_CALLS_MS)
    }

    /// The session of a process on a host that is away, in a look: no host says whose it is.
    pub(crate) fn unclaimed(&self, proc: &Proc, sessions: &[Session]) -> Option<SessionSeen> {
        let session = sessions.iter().find(|it| it.pid == Some(proc.pid))?;
        self.is_away(proc.host).then_some(SessionSeen { who: None, busy: session.busy })
    }

    /// The number of the pair of a host and an endpoint of the issuer's, by which the plan knows it.
    pub(crate) fn pair(&self, from: HostId, endpoint: usize) -> usize {
        let first = self.plan.endpoints.iter().position(|host| *host == from);
        first.map_or(usize::MAX, |first| first.saturating_add(endpoint))
    }

    /// A host goes.
    pub(crate) fn leave(&mut self, host: HostId, absence: Absence) {
        if let Some(away) = self.away.get_mut(host.index()) {
            *away = Some(absence);
        }
        if absence.off {
            let there = self.procs.iter_mut().filter(|proc| proc.host == host);
            there.for_each(|proc| proc.session = None);
        }
    }

    /// A host comes back, with the files that it had. Its processes went on, or begin anew.
    fn come_back(&mut self, host: HostId) {
        let Some(absence) = self.away.get_mut(host.index()).and_then(Option::take) else { return };
        if !absence.restarts {
            return;
        }
        // A process without a unit is not started again.
        self.procs.retain(|proc| proc.host != host || proc.consumer.is_some());
        for at in 0..self.procs.len() {
            if self.procs.get(at).is_some_and(|proc| proc.host == host && !proc.at_rest) {
                self.restart(at, false);
            }
        }
    }
}

impl Run {
    /// A host goes away. Half of them come back; an operator notices most of them soon, and is wrong about some.
    pub(crate) fn host_goes(&mut self) {
        let Some(host) = self.one_of_the_others() else { return };
        // A rotation of another secret knows nothing of it.
        if self.world.shared.is_some() || self.world.is_away(host) {
            return;
        }
        let off = self.rng.one_in(2);
        let restarts = off || self.rng.one_in(2);
        self.world.leave(host, Absence { since: self.world.now, off, restarts });
        self.say(|| format!("     host {} goes away, off: {off}", host.0));
        if self.rng.one_in(2) {
            let ms = self.rng.between(500, AWAY_MS_MAX);
            self.later(ms, Due::Back(host));
        }
        let ms = if self.rng.below(4) > 0 { self.rng.between(100, NOTICED_MS_MAX) } else { PATIENCE_MS };
        self.later(ms, Due::SaidGone(host));
    }

    /// An operator says that a host is gone that may be there.
    pub(crate) fn host_waived(&mut self) {
        if let (Some(host), Some(at)) = (self.one_of_the_others(), self.driving()) {
            self.tell(at, Fact::Waived(Waived::Host(host)));
        }
    }

    pub(crate) fn one_of_the_others(&mut self) -> Option<HostId> {
        let hosts = self.world.others();
        let place = usize::try_from(self.rng.below(hosts.len() as u64)).ok()?;
        hosts.get(place).copied()
    }

    /// A host is back.
    pub(crate) fn host_back(&mut self, host: HostId) {
        self.say(|| format!("     host {} is back", host.0));
        self.world.come_back(host);
    }

    /// An operator says that a host is gone, and once more if that was lost.
    pub(crate) fn said_gone(&mut self, host: HostId) {
        if self.helps() {
            return;
        }
        let left = self.driving().and_then(|at| self.snapshot(at)).is_some_and(|state| state.has_left(host));
        if let Some(at) = self.driving().filter(|_| !left) {
            self.tell(at, Fact::Waived(Waived::Host(host)));
        }
        if self.world.is_away(host) {
            self.later(PATIENCE_MS, Due::SaidGone(host));
        }
    }

    /// The operator finds a rotation held, and a host away: waives it, or waits a little longer. Returns whether the operator
    /// did. What still uses a key on a host that was waived is switched off.
    pub(crate) fn waives_absent(&mut self, at: usize, hold: Hold) -> bool {
        let Some(state) = self.snapshot(at) else { return false };
        if matches!(hold.reason(), Reason::Overdue(_) | Reason::RefusedUse) {
            self.switch_off_absent();
        }
        let absent = self.world.absent();
        let Some(host) = absent.into_iter().find(|host| !state.has_left(*host)) else { return false };
        if self.words < PATIENT_WORDS && self.rng.one_in(2) {
            return false;
        }
        self.tell(at, Fact::Waived(Waived::Host(host)));
        true
    }

    /// A debt is retried. Hosts that are away are waived as soon as that has begun.
    pub(crate) fn waive_for_debt(&mut self, after_ms: u64) {
        for host in self.world.absent() {
            self.later(after_ms, Due::SaidGone(host));
        }
    }

    /// The operator switches hosts off that are only cut off from keyroll: what runs there still uses a key.
    pub(crate) fn switch_off_absent(&mut self) {
        for host in self.world.absent() {
            let since = self.world.now;
            self.world.leave(host, Absence { since, off: true, restarts: true });
        }
    }
}
