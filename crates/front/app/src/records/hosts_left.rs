//! Hosts that were waived in a rotation: what is on those that are still away, and which of them are back.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_port::Recorded;
use keyroll_rotation::{
    ConsumerId, Event, Fact, HostId, Phase, State, UnitStep, Waived, Which, is_unmoved, step,
};

use super::next_words::go_on;
use super::plan_names::Called;
use super::saved_plan::LeftConsumer;
use super::waivers::Waivers;
use crate::operator::{ConsumerLeft, HostLeft};

/// What the journal has of waived hosts.
#[derive(Debug, Default)]
pub(crate) struct HostsLeft {
    /// The key of each consumer on a host, as it was when the host was waived last. While the host is away nothing is changed
    /// there.
    keys: BTreeMap<usize, &'static str>,
    /// The hosts that were ever waived.
    hosts: BTreeSet<HostId>,
}

impl HostsLeft {
    /// Reads them from the journal; an entry that contradicts those before it ends the reading.
    pub(crate) fn of(recorded: &Recorded) -> Self {
        let mut left = Self::default();
        if !recorded.events.iter().any(|event| waived_in(event).is_some()) {
            return left;
        }
        let Ok(mut state) = State::open(recorded.opening.plan.clone(), recorded.opening.at) else {
            return left;
        };
        for event in &recorded.events {
            let Ok((next, _)) = step(&state, event) else { return left };
            if let Some(host) = waived_in(event) {
                left.hosts.insert(host);
                // A second waiver of a host that is away says nothing new of it.
                if !state.has_left(host) {
                    left.keys.extend(on(&state, host).map(|at| (at, key_of(&state, at))));
                }
            }
            state = next;
        }
        left
    }

    /// The hosts that are away.
    pub(crate) fn away(&self, called: &Called, waivers: &Waivers, state: &State) -> Vec<HostLeft> {
        let (rotation, secret) = called.rotation();
        let of = |host: &HostId| {
            let recorded = waivers.recorded(rotation, secret, Waived::Host(*host));
            let reason = recorded.map(|waiver| waiver.reason.clone());
            shown(called, state, *host, reason, |at| self.key(at))
        };
        state.left_hosts().iter().filter_map(of).collect()
    }

    /// The names of the hosts that were waived and answered since.
    pub(crate) fn back(&self, called: &Called, state: &State) -> Vec<String> {
        let back = self.hosts.iter().filter(|host| !state.has_left(**host));
        back.filter_map(|host| called.host(*host)).collect()
    }

    /// How far a consumer on a host that is away has come; none for every other consumer.
    pub(crate) fn stage(&self, called: &Called, state: &State, at: usize) -> Option<String> {
        let host = state.plan().consumers.get(at).map(|consumer| consumer.host)?;
        let name = called.host(host).filter(|_| state.has_left(host))?;
        let away = format!("{name} is waived, and away");
        Some(match self.key(at) {
            key if key == stays(state) => format!("on the {key} key; {away}"),
            key @ ("old" | "new") => format!("not moved, on the {key} key; {away}"),
            _ => format!("perhaps moved; {away}"),
        })
    }

    fn key(&self, at: usize) -> &'static str {
        self.keys.get(&at).copied().unwrap_or(UNKNOWN)
    }
}

/// A consumer that keyroll began to move.
const UNKNOWN: &str = "old or new";

/// A host that is about to be waived, which may be waived already.
pub(crate) fn before(
    recorded: &Recorded,
    called: &Called,
    state: &State,
    host: HostId,
    reason: &str,
) -> Option<HostLeft> {
    let known = HostsLeft::of(recorded);
    let key = |at| if state.has_left(host) { known.key(at) } else { key_of(state, at) };
    shown(called, state, host, Some(reason.to_owned()), key)
}

fn shown(
    called: &Called,
    state: &State,
    host: HostId,
    reason: Option<String>,
    key: impl Fn(usize) -> &'static str,
) -> Option<HostLeft> {
    let (rotation, secret) = called.rotation();
    let name = called.host(host)?;
    let left_out = called.left_out(&name).map(|one| one.consumers.as_slice()).unwrap_or_default();
    let never_moved = left_out.iter().map(|LeftConsumer { name: consumer, copies }| ConsumerLeft {
        name: consumer.clone(),
        key: "old",
        copies: copies.iter().map(|copy| format!("{name}:{}", copy.display())).collect(),
    });
    let consumers = on(state, host).filter_map(|at| consumer(called, state, at, key(at)));
    Some(HostLeft {
        consumers: consumers.chain(never_moved).collect(),
        name,
        secret: secret.to_owned(),
        rotation: rotation.to_owned(),
        reason,
        ended: state.ended(),
        stays: stays(state),
        next: (!state.ended()).then(|| go_on(called, state)),
    })
}

fn consumer(called: &Called, state: &State, at: usize, key: &'static str) -> Option<ConsumerLeft> {
    let id = ConsumerId(u16::try_from(at).ok()?);
    let files = state.plan().consumers.get(at).map(|consumer| consumer.files.as_slice())?;
    let name = called.name_of(id).map_or_else(|| called.consumer(id), ToOwned::to_owned);
    Some(ConsumerLeft { name, key, copies: files.iter().map(|file| called.file(*file)).collect() })
}

/// The host that an entry waives.
fn waived_in(event: &Event) -> Option<HostId> {
    if let Fact::Waived(Waived::Host(host)) = event.fact { Some(host) } else { None }
}

/// The consumers on a host.
fn on(state: &State, host: HostId) -> impl Iterator<Item = usize> {
    let all = state.plan().consumers.iter().enumerate();
    all.filter(move |(_, consumer)| consumer.host == host).map(|(at, _)| at)
}

/// The key that stays.
fn stays(state: &State) -> &'static str {
    if matches!(state.phase(), Phase::RollingBack | Phase::RolledBack) { "old" } else { "new" }
}

/// The key of a consumer whose host has not left.
fn key_of(state: &State, at: usize) -> &'static str {
    // Nothing shows which key a consumer has that was let go.
    let gone = u16::try_from(at).is_ok_and(|id| state.has_gone(ConsumerId(id)));
    let settled = state.units().get(at).filter(|unit| unit.stage == UnitStep::Settled && !gone);
    match settled.map(|unit| unit.toward) {
        // Where nothing is moved, every consumer has a key of its own.
        _ if state.plan().aim.makes_new() && is_unmoved(state, at) => "old",
        Some(Which::New) => "new",
        Some(Which::Old) => "old",
        None => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Consumer, Enumeration, FileId, Plan, ReloadMode};

    use super::super::past::moved_units;
    use super::super::recorded::of_walk;
    use super::super::walk::{Walk, plan};
    use super::*;

    const GONE: HostId = HostId(2);
    const AWAY: ConsumerId = ConsumerId(1);

    fn called() -> Called {
        Called::of_hosts(&["local", "web-1", "web-2"])
    }

    /// One consumer on each of two hosts; the second one goes away.
    fn two_hosts() -> Plan {
        let mut plan = plan();
        let one = Consumer { uptake: ReloadMode::Verb, ..plan.consumers[0].clone() };
        plan.files = vec![HostId(1), GONE];
        plan.consumers = vec![
            Consumer { host: HostId(1), files: vec![FileId(0)], ..one.clone() },
            Consumer { host: GONE, files: vec![FileId(1)], ..one },
        ];
        plan
    }

    fn read(walk: &Walk) -> HostsLeft {
        HostsLeft::of(&of_walk(walk))
    }

    /// A look in which the host does not answer.
    fn look_without(walk: &Walk) -> Enumeration {
        let mut seen = walk.look();
        seen.instances.retain(|it| it.consumer != Some(AWAY));
        seen.files.retain(|(file, _)| *file != FileId(1));
        seen.absent = vec![GONE];
        seen
    }

    fn waive(walk: &mut Walk) {
        walk.say(Fact::Waived(Waived::Host(GONE)));
    }

    fn shown(walk: &Walk) -> HostLeft {
        let mut all = read(walk).away(&called(), &Waivers::default(), &walk.state);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_consumer_that_was_not_begun_when_its_host_was_waived_has_the_old_key_and_does_not_count_as_moved() {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.phase() == Phase::Roll);
        let asked = |walk: &Walk| before(&of_walk(walk), &called(), &walk.state, GONE, "gone").unwrap();
        assert_eq!(asked(&walk).consumers[0].key, "old");
        waive(&mut walk);
        assert_eq!(asked(&walk).consumers[0].key, "old", "a second waiver says nothing new");
        let left = shown(&walk);
        assert_eq!((left.name.as_str(), left.stays, left.ended), ("web-2", "new", false));
        assert_eq!((left.consumers.len(), left.consumers[0].key), (1, "old"));
        let stage = |at| read(&walk).stage(&called(), &walk.state, at);
        assert_eq!(stage(1).unwrap(), "not moved, on the old key; web-2 is waived, and away");
        assert_eq!(stage(0), None);
        assert_eq!(moved_units(&walk.state), 0);
    }

    #[test]
    fn a_consumer_that_is_being_moved_when_its_host_is_waived_may_have_either_key() {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
        waive(&mut walk);
        assert_eq!(shown(&walk).consumers[0].key, "old or new");
        let stage = read(&walk).stage(&called(), &walk.state, 1);
        assert_eq!(stage.unwrap(), "perhaps moved; web-2 is waived, and away");
    }

    #[test]
    fn a_consumer_that_was_let_go_before_its_host_is_waived_may_have_either_key() {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.phase() == Phase::Roll);
        walk.say(Fact::Waived(Waived::Gone(AWAY)));
        walk.until(|state| state.phase() == Phase::Quiesce);
        assert_eq!(walk.state.units()[1].stage, UnitStep::Settled);
        assert_eq!((key_of(&walk.state, 0), key_of(&walk.state, 1)), ("new", UNKNOWN));
    }

    #[test]
    fn a_rollback_leaves_the_new_key_on_a_host_that_was_moved_and_waived_before() {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.phase() == Phase::Quiesce);
        waive(&mut walk);
        assert_eq!(
            read(&walk).stage(&called(), &walk.state, 1).unwrap(),
            "on the new key; web-2 is waived, and away"
        );
        walk.say(Fact::AbortAsked);
        let left = shown(&walk);
        assert_eq!((left.stays, left.consumers[0].key), ("old", "new"));
        assert_eq!(
            read(&walk).stage(&called(), &walk.state, 1).unwrap(),
            "not moved, on the new key; web-2 is waived, and away"
        );
    }

    #[test]
    fn a_host_is_back_once_a_look_shows_it_and_not_before() {
        let mut walk = Walk::of(two_hosts());
        walk.until(|state| state.phase() == Phase::Quiesce);
        waive(&mut walk);
        walk.say(Fact::Enumerated(look_without(&walk)));
        assert_eq!(read(&walk).back(&called(), &walk.state), [] as [String; 0]);
        let seen = walk.look();
        walk.say(Fact::Enumerated(seen));
        let left = read(&walk);
        assert_eq!(left.back(&called(), &walk.state), ["web-2"]);
        assert!(left.away(&called(), &Waivers::default(), &walk.state).is_empty());
        assert_eq!(left.stage(&called(), &walk.state, 1), None);
    }
}
