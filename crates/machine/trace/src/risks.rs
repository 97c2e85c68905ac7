use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_observe::ProcessId;

use crate::git::Tracked;
use crate::{Place, Record, SurveyedSecret, slots};

/// The permission bit for others: to read a file, to enter a folder.
const OTHERS_READ: u32 = 0o004;
const OTHERS_PASS: u32 = 0o001;

/// Why a copy is in danger, or endangers a rotation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Every user of the machine may read it.
    OthersRead(PathBuf),
    /// Every user of the machine sees the command line of a process.
    Arguments(ProcessId),
    /// It is in an image with this name: everyone who has the image has the value.
    Image(String),
    /// It is in a repository's index.
    Tracked(PathBuf),
    /// It is in a work tree whose index cannot be read.
    TrackedUnknown(PathBuf),
    /// A leftover copy, such as a backup.
    Leftover(PathBuf),
    /// It holds a version that was ended.
    Retired(PathBuf),
    /// Copies at rest hold different values.
    Differ,
}

/// The risks of secrets; each folder is inspected only once.
#[derive(Default)]
pub struct Risks {
    tracked: Tracked,
    /// The folders that every user can enter, together with all above them.
    passed: BTreeMap<PathBuf, bool>,
}

impl Risks {
    /// The risks of one secret.
    pub fn of(&mut self, found: &SurveyedSecret) -> BTreeSet<Risk> {
        let mut risks = BTreeSet::new();
        for sighting in &found.sightings {
            let risk = match &sighting.place {
                Place::Arguments { process } => Risk::Arguments(*process),
                Place::Record { record: Record::Image, of, .. } => Risk::Image(of.clone()),
                Place::Record { record: Record::Container | Record::Manager, .. }
                | Place::File { .. }
                | Place::Row { .. }
                | Place::Remains { .. }
                | Place::Environment { .. }
                | Place::Credential { .. }
                | Place::Memory { .. } => continue,
            };
            risks.insert(risk);
        }
        let paths: BTreeSet<&Path> = found.sightings.iter().filter_map(|one| one.place.file()).collect();
        for path in paths {
            if self.readable_by_all(path) {
                risks.insert(Risk::OthersRead(path.to_owned()));
            }
            match self.tracked.has(path) {
                Some(true) => risks.insert(Risk::Tracked(path.to_owned())),
                Some(false) => false,
                None => risks.insert(Risk::TrackedUnknown(path.to_owned())),
            };
            if slots::leftover_of(path).is_some() {
                risks.insert(Risk::Leftover(path.to_owned()));
            }
        }
        let retired = |value| found.versions.get(value).is_some_and(|version| version.state == "retired");
        let ended = found.sightings.iter().filter(|one| retired(&one.value));
        risks.extend(ended.filter_map(|one| one.place.file()).map(|path| Risk::Retired(path.to_owned())));
        if found.copies_differ() {
            risks.insert(Risk::Differ);
        }
        risks
    }

    /// Whether every user may read the file and enter every folder above it.
    fn readable_by_all(&mut self, path: &Path) -> bool {
        has(path, OTHERS_READ) && path.parent().is_none_or(|folder| self.passed_by_all(folder))
    }

    fn passed_by_all(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.passed.get(folder) {
            return *known;
        }
        let above = folder.parent().is_none_or(|above| self.passed_by_all(above));
        let passed = above && has(folder, OTHERS_PASS);
        self.passed.insert(folder.to_owned(), passed);
        passed
    }
}

fn has(path: &Path, bit: u32) -> bool {
    path.metadata().is_ok_and(|data| data.mode() & bit != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_closed_folder_closes_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("api.env");
        std::fs::write(&file, "").unwrap();
        for (folder, of_file, open) in
            [(0o755, 0o644, true), (0o711, 0o644, true), (0o750, 0o644, false), (0o755, 0o640, false)]
        {
            set_permissions(dir.path(), Permissions::from_mode(folder)).unwrap();
            set_permissions(&file, Permissions::from_mode(of_file)).unwrap();
            assert_eq!(Risks::default().readable_by_all(&file), open, "{folder:o} {of_file:o}");
        }
    }
}
