//! Hosts that did not answer at the last inspection: what is missing there is not visible, and nothing is wrong with it.

use keyroll_host::LOCAL;
use keyroll_rotation::{Blocker, ConsumerId, Holds, HostId, ObservedInstance, State};

use super::missing_proof::again;
use super::plan_names::Called;
use crate::operator::Holder;

/// The hosts with a consumer of which the last inspection saw nothing.
pub(super) struct HostsAway(Vec<(HostId, String)>);

impl HostsAway {
    /// Of a host that answers at least one entry is there for each of its consumers, also for one that does not run.
    pub(super) fn of(called: &Called, state: &State, seen: &[ObservedInstance]) -> Self {
        let mut away: Vec<(HostId, String)> = Vec::new();
        for consumer in &state.plan().consumers {
            let host = consumer.host;
            let known = away.iter().any(|(other, _)| *other == host);
            let answered = seen.iter().any(|instance| instance.who.host == host);
            if host != LOCAL && !known && !answered {
                away.extend(called.host(host).map(|name| (host, name)));
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
            or_else: None,
            kind: "host that is away",
            executable: None,
            folder: None,
            started: None,
        })
    }
}

fn host_of(state: &State, consumer: ConsumerId) -> Option<HostId> {
    state.plan().consumers.get(consumer.index()).map(|consumer| consumer.host)
}
