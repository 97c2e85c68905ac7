//! A plan is carried out once: what became of it is said, with the command that goes on from there.

use std::sync::Arc;

use keyroll_journal::{LockError, SqliteJournal, Work, try_lock};
use keyroll_port::{Journal as _, JournalError, Overview, RotationId};
use keyroll_rotation::{Phase, State};

use super::reasons;
use super::recorded::holds;
use super::recorded::state_of;
use super::saved::{Family, Saved};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::{journal, runtime, who};

fn opening() -> Problem {
    Problem::new("K0837", "carry out the plan")
}

/// Refuses a plan that became a rotation already, before anything is compared: what it saw is surely not true any
/// more, and "stale" would lead to another plan where one is open.
pub(crate) fn refuse_begun(places: &Places, id: &str, secret: &str) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let (journal, runtime) = (journal(places)?, runtime()?);
    let failed = |error: JournalError| opening().because_of(&error);
    let begun = runtime.block_on(async {
        let all = journal.list().await.map_err(failed)?;
        match all.into_iter().find(|one| one.id.0 == id) {
            Some(one) => state_of(&journal.load(&one.id).await.map_err(failed)?).map(Some),
            None => Ok(None),
        }
    })?;
    begun.map_or(Ok(()), |state| Err(told(places, id, secret, &state)))
}

/// What became of it, and what is next.
fn told(places: &Places, id: &str, secret: &str, state: &State) -> Problem {
    if state.debt().is_some() {
        return opening()
            .because("it was carried out already, and the end of its old key is still owed")
            .help(format!("keyroll revoke {secret} --version previous"))
            .exits(Exit::NeedsPerson);
    }
    let done = match state.plan().aim.ends_old() {
        true => "it was carried out already: the rotation is done, and its old key is dead",
        false => "it was carried out already: its consumer has a key of its own",
    };
    let ended = [
        (Phase::Done, done),
        (Phase::RolledBack, "it was carried out already, and rolled back: the old key is in use"),
    ];
    let ended = ended.into_iter().find(|(phase, _)| *phase == state.phase());
    if let Some((_, why)) = ended {
        return opening().because(why).help(format!("keyroll plan {secret} makes another plan"));
    }
    let at = reasons::phase(state.phase()).map_or("its end", crate::ui::Phase::word);
    let drives = held_by(places).filter(|(_, work)| work.as_ref().is_some_and(|work| work.rotation.0 == id));
    let (why, next) = match drives {
        Some((pid, work)) => (format!("{}, and is at {at}", who(pid, work.as_ref())), "status -w"),
        None => (format!("it was begun already, and stands at {at}"), "resume"),
    };
    opening().because(why).help(format!("keyroll {next} {id}")).exits(Exit::Held)
}

/// The process that drives the rotations of this state folder.
pub(crate) fn driver(places: &Places) -> Option<u32> {
    held_by(places).map(|(pid, _)| pid.unwrap_or_default())
}

/// Who has the lock of the state folder, and what for.
pub(crate) fn held_by(places: &Places) -> Option<(Option<u32>, Option<Work>)> {
    match try_lock(&places.state) {
        Err(LockError::Held { pid, work, .. }) => Some((pid, work)),
        Ok(_) | Err(LockError::Io { .. }) => None,
        Err(_) => None,
    }
}

/// The rotation that has this secret now, if one is open and has not ended: its own, or one that gives a consumer of it
/// a key of its own.
pub(crate) async fn open_of(
    journal: &SqliteJournal,
    secret: &str,
) -> Result<Option<RotationId>, JournalError> {
    let all: Vec<Overview> = journal.list().await?;
    for one in all.into_iter().filter(|one| one.open) {
        let its = one.secret == secret || takes_from(journal, &one, secret).await?;
        if its && holds(journal, &one).await? {
            return Ok(Some(one.id));
        }
    }
    Ok(None)
}

/// A rotation of the shared key itself is open: none of its consumers gets a key of its own meanwhile.
pub(crate) fn refuse_shared(journal: &SqliteJournal, saved: &Saved) -> Result<(), Problem> {
    let Some(Family::Member { from, .. }) = &saved.family else { return Ok(()) };
    let open = runtime()?.block_on(open_own(journal, from)).map_err(|error| opening().because_of(&error))?;
    open.map_or(Ok(()), |by| Err(held(&by)))
}

/// The rotation of this very secret, if one is open and has not ended.
pub(crate) async fn open_own(
    journal: &SqliteJournal,
    secret: &str,
) -> Result<Option<RotationId>, JournalError> {
    for one in journal.list().await?.into_iter().filter(|one| one.open && one.secret == secret) {
        if holds(journal, &one).await? {
            return Ok(Some(one.id));
        }
    }
    Ok(None)
}

async fn takes_from(journal: &SqliteJournal, one: &Overview, secret: &str) -> Result<bool, JournalError> {
    let family = Saved::of(&journal.load(&one.id).await?).ok().and_then(|saved| saved.family);
    Ok(matches!(family, Some(Family::Member { from, .. }) if from == secret))
}

/// Another rotation of the secret is open: a plan of before it cannot be carried out now.
pub(crate) fn refuse_other(journal: &Arc<SqliteJournal>, secret: &str) -> Result<(), Problem> {
    let open = runtime()?.block_on(open_of(journal, secret)).map_err(|error| opening().because_of(&error))?;
    open.map_or(Ok(()), |by| Err(held(&by)))
}

/// Refused because of a rotation that is open.
pub(crate) fn held(by: &RotationId) -> Problem {
    opening()
        .because(format!("rotation {by} of the same secret is open"))
        .help(format!("keyroll status {by}, or, in an emergency: keyroll resume {by} --emergency roll-first"))
        .exits(Exit::Held)
}
