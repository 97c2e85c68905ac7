//! What happened since somebody looked. Everything that happens is an entry of the journal, and the numbers of the entries
//! grow: whoever keeps the last number misses nothing.

use std::collections::BTreeSet;

use keyroll_journal::Noted;

use crate::installation::Installation;
use crate::operator::{ActShown, StatusShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::acts;
use crate::records::recorded::rotations_unread;
use crate::reports::status::StatusReader;
use crate::wiring::open::{journal_for_a_look, runtime};

/// What happened up to an entry of the journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// The number of the last entry that is included; 0 = there is none.
    pub upto: u64,
    /// The rotations, each once and as it stands now, the newest first.
    pub rotations: Vec<StatusShown>,
    /// What was asked for, in its order.
    pub acts: Vec<ActShown>,
}

/// The number of the newest entry; 0 = there is none.
///
/// # Errors
/// The journal cannot be read, or nothing may be done by it.
pub fn newest(installation: &Installation) -> Result<u64, Problem> {
    let places = installation.places()?;
    match reader(&places)? {
        Some(_) => {
            let journal = journal_for_a_look(&places)?.0;
            runtime(&places)?.block_on(journal.newest_entry()).map_err(rotations_unread)
        }
        None => Ok(0),
    }
}

/// What happened after this entry, from at most so many entries: whoever wants more asks again with `upto`, which stays
/// as it is if nothing happened.
///
/// # Errors
/// As [`newest`].
pub fn changes(after: u64, most: usize, installation: &Installation) -> Result<Changes, Problem> {
    let places = installation.places()?;
    let mut found = Changes { upto: after, ..Changes::default() };
    let Some(reader) = reader(&places)? else { return Ok(found) };
    let journal = journal_for_a_look(&places)?.0;
    let noted = runtime(&places)?.block_on(journal.noted_after(after, most)).map_err(rotations_unread)?;
    let mut moved = BTreeSet::new();
    for one in noted {
        match one {
            Noted::Rotation { entry, id } => {
                found.upto = entry;
                moved.insert(id.0);
            }
            Noted::Act(act) => {
                found.upto = act.entry;
                found.acts.push(acts::shown(act));
            }
        }
    }
    // Read after the entries, so that each rotation stands at least where its last entry left it.
    if !moved.is_empty() {
        found.rotations = reader.read_these(&moved)?;
    }
    Ok(found)
}

/// These rotations as they stand now, the newest first: a driver that begins or ends writes no entry.
///
/// # Errors
/// As [`newest`].
pub fn rotations(ids: &BTreeSet<String>, installation: &Installation) -> Result<Vec<StatusShown>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places = installation.places()?;
    reader(&places)?.map_or_else(|| Ok(Vec::new()), |reader| reader.read_these(ids))
}

/// What stands: the open rotations, with the number of the newest entry, and without acts.
///
/// # Errors
/// As [`newest`].
pub fn standing(installation: &Installation) -> Result<Changes, Problem> {
    // Read before the rotations, so that none of them stands behind its last entry up to there.
    let upto = newest(installation)?;
    let places = installation.places()?;
    let rotations = reader(&places)?.map_or_else(|| Ok(Vec::new()), |reader| reader.read_open())?;
    Ok(Changes { upto, rotations, acts: Vec::new() })
}

/// None where nothing was ever recorded. What is told to others must be true, so a journal that is in doubt is an error.
fn reader(places: &Places) -> Result<Option<StatusReader<'_>>, Problem> {
    match StatusReader::open(places, None)? {
        Some(StatusReader { doubt: Some(doubt), .. }) => Err(doubt),
        reader => Ok(reader),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_journal::SqliteJournal;

    use super::*;
    use crate::places::Locations;

    #[test]
    fn without_a_journal_nothing_happened_and_one_in_doubt_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (state, keys) = (folder.path().join("state"), folder.path().join("keys"));
        let at = || {
            let (state, keys) = (Some(state.clone()), Some(keys.clone()));
            Installation::new(Locations { state, keys, ..Locations::default() })
        };
        assert_eq!(newest(&at()).unwrap(), 0);
        assert_eq!(changes(7, 10, &at()).unwrap(), Changes { upto: 7, ..Changes::default() });
        assert_eq!(standing(&at()).unwrap(), Changes::default());
        // A journal whose keys are not here can be read, and nobody vouches for it.
        at().places().unwrap().ensure().unwrap();
        drop(SqliteJournal::open(&state, &folder.path().join("witness")).unwrap());
        assert!(newest(&at()).is_err());
        assert!(changes(0, 10, &at()).is_err());
        assert!(standing(&at()).is_err());
    }
}
