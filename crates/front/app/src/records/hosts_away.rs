//! Hosts that did not answer at the last inspection: what is missing there is not visible, and nothing is wrong with it.

use keyroll_host::LOCAL;
use keyroll_rotation::{Blocker, ConsumerId, Enumeration, Holds, HostId, Op, Reason, Seq, State};

use super::missing_proof::again;
use super::plan_names::Called;
use crate::operator::Holder;

/// What a blocker is that only says that its host is away.
pub(crate) const AWAY: &str = "host that is away";

/// The way out where a host is gone for good. If it is not, its waiver ends by itself.
pub(crate) fn gone(name: &str) -> String {
    format!("if {name} is gone: keyroll hosts waive {name} --reason WHY")
}

/// The same for each host that a hold may be about because it is away, with what follows.
pub(crate) fn way_without(called: &Called, state: &State, reason: Reason) -> Option<String> {
    let absent = || state.look().map(|look| look.seen.absent.clone()).unwrap_or_default();
    let hosts = match reason {
        Reason::Unit(consumer) => host_of(state, consumer).into_iter().collect(),
        Reason::Unreadable(file) => state.plan().files.get(file.index()).copied().into_iter().collect(),
        Reason::Unclear(seq) => carried_out_on(state, seq).into_iter().collect(),
        Reason::Overdue(_) | Reason::Failed(_) => absent(),
        Reason::Asked
        | Reason::Holder(_)
        | Reason::Stranger(_)
        | Reason::Unsearched(_)
        | Reason::Foreign(_)
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::ChangedElsewhere
        | Reason::Consent
        | Reason::LastUseNotShown
        | Reason::Canary(_)
        | Reason::Unaccepted(_)
        | Reason::Drifting
        | Reason::UnknownLabel(_) => Vec::new(),
    };
    let here = hosts.into_iter().filter(|host| !state.has_left(*host));
    let ways: Vec<String> = here.filter_map(|host| called.host(host)).map(|name| gone(&name)).collect();
    (!ways.is_empty()).then(|| called.addressed(&format!("{}, then {}", ways.join("; "), again(state))))
}

/// The hosts of which the last inspection saw nothing: those with a consumer, and those that are only searched.
pub(super) struct HostsAway(Vec<(HostId, String)>);

impl HostsAway {
    /// The look names those that did not answer. In journals of protocol 10 and before it does not: of a host that answers at
    /// least one entry is there for each of its consumers, also for one that does not run.
    pub(super) fn of(called: &Called, state: &State, seen: &Enumeration) -> Self {
        let mut away: Vec<(HostId, String)> = Vec::new();
        for consumer in &state.plan().consumers {
            let host = consumer.host;
            let known = away.iter().any(|(other, _)| *other == host);
            let answered = seen.instances.iter().any(|instance| instance.who.host == host);
            let left = seen.absent.contains(&host) || !answered;
            if host != LOCAL && !known && left && !state.has_left(host) {
                away.extend(called.host(host).map(|name| (host, name)));
            }
        }
        for host in &seen.absent {
            let known = away.iter().any(|(other, _)| other == host);
            if *host != LOCAL && !known && !state.has_left(*host) {
                away.extend(called.host(*host).map(|name| (*host, name)));
            }
        }
        Self(away)
    }

    /// Whether a blocker only says that its host is away.
    pub(super) fn explain(&self, state: &State, blocker: Blocker) -> bool {
        let host = match blocker {
            Blocker::File(file, Holds::Unreadable) => state.plan().files.get(file.index()).copied(),
            Blocker::Absent(consumer) => host_of(state, consumer),
            Blocker::Unproven(consumer, ..) => host_of(state, consumer),
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
    pub(super) fn holders(&self, state: &State) -> impl Iterator<Item = Holder> {
        self.0.iter().map(|(_, name)| Holder {
            host: Some(name.clone()),
            pid: None,
            name: name.clone(),
            found_by: "it did not answer at the last inspection: nothing there is visible".to_owned(),
            how_to_move: format!("keyroll hosts check {name} shows why; bring it up, then {}", again(state)),
            or_else: Some(format!("{}, which goes on without it", gone(name))),
            kind: AWAY,
            executable: None,
            folder: None,
            started: None,
        })
    }
}

fn host_of(state: &State, consumer: ConsumerId) -> Option<HostId> {
    state.plan().consumers.get(consumer.index()).map(|consumer| consumer.host)
}

/// The host on which an open operation is carried out, if it is one on a host.
fn carried_out_on(state: &State, seq: Seq) -> Option<HostId> {
    let op = &state.intents().iter().find(|open| open.seq == seq)?.op;
    if let Op::Deliver(file, _) = op {
        return state.plan().files.get(file.index()).copied();
    }
    let (Op::Fetch(consumer) | Op::Apply(consumer, ..)) = op else { return None };
    host_of(state, *consumer)
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{
        Consumer, Fact, FileId, Hold, Outcome, Phase, ReloadMode, UnitStep, Waived, Which,
    };

    use super::super::walk::{Walk, plan};
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
        let way = |state: &State, reason| way_without(&called, state, reason);
        let said = way(&walk.state, Reason::Unit(ConsumerId(1))).unwrap();
        assert!(said.contains("keyroll hosts waive web-2 --reason WHY, then keyroll resume"), "{said}");
        // This machine is never away.
        assert_eq!(way(&walk.state, Reason::Unit(ConsumerId(0))), None);
        assert_eq!(way(&walk.state, Reason::Asked), None);
        walk.say(Fact::Waived(Waived::Host(HostId(1))));
        assert_eq!(way(&walk.state, Reason::Unit(ConsumerId(1))), None, "it is waived already");
    }

    #[test]
    fn a_host_that_is_only_searched_is_named_with_both_ways_on_until_it_is_waived() {
        let mut walk = Walk::of(plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        let mut seen = walk.look();
        seen.absent = vec![HostId(1)];
        walk.say(Fact::Enumerated(seen.clone()));
        let called = Called::of_hosts(&["local", "web-3"]);
        let named = |state: &State| HostsAway::of(&called, state, &seen).holders(state).collect::<Vec<_>>();
        let held_up = named(&walk.state);
        assert_eq!(held_up.len(), 1);
        assert!(held_up[0].how_to_move.contains("keyroll hosts check web-3"));
        let or_else = held_up[0].or_else.as_deref().unwrap();
        assert!(or_else.contains("keyroll hosts waive web-3"), "{or_else}");
        walk.say(Fact::Waived(Waived::Host(HostId(1))));
        assert!(named(&walk.state).is_empty());
    }
}
