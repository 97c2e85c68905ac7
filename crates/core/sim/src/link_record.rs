//! What hosts remember of the connections to them, and what a link holds up.
//!
//! What a host does with an order is keyroll-host's own (`crates/fleet/onhost`), and is tested there. Here are no records, locks
//! and clocks, only the rules that its orders keep: none of a connection that another one took over from, none twice, none behind a
//! later one, none after its time.

use keyroll_rotation::{Enumeration, FileId, Holds, HostId, ObservedInstance, Seq};

use crate::calls::Call;
use crate::scene::HOSTS_MAX;

/// A connection to a host: its driver, and how often that driver's connections broke before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Connection {
    pub(crate) epoch: u64,
    pub(crate) turn: u64,
}

/// An order that a link holds up, or that comes again.
#[derive(Debug, Clone)]
pub(crate) struct HeldUp {
    pub(crate) host: HostId,
    /// The action that it belongs to.
    pub(crate) scope: usize,
    pub(crate) call: Call,
    /// The connection that it was sent on.
    pub(crate) sent: Connection,
    pub(crate) intent: Seq,
    /// The next action after it was sent.
    pub(crate) next: usize,
    /// Until when it may begin.
    pub(crate) until: u64,
}

/// A step that a host carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    host: HostId,
    epoch: u64,
    intent: Seq,
}

/// What the hosts remember.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// The last connection of each.
    opened: [Connection; HOSTS_MAX],
    /// The latest action that called on it.
    heard: [usize; HOSTS_MAX],
    steps: Vec<Step>,
}

/// A host as a look showed it before it was put back.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) host: HostId,
    pub(crate) instances: Vec<ObservedInstance>,
    pub(crate) files: Vec<(FileId, Holds)>,
}

/// The links to all hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkRecord {
    /// Something happens to orders here: until then nothing is recorded.
    pub(crate) is_watched: bool,
    /// How often the connection to each host broke.
    turns: [u64; HOSTS_MAX],
    /// What the hosts know.
    known: Memory,
    /// What was so, whatever a host has lost of it.
    ever: Memory,
    /// The host that was put back last.
    pub(crate) before: Option<Before>,
}

impl Memory {
    fn opens(&mut self, host: HostId, connection: Connection, action: usize) {
        let last = self.opened.get_mut(host.index()).zip(self.heard.get_mut(host.index()));
        if let Some((opened, heard)) = last.filter(|(opened, _)| connection >= **opened) {
            let before = if connection == *opened { *heard } else { 0 };
            (*opened, *heard) = (connection, action.max(before));
        }
    }

    /// Another connection took over from that of this order.
    fn fences(&self, order: &HeldUp) -> bool {
        self.opened.get(order.host.index()).is_some_and(|opened| *opened > order.sent)
    }

    /// Also a step of the driver before, as long as the host has none of this one.
    fn has(&self, epoch: u64, intent: Seq) -> bool {
        self.steps.iter().any(|step| step.epoch <= epoch && step.intent == intent)
    }

    /// An action called on the same connection that began after this order was sent.
    fn is_past(&self, order: &HeldUp) -> bool {
        let at = order.host.index();
        let heard = self.opened.get(at).zip(self.heard.get(at));
        heard.is_some_and(|(opened, heard)| *opened == order.sent && *heard >= order.next)
    }

    /// This order was carried out before.
    fn repeats(&self, order: &HeldUp) -> bool {
        let step = Step { host: order.host, epoch: order.sent.epoch, intent: order.intent };
        self.steps.contains(&step)
    }
}

impl LinkRecord {
    /// The connection that a driver has to a host, or makes with its next call.
    pub(crate) fn connection(&self, host: HostId, epoch: u64) -> Connection {
        Connection { epoch, turn: self.turns.get(host.index()).copied().unwrap_or_default() }
    }

    /// The connection to a host broke.
    pub(crate) fn breaks(&mut self, host: HostId) {
        if let Some(turn) = self.turns.get_mut(host.index()) {
            *turn += 1;
        }
    }

    /// A call of this driver has reached a host, in this action.
    pub(crate) fn opens(&mut self, host: HostId, epoch: u64, action: usize) {
        let connection = self.connection(host, epoch);
        self.known.opens(host, connection, action);
        self.ever.opens(host, connection, action);
    }

    /// A host has carried out a step. Its record has the steps of one driver alone.
    pub(crate) fn carried_out(&mut self, host: HostId, epoch: u64, intent: Seq) {
        let step = Step { host, epoch, intent };
        self.known.steps.retain(|known| known.host != host || known.epoch == epoch);
        self.known.steps.push(step);
        self.ever.steps.push(step);
    }

    /// Whether a host has a step on record for this driver.
    pub(crate) fn has(&self, epoch: u64, intent: Seq) -> bool {
        self.known.has(epoch, intent)
    }

    /// What a host knows against an order: whether another connection took over, and whether it was carried out before or a later
    /// one came.
    pub(crate) fn against(&self, order: &HeldUp) -> (bool, bool) {
        (self.known.fences(order), self.known.repeats(order) || self.known.is_past(order))
    }

    /// The same, if no host had ever lost anything.
    pub(crate) fn ever_against(&self, order: &HeldUp) -> (bool, bool) {
        (self.ever.fences(order), self.ever.repeats(order) || self.ever.is_past(order))
    }

    /// A host is as it was before the rotation.
    pub(crate) fn forget(&mut self, host: HostId) {
        if let Some(opened) = self.known.opened.get_mut(host.index()) {
            *opened = Connection::default();
        }
        if let Some(heard) = self.known.heard.get_mut(host.index()) {
            *heard = 0;
        }
        self.known.steps.retain(|step| step.host != host);
    }
}

impl Before {
    /// What a look shows of a host, whose files are these.
    pub(crate) fn of(host: HostId, seen: &Enumeration, files: &[HostId]) -> Self {
        let its = |one: &&ObservedInstance| one.who.host == host && one.consumer.is_some();
        let instances = seen.instances.iter().filter(its).copied().collect();
        let on_it = |(file, _): &&(FileId, Holds)| files.get(file.index()) == Some(&host);
        Self { host, instances, files: seen.files.iter().filter(on_it).copied().collect() }
    }

    /// Shows the host so in a look.
    pub(crate) fn show(&self, seen: &mut Enumeration) {
        seen.instances.retain(|one| one.who.host != self.host || one.consumer.is_none());
        seen.instances.extend_from_slice(&self.instances);
        for (file, holds) in &mut seen.files {
            if let Some((_, held)) = self.files.iter().find(|(of, _)| of == file) {
                *holds = *held;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_driver_finds_the_steps_of_the_one_before_until_the_host_has_one_of_its_own() {
        let mut links = LinkRecord::default();
        links.carried_out(HostId(1), 3, 10);
        links.carried_out(HostId(1), 3, 11);
        links.carried_out(HostId(2), 3, 12);
        let known = |links: &LinkRecord, epoch| [10, 11, 12, 20].map(|intent| links.has(epoch, intent));
        assert_eq!(known(&links, 3), [true, true, true, false]);
        assert_eq!(known(&links, 4), [true, true, true, false]);
        assert_eq!(known(&links, 2), [false; 4]);
        links.carried_out(HostId(1), 4, 20);
        assert_eq!(known(&links, 4), [false, false, true, true]);
        assert_eq!(known(&links, 3), [false, false, true, false]);
    }

    /// Red where an order that failed and comes again is carried out behind a later one, or where one that came first is refused.
    #[test]
    fn an_order_is_behind_the_actions_that_began_after_it_on_its_connection() {
        let mut links = LinkRecord::default();
        let host = HostId(1);
        links.opens(host, 1, 6);
        let sent = links.connection(host, 1);
        let order = HeldUp { host, scope: 5, call: Call::Trial, sent, intent: 9, next: 7, until: 100 };
        assert_eq!(links.against(&order), (false, false), "an action that began before it was sent");
        links.opens(HostId(2), 1, 7);
        assert_eq!(links.against(&order), (false, false), "another host");
        links.opens(host, 1, 7);
        assert_eq!(links.against(&order), (false, true));
        links.forget(host);
        assert_eq!((links.against(&order), links.ever_against(&order)), ((false, false), (false, true)));
    }
}
