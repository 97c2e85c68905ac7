//! Words to an open rotation that nobody drives, and what cannot be said to it any more.

use std::path::Path;

use keyroll_host::{SystemClock, place_digest};
use keyroll_journal::SqliteJournal;
use keyroll_port::{Clock as _, Journal as _};
use keyroll_rotation::{Fact, Phase, Stamp};

use crate::context::Context;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::{Opened, opened};
use crate::records::saved::Family;
use crate::wiring::open::{journal, runtime};

/// Writes words into an open rotation that nobody drives; each is checked by the protocol first.
pub(crate) fn tell(
    id: Option<&str>,
    places: &Places,
    facts: impl FnOnce(&Opened) -> Result<Vec<Fact>, Problem>,
) -> Result<Opened, Problem> {
    let runtime = runtime()?;
    let journal = journal(places)?;
    runtime.block_on(async {
        let mut opened = opened(&journal, id).await?;
        let facts = facts(&opened)?;
        if facts.is_empty() {
            return Ok(opened);
        }
        let attempted = || Problem::new("K0840", "tell the rotation");
        let epoch = journal.take_over(&opened.id).await.map_err(|error| attempted().because_of(&error))?;
        for fact in std::iter::once(Fact::DriverStarted).chain(facts) {
            write(&journal, &mut opened, epoch, fact).await?;
        }
        Ok(opened)
    })
}

/// Writes one word down, checked by the protocol first.
pub(super) async fn write(
    journal: &SqliteJournal,
    opened: &mut Opened,
    epoch: u64,
    fact: Fact,
) -> Result<(), Problem> {
    let clock = SystemClock::new();
    let attempted = || Problem::new("K0840", "tell the rotation");
    let at = Stamp { ms: clock.monotonic_ms(), boot: clock.boot(), epoch };
    let event = keyroll_rotation::Event { at, fact };
    let (next, _) = keyroll_rotation::step(&opened.state, &event)
        .map_err(|illegal| attempted().because(illegal.why).help(format!("keyroll status {}", opened.id)))?;
    let written = journal.append(&opened.id, next.seq(), &event, clock.unix_ms()).await;
    written.map_err(|error| attempted().because_of(&error))?;
    opened.state = next;
    Ok(())
}

/// The digest under which a copy in a place is waived.
pub(crate) fn digest_of(path: &Path) -> u64 {
    place_digest(&path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

/// After the point of no return there is nothing to undo: the way is another rotation.
pub(crate) fn refuse_decided(id: Option<&str>, context: &mut Context) -> Result<(), Problem> {
    let places = context.places()?;
    let journal = journal(&places)?;
    let opened = runtime()?.block_on(opened(&journal, id))?;
    if opened.state.emergency().is_some() && !opened.state.ended() {
        return Err(Problem::new("K0842", "go back to the old key")
            .because("this is an emergency: the old value is compromised, and is never gone back to")
            .help(format!("go on: keyroll resume {}", opened.id)));
    }
    if !opened.state.decided() && opened.state.phase() != Phase::Done {
        return Ok(());
    }
    Err(no_way_back(&opened))
}

/// What is true instead, and what can be done.
fn no_way_back(opened: &Opened) -> Problem {
    let name = &opened.saved.secret;
    let problem = Problem::new("K0842", "go back to the old key");
    let behind = "the point of no return lies behind: the old key is ended or being ended";
    match (&opened.saved.family, opened.state.ended()) {
        (Some(Family::Member { from, .. }), _) => problem
            .because(format!(
                "its consumer has a key of its own, {name}; the key of {from} was not ended by it, and others may use that"
            ))
            .help(format!(
                "keyroll plan {name} makes it another key; keyroll secret show {from} says whether the shared one is current still"
            )),
        (Some(Family::End { .. }), true) => problem
            .because("the shared key is ended, and its consumers have keys of their own")
            .help("keyroll status shows those; keyroll plan of one of them makes it another"),
        (Some(Family::Leaked { .. }) | None, true) => {
            problem.because(behind).help(format!("make another key: keyroll plan {name}"))
        }
        (_, false) => problem.because(behind).help(format!("go on: keyroll resume {}", opened.id)),
    }
}
