use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keyroll_needle::Encoding;
use keyroll_observe::{MemoryLimits, ProcessId, memory_holds, own_tree};

use crate::{Memory, Place, Sighting, Survey, Unseen, ValueId};

/// What a search of processes' memory read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Searched {
    /// Processes.
    pub processes: usize,
    /// Bytes.
    pub bytes: u64,
}

impl Survey {
    /// The second stage: the memory of every process is searched for every value, up to so many bytes in all and for so long.
    pub fn search_memory(&mut self, bytes_max: u64, wait: Duration) -> Searched {
        let mut searched = Searched::default();
        let Some(needles) = self.values.needles() else { return searched };
        let own = own_tree(&self.listing);
        let deadline = Instant::now() + wait;
        let others: Vec<(ProcessId, Option<u32>)> =
            self.listing.seen.iter().map(|one| (one.id, one.uid)).collect();
        for (process, uid) in others.into_iter().filter(|(id, _)| !own.contains(&id.pid)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes_left = bytes_max.saturating_sub(searched.bytes);
            let what = format!("memory of process {}", process.pid);
            if left.is_zero() || bytes_left == 0 {
                self.unseen.push(Unseen {
                    what,
                    reason: "the limit of the search was reached".to_owned(),
                    uid,
                });
                continue;
            }
            let standard = MemoryLimits::default();
            let limits = MemoryLimits { bytes_max: bytes_left, wait: standard.wait.min(left), ..standard };
            let report = memory_holds(&process, &needles, limits);
            searched.bytes += report.bytes_read;
            if let Some(reason) = report.not_visible {
                self.unseen.push(Unseen { what, reason: reason.to_string(), uid });
                self.remember(process, Memory::Closed);
                continue;
            }
            searched.processes += 1;
            let found: BTreeSet<ValueId> = report.found.keys().copied().map(ValueId).collect();
            let whole = report.gaps.is_empty();
            self.unseen.extend(report.gaps.into_iter().map(|gap| Unseen {
                what: what.clone(),
                reason: gap.reason.to_string(),
                uid,
            }));
            self.remember(process, if whole { Memory::Whole(found) } else { Memory::InPart(found) });
        }
        searched
    }

    /// What the kernel keeps of the start lies in the memory too: what was in the start counts there alone.
    fn remember(&mut self, process: ProcessId, memory: Memory) {
        let Some(held) = self.held.get_mut(&process) else { return };
        let elsewhere = |found: BTreeSet<ValueId>| -> BTreeSet<ValueId> {
            found
                .into_iter()
                .filter(|id| !held.start.as_ref().is_some_and(|start| start.contains(id)))
                .collect()
        };
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
