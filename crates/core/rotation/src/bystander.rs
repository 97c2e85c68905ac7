//! Declared bystanders: processes that hold a value and never present it, such as a gateway that keeps the last header. The
//! operator declared them with the plan, so they do not block the end of a key. A use of the key that the issuer attributes to
//! one of them still does.

use std::collections::BTreeMap;

use crate::state::State;
use crate::{BystanderId, Enumeration, Incarnation, Visibility, Which};

impl State {
    /// The declared bystanders that were seen to hold a version in this rotation, each with those of its processes that the last
    /// look shows.
    pub fn bystanders(&self) -> BTreeMap<BystanderId, Vec<Incarnation>> {
        let mut all: BTreeMap<BystanderId, Vec<Incarnation>> = BTreeMap::new();
        for (id, _) in self.looks.stood_by() {
            all.entry(id).or_default();
        }
        let standing =
            self.look().map(|look| standing(&self.plan().bystanders, &look.seen)).unwrap_or_default();
        for (who, id) in standing {
            if let Some(processes) = all.get_mut(&id) {
                processes.push(who);
            }
        }
        all
    }
}

/// The processes of a look that are bystanders of the plan, which declares these. One that belongs to a consumer is none, whatever
/// is declared.
pub fn standing(declared: &[BystanderId], seen: &Enumeration) -> BTreeMap<Incarnation, BystanderId> {
    let known = seen.bystanders.iter().filter(|it| declared.contains(&it.id));
    let mut standing: BTreeMap<Incarnation, BystanderId> = known.map(|it| (it.who, it.id)).collect();
    if !standing.is_empty() {
        for instance in seen.instances.iter().filter(|it| it.consumer.is_some()) {
            standing.remove(&instance.who);
        }
    }
    standing
}

/// Which bystanders a look shows to hold which version.
pub(crate) fn held(state: &State, seen: &Enumeration) -> Vec<(BystanderId, Which)> {
    let standing = standing(&state.plan().bystanders, seen);
    let mut held = Vec::new();
    for instance in &seen.instances {
        let Some(id) = standing.get(&instance.who) else { continue };
        for (seen, which) in [(instance.old, Which::Old), (instance.new, Which::New)] {
            if seen == Visibility::Yes {
                held.push((*id, which));
            }
        }
    }
    held
}
