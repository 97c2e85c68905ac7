//! What an operator names by its id: a rotation as it stands, and what it waits for.

use std::collections::BTreeSet;

use keyroll_port::{Journal as _, RotationId};
use keyroll_rotation::Hold;

use crate::operator::StatusShown;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::{rotations_unread, state_of};
use crate::records::rotation_ids::{chosen_id, no_rotation, rotation_id};
use crate::records::waivers::digest;
use crate::reports::emergency::wants_consent;
use crate::reports::status::StatusReader;
use crate::wiring::open::{journal_for_a_look, runtime};

/// A rotation that an operator named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// How far it is.
    pub row: StatusShown,
    /// It is paused or stuck.
    pub held: bool,
    /// It is stuck: only another attempt goes on.
    pub stuck: bool,
    /// It waits for the consent to revoke the old key.
    pub consent: bool,
    /// What identifies each of its waivers. The sentences in `row` change when a process ends, and these do not.
    pub waived: Vec<String>,
}

/// The id that begins with `given`: of a rotation, or of one that has not begun (`others`).
///
/// # Errors
/// `K0805`: none does, or several do. Else the journal cannot be read.
pub fn meant(given: &str, others: BTreeSet<String>, places: &Places) -> Result<String, Problem> {
    rotation_id(given)?;
    let mut ids = others;
    if places.journal().exists() {
        let all = runtime(places)?.block_on(journal_for_a_look(places)?.0.list());
        ids.extend(all.map_err(rotations_unread)?.into_iter().map(|one| one.id.0));
    }
    chosen_id(given, ids.iter().map(String::as_str), no_rotation())
}

/// The rotation whose id begins with `given`.
///
/// # Errors
/// `K0805`: no rotation has this id, or several have. Else the journal cannot be read.
pub fn named(given: &str, places: &Places) -> Result<Named, Problem> {
    rotation_id(given)?;
    let reader = StatusReader::open(places, Some(given))?.ok_or_else(no_rotation)?;
    let row = reader.read()?.into_iter().next().ok_or_else(no_rotation)?;
    if let Some(doubt) = reader.doubt {
        return Err(doubt);
    }
    let (journal, runtime) = (journal_for_a_look(places)?.0, runtime(places)?);
    let recorded = runtime.block_on(journal.load(&RotationId(row.id.clone()))).map_err(rotations_unread)?;
    let state = state_of(&recorded)?;
    let waived = state.waived().iter().map(|one| format!("{:016x}", digest(&row.id, *one)));
    // A declared bystander may keep the value as what was waived may.
    let bystanders = state.bystanders().into_keys().map(|id| format!("bystander {:016x}", id.0));
    let waived: BTreeSet<String> = waived.chain(bystanders).collect();
    Ok(Named {
        held: state.hold().is_some(),
        stuck: matches!(state.hold(), Some(Hold::Stuck(_))),
        consent: !state.ended() && wants_consent(&state),
        waived: waived.into_iter().collect(),
        row,
    })
}

/// The open rotations and the last that ended, the newest first, as `keyroll status` shows them.
///
/// # Errors
/// The journal cannot be read.
pub fn all(places: &Places) -> Result<Vec<StatusShown>, Problem> {
    let Some(reader) = StatusReader::open(places, None)? else { return Ok(Vec::new()) };
    let rows = reader.read()?;
    reader.doubt.map_or(Ok(rows), Err)
}

/// The ids of the rotations that are open.
///
/// # Errors
/// The journal cannot be read.
pub fn open_ids(places: &Places) -> Result<BTreeSet<String>, Problem> {
    if !places.journal().exists() {
        return Ok(BTreeSet::new());
    }
    let all = runtime(places)?.block_on(journal_for_a_look(places)?.0.list()).map_err(rotations_unread)?;
    Ok(all.into_iter().filter(|one| one.open).map(|one| one.id.0).collect())
}
