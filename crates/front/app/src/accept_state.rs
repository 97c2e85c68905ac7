//! Accepts a restored journal, or a state that was moved from another machine, after the operator confirmed it.

use keyroll_codes::Code;
use keyroll_journal::{move_here, reset_witness};

use crate::exit::Exit;
use crate::machine_id;
use crate::operator::{Confirmation, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open;

/// Accepts a journal that was restored from a backup as the newest one. Only an operator who checked the issuers can
/// decide this, and types it: lost entries may have made keys.
///
/// # Errors
/// The operator does not confirm, another keyroll holds the lock, or the witness cannot be written.
pub fn accept_journal(places: &Places, operator: &mut dyn Operator) -> Result<(), Problem> {
    let question = "Did you check at the issuers that no key has the label of a rotation that this journal does not know?";
    confirmed(operator, (question, "accept"), || {
        Problem::new(Code::JournalRestored, "accept the journal as the newest one")
            .help("check the issuers, then run keyroll doctor --accept-journal by hand")
    })?;
    let (lock, places) = open::lock(places)?;
    let accepted = reset_witness(&places.state, &places.witness(), &lock).map_err(|error| {
        Problem::new(error.code(), "accept the journal").because_of(&error).help(error.help())
    })?;
    operator.note(format!("accepted at entry {}, epoch {}", accepted.entry, accepted.epoch));
    Ok(())
}

/// Moves the state to this machine. Only an operator can decide that no other machine uses it any more: two drivers of
/// the same rotations would each revoke keys that the other relies on.
///
/// # Errors
/// The operator does not confirm, another keyroll holds the lock, or the journal cannot be opened.
pub fn accept_machine(places: &Places, operator: &mut dyn Operator) -> Result<(), Problem> {
    let question = "Is this the newest copy of the state, and has every other machine stopped using it?";
    confirmed(operator, (question, "moved"), || {
        Problem::new(Code::OtherMachine, "move the state to this machine")
            .help("stop keyroll on the other machine, then run keyroll doctor --moved-here by hand")
    })?;
    let (lock, places) = open::lock(places)?;
    let machine = machine_id::here(&open::fingerprint_key(&places)?)?;
    move_here(&places.state, &places.witness(), &machine, &lock).map_err(|error| open::not_opened(&error))?;
    operator.note("this machine now drives the rotations of this state");
    Ok(())
}

/// Refuses unless the operator types the word.
fn confirmed(
    operator: &mut dyn Operator,
    (question, word): (&str, &str),
    refused: impl FnOnce() -> Problem,
) -> Result<(), Problem> {
    match operator.ask_name(question, word) {
        Confirmation::Yes => Ok(()),
        Confirmation::No | Confirmation::Nobody | Confirmation::Stopped => {
            Err(refused().because("nobody confirmed at the terminal").exits(Exit::NeedsPerson))
        }
    }
}
