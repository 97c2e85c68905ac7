//! Whether an instance is probably stale where the proof is incomplete.

use keyroll_observe::ProcessId;

use crate::evidence::changed_since;
use crate::{Basis, Chain, Doubt, Held, LinkRole, Memory, Place, Survey, ValueId, Verdict, is_left_behind};

impl Survey {
    /// A verdict, with *likely stale* in place of *unknown* if the instance was started before the file that it takes its
    /// value from was changed, and the new value was seen nowhere in it. Proofs alone count for a rotation.
    pub(crate) fn graded(
        &self,
        process: &ProcessId,
        chain: Option<&Chain>,
        held: &Held,
        verdict: Verdict,
    ) -> Verdict {
        let Verdict::Unknown(doubt) = verdict else { return verdict };
        let judged = chain.is_some_and(|chain| self.is_behind(process, chain, held, doubt));
        if judged { Verdict::LikelyStale(doubt) } else { verdict }
    }

    fn is_behind(&self, process: &ProcessId, chain: &Chain, held: &Held, doubt: Doubt) -> bool {
        let Some(link) = chain.likely() else { return false };
        let (Some(new), Some(path)) = (link.value, link.place.as_ref().and_then(Place::file)) else {
            return false;
        };
        let Some(instance) = self.instances.get(process) else { return false };
        if doubt == Doubt::ReadSince || !changed_since(instance, path, link) {
            return false;
        }
        let memory = match &held.memory {
            Memory::Whole(found) | Memory::InPart(found) => Some(found),
            Memory::NotSearched | Memory::Closed | Memory::Common => None,
        };
        let start = held.start.iter().flatten().chain(&held.beside);
        let mut seen = start.chain(memory.into_iter().flatten()).chain(&held.read).peekable();
        if link.role != LinkRole::Wins && link.basis == Basis::Seen {
            // It may read the file by itself: then the value that it has must be from nowhere else.
            let other = seen.find(|value| **value == new || self.is_copied(**value));
            return other.is_none() && memory.is_some_and(|found| !found.is_empty());
        }
        if seen.peek().is_none() {
            // The program was seen to read the file, and its whole memory has not what the file holds now.
            let whole = matches!(held.memory, Memory::Whole(_));
            return whole && link.basis == Basis::Seen && link.read_later;
        }
        seen.all(|value| *value != new)
    }

    /// Whether a file that is read as it is, or a manager, has a value.
    fn is_copied(&self, value: ValueId) -> bool {
        self.sightings.iter().any(|one| {
            let left = one.place.file().is_some_and(is_left_behind);
            one.value == value && one.place.process().is_none() && !left
        })
    }
}
