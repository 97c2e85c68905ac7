//! What may not happen on hosts that were waived, and what must not happen once they are back.

use keyroll_rotation::{Effect, Enumeration, Fact, HostId, Op, Seq, Waived};

use crate::calls::Call;
use crate::issuer::Value;
use crate::look::WholeLook;
use crate::scene::{HOSTS, HOSTS_MAX};
use crate::schedule::Run;
use crate::world::World;

/// A set of hosts by their numbers.
pub(crate) fn hosts(named: &[HostId]) -> [bool; HOSTS_MAX] {
    HOSTS.map(|host| named.contains(&host))
}

impl WholeLook {
    /// Whether a host did not answer this look. A look counts only if each such host was waived: nothing is asked of what is on
    /// it, whether it was waived before the point of no return or after it, where no other way leads on.
    pub(crate) fn misses(&self, host: HostId) -> bool {
        self.absent.get(host.index()).is_some_and(|absent| *absent)
    }
}

impl World {
    /// How many endpoints the issuer has, where each is asked from several hosts.
    pub(crate) fn pairs_each(&self) -> usize {
        let first = self.plan.endpoints.first();
        self.plan.endpoints.iter().filter(|host| Some(*host) == first).count()
    }
}

impl Run {
    /// The hosts that had left at this entry: waived, and not shown by a look since.
    pub(crate) fn left_at(&self, seq: Seq) -> Vec<HostId> {
        let mut left = Vec::new();
        if !self.audit.waives_hosts {
            return left;
        }
        for event in self.ledger.ever().iter().take(usize::try_from(seq).unwrap_or(usize::MAX)) {
            left_after(&mut left, &event.fact);
        }
        left
    }

    /// The hosts that have left.
    pub(crate) fn left(&self) -> Vec<HostId> {
        self.left_at(self.ledger.last())
    }

    /// A look was written: whether every host that did not answer is one that was waived.
    pub(crate) fn misses_only_left(&self, seen: &Enumeration) -> bool {
        let left = self.left();
        seen.absent.iter().all(|host| left.contains(host))
    }

    /// The numbers of the pairs on which a decision rests: those of the machine of keyroll, which is never away.
    pub(crate) fn own_pairs(&self) -> Vec<usize> {
        (0..self.world.pairs_each()).collect()
    }

    /// A call begins that is about one host: it is none that had left when the driver asked.
    pub(crate) fn check_left(&mut self, scope: usize, call: &Call) {
        let Some(host) = self.world.place_of(call) else { return };
        let Some(asked) = self.scopes.get(scope).filter(|it| it.epoch == self.ledger.epoch) else { return };
        if self.left_at(asked.after).contains(&host) {
            self.violate(
                "order",
                format!("{call:?} on host {}, which was waived and has not come back", host.0),
            );
        }
    }

    /// A key is ended while a host that was waived and is back has a file with it.
    pub(crate) fn file_of_returned(&self, effect: &Effect, value: Value, look: &WholeLook) -> Option<String> {
        if !self.audit.waives_hosts || !matches!(effect.op, Op::Disable | Op::Revoke | Op::DeleteNew) {
            return None;
        }
        let waived = |host: &HostId| {
            let fact = Fact::Waived(Waived::Host(*host));
            self.ledger.ever().iter().any(|event| event.fact == fact)
        };
        let read = |at: usize| {
            self.world.plan.consumers.iter().any(|it| it.files.iter().any(|file| file.index() == at))
        };
        let files = self.world.plan.files.iter().zip(self.world.files.iter().zip(&self.world.edited));
        let mut held = files.enumerate().filter(|(at, (host, (held, edited)))| {
            let holds = **held == value && **edited < look.at && read(*at);
            holds && !look.misses(**host) && waived(host) && !self.may_hold_anything(*at)
        });
        let (at, (host, _)) = held.next()?;
        let host = host.0;
        Some(format!("{:?} although file {at} of host {host}, which is back, holds value {value}", effect.op))
    }
}

/// Which hosts have left after one more entry.
pub(crate) fn left_after(left: &mut Vec<HostId>, fact: &Fact) {
    match fact {
        Fact::Waived(Waived::Host(host)) if !left.contains(host) => left.push(*host),
        Fact::Enumerated(seen) => left.retain(|host| seen.absent.contains(host)),
        _ => {}
    }
}
