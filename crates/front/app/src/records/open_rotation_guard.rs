//! Refuses to open a second rotation of a secret, or to apply a plan twice, and names the next command.

use keyroll_codes::Code;
use keyroll_journal::{LockError, SqliteJournal, Work, try_lock};
use keyroll_port::{Journal as _, JournalError, RotationId};
use keyroll_rotation::{Debt, Next, Phase, State};

use super::index::Index;
use super::next_words::{command, follow, go_on};
use super::plan_names::Called;
use super::recorded::{rotations_unread, state_of};
use super::saved_plan::{Apart, Family, Saved};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::{journal, runtime, who};

fn opening() -> Problem {
    Problem::new(Code::NotPossibleNow, "apply the plan")
}

/// Refuses a plan that was already applied. Comparing it would call it stale and suggest another plan while a rotation
/// is open.
pub fn refuse_begun(places: &Places, id: &str, secret: &str) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
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

/// The state of the plan's rotation, and the next command.
fn told(places: &Places, id: &str, secret: &str, state: &State) -> Problem {
    if state.debt() == Some(Debt::NotListed) {
        return opening()
            .because("it was already applied, but the issuer never gave a complete list of its keys")
            .help(format!("keyroll resume {id}"))
            .exits(Exit::NeedsPerson);
    }
    if state.debt().is_some() {
        return opening()
            .because("it was already applied, but its old key still has to be revoked")
            .help(command(&Called::of_rotation(id, secret), state, Next::PayDebt).command)
            .exits(Exit::NeedsPerson);
    }
    let done = match state.plan().aim.ends_old() {
        true => "it was already applied: the rotation is done, and its old key is dead",
        false => "it was already applied: its consumer has its own key",
    };
    let ended = [
        (Phase::Done, done),
        (Phase::RolledBack, "it was already applied, and rolled back: the old key is in use"),
    ];
    let ended = ended.into_iter().find(|(phase, _)| *phase == state.phase());
    if let Some((_, why)) = ended {
        return opening().because(why).help(format!("keyroll plan {secret} makes another plan"));
    }
    let at = crate::operator::Phase::of(state.phase()).map_or("its end", crate::operator::Phase::word);
    let drives = held_by(places).filter(|(_, work)| work.as_ref().is_some_and(|work| work.rotation.0 == id));
    let (why, next) = match drives {
        Some((pid, work)) => (format!("{}, and is at {at}", who(pid, work.as_ref())), follow(id)),
        None => {
            let on = go_on(&Called::of_rotation(id, secret), state);
            (format!("it was already started, and is at {at}"), on)
        }
    };
    opening().because(why).help(next).exits(Exit::Held)
}

/// The commands that end an open rotation, forward and back. One that is stuck takes no `resume`, and one that is past its point
/// of no return, or rolls back already, takes no `abort`.
pub fn ends_with(id: &str, secret: &str, state: Option<&State>) -> String {
    let Some(state) = state else { return format!("keyroll resume {id}, or keyroll abort {id}") };
    let on = go_on(&Called::of_rotation(id, secret), state);
    match state.phase() != Phase::RollingBack && Next::Abort.is_possible(state) {
        true => format!("{on}, or keyroll abort {id}"),
        false => on,
    }
}

/// The process that drives the rotations of this state folder.
pub fn driver(places: &Places) -> Option<u32> {
    held_by(places).map(|(pid, _)| pid.unwrap_or_default())
}

/// The process that holds the lock of the state folder, and the rotation that it drives.
pub fn held_by(places: &Places) -> Option<(Option<u32>, Option<Work>)> {
    match try_lock(&places.state) {
        Err(LockError::Held { pid, work, .. }) => Some((pid, work)),
        Ok(_) | Err(LockError::Io { .. }) => None,
        Err(_) => None,
    }
}

/// The open rotation of this secret: its own, or one that gives a consumer of it a key of its own.
pub async fn open_of(journal: &SqliteJournal, secret: &str) -> Result<Option<RotationId>, JournalError> {
    Ok(Index::read(journal).await?.of(secret).map(|one| one.id().clone()))
}

/// The newest rotation of the secret that still has to revoke its old key.
pub fn owing_rotation(secret: &str, places: &Places) -> Result<Option<RotationId>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    for overview in all.into_iter().filter(|overview| overview.secret == secret) {
        let recorded = runtime.block_on(journal.load(&overview.id)).map_err(rotations_unread)?;
        if state_of(&recorded)?.debt().is_some() {
            return Ok(Some(overview.id));
        }
    }
    Ok(None)
}

/// Refuses a split while a rotation of the shared key itself is open.
pub async fn refuse_shared(journal: &SqliteJournal, saved: &Saved) -> Result<(), Problem> {
    let Some(Family::Member { from, .. }) = &saved.family else { return Ok(()) };
    let open = open_own(journal, from).await.map_err(|error| opening().because_of(&error))?;
    open.map_or(Ok(()), |by| Err(held(&by)))
}

/// The open rotation of this secret itself.
pub async fn open_own(journal: &SqliteJournal, secret: &str) -> Result<Option<RotationId>, JournalError> {
    Ok(Index::read(journal).await?.own(secret).map(|one| one.id().clone()))
}

/// The commands that end the open rotation of this id.
pub fn ends_open(places: &Places, id: &str, secret: &str) -> Result<String, Problem> {
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let index = runtime.block_on(Index::read(&journal)).map_err(rotations_unread)?;
    let state = index.iter().find(|one| one.id().0 == id).and_then(|one| one.state.as_ref());
    Ok(ends_with(id, secret, state))
}

/// The consumers of a shared key that open rotations give a key of their own.
pub fn apart(index: &Index, secret: &str) -> Result<Vec<Apart>, Problem> {
    let mut apart = Vec::new();
    for one in index.members(secret) {
        let Some(saved) = &one.saved else { continue };
        let config = saved.config()?;
        let member = crate::configured::secret(&config, &saved.secret)?;
        apart.extend(member.consumers.iter().map(|consumer| Apart {
            rotation: one.id().0.clone(),
            secret: saved.secret.clone(),
            consumer: consumer.name.to_string(),
        }));
    }
    Ok(apart)
}

/// Refuses a plan while another rotation of the secret is open. An emergency of a shared key does not wait for
/// rotations that give its consumers keys of their own, if its plan knows them.
pub async fn refuse_other(journal: &SqliteJournal, saved: &Saved, emergency: bool) -> Result<(), Problem> {
    let index = Index::read(journal).await.map_err(|error| opening().because_of(&error))?;
    if let Some(own) = index.own(&saved.secret) {
        return Err(held(own.id()));
    }
    let now = apart(&index, &saved.secret)?;
    match &saved.family {
        Some(Family::Leaked { apart }) if now != *apart => Err(opening()
            .because(format!("the split of {} has other consumers now", saved.secret))
            .help(format!("keyroll plan {}", saved.secret))),
        Some(Family::Leaked { .. }) if emergency => Ok(()),
        Some(_) | None if now.is_empty() => Ok(()),
        Some(_) | None => Err(only_in_an_emergency(&saved.secret, &now)),
    }
}

fn only_in_an_emergency(secret: &str, apart: &[Apart]) -> Problem {
    let problem =
        Problem::new(Code::NotPossibleNow, format!("replace the key of {secret}")).exits(Exit::Held);
    let problem = apart.iter().fold(problem, |problem, it| {
        problem.because(format!("the open rotation {} gives {} its own key", it.rotation, it.consumer))
    });
    let first = apart.first().map_or("", |it| it.rotation.as_str());
    problem.help(format!(
        "keyroll status {first}; if the key has leaked: keyroll plan {secret}, then keyroll apply PLAN_ID --emergency roll-first"
    ))
}

/// The problem that names the open rotation.
pub fn held(by: &RotationId) -> Problem {
    opening()
        .because(format!("rotation {by} of the same secret is open"))
        .help(format!("keyroll status {by}, or, in an emergency: keyroll resume {by} --emergency roll-first"))
        .exits(Exit::Held)
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Fact, Hold, ListedState};

    use super::super::walk::Walk;
    use super::*;

    /// Red where the command lacks the consent: without a terminal, keyroll refuses it as it stands.
    #[test]
    fn a_plan_whose_old_key_is_owed_is_refused_with_a_command_that_nobody_has_to_complete() {
        let mut walk = Walk::to(Phase::Sweep);
        let shown = Fact::Listed { complete: true, labelled: Vec::new(), old: ListedState::On };
        walk.say(shown.clone());
        walk.say(Fact::Swept { residues: 0 });
        let look = walk.look();
        walk.say(Fact::Enumerated(look));
        walk.wait(200);
        walk.say(shown);
        assert_eq!(walk.state.debt(), Some(Debt::NotRevoked));
        let folder = tempfile::tempdir().unwrap();
        let problem = told(&Places::within(folder.path()), "0192", "acme", &walk.state);
        assert_eq!(
            problem.help.as_deref(),
            Some("keyroll revoke acme --version previous --confirm=acme"),
            "{problem:?}"
        );
    }

    fn ends(walk: &Walk) -> String {
        ends_with("0192", "acme", Some(&walk.state))
    }

    #[test]
    fn an_open_rotation_is_named_with_commands_that_it_takes() {
        let mut walk = Walk::to(Phase::Quiesce);
        assert_eq!(ends(&walk), "keyroll resume 0192, or keyroll abort 0192");
        walk.say(Fact::AbortAsked);
        assert_eq!(ends(&walk), "keyroll resume 0192", "it rolls back already");
        walk.until_the_first_is_stuck();
        assert!(matches!(walk.state.hold(), Some(Hold::Stuck(_))));
        assert_eq!(ends(&walk), "keyroll retry 0192", "a rotation that is stuck takes no `resume`");
        assert_eq!(
            ends(&Walk::to(Phase::Revoke)),
            "keyroll resume 0192",
            "it is past its point of no return"
        );
    }
}
