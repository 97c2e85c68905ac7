//! Links to hosts: an order that comes twice, late or after its driver, and a host that is put back from a snapshot.

use keyroll_port::{Applied, Class, Touched};
use keyroll_rotation::{Delivery, FileId, HostId, Reconciled, Which};

use crate::calls::{Call, CallResult, Lens};
use crate::issuer::FOREIGN;
use crate::link_record::{Before, HeldUp};
use crate::mutant::Mutation;
use crate::quirks::Quirk;
use crate::schedule::{Due, Run};
use crate::world::World;

/// When an order comes for the second time: the first time is over by then.
const AGAIN_MS: (u64, u64) = (60, 8_000);

/// How long nothing passes a link.
const STILL_MS: (u64, u64) = (500, 20_000);

/// How long after that an order arrives which was in the link: a new connection may be made before.
const BEHIND_MS_MAX: u64 = 2_000;

/// How long a host is not reached that is put back from a snapshot: longer than any order of before may begin, or goes on.
const PUT_BACK_MS: (u64, u64) = (18_500, 20_000);

impl World {
    /// The hosts that a call reaches.
    fn reached_by(&self, call: &Call) -> Vec<HostId> {
        let all =
            || self.plan.consumers.iter().map(|it| it.host).chain(self.plan.files.iter().copied()).collect();
        let mut hosts: Vec<HostId> = match call {
            Call::Enumerate { .. }
            | Call::Trial
            | Call::Carries(_)
            | Call::Refusals { .. }
            | Call::AwaitEnd { of: Touched::All, .. } => all(),
            Call::AwaitEnd { of: Touched::Consumer(id), .. } => self.host_of(*id).into_iter().collect(),
            Call::AwaitEnd { of: Touched::File(file), .. } => self.host_of_file(*file).into_iter().collect(),
            // It leaves from the host over a connection of its own.
            Call::Probe { .. } => Vec::new(),
            call => self.place_of(call).into_iter().collect(),
        };
        hosts.retain(|host| !self.down(*host) && !self.is_away(*host));
        hosts
    }

    /// A host is not reached for so long.
    fn stands_still(&mut self, host: HostId, ms: u64) {
        if let Some(until) = self.host_down_until.get_mut(host.index()) {
            *until = (self.now + ms).max(*until);
        }
    }

    /// A host is as it was before the rotation. What a consumer's own command fetches is fetched anew when it starts.
    fn put_back(&mut self, host: HostId) {
        let first = self.first_value();
        for at in 0..self.plan.files.len() {
            let Ok(file) = u16::try_from(at).map(FileId) else { continue };
            let fetched = self
                .plan
                .consumers
                .iter()
                .any(|it| it.delivery == Delivery::Fetch && it.files.contains(&file));
            let there = self.plan.files.get(at) == Some(&host) && !fetched;
            if there && ![first, FOREIGN].contains(&self.file(file)) {
                self.write(file, first, false);
            }
        }
        // A process without a unit is not started again.
        self.procs.retain(|proc| proc.host != host || proc.consumer.is_some());
        for at in 0..self.procs.len() {
            if self.procs.get(at).is_some_and(|proc| proc.host == host && !proc.at_rest) {
                self.restart(at, false);
            }
        }
        self.links.forget(host);
    }
}

impl Run {
    /// Whether it matters which connection a call comes on.
    fn watches_links(&self) -> bool {
        self.world.links.is_watched || self.world.scene.quirks.has(Quirk::Links)
    }

    /// A call reaches its hosts: from then on the connection that it comes on counts. The answer, if a host has it on record, or
    /// is not reached.
    pub(crate) fn reach(&mut self, scope: Option<usize>, call: &Call) -> Option<CallResult> {
        if !self.watches_links() {
            return None;
        }
        let asked = scope.and_then(|at| self.scopes.get(at));
        let epoch = asked.map_or(self.ledger.epoch, |asked| asked.epoch);
        let reached = self.world.reached_by(call);
        for host in &reached {
            self.world.links.opens(*host, epoch, scope.unwrap_or_default());
        }
        let Call::AwaitEnd { intent, .. } = call else { return None };
        if reached.is_empty() {
            return Some(CallResult::Failed(Class::Retryable));
        }
        let recorded = self.world.scene.quirks.has(Quirk::Links) && self.world.links.has(epoch, *intent);
        recorded.then_some(CallResult::Reconciled(Reconciled::Executed(None)))
    }

    /// A host records what it carried out.
    pub(crate) fn record(&mut self, scope: Option<usize>, call: &Call, answer: &CallResult) {
        if !call.on_host() || !is_done(answer) || !self.watches_links() {
            return;
        }
        let asked = scope.and_then(|at| self.scopes.get(at)).map(|asked| (asked.epoch, asked.after));
        if let (Some((epoch, intent)), Some(host)) = (asked, self.world.place_of(call)) {
            self.world.links.carried_out(host, epoch, intent);
        }
    }

    /// An order to a host over a link; `None`: it is another call, or one of a driver that was replaced.
    fn order(&mut self, scope: Option<usize>, call: &Call) -> Option<HeldUp> {
        let at = scope?;
        let asked = self.scopes.get(at).filter(|asked| asked.epoch == self.ledger.epoch)?;
        let host = self.world.place_of(call).filter(|host| call.on_host() && host.index() > 0)?;
        // A rotation of another secret knows nothing of it.
        if self.world.shared.is_some() || self.world.is_away(host) {
            return None;
        }
        let left_ms = asked.until_ms.saturating_sub(self.world.mono());
        let until = self.world.now.saturating_add(left_ms);
        let sent = self.world.links.connection(host, asked.epoch);
        let (intent, next) = (asked.after, self.scopes.len());
        let order = HeldUp { host, scope: at, call: call.clone(), sent, intent, next, until };
        self.world.links.is_watched = true;
        Some(order)
    }

    /// The order that is sent now comes once more.
    pub(crate) fn comes_again(&mut self, scope: Option<usize>, call: &Call) {
        if let Some(order) = self.order(scope, call) {
            let ms = self.rng.between(AGAIN_MS.0, AGAIN_MS.1);
            self.later(ms, Due::Order(Box::new(order)));
        }
    }

    /// Nothing passes the link any more, and the order is in it. Returns whether it is an order over a link.
    pub(crate) fn hold_up(&mut self, scope: Option<usize>, call: &Call) -> bool {
        let Some(order) = self.order(scope, call) else { return false };
        let still_ms = self.rng.between(STILL_MS.0, STILL_MS.1);
        let behind_ms = self.rng.between(0, BEHIND_MS_MAX);
        self.say(|| format!("     the link to host {} passes nothing for {still_ms} ms", order.host.0));
        self.world.stands_still(order.host, still_ms);
        self.world.links.breaks(order.host);
        self.later(still_ms + behind_ms, Due::Order(Box::new(order)));
        true
    }

    /// An order reaches its host that was held up, or comes again.
    pub(crate) fn order_arrives(&mut self, order: &HeldUp) {
        let HeldUp { host, call, .. } = order;
        let world = &self.world;
        if world.down(*host) || world.is_away(*host) || world.shared.is_some() {
            return;
        }
        let (is_fenced, is_repeated) = world.links.against(order);
        let is_late = world.now >= order.until;
        let refused = (is_fenced && world.mutation != Mutation::OrdersUnfenced)
            || (is_repeated && world.mutation != Mutation::OrdersRepeated)
            || (is_late && world.mutation != Mutation::OrdersUntimely);
        let wrong = match (world.links.ever_against(order), is_late) {
            ((true, _), _) => Some("although another connection took over"),
            ((_, true), _) => Some("for the second time, or behind a later one"),
            (_, true) => Some("after its time"),
            _ => None,
        };
        self.say(|| format!("     an order arrives at host {}, refused: {refused}: {call:?}", host.0));
        if refused {
            return;
        }
        let answer = self.carry_call(Some(order.scope), call);
        if let Some(wrong) = wrong.filter(|_| is_done(&answer)) {
            self.violate("order", format!("{call:?} is carried out on host {} {wrong}", host.0));
        }
    }

    /// A host is put back from a snapshot of before the rotation: it holds the old value again, and remembers no driver.
    pub(crate) fn host_restored(&mut self) {
        let Some(host) = self.one_of_the_others() else { return };
        if self.world.shared.is_some() || self.world.is_away(host) {
            return;
        }
        let state = self.driving().and_then(|at| self.snapshot(at));
        let new = state.and_then(|state| self.world.value_of(Which::New, &state));
        let look = Call::Enumerate { new, stays: Which::New, sessions: None };
        if let CallResult::Looked(seen) = self.world.see(&look, None, Lens::Clear) {
            self.world.links.before = Some(Before::of(host, &seen, &self.world.plan.files));
        }
        self.say(|| format!("     host {} is put back from a snapshot", host.0));
        self.world.put_back(host);
        let ms = self.rng.between(PUT_BACK_MS.0, PUT_BACK_MS.1);
        self.world.stands_still(host, ms);
        self.world.links.breaks(host);
    }

    /// Under a mutant, a look shows a host that was put back as it was before.
    pub(crate) fn show_as_before(&self, answer: &mut CallResult) {
        if self.world.mutation == Mutation::RestoredUnseen
            && let (Some(before), CallResult::Looked(seen)) = (&self.world.links.before, answer)
            && !self.world.down(before.host)
        {
            before.show(seen);
        }
    }
}

/// A host has carried out what it was asked for.
fn is_done(answer: &CallResult) -> bool {
    matches!(answer, CallResult::Done | CallResult::Applied(Applied::Done(_)))
}
