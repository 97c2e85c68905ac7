use std::collections::BTreeSet;

use crate::ValueId;

/// The evidence about an instance for one secret's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// In its start environment, command line or credentials. `None` = not visible, or not completely.
    pub start: Option<BTreeSet<ValueId>>,
    /// Versions in its start that its program does not take this secret from: under another name, or where the program
    /// reads a copy itself after its start. It holds them, but need not use them.
    pub beside: BTreeSet<ValueId>,
    /// In its memory, without the kernel's record of its start.
    pub memory: Memory,
    /// In files that it opened after they got this content: it may have read them, but need not hold them.
    pub read: BTreeSet<ValueId>,
}

/// The result of a search of a process's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Memory {
    /// It was not searched.
    #[default]
    NotSearched,
    /// It was searched completely.
    Whole(BTreeSet<ValueId>),
    /// A part was not readable, or a limit was reached: the values that were found are there, the rest is unknown.
    InPart(BTreeSet<ValueId>),
    /// Nothing of it could be read.
    Closed,
    /// One of the versions may occur anywhere by chance: a hit in memory is no evidence.
    Common,
}

/// Which version an instance uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The value that a new start would take, and no other.
    Current,
    /// Another value.
    Stale,
    /// Probably another value: it is older than the last change of its file, and was not seen to have the new one. Why that
    /// is no proof.
    LikelyStale(Doubt),
    /// It holds the next value and another.
    Mixed,
    /// It is unknown, and why.
    Unknown(Doubt),
}

/// Why the verdict is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// The winning copy is unknown.
    NoChain,
    /// It may hold the next version or another: its memory was not searched.
    MemoryNotSearched,
    /// It may hold the next version or another: its memory was not searched completely.
    MemoryInPart,
    /// It may hold the next version or another: its memory is not visible to this user.
    MemoryClosed,
    /// It may hold the next version or another: a version could be in memory by chance.
    CommonValue,
    /// It opened the winning copy, and holds another version: it may read its copy at each use.
    ReadSince,
    /// Its start environment is not visible to this user.
    StartHidden,
    /// It was seen to hold none of the versions.
    NothingSeen,
}

/// The verdict about one instance and one secret. `next` is the value that a new start would use.
///
/// A wrong *current* or *stale* is worse than an *unknown*. *Current* requires the next version and no other; *stale*
/// requires a memory that was searched completely.
pub fn verdict(next: Option<ValueId>, held: &Held) -> Verdict {
    let Some(next) = next else { return Verdict::Unknown(Doubt::NoChain) };
    let empty = BTreeSet::new();
    let (memory, doubt) = match &held.memory {
        Memory::Whole(found) => (found, None),
        Memory::InPart(found) => (found, Some(Doubt::MemoryInPart)),
        Memory::NotSearched => (&empty, Some(Doubt::MemoryNotSearched)),
        Memory::Closed => (&empty, Some(Doubt::MemoryClosed)),
        Memory::Common => (&empty, Some(Doubt::CommonValue)),
    };
    let start = held.start.as_ref().unwrap_or(&empty);
    let mut all: BTreeSet<ValueId> = start.iter().chain(&held.beside).chain(memory).copied().collect();
    let has_next = all.remove(&next);
    // It may have read another copy since.
    let other_read = held.read.iter().any(|value| *value != next);
    match (has_next, all.is_empty(), doubt) {
        (true, false, _) => Verdict::Mixed,
        (true, true, None) => Verdict::Current,
        (true, true, Some(_)) if start.contains(&next) && !other_read => Verdict::Current,
        (false, false, None) if held.read.contains(&next) => Verdict::Unknown(Doubt::ReadSince),
        // `beside` decides nothing: the process may use a value that it has read since, in a form that is not searched
        // for.
        (false, false, None) if start.is_empty() && memory.is_empty() => Verdict::Unknown(Doubt::NothingSeen),
        (false, false, None) => Verdict::Stale,
        (false, true, None) => Verdict::Unknown(Doubt::NothingSeen),
        (false, true, Some(_)) if held.start.is_none() => Verdict::Unknown(Doubt::StartHidden),
        // The part that was not read may hold another version.
        (true | false, true | false, Some(doubt)) => Verdict::Unknown(doubt),
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
        let held =
            |start: &[u32], memory: Memory| Held { start: Some(set(start)), memory, ..Held::default() };
        let unknown = Verdict::Unknown;
        for (held, wanted) in [
            (held(&[2], Memory::NotSearched), Verdict::Current),
            (held(&[2], Memory::Whole(set(&[2]))), Verdict::Current),
            (held(&[1], Memory::NotSearched), unknown(Doubt::MemoryNotSearched)),
            (held(&[1], Memory::Closed), unknown(Doubt::MemoryClosed)),
            (held(&[1], Memory::Common), unknown(Doubt::CommonValue)),
            (held(&[1], Memory::InPart(set(&[1]))), unknown(Doubt::MemoryInPart)),
            (held(&[1], Memory::Whole(set(&[]))), Verdict::Stale),
            (held(&[1], Memory::Whole(set(&[2]))), Verdict::Mixed),
            (held(&[2], Memory::InPart(set(&[1]))), Verdict::Mixed),
            (held(&[], Memory::Whole(set(&[1]))), Verdict::Stale),
            (held(&[], Memory::Whole(set(&[2]))), Verdict::Current),
            (held(&[], Memory::InPart(set(&[1, 2]))), Verdict::Mixed),
            (held(&[], Memory::InPart(set(&[2]))), unknown(Doubt::MemoryInPart)),
            (held(&[], Memory::Whole(set(&[]))), unknown(Doubt::NothingSeen)),
            (held(&[], Memory::NotSearched), unknown(Doubt::MemoryNotSearched)),
            (Held { memory: Memory::Whole(set(&[2])), ..Held::default() }, Verdict::Current),
            (Held { read: set(&[2]), ..held(&[1], Memory::Whole(set(&[]))) }, unknown(Doubt::ReadSince)),
            (Held { read: set(&[2]), ..held(&[2], Memory::NotSearched) }, Verdict::Current),
            (Held { read: set(&[1]), ..held(&[2], Memory::NotSearched) }, unknown(Doubt::MemoryNotSearched)),
            (Held { read: set(&[1]), ..held(&[2], Memory::Whole(set(&[]))) }, Verdict::Current),
            (Held { beside: set(&[2]), ..held(&[], Memory::NotSearched) }, unknown(Doubt::MemoryNotSearched)),
            (Held { beside: set(&[2]), ..held(&[], Memory::Whole(set(&[]))) }, Verdict::Current),
            (Held { beside: set(&[2]), ..held(&[], Memory::Whole(set(&[1]))) }, Verdict::Mixed),
            (Held { beside: set(&[1]), ..held(&[2], Memory::NotSearched) }, Verdict::Mixed),
            (Held { beside: set(&[1]), ..held(&[], Memory::Whole(set(&[]))) }, unknown(Doubt::NothingSeen)),
            (Held { beside: set(&[1]), ..held(&[], Memory::Whole(set(&[1]))) }, Verdict::Stale),
            (Held { read: set(&[1]), ..held(&[1], Memory::Whole(set(&[]))) }, Verdict::Stale),
            (Held::default(), unknown(Doubt::StartHidden)),
        ] {
            assert_eq!(verdict(next, &held), wanted, "{held:?}");
        }
        assert_eq!(verdict(None, &held(&[1], Memory::NotSearched)), unknown(Doubt::NoChain));
    }
}
