//! What is looked for among all consumers of a plan.

use std::collections::BTreeMap;

use super::place_sets::PlaceSet;
use crate::plan::Plan;
use crate::{FileId, HostId};

/// Where the consumers of a plan are found. Made with the plan, and anew when a consumer is adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanIndex {
    /// The consumers of each file, in their order.
    readers: Vec<Vec<usize>>,
    /// The consumers on each host, in their order.
    on_host: BTreeMap<HostId, Vec<usize>>,
    /// The consumers whose files keyroll writes.
    pushed: PlaceSet,
    /// The consumers of each turn: whether keyroll does not write their files, and their wave.
    turns: BTreeMap<(bool, u8), PlaceSet>,
    unpaced_ms_max: u64,
}

impl PlanIndex {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut index = Self {
            readers: vec![Vec::new(); plan.files.len()],
            on_host: BTreeMap::new(),
            pushed: PlaceSet::default(),
            turns: BTreeMap::new(),
            unpaced_ms_max: plan.unpaced_ms_max(),
        };
        for (at, consumer) in plan.consumers.iter().enumerate() {
            for file in &consumer.files {
                // A consumer may name a file twice.
                if let Some(readers) = index.readers.get_mut(file.index())
                    && readers.last() != Some(&at)
                {
                    readers.push(at);
                }
            }
            index.on_host.entry(consumer.host).or_default().push(at);
            index.turns.entry(consumer.turn()).or_default().insert(at);
            if consumer.is_pushed() {
                index.pushed.insert(at);
            }
        }
        index
    }

    /// The consumers that read a file, in their order.
    pub(crate) fn readers(&self, file: FileId) -> &[usize] {
        self.readers.get(file.index()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The consumers on a host, in their order.
    pub(crate) fn on_host(&self, host: HostId) -> &[usize] {
        self.on_host.get(&host).map(Vec::as_slice).unwrap_or_default()
    }

    /// The consumers whose files keyroll writes.
    pub(super) fn pushed(&self) -> &PlaceSet {
        &self.pushed
    }

    /// The consumers in the order in which they are moved, those of one turn together.
    pub(crate) fn turns(&self) -> impl Iterator<Item = &PlaceSet> {
        self.turns.values()
    }

    /// The waves of those whose files keyroll writes, or of the others (`pulled`), in their order.
    pub(super) fn waves(&self, pulled: bool) -> impl Iterator<Item = (u8, &PlaceSet)> {
        self.turns.range((pulled, 0)..=(pulled, u8::MAX)).map(|((_, wave), units)| (*wave, units))
    }

    /// See [`Plan::unpaced_ms_max`].
    pub(crate) fn unpaced_ms_max(&self) -> u64 {
        self.unpaced_ms_max
    }
}
