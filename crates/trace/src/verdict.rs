use std::collections::BTreeSet;

use crate::ValueId;

/// What an instance was seen to hold of one secret's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// In what it was started with: environment, credentials. `None` = not visible.
    pub start: Option<BTreeSet<ValueId>>,
    /// In its memory, without what the kernel keeps of its start.
    pub memory: Memory,
}

/// What a search of a process's memory showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Memory {
    /// It was not searched.
    #[default]
    NotSearched,
    /// It was searched whole.
    Whole(BTreeSet<ValueId>),
    /// A part was not readable, or a limit was reached: what was found is there, the rest is not known.
    InPart(BTreeSet<ValueId>),
    /// Nothing of it could be read.
    Closed,
}

/// What an instance runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// On the value that a new start would take, and on no other.
    Current,
    /// On another one.
    Stale,
    /// It holds the next one and another.
    Mixed,
    /// It cannot be told, and why.
    Unknown(Doubt),
}

/// Why it cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// Which copy wins is not known.
    NoChain,
    /// It was started with another version, and may have read the next one since: its memory was not searched, or not whole.
    MemoryNotSearched,
    /// What it was started with is closed to this user.
    StartHidden,
    /// It was seen to hold none of the versions.
    NothingSeen,
}

/// What is said of one instance and one secret. `next` is the value that a new start would run on.
///
/// A wrong *current* or *stale* is worse than an *unknown*: *current* needs the next version and no other one, *stale* a
/// memory that was searched whole.
pub fn verdict(next: Option<ValueId>, held: &Held) -> Verdict {
    let Some(next) = next else { return Verdict::Unknown(Doubt::NoChain) };
    let empty = BTreeSet::new();
    let (memory, whole) = match &held.memory {
        Memory::Whole(found) => (found, true),
        Memory::InPart(found) => (found, false),
        Memory::NotSearched | Memory::Closed => (&empty, false),
    };
    let start = held.start.as_ref().unwrap_or(&empty);
    let mut all: BTreeSet<ValueId> = start.union(memory).copied().collect();
    let has_next = all.remove(&next);
    match (has_next, all.is_empty()) {
        (true, true) if whole || start.contains(&next) => Verdict::Current,
        // The part that was not read may hold another one.
        (true, true) => Verdict::Unknown(Doubt::MemoryNotSearched),
        (true, false) => Verdict::Mixed,
        (false, false) if whole => Verdict::Stale,
        (false, false) => Verdict::Unknown(Doubt::MemoryNotSearched),
        (false, true) if held.start.is_none() => Verdict::Unknown(Doubt::StartHidden),
        (false, true) => Verdict::Unknown(Doubt::NothingSeen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u32]) -> BTreeSet<ValueId> {
        ids.iter().copied().map(ValueId).collect()
    }

    #[test]
    fn a_verdict_needs_what_it_says() {
        let next = Some(ValueId(2));
        let held = |start: &[u32], memory: Memory| Held { start: Some(set(start)), memory };
        for (held, wanted) in [
            (held(&[2], Memory::NotSearched), Verdict::Current),
            (held(&[1], Memory::NotSearched), Verdict::Unknown(Doubt::MemoryNotSearched)),
            (held(&[1], Memory::Closed), Verdict::Unknown(Doubt::MemoryNotSearched)),
            (held(&[1], Memory::InPart(set(&[1]))), Verdict::Unknown(Doubt::MemoryNotSearched)),
            (held(&[1], Memory::Whole(set(&[]))), Verdict::Stale),
            (held(&[1], Memory::Whole(set(&[2]))), Verdict::Mixed),
            (held(&[], Memory::Whole(set(&[2]))), Verdict::Current),
            (held(&[], Memory::InPart(set(&[1, 2]))), Verdict::Mixed),
            (held(&[], Memory::InPart(set(&[2]))), Verdict::Unknown(Doubt::MemoryNotSearched)),
            (held(&[], Memory::Whole(set(&[]))), Verdict::Unknown(Doubt::NothingSeen)),
            (Held::default(), Verdict::Unknown(Doubt::StartHidden)),
        ] {
            assert_eq!(verdict(next, &held), wanted, "{held:?}");
        }
        assert_eq!(verdict(None, &held(&[1], Memory::NotSearched)), Verdict::Unknown(Doubt::NoChain));
    }
}
