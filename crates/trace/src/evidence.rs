use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use keyroll_observe::{After, ProcessId};

use crate::{Held, Instance, Place, Survey, Value, ValueId};

/// How far apart two readings of the clock may lie that are told as before and after, milliseconds: a start is known to
/// 10 ms, and a file's time to one tick of the kernel.
const CLOCK_MS: u64 = 20;

/// How many parents are followed.
const PARENTS_MAX: usize = 64;

/// One thing that was seen of an instance and of the versions of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// It was started with this version, in this place.
    StartedWith {
        /// An environment, a credential, a command line.
        place: Place,
        /// Which version.
        value: ValueId,
    },
    /// It has the version from the process that started it, and so on upwards: this is the topmost that holds it.
    InheritedFrom {
        /// The process.
        process: ProcessId,
        /// Which version.
        value: ValueId,
    },
    /// It is a fork of this one and executed no program: it has what that one had loaded.
    ForkOf(ProcessId),
    /// The version is in its memory.
    InMemory {
        /// Which version.
        value: ValueId,
        /// How many copies, without what the kernel keeps of the start.
        copies: u64,
    },
    /// It has the file open now, or an earlier one of this name.
    HasOpen {
        /// The file.
        path: PathBuf,
        /// It is an earlier one.
        replaced: bool,
    },
    /// Whether it was started after a copy was last changed, by the file's own time.
    Started {
        /// The copy.
        path: PathBuf,
        /// After it.
        after: After,
    },
}

impl Survey {
    /// What an instance was seen to hold of these versions of one secret; `None` = there is no such instance.
    pub fn held(&self, process: &ProcessId, versions: &BTreeSet<ValueId>) -> Option<Held> {
        let common = versions.iter().any(|value| self.values.get(*value).is_none_or(Value::common));
        Some(self.instances.get(process)?.held(versions, common))
    }

    /// Everything that was seen of an instance and these versions of one secret.
    pub fn evidence(&self, process: &ProcessId, versions: &BTreeSet<ValueId>) -> Vec<Evidence> {
        let Some(instance) = self.instances.get(process) else { return Vec::new() };
        let of = self.sightings.iter().filter(|one| versions.contains(&one.value));
        let mut found = Vec::new();
        let mut files = BTreeSet::new();
        for sighting in of {
            match &sighting.place {
                Place::File { .. } | Place::Row { .. } | Place::Remains { .. } => {
                    files.extend(sighting.place.file());
                }
                Place::Memory { .. } | Place::Record { .. } => {}
                place @ (Place::Environment { .. } | Place::Credential { .. } | Place::Arguments { .. }) => {
                    if place.process() == Some(process) {
                        found.push(Evidence::StartedWith { place: place.clone(), value: sighting.value });
                    }
                }
            }
        }
        for value in instance.start.iter().flatten().filter(|value| versions.contains(value)) {
            let first = self.givers(instance, *value).last().map(|giver| giver.process);
            found.extend(first.map(|process| Evidence::InheritedFrom { process, value: *value }));
        }
        found.extend(instance.parent.filter(|_| instance.forked).map(Evidence::ForkOf));
        for (value, copies) in instance.copies.iter().filter(|(value, _)| versions.contains(value)) {
            found.push(Evidence::InMemory { value: *value, copies: *copies });
        }
        for open in instance.open.iter().filter(|open| files.contains(open.path.as_path())) {
            found.push(Evidence::HasOpen { path: open.path.clone(), replaced: open.replaced });
        }
        for path in files {
            let after = started_after(instance, path);
            found.push(Evidence::Started { path: path.to_owned(), after });
        }
        found
    }

    /// The processes that were started, by whatever way, from this one and got the version from it.
    pub fn heirs(&self, process: &ProcessId, value: ValueId) -> Vec<ProcessId> {
        let heir = |one: &&Instance| {
            let starts = one.start.as_ref().is_ok_and(|start| start.contains(&value));
            starts && self.givers(one, value).any(|giver| giver.process == *process)
        };
        self.instances.values().filter(heir).map(|one| one.process).collect()
    }

    /// The parents of an instance that hold a value, nearest first, up to the first that was not seen to.
    fn givers(&self, of: &Instance, value: ValueId) -> impl Iterator<Item = &Instance> {
        let above = move |one: &&Instance| {
            let parent = self.instances.get(&one.parent?)?;
            parent.values().contains(&value).then_some(parent)
        };
        let first = self.instances.get(&of.process).and_then(|own| above(&own));
        std::iter::successors(first, above).take(PARENTS_MAX)
    }
}

fn started_after(instance: &Instance, path: &Path) -> After {
    let changed = std::fs::symlink_metadata(path).and_then(|data| data.modified()).ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.and_then(|since| u64::try_from(since.as_millis()).ok());
    match (instance.started_unix_ms, changed) {
        (Some(started), Some(changed)) if started > changed.saturating_add(CLOCK_MS) => After::Yes,
        (Some(started), Some(changed)) if started.saturating_add(CLOCK_MS) < changed => After::No,
        _ => After::Unknown,
    }
}
