use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keyroll_needle::Encoding;
use keyroll_observe::{MemoryLimits, ProcessId, memory_holds};

use crate::{Memory, Place, Sighting, Survey, Unseen, ValueId};

/// Limits of the second stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStage {
    /// The most bytes that are read, of all processes together.
    pub bytes_max: u64,
    /// The longest time for all of them.
    pub wait: Duration,
    /// The longest time for one of them.
    pub wait_each: Duration,
}

/// 4 GiB, 60 seconds, 20 seconds.
impl Default for MemoryStage {
    fn default() -> Self {
        Self { bytes_max: 4 << 30, wait: Duration::from_secs(60), wait_each: Duration::from_secs(20) }
    }
}

/// What the second stage would read: to be announced before it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryAhead {
    /// The processes in the order of the search.
    pub processes: Vec<ProcessId>,
}

impl Survey {
    /// What a search of the memory of these processes would read: those first that were started with a known value.
    pub fn memory_ahead(&self, which: &BTreeSet<ProcessId>) -> MemoryAhead {
        let mut processes: Vec<ProcessId> = which.iter().copied().collect();
        let holds = |process: &ProcessId| {
            self.instances.get(process).is_some_and(|held| held.start.iter().flatten().next().is_some())
        };
        processes.sort_by_cached_key(|process| (!holds(process), *process));
        MemoryAhead { processes }
    }

    /// The second stage: every value that the survey knows is looked for in the memory of these processes, in every
    /// encoding. `told` is called after each.
    pub fn search_memory(
        &mut self,
        ahead: &MemoryAhead,
        limits: MemoryStage,
        told: &mut dyn FnMut(ProcessId, &Memory),
    ) {
        let Some(needles) = self.values.needles() else { return };
        let deadline = Instant::now() + limits.wait;
        let mut left = limits.bytes_max;
        for (index, process) in ahead.processes.iter().enumerate() {
            let time = deadline.saturating_duration_since(Instant::now()).min(limits.wait_each);
            if time.is_zero() || left == 0 {
                let what = format!("memory of {} processes", ahead.processes.len() - index);
                let reason = "the limit of the search was reached before it".to_owned();
                return self.unseen.push(Unseen { what, reason, uid: None });
            }
            let of_one = MemoryLimits { bytes_max: left, wait: time, ..MemoryLimits::default() };
            let report = memory_holds(process, &needles, of_one);
            left = left.saturating_sub(report.bytes_read);
            let found: BTreeSet<ValueId> = report.found.keys().copied().map(ValueId).collect();
            let memory = match (report.not_visible, report.gaps.is_empty()) {
                (Some(reason), _) => {
                    self.closed(*process, reason.to_string());
                    Memory::Closed
                }
                (None, true) => Memory::Whole(found),
                (None, false) => {
                    report.gaps.iter().for_each(|gap| self.closed(*process, gap.reason.to_string()));
                    Memory::InPart(found)
                }
            };
            self.remember(*process, memory);
            if let Some(held) = self.instances.get(process) {
                told(*process, &held.memory);
            }
        }
    }

    fn closed(&mut self, process: ProcessId, reason: String) {
        let uid = self.listing.seen.iter().find(|one| one.id == process).and_then(|one| one.uid);
        self.unseen.push(Unseen { what: format!("memory of process {}", process.pid), reason, uid });
    }

    /// What the kernel keeps of the start lies in the memory too: what was in the start counts there alone.
    fn remember(&mut self, process: ProcessId, memory: Memory) {
        let Some(held) = self.instances.get_mut(&process) else { return };
        let start = held.start.clone().unwrap_or_default();
        let elsewhere = |found: BTreeSet<ValueId>| found.difference(&start).copied().collect();
        held.memory = match memory {
            Memory::Whole(found) => Memory::Whole(elsewhere(found)),
            Memory::InPart(found) => Memory::InPart(elsewhere(found)),
            Memory::NotSearched | Memory::Closed => memory,
        };
        if let Memory::Whole(found) | Memory::InPart(found) = &held.memory {
            self.sightings.extend(found.iter().map(|value| Sighting {
                value: *value,
                place: Place::Memory { process },
                name: None,
                encoding: Encoding::Raw,
            }));
        }
    }
}
