//! A rotation as its journal has it.

use keyroll_codes::Code;
use keyroll_engine::{Ending, replay};
use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal, JournalError, Overview, Recorded, RotationId};
use keyroll_rotation::State;

use super::saved_plan::Saved;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::rotation_ids::{chosen_id, no_rotation};

/// The state that a recorded rotation is in.
pub fn state_of(recorded: &Recorded) -> Result<State, Problem> {
    replay(recorded).map_err(|ending| {
        let problem = Problem::new(Code::StateDamaged, "read the rotation").exits(Exit::NeedsPerson);
        match ending {
            Ending::Impossible(seq, illegal) => problem
                .because(format!("entry {seq} of its journal contradicts the entries before it"))
                .because_of(&illegal),
            Ending::Journal(error) => problem.because_of(&error),
            Ending::Plan(defect) => problem.because(format!("its plan is not valid: {defect}")),
            Ending::At(..) | Ending::Left(_) => problem,
        }
    })
}

/// When its last entry was written, milliseconds since the Unix epoch.
pub fn last_unix_ms(recorded: &Recorded) -> u64 {
    recorded.unix_ms.last().copied().unwrap_or(recorded.opening.unix_ms)
}

/// The problem of an unreadable rotation; of a newer protocol, it names the keyroll version to use.
pub fn unread(error: &JournalError) -> Problem {
    let code = if let JournalError::Newer { .. } = error { Code::NewerKeyroll } else { Code::StateDamaged };
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

/// The journal's rotations could not be read.
pub fn rotations_unread(error: JournalError) -> Problem {
    Problem::new(Code::StateDamaged, "read the rotations").because_of(&error)
}

/// True if an open rotation still holds its secret. One that ended before its driver could close it does not; an
/// unreadable one does.
pub async fn holds(journal: &dyn Journal, overview: &Overview) -> Result<bool, JournalError> {
    let recorded = journal.load(&overview.id).await?;
    Ok(!state_of(&recorded).is_ok_and(|state| state.ended()))
}

/// An open rotation with its present plan, including adopted consumers.
pub struct Opened {
    /// Its id.
    pub id: RotationId,
    /// The state that its journal replays to.
    pub state: State,
    /// Its plan.
    pub saved: Saved,
}

/// Reads a rotation from the journal.
pub async fn opened(journal: &SqliteJournal, id: Option<&str>) -> Result<Opened, Problem> {
    let id = only_open(journal, id).await?;
    let recorded = journal.load(&id).await.map_err(|error| unread(&error))?;
    let state = state_of(&recorded)?;
    let saved = Saved::of(&recorded)?;
    Ok(Opened { id, state, saved })
}

/// The named rotation, or the only open one.
pub async fn only_open(journal: &SqliteJournal, id: Option<&str>) -> Result<RotationId, Problem> {
    let attempted = || Problem::new(Code::NameNotFound, "find the rotation");
    let all = journal.list().await.map_err(|error| attempted().because_of(&error))?;
    if let Some(id) = id {
        return chosen_id(id, all.iter().map(|one| one.id.0.as_str()), no_rotation()).map(RotationId);
    }
    let mut open = all.iter().filter(|one| one.open);
    match (open.next(), open.next()) {
        (Some(only), None) => Ok(only.id.clone()),
        // No rotation is open, but one may still have to revoke its old key.
        (None, _) => owing(journal, &all).await?.ok_or_else(|| {
            attempted().because("no rotation is open").help("keyroll plan SECRET makes a plan")
        }),
        (Some(_), Some(_)) => {
            let open = all.iter().filter(|one| one.open);
            let said: Vec<String> = open.map(|one| format!("{} of {}", one.id, one.secret)).collect();
            Err(attempted()
                .because(format!("several are open: {}", said.join(", ")))
                .help("run the same command with the id of one of them"))
        }
    }
}

/// The newest rotation that ended with a debt.
async fn owing(journal: &SqliteJournal, all: &[Overview]) -> Result<Option<RotationId>, Problem> {
    for one in all {
        let recorded = journal.load(&one.id).await;
        let recorded = recorded.map_err(rotations_unread)?;
        if state_of(&recorded).is_ok_and(|state| state.debt().is_some()) {
            return Ok(Some(one.id.clone()));
        }
    }
    Ok(None)
}

/// What a journal has of a walk.
#[cfg(test)]
pub(crate) fn of_walk(walk: &super::walk::Walk) -> Recorded {
    let opening = keyroll_port::Opening {
        secret: "acme".to_owned(),
        from_version: 1,
        plan: walk.state.plan().clone(),
        names: String::new(),
        at: keyroll_rotation::Stamp { epoch: 0, ..walk.said[0].at },
        unix_ms: 1,
    };
    let unix_ms = vec![1; walk.said.len()];
    Recorded { id: RotationId("0192".to_owned()), opening, events: walk.said.clone(), unix_ms }
}
