//! A rotation as its journal has it.

use keyroll_engine::{Ending, replay};
use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal, JournalError, Overview, Recorded, RotationId};
use keyroll_rotation::State;

use super::saved::Saved;
use crate::context::{chosen_id, no_rotation};
use crate::exit::Exit;
use crate::problem::Problem;

/// The state that a recorded rotation is in.
pub(crate) fn state_of(recorded: &Recorded) -> Result<State, Problem> {
    replay(recorded).map_err(|ending| {
        let problem = Problem::new("K0835", "read the rotation").exits(Exit::NeedsPerson);
        match ending {
            Ending::Impossible(seq, illegal) => problem
                .because(format!("entry {seq} of its journal cannot follow from those before it"))
                .because_of(&illegal),
            Ending::Journal(error) => problem.because_of(&error),
            Ending::Plan(defect) => problem.because(format!("its plan is not sound: {defect}")),
            Ending::At(..) | Ending::Left(_) => problem,
        }
    })
}

/// A rotation that could not be read; one of a newer protocol names who finishes it.
pub(crate) fn unread(error: &JournalError) -> Problem {
    let code = if let JournalError::Newer { .. } = error { "K0609" } else { "K0835" };
    let problem = Problem::new(code, "read the rotation").because_of(error);
    match error {
        JournalError::Newer { id, keyroll, .. } => problem
            .help(format!("finish it with keyroll {keyroll} or newer: keyroll resume {id}"))
            .exits(Exit::NeedsPerson),
        JournalError::Fenced { .. }
        | JournalError::Conflict { .. }
        | JournalError::Held { .. }
        | JournalError::Unavailable(_)
        | JournalError::UnknownCommit(_)
        | JournalError::Damaged(_) => problem,
    }
}

/// Whether an open rotation still holds its secret: one that has ended does not, though its driver was killed before it
/// could close it. One that cannot be read is a person's, and holds.
pub(crate) async fn holds(journal: &dyn Journal, overview: &Overview) -> Result<bool, JournalError> {
    let recorded = journal.load(&overview.id).await?;
    Ok(!state_of(&recorded).is_ok_and(|state| state.ended()))
}

/// An open rotation with the plan that it goes by now: the one that it was opened with, or as adoption left it.
pub(crate) struct Opened {
    pub(crate) id: RotationId,
    pub(crate) state: State,
    pub(crate) saved: Saved,
}

/// Reads a rotation from the journal.
pub(crate) async fn opened(journal: &SqliteJournal, id: Option<&str>) -> Result<Opened, Problem> {
    let id = only_open(journal, id).await?;
    let recorded = journal.load(&id).await.map_err(|error| unread(&error))?;
    let state = state_of(&recorded)?;
    let saved = Saved::of(&recorded)?;
    Ok(Opened { id, state, saved })
}

/// The rotation that is meant: the one that is named, or the only open one.
pub(crate) async fn only_open(journal: &SqliteJournal, id: Option<&str>) -> Result<RotationId, Problem> {
    let attempted = || Problem::new("K0807", "find the rotation");
    let all = journal.list().await.map_err(|error| attempted().because_of(&error))?;
    if let Some(id) = id {
        return chosen_id(id, all.iter().map(|one| one.id.0.as_str()), no_rotation()).map(RotationId);
    }
    let mut open = all.iter().filter(|one| one.open);
    match (open.next(), open.next()) {
        (Some(only), None) => Ok(only.id.clone()),
        // None is open, but one may owe the end of its old key.
        (None, _) => owing(journal, &all)
            .await?
            .ok_or_else(|| attempted().because("none is open").help("keyroll plan SECRET makes a plan")),
        (Some(_), Some(_)) => {
            let open = all.iter().filter(|one| one.open);
            let said: Vec<String> = open.map(|one| format!("{} of {}", one.id, one.secret)).collect();
            Err(attempted()
                .because(format!("several are open: {}", said.join(", ")))
                .help("the same command with the id of the one that is meant"))
        }
    }
}

/// The newest rotation that ended with a debt.
async fn owing(journal: &SqliteJournal, all: &[Overview]) -> Result<Option<RotationId>, Problem> {
    for one in all {
        let recorded = journal.load(&one.id).await;
        let recorded =
            recorded.map_err(|error| Problem::new("K0835", "read the rotations").because_of(&error))?;
        if state_of(&recorded).is_ok_and(|state| state.debt().is_some()) {
            return Ok(Some(one.id.clone()));
        }
    }
    Ok(None)
}
