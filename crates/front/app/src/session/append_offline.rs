//! Appends operator events to a rotation without a driver; rejects those that are no longer valid.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_host::{SystemClock, place_digest};
use keyroll_journal::SqliteJournal;
use keyroll_port::{Clock as _, Journal as _, RotationId};
use keyroll_rotation::{Fact, IllegalEvent, Phase, Stamp};

use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::next_words::goes_on_with;
use crate::records::open_rotation_guard::open_own;
use crate::records::recorded::{Opened, opened, rotations_unread};
use crate::records::saved_plan::Family;
use crate::wiring::open::{journal, runtime};

/// Records what the operator decided in the open rotation of a secret, under the lock that the caller holds; `None` if none is
/// open.
pub fn tell_open_locked(
    places: &Places,
    secret: &str,
    facts: impl FnOnce(&Opened) -> Result<Vec<Fact>, Problem>,
) -> Result<Option<Opened>, Problem> {
    own_of(secret, places)?.map(|own| tell(Some(&own.0), places, facts)).transpose()
}

/// The open rotation of a secret, if there is a journal.
pub fn own_of(secret: &str, places: &Places) -> Result<Option<RotationId>, Problem> {
    match places.journal().exists() {
        true => runtime(places)?.block_on(open_own(&*journal(places)?, secret)).map_err(rotations_unread),
        false => Ok(None),
    }
}

/// The open rotation of a secret, as it is now; a driver may go on with it.
pub fn opened_own(secret: &str, places: &Places) -> Result<Option<Opened>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let own = runtime.block_on(open_own(&journal, secret)).map_err(rotations_unread)?;
    own.map(|own| runtime.block_on(opened(&journal, Some(&own.0)))).transpose()
}

/// Appends events to an open rotation without a driver, under the lock; the protocol checks each first.
pub fn tell(
    id: Option<&str>,
    places: &Places,
    facts: impl FnOnce(&Opened) -> Result<Vec<Fact>, Problem>,
) -> Result<Opened, Problem> {
    let runtime = runtime(places)?;
    let journal = journal(places)?;
    let mut opened = runtime.block_on(opened(&journal, id))?;
    let facts = facts(&opened)?;
    if facts.is_empty() {
        return Ok(opened);
    }
    runtime.block_on(async {
        let epoch = take_over(&journal, &mut opened).await?;
        for fact in facts {
            write(&journal, &mut opened, epoch, fact).await?;
        }
        Ok(opened)
    })
}

/// Makes this command the writer of the rotation; returns its epoch.
pub async fn take_over(journal: &SqliteJournal, opened: &mut Opened) -> Result<u64, Problem> {
    let epoch = journal.take_over(&opened.id).await.map_err(|error| recording().because_of(&error))?;
    write(journal, opened, epoch, Fact::DriverStarted).await?;
    Ok(epoch)
}

/// Checks whether the protocol allows these events now; appends nothing.
pub fn may_follow(opened: &Opened, facts: Vec<Fact>) -> Result<(), Problem> {
    let mut state = opened.state.clone();
    let epoch = state.now().epoch.saturating_add(1);
    for fact in std::iter::once(Fact::DriverStarted).chain(facts) {
        let event = keyroll_rotation::Event { at: now(epoch), fact };
        (state, _) =
            keyroll_rotation::step(&state, &event).map_err(|illegal| illegal_now(opened, &illegal))?;
    }
    Ok(())
}

/// Appends one event after the protocol has checked it.
pub async fn write(
    journal: &SqliteJournal,
    opened: &mut Opened,
    epoch: u64,
    fact: Fact,
) -> Result<(), Problem> {
    let event = keyroll_rotation::Event { at: now(epoch), fact };
    let (next, _) =
        keyroll_rotation::step(&opened.state, &event).map_err(|illegal| illegal_now(opened, &illegal))?;
    let written = journal.append(&opened.id, next.seq(), &event, SystemClock::new().unix_ms()).await;
    written.map_err(|error| recording().because_of(&error))?;
    opened.state = next;
    Ok(())
}

fn illegal_now(opened: &Opened, illegal: &IllegalEvent) -> Problem {
    recording().because(illegal.why).help(format!("keyroll status {}", opened.id))
}

fn recording() -> Problem {
    Problem::new(Code::NotPossibleNow, "record this in the rotation")
}

/// The present moment, as the protocol measures it.
pub fn now(epoch: u64) -> Stamp {
    let clock = SystemClock::new();
    Stamp { ms: clock.monotonic_ms(), boot: clock.boot(), epoch }
}

/// The digest that identifies a waived copy.
pub fn digest_of(path: &Path) -> u64 {
    place_digest(&path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

/// Refuses after the point of no return: only another rotation can change the key again.
pub fn refuse_decided(id: Option<&str>, installation: &Installation) -> Result<(), Problem> {
    let places = installation.places()?;
    let journal = journal(&places)?;
    let opened = runtime(&places)?.block_on(opened(&journal, id))?;
    if opened.state.emergency().is_some() && !opened.state.ended() {
        return Err(Problem::new(Code::NotPossibleNow, "roll back to the old key")
            .because("this is an emergency: the old value is compromised, and keyroll never rolls back to it")
            .help(format!("to continue: {}", goes_on_with(&opened))));
    }
    if !opened.state.decided() && opened.state.phase() != Phase::Done {
        return Ok(());
    }
    Err(no_way_back(&opened))
}

/// The actual state, and the next command.
fn no_way_back(opened: &Opened) -> Problem {
    let name = &opened.saved.secret;
    let problem = Problem::new(Code::NotPossibleNow, "roll back to the old key");
    let behind = "the point of no return was passed: the old key is revoked or being revoked";
    match (&opened.saved.family, opened.state.ended()) {
        (Some(Family::Member { from, .. }), _) => problem
            .because(format!(
                "its consumer has its own key, {name}; it did not revoke the key of {from}, which others may use"
            ))
            .help(format!(
                "keyroll plan {name} makes another key for it; keyroll secret show {from} says whether the \
                 shared key is still current"
            )),
        (Some(Family::End { .. }), true) => problem
            .because("the shared key is revoked, and its consumers have their own keys")
            .help("keyroll status shows them; keyroll plan SECRET makes another key for one"),
        (Some(Family::Leaked { .. }) | None, true) => {
            problem.because(behind).help(format!("make another key: keyroll plan {name}"))
        }
        (_, false) => problem.because(behind).help(format!("to continue: {}", goes_on_with(opened))),
    }
}
