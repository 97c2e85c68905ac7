//! Finds the rotation whose id begins as typed.

use keyroll_port::Journal as _;

use super::rotation_ids::{chosen_id, no_rotation, rotation_id};
use super::saved_plan::Saved;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::{journal_for_a_look, runtime};

/// The number of digits of an id.
const ID_DIGITS: usize = 32;

/// The full id of the rotation whose id begins with `id`.
pub fn resolve_rotation(given: Option<&str>, installation: &Installation) -> Result<Option<String>, Problem> {
    let Some(id) = given else { return Ok(None) };
    rotation_id(id)?;
    let places = installation.places()?;
    refuse_plan(id, &places)?;
    // A full id is looked up by its user.
    if id.len() >= ID_DIGITS || !places.journal().exists() {
        return Ok(Some(id.to_owned()));
    }
    let (journal, _) = journal_for_a_look(&places)?;
    let all = runtime(&places)?.block_on(journal.list()).map_err(|error| no_rotation().because_of(&error))?;
    let mut ids: Vec<String> = all.into_iter().map(|one| one.id.0).collect();
    // A split is named by the id of its plan, which is no rotation's id.
    ids.extend(Saved::splits(&places).into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    chosen_id(id, ids.iter().map(String::as_str), no_rotation()).map(Some)
}

/// Refuses the id of a plan that was not applied: no rotation has it yet.
fn refuse_plan(id: &str, places: &Places) -> Result<(), Problem> {
    let Ok(plan) = Saved::meant(places, id) else { return Ok(()) };
    if !plan.shares.is_empty() || may_have_begun(id, places)? {
        return Ok(());
    }
    let (id, secret) = (&plan.id, &plan.secret);
    Err(no_rotation()
        .because(format!("{id} is a plan for {secret} that was not applied: it has changed nothing"))
        .help(format!("keyroll apply {id}, or keyroll plan {secret}")))
}

/// Whether a rotation has this id, or the journal does not say.
fn may_have_begun(id: &str, places: &Places) -> Result<bool, Problem> {
    if !places.journal().exists() {
        return Ok(false);
    }
    let journal = match journal_for_a_look(places) {
        Ok((journal, _)) => journal,
        Err(problem) if problem.exit() == Exit::Interrupted => return Err(problem),
        Err(_) => return Ok(true),
    };
    let rotations = runtime(places)?.block_on(journal.list());
    Ok(rotations.map_or(true, |all| all.iter().any(|one| one.id.0.starts_with(id))))
}
