//! Hosts that did not answer at the last inspection: what is missing there is not visible, and nothing is wrong with it.

use keyroll_host::LOCAL;
use keyroll_rotation::{Blocker, ConsumerId, Enumeration, Holds, HostId, State, ways_past_absence};

use super::next_words::with_ways;
use super::plan_names::Called;
use crate::operator::Holder;

/// What a blocker is that only says that its host is away.
pub(crate) const AWAY: &str = "host that is away";

/// The hosts of which the last inspection saw nothing: those with a consumer, and those that are only searched.
pub(super) struct HostsAway(Vec<(HostId, String)>);

impl HostsAway {
    /// The look names those that did not answer. In journals of protocol 10 and before it does not: of a host that answers at
    /// least one entry is there for each of its consumers, also for one that does not run.
    pub(super) fn of(called: &Called, state: &State, seen: &Enumeration) -> Self {
        let mut away: Vec<(HostId, String)> = Vec::new();
        let hosts = state.plan().consumers.iter().map(|consumer| consumer.host);
        for host in hosts.chain(seen.absent.iter().copied()) {
            let known = away.iter().any(|(other, _)| *other == host);
            let answered = seen.instances.iter().any(|instance| instance.who.host == host);
            let left = seen.absent.contains(&host) || !answered;
            if host != LOCAL && !known && left && !state.has_left(host) {
                away.extend(called.host(host).map(|name| (host, name)));
            }
        }
        Self(away)
    }

    /// Whether a blocker only says that its host is away.
    pub(super) fn explain(&self, state: &State, blocker: Blocker) -> bool {
        let host = match blocker {
            Blocker::File(file, Holds::Unreadable) => state.plan().files.get(file.index()).copied(),
            Blocker::Absent(consumer) | Blocker::Unproven(consumer, ..) => host_of(state, consumer),
            Blocker::File(..)
            | Blocker::Holder(_)
            | Blocker::Stranger(_)
            | Blocker::Stale(..)
            | Blocker::Session(_)
            | Blocker::Unsearched(..) => None,
        };
        self.0.iter().any(|(away, _)| Some(*away) == host)
    }

    /// Each host as a blocker.
    pub(super) fn holders(&self, called: &Called, state: &State) -> impl Iterator<Item = Holder> {
        self.0.iter().map(|(host, name)| {
            let away = Holder {
                host: Some(name.clone()),
                kind: AWAY,
                found_by: "it did not answer at the last inspection: nothing there is visible".to_owned(),
                ..Holder::nameless(name)
            };
            with_ways(called, state, ways_past_absence(state, *host), away)
        })
    }
}

fn host_of(state: &State, consumer: ConsumerId) -> Option<HostId> {
    state.plan().consumers.get(consumer.index()).map(|consumer| consumer.host)
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{
        Consumer, Fact, FileId, Hold, Op, Outcome, Phase, Reason, ReloadMode, UnitStep, Waived, Which,
    };

    use super::super::walk::{Walk, plan};
    use super::super::ways::ways;
    use super::*;

    /// A rotation that is paused because the consumer on the second of two hosts failed.
    fn failed_on_the_second() -> Walk {
        let mut plan = plan();
        let one = Consumer { uptake: ReloadMode::Verb, ..plan.consumers[0].clone() };
        plan.files = vec![LOCAL, HostId(1)];
        plan.consumers = vec![
            Consumer { files: vec![FileId(0)], ..one.clone() },
            Consumer { host: HostId(1), files: vec![FileId(1)], ..one },
        ];
        let mut walk = Walk::of(plan);
        walk.until(|state| state.units()[1].stage == UnitStep::Applying(0));
        let intent = walk.begin(&Op::Apply(ConsumerId(1), 0, Which::New));
        walk.end(intent, Outcome::Failed { retry: false });
        walk.until(|state| state.hold().is_some());
        walk
    }

    #[test]
    fn a_pause_at_a_consumer_on_a_host_names_the_way_without_that_host() {
        let mut walk = failed_on_the_second();
        let called = Called::of_hosts(&["local", "web-2"]);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(1)))));
        let next = |state: &State| ways(&called, state, false, false).unwrap().next;
        let said = next(&walk.state);
        assert!(
            said.contains("or if web-2 is gone: keyroll hosts waive web-2 --reason WHY; then "),
            "{said}"
        );
        walk.say(Fact::Waived(Waived::Host(HostId(1))));
        let said = next(&walk.state);
        assert!(!said.contains("hosts waive"), "it is waived already: {said}");
    }

    #[test]
    fn this_machine_is_never_away() {
        let mut walk = Walk::of(plan());
        walk.until(|state| state.units()[0].stage == UnitStep::Applying(0));
        let intent = walk.begin(&Op::Apply(ConsumerId(0), 0, Which::New));
        walk.end(intent, Outcome::Failed { retry: false });
        walk.until(|state| state.hold().is_some());
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Unit(ConsumerId(0)))));
        let called = Called::of_hosts(&["local", "web-2"]);
        assert!(ways_past_absence(&walk.state, LOCAL).is_empty());
        let said = ways(&called, &walk.state, false, false).unwrap().next;
        assert!(!said.contains("hosts waive"), "{said}");
    }

    #[test]
    fn a_host_that_is_only_searched_is_named_with_both_ways_on_until_it_is_waived() {
        let mut walk = Walk::of(plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        let mut seen = walk.look();
        seen.absent = vec![HostId(1)];
        walk.say(Fact::Enumerated(seen.clone()));
        let called = Called::of_hosts(&["local", "web-3"]);
        let named =
            |state: &State| HostsAway::of(&called, state, &seen).holders(&called, state).collect::<Vec<_>>();
        let held_up = named(&walk.state);
        assert_eq!(held_up.len(), 1);
        assert!(held_up[0].how_to_move.contains("keyroll hosts check web-3"));
        let or_else = held_up[0].or_else.as_deref().unwrap();
        assert!(or_else.contains("keyroll hosts waive web-3"), "{or_else}");
        walk.say(Fact::Waived(Waived::Host(HostId(1))));
        assert!(named(&walk.state).is_empty());
    }
}
