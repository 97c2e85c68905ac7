use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_observe::{After, ProcessId, runs_shell};

use crate::file_times::FileTimes;
use crate::{Basis, Chain, Held, Instance, Link, Place, Survey, Value, ValueId};

/// How many parents are followed.
const PARENTS_MAX: usize = 64;

/// One piece of evidence about an instance and the versions of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// It was started with this version, at this place.
    StartedWith {
        /// An environment, a credential, a command line.
        place: Place,
        /// The version.
        value: ValueId,
    },
    /// It inherited the version; the topmost ancestor that holds it.
    InheritedFrom {
        /// The process.
        process: ProcessId,
        /// The version.
        value: ValueId,
    },
    /// It is a fork of this process and executed no program: it holds everything that this process had loaded.
    ForkOf(ProcessId),
    /// The version is in its memory.
    InMemory {
        /// The version.
        value: ValueId,
        /// How many copies, not counting the kernel's record of the start.
        copies: u64,
    },
    /// It has the file open now, or an earlier file of the same path.
    HasOpen {
        /// The file.
        path: PathBuf,
        /// It is an earlier file.
        replaced: bool,
    },
    /// Whether it was started after a copy was last changed, by the file's own times.
    Started {
        /// The copy.
        path: PathBuf,
        /// Whether the start came after the change.
        after: After,
    },
}

impl Survey {
    /// The evidence about an instance for these versions of one secret; `None` = there is no such instance.
    pub fn held(&self, process: &ProcessId, versions: &BTreeSet<ValueId>) -> Option<Held> {
        let common = versions.iter().any(|value| self.values.get(*value).is_none_or(Value::common));
        Some(self.instances.get(process)?.held(versions, common))
    }

    /// The same for one of the names by which its program takes the secret: the value under this name in its start
    /// environment shows which version it uses, unless the program reads the copy itself.
    pub fn held_by_chain(
        &self,
        process: &ProcessId,
        versions: &BTreeSet<ValueId>,
        chain: &Chain,
    ) -> Option<Held> {
        let mut held = self.held(process, versions)?;
        let wins = chain.winner();
        // A shell can set its variables again while it runs.
        let of = self.listing.seen.iter().find(|one| one.id == *process);
        let shell = of.is_some_and(runs_shell);
        let read_later = shell || wins.is_some_and(|link| link.read_later);
        let variables: BTreeSet<&str> =
            chain.links.iter().filter_map(|link| variable(link.place.as_ref()?)).collect();
        let own = |place: &Place| match place {
            Place::Environment { variable, .. } => {
                *variable == chain.name || variables.contains(variable.as_str())
            }
            Place::Credential { name, .. } => *name == chain.name,
            // Nobody knows from which argument a program takes a value.
            Place::Arguments { .. } => true,
            Place::File { .. }
            | Place::Row { .. }
            | Place::Remains { .. }
            | Place::Record { .. }
            | Place::Memory { .. } => false,
        };
        if let Some(start) = &mut held.start {
            let here = self.sightings.iter().filter(|one| one.place.process() == Some(process));
            let named: BTreeSet<ValueId> =
                here.filter(|one| !read_later && own(&one.place)).map(|one| one.value).collect();
            held.beside = start.difference(&named).copied().collect();
            start.retain(|value| named.contains(value));
        }
        Some(held)
    }

    /// All evidence about an instance and these versions of one secret.
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

    /// Whether an instance was started after a file was last changed.
    pub fn started_after(&self, process: &ProcessId, path: &Path) -> After {
        self.instances.get(process).map_or(After::Unknown, |instance| started_after(instance, path))
    }

    /// Whether an instance got its environment after the file of a link was last changed: at its start, or when its
    /// service was made.
    pub fn given_after(&self, process: &ProcessId, path: &Path, link: &Link) -> After {
        let Some(instance) = self.instances.get(process) else { return After::Unknown };
        let times = given_unix_ms(instance, link).zip(FileTimes::of_name(path));
        times.map_or(After::Unknown, |(given, times)| times.started_after(given))
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

/// The variable, if a place is in an environment.
pub(crate) fn variable(place: &Place) -> Option<&str> {
    match place {
        Place::Environment { variable, .. } => Some(variable),
        Place::File { .. }
        | Place::Row { .. }
        | Place::Remains { .. }
        | Place::Credential { .. }
        | Place::Arguments { .. }
        | Place::Memory { .. }
        | Place::Record { .. } => None,
    }
}

/// Compares the start with the file's times; unknown where one of them is not visible.
fn started_after(instance: &Instance, path: &Path) -> After {
    let times = instance.started_unix_ms.zip(FileTimes::of_name(path));
    times.map_or(After::Unknown, |(started, times)| times.started_after(started))
}

/// Whether a file was surely changed in some way, or got its name, after the instance got its environment. `false` also
/// where a time is not visible.
pub(crate) fn changed_since(instance: &Instance, path: &Path, link: &Link) -> bool {
    let times = given_unix_ms(instance, link).zip(FileTimes::of_name(path));
    times.is_some_and(|(given, times)| times.changed_since(given))
}

/// When an instance got what a link gave it. A container keeps what its creation took from a file; what was seen to be
/// read is read at the start.
fn given_unix_ms(instance: &Instance, link: &Link) -> Option<u64> {
    let kept = instance.made_unix_ms.filter(|_| link.basis == Basis::Likely);
    kept.or(instance.started_unix_ms)
}
