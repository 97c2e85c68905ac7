//! A plan is carried out once: what became of it is said, with the command that goes on from there.

use std::sync::Arc;

use keyroll_config::Config;
use keyroll_journal::{LockError, SqliteJournal, Work, try_lock};
use keyroll_port::{Journal as _, JournalError, RotationId};
use keyroll_rotation::{Phase, State};

use super::index::Index;
use super::reasons;
use super::recorded::state_of;
use super::saved::{Apart, Family, Saved};
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
    Ok(Index::read(journal).await?.of(secret).map(|one| one.id().clone()))
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
    Ok(Index::read(journal).await?.own(secret).map(|one| one.id().clone()))
}

/// The consumers of a shared key that open rotations give a key of their own.
pub(crate) fn apart(index: &Index, secret: &str) -> Result<Vec<Apart>, Problem> {
    let mut apart = Vec::new();
    for one in index.members(secret) {
        let Some(saved) = &one.saved else { continue };
        let config = Config::parse(&saved.config_text, &saved.config_file.display().to_string())?;
        let member = crate::context::secret(&config, &saved.secret)?;
        apart.extend(member.consumers.iter().map(|consumer| Apart {
            rotation: one.id().0.clone(),
            secret: saved.secret.clone(),
            consumer: consumer.name.to_string(),
        }));
    }
    Ok(apart)
}

/// Another rotation of the secret is open: a plan of before it cannot be carried out now. An emergency of a shared key
/// waits for none that gives a consumer of it a key of its own, if its plan knows them.
pub(crate) fn refuse_other(
    journal: &Arc<SqliteJournal>,
    saved: &Saved,
    emergency: bool,
) -> Result<(), Problem> {
    let index = runtime()?.block_on(Index::read(journal)).map_err(|error| opening().because_of(&error))?;
    if let Some(own) = index.own(&saved.secret) {
        return Err(held(own.id()));
    }
    let now = apart(&index, &saved.secret)?;
    match &saved.family {
        Some(Family::Leaked { apart }) if now != *apart => Err(opening()
            .because(format!("other consumers of {} are given a key of their own by now", saved.secret))
            .help(format!("keyroll plan {}", saved.secret))),
        Some(Family::Leaked { .. }) if emergency => Ok(()),
        Some(_) | None if now.is_empty() => Ok(()),
        Some(_) | None => Err(only_in_an_emergency(&saved.secret, &now)),
    }
}

fn only_in_an_emergency(secret: &str, apart: &[Apart]) -> Problem {
    let problem = Problem::new("K0879", format!("replace the key of {secret}")).exits(Exit::Held);
    let problem = apart.iter().fold(problem, |problem, it| {
        problem
            .because(format!("rotation {} gives {} a key of its own, and is open", it.rotation, it.consumer))
    });
    let first = apart.first().map_or("", |it| it.rotation.as_str());
    problem.help(format!(
        "keyroll status {first}; if the key has leaked: keyroll plan {secret}, then keyroll apply PLAN_ID --emergency roll-first"
    ))
}

/// Refused because of a rotation that is open.
pub(crate) fn held(by: &RotationId) -> Problem {
    opening()
        .because(format!("rotation {by} of the same secret is open"))
        .help(format!("keyroll status {by}, or, in an emergency: keyroll resume {by} --emergency roll-first"))
        .exits(Exit::Held)
}
